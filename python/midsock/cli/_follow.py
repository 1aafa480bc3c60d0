"""`midsock follow`: the reassembled streams of one flow."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol, TextIO

import click

import midsock as ms
from midsock._progress import progress
from midsock.cli._common import (
    Checksum,
    Failure,
    drop_rights,
    open_socket,
    open_stack,
    source_argument,
    user_option,
    warn,
    watch_options,
)
from midsock.cli._signals import ending

if TYPE_CHECKING:
    from collections.abc import Callable

_HEX_ROW = 16


@click.command()
@source_argument
@click.option(
    "--flow",
    "number",
    metavar="N",
    type=click.IntRange(0),
    required=True,
    help="The flow's number, as in `flows`.",
)
@click.option(
    "--side",
    type=click.Choice(["client", "server", "both"]),
    default="both",
    show_default=True,
    help="Whose bytes to show.",
)
@click.option(
    "--hex", "form", flag_value="hex", help="Show the bytes in hexadecimal, with their stream offsets."
)
@click.option("--raw", "form", flag_value="raw", help="Write the bytes as they are.")
@user_option
@watch_options
def follow(
    source: str, number: int, side: str, form: str | None, user: str | None, filter_: str, checksum: Checksum
) -> None:
    """Print what the ends of one flow sent, reassembled.

    Flows are numbered from 0 in the order in which they were opened; with --filter, those that match. Of a
    live port, bytes are printed as they come.
    """
    sides = [ms.CLIENT, ms.SERVER] if side == "both" else [ms.Side[side.upper()]]
    with open_stack(source, checksum) as stack:
        socket = open_socket(stack, filter_)
        shown = _VIEWS[form or "text"](both=len(sides) > 1)
        is_this = ms.flow.id == number
        ended: list[bool] = []

        def data(_sock: ms.FlowSocket, event: ms.Event) -> None:
            shown.data(event.side, event.offset, event.data)

        def gap(_sock: ms.FlowSocket, event: ms.Event) -> None:
            shown.gap(event.side, event.offset, event.length)

        def end(_sock: ms.FlowSocket, _event: ms.Event) -> None:
            ended.append(True)
            stack.stop()

        for which in sides:
            socket.on(ms.ON_CONN_NEW_DATA.where(is_this), data, side=which)
            socket.on(ms.ON_GAP.where(is_this), gap, side=which)
        socket.on(ms.ON_CONN_END.where(is_this), end)
        with progress(stack, "reading", hide=sys.stdout.isatty()):
            drop_rights(user)
            if stack.live:
                _follow_live(stack, ended)
            else:
                stack.run()
        shown.end()
        if not ended:
            opened = stack.statistics()["flows_opened"]
            raise Failure(f"{source}: there is no flow {number}: it holds {opened}, numbered from 0")
        warn(stack)


_SOON = 0.1
"""Seconds after which bytes of a live port are out at the latest."""


def _follow_live(stack: ms.Stack, ended: list[bool]) -> None:
    with ending(stack.finish):
        while not (ended or stack.run(timeout=_SOON)):
            sys.stdout.flush()


class _View(Protocol):
    """How streams are shown."""

    def data(self, side: ms.Side, offset: int, data: bytes) -> None:
        """Show the next bytes of a side."""

    def gap(self, side: ms.Side, offset: int, length: int) -> None:
        """Tell bytes of a side that were never seen."""

    def end(self) -> None:
        """Finish."""


class _Raw:
    """Bytes as they are. A gap cannot be shown among them."""

    def __init__(self, *, both: bool) -> None:
        del both
        self._out: BinaryIO = sys.stdout.buffer

    def data(self, side: ms.Side, offset: int, data: bytes) -> None:
        del side, offset
        self._out.write(data)

    def gap(self, side: ms.Side, offset: int, length: int) -> None:
        click.echo(f"midsock: warning: {_missing(side, offset, length)}", err=True)

    def end(self) -> None:
        self._out.flush()


class _Text:
    """Text, with a dot for what is none; a line says whose it is wherever that changes."""

    def __init__(self, *, both: bool) -> None:
        self._out: TextIO = sys.stdout
        self._both = both
        self._side: ms.Side | None = None
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = [decoder("replace"), decoder("replace")]
        self._at_line_start = True

    def data(self, side: ms.Side, offset: int, data: bytes) -> None:
        if self._both and side is not self._side:
            self._line(f"--- {side} at {offset} ---")
            self._side = side
        text = _printable(self._decoders[side].decode(data))
        self._out.write(text)
        self._at_line_start = text.endswith("\n") if text else self._at_line_start

    def gap(self, side: ms.Side, offset: int, length: int) -> None:
        self._line(f"--- {_missing(side, offset, length)} ---")
        self._side = None

    def end(self) -> None:
        if not self._at_line_start:
            self._out.write("\n")

    def _line(self, text: str) -> None:
        self.end()
        self._out.write(text + "\n")
        self._at_line_start = True


def _printable(text: str) -> str:
    """Leave nothing in it that a terminal would obey."""
    text = text.replace("\r\n", "\n").replace("\r", "")
    if text.isprintable():
        return text
    return "".join(
        c if (c.isprintable() and c != "\N{REPLACEMENT CHARACTER}") or c in "\n\t" else "." for c in text
    )


class _Hex:
    """Rows of hexadecimal bytes with their stream offsets."""

    def __init__(self, *, both: bool) -> None:
        self._out: TextIO = sys.stdout
        self._both = both

    def data(self, side: ms.Side, offset: int, data: bytes) -> None:
        name = f"{side} " if self._both else ""
        for start in range(0, len(data), _HEX_ROW):
            row = data[start : start + _HEX_ROW]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)  # noqa: PLR2004 (ASCII)
            self._out.write(f"{name}{offset + start:08x}  {row.hex(' '):<{3 * _HEX_ROW - 1}}  {text}\n")

    def gap(self, side: ms.Side, offset: int, length: int) -> None:
        self._out.write(f"{_missing(side, offset, length)}\n")

    def end(self) -> None:
        """Every row is complete."""


def _missing(side: ms.Side, offset: int, length: int) -> str:
    return f"{length} bytes of the {side} at {offset} are missing"


_VIEWS: dict[str, Callable[..., _View]] = {"text": _Text, "hex": _Hex, "raw": _Raw}
