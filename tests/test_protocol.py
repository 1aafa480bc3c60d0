"""Protocols: one object per flow."""

from __future__ import annotations

import midsock as ms
from frames import ACK, MSS_1460, SYN, Talk, merge, web
from midsock import CLIENT, SERVER, EndReason, Side


class Log(ms.Protocol):
    """Notes what it is told."""

    made: list[Log]

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.made.append(self)

    def connection_made(self, sock: ms.FlowSocket) -> None:
        self.sock = sock
        self.calls.append(("made",))

    def data_received(self, side: Side, data: bytes) -> None:
        self.calls.append(("data", side, data))

    def gap_received(self, side: Side, offset: int, length: int) -> None:
        self.calls.append(("gap", side, offset, length))

    def eof_received(self, side: Side) -> None:
        self.calls.append(("eof", side))

    def connection_lost(self, reason: EndReason) -> None:
        self.calls.append(("lost", reason))


def logs_of(stack: ms.Stack) -> list[list[tuple[object, ...]]]:
    """Run a stack and give what its protocols were told."""

    class Fresh(Log):
        made: list[Log] = []  # noqa: RUF012 (one per call)

    stack.protocol(Fresh)
    stack.run()
    return [log.calls for log in Fresh.made]


def test_life_of_a_connection() -> None:
    (calls,) = logs_of(web().stack())
    assert calls == [
        ("made",),
        ("data", CLIENT, b"GET / HTTP/1.1\r\n\r\n"),
        ("data", SERVER, b"HTTP/1.1 200 OK\r\n\r\n"),
        ("eof", CLIENT),
        ("eof", SERVER),
        ("lost", EndReason.CLOSED),
    ]


def test_one_object_per_flow() -> None:
    stack = ms.Stack(ms.MemoryPort(merge(*(web(number=number) for number in range(5)))))
    logs = logs_of(stack)
    assert len(logs) == 5
    assert all(log[0] == ("made",) and log[-1] == ("lost", EndReason.CLOSED) for log in logs)


def test_simultaneous_close_tells_each_eof_once() -> None:
    talk = Talk().open().client(b"a")
    talk.send(CLIENT, ACK | 1).send(SERVER, ACK | 1, ack=1_002).send(CLIENT).send(SERVER)
    (calls,) = logs_of(talk.stack())
    assert sorted(str(side) for what, side in (call for call in calls if call[0] == "eof")) == [
        "client",
        "server",
    ]
    assert calls[-1] == ("lost", EndReason.CLOSED)


def test_gap_and_reset() -> None:
    talk = Talk().open().client(b"ab", lost=True).client(b"cd").send(SERVER).wait(1).rst()
    (calls,) = logs_of(talk.stack())
    assert calls == [
        ("made",),
        ("gap", CLIENT, 0, 2),
        ("data", CLIENT, b"cd"),
        ("lost", EndReason.RESET),
    ]


def test_connection_that_is_never_set_up_has_no_protocol() -> None:
    assert logs_of(Talk().syn().synack().rst(SERVER).stack()) == []


def test_midstream_flow_has_one_from_its_first_packet() -> None:
    talk = Talk().send(CLIENT, ACK, b"x")
    (calls,) = logs_of(talk.stack(midstream=True))
    assert calls == [("made",), ("data", CLIENT, b"x"), ("lost", EndReason.END)]


def test_fast_open_data_comes_after_connection_made() -> None:
    talk = Talk().send(CLIENT, SYN, b"early", options=MSS_1460)
    talk.send(SERVER, SYN | ACK, options=MSS_1460).send(CLIENT)
    (calls,) = logs_of(talk.stack())
    assert calls == [("made",), ("data", CLIENT, b"early"), ("lost", EndReason.END)]


def test_protocols_keep_the_socket() -> None:
    seen: list[tuple[str, int]] = []

    class Reader(ms.Protocol):
        def connection_made(self, sock: ms.FlowSocket) -> None:
            self.sock = sock
            sock.timer(0.001, lambda _sock, _event: seen.append(("timer", 0)))

        def data_received(self, side: Side, data: bytes) -> None:
            assert self.sock[side].read() == data
            seen.append((str(side), len(data)))

    stack = web().stack()
    stack.socket(filter="port 80").protocol(Reader)
    stack.run()
    assert sorted(seen) == [("client", 18), ("server", 19), ("timer", 0)]


def test_base_class_does_nothing() -> None:
    stack = web().stack()
    stack.protocol(ms.Protocol)
    stack.run()


def test_stopping_from_a_protocol_tells_the_loss() -> None:
    calls: list[object] = []

    class Once(ms.Protocol):
        def connection_made(self, sock: ms.FlowSocket) -> None:
            self.sock = sock

        def data_received(self, side: Side, data: bytes) -> None:
            calls.append((side, data[:3]))
            self.sock.stop()

        def connection_lost(self, reason: EndReason) -> None:
            calls.append(reason)

    stack = web().stack()
    stack.protocol(Once)
    stack.run()
    assert calls == [(CLIENT, b"GET"), EndReason.STOPPED]
