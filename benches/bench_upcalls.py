"""What one event costs in Python, one call at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import midsock as ms
from midsock import Side

if TYPE_CHECKING:
    from collections.abc import Callable

    Measure = Callable[[Callable[[ms.Stack], Callable[[], int]]], None]

DATA = ms.ON_CONN_NEW_DATA


def bench_of(
    event: ms.EventType, handler: Callable[[ms.FlowSocket, ms.Event], object]
) -> Callable[[ms.Stack], Callable[[], int]]:
    """Prepare a handler; a native counter tells how often it ran."""

    def prepare(stack: ms.Stack) -> Callable[[], int]:
        counted = stack.count(event)
        stack.on(event, handler)
        return lambda: counted.value

    return prepare


def test_packets_without_a_handler(measure: Measure) -> None:
    def prepare(stack: ms.Stack) -> Callable[[], int]:
        counted = stack.count(ms.ON_PKT_IN)
        return lambda: counted.value

    measure(prepare)


def test_empty_handler_per_packet(measure: Measure) -> None:
    measure(bench_of(ms.ON_PKT_IN, lambda _sock, _event: None))


def test_empty_handler_per_new_data(measure: Measure) -> None:
    measure(bench_of(DATA, lambda _sock, _event: None))


def test_handler_that_takes_the_data_of_the_event(measure: Measure) -> None:
    measure(bench_of(DATA, lambda _sock, event: event.data))


def test_handler_that_reads(measure: Measure) -> None:
    measure(bench_of(DATA, lambda sock, event: sock[event.side].read()))


def test_handler_that_asks_a_field_of_the_packet(measure: Measure) -> None:
    field = ms.tcp.seq
    measure(bench_of(ms.ON_PKT_IN, lambda _sock, event: event[field]))


def test_handler_that_asks_the_state_of_an_endpoint(measure: Measure) -> None:
    measure(bench_of(ms.ON_PKT_IN, lambda sock, _event: sock.client.state))


def test_iterator_over_events(measure: Measure) -> None:
    def prepare(stack: ms.Stack) -> Callable[[], int]:
        pull = stack.events(DATA)
        return lambda: sum(1 for _ in pull)

    measure(prepare)


def test_protocol(measure: Measure) -> None:
    def prepare(stack: ms.Stack) -> Callable[[], int]:
        calls = 0

        class Counting(ms.Protocol):
            def data_received(self, side: Side, data: bytes) -> None:
                nonlocal calls
                calls += 1

        stack.protocol(Counting)
        return lambda: calls

    measure(prepare)
