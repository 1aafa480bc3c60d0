"""What it costs to ask whether a user-defined event fires."""

from __future__ import annotations

from typing import TYPE_CHECKING

import midsock as ms
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Measure = Callable[[Callable[[ms.Stack], Callable[[], int]]], None]


def counts(event: ms.EventType) -> Callable[[ms.Stack], Callable[[], int]]:
    """Prepare a native counter of an event; the packets at which it was asked for count."""

    def prepare(stack: ms.Stack) -> Callable[[], int]:
        stack.count(event)
        asked = stack.count(event.parent or event)
        return lambda: asked.value

    return prepare


def test_expression_filter(measure: Measure) -> None:
    measure(counts(ms.ON_PKT_IN.where((ms.tcp.dport == 80) & ~ms.tcp.syn)))


def test_expression_over_an_endpoint(measure: Measure) -> None:
    measure(counts(ms.ON_PKT_IN.where(ms.client.state == ms.State.ESTABLISHED)))


def test_expression_that_searches_the_payload(measure: Measure) -> None:
    measure(counts(ms.ON_PKT_IN.where(ms.payload.contains(b"needle"))))


def test_expression_that_matches_the_payload(measure: Measure) -> None:
    measure(counts(ms.ON_PKT_IN.where(ms.payload.matches(r"^(GET|POST) \S+"))))


def test_callable_filter(measure: Measure) -> None:
    measure(counts(ms.ON_PKT_IN.where(lambda _sock, _event: False)))


def test_callable_filter_that_looks_at_the_packet(measure: Measure) -> None:
    field = ms.tcp.dport
    measure(counts(ms.ON_PKT_IN.where(lambda _sock, event: event[field] == 80)))


@pytest.mark.parametrize("depth", [1, 10, 100])
def test_events_below_one_another(measure: Measure, depth: int) -> None:
    event = ms.ON_PKT_IN
    for level in range(depth):
        event = event.where(ms.tcp.window != level)
    measure(counts(event))
