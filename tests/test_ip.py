"""Fragments and tunnels: what a stack makes of them, and what of that can be chosen."""

from __future__ import annotations

import struct
from typing import Literal, get_args

import midsock as ms
import pytest
from frames import ACK, PSH, Packet, Talk, ipv4, parts
from midsock import CLIENT

Policy = Literal["first", "last", "bsd", "bsd_right", "linux", "windows", "solaris"]
Tunnel = Literal["ip", "gre"]
#: The policies by which a fragment wins over one of the same place and length.
LAST_OF_TWO = {"last", "bsd_right", "linux"}
HEADERS = b"gate"
IP_IN_IP, GRE = 4, 47


def piece(frame: bytes, start: int, end: int, *, more: bool, content: bytes | None = None) -> bytes:
    """Give a fragment of a frame's packet; with `content` instead of its own."""
    ether, ip, payload = parts(frame)
    data = payload[start:end] if content is None else content
    return ether + ipv4(ip, len(data), 7, start // 8 | (0x2000 if more else 0)) + data


def in_fragments(*pieces: tuple[int, int, bytes | None]) -> Talk:
    """Give a conversation whose only data come in these fragments, in this order."""
    talk = Talk().open().send(CLIENT, ACK | PSH, HEADERS + b"a" * 16 + b"tail" * 2)
    time, frame = talk.packets.pop()
    for number, (start, end, content) in enumerate(pieces):
        fragment = piece(frame, start, end, more=end < 48, content=content)
        talk.packets.append((time + number, fragment))
    return talk


def streams_of(talk: Talk, policy: Policy) -> tuple[bytes, dict[str, int], dict[str, object]]:
    """Give what the client sent, the flow's anomalies, and the stack's statistics."""
    with ms.Stack(talk.port(), checksum="ignore", fragment_overlap=policy) as stack:
        got: list[bytes] = []
        stack.on(ms.ON_CONN_NEW_DATA, lambda _sock, event: got.append(event.data))
        (record,) = stack.flows()
        return b"".join(got), record.anomalies, dict(stack.statistics())


@pytest.mark.parametrize("policy", get_args(Policy))
def test_overlap_of_fragments_is_settled_by_policy(policy: Policy) -> None:
    talk = in_fragments((0, 24, None), (24, 40, None), (24, 40, b"b" * 16), (40, 48, None))
    data, anomalies, statistics = streams_of(talk, policy)
    winner = b"b" if policy in LAST_OF_TWO else b"a"
    assert data == HEADERS + winner * 16 + b"tail" * 2
    assert {"fragment_overlap", "fragment_different_content"} <= anomalies.keys()
    assert statistics["reassembled"] == 1
    assert statistics["fragment_different_content"] == 1


def test_the_system_that_hosts_name_settles_fragments_too() -> None:
    talk = in_fragments((0, 24, None), (24, 40, None), (24, 40, b"b" * 16), (40, 48, None))
    with ms.Stack(talk.port(), checksum="ignore", hosts={"10.0.0.2/32": "linux"}) as stack:
        got: list[bytes] = []
        stack.on(ms.ON_CONN_NEW_DATA, lambda _sock, event: got.append(event.data))
        stack.run()
    assert b"".join(got) == HEADERS + b"b" * 16 + b"tail" * 2


def test_teardrop_is_told() -> None:
    talk = in_fragments((0, 40, None), (24, 32, None), (40, 48, None))
    data, anomalies, statistics = streams_of(talk, "first")
    assert data == HEADERS + b"a" * 16 + b"tail" * 2
    assert "fragment_teardrop" in anomalies
    assert statistics["fragment_teardrop"] == 1


def test_a_first_fragment_without_the_tcp_header_is_told() -> None:
    data, anomalies, statistics = streams_of(
        in_fragments((0, 8, None), (8, 40, None), (40, 48, None)), "first"
    )
    assert data == HEADERS + b"a" * 16 + b"tail" * 2
    assert "fragment_tiny" in anomalies
    assert statistics["fragment_tiny"] == 1


def in_tunnels(talk: Talk, *tunnels: int) -> list[Packet]:
    """Give a conversation in tunnels of these IP protocols, the innermost first."""
    packets = []
    for time, frame in talk.packets:
        whole = frame
        for protocol in tunnels:
            ether, ip, payload = parts(whole)
            body = ip + payload
            body = struct.pack("!HH", 0, 0x0800) + body if protocol == GRE else body
            outer = ip[:9] + bytes([protocol]) + ip[10:12] + bytes([192, 0, 2, 1, 192, 0, 2, 2])
            whole = ether + ipv4(outer, len(body), 0, 0) + body
        packets.append((time, whole))
    return packets


@pytest.mark.parametrize(
    ("tunnels", "choice", "flows"),
    [
        ((IP_IN_IP,), None, 1),
        ((IP_IN_IP,), True, 1),
        ((IP_IN_IP,), False, 0),
        ((IP_IN_IP,), {"ip"}, 1),
        ((IP_IN_IP,), {"gre"}, 0),
        ((GRE,), {"gre"}, 1),
        ((GRE, IP_IN_IP), {"gre"}, 0),
        ((GRE, IP_IN_IP), {"gre", "ip"}, 1),
    ],
)
def test_which_tunnels_are_entered_can_be_chosen(
    tunnels: tuple[int, ...], choice: Literal[True, False] | set[Tunnel] | None, flows: int
) -> None:
    with ms.Stack(ms.MemoryPort(in_tunnels(Talk().open(), *tunnels)), decapsulate=choice) as stack:
        stack.socket(filter="tcp")
        records = list(stack.flows())
    assert len(records) == flows
    assert all(record.client == "10.0.0.1:40000" for record in records)


def test_layers_are_entered_up_to_a_limit() -> None:
    for layers, flows in ((32, 1), (6, 0)):
        port = ms.MemoryPort(in_tunnels(Talk().open(), *[IP_IN_IP] * 6))
        with ms.Stack(port, max_layers=layers) as stack:
            stack.socket(filter="tcp")
            assert len(list(stack.flows())) == flows


def test_equal_tuples_in_and_out_of_a_tunnel_are_two_flows() -> None:
    talk = Talk().open()
    packets = sorted([*talk.packets, *in_tunnels(talk, GRE)])
    with ms.Stack(ms.MemoryPort(packets)) as stack:
        stack.socket(filter="tcp")
        assert len(list(stack.flows())) == 2


@pytest.mark.parametrize(("vlans", "flows"), [("separate", 2), ("ignore", 1)])
def test_whether_vlans_tell_flows_apart_can_be_chosen(
    vlans: Literal["separate", "ignore"], flows: int
) -> None:
    client, server = Talk(vlans=(5,)).open(), Talk(vlans=(6, 7)).open()
    packets = [client.packets[0], server.packets[1], client.packets[2]]
    with ms.Stack(ms.MemoryPort(packets), midstream=True, vlans=vlans) as stack:
        stack.socket(filter="tcp")
        assert len(list(stack.flows())) == flows
