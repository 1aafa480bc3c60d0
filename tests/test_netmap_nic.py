"""netmap ports on interfaces, between two real hosts: client - left [middle] right - server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from live import MakeNetwork, Network, curl, iperf3, iperf3_server, nginx, ping
from netmap_kit import IS_EMULATED, Netmap, netmap

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Sequence

__all__ = ["netmap"]

SO_RCVBUFFORCE = 33
HEADER = bytes.fromhex("02000000770202000000770188b5")
VLAN = HEADER[:12] + bytes.fromhex("8100002a") + HEADER[12:]


def numbered(count: int, header: bytes = HEADER, *, size: int = 60) -> list[bytes]:
    return [
        header + struct.pack(">I", number) + bytes([number & 0xFF]) * (size - len(header) - 4)
        for number in range(count)
    ]


def send(raw: socket.socket, frames: Sequence[bytes]) -> None:
    for number, frame in enumerate(frames):
        raw.send(frame)
        # No faster than software emulation of a machine takes them.
        if number % 64 == 63:
            time.sleep(0.005)


def receive(raw: socket.socket, count: int) -> list[bytes]:
    frames: list[bytes] = []
    raw.settimeout(10)
    while len(frames) < count:
        frame = raw.recv(65536)
        if frame[12:14] == HEADER[12:14]:
            frames.append(frame)
    return frames


def test_frames_of_all_sorts_are_received(netmap: Netmap, network: Network) -> None:
    sent = [
        *numbered(500),
        *numbered(20, VLAN, size=1518),
        *numbered(20, size=1514),
        HEADER + bytes(46),
        *numbered(200, size=900),
    ]
    with (
        network.client.socket("eth0") as raw,
        netmap.start("keep", "netmap:left", len(sent), namespace=network.middle) as keeper,
    ):
        send(raw, sent)
        got = [bytes.fromhex(each) for each in json.loads(keeper.end(stop=False))]
    assert got == sent


def test_frames_are_bridged_both_ways_in_order(netmap: Netmap, network: Network) -> None:
    there, back = numbered(2000), numbered(2000, size=1400)
    with (
        network.client.socket("eth0", 3) as client,
        network.server.socket("eth0", 3) as server,
        netmap.start("serve", "netmap:left", "netmap:right", namespace=network.middle) as bridge,
    ):
        for raw in (client, server):
            raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
        for first in range(0, 2000, 100):
            send(client, there[first : first + 100])
            assert receive(server, 100) == there[first : first + 100]
            send(server, back[first : first + 100])
            assert receive(client, 100) == back[first : first + 100]
        ports = json.loads(bridge.end(stop=True))["ports"]
    assert [port["send_failures"] for port in ports] == [0, 0]
    assert ports[0]["received"] >= 2000
    assert ports[0]["received"] == ports[1]["sent"]
    assert ports[1]["received"] == ports[0]["sent"]


def test_two_hosts_talk_through_a_bridge(netmap: Netmap, network: Network, tmp_path: pathlib.Path) -> None:
    data = os.urandom(4_000_000)
    with (
        netmap.start("serve", "netmap:left", "netmap:right", namespace=network.middle) as bridge,
        nginx(network.server, tmp_path) as root,
    ):
        (root / "data").write_bytes(data)
        for address in (network.SERVER, network.SERVER6):
            assert ping(network.client, address, count=3).received == 3
        for host in (network.SERVER, f"[{network.SERVER6}]"):
            got = curl(network.client, f"http://{host}/data", timeout=60)
            assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
        with iperf3_server(network.server):
            assert iperf3(network.client, network.SERVER, seconds=1)["end"]["sum_received"]["bytes"] > 100_000
        ports = json.loads(bridge.end(stop=True))["ports"]
    assert ports[0]["received"] > 1000


def test_a_bridge_needs_no_rights_once_it_is_open(netmap: Netmap, network: Network) -> None:
    with netmap.start(
        "serve_as", "nobody", "netmap:left", "netmap:right", namespace=network.middle
    ) as bridge:
        assert ping(network.client, network.SERVER, count=3).received == 3
        bridge.end(stop=True)


def test_ports_says_that_netmap_is_there(netmap: Netmap, network: Network) -> None:
    command = network.middle.command(sys.executable, "-m", "midsock.cli", "ports", "--format", "json")
    done = subprocess.run(command, env=netmap.environment(), capture_output=True, text=True, check=True)
    interfaces = {it["name"]: it for it in map(json.loads, done.stdout.splitlines())}
    port = interfaces["left"]["ports"]["netmap"]
    assert (port["port"], port["possible"]) == ("netmap:left", True)


def with_address(network: Network) -> None:
    """Make the middle a host that the client reaches."""
    network.middle.ip("address", "add", "10.77.0.3/24", "dev", "left")


def test_the_kernel_uses_an_interface_through_its_host_rings(netmap: Netmap, network: Network) -> None:
    with_address(network)
    assert ping(network.client, "10.77.0.3", count=1).received == 1
    with netmap.start("serve", "netmap:left", "netmap:left^", namespace=network.middle) as bridge:
        assert ping(network.client, "10.77.0.3", count=5).received == 5
        ports = json.loads(bridge.end(stop=True))["ports"]
    assert min(ports[0]["received"], ports[1]["received"]) >= 5
    assert ping(network.client, "10.77.0.3", count=1).received == 1


def test_with_a_star_packets_pass_and_are_seen(netmap: Netmap, network: Network) -> None:
    with_address(network)
    with netmap.start("serve", "netmap:left*", namespace=network.middle) as tap:
        assert ping(network.client, "10.77.0.3", count=5).received == 5
        said = json.loads(tap.end(stop=True))
    assert said["seen"] >= 10
    assert said["ports"][0]["sent"] == said["ports"][0]["received"] == said["seen"]
    said_no = netmap.run("refuse", "netmap:left*", "netmap:right", namespace=network.middle)
    assert "open netmap:left and netmap:left^" in said_no


def test_one_host_ring_or_nic_ring_can_be_had(netmap: Netmap, network: Network) -> None:
    with_address(network)
    with netmap.start("serve", "netmap:left-0", "netmap:left^0", namespace=network.middle) as bridge:
        assert ping(network.client, "10.77.0.3", count=3).received == 3
        bridge.end(stop=True)
    said = netmap.run("refuse", "netmap:left-77", namespace=network.middle)
    assert said.startswith("PortError: netmap:left-77: ")
    assert "a ring or region with this number may not exist" in said


@pytest.mark.skipif(not IS_EMULATED, reason="a veth has as many rings as the machine decides")
def test_no_ring_is_starved(netmap: Netmap, network: Network) -> None:
    netmap.settings["rings"] = 4
    network.neighbours()
    with netmap.start("serve", "netmap:left", "netmap:right", namespace=network.middle) as bridge:
        for address in (network.SERVER, network.SERVER6):
            assert ping(network.client, address, count=3).received == 3
        with iperf3_server(network.server):
            report = iperf3(network.client, network.SERVER, "-P", "8", seconds=1)
        ports = json.loads(bridge.end(stop=True))["ports"]
    assert all(stream["receiver"]["bytes"] > 0 for stream in report["end"]["streams"])
    assert ports[0]["received"] > 100


def test_an_interface_may_have_a_dash(netmap: Netmap, network: Network) -> None:
    network.middle.ip("link", "set", "left", "down")
    network.middle.ip("link", "set", "left", "name", "br-lan-1")
    network.middle.ip("link", "set", "br-lan-1", "up")
    try:
        with netmap.start("serve", "netmap:br-lan-1", "netmap:right-0", namespace=network.middle) as bridge:
            assert ping(network.client, network.SERVER, count=3).received == 3
            bridge.end(stop=True)
    finally:
        network.middle.ip("link", "set", "br-lan-1", "down")
        network.middle.ip("link", "set", "br-lan-1", "name", "left")


def test_a_bridge_of_the_kernel_s_is_an_interface(netmap: Netmap, network: Network) -> None:
    bridge = "br-lan"
    network.middle.ip("link", "add", bridge, "type", "bridge", "stp_state", 0, "mcast_snooping", 0)
    try:
        network.middle.ip("link", "set", "left", "master", bridge)
        network.middle.ip("address", "add", "10.77.0.3/24", "dev", bridge)
        network.middle.offloads(bridge, on=False)
        network.middle.set_link(bridge, up=True)
        assert ping(network.client, "10.77.0.3", count=1).received == 1
        with netmap.start("serve", "netmap:br-lan", "netmap:br-lan^", namespace=network.middle) as stack:
            assert ping(network.client, "10.77.0.3", count=5).received == 5
            ports = json.loads(stack.end(stop=True))["ports"]
        assert min(ports[0]["received"], ports[1]["received"]) >= 5
    finally:
        network.middle.delete_link(bridge)


def test_monitors_watch_an_interface(netmap: Netmap, network: Network) -> None:
    sent = numbered(50)
    with (
        network.client.socket("eth0") as raw,
        netmap.start("serve", "netmap:left", "netmap:right", namespace=network.middle) as bridge,
        netmap.start("keep", "netmap:left/r", 50, namespace=network.middle) as monitor,
        netmap.start("keep", "netmap:right/t", 50, namespace=network.middle) as other,
    ):
        send(raw, sent)
        for keeper in (monitor, other):
            assert [bytes.fromhex(each) for each in json.loads(keeper.end(stop=False))] == sent
        bridge.end(stop=True)


def test_offloads_that_are_on_are_refused_with_what_mends_it(
    netmap: Netmap, make_network: MakeNetwork
) -> None:
    network = make_network(offloads=True)
    for port in ("netmap:left", "netmap:left^", "netmap:left*"):
        said = netmap.run("refuse", port, namespace=network.middle)
        assert said.startswith(f"PortError: {port}: offloads are on")
        assert "ethtool -K left " in said
        assert "gro off" in said
    command = said[said.index("ethtool -K") :].partition(" (")[0].split()
    network.middle.run(*command)
    with netmap.start("serve", "netmap:left", namespace=network.middle) as stack:
        stack.end(stop=True)
    network.middle.offloads("left", on=True)
    with netmap.start("serve", "netmap:left?offloads=keep", namespace=network.middle) as stack:
        stack.end(stop=True)


def test_an_mtu_beyond_the_buffers_is_refused(netmap: Netmap, make_network: MakeNetwork) -> None:
    network = make_network(mtu=9000)
    said = netmap.run("refuse", "netmap:left", namespace=network.middle)
    assert "its MTU of 9000 bytes is too large for netmap's buffers of 2048 bytes" in said
    assert "ip link set left mtu 1500" in said


def test_what_is_no_interface_is_refused_with_those_that_are(netmap: Netmap, network: Network) -> None:
    said = netmap.run("refuse", "netmap:lefty", namespace=network.middle)
    assert said.strip() == (
        "FileNotFoundError: netmap:lefty: there is no interface lefty; there are lo, left, right"
    )


def reaches(network: Network, within: float = 20) -> bool:
    """Whether the server can be reached at last: the client has its carrier back a second later."""
    until = time.monotonic() + within
    while ping(network.client, network.SERVER, count=3).received < 3:
        if time.monotonic() > until:
            return False
    return True


def test_an_interface_may_go_down_and_up(netmap: Netmap, network: Network) -> None:
    with netmap.start("serve", "netmap:left", "netmap:right", namespace=network.middle) as bridge:
        for _ in range(2):
            assert reaches(network)
            network.middle.set_link("left", up=False)
            time.sleep(0.5)  # it waits meanwhile
            network.middle.set_link("left", up=True)
        assert reaches(network)
        with network.client.socket("eth0") as raw:
            for up in (False, True, False):
                for _ in range(200):  # it is at work meanwhile
                    with contextlib.suppress(OSError):
                        raw.send(numbered(1)[0])
                network.middle.set_link("left", up=up)
        # Nor does it wait for the interface when it is to end.
        began = time.monotonic()
        bridge.end(stop=True)
        assert time.monotonic() - began < 20


def test_an_interface_removed_under_load_is_an_error(netmap: Netmap, make_network: MakeNetwork) -> None:
    network = make_network()
    # Not one of the network's own, which may not lose any.
    network.middle.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
    for interface in ("near", "far"):
        network.middle.offloads(interface, on=False)
        network.middle.set_link(interface, up=True)
    frame = numbered(1)[0]
    deletion = network.middle.command("ip", "link", "del", "near")
    with (
        netmap.start("refuse", "netmap:near", namespace=network.middle) as victim,
        network.middle.socket("far") as raw,
    ):
        for _ in range(100):
            raw.send(frame)
        # The module lets it go only when nobody has it open any more.
        with subprocess.Popen(deletion), contextlib.suppress(OSError):
            for _ in range(100_000):
                raw.send(frame)
        said = victim.end(stop=False)
    assert said == "PortError: netmap:near: the interface went away\n"
    assert "near" not in network.middle.links()
