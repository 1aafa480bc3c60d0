"""`midsock monitor`: the web monitor."""

from __future__ import annotations

import click

import midsock as ms
from midsock._progress import progress
from midsock._report import console, report
from midsock.cli._common import Checksum, open_stack, source_argument, warn, watch_options
from midsock.web import WebMonitor


@click.command()
@source_argument
@watch_options
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Servers to list.")
def monitor(source: str, filter_: str, checksum: Checksum, top: int) -> None:
    """Report on web traffic: connections over time, and requests, bytes and retransmissions per server.

    All TCP flows are watched unless --filter says which; what is not HTTP/1 counts no requests.
    """
    with open_stack(source, checksum) as stack:
        try:
            web = WebMonitor(stack, filter=filter_)
        except ms.FilterError as error:
            raise click.BadParameter(str(error), param_hint="--filter") from error
        with progress(stack, "reading"):
            web.run()
        console().print(report(web, top=top))
        warn(stack)
