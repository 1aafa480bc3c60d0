"""What the benches of the binding share: a capture in memory, and figures per event."""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

import midsock as ms
from frames import Talk, merge
from midsock import CLIENT, SERVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    Prepare = Callable[[ms.Stack], Callable[[], int]]

FLOWS = 200
SEGMENTS = 100


@pytest.fixture(scope="session")
def packets() -> list[tuple[int, bytes]]:
    """Give 200 conversations of 100 segments of data each, interleaved."""
    talks = []
    for number in range(FLOWS):
        talk = Talk(client_port=10_000 + number).open()
        talk.client(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        for _ in range(SEGMENTS - 1):
            talk.send(SERVER, data=b"x" * 1_400)
            talk.send(CLIENT)
        talks.append(talk.close())
    return merge(*talks)


@pytest.fixture
def measure(benchmark: BenchmarkFixture, packets: list[tuple[int, bytes]]) -> Callable[[Prepare], None]:
    """Give a function that measures runs of a stack over the packets.

    It is given what prepares a stack and returns what tells, after the run, how many events there were.
    """

    def of(prepare: Callable[[ms.Stack], Callable[[], int]]) -> None:
        counts: list[int] = []

        def set_up() -> tuple[tuple[ms.Stack, Callable[[], int]], dict[str, object]]:
            stack = ms.Stack(ms.MemoryPort(packets), checksum="ignore")
            return (stack, prepare(stack)), {}

        def run(stack: ms.Stack, count: Callable[[], int]) -> None:
            stack.run()
            counts.append(count())

        benchmark.pedantic(  # type: ignore[no-untyped-call]
            run,
            setup=set_up,
            rounds=10,
            warmup_rounds=1,
        )
        assert len(set(counts)) == 1
        assert counts[0] > 0
        if benchmark.stats is not None:
            benchmark.extra_info["events"] = counts[0]
            benchmark.extra_info["events_per_second"] = round(counts[0] / benchmark.stats.stats.median)

    return of
