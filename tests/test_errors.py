"""What goes wrong: in handlers, in use, across threads, and in memory."""

from __future__ import annotations

import gc
import logging
import pathlib
import select
import signal
import subprocess
import sys
import textwrap

import midsock as ms
import pytest
from frames import START, Packet, Talk, merge, several, tcp_frame, web

Sock = ms.FlowSocket
DATA = ms.ON_CONN_NEW_DATA


# --- handlers that raise ---


def test_exception_stops_the_run_with_the_flow_in_a_note_and_the_run_can_be_resumed() -> None:
    stack = ms.Stack(several())
    told: list[int] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        told.append(sock.id)
        if sock.id in (1, 3):
            raise LookupError(sock.id)

    for number in (1, 3):
        with pytest.raises(LookupError) as caught:
            stack.run()
        (note,) = caught.value.__notes__
        assert f"FlowSocket {number} 10.0.0.1:{40_000 + number}" in note
        assert "ON_CONN_SETUP" in note
    stack.run()
    assert told == [0, 1, 2, 3, 4]
    stack.run()
    assert told == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("where", ["filter", "truth", "batch", "timer", "raw", "decorated"])
def test_exceptions_from_everywhere_have_a_note(where: str) -> None:
    class NoTruth:
        def __bool__(self) -> bool:
            raise LookupError

    def fail(*_args: object) -> bool:
        raise LookupError

    stack = Talk().open().wait(1).client(b"x").wait(1).client(b"y").stack()
    if where == "filter":
        stack.on(DATA.where(fail), print)
    elif where == "truth":
        stack.on(DATA.where(lambda _sock, _event: NoTruth()), print)  # type: ignore[arg-type]
    elif where == "batch":
        stack.on_batch(DATA, fail)
    elif where == "timer":
        stack.on(ms.ON_CONN_SETUP, lambda sock, _event: sock.timer(0.5, fail))
    elif where == "raw":
        stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, fail)
    else:
        stack.on(ms.ON_CONN_SETUP)(fail)
    with pytest.raises(LookupError) as caught:
        stack.run()
    assert any("while handling" in note for note in caught.value.__notes__)


def test_on_error_log_counts_logs_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    stack = ms.Stack(several(), on_error="log")
    told: list[int] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        told.append(sock.id)
        raise LookupError(sock.id)

    stack.on_batch(DATA, lambda batch: batch["nonsense"])
    stack.on(DATA.where(lambda _sock, _event: 1 / 0 > 1), lambda _sock, _event: told.append(-1))
    with caplog.at_level(logging.ERROR, logger="midsock"):
        stack.run()
    assert told == [0, 1, 2, 3, 4]
    errors = [record for record in caplog.records if record.name == "midsock"]
    assert len(errors) == stack.statistics()["handler_errors"] == 5 + 10 + 1
    assert "ON_CONN_SETUP" in errors[0].getMessage()
    assert "10.0.0.1:40000" in errors[0].getMessage()
    assert errors[0].exc_info is not None
    assert isinstance(errors[0].exc_info[1], LookupError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_stops_the_run_even_when_errors_are_logged(kind: type[BaseException]) -> None:
    stack = ms.Stack(several(), on_error="log")

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(_sock: Sock, _event: ms.Event) -> None:
        raise kind

    with pytest.raises(kind):
        stack.run()


def test_exception_in_an_iterator_leaves_it_usable() -> None:
    stack = ms.Stack(several(2))
    pull = stack.events(ms.ON_CONN_END)

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        if sock.id == 0:
            raise LookupError

    with pytest.raises(LookupError):
        next(pull)
    assert len(list(pull)) == 2


# --- Ctrl-C ---


@pytest.mark.parametrize("handlers", ["", "stack.on(ms.ON_PKT_IN, lambda sock, event: None)"])
@pytest.mark.parametrize(
    "call",
    [
        "stack.run()",
        "list(stack.batches(ms.ON_GAP))",
        "asyncio.run(stack.run_async())",
        "asyncio.run(gaps())",
    ],
)
def test_interrupt_ends_the_run(handlers: str, call: str) -> None:
    # The input never ends: whatever returns was interrupted.
    script = f"""
    import asyncio, itertools, os, sys, threading
    sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
    import midsock as ms
    from frames import START, web
    import struct
    read, write = os.pipe()
    def feed():
        out = os.fdopen(write, "wb")
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        packets = web().packets
        for number in itertools.count():
            out.write(b"".join(
                struct.pack("<IIII", 1_700_000_000 + number, 0, len(frame), len(frame)) + frame
                for _, frame in packets
            ))
    threading.Thread(target=feed, daemon=True).start()
    os.dup2(read, 0)
    stack = ms.Stack("-")
    {handlers}
    stack.count(ms.ON_PKT_IN)
    async def gaps():
        async for _ in stack.batches(ms.ON_GAP):
            pass
    print("running", flush=True)
    try:
        {call}
    except KeyboardInterrupt:
        print("interrupted", stack.statistics()["received"] >= 0, flush=True)
        os._exit(0)
    os._exit(1)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            # Wait until it is at work rather than a time: it has begun to take CPU.
            select.select([], [], [], 0.5)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
    assert (out, process.returncode) == ("interrupted True\n", 0), errors


def test_signal_handlers_of_the_application_run() -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, _frame: seen.append(number))
    try:
        stack = ms.Stack(several(200, burst=1))
        stack.count(ms.ON_PKT_IN)
        signal.raise_signal(signal.SIGUSR1)
        stack.run()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert seen == [signal.SIGUSR1]


# --- re-entrancy ---


def test_handler_cannot_run_the_stack() -> None:
    stack = ms.Stack(several(1))
    pull = stack.batches(ms.ON_PKT_IN)
    errors: list[str] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(_sock: Sock, _event: ms.Event) -> None:
        for use in (stack.run, lambda: next(pull), lambda: next(iter(stack.flows())), stack.close):
            with pytest.raises(RuntimeError, match="running") as caught:
                use()
            errors.append(str(caught.value))

    stack.run()
    assert len(errors) == 4
    assert "a handler cannot run it" in errors[0]
    assert "stop it first" in errors[3]


def test_handler_may_stop_its_flow_and_others() -> None:
    stack = ms.Stack(several(3))
    socks: dict[int, Sock] = {}
    ended: list[tuple[int, ms.EndReason]] = []

    @stack.on(ms.ON_CONN_START)
    def start(sock: Sock, _event: ms.Event) -> None:
        socks[sock.id] = sock

    @stack.on(DATA)
    def data(_sock: Sock, _event: ms.Event) -> None:
        for other in list(socks.values()):
            other.stop()
            other.stop()

    stack.on(ms.ON_CONN_END, lambda sock, event: ended.append((sock.id, event.reason)))
    stack.run()
    assert ended == [(number, ms.EndReason.STOPPED) for number in range(3)]


def test_handler_may_register_and_take_back() -> None:
    stack = Talk().open().client(b"1").client(b"2").client(b"3").stack()
    told: list[str] = []

    def second(_sock: Sock, event: ms.Event) -> None:
        told.append(f"second {event.data.decode()}")
        stack.default_socket.off(second)

    @stack.on(DATA)
    def first(_sock: Sock, event: ms.Event) -> None:
        told.append(f"first {event.data.decode()}")
        if event.data == b"1":
            stack.on(DATA, second)

    stack.run()
    assert told == ["first 1", "first 2", "second 2", "first 3"]


def test_handler_may_open_and_close_sockets_and_count() -> None:
    stack = ms.Stack(several(3, burst=1))
    late: list[int] = []
    counters: list[ms.Counter] = []

    @stack.on(ms.ON_CONN_START)
    def start(sock: Sock, _event: ms.Event) -> None:
        if sock.id == 0:
            other = stack.socket(filter="port 80")
            other.on(ms.ON_CONN_START, lambda sock, _event: late.append(sock.id))
            counters.append(other.count(DATA))
            other_raw = stack.socket(ms.MONITOR_RAW)
            other_raw.on(ms.ON_PKT_IN, lambda _sock, _event: other_raw.close())

    stack.run()
    # Scopes decide on a flow's first packet: the new socket watches flows that come later.
    assert late == [1, 2]
    assert counters[0].value == 4


def test_stop_from_a_handler_returns_and_run_goes_on() -> None:
    stack = ms.Stack(several(3))
    told: list[int] = []

    @stack.on(ms.ON_CONN_END)
    def end(sock: Sock, _event: ms.Event) -> None:
        told.append(sock.id)
        stack.stop()

    for number in range(3):
        stack.run()
        assert told == list(range(number + 1))
    stack.run()
    assert len(told) == 3


def test_collecting_garbage_inside_handlers_is_harmless() -> None:
    stack = ms.Stack(several(5, burst=3))

    @stack.on(ms.ON_PKT_IN)
    def packet(sock: Sock, event: ms.Event) -> None:
        sock.user = [sock, event, stack]
        gc.collect()

    stack.run()


# --- use after the end ---


def test_flow_socket_after_its_end_is_remembered_and_refuses_its_stream() -> None:
    stack = ms.Stack(several(1))
    kept: list[tuple[Sock, ms.Event]] = []
    stack.on(ms.ON_CONN_END, lambda sock, event: kept.append((sock, event)))
    stack.run()
    ((sock, event),) = kept
    assert (sock.ended, sock.id, sock.midstream, sock.handshake) == (True, 0, False, True)
    assert sock.client.bytes == 18
    assert (sock.client.ip, sock.client.port, sock.client.state) == ("10.0.0.1", 40_000, ms.State.TIME_WAIT)
    assert (sock.client.isn, sock.server.mss, sock.server.packets) == (1_000, 1460, 3)
    assert sock.flow.reason is ms.EndReason.CLOSED
    assert sock.client.gaps == []
    assert sock.duration == pytest.approx(0.007)
    assert sock.start == pytest.approx(START / 1e9)
    assert "ended: closed" in repr(sock)
    assert "TIME-WAIT" in repr(sock.client)
    sock.user = "still mine"
    assert sock.user == "still mine"
    assert event.reason is ms.EndReason.CLOSED
    assert sock.stack is stack
    with pytest.raises(RuntimeError, match="the packet is gone"):
        event["tcp.seq"]
    with pytest.raises(RuntimeError, match="the packet is gone"):
        _ = event.frame
    end = sock.client
    for use in (
        end.read,
        end.peek,
        lambda: end.peek_at(0, 1),
        lambda: end.offset,
        lambda: end.track,
        lambda: setattr(end, "track", False),
        lambda: setattr(end, "reassemble", True),
        lambda: setattr(end, "depth", 1),
        lambda: setattr(end, "buffer", 1),
        lambda: setattr(end, "overlap", "last"),
        sock.stop,
        lambda: sock.on(DATA, print),
        lambda: sock.emit(ms.user_event("x")),
        lambda: sock.timer(1, print),
    ):
        with pytest.raises(ms.FlowEndedError):
            use()


def test_everything_of_a_closed_stack_says_so() -> None:
    stack = ms.Stack(several(1))
    kept: list[tuple[Sock, ms.Event, ms.Timer]] = []
    stack.on(ms.ON_CONN_SETUP, lambda sock, event: kept.append((sock, event, sock.timer(99))))
    stack.on(ms.ON_CONN_SETUP, lambda _sock, _event: stack.stop())
    counted, pull, monitor = stack.count(DATA), stack.events(ms.ON_CONN_END), stack.default_socket
    stack.run()
    ((sock, event, timer),) = kept
    assert not sock.ended
    stack.close()
    stack.close()
    assert stack.closed
    assert "closed" in repr(stack)
    for use in (
        stack.run,
        stack.socket,
        stack.statistics,
        lambda: stack.progress,
        lambda: stack.warning,
        lambda: stack.timer(1, print),
        lambda: list(stack.flows()),
        lambda: counted.value,
        lambda: monitor.on(DATA, print),
        lambda: monitor.count(DATA),
        lambda: monitor.batches(DATA),
        lambda: monitor.on_batch(DATA, print),
        monitor.close,
        timer.cancel,
        lambda: event["tcp.seq"],
        sock.stop,
        sock.client.read,
    ):
        with pytest.raises(RuntimeError, match=r"closed|gone|ended"):
            use()
    # What was known of the flow still is.
    assert (sock.client.ip, sock.client.packets, sock.ended) == ("10.0.0.1", 2, True)
    assert list(pull) == []
    pull.close()
    assert repr(sock)
    assert repr(event)
    assert repr(monitor)
    stack.stop()


def test_event_that_is_kept_keeps_what_it_says() -> None:
    stack = ms.Stack(several(2))
    kept: list[ms.Event] = []
    stack.on(DATA, lambda _sock, event: kept.append(event))
    stack.run()
    assert [(event.side, event.length) for event in kept] == [(0, 18), (1, 19)] * 2
    assert len({id(event) for event in kept}) == 4
    with pytest.raises(RuntimeError, match="keep what you need"):
        _ = kept[0].data


# --- wrong arguments ---


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"checksum": "maybe"}, ValueError, "verify, ignore, auto"),
        ({"when_full": "burst"}, ValueError, "evict, ignore"),
        ({"on_error": "panic"}, ValueError, "raise, log"),
        ({"max_flows": 0}, ValueError, "at least 1"),
        ({"max_flows": -1}, OverflowError, "."),
        ({"max_reassembly": "much"}, TypeError, "."),
        (
            {"timeouts": {"handshake": 1}},
            ValueError,
            "opening, established, closing, linger, gap, hole or fragments",
        ),
        ({"timeouts": {"opening": -1}}, ValueError, "0 or more"),
        ({"timeouts": {"opening": float("nan")}}, ValueError, "0 or more"),
        ({"timeouts": 5}, TypeError, "."),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_wrong_options_of_a_stack(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ms.Stack(several(1), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [0, 1e300, 2**62])
def test_extreme_timeouts_do_no_harm(timeout: float) -> None:
    names = ("opening", "established", "closing", "linger", "gap")
    stack = ms.Stack(several(3, burst=1), timeouts=dict.fromkeys(names, timeout))
    ended = stack.count(ms.ON_CONN_END)
    stack.timer(timeout, lambda _sock, _event: None)
    stack.on(ms.ON_CONN_START, lambda sock, _event: sock.timer(timeout))
    stack.run()
    assert ended.value >= 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": 2}, ValueError),
        ({"kind": "stream"}, TypeError),
        ({"overlap": "beos"}, ValueError),
        ({"track": True}, TypeError),
        ({"depth": -1}, OverflowError),
        ({"buffer": 1.5}, TypeError),
        ({"filter": 80}, TypeError),
    ],
)
def test_wrong_options_of_a_socket(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        ms.Stack(several(1)).socket(**options)  # type: ignore[arg-type]


def test_handler_must_be_callable() -> None:
    stack = ms.Stack(several(1))
    with pytest.raises(TypeError, match="a handler is a callable"):
        stack.on(DATA, 7)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="a handler is a callable"):
        stack.on(DATA)(None)  # type: ignore[type-var]
    with pytest.raises(TypeError):
        stack.on("ON_PKT_IN", print)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="a decorator takes one argument"):
        stack.on(DATA)()  # type: ignore[call-arg]


@pytest.mark.parametrize("source", [None, 7, b"bytes", object()])
def test_wrong_source(source: object) -> None:
    with pytest.raises((TypeError, FileNotFoundError)):
        ms.Stack(source)  # type: ignore[arg-type]


def test_memory_port_serves_one_stack() -> None:
    port = several(1)
    ms.Stack(port)
    with pytest.raises(RuntimeError, match="make another one"):
        ms.Stack(port)


@pytest.mark.parametrize("burst", [0, 257, 2**40])
def test_memory_port_has_bursts_of_1_to_256(burst: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        ms.MemoryPort([], burst=burst)


def test_memory_port_takes_pairs_of_time_and_bytes() -> None:
    for wrong in ([1], [(1,)], [("now", b"")], 5):
        with pytest.raises((TypeError, ValueError)):
            ms.MemoryPort(wrong)  # type: ignore[arg-type]
    ms.Stack(ms.MemoryPort([])).run()


def test_unordered_and_extreme_times_do_no_harm() -> None:
    frames = [frame for _, frame in web().packets]
    times = [0, 2**63 - 1, -(2**63), 5, -1, 2**62, 0, 1]
    stack = ms.Stack(ms.MemoryPort(list(zip(times, frames, strict=True)), burst=1))
    stack.on(
        ms.ON_PKT_IN, lambda sock, event: (event.time, sock.duration, event["flow.duration"], repr(event))
    )
    stack.on(ms.ON_CONN_START, lambda sock, _event: sock.timer(1))
    stack.run()
    stack = ms.Stack(ms.MemoryPort(list(zip(times, frames, strict=True)), burst=1))
    stack.socket()
    for record in stack.flows():
        record.to_json()


def test_any_cut_of_any_frame_does_no_harm() -> None:
    peers = Talk().peers
    frame = tcp_frame(
        peers[0], peers[1], 1, 0, 2, b"data", options=bytes([2, 4, 5, 180, 3, 3, 200, 8, 10]), vlans=(1,)
    )
    packets: list[Packet] = [(START, frame[:length]) for length in range(len(frame) + 1)]
    for link in (0, 1, 9, 12, 101, 113, 276, 65_000):
        stack = ms.Stack(ms.MemoryPort(packets, link=link), midstream=True)
        stack.on(ms.ON_PKT_IN, lambda _sock, event: [event[name] for name in ms.FIELDS])
        stack.socket(ms.MONITOR_RAW).on(
            ms.ON_PKT_IN, lambda _sock, event: [event[name] for name in ms.FIELDS]
        )
        stack.run()
        assert stack.statistics()["received"] == len(packets)


# --- a full table ---


@pytest.mark.parametrize(("when_full", "watched"), [("evict", 8), ("ignore", 4)])
def test_full_table_follows_its_policy(when_full: str, watched: int) -> None:
    talks = [Talk(client_port=1_000 + number, now=START + number).syn() for number in range(8)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks)), max_flows=4, when_full=when_full)  # type: ignore[arg-type]
    started = stack.count(ms.ON_CONN_START)
    reasons: list[ms.EndReason] = []
    stack.on(ms.ON_CONN_END, lambda _sock, event: reasons.append(event.reason))
    stack.run()
    assert started.value == watched
    assert reasons.count(ms.EndReason.EVICTED) == watched - 4
    statistics = stack.statistics()
    assert (statistics["evicted"], statistics["ignored"]) == ((4, 0) if when_full == "evict" else (0, 4))
    # While the handlers of an evicted flow's end run, it is still there.
    assert statistics["flows_peak"] <= 5


def test_flood_of_syns_does_not_move_established_flows() -> None:
    held = [Talk(client_port=100 + number, now=START + number).open() for number in range(10)]
    flood = [
        Talk(client_port=1_000 + number, now=START + 10_000_000 + number).syn() for number in range(2_000)
    ]
    stack = ms.Stack(ms.MemoryPort(merge(*held, *flood)), max_flows=50)
    reasons: dict[int, ms.EndReason] = {}
    stack.on(ms.ON_CONN_END, lambda sock, event: reasons.update({sock.client.port: event.reason}))
    stack.run()
    assert all(reasons[100 + number] is ms.EndReason.END for number in range(10))
