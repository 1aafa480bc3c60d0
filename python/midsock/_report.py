"""The web monitor's report, for people to read."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from midsock.web import Server, WebMonitor

_PLAIN_WIDTH = 120
"""Columns of a report that is not written to a terminal."""
_BARS = 20
_BAR_WIDTH = 50
_MINUTE = 60


def console() -> Console:
    """Give the console on which reports are printed."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def report(monitor: WebMonitor, *, top: int) -> RenderableType:
    """Sum up what a monitor has seen, with a row for each of the `top` busiest servers."""
    if monitor.first is None:
        return Text("No TCP connection was seen.")
    total = monitor.total()
    return Group(_summary(monitor, total), _ongoing(monitor), _servers(monitor, total, top))


def _summary(monitor: WebMonitor, total: Server) -> RenderableType:
    first = monitor.first or 0.0
    requests = ", ".join(f"{n:,} {method}" for method, n in total.requests.most_common(8))
    reasons = ", ".join(f"{n:,} {_REASONS[reason]}" for reason, n in monitor.reasons.most_common())
    rexmits = [f"{sum(pair):,} {_KINDS[kind]}" for kind, pair in total.rexmit.items()]
    begin = datetime.fromtimestamp(first, UTC)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("Time", f"{begin:%Y-%m-%d %H:%M:%S} UTC, {monitor.last - first:,.1f} s")
    table.add_row(
        "Connections", f"{total.connections:,}: {reasons}; at most {monitor.timeline.most:,} at once"
    )
    table.add_row("Requests", f"{total.requests.total():,}" + (f": {requests}" if requests else ""))
    table.add_row("Retransmissions", ", ".join(rexmits))
    return table


_REASONS = {
    "closed": "closed",
    "reset": "reset",
    "timeout": "timed out",
    "evicted": "evicted",
    "stopped": "stopped",
    "end": "still open at the end",
}
_KINDS = {"syn": "SYN", "synack": "SYN/ACK", "fin": "FIN", "data": "data"}


def _ongoing(monitor: WebMonitor) -> RenderableType:
    width, bars = monitor.timeline.bars(_BARS, monitor.last)
    highest = max(bars, default=0) or 1
    table = Table(box=None, padding=(0, 2, 0, 0), title="Ongoing connections over time (the most at once)")
    table.title_justify = "left"
    table.title_style = "bold"
    table.add_column("from", justify="right")
    table.add_column("", justify="right")
    table.add_column("")
    for i, count in enumerate(bars):
        length = round(count * _BAR_WIDTH / highest)
        bar = Text("█" * max(length, 1 if count else 0), style="cyan")
        table.add_row(_offset(i * width), f"{count:,}", bar)
    return Group("", table, "")


def _offset(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"+{seconds} s"
    hours, rest = divmod(seconds, _MINUTE * _MINUTE)
    return f"+{hours}:{rest // _MINUTE:02}:{rest % _MINUTE:02}"


def _servers(monitor: WebMonitor, total: Server, top: int) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title="Servers", title_justify="left")
    table.title_style = "bold"
    table.add_column("server", no_wrap=True)
    kinds = (f"rexmit\n{kind}" for kind in _KINDS.values())
    for name in ("connections", "requests", "bytes\nin", "bytes\nout", *kinds):
        table.add_column(name, justify="right", no_wrap=True)
    servers = sorted(monitor.servers.values(), key=lambda it: (-sum(it.bytes), it.name))
    for server in servers[:top]:
        table.add_row(*_row(server))
    if len(servers) > top:
        table.add_row(f"… and {len(servers) - top:,} more")
    table.add_section()
    table.add_row(*_row(total), style="bold")
    return table


def _row(server: Server) -> list[str]:
    numbers = (
        server.connections,
        server.requests.total(),
        *server.bytes,
        *(sum(server.rexmit[kind]) for kind in _KINDS),
    )
    return [server.name, *(f"{number:,}" for number in numbers)]
