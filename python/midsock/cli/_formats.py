"""The forms in which `midsock flows` writes records."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TextIO

import click

from midsock.cli._common import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midsock import FlowRecord

_SIDES = ("client", "server")
_KINDS = ("syn", "synack", "fin", "data")


class Writer(Protocol):
    """Writes records."""

    def add(self, record: FlowRecord) -> None:
        """Write one record."""

    def flush(self) -> None:
        """Let whoever reads the output see all records so far, if the format can."""

    def close(self) -> None:
        """Write what is left."""


class JsonLines:
    """One JSON object per line. Its keys are an interface; see docs/cli.md."""

    def __init__(self, out: TextIO, *, digest: bool) -> None:
        """Write to a text file; the records themselves say whether they have digests."""
        del digest
        self._out = out

    def add(self, record: FlowRecord) -> None:
        """Write one line."""
        self._out.write(record.to_json() + "\n")

    def flush(self) -> None:
        """Hand the lines to the system."""
        self._out.flush()

    def close(self) -> None:
        """Everything is written."""


class Csv:
    """One row per flow, with the columns of `columns`."""

    def __init__(self, out: TextIO, *, digest: bool) -> None:
        """Write the header to a text file."""
        self._out = out
        self._rows = csv.DictWriter(out, [name for name, _ in columns(digest=digest)], lineterminator="\n")
        self._rows.writeheader()

    def add(self, record: FlowRecord) -> None:
        """Write one row."""
        self._rows.writerow(
            {key: str(it).lower() if it is True or it is False else it for key, it in row(record).items()}
        )

    def flush(self) -> None:
        """Hand the rows to the system."""
        self._out.flush()

    def close(self) -> None:
        """Everything is written."""


class Parquet:
    """A Parquet file with the columns of `columns`, in groups of rows."""

    _GROUP = 65_536

    def __init__(self, path: str, *, digest: bool) -> None:
        """Create the file; needs pyarrow."""
        try:
            import pyarrow as pa  # noqa: PLC0415 (an extra)
            import pyarrow.parquet as pq  # noqa: PLC0415 (likewise)
        except ImportError as error:
            raise Failure("parquet needs pyarrow: pip install 'midsock[parquet]'") from error
        types = {
            "time": pa.timestamp("ns", tz="UTC"),
            "int": pa.int64(),
            "bool": pa.bool_(),
            "text": pa.string(),
        }
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns(digest=digest)])
        self._times = [name for name, kind in columns(digest=digest) if kind == "time"]
        self._pa = pa
        self._file = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, record: FlowRecord) -> None:
        """Keep one row for its group."""
        values = row(record)
        for name in self._times:
            values[name] = _nanoseconds(values[name])
        self._rows.append(values)
        if len(self._rows) >= self._GROUP:
            self._write()

    def flush(self) -> None:
        """Do nothing: the file can be read once it is whole."""

    def close(self) -> None:
        """Write the last group and the end of the file."""
        self._write()
        self._file.close()

    def _write(self) -> None:
        self._file.write_table(self._pa.Table.from_pylist(self._rows, self._schema))
        self._rows.clear()


def columns(*, digest: bool) -> list[tuple[str, str]]:
    """Names and types (`text int time bool`) of the columns of CSV and Parquet, in order."""
    names = [
        ("flow", "int"),
        ("client", "text"),
        ("server", "text"),
        ("vlan", "text"),
        ("start", "time"),
        ("end", "time"),
    ]
    names += [(f"{side}_{what}", "int") for what in ("packets", "bytes") for side in _SIDES]
    names += [(f"{side}_state", "text") for side in _SIDES]
    names += [("reason", "text"), ("handshake", "bool"), ("midstream", "bool")]
    names += [(f"{side}_rexmit_{kind}", "int") for kind in _KINDS for side in _SIDES]
    names += [(f"{side}_{what}", "int") for what in ("gaps", "gap_bytes") for side in _SIDES]
    names += [(name, "text") for name in ("anomalies", "conn_state", "history")]
    if digest:
        names += [(f"{side}_stream_length", "int") for side in _SIDES]
        names += [(f"{side}_stream_sha256", "text") for side in _SIDES]
    return names


def row(record: FlowRecord) -> dict[str, Any]:
    """Give a record as values of `columns`."""
    # Times stay text, as a float cannot hold nanoseconds.
    flow = json.loads(record.to_json(), parse_float=str)
    values: dict[str, Any] = {"flow": record.id, "vlan": ".".join(map(str, record.vlan))}
    same = ("client", "server", "start", "end", "reason", "handshake", "midstream", "conn_state", "history")
    values |= {key: flow[key] for key in same}
    values["anomalies"] = " ".join(f"{name}={count}" for name, count in flow["anomalies"].items())
    for i, side in enumerate(_SIDES):
        values[f"{side}_packets"] = flow["packets"][i]
        values[f"{side}_bytes"] = flow["bytes"][i]
        values[f"{side}_state"] = flow["state"][side]
        values |= {f"{side}_rexmit_{kind}": flow["rexmit"][kind][i] for kind in _KINDS}
        values[f"{side}_gaps"] = len(flow["gaps"][side])
        values[f"{side}_gap_bytes"] = sum(length for _, length in flow["gaps"][side])
        stream = flow.get("stream", {}).get(side)
        if stream is not None:
            values[f"{side}_stream_length"] = stream["length"]
            values[f"{side}_stream_sha256"] = stream["sha256"]
    return values


def _nanoseconds(seconds: str) -> int:
    """Nanoseconds of a number with nine decimals."""
    return int(seconds.replace(".", ""))


class Table:
    """A table to read. Rows are laid out in blocks, so that a capture of any size needs little memory."""

    _BLOCK = 1_000
    _HEAD = (
        "flow",
        "client",
        "server",
        "start (UTC)",
        "seconds",
        "packets",
        "bytes",
        "end",
        "rexmit",
        "gaps",
        "anomalies",
    )
    _LEFT = ("client", "server", "start (UTC)", "end", "anomalies")
    _ROOM: ClassVar = {
        "client": 21,
        "server": 21,
        "start (UTC)": 19,
        "seconds": 8,
        "bytes": 11,
        "end": 7,
        "client sha256": 12,
    }

    def __init__(self, out: TextIO, *, digest: bool) -> None:
        """Write to a text file."""
        self._out = out
        self._head = (
            (*self._HEAD[:-1], "client sha256", "server sha256", "anomalies") if digest else self._HEAD
        )
        self._digest = digest
        self._widths = [len(name) for name in self._head]
        self._block: list[Sequence[str]] = [self._head]

    def add(self, record: FlowRecord) -> None:
        """Keep one row for its block."""
        begin = datetime.fromtimestamp(record.start, UTC)
        gaps = sum(length for side in record.gaps for _, length in side)
        cells = [
            str(record.id),
            record.client,
            record.server,
            f"{begin:%Y-%m-%d %H:%M:%S}",
            f"{record.end - record.start:.3f}",
            f"{sum(record.packets):,}",
            f"{sum(record.bytes):,}",
            str(record.reason),
            str(sum(sum(pair) for pair in record.rexmit.values()) or ""),
            f"{gaps:,}" if gaps else "",
        ]
        if self._digest:
            cells += [digest[1][:12] if digest else "" for digest in record.digest]
        cells.append(" ".join(f"{name}={count}" for name, count in record.anomalies.items()))
        self._block.append(cells)
        if len(self._block) >= self._BLOCK:
            self._write()

    def flush(self) -> None:
        """Write the rows so far, with room for those to come."""
        rooms = (self._ROOM.get(name, 0) for name in self._head)
        self._widths = [max(width, room) for width, room in zip(self._widths, rooms, strict=True)]
        self._write()
        self._out.flush()

    def close(self) -> None:
        """Write the last block."""
        self._write()

    def _write(self) -> None:
        for cells in self._block:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        for cells in self._block:
            is_head = cells is self._head
            line = "  ".join(
                cell.ljust(width) if name in self._LEFT else cell.rjust(width)
                for name, cell, width in zip(self._head, cells, self._widths, strict=True)
            ).rstrip()
            styled = click.style(line, bold=True) if is_head and self._out.isatty() else line
            self._out.write(styled + "\n")
        self._block.clear()
