"""`midsock monitor`: the web monitor."""

from __future__ import annotations

import sys

import click
from rich.live import Live

import midsock as ms
from midsock._progress import progress
from midsock._report import console, report
from midsock.cli._common import (
    Checksum,
    drop_rights,
    open_stack,
    source_argument,
    user_option,
    warn,
    watch_options,
)
from midsock.cli._signals import ending
from midsock.web import WebMonitor


@click.command()
@source_argument
@user_option
@watch_options
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Servers to list.")
def monitor(source: str, user: str | None, filter_: str, checksum: Checksum, top: int) -> None:
    """Report on web traffic: connections over time, and requests, bytes and retransmissions per server.

    All TCP flows are watched unless --filter says which; what is not HTTP/1 counts no requests. Of a live
    port, the report on a terminal is renewed every second until Ctrl-C, and counts connections that ended.
    """
    with open_stack(source, checksum) as stack:
        try:
            web = WebMonitor(stack, filter=filter_)
        except ms.FilterError as error:
            raise click.BadParameter(str(error), param_hint="--filter") from error
        drop_rights(user)
        if stack.live:
            _watch_live(stack, web, top)
        else:
            with progress(stack, "reading"):
                web.run()
        console().print(report(web, top=top))
        warn(stack)


_RENEWAL = 1.0
"""Seconds between two reports on a live port."""


def _watch_live(stack: ms.Stack, web: WebMonitor, top: int) -> None:
    with ending(stack.finish):
        if not sys.stdout.isatty():
            with progress(stack, "watching"):
                web.run()
            return
        screen = console()
        with Live(console=screen, screen=not screen.is_dumb_terminal, auto_refresh=False) as live:
            while not web.run(timeout=_RENEWAL):
                live.update(report(web, top=top), refresh=True)
