"""Timeouts by state, and shorter ones while the flow table is nearly full."""

from __future__ import annotations

import midsock as ms
import pytest
from frames import ACK, FIN, START, Talk, merge
from midsock import CLIENT


def beats(count: int, seconds: float) -> Talk:
    """Give a conversation that goes on for so many packets, one every so many seconds: it lets time pass."""
    talk = Talk(client_port=50_000, step=0).open()
    for _ in range(count):
        talk.wait(seconds).client(b".")
    return talk


def lifetimes(talk: Talk, **options: object) -> dict[int, float]:
    """Give the seconds after which, within half of one, idle flows of a talk timed out, by client port."""
    stack = ms.Stack(ms.MemoryPort(merge(talk, beats(60, 0.5))), **options)  # type: ignore[arg-type]
    ends: dict[int, float] = {}

    @stack.on(ms.ON_CONN_END)
    def ended(sock: ms.FlowSocket, event: ms.Event) -> None:
        if event.reason == ms.EndReason.TIMEOUT:
            ends[sock.client.port] = (event.time_ns - START) / 1e9

    stack.run()
    return ends


STATES = {
    "opening": Talk(step=0).syn(),
    "established": Talk(step=0).open(),
    "closing": Talk(step=0).open().send(CLIENT, FIN | ACK),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_a_timeout_of_its_own(state: str) -> None:
    short = dict.fromkeys(STATES, 8.0) | {state: 3.0}
    assert lifetimes(STATES[state], timeouts=short) == {40_000: pytest.approx(3.0, abs=0.5)}
    long = dict.fromkeys(STATES, 3.0) | {state: 8.0}
    assert lifetimes(STATES[state], timeouts=long) == {40_000: pytest.approx(8.0, abs=0.5)}


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_a_shorter_one_while_the_table_is_nearly_full(state: str) -> None:
    times = dict.fromkeys(STATES, 8.0) | {state: 3.0}
    # With one of two flows the table is nearly full.
    options = {"max_flows": 2, "emergency": {"begin": 50, "end": 0, **times}}
    assert lifetimes(STATES[state], **options) == {40_000: pytest.approx(3.0, abs=0.5)}
    assert lifetimes(STATES[state], max_flows=5, emergency={"begin": 100, **times}) == {}


def test_statistics_tell_of_an_emergency() -> None:
    talks = [Talk(client_port=port, step=0).syn() for port in range(1, 10)]
    flood = [Talk(client_port=port, step=0).wait(6).syn() for port in range(101, 104)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks, *flood)), max_flows=10)
    states: list[bool] = []

    @stack.on(ms.ON_CONN_START)
    def started(_sock: ms.FlowSocket, _event: ms.Event) -> None:
        states.append(stack.statistics()["emergency"])

    ends = stack.count(ms.ON_CONN_END)
    stack.run()
    statistics = stack.statistics()
    assert states == [False] * 9 + [True] * 3
    assert (statistics["emergencies"], statistics["emergency_timeouts"]) == (1, 9)
    assert (statistics["evicted"], ends.value) == (0, 12)


def test_an_emergency_ends() -> None:
    talks = [Talk(client_port=port, step=0).syn() for port in range(1, 10)]
    flood = [Talk(client_port=port, step=0).wait(6).syn() for port in range(101, 103)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks, *flood, beats(20, 0.5))), max_flows=10)
    stack.run()
    assert stack.statistics()["emergency"] is False


def test_wrong_values_are_refused() -> None:
    for wrong, what in (
        ({"begin": 101}, "percent"),
        ({"begin": 50.5}, "percent"),
        ({"begin": 50, "end": 50}, "fewer"),
        ({"opening": -1}, "seconds"),
        ({"other": 1}, "begin, end"),
    ):
        with pytest.raises(ValueError, match=what):
            ms.Stack(Talk().port(), emergency=wrong)
    with pytest.raises(ValueError, match="hole"):
        ms.Stack(Talk().port(), timeouts={"other": 1})
