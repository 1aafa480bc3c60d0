"""Filters: expressions over fields, and scopes in tcpdump's syntax."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import midsock as ms
import pytest
from frames import ACK, MILLISECOND, PSH, START, Talk, timestamps
from midsock import CLIENT, SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = ms.ON_CONN_NEW_DATA


def request() -> Talk:
    """Give a conversation in a VLAN of one request and its answer, with options, TTL and TOS to look at."""
    talk = Talk(client_ip="192.0.2.7", server_ip="198.51.100.9", vlans=(12, 34))
    talk.open()
    talk.send(CLIENT, ACK | PSH, b"GET /index HTTP/1.1\r\n\r\n", options=timestamps(77, 88), ttl=61, tos=0x28)
    return talk.server(b"HTTP/1.1 200 OK\r\n\r\n\xff\x00")


def passes(filter_: ms.Expr | ms.Field, *, event: ms.EventType = DATA, talk: Talk | None = None) -> int:
    """Count how often an event fires where a filter holds."""
    stack = (talk or request()).stack()
    counted = stack.count(event, filter=filter_)
    stack.run()
    return counted.value


# --- fields ---


def test_every_field_of_the_core_is_in_the_package() -> None:
    spaces = ("eth", "ip", "tcp", "packet", "flow", "event", "client", "server", "sender", "receiver")
    named = set()
    for space in spaces:
        holder = getattr(ms, space)
        for attribute in dir(holder):
            field = getattr(holder, attribute)
            if isinstance(field, ms.Field):
                assert field.name == f"{space}.{attribute}"
                named.add(field.name)
    assert named == set(ms.FIELDS)
    assert len(ms.FIELDS) == len(named)
    assert ms.payload.name == "tcp.payload"


def test_fields_have_types() -> None:
    types = {name: ms.Field(name).type for name in ms.FIELDS}
    assert set(types.values()) == {"bool", "u8", "u16", "u32", "u64", "time", "ip", "mac", "bytes", "text"}
    assert types["tcp.seq"] == "u32"
    assert types["ip.src"] == "ip"
    assert types["eth.src"] == "mac"
    assert types["event.time"] == "time"
    assert types["tcp.payload"] == "bytes"
    with pytest.raises(KeyError, match=re.escape("there is no field")):
        ms.Field("tcp.sequence")


def test_an_event_gives_every_field_in_the_type_it_has() -> None:
    talk = request()
    stack = talk.stack()
    rows: list[dict[str, object]] = []

    @stack.on(DATA, side=CLIENT)
    def data(_sock: ms.FlowSocket, event: ms.Event) -> None:
        rows.append({name: event[name] for name in ms.FIELDS})
        assert event[ms.tcp.seq] == event["tcp.seq"]
        assert event.payload == event["tcp.payload"]

    stack.run()
    (row,) = rows
    time, frame = talk.packets[3]
    body = b"GET /index HTTP/1.1\r\n\r\n"
    assert row == {
        "eth.src": "02:00:00:00:00:01",
        "eth.dst": "02:00:00:00:00:02",
        "eth.vlan": 12,
        "eth.vlan_inner": 34,
        "ip.src": "192.0.2.7",
        "ip.dst": "198.51.100.9",
        "ip.version": 4,
        "ip.ttl": 61,
        "ip.tos": 0x28,
        "ip.ecn": 0,
        "tcp.sport": 40_000,
        "tcp.dport": 80,
        "tcp.seq": 1_001,
        "tcp.ack_seq": 5_001,
        "tcp.window": 65_000,
        "tcp.flags": ACK | PSH,
        "tcp.fin": False,
        "tcp.syn": False,
        "tcp.rst": False,
        "tcp.psh": True,
        "tcp.ack": True,
        "tcp.urg": False,
        "tcp.ece": False,
        "tcp.cwr": False,
        "tcp.ae": False,
        "tcp.length": len(body),
        "tcp.urgent": 0,
        "tcp.mss": None,
        "tcp.window_scale": None,
        "tcp.tsval": 77,
        "tcp.tsecr": 88,
        "tcp.sack_permitted": False,
        "tcp.sack_blocks": 0,
        "tcp.payload": body,
        "packet.length": len(frame),
        "packet.captured": len(frame),
        "packet.port": 0,
        "packet.interface": 0,
        "flow.id": 0,
        "flow.start": START + MILLISECOND,
        "flow.duration": 3 * MILLISECOND,
        "flow.packets": 4,
        "flow.bytes": len(body),
        "flow.midstream": False,
        "flow.handshake": True,
        "flow.conn_state": "S1",
        "flow.history": "ShAD",
        "event.side": ms.CLIENT,
        "event.time": time,
        "event.offset": 0,
        "event.length": len(body),
        "event.old": None,
        "event.new": None,
        "event.reason": None,
        "event.rexmit": None,
        "event.partial": None,
        "event.anomaly": None,
        "event.data": body,
        "event.old_data": None,
        **{
            f"{end}.{name}": value
            for end in ("client", "sender")
            for name, value in {
                "state": ms.State.ESTABLISHED,
                "ip": "192.0.2.7",
                "port": 40_000,
                "isn": 1_000,
                "next_seq": 1_001 + len(body),
                "acked": 1_001,
                "window": 65_000,
                "mss": 1460,
                "rtt": row["client.rtt"],
                "bytes": len(body),
                "packets": 3,
                "rexmits": 0,
                "out_of_order": 0,
            }.items()
        },
        **{
            f"{end}.{name}": value
            for end in ("server", "receiver")
            for name, value in {
                "state": ms.State.ESTABLISHED,
                "ip": "198.51.100.9",
                "port": 80,
                "isn": 5_000,
                "next_seq": 5_001,
                "acked": 5_001,
                "window": 65_000,
                "mss": 1460,
                "rtt": row["server.rtt"],
                "bytes": 0,
                "packets": 1,
                "rexmits": 0,
                "out_of_order": 0,
            }.items()
        },
    }
    assert isinstance(row["event.side"], ms.Side)
    assert isinstance(row["client.state"], ms.State)
    assert row["client.rtt"] == row["server.rtt"] == MILLISECOND


def test_unknown_field_of_an_event_is_a_key_error() -> None:
    stack = request().stack()
    errors: list[str] = []

    @stack.on(DATA)
    def data(_sock: ms.FlowSocket, event: ms.Event) -> None:
        for wrong in ("tcp.sequence", "", 7):
            with pytest.raises((KeyError, TypeError)) as caught:
                event[wrong]  # type: ignore[index]
            errors.append(str(caught.value))

    stack.run()
    assert "midsock.FIELDS lists all" in errors[0]


# --- expressions ---


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (ms.tcp.sport == 40_000, 1),
        (ms.tcp.sport != 40_000, 1),
        (ms.tcp.sport < 80, 0),
        (ms.tcp.sport <= 80, 1),
        (ms.tcp.dport > 80, 1),
        (ms.tcp.dport >= 80, 2),
        (ms.tcp.seq == -1, 0),
        (ms.tcp.seq < 2**40, 2),
        (ms.tcp.seq > -(2**100), 2),
        (ms.tcp.psh, 2),
        (~ms.tcp.psh, 0),
        (ms.tcp.psh & ms.tcp.ack, 2),
        (ms.tcp.syn | ms.tcp.ack, 2),
        (ms.tcp.psh & (ms.tcp.sport == 80), 1),
        ((ms.tcp.sport == 80) & ms.tcp.psh, 1),
        (~(ms.tcp.sport == 80) | ms.tcp.syn, 1),
        (ms.tcp.psh == True, 2),  # noqa: E712
        (ms.tcp.sport.isin([22, 80, 443]), 1),
        (ms.tcp.sport.isin([]), 0),
        (ms.tcp.sport.isin(range(40_000, 40_010)), 1),
        (ms.tcp.sport == ms.server.port, 1),
        (ms.sender.port == ms.client.port, 1),
        (ms.ip.src == ms.client.ip, 1),
        (ms.ip.src != ms.receiver.ip, 2),
        (ms.tcp.payload == ms.event.data, 2),
        (ms.tcp.tsval == 77, 1),
        # What does not apply does not compare.
        (ms.tcp.tsval != 77, 0),
        (ms.event.old == 0, 0),
        (ms.eth.vlan == 12, 2),
        (ms.ip.ttl == 61, 1),
        (ms.event.side == ms.CLIENT, 1),
        (ms.client.state == ms.State.ESTABLISHED, 2),
        (ms.server.packets >= 2, 1),
        (ms.event.length > 21, 1),
        (ms.payload.contains(b"index"), 1),
        (ms.payload.contains(b""), 2),
        (ms.payload.startswith(b"HTTP/"), 1),
        (ms.payload.matches(r"^(GET|POST) \S+ HTTP/1\.[01]\r\n"), 1),
        (ms.payload.matches(rb"\xff\x00$"), 1),
        (ms.payload.matches(r"\xff\x00$"), 1),
        (ms.event.data.matches("(?i)http/1"), 2),
        (ms.payload == b"GET /index HTTP/1.1\r\n\r\n", 1),
        (ms.payload != b"GET /index HTTP/1.1\r\n\r\n", 1),
        (ms.eth.src == "02:00:00:00:00:01", 1),
        (ms.eth.src == "02-00-00-00-00-01", 1),
        (ms.eth.src != b"\x02\0\0\0\0\x01", 1),
        (ms.eth.dst == "02:00:00:00:00:01", 1),
    ],
    ids=str,
)
def test_expressions(expression: ms.Expr | ms.Field, expected: int) -> None:
    assert passes(expression) == expected


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("192.0.2.7", 1),
        ("192.0.2.0/24", 1),
        ("192.0.2.99/24", 1),
        ("0.0.0.0/0", 2),
        ("::/0", 0),
        ("10.0.0.0/8", 0),
        (ipaddress.ip_address("192.0.2.7"), 1),
        (ipaddress.ip_network("192.0.2.0/25"), 1),
        (ipaddress.ip_network("2001:db8::/32"), 0),
    ],
)
def test_addresses_and_networks(network: str | ipaddress.IPv4Address, expected: int) -> None:
    assert passes(ms.ip.src == network) == expected
    assert passes(ms.ip.src != network) == 2 - expected
    assert passes(ms.ip.src.isin([network, "203.0.113.1"])) == expected


def test_ipv6_addresses_and_networks() -> None:
    talk = Talk(client_ip="2001:db8::7", server_ip="2001:db8:1::9").open().client(b"x")
    assert passes(ms.ip.src == "2001:db8::7", talk=talk) == 1
    assert passes(ms.ip.src == "2001:0db8:0::7", talk=talk) == 1
    assert passes(ms.ip.dst.isin(["2001:db8:1::/48"]), talk=talk) == 1
    assert passes((ms.ip.version == 6) & (ms.client.ip == "2001:db8::/64"), talk=talk) == 1


def test_filters_know_the_events_own_fields() -> None:
    talk = Talk().syn().syn().synack().synack().send(CLIENT)
    assert passes(ms.event.rexmit == ms.RexmitKind.SYN, event=ms.ON_REXMIT, talk=talk) == 1
    assert passes(ms.event.rexmit == ms.RexmitKind.SYNACK, event=ms.ON_REXMIT, talk=talk) == 1
    change = ms.ON_TCP_STATE_CHANGE
    assert passes(ms.event.new == ms.State.ESTABLISHED, event=change, talk=talk) == 2
    reason = ms.event.reason.isin([ms.EndReason.END, ms.EndReason.TIMEOUT])
    assert passes(reason, event=ms.ON_CONN_END, talk=talk) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda: bool(ms.tcp.syn),
        lambda: bool(ms.tcp.sport == 80),
        lambda: ms.tcp.syn and ms.tcp.ack,
        lambda: (ms.tcp.sport == 80) or ms.tcp.syn,
        lambda: not ms.tcp.syn,
        lambda: 1 < ms.tcp.sport < 80,
        lambda: ms.tcp.sport in [22, 80],
    ],
)
def test_truth_of_a_filter_is_refused_with_advice(use: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"join filters with & \| ~ .*\.isin\(.*split a < b < c"):
        use()


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda: ms.tcp.sport == "http", TypeError),
        (lambda: ms.tcp.sport == 1.5, TypeError),
        (lambda: ms.tcp.sport == None, TypeError),  # noqa: E711
        (lambda: ms.payload == "text", TypeError),
        (lambda: ms.payload < b"x", TypeError),  # type: ignore[operator]
        (lambda: ms.ip.src < "10.0.0.1", TypeError),  # type: ignore[operator]
        (lambda: ms.ip.src == "10.0.0", ms.FilterError),
        (lambda: ms.ip.src == "10.0.0.0/33", ms.FilterError),
        (lambda: ms.ip.src.isin(["10.0.0.1", "nonsense"]), ms.FilterError),
        (lambda: ms.eth.src == "02:00:00:00:00", ms.FilterError),
        (lambda: ms.eth.src == "02:00:00:00:00:zz", ms.FilterError),
        (lambda: ms.tcp.sport.contains(b"x"), TypeError),
        (lambda: ms.tcp.sport.startswith(b"x"), TypeError),
        (lambda: ms.tcp.sport.matches("x"), TypeError),
        (lambda: ms.payload.isin([1]), TypeError),
        (lambda: ms.tcp.sport.isin(["80"]), TypeError),
        (lambda: ms.tcp.sport.isin(80), TypeError),  # type: ignore[arg-type]
        (lambda: ms.payload.matches("("), ms.FilterError),
        (lambda: ms.payload.matches(r"(a)\1"), ms.FilterError),
        (lambda: ms.payload.matches(b"\xff"), ms.FilterError),
        (lambda: ms.tcp.syn & 1, TypeError),  # type: ignore[operator]
        (lambda: ms.tcp.sport & ms.tcp.syn, TypeError),
        (lambda: ~ms.payload, TypeError),
        (lambda: (ms.tcp.sport == 80) & "x", TypeError),  # type: ignore[operator]
        (lambda: ms.tcp.sport == ms.payload, TypeError),
        (lambda: ms.ip.src == ms.tcp.seq, TypeError),
    ],
)
def test_wrong_expressions_are_refused(use: Callable[[], object], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        use()


def test_expressions_show_what_they_are() -> None:
    expression = (ms.tcp.dport == 80) & ~ms.tcp.syn | ms.payload.contains(b"\n")
    assert str(expression) == '(((tcp.dport == 80) & ~tcp.syn) | tcp.payload.contains(b"\\n"))'
    assert repr(expression) == f"<midsock.Expr {expression}>"
    assert repr(ms.ON_REXMIT.where(ms.tcp.syn)) == "ON_REXMIT.where(tcp.syn)"


def test_very_deep_expressions_are_refused_not_fatal() -> None:
    def deepen() -> None:
        expression = ms.tcp.syn & ms.tcp.ack
        for _ in range(1_000_000):
            expression = ~expression & ms.tcp.syn

    with pytest.raises(ms.FilterError):
        deepen()


def test_hostile_pattern_takes_no_time() -> None:
    talk = Talk().open().client(b"a" * 1400 + b"!")
    assert passes(ms.payload.matches("(a+)+$"), talk=talk) == 0


# --- scopes ---


@pytest.mark.parametrize(
    ("scope", "watches"),
    [
        ("", True),
        ("tcp", True),
        ("udp", False),
        ("port 80", True),
        ("tcp port 80", True),
        ("src port 80 or dst port 80", True),
        ("port 443", False),
        ("portrange 79-81", True),
        ("host 192.0.2.7", True),
        ("host 192.0.2.8", False),
        ("net 192.0.2.0/24 and not port 22", True),
        ("ip", True),
        ("ip6", False),
        ("vlan 12", True),
        ("vlan 13", False),
        ("not (port 80 or port 443)", False),
    ],
)
def test_scopes(scope: str, watches: bool) -> None:  # noqa: FBT001
    stack = request().stack()
    counted = stack.socket(filter=scope).count(ms.ON_CONN_START)
    stack.run()
    assert counted.value == watches


@pytest.mark.parametrize(
    ("scope", "word"),
    [
        ("tcp prot 80", "prot"),
        ("host", None),
        ("port 70000", "70000"),
        ("port eighty-eight", None),
        ("net 10.0.0.0/40", None),
        ("(port 80", None),
        ("port 80)", ")"),
        ("port 80 and", None),
        ("portrange 1-70000", "1-70000"),
    ],
)
def test_wrong_scope_is_an_error_that_points_at_the_word(scope: str, word: str | None) -> None:
    stack = request().stack()
    with pytest.raises(ms.FilterError) as caught:
        stack.socket(filter=scope)
    *_, line, mark = str(caught.value).splitlines()
    assert line.strip() == scope
    assert set(mark.strip()) == {"^"}
    if word is not None:
        assert line[mark.index("^") :].startswith(word)
        assert mark.count("^") == len(word)
    assert isinstance(caught.value, ValueError)


def test_side_number_is_checked() -> None:
    stack = request().stack()
    with pytest.raises(ValueError, match=r"midsock\.CLIENT or midsock\.SERVER"):
        stack.count(DATA, side=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"midsock\.PRE_TCP"):
        stack.count(DATA, hook=3)  # type: ignore[arg-type]
    stack.count(DATA, side=SERVER)
