"""Iterators of a stack under asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midsock._midsock import Pull

_END = object()


async def next_of(pull: Pull[Any]) -> Any:  # noqa: ANN401 (whatever the iterator yields)
    """Give the next item of an iterator, found in a thread so that the event loop goes on."""
    item = await asyncio.to_thread(next, pull, _END)
    if item is _END:
        raise StopAsyncIteration
    return item
