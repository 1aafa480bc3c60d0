"""Stacks that run while a test makes traffic."""

from __future__ import annotations

import contextlib
import threading
import time
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import midsock as ms


@contextlib.contextmanager
def running(*stacks: ms.Stack) -> Iterator[None]:
    """Run stacks in threads of their own meanwhile, then stop and close them; raise what one raised."""
    errors: list[BaseException] = []

    def run(stack: ms.Stack) -> None:
        try:
            stack.run()
        except BaseException as error:  # noqa: BLE001 -- it belongs to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(stack,)) for stack in stacks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for stack in stacks:
            stack.stop()
        for thread in threads:
            thread.join(10)
        late = [thread for thread in threads if thread.is_alive()]
        for stack in stacks if not late else []:
            stack.close()
        assert not late, "a stack does not stop"
    if errors:
        raise errors[0]


def until(condition: Callable[[], object], *, seconds: float = 5) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)
