"""How fast midsock bridges two veths, against the kernel's own bridge on the same pair.

Runs as root: `.venv/bin/python benches/bridge.py [--ports af_packet,af_xdp] [--rounds 5] [--json]`. Within a
round everything is measured in turn, so that what else the machine does meets all of them alike. midsock is
one process, by default on one core, without handlers. With offloads on, frames of up to 64 KiB with
unfinished checksums cross the veths; only ports of af_packet pass those on, and only they are measured then.
What is told is the median of the rounds, and the median of the ratios to the kernel's bridge of the same
round.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import typing

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from live import Network, iperf3, iperf3_server, ping
from live.namespace import remove_stale

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

BRIDGE = """
import os, signal, sys
import midsock as ms
if sys.argv[1] != "any":
    os.sched_setaffinity(0, {int(sys.argv[1])})
stack = ms.Stack(*sys.argv[2:])
signal.signal(signal.SIGTERM, lambda *_: stack.stop())
print("ready", flush=True)
stack.run()
"""


@dataclasses.dataclass
class Figures:
    """What one bridge did in one round."""

    #: Gbit/s of one connection, and of several to both sides at once.
    one: float
    many: float
    retransmits: int
    #: Milliseconds there and back, with nothing else to do.
    ping: float


def measure(network: Network, seconds: float) -> Figures:
    network.neighbours()
    latency = ping(network.client, network.SERVER, count=50).average
    with iperf3_server(network.server):
        one = iperf3(network.client, network.SERVER, seconds=seconds)["end"]
        many = iperf3(network.client, network.SERVER, "-P", 4, "--bidir", seconds=seconds)["end"]
    both = many["sum_received"]["bits_per_second"] + many["sum_received_bidir_reverse"]["bits_per_second"]
    return Figures(
        one=one["sum_received"]["bits_per_second"] / 1e9,
        many=both / 1e9,
        retransmits=one["sum_sent"]["retransmits"],
        ping=latency or float("nan"),
    )


@contextlib.contextmanager
def bridged(network: Network, by: str, core: str) -> Iterator[None]:
    if by == "kernel":
        network.bridge()
        try:
            yield
        finally:
            network.unbridge()
        return
    kind, _, options = by.partition("?")
    names = [f"{kind}:{name}" + (f"?{options}" if options else "") for name in ("left", "right")]
    command = (sys.executable, "-c", BRIDGE, core, *names)
    with network.middle.running(*command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise SystemExit(f"midsock does not bridge {' and '.join(names)}")
        yield


def table(offloads: str, bridges: list[str], rounds: list[dict[str, Figures]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for by in bridges:
        row: dict[str, object] = {"offloads": offloads, "bridge": by}
        for field in ("one", "many", "ping", "retransmits"):
            of = [getattr(figures[by], field) for figures in rounds]
            row[field] = round(statistics.median(of), 3)
            if field in {"one", "many"}:
                ratios = [
                    getattr(figures[by], field) / getattr(figures["kernel"], field) for figures in rounds
                ]
                row[f"{field}_ratio"] = round(statistics.median(ratios), 3)
                row[f"{field}_ratios"] = [round(ratio, 3) for ratio in sorted(ratios)]
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare midsock's bridging of two veths with the kernel's.")
    parser.add_argument(
        "--ports", default="af_packet", help="kinds of port, joined by commas: af_packet,af_xdp"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--offloads", choices=("on", "off", "both"), default="both")
    parser.add_argument("--core", default=str(max(os.sched_getaffinity(0))), help="midsock's core, or any")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each row")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("only root can make network namespaces")
    remove_stale()
    kinds = options.ports.split(",")
    for offloads in ("off", "on") if options.offloads == "both" else (options.offloads,):
        able = [kind for kind in kinds if offloads == "off" or kind.startswith("af_packet")]
        if not able:
            if options.offloads == "on":
                raise SystemExit(f"with offloads on there is only af_packet, not {options.ports}")
            continue
        bridges = ["kernel", *able]
        rounds = []
        for _ in range(options.rounds):
            figures = {}
            for by in bridges:
                with Network(offloads=offloads == "on") as network, bridged(network, by, options.core):
                    figures[by] = measure(network, options.seconds)
            rounds.append(figures)
        for row in table(offloads, bridges, rounds):
            if options.json:
                line = json.dumps(row)
            else:
                line = (
                    f"offloads {row['offloads']:3}  {row['bridge']:12}"
                    f"  one connection {row['one']:6.2f} Gbit/s, ratio {row['one_ratio']:.2f}"
                    f" of {row['one_ratios']}  4+4 {row['many']:6.2f} Gbit/s, ratio {row['many_ratio']:.2f}"
                    f"  ping {row['ping']:.3f} ms  {row['retransmits']} retransmitted"
                )
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
