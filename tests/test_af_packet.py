"""Interfaces by packet sockets, with real traffic."""

from __future__ import annotations

import collections
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import typing

import midsock as ms
import pytest
from live import Network, capture, curl, iperf3, iperf3_server, missing, nginx, ping, running, until

if typing.TYPE_CHECKING:
    import pathlib

    from live import MakeNetwork, Namespace

LEFT, RIGHT = "af_packet:left", "af_packet:right"
MACS = bytes.fromhex("020000007702 020000007701")


def opened(namespace: Namespace, *names: str) -> ms.Stack:
    with namespace.entered():
        return ms.Stack(*names)


def frames_of(stack: ms.Stack) -> list[bytes]:
    """Give the list that the frames go to which the stack sees from now on."""
    frames: list[bytes] = []
    stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, lambda _sock, event: frames.append(event.frame))
    return frames


def udp(number: int, *, length: int = 100, source: str = "10.77.0.1") -> bytes:
    """Make a packet of IPv4 and UDP that nobody listens for, without a checksum of UDP."""
    payload = struct.pack("!I", number).ljust(length, b"x")
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 28 + length, number & 0xFFFF, 0, 64, 17, 0),
        *(socket.inet_aton(source), socket.inet_aton("10.77.0.2")),
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = header[:10] + struct.pack("!H", total) + header[12:]
    return header + struct.pack("!HHHH", 4000 + number % 1000, 9, 8 + length, 0) + payload


def ethernet(packet: bytes, *, tags: bytes = b"", kind: int = 0x0800) -> bytes:
    return MACS + tags + struct.pack("!H", kind) + packet


# --- receiving ---


@pytest.mark.parametrize("options", ["", "?tpacket=2"])
def test_it_sees_what_tcpdump_sees(either_network: Network, tmp_path: pathlib.Path, options: str) -> None:
    network = either_network
    network.bridge()
    stack = opened(network.middle, LEFT + options)
    frames = frames_of(stack)
    (root := tmp_path / "www").mkdir()
    (root / "file").write_bytes(os.urandom(300_000))
    with (
        nginx(network.server, tmp_path, root=root),
        running(stack),
        capture(network.middle, "left", tmp_path / "seen.pcap"),
    ):
        time.sleep(0.1)
        start = len(frames)
        assert curl(network.client, f"http://{network.SERVER}/file") == (root / "file").read_bytes()
        assert curl(network.client, f"http://[{network.SERVER6}]/file") == (root / "file").read_bytes()
        assert ping(network.client, network.SERVER, "-s", 5000, count=2).received == 2
        time.sleep(0.3)
        seen = frames[start:]
        handled = len(frames)
        (port,) = stack.statistics()["ports"]
    kernel: list[bytes] = []
    recorded = ms.Stack(tmp_path / "seen.pcap")
    recorded.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, lambda _sock, event: kernel.append(event.frame))
    recorded.run()
    # The hosts announce their multicast groups whenever they like, also when only one of both listens.
    mine, theirs = ([frame for frame in frames if not frame[0] & 1] for frames in (seen, kernel))
    assert collections.Counter(mine) == collections.Counter(theirs)
    assert len(seen) > 20
    assert (port["dropped_by_kernel"], port["dropped"]) == (0, 0)
    # More may have come by the time that it was asked.
    assert handled <= port["received"] <= len(frames)


def test_times_are_those_of_reception(network: Network) -> None:
    stack = opened(network.middle, LEFT)
    times: list[int] = []

    @stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN)
    def look(_sock: object, event: ms.Event) -> None:
        if event.frame[:12] == MACS:
            times.append(event.time_ns)

    with running(stack):
        before = time.time_ns()
        for number in range(5):
            network.client.send("eth0", [ethernet(udp(number))])
        after = time.time_ns()
        until(lambda: len(times) >= 5)
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after


@pytest.mark.parametrize("options", ["", "?tpacket=2"])
def test_a_vlan_tag_is_where_it_was_on_the_wire(network: Network, options: str) -> None:
    stack = opened(network.middle, LEFT + options)
    frames = frames_of(stack)
    tagged = [
        ethernet(udp(1), tags=struct.pack("!HH", 0x8100, 0x6064)),
        ethernet(udp(2), tags=struct.pack("!HH", 0x88A8, 7)),
        ethernet(udp(3), tags=struct.pack("!HHHH", 0x88A8, 7, 0x8100, 100)),
        ethernet(udp(4)),
        ethernet(b"not IP at all", kind=0x88B5).ljust(60, b"\0"),
    ]
    with running(stack):
        network.client.send("eth0", tagged)
        until(lambda: len(frames) >= len(tagged))
    assert [frame for frame in frames if frame[:12] == MACS] == tagged


def test_a_checksum_that_was_left_out_is_no_wrong_one(
    make_network: MakeNetwork, tmp_path: pathlib.Path
) -> None:
    network = make_network(offloads=True)
    network.bridge()
    stack = opened(network.middle, LEFT)
    longest = 0

    @stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN)
    def look(_sock: object, event: ms.Event) -> None:
        nonlocal longest
        longest = max(longest, len(event.frame))

    bad = stack.count(ms.ON_ANOMALY)
    data = stack.count(ms.ON_CONN_NEW_DATA)
    with nginx(network.server, tmp_path) as root, running(stack):
        (root / "file").write_bytes(bytes(2_000_000))
        assert len(curl(network.client, f"http://{network.SERVER}/file")) == 2_000_000
        until(lambda: data.value > 0)
        time.sleep(0.1)
        assert bad.value == 0
    assert longest > 1514


def test_what_there_is_no_room_for_is_counted(network: Network) -> None:
    network.client.sysctl("ipv6/conf/all/disable_ipv6", 1)  # nothing but what is sent here
    stack = opened(network.middle, f"{LEFT}?ring=2M&tpacket=2")
    frames = frames_of(stack)
    raw = network.client.socket("eth0")
    for number in range(8000):
        raw.send(ethernet(udp(number, length=1000)))
    raw.close()
    with running(stack):
        until(lambda: stack.statistics()["ports"][0]["received"] > 0)
        time.sleep(0.1)
        (port,) = stack.statistics()["ports"]
        assert stack.statistics()["ports"][0]["dropped_by_kernel"] == port["dropped_by_kernel"]
    mine = [frame for frame in frames if frame[:12] == MACS]
    assert len(mine) + port["dropped_by_kernel"] == 8000
    assert 1000 < len(mine) < 8000
    # What was there first was kept.
    assert mine[:1000] == [ethernet(udp(number, length=1000)) for number in range(1000)]


def test_ports_of_a_fanout_group_share_the_flows(network: Network) -> None:
    group = f"{LEFT}?fanout=7"
    stacks = [opened(network.middle, group) for _ in range(2)]
    frames = [frames_of(stack) for stack in stacks]
    with running(*stacks):
        for _ in range(3):
            network.client.send("eth0", [ethernet(udp(number)) for number in range(200)])
        until(lambda: sum(frame[:12] == MACS for seen in frames for frame in seen) >= 600)
    mine = [[frame for frame in seen if frame[:12] == MACS] for seen in frames]
    assert sum(map(len, mine)) == 600
    flows = [{frame[34:38] for frame in seen} for seen in mine]
    assert not flows[0] & flows[1]
    assert len(flows[0] | flows[1]) == 200
    assert min(map(len, flows)) > 40
    first = opened(network.middle, group)
    with pytest.raises(ms.PortError, match="fanout group 7 is in use on another interface"):
        opened(network.middle, f"{RIGHT}?fanout=7")
    first.close()


def test_fragments_reach_their_flow_in_a_fanout_group(network: Network) -> None:
    network.bridge()
    stacks = [opened(network.middle, f"{LEFT}?fanout=8&outgoing=0") for _ in range(2)]
    frames = [frames_of(stack) for stack in stacks]
    with running(*stacks):
        assert ping(network.client, network.SERVER, "-s", 5000, count=3).received == 3
        until(lambda: any(len(frame) > 5000 for seen in frames for frame in seen))
        time.sleep(0.1)
    echoes = [frame for seen in frames for frame in seen if frame[12:14] == b"\x08\0" and frame[23] == 1]
    assert [len(frame) for frame in echoes] == [5042] * 3


def test_a_tun_device_gives_ip_packets(network: Network) -> None:
    with network.middle.entered():
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(
            tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001)
        )  # TUNSETIFF, IFF_TUN | IFF_NO_PI
        network.middle.set_link("tun0", up=True)
        stack = ms.Stack("af_packet:tun0")
    frames = frames_of(stack)
    with running(stack):
        os.write(tun, udp(1))
        until(lambda: frames)
        stack.inject(udp(2))
        assert os.read(tun, 2000) == udp(2)
        assert stack.statistics()["not_tcp"] >= 1
    os.close(tun)
    assert frames[0] == udp(1)


# --- what goes wrong ---


def test_an_interface_that_is_not_there_is_told_with_those_that_are(network: Network) -> None:
    with pytest.raises(FileNotFoundError, match="no interface middle; there are: lo, left, right"):
        opened(network.middle, "af_packet:middle")
    with pytest.raises(ms.PortError, match="has no option rings; its options are ring, fanout"):
        opened(network.middle, f"{LEFT}?rings=4")
    with pytest.raises(ms.PortError, match=r"ring=1: give a number of bytes such as 64M, from 64K to 2G"):
        opened(network.middle, f"{LEFT}?ring=1")
    network.middle.set_link("left", up=False)
    with pytest.raises(ms.PortError, match="left is down; switch it on with: ip link set left up"):
        opened(network.middle, LEFT)


def test_without_rights_it_says_which_are_missing() -> None:
    script = """
import os, midsock as ms
os.setgid(65534); os.setuid(65534)
try:
    ms.Stack("af_packet:lo")
except PermissionError as error:
    print(error)
"""
    if os.geteuid() != 0:
        missing("only root can give its rights away")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "af_packet:lo: no right to open a packet socket; run as root, or with CAP_NET_RAW\n"
    )


def test_an_interface_that_is_removed_ends_the_run(network: Network) -> None:
    for names in ((LEFT,), (LEFT, RIGHT)):
        stack = opened(network.middle, *names)
        remover = threading.Timer(0.3, network.middle.delete_link, ["left"])
        remover.start()
        with pytest.raises(FileNotFoundError, match="the interface left was removed"):
            stack.run(timeout=60)
        remover.join()
        stack.close()
        network.client.ip(
            *("link", "add", "eth0", "type", "veth", "peer", "name", "left", "netns", network.middle.name)
        )
        network.client.set_link("eth0", up=True)
        network.middle.set_link("left", up=True)


def test_an_interface_may_be_down_for_a_moment_but_not_for_long(network: Network) -> None:
    stack = opened(network.middle, LEFT)
    frames = frames_of(stack)
    with running(stack):
        network.middle.set_link("left", up=False)
        time.sleep(0.3)
        network.middle.set_link("left", up=True)
        until(lambda: "LOWER_UP" in network.client.links()["eth0"]["flags"])
        frames.clear()
        network.client.send("eth0", [ethernet(udp(1))])
        until(lambda: ethernet(udp(1)) in frames)
    stack = opened(network.middle, LEFT)
    network.middle.set_link("left", up=False)
    with pytest.raises(ms.PortError, match="left went down; switch it on with: ip link set left up"):
        stack.run(timeout=5)
    stack.close()


def test_what_cannot_be_sent_is_counted_and_the_rest_goes_on(network: Network) -> None:
    network.neighbours()
    stack = opened(network.middle, LEFT, RIGHT)
    with running(stack):
        assert ping(network.client, network.SERVER, count=3).received == 3
        network.middle.set_link("right", up=False)
        before = stack.statistics()["ports"][1]
        network.client.send("eth0", [ethernet(udp(number)) for number in range(300)])
        until(lambda: stack.statistics()["ports"][1]["send_failures"] >= 300)
        assert stack.statistics()["ports"][1]["sent"] == before["sent"]
        network.middle.set_link("right", up=True)
        until(lambda: ping(network.client, network.SERVER, count=1).received == 1)
        assert ping(network.client, network.SERVER, count=5).received == 5


# --- bridging ---


def test_two_ports_are_a_bridge(either_network: Network, tmp_path: pathlib.Path) -> None:
    network = either_network
    stack = opened(network.middle, LEFT, RIGHT)
    with running(stack):
        for address in (network.SERVER, network.SERVER6):
            assert ping(network.client, address, count=3).received == 3
            # Fragments, forwarded as they are.
            assert ping(network.client, address, "-s", 5000, count=3).received == 3
        with nginx(network.server, tmp_path) as root:
            (root / "file").write_bytes(os.urandom(20_000_000))
            got = curl(network.client, f"http://{network.SERVER}/file")
            assert got == (root / "file").read_bytes()
        with iperf3_server(network.server):
            report = iperf3(network.client, network.SERVER6, "-R", seconds=1)
            assert report["end"]["sum_received"]["bytes"] > 1_000_000
        ports = stack.statistics()["ports"]
    for port, other in (ports, ports[::-1]):
        assert port["received"] == other["sent"] > 100
        assert port["received_bytes"] == other["sent_bytes"]
        assert port["send_failures"] == 0


def test_what_a_bridge_passes_on_is_unchanged_and_in_order(network: Network) -> None:
    network.neighbours()
    sent = [
        ethernet(udp(number, length=4 + number * 7 % 1400), tags=tags)
        for number in range(500)
        for tags in (b"", struct.pack("!HH", 0x8100, 0xE005), struct.pack("!HHHH", 0x88A8, 9, 0x8100, 8))
        if number * 7 % 1400 < 1350
    ]
    sent += [ethernet(bytes([number]) * 46, kind=0x88B5) for number in range(100)]
    got: list[bytes] = []
    stack = opened(network.middle, LEFT, RIGHT)
    watch = opened(network.server, "af_packet:eth0?outgoing=0")
    seen = frames_of(watch)
    with running(stack, watch):
        network.client.send("eth0", sent)
        until(lambda: len(seen) >= len(sent))
    got = [frame for frame in seen if frame[:12] == MACS]
    assert got == sent


@pytest.mark.parametrize("near", [False, True], ids=["offloads-near", "offloads-far"])
def test_offloads_of_one_side_only_do_no_harm(
    make_network: MakeNetwork, tmp_path: pathlib.Path, *, near: bool
) -> None:
    network = make_network(offloads=True)
    for namespace, interface in network.ends()[0 if near else 1 :: 2]:
        namespace.offloads(interface, on=False)
    stack = opened(network.middle, LEFT, RIGHT)
    with nginx(network.server, tmp_path) as root, running(stack):
        (root / "file").write_bytes(os.urandom(5_000_000))
        for host in (network.SERVER, f"[{network.SERVER6}]"):
            assert curl(network.client, f"http://{host}/file") == (root / "file").read_bytes()
        ports = stack.statistics()["ports"]
    assert [port["send_failures"] for port in ports] == [0, 0]


def test_frames_beyond_64_kilobytes_are_refused_and_counted(make_network: MakeNetwork) -> None:
    network = make_network(offloads=True)
    for namespace in (network.client, network.server):
        namespace.ip("link", "set", "eth0", "gso_max_size", 200_000, "gro_max_size", 200_000)
    stack = opened(network.middle, LEFT, RIGHT)
    with iperf3_server(network.server), running(stack):
        # TCP takes what is lost for congestion and sends less at once; it goes on.
        report = iperf3(network.client, network.SERVER6, seconds=2)
        statistics = stack.statistics()
    assert report["end"]["sum_received"]["bytes"] > 100_000
    for port, other in (statistics["ports"], statistics["ports"][::-1]):
        assert port["sent"] + port["send_failures"] <= other["received"]
    failures = sum(port["send_failures"] for port in statistics["ports"]) + statistics["failures"]
    assert failures > 0
    assert statistics["received"] == failures + sum(port["sent"] for port in statistics["ports"])
