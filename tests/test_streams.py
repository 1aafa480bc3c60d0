"""Streams: what is read, kept, given up and settled."""

from __future__ import annotations

import hashlib
import json
import random
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import midsock as ms
import pytest
from frames import ACK, MSS_1460, RST, SYN, Talk, merge, web
from midsock import CLIENT, SERVER, Anomaly, Side

Sock = ms.FlowSocket
DATA = ms.ON_CONN_NEW_DATA


def streams_of(talk: Talk, *, overlap: str = "first", burst: int = 256) -> dict[Side, bytes]:
    """Read both sides of a conversation to the end; what is missing shows as ?."""
    stack = ms.Stack(talk.port(burst=burst))
    streams = {CLIENT: b"", SERVER: b""}
    sock = stack.socket(overlap=overlap)  # type: ignore[arg-type]

    @sock.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        assert event.offset == len(streams[event.side])
        streams[event.side] += sock[event.side].read()

    @sock.on(ms.ON_GAP)
    def gap(_sock: Sock, event: ms.Event) -> None:
        assert event.offset == len(streams[event.side])
        streams[event.side] += b"?" * event.length

    stack.run()
    return streams


def test_what_a_rst_carries_is_no_part_of_the_stream() -> None:
    talk = Talk().open().server(b"sent").send(SERVER, RST | ACK, b"why")
    assert streams_of(talk) == {CLIENT: b"", SERVER: b"sent"}
    payloads: list[bytes | None] = []
    stack = talk.stack()
    stack.on(
        ms.ON_ANOMALY,
        lambda _sock, event: payloads.append(event.payload),
        filter=ms.event.anomaly == Anomaly.RST_WITH_DATA,
    )
    stack.run()
    assert payloads == [b"why"]


# --- reading ---


def test_read_takes_and_peek_does_not() -> None:
    stack = Talk().open().client(b"abcdef").stack()
    seen: list[object] = []

    @stack.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        end = sock.client
        assert event.data == b"abcdef"
        seen.append(
            (end.offset, end.peek(), end.peek(2), end.peek_at(3, 2), end.peek_at(6, 1), end.peek_at(99, 1))
        )
        seen.append((end.read(2), end.offset, end.peek(), end.peek_at(0, 9), end.peek_at(2, 9)))
        seen.append((end.read(0), end.read(-1), end.read(), end.offset))

    stack.run()
    assert seen == [
        (0, b"abcdef", b"ab", b"de", b"", b""),
        (b"ab", 2, b"cdef", b"", b"cdef"),
        (b"", b"cdef", b"", 6),
    ]


def test_nothing_to_read_is_empty_never_an_error() -> None:
    stack = Talk().open().client(b"a").stack()

    @stack.on(ms.ON_PKT_IN, hook=ms.PRE_TCP)
    def packet(sock: Sock, _event: ms.Event) -> None:
        for side in (CLIENT, SERVER):
            assert sock[side].read() == sock[side].peek(5) == sock[side].peek_at(0, 5) == b""

    stack.run()


def test_number_of_bytes_is_checked() -> None:
    stack = Talk().open().client(b"a").stack()

    @stack.on(DATA)
    def data(sock: Sock, _event: ms.Event) -> None:
        for use in (
            lambda: sock.client.read(-2),
            lambda: sock.client.peek(-7),
            lambda: sock.client.peek_at(0, -2),
        ):
            with pytest.raises(ValueError, match="0 or more"):
                use()  # type: ignore[no-untyped-call]
        with pytest.raises(OverflowError):
            sock.client.read(2**70)
        with pytest.raises(OverflowError):
            sock.client.peek_at(-1, 1)
        with pytest.raises(ValueError, match="side"):
            sock[2]

    stack.run()


def test_what_a_handler_leaves_unread_is_there_the_next_time() -> None:
    talk = Talk().open().client(b"abc").client(b"def").client(b"gh")
    stack = talk.stack()
    seen: list[bytes] = []
    stack.on(DATA, lambda sock, _event: seen.append(sock.client.read(2)))
    stack.on(ms.ON_CONN_END, lambda sock, _event: seen.append(sock.client.read()))
    stack.run()
    assert seen == [b"ab", b"cd", b"ef", b"gh"]


def test_unread_bytes_are_kept_from_the_first_peek_on_or_with_reassemble() -> None:
    talk = Talk().open().client(b"abc").client(b"def").send(SERVER)
    for reassemble, expected in ((None, b""), (True, b"abcdef"), (False, b"")):
        stack = talk.stack()
        seen: list[bytes] = []
        sock = stack.socket(reassemble=reassemble)
        sock.on(ms.ON_CONN_END, lambda sock, _event, seen=seen: seen.append(sock.client.read()))
        stack.run()
        assert seen == [expected]
    stack = talk.stack()
    stack.on(DATA, lambda sock, _event: sock.client.peek(0))
    stack.on(ms.ON_CONN_END, lambda sock, _event: seen.append(sock.client.read()))
    seen.clear()
    stack.run()
    assert seen == [b"abcdef"]


def test_event_data_does_not_depend_on_reading() -> None:
    stack = Talk().open().client(b"abc").server(b"12").stack()
    seen: list[bytes] = []
    stack.on(DATA, lambda _sock, event: seen.append(event.data))
    stack.on(DATA, lambda _sock, event: seen.append(event.data))
    stack.run()
    assert seen == [b"abc", b"abc", b"12", b"12"]


def test_buffer_caps_unread_bytes_and_says_so() -> None:
    talk = Talk().open()
    for start in range(0, 1000, 100):
        talk.client(bytes([start // 100]) * 100)
    stack = talk.stack()
    sock = stack.socket(reassemble=True, buffer=250)
    seen: list[tuple[int, bytes, dict[str, int]]] = []
    sock.on(
        ms.ON_CONN_END,
        lambda sock, _e: seen.append((sock.client.offset, sock.client.read(), sock.flow.anomalies)),
    )
    stack.run()
    ((offset, data, anomalies),) = seen
    assert offset == 750
    assert data == b"\x07" * 50 + b"\x08" * 100 + b"\x09" * 100
    assert anomalies[str(Anomaly.UNREAD_FULL)] > 0
    assert stack.statistics()["reassembly"] == 0


# --- order and overlap ---


def test_out_of_order_is_put_in_order() -> None:
    talk = Talk().open().client(b"ghi", offset=6).client(b"def", offset=3).client(b"abc", offset=0)
    assert streams_of(talk)[CLIENT] == b"abcdefghi"
    stack = talk.stack()
    ends: list[int] = []
    stack.on(DATA, lambda sock, _event: ends.append(sock.client.out_of_order))
    stack.run()
    assert ends[-1] == 2


@pytest.mark.parametrize(("overlap", "expected"), [("first", b"..abcdZZ"), ("last", b"..ZZZZZZ")])
def test_overlap_is_settled_by_policy(overlap: str, expected: bytes) -> None:
    talk = Talk().open().client(b"abcd", offset=2).client(b"ZZZZZZ", offset=2).client(b"..", offset=0)
    assert streams_of(talk, overlap=overlap)[CLIENT] == expected


def test_overlap_can_be_set_for_one_side() -> None:
    talk = Talk().open().client(b"abcd", offset=2).client(b"ZZZZ", offset=2).client(b"..", offset=0)
    stack = talk.stack()
    seen: list[bytes] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        assert (sock.client.overlap, sock.server.overlap) == ("first", "first")
        sock.client.overlap = "last"
        assert (sock.client.overlap, sock.server.overlap) == ("last", "first")
        with pytest.raises(ValueError, match=r"first, last, bsd.*hpux11, not .beos"):
            sock.client.overlap = "beos"  # type: ignore[assignment]

    stack.on(DATA, lambda _sock, event: seen.append(event.data))
    stack.run()
    assert b"".join(seen) == b"..ZZZZ"


@pytest.mark.parametrize("seed", range(20))
def test_random_segments_make_the_stream_that_was_sent(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    stream = rng.randbytes(3_000)
    isn = rng.choice([1_000, 2**32 - 1_500, 2**31 - 700])
    talk = Talk(isns=(isn, 2**32 - 1)).open()
    pieces: list[tuple[int, int]] = [(start, 100) for start in range(0, 3_000, 100)]
    pieces += [(rng.randrange(2_900), rng.randrange(1, 100)) for _ in range(30)]
    # Reordered, but not so far that the window does not hold it.
    pieces.sort(key=lambda piece: piece[0] + rng.randrange(800))
    for start, length in pieces:
        talk.send(CLIENT, ACK, stream[start : start + length], offset=start)
    talk.close()
    assert streams_of(talk, burst=rng.choice([1, 7, 256]))[CLIENT] == stream


# --- gaps ---


def test_gaps_are_objects_never_bytes() -> None:
    talk = Talk().open().client(b"ab").client(b"cd", lost=True).client(b"ef").send(SERVER).wait(1)
    talk.client(b"gh").client(b"ij", lost=True).client(b"kl").send(SERVER).wait(1).close()
    assert streams_of(talk)[CLIENT] == b"ab??efgh??kl"
    stack = talk.stack()
    gaps: list[list[tuple[int, int]]] = []
    stack.on(ms.ON_CONN_END, lambda sock, _event: gaps.append(sock.client.gaps))
    stack.run()
    assert gaps == [[(2, 2), (8, 2)]]


def test_missing_bytes_that_nobody_acknowledged_are_given_up_at_the_end() -> None:
    talk = Talk().open().client(b"ab").client(b"cd", lost=True).client(b"ef")
    assert streams_of(talk)[CLIENT] == b"ab??ef"


def test_bytes_acknowledged_before_they_are_seen_are_no_gap() -> None:
    talk = Talk().open().client(b"ab", lost=True).send(SERVER).client(b"ab", offset=0).client(b"cd").close()
    assert streams_of(talk)[CLIENT] == b"abcd"


def test_read_stops_at_a_gap() -> None:
    talk = Talk().open().client(b"ab").client(b"cd", lost=True).client(b"ef").send(SERVER).wait(1).close()
    stack = talk.stack()
    sock = stack.socket(reassemble=True)
    seen: list[object] = []

    @sock.on(ms.ON_CONN_END)
    def end(sock: Sock, _event: ms.Event) -> None:
        seen.extend([sock.client.read(), sock.client.offset, sock.client.read(), sock.client.read()])

    stack.run()
    assert seen == [b"ab", 4, b"ef", b""]


def test_held_bytes_are_capped() -> None:
    talk = Talk().open().client(b"x", lost=True)
    for number in range(20):
        talk.client(bytes([number]) * 1_000)
    talk.wait(1).close()
    stack = talk.stack()
    sock = stack.socket(buffer=4_000)
    seen: list[tuple[str, int, int]] = []
    named: list[Anomaly] = []
    for event in (DATA, ms.ON_GAP):
        sock.on(event, lambda _sock, event: seen.append((event.kind, event.offset, event.length)))
    sock.on(ms.ON_ANOMALY, lambda _sock, event: named.append(event.anomaly))
    stack.run()
    assert seen[0] == ("ON_GAP", 0, 1)
    assert sum(length for _, _, length in seen) == 20_001
    assert Anomaly.HELD_FULL in named


def test_snap_cut_payload_is_a_gap_not_bytes(tmp_path: object) -> None:
    talk = Talk().open().client(b"a" * 100).client(b"b" * 10).close()
    path = f"{tmp_path}/cut.pcap"
    with ms.CaptureWriter(path) as writer:
        for time, frame in talk.packets:
            writer.write(time, frame[:100], length=len(frame))
    for stack in (ms.Stack(path), ms.Stack(path, checksum="verify")):
        log: list[tuple[str, int, int]] = []
        for event in (DATA, ms.ON_GAP):
            stack.on(
                event, lambda _sock, event, log=log: log.append((event.kind, event.offset, event.length))
            )
        data: list[bytes] = []
        stack.on(DATA, lambda _sock, event, data=data: data.append(event.data))
        ends: list[ms.FlowRecord] = []
        stack.on(ms.ON_CONN_END, lambda sock, _event, ends=ends: ends.append(sock.flow))
        stack.run()
        assert log == [("ON_CONN_NEW_DATA", 0, 46), ("ON_GAP", 46, 54), ("ON_CONN_NEW_DATA", 100, 10)]
        assert data == [b"a" * 46, b"b" * 10]
        assert ends[0].bytes == (110, 0)
        assert ends[0].anomalies["truncated"] == 1


# --- what is wanted of a side ---


def test_depth_bounds_what_is_told() -> None:
    talk = Talk().open().client(b"abc").client(b"def").client(b"ghi").server(b"1234567")
    stack = talk.stack()
    sock = stack.socket(depth=5)
    seen: dict[Side, bytes] = {CLIENT: b"", SERVER: b""}
    named: list[Anomaly] = []

    @sock.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        assert sock.client.depth == 5
        seen[event.side] += event.data

    sock.on(ms.ON_ANOMALY, lambda _sock, event: named.append(event.anomaly))
    stack.run()
    assert seen == {CLIENT: b"abcde", SERVER: b"12345"}
    assert named == [Anomaly.DEPTH_REACHED] * 2


def test_depth_can_be_changed_at_any_time() -> None:
    talk = Talk().open().client(b"abc").client(b"def").client(b"ghi").client(b"jkl")
    stack = talk.stack()
    seen: list[bytes] = []

    @stack.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        assert sock.client.depth == (None if not seen else 7)
        seen.append(event.data)
        sock.client.depth = 7

    stack.run()
    assert seen == [b"abc", b"def", b"g"]


def test_reassemble_of_one_side_can_be_switched_off_and_on() -> None:
    talk = Talk().open().client(b"ab").client(b"cd").server(b"12").client(b"ef").server(b"34")
    stack = talk.stack()
    seen: list[bytes] = []

    @stack.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        seen.append(event.data)
        if event.data == b"ab":
            sock.client.reassemble = False
            assert sock.client.reassemble is False
        if event.data == b"12":
            sock.client.reassemble = True
            assert sock.client.reassemble is True

    stack.run()
    assert seen == [b"ab", b"12", b"ef", b"34"]


def test_untracked_side_is_counted_and_no_more() -> None:
    talk = Talk().open().client(b"ab").server(b"12").client(b"cd").close()
    stack = talk.stack()
    sock = stack.socket(track=(True, False))
    seen: list[bytes] = []
    ends: list[Sock] = []
    sock.on(DATA, lambda _sock, event: seen.append(event.data))
    sock.on(ms.ON_CONN_START, lambda sock, _event: ends.append(sock))
    changes: list[Side] = []
    sock.on(ms.ON_TCP_STATE_CHANGE, lambda _sock, event: changes.append(event.side))
    stack.run()
    assert seen == [b"ab", b"cd"]
    assert SERVER not in changes
    assert (ends[0].server.packets, ends[0].server.bytes) == (3, 2)


def test_track_can_be_switched_off_and_on() -> None:
    talk = Talk().open().client(b"ab").client(b"cd").server(b"12").client(b"ef").client(b"gh")
    stack = talk.stack()
    seen: list[tuple[int, bytes]] = []

    @stack.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        seen.append((event.offset, event.data))
        if event.data == b"ab":
            sock.client.track = False
        if event.data == b"12":
            assert sock.client.track is False
            sock.client.track = True

    stack.run()
    assert [data for _, data in seen] == [b"ab", b"12", b"ef", b"gh"]


def test_stop_ends_the_flow_and_later_packets_only_pass() -> None:
    talk = Talk().open().client(b"ab").client(b"cd").server(b"12").close()
    stack = talk.stack()
    log: list[str] = []

    @stack.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        log.append(event.data.decode())
        sock.stop()
        assert sock.ended

    stack.on(ms.ON_CONN_END, lambda sock, event: log.append(f"{event.reason} {sock.client.bytes}"))
    stack.on(ms.ON_ORPHAN, lambda _sock, _event: log.append("orphan"))
    stack.on(ms.ON_CONN_START, lambda _sock, _event: log.append("start"))
    stack.run()
    assert log == ["start", "ab", "stopped 2"]
    assert stack.statistics()["flows_opened"] == 1


def test_port_reuse_is_a_new_flow() -> None:
    first = web()
    again = Talk(isns=(900_000, 700_000), now=first.now + 1_000_000_000).open().client(b"second").close()
    stack = ms.Stack(ms.MemoryPort(merge(first, again)))
    seen: list[tuple[int, bytes]] = []
    stack.on(DATA, lambda sock, event: seen.append((sock.id, event.data)), side=CLIENT)
    ended = stack.count(ms.ON_CONN_END)
    stack.run()
    assert seen == [(0, b"GET / HTTP/1.1\r\n\r\n"), (1, b"second")]
    assert ended.value == 2


def test_data_on_the_syn_is_part_of_the_stream() -> None:
    talk = Talk().send(CLIENT, SYN, b"early", options=MSS_1460).synack()
    talk.packets.pop()
    talk.send(SERVER, SYN | ACK, seq=5_000, ack=1_006, options=MSS_1460).send(CLIENT).client(
        b" late", offset=5
    )
    assert streams_of(talk)[CLIENT] == b"early late"


def test_digest_is_that_of_the_stream() -> None:
    talk = web()
    stack = talk.stack()
    stack.socket(digest=True)
    (record,) = stack.flows()
    request, response = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    assert record.digest == (
        (len(request), hashlib.sha256(request).hexdigest()),
        (len(response), hashlib.sha256(response).hexdigest()),
    )
    parsed = json.loads(record.to_json())
    assert list(parsed) == [
        "client",
        "server",
        "vlan",
        "start",
        "end",
        "packets",
        "bytes",
        "state",
        "reason",
        "handshake",
        "midstream",
        "rexmit",
        "gaps",
        "anomalies",
        "conn_state",
        "history",
        "stream",
    ]
    assert parsed["stream"]["client"]["length"] == len(request)
    assert '"start":1700000000.001000000,' in record.to_json()
    assert (parsed["client"], parsed["server"], parsed["reason"]) == (
        "10.0.0.1:40000",
        "10.0.0.2:80",
        "closed",
    )


def test_record_of_an_ipv6_flow_in_vlans() -> None:
    talk = Talk(client_ip="2001:db8::1", server_ip="2001:db8::2", vlans=(5, 6)).syn().syn()
    stack = talk.stack()
    stack.socket()
    (record,) = stack.flows()
    assert (record.client, record.server, record.vlan) == ("[2001:db8::1]:40000", "[2001:db8::2]:80", [5, 6])
    assert record.rexmit == {"syn": (1, 0), "synack": (0, 0), "fin": (0, 0), "data": (0, 0)}
    assert (record.packets, record.bytes, record.gaps) == ((2, 0), (0, 0), ([], []))
    assert (record.handshake, record.midstream, record.reason) == (False, False, ms.EndReason.END)
    assert record.state == (ms.State.SYN_SENT, ms.State.SYN_RECEIVED)
    assert record.start == pytest.approx(record.end - 0.001)
    assert record.digest == (None, None)
    assert repr(record) == "<midsock.FlowRecord 0 [2001:db8::1]:40000 -> [2001:db8::2]:80 end>"


def test_total_reassembly_is_capped_and_freed() -> None:
    talks = []
    for number in range(50):
        talk = Talk(client_port=1_000 + number).open().client(b"lost", lost=True)
        for _ in range(10):
            talk.client(b"x" * 1_000)
        talks.append(talk)
    stack = ms.Stack(ms.MemoryPort(merge(*talks), burst=1), max_reassembly=50_000)
    peak = 0

    @stack.on(ms.ON_PKT_IN)
    def packet(_sock: Sock, _event: ms.Event) -> None:
        nonlocal peak
        peak = max(peak, stack.statistics()["reassembly"])

    stack.on(DATA, lambda _sock, event: len(event.data))
    stack.run()
    assert 0 < peak < 60_000
    assert stack.statistics()["reassembly"] == 0


def test_the_receivers_network_settles_overlap() -> None:
    talk = Talk().open()
    for side in (CLIENT, SERVER):
        for segment, offset in ((b"abcd", 2), (b"ZZZZZZ", 2), (b"..", 0)):
            talk.send(side, ACK, segment, offset=offset)
    client, server = ip_network(talk.client_ip), ip_network(talk.server_ip)
    assert isinstance(server, IPv4Network)
    hosts: dict[str | IPv4Network | IPv6Network, Any] = {
        "0.0.0.0/0": "last",
        server.supernet(new_prefix=24): "linux",
        str(client): "windows",
    }
    stack = ms.Stack(talk.port(), hosts=hosts)
    seen = {}

    @stack.on(DATA)
    def data(sock: Sock, event: ms.Event) -> None:
        seen[event.side] = (sock[event.side].overlap, event.data)

    stack.run()
    assert seen == {CLIENT: ("linux", b"..ZZZZZZ"), SERVER: ("windows", b"..abcdZZ")}


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ({"10.0.0.0/33": "linux"}, "at most 32"),
        ({"10.1.0.0/8": "linux"}, r"did you mean 10\.0\.0\.0/8"),
        ({"intranet": "linux"}, r"as 10\.0\.0\.0/8 or 2001:db8::/32"),
        ({"10.0.0.0/8": "beos"}, "first, last, bsd.*hpux11, not .beos"),
    ],
)
def test_what_hosts_may_be_is_told(hosts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ms.Stack(ms.MemoryPort([]), hosts=hosts)  # type: ignore[arg-type]
