"""Batches: rows of events as columns."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import midsock as ms
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from frames import MILLISECOND, START, Talk, merge, web
from midsock import CLIENT, SERVER

DATA = ms.ON_CONN_NEW_DATA
COLUMNS = (
    "flow.id",
    "event.side",
    "event.time",
    "ip.src",
    "tcp.psh",
    "event.offset",
    "event.length",
    "event.data",
)


def two_flows(*, burst: int = 1) -> ms.Stack:
    """Give a stack of two conversations of four rows."""
    talks = [
        Talk(client_port=port, now=START + port).open().client(b"ab" * port).server(b"12345")
        for port in (1, 2)
    ]
    return ms.Stack(ms.MemoryPort(merge(*talks), burst=burst))


def one_batch(stack: ms.Stack, *columns: str | ms.Field, event: ms.EventType = DATA) -> ms.Batch:
    """Give all rows of a stack as one batch."""
    (batch,) = stack.batches(event, columns=columns or COLUMNS, size=1_000_000)
    return batch


def test_on_batch_gives_columns_once_per_burst() -> None:
    stack = two_flows(burst=256)
    batches: list[ms.Batch] = []

    @stack.on_batch(DATA, columns=COLUMNS)
    def take(batch: ms.Batch) -> None:
        batches.append(batch)

    stack.run()
    (batch,) = batches
    assert callable(take)
    assert len(batch) == 4
    assert batch.columns == list(COLUMNS) == batch.keys() == list(batch)
    assert batch["flow.id"].to_list() == [0, 1, 0, 1]
    assert batch["event.side"].to_list() == [0, 0, 1, 1]
    assert batch["event.data"].to_list() == [b"ab", b"abab", b"12345", b"12345"]
    assert batch["event.length"].to_list() == [2, 4, 5, 5]
    assert batch["ip.src"].to_list() == ["10.0.0.1"] * 2 + ["10.0.0.2"] * 2
    assert batch["tcp.psh"].to_list() == [True] * 4
    assert batch["event.time"][0] == START + 1 + 4 * MILLISECOND


def test_columns_are_named_by_field_or_text_and_have_a_default() -> None:
    batch = one_batch(two_flows(), ms.tcp.seq, "tcp.dport", ms.client.state)
    assert batch.columns == ["tcp.seq", "tcp.dport", "client.state"]
    (batch,) = two_flows().batches(DATA)
    assert batch.columns == ["flow.id", "event.side", "event.time", "event.offset", "event.length"]


def test_wrong_columns_are_refused() -> None:
    stack = two_flows()
    with pytest.raises(KeyError, match=r"there is no field .*midsock\.FIELDS"):
        stack.batches(DATA, columns=["tcp.sequence"])
    with pytest.raises(ValueError, match="at least one column"):
        stack.batches(DATA, columns=[])
    with pytest.raises(TypeError, match="a field is given as such"):
        stack.batches(DATA, columns=[7])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        stack.on_batch(DATA, 7)  # type: ignore[call-overload]


def test_iterator_gives_rows_in_sizes() -> None:
    talks = [web(number=number) for number in range(100)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks), burst=10))
    batches = list(stack.batches(ms.ON_PKT_IN, columns=["tcp.seq"], size=100))
    # A batch is handed over at the end of the burst in which it is full.
    assert [len(batch) for batch in batches] == [100] * 8
    assert sum(len(batch) for batch in batches) == 800


def test_rows_that_are_left_come_at_the_end_of_the_input() -> None:
    stack = two_flows()
    sizes: list[int] = []
    stack.on_batch(DATA, lambda batch: sizes.append(len(batch)), size=3)
    stack.run()
    assert sizes == [3, 1]


def test_new_data_is_one_row_per_flow_side_and_burst() -> None:
    talk = Talk().open()
    for number in range(5):
        talk.client(b"c%d" % number).server(b"s%d" % number)
    batch = one_batch(ms.Stack(talk.port(burst=256)))
    assert batch["event.data"].to_list() == [b"c0c1c2c3c4", b"s0s1s2s3s4"]
    assert batch["event.offset"].to_list() == [0, 0]
    assert batch["event.length"].to_list() == [10, 10]
    single = one_batch(ms.Stack(talk.port(burst=1)))
    assert single["event.data"].to_list() == [
        b"%c%d" % (side, number) for number in range(5) for side in b"cs"
    ]


def test_gap_ends_a_row() -> None:
    talk = Talk().open().client(b"ab").client(b"cd", lost=True).client(b"ef").send(SERVER)
    batch = one_batch(talk.stack())
    assert list(zip(batch["event.offset"].to_list(), batch["event.data"].to_list(), strict=True)) == [
        (0, b"ab"),
        (4, b"ef"),
    ]


def test_other_events_make_a_row_each() -> None:
    batch = one_batch(two_flows(burst=256), "event.new", "event.side", event=ms.ON_TCP_STATE_CHANGE)
    assert len(batch) == 8


def test_filters_sides_and_hooks_apply() -> None:
    stack = two_flows()
    pulls = [
        stack.batches(DATA, columns=["event.data"], side=CLIENT),
        stack.batches(DATA, columns=["event.data"], filter=ms.event.length > 4),
        stack.batches(
            ms.ON_PKT_IN, columns=["sender.state"], hook=ms.PRE_TCP, filter=ms.tcp.syn & ~ms.tcp.ack
        ),
    ]
    batches = [[row for batch in pull for row in batch[batch.columns[0]]] for pull in pulls]
    assert batches == [[b"ab", b"abab"], [b"12345"] * 2, [0, 0]]


def test_what_does_not_apply_is_null_and_zero() -> None:
    batch = one_batch(web().stack(), "tcp.mss", "event.reason", "tcp.tsval", event=ms.ON_PKT_IN)
    assert batch["tcp.mss"].to_list()[:4] == [1460, 1460, None, None]
    assert batch["tcp.mss"][2] is None
    assert np.asarray(batch["tcp.mss"])[:4].tolist() == [1460, 1460, 0, 0]
    table = pa.table(batch)
    assert table["tcp.mss"].null_count == 6
    assert table["event.reason"].null_count == 8
    assert pl.DataFrame(batch)["tcp.mss"].null_count() == 6


# --- one column ---


def test_numbers_share_their_memory_read_only() -> None:
    batch = one_batch(two_flows())
    column = batch["event.length"]
    array = np.asarray(column)
    assert array.dtype == np.uint64
    assert array.tolist() == [2, 4, 5, 5]
    assert np.shares_memory(array, np.asarray(column))
    assert np.shares_memory(array, np.asarray(batch["event.length"]))
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    view = memoryview(column)
    assert (view.readonly, view.format, view.itemsize, view.shape, view.tolist()) == (
        True,
        "Q",
        8,
        (4,),
        [2, 4, 5, 5],
    )
    assert np.shares_memory(array, np.frombuffer(view, dtype=np.uint64))


@pytest.mark.parametrize(
    ("field", "dtype", "form"),
    [
        ("tcp.psh", "?", "?"),
        ("ip.ttl", "u1", "B"),
        ("tcp.dport", "u2", "H"),
        ("tcp.seq", "u4", "I"),
        ("flow.bytes", "u8", "Q"),
        ("event.time", "i8", "q"),
    ],
)
def test_every_type_of_number(field: str, dtype: str, form: str) -> None:
    column = one_batch(two_flows(), field)[field]
    array = np.asarray(column)
    assert array.dtype == np.dtype(dtype)
    assert memoryview(column).format == form
    assert np.shares_memory(array, np.asarray(column))
    assert len(array) == len(column) == 4
    assert array.tolist() == column.to_list() == list(column)


def test_times_become_numpys_without_a_copy() -> None:
    batch = one_batch(two_flows())
    array = np.asarray(batch["event.time"])
    times = array.view("M8[ns]")
    assert np.shares_memory(array, times)
    assert times[0] == np.datetime64(START + 1 + 4 * MILLISECOND, "ns")
    assert np.asarray(batch)["event.time"].dtype == np.dtype("M8[ns]")


def test_copies_and_other_types_on_demand() -> None:
    column = one_batch(two_flows())["event.length"]
    copied = np.array(column, copy=True)
    copied[0] = 99
    assert column[0] == 2
    assert np.asarray(column, dtype=np.float32).tolist() == [2.0, 4.0, 5.0, 5.0]
    assert np.asarray(column, dtype=np.uint64, copy=False).tolist() == [2, 4, 5, 5]
    with pytest.raises(ValueError, match="copy"):
        np.asarray(column, dtype=np.float32, copy=False)


def test_text_and_bytes_are_objects() -> None:
    batch = one_batch(two_flows())
    assert np.asarray(batch["event.data"]).tolist() == [b"ab", b"abab", b"12345", b"12345"]
    assert np.asarray(batch["ip.src"]).tolist() == ["10.0.0.1"] * 2 + ["10.0.0.2"] * 2
    for name in ("event.data", "ip.src"):
        with pytest.raises(BufferError, match="text or bytes"):
            memoryview(batch[name])
        with pytest.raises(ValueError, match="without a copy"):
            np.asarray(batch[name], copy=False)


def test_column_as_a_sequence() -> None:
    column = one_batch(two_flows())["event.length"]
    assert (column[0], column[-1], column[-4], column[3]) == (2, 5, 2, 5)
    for row in (4, -5, 2**62, -(2**62)):
        with pytest.raises(IndexError):
            column[row]
    with pytest.raises((TypeError, OverflowError, IndexError)):
        column[2**80]
    assert 5 in column
    assert repr(column) == "<midsock.Column 4 of UInt64>"


def test_unknown_column_is_a_key_error() -> None:
    batch = one_batch(two_flows())
    assert "event.length" in batch
    assert "event.lengths" not in batch
    with pytest.raises(KeyError, match="no column"):
        batch["event.lengths"]
    assert repr(batch).startswith("<midsock.Batch 4 rows of flow.id, event.side")


def test_column_outlives_its_batch_and_its_stack() -> None:
    batches: list[ms.Batch] = []
    stack = two_flows(burst=256)
    stack.on_batch(DATA, batches.append, columns=COLUMNS)
    stack.run()
    column, text = batches[0]["event.length"], batches[0]["event.data"]
    array, view = np.asarray(column), memoryview(column)
    arrow = pa.array(text)
    gone = weakref.ref(stack)
    stack.close()
    batches.clear()
    del stack, column, text
    gc.collect()
    assert gone() is None
    # Others have had their chance to take the memory.
    noise = [one_batch(two_flows()) for _ in range(50)]
    assert array.tolist() == view.tolist() == [2, 4, 5, 5]
    assert arrow.to_pylist() == [b"ab", b"abab", b"12345", b"12345"]
    assert len(noise) == 50


def test_batches_are_not_written_to_later() -> None:
    stack = two_flows(burst=1)
    batches: list[ms.Batch] = []
    stack.on_batch(DATA, batches.append, columns=["event.data", "event.length"])
    stack.run()
    rows = [
        (row, length)
        for batch in batches
        for row, length in zip(batch["event.data"], batch["event.length"], strict=True)
    ]
    assert rows == [(b"ab", 2), (b"abab", 4), (b"12345", 5), (b"12345", 5)]


# --- whole batches, elsewhere ---


def test_structured_array() -> None:
    batch = one_batch(two_flows())
    array = np.asarray(batch)
    assert array.dtype.names == COLUMNS
    assert array["event.length"].tolist() == [2, 4, 5, 5]
    assert array[1]["event.data"] == b"abab"
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(batch, copy=False)


def expected() -> dict[str, list[Any]]:
    """Give what some columns of `two_flows` hold."""
    return {
        "flow.id": [0, 1, 0, 1],
        "ip.src": ["10.0.0.1"] * 2 + ["10.0.0.2"] * 2,
        "tcp.psh": [True] * 4,
        "event.length": [2, 4, 5, 5],
        "event.data": [b"ab", b"abab", b"12345", b"12345"],
    }


def test_pandas() -> None:
    batch = one_batch(two_flows())
    frame = batch.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    for name, values in expected().items():
        assert frame[name].tolist() == values
    assert frame["event.time"].dtype == np.dtype("M8[ns]")
    assert frame.groupby("flow.id")["event.length"].sum().to_dict() == {0: 7, 1: 9}
    from_arrow = pd.DataFrame.from_arrow(batch)  # type: ignore[attr-defined]
    assert from_arrow["event.length"].tolist() == [2, 4, 5, 5]


def test_polars() -> None:
    frame = pl.DataFrame(one_batch(two_flows()))
    assert frame.columns == list(COLUMNS)
    for name, values in expected().items():
        assert frame[name].to_list() == values
    assert frame.schema["event.time"] == pl.Datetime("ns", "UTC")
    assert frame.schema["event.side"] == pl.UInt8


def test_pyarrow() -> None:
    batch = one_batch(two_flows())
    table = pa.table(batch)
    table.validate(full=True)
    assert table.column_names == list(COLUMNS)
    for name, values in expected().items():
        assert table[name].to_pylist() == values
    assert table.schema.field("event.time").type == pa.timestamp("ns", "UTC")
    assert table.schema == pa.schema(batch)
    assert pa.record_batch(batch).num_rows == 4
    for name, values in expected().items():
        array = pa.array(batch[name])
        array.validate(full=True)
        assert array.to_pylist() == values


def test_arrow_shares_memory() -> None:
    batch = one_batch(two_flows())
    array = np.asarray(batch["event.length"])
    assert np.shares_memory(array, pa.array(batch["event.length"]).to_numpy())
    assert np.shares_memory(array, pa.table(batch)["event.length"].chunk(0).to_numpy())


def test_capsules_that_nobody_takes_are_freed() -> None:
    batch = one_batch(two_flows())
    for _ in range(1_000):
        batch.__arrow_c_array__()
        batch.__arrow_c_schema__()
        batch.__arrow_c_stream__()
        batch["event.data"].__arrow_c_array__()


# --- iterators ---


def test_events_iterates_over_pairs() -> None:
    stack = two_flows()
    seen = [(sock, event.side, event.length) for sock, event in stack.events(DATA)]
    assert [(side, length) for _, side, length in seen] == [
        (CLIENT, 2),
        (CLIENT, 4),
        (SERVER, 5),
        (SERVER, 5),
    ]
    assert seen[0][0] is seen[2][0]


def test_iterator_reads_live_state_where_the_stack_rests() -> None:
    stack = ms.Stack(Talk().open().client(b"abc").client(b"def").port())
    sock = stack.socket(reassemble=True)
    seen = []
    for flow, event in sock.events(DATA):
        assert isinstance(flow, ms.FlowSocket)
        seen.append((event.data, flow.client.read()))
    assert seen == [(b"abc", b"abc"), (b"def", b"def")]


def test_closed_iterator_ends_and_the_stack_goes_on() -> None:
    stack = two_flows()
    pull = stack.events(DATA)
    counted = stack.count(DATA)
    next(pull)
    pull.close()
    pull.close()
    assert list(pull) == []
    stack.run()
    assert counted.value == 4


def test_two_iterators_share_a_stack() -> None:
    stack = two_flows()
    data, ends = stack.events(DATA), stack.events(ms.ON_CONN_END)
    assert len(list(ends)) == 2
    assert len(list(data)) == 4


def test_exhausted_iterator_stays_so() -> None:
    pull = two_flows().batches(DATA)
    assert len(list(pull)) == 1
    with pytest.raises(StopIteration):
        next(pull)
    assert iter(pull) is pull


def test_flows_iterates_over_records_in_order_of_their_end() -> None:
    talks = [web(number=number) for number in range(10)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks)))
    stack.socket()
    assert [record.id for record in stack.flows()] == list(range(10))
