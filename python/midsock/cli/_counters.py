"""Counters that move while packets do, on a terminal only."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STRETCH = 0.1
"""Seconds of work between two looks at signals, and at the counters."""


@contextmanager
def counters(text: Callable[[float], str]) -> Iterator[Callable[[], None]]:
    """Show what `text` gives for the seconds that have passed, as often as what is yielded is called."""
    console = Console(stderr=True, highlight=False)
    start = time.monotonic()
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield lambda: None
        return
    with Live(
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:
        yield lambda: live.update(Text(text(time.monotonic() - start), no_wrap=True), refresh=True)


def number_of(count: int, noun: str) -> str:
    """Give a count with its noun: `1 packet`, `2,000 packets`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def rates(packets: int, size: int, seconds: float) -> str:
    """Give packets and bits a second, on average."""
    if seconds <= 0:
        return ""
    bits = size * 8 / seconds
    unit = next((u for u in ("", "k", "M") if bits < 1000 ** (1 + ["", "k", "M"].index(u))), "G")
    bits /= 1000 ** ["", "k", "M", "G"].index(unit)
    return f"{packets / seconds:,.0f} packets/s, {bits:.1f} {unit}bit/s"
