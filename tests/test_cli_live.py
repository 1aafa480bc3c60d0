"""The command `midsock` on live interfaces, in network namespaces of its own."""

from __future__ import annotations

import contextlib
import gzip
import importlib.resources
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import midsock as ms
import pytest
from frames import MILLISECOND, udp_frame, web
from live import MakeNetwork, Namespace, Network, curl, nginx, ping

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

MIDSOCK = [sys.executable, "-W", "error", "-m", "midsock.cli"]
ROOT_FILES = importlib.resources.files("midsock") / "data"
SOON = 20.0
SETTLED = 0.5
PORT = "af_packet:left"
IDLE = "import socket, sys, time; it = socket.create_connection((sys.argv[1], 80)); time.sleep(60)"


class Command:
    """The command while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """End it by a signal once it has what the wire carried; give its exit code and what it said."""
        # The kernel hands a block of its ring over when it is full or some milliseconds old.
        time.sleep(SETTLED)
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; give its exit code and what it said."""
        out, err = self.process.communicate(timeout=SOON)
        return self.process.returncode, out.decode() if out else "", err.decode() if err else ""

    def line(self) -> str:
        """Give the next line of its output, which it is not to keep until its end."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], SOON)[0], "it prints nothing"
        return self.process.stdout.readline().decode()


@contextlib.contextmanager
def midsock(namespace: Namespace, *args: object, interface: str | None = "left") -> Iterator[Command]:
    """Run the command in a namespace, from when it has opened its port on."""
    command = [*MIDSOCK, *map(str, args)]
    with namespace.running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if interface is not None:
            wait_for(lambda: process.poll() is not None or is_open(namespace))
        yield Command(process)


def is_open(namespace: Namespace) -> bool:
    """Tell whether a packet socket is bound to an interface, from when on nothing is missed."""
    with namespace.entered(), open("/proc/thread-self/net/packet") as table:  # noqa: PTH123 (of this thread)
        return any(row.split()[4] != "0" for row in table.readlines()[1:])


def wait_for(condition: Any, seconds: float = SOON) -> None:  # noqa: ANN401 (a callable)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come about"
        time.sleep(0.02)


def frames_of(path: pathlib.Path) -> list[tuple[int, bytes]]:
    """Give times and frames of a capture file, which must be whole."""
    stack = ms.Stack(path)
    frames: list[tuple[int, bytes]] = []
    stack.socket(ms.MONITOR_RAW).on(
        ms.ON_PKT_IN, lambda _, event: frames.append((event.time_ns, event.frame))
    )
    stack.run()
    assert stack.warning is None
    return frames


@pytest.fixture
def bridged(network: Network) -> Iterator[Network]:
    """Give a network whose hosts reach each other through the kernel's bridge."""
    network.bridge()
    network.neighbours()
    yield network
    network.unbridge()


# --- ports ---


def test_ports_says_what_each_backend_can_do(make_network: MakeNetwork) -> None:
    network = make_network(offloads=True)
    done = network.middle.run(*MIDSOCK, "ports", "--format", "json")
    interfaces = {it["name"]: it for it in map(json.loads, done.stdout.splitlines())}
    assert set(interfaces) == {"lo", "left", "right"}
    left = interfaces["left"]
    assert (left["up"], left["mtu"], left["driver"]) == (True, 1500, "veth")
    assert {"tso", "gro"} <= set(left["offloads"])
    packet, xdp, netmap = (left["ports"][name] for name in ("af_packet", "af_xdp", "netmap"))
    assert (packet["port"], packet["possible"]) == ("af_packet:left", True)
    assert "ethtool -K left " in packet["note"]
    assert xdp["possible"]
    assert xdp["note"].endswith(": ethtool -K left tx off, and likewise at the veth's other end")
    assert "netmap" in netmap["obstacle"]
    text = network.middle.run(*MIDSOCK, "ports").stdout
    assert re.search(r"left +up +1,500 .* veth +1 +yes, but +yes, but +no", text)
    assert "af_packet:left, af_packet:right" not in text  # each has a command of its own


def test_ports_without_rights_says_which_are_missing(network: Network) -> None:
    # Imported first: the user may not be allowed to read the Python that is used here.
    script = "import midsock as ms; from midsock.cli import main; ms.drop_rights('nobody'); main(['ports'])"
    text = network.middle.run(sys.executable, "-c", script).stdout
    assert "af_packet:IF: missing rights: run as root, or with CAP_NET_RAW\n" in text
    assert "af_xdp:IF: missing rights: run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF\n" in text


# --- capture ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["seen.pcapng", "seen.pcapng.zst", "seen.pcap.gz"])
def test_capture_ends_with_a_whole_file(
    bridged: Network, tmp_path: pathlib.Path, number: signal.Signals, name: str
) -> None:
    path = tmp_path / name
    with midsock(bridged.middle, "capture", PORT, path, "--filter", "icmp") as command:
        assert ping(bridged.client, bridged.SERVER, count=5).received == 5
        code, out, err = command.stop(number)
    assert (code, out) == (0, "")
    assert re.fullmatch(r"\d+ packets received, 10 written, 0 dropped by the kernel, 0 by midsock\n", err), (
        err
    )
    frames = frames_of(path)
    assert len(frames) == 10
    assert [time for time, _ in frames] == sorted(time for time, _ in frames)
    assert abs(frames[0][0] / 1e9 - time.time()) < 60
    magic = {"seen.pcapng": b"\n\r\r\n", "seen.pcapng.zst": b"\x28\xb5\x2f\xfd", "seen.pcap.gz": b"\x1f\x8b"}
    assert path.read_bytes().startswith(magic[name])


def test_capture_ends_by_count_and_by_duration(bridged: Network, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "seen.pcapng"
    with midsock(bridged.middle, "capture", PORT, path, "-c", "4", "-s", "60", "--filter", "icmp") as command:
        ping(bridged.client, bridged.SERVER, count=5)
        assert command.end()[0] == 0
    assert [len(frame) for _, frame in frames_of(path)] == [60] * 4
    start = time.monotonic()
    with midsock(bridged.middle, "capture", PORT, path, "--duration", "0.5") as command:
        assert command.end()[0] == 0
    assert 0.5 <= time.monotonic() - start < SOON


def test_a_capture_of_an_interface_that_goes_away_is_whole(network: Network, tmp_path: pathlib.Path) -> None:
    network.bridge()
    network.neighbours()
    path = tmp_path / "seen.pcapng"
    with midsock(network.middle, "capture", PORT, path, "--filter", "icmp") as command:
        ping(network.client, network.SERVER, count=5)
        time.sleep(0.2)  # the kernel forgets what it has not handed over
        network.client.delete_link("eth0")
        code, _, err = command.end()
    assert code == 1
    assert "10 written" in err
    assert "midsock: af_packet:left: " in err
    assert len(frames_of(path)) == 10


def test_capture_shows_counters_on_a_terminal(bridged: Network, tmp_path: pathlib.Path) -> None:
    here, there = pty.openpty()
    command = [*MIDSOCK, "capture", PORT, tmp_path / "seen.pcapng"]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    shown = b""
    try:
        with bridged.middle.running(*command, stderr=there, env=env, stop=signal.SIGINT):
            wait_for(lambda: is_open(bridged.middle))
            ping(bridged.client, bridged.SERVER, count=5)
            until = time.monotonic() + SOON
            while not re.search(rb"[1-9][0-9]* packets received, [1-9][0-9]* written", shown):
                assert time.monotonic() < until, shown
                if select.select([here], [], [], 0.1)[0]:
                    shown += os.read(here, 4096)
    finally:
        os.close(there)
        os.close(here)
    assert b"packets/s" in shown


def test_an_unreadable_port_leaves_the_file_alone(network: Network, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "kept"
    path.write_text("kept")
    done = network.middle.run(*MIDSOCK, "capture", "af_packet:nosuch", path, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"midsock: af_packet:nosuch: .*left.*\n", done.stderr), done.stderr
    assert path.read_text() == "kept"


# --- replay ---


def trace(path: pathlib.Path, count: int, gap: int = MILLISECOND) -> list[bytes]:
    """Write a capture of so many frames, all different, so many nanoseconds apart."""
    frames = [udp_frame(number.to_bytes(4, "big") * 20) for number in range(count)]
    with ms.CaptureWriter(path, format="pcapng") as writer:
        for number, frame in enumerate(frames):
            writer.write(1_000_000_000 + number * gap, frame)
    return frames


def replayed(
    network: Network, tmp_path: pathlib.Path, *args: object, count: int
) -> tuple[list[tuple[int, bytes]], str]:
    """Replay a file from the client, and give what came to the server and what the command said."""
    path = tmp_path / "seen.pcapng"
    with midsock(
        network.server, "capture", "af_packet:eth0", path, "-c", count, "--filter", "udp"
    ) as command:
        done = network.client.run(*MIDSOCK, "replay", *args)
        assert command.end()[0] == 0
    return frames_of(path), done.stderr


def test_replay_sends_every_frame_in_order_and_with_its_timing(
    make_network: MakeNetwork, tmp_path: pathlib.Path
) -> None:
    network = make_network(middle=False)
    path = tmp_path / "trace.pcapng"
    frames = trace(path, 300)
    seen, said = replayed(network, tmp_path, path, "af_packet:eth0", count=300)
    assert [frame for _, frame in seen] == frames
    assert re.fullmatch(r"300 packets sent, 0 failed in 0\.[0-9]+ s: .* packets/s, .* [kM]bit/s\n", said)
    late = [(at - seen[0][0]) - number * MILLISECOND for number, (at, _) in enumerate(seen)]
    # None comes early by more than the first one was late, and most come within half a millisecond.
    assert sorted(map(abs, late))[150] < MILLISECOND / 2
    assert (seen[-1][0] - seen[0][0]) / 1e9 + 0.01 >= 0.299


@pytest.mark.parametrize(
    ("options", "at_least", "at_most"),
    [
        (["--speed", "2"], 0.145, 10),
        (["--rate", "1500"], 0.190, 10),
        (["--flat-out", "--loop", "3"], 0, 10),
    ],
)
def test_replay_sends_at_the_pace_that_is_asked_for(
    make_network: MakeNetwork, tmp_path: pathlib.Path, options: list[str], at_least: float, at_most: float
) -> None:
    network = make_network(middle=False)
    path = tmp_path / "trace.pcapng"
    rounds = 3 if "--loop" in options else 1
    frames = trace(path, 300) * rounds
    seen, _ = replayed(network, tmp_path, path, "af_packet:eth0", *options, count=300 * rounds)
    assert [frame for _, frame in seen] == frames
    assert at_least <= (seen[-1][0] - seen[0][0]) / 1e9 < at_most


def test_replay_for_ever_ends_with_ctrl_c(make_network: MakeNetwork, tmp_path: pathlib.Path) -> None:
    network = make_network(middle=False)
    path = tmp_path / "trace.pcapng"
    trace(path, 10)
    with midsock(network.client, "replay", path, "af_packet:eth0", "--loop", "0") as command:
        time.sleep(0.5)
        code, _, err = command.stop()
    assert code == 128 + signal.SIGINT
    found = re.match(r"([\d,]+) packets sent", err)
    assert found, err
    assert int(found[1].replace(",", "")) > 10


def test_replay_needs_a_live_port_and_one_pace(network: Network, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "trace.pcapng"
    trace(path, 1)
    done = network.middle.run(*MIDSOCK, "replay", path, path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is a capture file" in done.stderr
    done = network.middle.run(*MIDSOCK, "replay", path, PORT, "--rate", "1", "--speed", "2", check=False)
    assert done.returncode == 2


# --- flows, follow, monitor ---


def test_flows_are_printed_as_they_end(bridged: Network, tmp_path: pathlib.Path) -> None:
    with (
        nginx(bridged.server, tmp_path) as root,
        midsock(bridged.middle, "flows", PORT, "--format", "json", "--user", "nobody") as command,
    ):
        (root / "index.html").write_text("hello")
        curl(bridged.client, f"http://{bridged.SERVER}/")
        flow = json.loads(command.line())
        assert (flow["reason"], flow["handshake"]) == ("closed", True)
        assert flow["server"] == f"{bridged.SERVER}:80"
        with bridged.client.running(sys.executable, "-c", IDLE, bridged.SERVER):
            wait_for(lambda: ":80" in bridged.client.run("ss", "-Htn").stdout)
            code, out, err = command.stop()
    assert (code, err) == (0, "")
    assert [json.loads(line)["reason"] for line in out.splitlines()] == ["end"]


def test_a_table_of_live_flows_keeps_its_columns(bridged: Network, tmp_path: pathlib.Path) -> None:
    with nginx(bridged.server, tmp_path) as root, midsock(bridged.middle, "flows", PORT) as command:
        (root / "index.html").write_text("hello")
        assert command.line().split()[:3] == ["flow", "client", "server"]
        for address in (bridged.SERVER, f"[{bridged.SERVER6}]"):
            curl(bridged.client, f"http://{address}/")
            assert address in command.line()
        assert command.stop()[0] == 0


def test_follow_prints_what_comes(bridged: Network, tmp_path: pathlib.Path) -> None:
    with (
        nginx(bridged.server, tmp_path) as root,
        midsock(bridged.middle, "follow", PORT, "--flow", "0", "--side", "server", "--raw") as command,
    ):
        (root / "index.html").write_text("hello from here")
        curl(bridged.client, f"http://{bridged.SERVER}/")
        code, out, err = command.end()
    assert (code, err) == (0, "")
    assert out.endswith("\r\n\r\nhello from here")


def test_monitor_reports_at_the_end(bridged: Network, tmp_path: pathlib.Path) -> None:
    with nginx(bridged.server, tmp_path) as root, midsock(bridged.middle, "monitor", PORT) as command:
        (root / "index.html").write_text("hello")
        for _ in range(3):
            curl(bridged.client, f"http://{bridged.SERVER}/")
        code, out, _ = command.stop(signal.SIGTERM)
    assert code == 0
    assert "3: 3 GET" in out


def test_monitor_renews_its_report_on_a_terminal(bridged: Network, tmp_path: pathlib.Path) -> None:
    here, there = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "60"}
    shown = b""
    command = [*MIDSOCK, "monitor", PORT, "--user", "nobody"]
    try:
        with (
            nginx(bridged.server, tmp_path) as root,
            bridged.middle.running(*command, stdout=there, env=env, stop=signal.SIGINT) as process,
        ):
            wait_for(lambda: is_open(bridged.middle))
            (root / "index.html").write_text("hello")
            for count in (1, 2):
                curl(bridged.client, f"http://{bridged.SERVER}/")
                until = time.monotonic() + SOON
                while f"{count}: {count} GET".encode() not in shown:
                    assert time.monotonic() < until, shown[-2000:]
                    if select.select([here], [], [], 0.1)[0]:
                        shown += os.read(here, 65536)
            assert process.poll() is None
        assert process.returncode == 0
    finally:
        os.close(there)
        os.close(here)


# --- rights ---


def status_of(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 (a short-lived file)
        lines = [line.partition(":") for line in status]
    return {name: value.strip() for name, _, value in lines}


def is_nobody(status: dict[str, str]) -> bool:
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return (
        all(set(status[name]) == {"0"} for name in sets)
        and set(status["Uid"].split()) == {"65534"}
        and (status["Groups"], status["NoNewPrivs"]) == ("", "1")
    )


def test_with_user_no_right_is_left_and_packets_still_come(bridged: Network, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "seen.pcapng"
    with midsock(bridged.middle, "capture", PORT, path, "--filter", "icmp", "--user", "nobody") as command:
        wait_for(lambda: is_nobody(status_of(command.process.pid)))
        ping(bridged.client, bridged.SERVER, count=5)
        assert command.stop()[0] == 0
    assert len(frames_of(path)) == 10


def test_run_drops_rights_once_the_script_has_its_ports(bridged: Network, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import os, sys
import midsock as ms
stack = ms.Stack(sys.argv[1])
print(os.getuid(), flush=True)
stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, lambda sock, event: stack.stop())
stack.run()
print(os.getuid(), flush=True)
stack.run()
""")
    with midsock(bridged.middle, "run", "--user", "nobody", script, PORT) as command:
        assert command.line() == "0\n"
        ping(bridged.client, bridged.SERVER, count=1)
        assert command.line() == "65534\n"
        assert command.end()[0] == 0


def test_dropping_rights_reaches_every_thread() -> None:
    script = """
import os, threading
import midsock as ms
stop = threading.Event()
threading.Thread(target=stop.wait).start()
ms.drop_rights("nobody")
for task in os.listdir("/proc/self/task"):
    status = dict(line.split(":", 1) for line in open(f"/proc/self/task/{task}/status"))
    assert status["Uid"].split() == ["65534"] * 4, status
    assert set(status["CapPrm"].strip() + status["CapEff"].strip()) == {"0"}, status
    assert status["NoNewPrivs"].strip() == "1", status
try:
    os.setuid(0)
except PermissionError:
    print("nobody for good")
try:
    ms.drop_rights("nobody")
except PermissionError as error:
    print(error)
stop.set()
"""
    if os.geteuid() != 0:
        pytest.skip("only root has rights to drop")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "nobody for good"
    assert "only root can do this" in second


@pytest.mark.parametrize(("user", "text"), [("no-such-user", "there is no user"), ("root", "rights of root")])
def test_a_user_without_fewer_rights_is_refused(user: str, text: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=text):
        ms.drop_rights(user)
    path = tmp_path / "never.pcapng"
    command = [*MIDSOCK, "capture", str(ROOT_FILES / "web.pcap.gz"), str(path), "--user", user]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert text in done.stderr
    assert not path.exists()


# --- inline ---


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp"])
def test_bridge_passes_packets_and_counts_them(network: Network, kind: str) -> None:
    ports = (f"{kind}:left", f"{kind}:right")
    with midsock(network.middle, "bridge", *ports, "--user", "nobody", interface=None) as command:
        wait_for(lambda: ping(network.client, network.SERVER, count=1).received)
        assert ping(network.client, network.SERVER6, count=5).received == 5
        code, out, err = command.stop()
    assert (code, out) == (0, "")
    found = re.fullmatch(
        r"(\d+) packets there, (\d+) back, 0 dropped before they got here, 0 not sent\n", err
    )
    assert found, err
    assert all(int(count) >= 6 for count in found.groups())


def test_bridge_refuses_what_cannot_work_and_warns_of_what_does_not(make_network: MakeNetwork) -> None:
    network = make_network(offloads=True)
    network.neighbours()
    done = network.middle.run(*MIDSOCK, "bridge", "af_xdp:left", "af_xdp:right", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "ethtool -K left tx off, and likewise at the veth's other end" in done.stderr
    # Off where it can be looked at, and on at the veths' other ends.
    for interface in ("left", "right"):
        network.middle.run("ethtool", "-K", interface, "tx", "off")
    with midsock(network.middle, "bridge", "af_xdp:left", "af_xdp:right", interface=None) as command:
        network.client.run("ping", "-c", 1, "-w", 10, network.SERVER)
        network.client.run("curl", "-s", "-m", 1, f"http://{network.SERVER}/", check=False)
        assert command.process.stderr is not None
        assert select.select([command.process.stderr], [], [], SOON)[0], "it does not warn"
        warning = command.process.stderr.readline().decode()
        assert "warning: af_xdp:left: packets come with unfinished checksums" in warning
        assert "ethtool -K INTERFACE tx off" in warning
        assert command.stop()[0] == 0


def test_a_stack_bridges_two_interfaces_and_drops_what_it_is_told(network: Network) -> None:
    with network.middle.entered():
        stack = ms.Stack("af_packet:left", "af_packet:right")
    assert stack.live
    raw = stack.socket(ms.MONITOR_RAW, filter="icmp")
    verdict = [ms.FORWARD]
    raw.on(ms.ON_PKT_IN, lambda sock, event: verdict[0])
    results: list[int] = []
    with stack, run_in_thread(stack):
        for it in (ms.FORWARD, ms.DROP):
            verdict[0] = it
            results.append(ping(network.client, network.SERVER, count=3).received)
        ports = stack.statistics()["ports"]
    assert results == [3, 0]
    assert [port["send_failures"] for port in ports] == [0, 0]
    assert all(port["sent"] >= 3 for port in ports)


@contextlib.contextmanager
def run_in_thread(stack: ms.Stack) -> Iterator[None]:
    import threading  # noqa: PLC0415

    thread = threading.Thread(target=stack.run)
    thread.start()
    try:
        yield
    finally:
        stack.stop()
        thread.join(SOON)
        assert not thread.is_alive()


def test_ctrl_c_ends_a_stack_that_waits_for_packets(network: Network, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nimport midsock as ms\nms.Stack(sys.argv[1], sys.argv[2]).run()\n")
    with midsock(network.middle, "run", script, PORT, "af_packet:right") as command:
        start = time.monotonic()
        code, out, err = command.stop()
    assert (code, out, err) == (130, "", "")
    assert time.monotonic() - start < SOON / 2


def test_a_live_stack_runs_for_a_time(network: Network) -> None:
    with network.middle.entered():
        stack = ms.Stack(PORT)
    start = time.monotonic()
    with stack:
        assert not stack.run(timeout=0.3)
        assert 0.3 <= time.monotonic() - start < SOON
        assert list(stack.flows(timeout=0.1)) == []
        stack.finish()
        assert stack.run()


def test_statistics_can_be_asked_while_a_stack_waits(network: Network) -> None:
    with network.middle.entered():
        stack = ms.Stack(PORT)
    with stack, run_in_thread(stack):
        start = time.monotonic()
        for _ in range(10):
            stack.statistics()
        assert time.monotonic() - start < SOON / 2


def test_the_bundled_capture_survives_the_wire(make_network: MakeNetwork, tmp_path: pathlib.Path) -> None:
    network = make_network(middle=False)
    talk = tmp_path / "talk.pcap"
    with ms.CaptureWriter(talk) as writer:
        for at, frame in web().packets:
            writer.write(at, frame)
    whole = tmp_path / "web.pcap"
    whole.write_bytes(gzip.decompress((ROOT_FILES / "web.pcap.gz").read_bytes()))
    packets = frames_of(whole)
    path = tmp_path / "seen.pcapng"
    with midsock(
        network.server,
        "capture",
        "af_packet:eth0",
        path,
        "--filter",
        "net 198.51.100.0/24 or net 192.0.2.0/24",
    ) as command:
        network.client.run(*MIDSOCK, "replay", whole, "af_packet:eth0", "--rate", "20000")
        time.sleep(0.3)
        assert command.stop()[0] == 0
    expected = [frame for _, frame in packets if frame[12:14] == b"\x08\x00"]
    assert [frame for _, frame in frames_of(path)][: len(expected)] == expected
