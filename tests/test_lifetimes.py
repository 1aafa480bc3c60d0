"""Stacks across threads, and what they leave behind in memory."""

from __future__ import annotations

import gc
import pathlib
import threading
import tracemalloc
import types
import weakref

import midsock as ms
import pytest
from frames import START, Talk, merge, several, web
from midsock import CLIENT

Sock = ms.FlowSocket
DATA = ms.ON_CONN_NEW_DATA


# --- threads ---


def test_counters_can_be_read_from_other_threads_while_it_runs() -> None:
    stack = ms.Stack(several(500, burst=1))
    counted = stack.count(ms.ON_PKT_IN)
    reads: list[int] = []
    done, begun = threading.Event(), threading.Event()

    @stack.on(ms.ON_CONN_START)
    def start(_sock: Sock, _event: ms.Event) -> None:
        assert begun.wait(60)

    def read() -> None:
        begun.set()
        while not done.is_set():
            reads.append(counted.value)
            assert stack.statistics()["received"] >= reads[-1] - 1
            repr(stack)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        stack.run()
    finally:
        done.set()
        reader.join()
    assert reads == sorted(reads)
    assert counted.value == 4_000


def test_second_thread_cannot_run_it_and_can_stop_it() -> None:
    stack = ms.Stack(several(3))
    entered, go_on = threading.Event(), threading.Event()
    told: list[int] = []

    @stack.on(ms.ON_CONN_START)
    def start(sock: Sock, _event: ms.Event) -> None:
        told.append(sock.id)
        entered.set()
        assert go_on.wait(60)

    runner = threading.Thread(target=stack.run)
    runner.start()
    try:
        assert entered.wait(60)
        with pytest.raises(RuntimeError, match="second thread"):
            stack.run()
        with pytest.raises(RuntimeError, match="running"):
            stack.close()
        stack.stop()
    finally:
        go_on.set()
        runner.join()
    assert told == [0]
    stack.run()
    assert told == [0, 1, 2]


def test_stacks_in_many_threads() -> None:
    values: list[int] = []

    def run() -> None:
        stack = ms.Stack(several(50, burst=4))
        told: list[int] = []
        stack.on(DATA, lambda sock, event: told.append(len(sock[event.side].read())))
        stack.run()
        values.append(sum(told))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [50 * 37] * 8


# --- memory ---


class Mine:
    """Can be referred to weakly."""


def tangle() -> tuple[weakref.ref[ms.Stack], weakref.ref[Mine]]:
    """Leave a stack behind that everything it holds refers to."""
    mine = Mine()
    stack = ms.Stack(several(3))
    pull = stack.events(ms.ON_CONN_END)
    kept: list[object] = []

    @stack.on(ms.ON_PKT_IN)
    def packet(sock: Sock, event: ms.Event) -> None:
        sock.user = (sock, event, mine, stack, pull)
        kept.extend([sock, event, sock.client])

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        kept.append(sock.timer(99, packet))
        sock.on(DATA, packet)
        if sock.id == 1:
            stack.stop()

    stack.on(DATA.where(lambda _sock, _event: not stack.closed), packet)
    stack.on_batch(DATA, lambda batch: kept.extend([batch, stack]))
    stack.protocol(ms.Protocol)
    stack.run()
    assert kept
    return weakref.ref(stack), weakref.ref(mine)


def test_stack_whose_handlers_refer_to_it_is_collected() -> None:
    gone = tangle()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_closing_frees_what_handlers_hold() -> None:
    mine = Mine()
    gone = weakref.ref(mine)
    stack = ms.Stack(several(1))
    stack.on(ms.ON_PKT_IN, lambda _sock, _event, mine=mine: None)
    stack.on(ms.ON_PKT_IN.where(lambda _sock, _event, mine=mine: True), print)
    stack.on_batch(DATA, lambda _batch, mine=mine: None)
    del mine
    stack.close()
    assert gone() is None


def test_handlers_that_are_taken_back_are_freed() -> None:
    class Handler:
        def __call__(self, _what: object, _event: object = None) -> None:
            """Do nothing."""

    stack = ms.Stack(several(3, burst=1))
    handler, rows = Handler(), Handler()
    gone = weakref.ref(handler), weakref.ref(rows)
    stack.on(ms.ON_PKT_IN, handler)
    stack.on_batch(DATA, rows)
    assert stack.default_socket.off(handler) == 1
    assert stack.default_socket.off(rows) == 1
    del handler, rows
    stack.run()
    assert [reference() for reference in gone] == [None, None]


def test_method_is_taken_back_though_it_is_bound_anew() -> None:
    class Application:
        def __init__(self) -> None:
            self.told = 0

        def packet(self, _sock: Sock, _event: ms.Event) -> None:
            self.told += 1

    application, other = Application(), Application()
    stack = ms.Stack(several(1))
    stack.on(ms.ON_PKT_IN, application.packet)
    stack.on(ms.ON_PKT_IN, other.packet)
    assert stack.default_socket.off(application.packet) == 1
    stack.run()
    assert (application.told, other.told) == (0, 8)


def test_user_objects_are_freed_with_their_flow() -> None:
    alive: weakref.WeakSet[Mine] = weakref.WeakSet()
    talks = [
        Talk(client_port=number, now=START + number * 60_000_000_000).open().close()
        for number in range(1, 20)
    ]
    stack = ms.Stack(ms.MemoryPort(merge(*talks), burst=1))

    @stack.on(ms.ON_CONN_START)
    def start(sock: Sock, _event: ms.Event) -> None:
        sock.user = Mine()
        alive.add(sock.user)

    most = 0

    @stack.on(ms.ON_CONN_END)
    def end(_sock: Sock, _event: ms.Event) -> None:
        nonlocal most
        most = max(most, len(alive))

    stack.run()
    # One at work and one that lingers for late packets.
    assert most <= 2
    assert len(alive) == 0


def rss() -> int:
    """Give the resident memory of the process in bytes."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_memory_does_not_grow_over_many_stacks() -> None:
    packets = merge(*(web(number=number) for number in range(20)))

    def one() -> None:
        stack = ms.Stack(ms.MemoryPort(packets))
        stack.on(ms.ON_PKT_IN, lambda sock, event: (sock, event, stack))
        stack.on_batch(DATA, lambda batch: (stack, batch["event.length"]))
        stack.run()

    for _ in range(50):
        one()
    gc.collect()
    tracemalloc.start()
    before, before_rss = tracemalloc.get_traced_memory()[0], rss()
    for _ in range(300):
        one()
    gc.collect()
    after, after_rss = tracemalloc.get_traced_memory()[0], rss()
    tracemalloc.stop()
    assert after - before < 100_000
    # Each of the 300 has more than 1 MB of tables.
    assert after_rss - before_rss < 60_000_000


def test_memory_does_not_grow_with_registrations_of_flows() -> None:
    stack = ms.Stack(several(300, burst=4), timeouts={"linger": 0})
    timers = 0

    @stack.on(ms.ON_CONN_START)
    def start(sock: Sock, _event: ms.Event) -> None:
        nonlocal timers
        timers += 1
        # A new callable and a new filter for each flow.
        sock.on(DATA, lambda _sock, event: event.data, side=CLIENT)
        sock.timer(1_000, lambda _sock, _event: None)

    stack.run()
    gc.collect()
    assert timers == 300
    assert not [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, types.FunctionType) and thing.__qualname__.endswith("start.<locals>.<lambda>")
    ]
