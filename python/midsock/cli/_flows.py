"""`midsock flows`: a record of every flow."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from midsock._progress import progress
from midsock.cli._common import (
    Checksum,
    drop_rights,
    open_socket,
    open_stack,
    refuse_to_overwrite,
    source_argument,
    user_option,
    warn,
    watch_options,
)
from midsock.cli._formats import Csv, JsonLines, Parquet, Table, Writer
from midsock.cli._signals import ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import midsock as ms

_TEXT_FORMATS: dict[str, Callable[..., Writer]] = {"table": Table, "json": JsonLines, "csv": Csv}


@click.command()
@source_argument
@click.option(
    "--format",
    "-f",
    "format_",
    type=click.Choice([*_TEXT_FORMATS, "parquet"]),
    default="table",
    show_default=True,
    help="How to write the records; json is one object per line.",
)
@click.option("--digest", is_flag=True, help="Add length and SHA-256 of the reassembled streams.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write there, not to standard output.",
)
@user_option
@watch_options
def flows(
    source: str,
    format_: str,
    digest: bool,
    output: str | None,
    user: str | None,
    filter_: str,
    checksum: Checksum,
) -> None:
    """Print a record of every TCP flow, in the order in which the flows ended.

    Flows whose beginning is not in the capture are picked up, so that every TCP packet belongs to a flow. Of
    a live port, they are printed as they end; Ctrl-C ends those that are left.
    """
    if output is not None:
        refuse_to_overwrite(source, output, "--output")
    with open_stack(source, checksum) as stack:
        open_socket(stack, filter_, digest=digest)
        is_on_screen = output is None and sys.stdout.isatty()
        with _writer(format_, output, digest=digest) as writer, progress(stack, "reading", hide=is_on_screen):
            drop_rights(user)
            if stack.live:
                _write_live(stack, writer)
            else:
                for record in stack.flows():
                    writer.add(record)
        warn(stack)


_SOON = 0.5
"""Seconds after which a record of a live port is out at the latest."""


def _write_live(stack: ms.Stack, writer: Writer) -> None:
    with ending(stack.finish):
        while not stack.ended:
            writer.flush()
            for record in stack.flows(timeout=_SOON):
                writer.add(record)


@contextlib.contextmanager
def _writer(format_: str, output: str | None, *, digest: bool) -> Iterator[Writer]:
    if format_ == "parquet":
        if output is None:
            raise click.UsageError("parquet is no text: say where to write it with --output FILE")
        with contextlib.closing(Parquet(output, digest=digest)) as parquet:
            yield parquet
        return
    with _text_file(output) as out:
        writer = _TEXT_FORMATS[format_](out, digest=digest)
        yield writer
        writer.close()


@contextlib.contextmanager
def _text_file(output: str | None) -> Iterator[TextIO]:
    if output is None or output == "-":
        yield sys.stdout
        return
    with Path(output).open("w", encoding="utf-8", newline="") as out:
        yield out
