"""Stacks under asyncio."""

from __future__ import annotations

import asyncio
import threading

import midsock as ms
import pytest
from frames import merge, web
from midsock import CLIENT

DATA = ms.ON_CONN_NEW_DATA


def flows(count: int) -> ms.MemoryPort:
    """Give a port of as many conversations."""
    return ms.MemoryPort(merge(*(web(number=number) for number in range(count))), burst=8)


async def test_async_for_over_batches() -> None:
    async with ms.Stack(flows(20)) as stack:
        rows = [len(batch) async for batch in stack.batches(DATA, size=10)]
    assert sum(rows) == 40
    assert stack.closed


async def test_async_for_over_events() -> None:
    async with ms.Stack(flows(3)) as stack:
        data = [event.data async for _sock, event in stack.events(DATA, side=CLIENT)]
    assert data == [b"GET / HTTP/1.1\r\n\r\n"] * 3


async def test_run_async_runs_handlers_in_a_thread_and_leaves_the_loop_free() -> None:
    threads: set[int] = set()
    go_on = threading.Event()
    async with ms.Stack(flows(3)) as stack:

        @stack.on(ms.ON_CONN_START)
        def start(_sock: ms.FlowSocket, _event: ms.Event) -> None:
            threads.add(threading.get_ident())
            assert go_on.wait(60)

        running = asyncio.create_task(stack.run_async())
        await asyncio.sleep(0)
        go_on.set()
        await running
    assert threads
    assert threading.get_ident() not in threads


async def test_exceptions_of_handlers_reach_the_awaiter() -> None:
    async with ms.Stack(flows(3)) as stack:

        @stack.on(ms.ON_CONN_START)
        def start(_sock: ms.FlowSocket, _event: ms.Event) -> None:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await stack.run_async()


async def test_leaving_early_closes_the_iterator() -> None:
    async with ms.Stack(flows(3)) as stack:
        async for _sock, event in stack.events(DATA):
            assert event.length == 18
            break
        counted = stack.count(ms.ON_CONN_END)
        await stack.run_async()
        assert counted.value == 3


async def test_several_stacks_at_once() -> None:
    async def count() -> int:
        async with ms.Stack(flows(50)) as stack:
            counted = stack.count(DATA)
            await stack.run_async()
            return counted.value

    assert await asyncio.gather(*(count() for _ in range(4))) == [100] * 4


async def test_stop_from_the_loop() -> None:
    async with ms.Stack(flows(50)) as stack:
        started, go_on = threading.Event(), threading.Event()

        @stack.on(ms.ON_CONN_END)
        def end(_sock: ms.FlowSocket, _event: ms.Event) -> None:
            started.set()
            assert go_on.wait(60)

        running = asyncio.create_task(stack.run_async())
        assert await asyncio.to_thread(started.wait, 60)
        stack.stop()
        go_on.set()
        await running
        assert stack.statistics()["received"] < 400


async def test_cancelling_stops_the_stack_and_it_can_go_on() -> None:
    async with ms.Stack(flows(50)) as stack:
        started = threading.Event()
        counted = stack.count(ms.ON_CONN_END)
        gate = threading.Event()

        @stack.on(ms.ON_CONN_START)
        def start(sock: ms.FlowSocket, _event: ms.Event) -> None:
            started.set()
            if sock.id == 0:
                assert gate.wait(60)

        running = asyncio.create_task(stack.run_async())
        assert await asyncio.to_thread(started.wait, 60)
        running.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert counted.value < 50
        while counted.value < 50:
            await stack.run_async()
