"""Stacks and their iterators under asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from midsock._midsock import Pull, Stack

T = TypeVar("T")

_END = object()


async def in_thread(stack: Stack, work: Callable[[], T]) -> T:
    """Do what runs the stack in a thread, so that the event loop goes on; cancelled, stop the stack."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        # A thread cannot be cancelled, and whoever ends the loop waits for it.
        while not thread.done():
            stack.stop()
            await asyncio.wait([thread], timeout=0.01)
        if not thread.cancelled():
            thread.exception()  # it has been seen
        raise


async def next_of(pull: Pull[Any]) -> Any:  # noqa: ANN401 (whatever the iterator yields)
    """Give the next item of an iterator."""
    item = await in_thread(pull.stack, lambda: next(pull, _END))
    if item is _END:
        raise StopAsyncIteration
    return item
