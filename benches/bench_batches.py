"""What one event costs as a row of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import midsock as ms
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

    Measure = Callable[[Callable[[ms.Stack], Callable[[], int]]], None]

DATA = ms.ON_CONN_NEW_DATA


def rows_of(
    event: ms.EventType, take: Callable[[ms.Batch], object], *columns: str, size: int = 0
) -> Callable[[ms.Stack], Callable[[], int]]:
    """Prepare a batch handler; events are counted, since new data is coalesced."""

    def prepare(stack: ms.Stack) -> Callable[[], int]:
        counted = stack.count(event)
        stack.on_batch(event, take, columns=columns or None, size=size)
        return lambda: counted.value

    return prepare


def test_on_batch_that_does_nothing(measure: Measure) -> None:
    measure(rows_of(ms.ON_PKT_IN, lambda _batch: None))


def test_on_batch_of_numbers_in_numpy(measure: Measure) -> None:
    def take(batch: ms.Batch) -> int:
        return int(np.asarray(batch["tcp.length"]).sum())

    measure(rows_of(ms.ON_PKT_IN, take, "tcp.length", "flow.id"))


def test_on_batch_of_4096_rows_in_numpy(measure: Measure) -> None:
    def take(batch: ms.Batch) -> int:
        return int(np.asarray(batch["tcp.length"]).sum())

    measure(rows_of(ms.ON_PKT_IN, take, "tcp.length", "flow.id", size=4096))


def test_on_batch_of_new_data_with_its_bytes(measure: Measure) -> None:
    def take(batch: ms.Batch) -> int:
        return int(np.asarray(batch["event.length"]).sum())

    measure(rows_of(DATA, take, "flow.id", "event.side", "event.length", "event.data"))


def test_batches_into_polars(measure: Measure) -> None:
    def prepare(stack: ms.Stack) -> Callable[[], int]:
        pull = stack.batches(ms.ON_PKT_IN, columns=["flow.id", "tcp.length", "event.time"])
        return lambda: sum(pl.DataFrame(batch).height for batch in pull)

    measure(prepare)


def test_batches_iterator(measure: Measure) -> None:
    def prepare(stack: ms.Stack) -> Callable[[], int]:
        pull = stack.batches(ms.ON_PKT_IN, columns=["flow.id", "tcp.length"])
        return lambda: sum(len(batch) for batch in pull)

    measure(prepare)
