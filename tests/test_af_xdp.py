"""Interfaces by AF_XDP sockets, with real traffic."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import typing

import midsock as ms
import pytest
from live import Network, curl, iperf3, iperf3_server, missing, nginx, ping, running, until

if typing.TYPE_CHECKING:
    import pathlib

    from live import MakeNetwork, Namespace

LEFT, RIGHT = "af_xdp:left", "af_xdp:right"
ATTACH = ["native", "generic"]
#: Of the kernel's `ip -j link`: how a program is attached.
MODES = {"native": 1, "generic": 2}
MACS = bytes.fromhex("020000007702 020000007701")


def opened(namespace: Namespace, *names: str) -> ms.Stack:
    with namespace.entered():
        return ms.Stack(*names)


def frames_of(stack: ms.Stack) -> list[bytes]:
    """Give the list that the frames go to which the stack sees from now on."""
    frames: list[bytes] = []
    stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, lambda _sock, event: frames.append(event.frame))
    return frames


def numbered(number: int, length: int = 60) -> bytes:
    """Make a frame of an EtherType that nobody has, which names its number."""
    return (MACS + b"\x88\xb5" + struct.pack("!I", number)).ljust(length, bytes([number & 0xFF]))


def paced(namespace: Namespace, frames: list[bytes]) -> None:
    """Send frames no faster than a veth's queue of 256 is emptied on a busy machine."""
    with namespace.socket("eth0") as raw:
        for place, frame in enumerate(frames):
            raw.send(frame)
            if place % 64 == 63:
                time.sleep(0.005)


def hush(network: Network) -> None:
    """Let the client send nothing but what the test sends."""
    network.client.sysctl("ipv6/conf/all/disable_ipv6", 1)


def mine(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if frame[12:14] == b"\x88\xb5"]


def programs(namespace: Namespace) -> dict[str, int]:
    """Give how XDP programs are attached to which interfaces."""
    return {name: link["xdp"]["mode"] for name, link in namespace.links().items() if "xdp" in link}


# --- receiving ---


@pytest.mark.parametrize("attach", ATTACH)
def test_what_is_received_is_what_was_sent(network: Network, attach: str) -> None:
    hush(network)
    sent = [numbered(number, length=20 + number * 7 % 1494) for number in range(3000)]
    stack = opened(network.middle, f"{LEFT}?attach={attach}")
    frames = frames_of(stack)
    assert programs(network.middle) == {"left": MODES[attach]}
    with running(stack):
        paced(network.client, sent)
        until(lambda: len(mine(frames)) + stack.statistics()["ports"][0]["dropped_by_kernel"] >= len(sent))
        (port,) = stack.statistics()["ports"]
        assert stack.warning is None
    assert frames == sent
    assert port["received"] == len(sent)
    assert port["received_bytes"] == sum(map(len, sent))
    assert (port["dropped_by_kernel"], port["dropped"], port["unreadable"]) == (0, 0, 0)
    assert programs(network.middle) == {}


def test_what_there_is_no_room_for_is_counted(network: Network) -> None:
    hush(network)
    stack = opened(network.middle, f"{LEFT}?attach=generic&frames=1024")
    frames = frames_of(stack)
    sent = [numbered(number) for number in range(2000)]
    network.client.send("eth0", sent)
    with running(stack):
        until(lambda: frames)
        time.sleep(0.1)
        (port,) = stack.statistics()["ports"]
    # Half of the frames are for receiving; what was there first was kept.
    assert frames == sent[:512]
    assert len(frames) + port["dropped_by_kernel"] == len(sent)


def test_one_queue_or_all_of_them(network: Network) -> None:
    for namespace, interface in ((network.client, "eth0"), (network.middle, "left")):
        namespace.run("ethtool", "-L", interface, "rx", 2, "tx", 2)
    # The sender chooses the queue by the flow.
    flows = {
        MACS
        + b"\x08\0"
        + struct.pack("!BBHHHBBH4s4s", 0x45, 0, 32, 0, 0, 64, 17, 0, bytes(4), bytes(4))
        + struct.pack("!HHHHI", port, 9, 12, 0, port)
        for port in range(1000, 1064)
    }
    seen = []
    for options in ("", "?queue=0", "?queue=1"):
        stack = opened(network.middle, LEFT + options)
        frames = frames_of(stack)
        with running(stack):
            paced(network.client, sorted(flows))
            if not options:
                until(lambda: flows <= set(frames))  # noqa: B023 -- called at once
            time.sleep(0.2)
        frames = [frame for frame in frames if frame in flows]
        assert len(set(frames)) == len(frames)
        seen.append(set(frames))
    everything, first, second = seen
    assert everything == flows
    assert first | second == flows
    assert not first & second
    assert min(len(first), len(second)) > 10
    with pytest.raises(FileNotFoundError, match=r"there is no queue 2: left has 0 to 1"):
        opened(network.middle, f"{LEFT}?queue=2")


def test_packets_longer_than_a_frame_come_whole(make_network: MakeNetwork) -> None:
    network = make_network(mtu=9000)
    sent = [numbered(number, length=9014 - number * 80) for number in range(100)]
    stack = opened(network.middle, LEFT, RIGHT)
    watch = opened(network.server, "af_packet:eth0?outgoing=0")
    frames = frames_of(watch)
    with running(stack, watch):
        paced(network.client, sent)
        until(lambda: len(mine(frames)) == len(sent))
        assert ping(network.client, network.SERVER, "-s", 8900, count=2).received == 2
    assert mine(frames) == sent


# --- bridging ---


@pytest.mark.parametrize("attach", ATTACH)
def test_two_ports_are_a_bridge(network: Network, tmp_path: pathlib.Path, attach: str) -> None:
    stack = opened(network.middle, f"{LEFT}?attach={attach}", f"{RIGHT}?attach={attach}")
    assert programs(network.middle) == {"left": MODES[attach], "right": MODES[attach]}
    with running(stack):
        for address in (network.SERVER, network.SERVER6):
            assert ping(network.client, address, count=3).received == 3
            assert ping(network.client, address, "-s", 5000, count=3).received == 3
        with nginx(network.server, tmp_path) as root:
            (root / "file").write_bytes(os.urandom(20_000_000))
            for host in (network.SERVER, f"[{network.SERVER6}]"):
                assert curl(network.client, f"http://{host}/file") == (root / "file").read_bytes()
        with iperf3_server(network.server):
            report = iperf3(network.client, network.SERVER6, "-R", seconds=1)
            assert report["end"]["sum_received"]["bytes"] > 1_000_000
        ports = stack.statistics()["ports"]
    for port, other in (ports, ports[::-1]):
        assert port["received"] == other["sent"] + other["send_failures"] > 100
        assert port["unreadable"] == 0
    assert programs(network.middle) == {}


def test_what_a_bridge_passes_on_is_unchanged_and_in_order(network: Network) -> None:
    network.neighbours()
    sent = [numbered(number, length=20 + number * 7 % 1494) for number in range(1000)]
    stack = opened(network.middle, LEFT, RIGHT)
    watch = opened(network.server, "af_packet:eth0?outgoing=0")
    seen = frames_of(watch)
    with running(stack, watch):
        paced(network.client, sent)
        until(lambda: len(mine(seen)) >= len(sent))
    assert mine(seen) == sent


@pytest.mark.parametrize("names", [(LEFT, "af_packet:right"), ("af_packet:left", RIGHT)])
def test_it_bridges_to_a_port_of_another_kind(
    network: Network, tmp_path: pathlib.Path, names: tuple[str, str]
) -> None:
    stack = opened(network.middle, *names)
    with nginx(network.server, tmp_path) as root, running(stack):
        (root / "file").write_bytes(os.urandom(2_000_000))
        assert curl(network.client, f"http://{network.SERVER}/file") == (root / "file").read_bytes()
        assert ping(network.client, network.SERVER6, "-s", 5000, count=2).received == 2


def test_a_bridge_drops_and_injects(network: Network) -> None:
    network.neighbours()
    stack = opened(network.middle, f"{LEFT}?frames=1024", f"{RIGHT}?frames=1024")
    watch = opened(network.server, "af_packet:eth0?outgoing=0")
    seen = frames_of(watch)

    @stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN)
    def every_third(_sock: object, event: ms.Event) -> ms.Verdict:
        frame = event.frame
        is_third = frame[12:14] == b"\x88\xb5" and frame[17] % 3 == 0
        return ms.DROP if is_third else ms.FORWARD

    sent = [numbered(number, length=100 + number) for number in range(256)]
    with running(stack, watch):
        # More than all frames of both ports together, so that each comes round.
        for _ in range(10):
            paced(network.client, sent)
        until(lambda: len(mine(seen)) == 10 * 170)
        stack.inject(numbered(1 << 20, length=61), port=1)
        until(lambda: len(mine(seen)) == 10 * 170 + 1)
    kept = [frame for place, frame in enumerate(sent) if place % 3]
    assert mine(seen) == 10 * kept + [numbered(1 << 20, length=61)]


# --- what goes wrong ---


def test_an_interface_is_one_ports_only(network: Network) -> None:
    with opened(network.middle, LEFT):
        with pytest.raises(ms.PortError, match="queue 0 already belongs to an AF_XDP socket"):
            opened(network.middle, LEFT)
        network.middle.run("ethtool", "-L", "right", "rx", 2)
        with (
            opened(network.middle, f"{RIGHT}?queue=0"),
            pytest.raises(ms.PortError, match=r"another XDP program.*: ip link set dev right xdp off"),
        ):
            opened(network.middle, f"{RIGHT}?queue=1")
    # A port that was closed leaves the interface to the next.
    for _ in range(3):
        opened(network.middle, LEFT).close()


def test_what_cannot_be_opened_says_why(network: Network) -> None:
    with pytest.raises(FileNotFoundError, match="no interface middle; there are: lo, left, right"):
        opened(network.middle, "af_xdp:middle")
    with pytest.raises(ms.PortError, match="has no option zerocopy; its options are queue, mode"):
        opened(network.middle, f"{LEFT}?zerocopy=1")
    with pytest.raises(ms.PortError, match="cannot use frames without a copy"):
        opened(network.middle, f"{LEFT}?mode=zerocopy")
    network.middle.set_link("left", up=False)
    with pytest.raises(ms.PortError, match="left is down; switch it on with: ip link set left up"):
        opened(network.middle, LEFT)


def test_a_driver_without_xdp_is_told(network: Network) -> None:
    network.middle.ip("link", "add", "bridge", "type", "bridge")
    network.middle.set_link("bridge", up=True)
    with opened(network.middle, "af_xdp:bridge") as stack:
        assert programs(network.middle) == {"bridge": MODES["generic"]}
        assert stack.warning is not None
        assert "generic mode" in stack.warning
        assert "its driver has no XDP" in stack.warning
    with pytest.raises(ms.PortError, match="its driver has no XDP"):
        opened(network.middle, "af_xdp:bridge?attach=native")


@pytest.mark.parametrize("names", [(LEFT, RIGHT), (LEFT, "af_packet:right"), ("af_packet:left", RIGHT)])
def test_a_veth_with_offloads_is_joined_to_nothing_and_what_mends_it_is_told(
    make_network: MakeNetwork, tmp_path: pathlib.Path, names: tuple[str, str]
) -> None:
    network = make_network(offloads=True)
    for name, interface in zip(names, ("left", "right"), strict=True):
        with pytest.raises(ms.PortError, match=f"^{name}: offloads are on, ") as refused:
            opened(network.middle, *names)
        said = str(refused.value)
        assert "and likewise at the veth's other end (or add offloads=keep to the port's options)" in said
        command = re.findall(r"ethtool -K \S+(?: \S+ off)+", said)[0].split()
        network.middle.run(*command)
        # Likewise at the other end.
        other = network.client if interface == "left" else network.server
        other.run(*["eth0" if word == interface else word for word in command])
    assert programs(network.middle) == {}
    stack = opened(network.middle, *names)
    with nginx(network.server, tmp_path) as root, running(stack):
        (root / "file").write_bytes(os.urandom(5_000_000))
        assert curl(network.client, f"http://{network.SERVER}/file") == (root / "file").read_bytes()
        assert stack.warning is None
        assert [port["send_failures"] for port in stack.statistics()["ports"]] == [0, 0]


def test_a_veth_with_offloads_can_be_watched(make_network: MakeNetwork) -> None:
    network = make_network(offloads=True)
    stack = opened(network.middle, LEFT)
    starts = stack.count(ms.ON_CONN_START)
    network.neighbours()
    with running(stack):
        network.client.run("curl", "-s", "-m", 1, f"http://{network.SERVER}/", check=False)
        until(lambda: starts.value)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_unfinished_checksums_are_told(make_network: MakeNetwork, protocol: str) -> None:
    network = make_network(offloads=True)
    network.neighbours()
    stack = opened(network.middle, f"{LEFT}?offloads=keep", f"{RIGHT}?offloads=keep")
    kind = {"tcp": "SOCK_STREAM", "udp": "SOCK_DGRAM"}[protocol]
    script = f"""
import socket
with socket.socket(socket.AF_INET, socket.{kind}) as it:
    it.settimeout(0.5)
    try:
        it.connect(({network.SERVER!r}, 80))
        it.send(b"hello")
    except TimeoutError:
        pass
"""
    with running(stack):
        network.client.run(sys.executable, "-c", script)
        until(lambda: stack.warning)
        warning = stack.warning
    assert warning is not None
    assert "at the other end of left: ethtool -K INTERFACE tx off" in warning


def test_a_right_checksum_is_not_taken_for_an_unfinished_one(network: Network) -> None:
    """A segment may sum up so that its checksum is that of the pseudo-header."""
    addresses = bytes.fromhex("0a4d00010a4d0002")
    length = 22
    pseudo = sum(struct.unpack("!4H", addresses)) + 6 + length
    segment = bytearray(struct.pack("!HHIIBBHHH", 4000, 80, 1, 0, 0x50, 2, 0, pseudo, 0) + bytes(2))
    # The last word makes the sum of it all come out as it has to.
    rest = 0xFFFF - (pseudo + sum(struct.unpack("!11H", segment))) % 0xFFFF
    segment[20:] = struct.pack("!H", rest)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, 6, 0) + addresses
    frame = (MACS + b"\x08\0" + header + segment).ljust(60, b"\0")
    stack = opened(network.middle, LEFT, RIGHT)
    frames = frames_of(stack)
    with running(stack):
        network.client.send("eth0", [frame])
        until(lambda: frame in frames)
        assert stack.warning is None


def test_without_rights_it_says_which_are_missing() -> None:
    script = """
import os, midsock as ms
os.setgid(65534); os.setuid(65534)
try:
    ms.Stack("af_xdp:lo")
except PermissionError as error:
    print(error)
"""
    if os.geteuid() != 0:
        missing("only root can give its rights away")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF" in done.stdout


@pytest.mark.parametrize("names", [(LEFT,), (LEFT, RIGHT)], ids=["watching", "bridging"])
def test_an_interface_removed_under_load_ends_the_run(network: Network, names: tuple[str, ...]) -> None:
    stack = opened(network.middle, *names)
    stops = threading.Event()

    def load() -> None:
        with network.client.socket("eth0") as raw:
            while not stops.is_set():
                try:
                    raw.send(numbered(0, length=1000))
                except OSError:
                    return

    sender = threading.Thread(target=load)
    remover = threading.Timer(0.3, network.middle.delete_link, ["left"])
    sender.start()
    remover.start()
    try:
        start = time.monotonic()
        with pytest.raises(FileNotFoundError, match="the interface left was removed"):
            stack.run(timeout=5)
        assert time.monotonic() - start < 4
        assert stack.statistics()["ports"][0]["received"] > 0
    finally:
        stops.set()
        sender.join()
        remover.join()
        stack.close()


def test_nothing_is_left_of_a_killed_process(network: Network) -> None:
    script = f"""
import midsock as ms
stack = ms.Stack({LEFT!r}, {RIGHT!r})
print("open", flush=True)
stack.run()
"""
    process = subprocess.Popen(
        network.middle.command(sys.executable, "-c", script), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    assert programs(network.middle) == {"left": 1, "right": 1}
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    until(lambda: not programs(network.middle))
    assert "xdp" not in json.loads(network.middle.ip("-j", "-d", "link", "show", "left"))[0]
    opened(network.middle, LEFT, RIGHT).close()
