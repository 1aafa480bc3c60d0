"""A progress bar for a running stack, on a terminal only."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midsock import Stack

_INTERVAL = 0.1
"""Seconds between two looks at the stack."""


@contextmanager
def progress(stack: Stack, text: str, *, keep: bool = False, hide: bool = False) -> Iterator[None]:
    """Show how far a stack has read its source while the block runs.

    With `keep`, the bar stays on the screen; with `hide`, there is none. The stack is asked from a thread of
    its own, ten times a second, so that it costs the packets nothing.
    """
    console = Console(stderr=True)
    if hide or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TextColumn("{task.fields[packets]} packets"),
        console=console,
        transient=not keep,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task(text, total=None, packets="0")
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(stack, bar, task, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            _show(stack, bar, task)


def _watch(stack: Stack, bar: Progress, task: TaskID, done: threading.Event) -> None:
    while not done.wait(_INTERVAL):
        _show(stack, bar, task)


def _show(stack: Stack, bar: Progress, task: TaskID) -> None:
    packets = f"{stack.statistics()['received']:,}"
    size = stack.progress
    if size is None:
        bar.update(task, packets=packets)
    else:
        bar.update(task, completed=size[0], total=size[1], packets=packets)
    bar.refresh()
