"""Ctrl-C and SIGTERM as a wish to come to an end."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


@contextlib.contextmanager
def ending(act: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Call `act` at Ctrl-C or SIGTERM while the block runs, and note the signal in the list given.

    A second one ends the block by `KeyboardInterrupt`.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        if received:
            raise KeyboardInterrupt
        received.append(number)
        act()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
