"""What an `af_packet` port loses while flows are counted, against tcpdump on the same veth.

Runs as root: `.venv/bin/python benches/receive.py [--seconds 3] [--rounds 3] [--json]`. TCP connections are
replayed at growing rates, to find the highest at which `tcpdump -w /dev/null` loses nothing in any round. At
this rate both listen, in turns, and it is told what each lost: of what was sent, not only by its own count.
They have a core of their own, and rings of one size. The exit code is 1 if midsock lost a packet in a round
in which tcpdump lost none, or counted a wrong number of flows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
import frames
import midsock as ms
from live import Network
from live.namespace import remove_stale

#: Flows at once.
TOGETHER = 200
#: The highest port of a client, and the clients of a network.
HIGHEST, HOSTS = 60_000, 50_000
#: By how much the rate grows in the search.
STEP = 1.25
#: A sender that falls behind this part of the rate that it was asked for has come to its limit.
FAST_ENOUGH = 0.9

COUNT = """
import os, signal, sys
import midsock as ms
os.sched_setaffinity(0, {int(sys.argv[1])})
stack = ms.Stack(sys.argv[2])
flows = stack.count(ms.ON_CONN_START)
signal.signal(signal.SIGINT, lambda *_: stack.stop())
print("listening on", file=sys.stderr, flush=True)
stack.run()
(port,) = stack.statistics()["ports"]
lost = port["dropped_by_kernel"] + port["dropped"]
counts = {"captured": port["received"], "dropped": lost, "began": flows.value}
print(*(f"{number} packets {what}" for what, number in counts.items()), file=sys.stderr)
"""

SEND = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv.pop(1))})
from midsock.cli import main
main(sys.argv[1:])
"""


@dataclasses.dataclass
class Heard:
    """What a listener had of one replay."""

    #: Packets that were sent, and how many of them a second.
    sent: int
    rate: float
    received: int
    #: What it lost by its own count.
    dropped: int

    @property
    def lost(self) -> int:
        """Packets that were sent and that it did not have."""
        return self.sent - self.received


# --- what is sent ---


def record(path: pathlib.Path, packets: int, size: int) -> tuple[int, int]:
    """Write a capture of about so many packets, and tell how many, and of how many flows.

    The flows are short connections, `TOGETHER` at a time, with `size` bytes in each of the server's segments.
    """
    talk = frames.Talk(client_ip="10.9.0.0", client_port=HIGHEST).open().client(b"x" * 100)
    for _ in range(3):
        talk.server(b"y" * size).send(ms.CLIENT)
    template = [frame for _, frame in talk.close().packets]
    flows = 0
    with ms.CaptureWriter(path, format="pcap") as writer:
        while flows * len(template) < packets:
            for frame in template:
                for number in range(flows, flows + TOGETHER):
                    writer.write(frames.START, renumbered(frame, number))
            flows += TOGETHER
    return flows * len(template), flows


def renumbered(frame: bytes, number: int) -> bytes:
    """Give a frame another client.

    What its address grows by, its port and the packet's identification lose: all checksums stay right.
    """
    network, host = divmod(number, HOSTS)
    is_of_client = frame[36:38] == struct.pack("!H", 80)
    address, port = (26, 34) if is_of_client else (30, 36)
    changed = bytearray(frame)
    changed[address : address + 4] = struct.pack("!BBH", 10, 9 + network, host)
    changed[port : port + 2] = struct.pack("!H", HIGHEST - host - network)
    changed[18:20] = struct.pack("!H", 0xFFFF - host - network)
    return bytes(changed)


# --- who listens ---


class Bench:
    """A veth, one end of which is sent to, and the other listened at."""

    def __init__(self, network: Network, capture: pathlib.Path, options: argparse.Namespace) -> None:
        self.network = network
        self.capture = capture
        self.options = options
        self.sender, self.listener = options.cores
        self.packets = self.flows = 0

    def prepare(self, rate: float) -> None:
        """Record what is sent at this rate."""
        packets = round(rate * self.options.seconds)
        self.packets, self.flows = record(self.capture, packets, self.options.size)

    def send(self, rate: float) -> float:
        """Replay what was recorded; give how many packets a second were sent."""
        replay = ("replay", self.capture, "af_packet:eth0", "--rate", f"{rate:.0f}")
        command = (sys.executable, "-c", SEND, self.sender, *replay)
        said = self.network.client.run(*command, timeout=self.options.seconds * 20 + 60).stderr
        found = re.search(r"([\d,]+) packets sent, 0 failed in ([\d.]+) s", said)
        if not found or int(found[1].replace(",", "")) != self.packets:
            raise SystemExit(f"of {self.packets} packets not all were sent: {said}")
        return self.packets / float(found[2])

    def listen(self, command: tuple[object, ...], rate: float) -> tuple[Heard, dict[str, int]]:
        with self.network.server.running(*command, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            while b"listening on" not in (line := process.stderr.readline()):
                if not line:
                    raise SystemExit(f"it does not listen: {command}")
            pace = self.send(rate)
            # Either forgets what it has not read when it is told to stop.
            self.network.server.run("sleep", 1)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[1].decode()
        counts = {what: int(number) for number, what in re.findall(r"(\d+) packets (\w+)", said)}
        return Heard(self.packets, pace, counts["captured"], counts["dropped"]), counts

    def tcpdump(self, rate: float) -> Heard:
        listener = ("taskset", "-c", self.listener, "tcpdump", "-Z", "root", "-n", "-i", "eth0")
        return self.listen((*listener, "-B", self.options.ring * 1024, "-w", "/dev/null"), rate)[0]

    def midsock(self, rate: float) -> Heard:
        port = f"af_packet:eth0?ring={self.options.ring}M&outgoing=0"
        heard, counts = self.listen((sys.executable, "-c", COUNT, self.listener, port), rate)
        if not heard.lost and counts["began"] != self.flows:
            raise SystemExit(f"midsock counted {counts['began']} flows of {self.flows}")
        return heard

    def tell(self, who: str, rate: float, heard: Heard) -> None:
        if self.options.json:
            row = {"listener": who, "wanted": round(rate), **dataclasses.asdict(heard), "lost": heard.lost}
            line = json.dumps(row)
        else:
            line = (
                f"{who:8} {rate:9,.0f} packets/s wanted, {heard.rate:9,.0f} sent:"
                f" {heard.lost:7,} of {heard.sent:,} lost ({heard.dropped:,} by its own count)"
            )
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def search(self) -> float:
        """Give the highest rate at which tcpdump loses nothing, or which the sender comes to."""
        rate: float = self.options.start
        highest = 0.0
        while True:
            self.prepare(rate)
            slowest = rate
            for _ in range(self.options.rounds):
                heard = self.tcpdump(rate)
                self.tell("tcpdump", rate, heard)
                if heard.lost:
                    return highest
                slowest = min(slowest, heard.rate)
            highest = rate
            if slowest < FAST_ENOUGH * rate:
                return highest
            rate *= STEP


def arguments() -> argparse.Namespace:
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description="Compare what midsock and tcpdump lose of one packet rate.")
    parser.add_argument("--seconds", type=float, default=3, help="of one replay")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--from", dest="start", type=float, default=50_000, help="the first packets a second")
    parser.add_argument("--size", type=int, default=400, help="bytes of data in a segment of a server")
    parser.add_argument("--ring", type=int, default=32, help="MiB of the ring that each listens by")
    parser.add_argument(
        "--cores", nargs=2, type=int, default=[cores[0], cores[-1]], help="of sender and listener"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each replay")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("only root can make network namespaces")
    remove_stale()
    with tempfile.TemporaryDirectory() as folder, Network(middle=False) as network:
        for namespace in (network.client, network.server):
            # Nothing but what is sent here.
            namespace.sysctl("ipv6/conf/all/disable_ipv6", 1)
        bench = Bench(network, pathlib.Path(folder, "flows.pcap"), options)
        rate = bench.search()
        if not rate:
            raise SystemExit(f"tcpdump loses packets at {options.start:,.0f} a second: begin --from fewer")
        bench.prepare(rate)
        lossless = failed = 0
        for _ in range(options.rounds):
            tcpdump = bench.tcpdump(rate)
            bench.tell("tcpdump", rate, tcpdump)
            midsock = bench.midsock(rate)
            bench.tell("midsock", rate, midsock)
            if not tcpdump.lost:
                lossless += 1
                failed += bool(midsock.lost)
    sys.stdout.write(f"of {lossless} rounds without loss of tcpdump, midsock lost packets in {failed}\n")
    raise SystemExit(1 if failed or not lossless else 0)


if __name__ == "__main__":
    main()
