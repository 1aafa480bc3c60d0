"""A midsock script in the middle of a network, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import pathlib
import select
import signal
import subprocess
import sys
import time
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from live.network import Network

#: What a script of a test is put into: it finds `stack`, and leaves what it wants to tell in `said`.
FRAME = """
import hashlib, json, random, signal, sys
import midsock as ms

signal.signal(signal.SIGTERM, signal.default_int_handler)
said = {{}}
with ms.Stack(*sys.argv[1:], {options}) as stack:
    finish = lambda: None
{script}
    print("ready", flush=True)
    try:
        stack.run()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        said["error"] = str(error)
    finish()
    said["statistics"] = stack.statistics()
print(json.dumps(said))
"""


class Middlebox:
    """A script at work; once it has ended, `said` holds what it told."""

    said: dict[str, typing.Any]
    process: subprocess.Popen[bytes]

    def ended(self, timeout: float = 10) -> None:
        """Wait until it ends by itself."""
        self.process.wait(timeout)


@contextlib.contextmanager
def middlebox(
    network: Network,
    ports: tuple[str, ...],
    script: str = "",
    *,
    options: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Middlebox]:
    """Run a script in the middle of the network until the block is over.

    It is the body of a program that has a `stack` of these ports, made with `options`; `finish` may be set to
    a function that is called at the end.
    """
    body = "\n".join(f"    {line}" for line in script.strip("\n").splitlines())
    program = FRAME.format(script=body, options=options)
    with running(network, sys.executable, "-c", program, *ports, environment=environment) as box:
        yield box
    said = box.output.decode().strip().splitlines()
    assert box.process.returncode == 0, f"the middlebox ended with {box.process.returncode}: {box.errors}"
    box.said = json.loads(said[-1])


class Running(Middlebox):
    """A process, with what it wrote once it has ended."""

    output: bytes
    errors: str


@contextlib.contextmanager
def running(
    network: Network, *command: object, environment: Mapping[str, str] | None = None, ready: str = "ready"
) -> Iterator[Running]:
    """Run a program in the middle from when it says that it is ready to the end of the block."""
    box = Running()
    box.process = subprocess.Popen(
        network.middle.command(*command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if environment is None else dict(environment),
    )
    try:
        if ready:
            wait_for(box.process, ready.encode())
        yield box
    finally:
        if box.process.poll() is None:
            box.process.send_signal(signal.SIGTERM)
        try:
            box.output, errors = box.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            box.process.kill()
            box.output, errors = box.process.communicate()
        box.errors = errors.decode()[-3000:]


def wait_for(process: subprocess.Popen[bytes], word: bytes, timeout: float = 20) -> None:
    """Wait until a process writes a line."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    while True:
        if not select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"no {word!r} within {timeout} s")
        line = process.stdout.readline()
        if line.strip() == word:
            return
        if not line:
            assert process.stderr is not None
            raise AssertionError(f"it ended: {process.stderr.read().decode()[-3000:]}")


def is_listening_on(network: Network, interface: str) -> bool:
    """Tell whether a live port is open on an interface of the middle."""
    with network.middle.entered():
        packets = len(pathlib.Path("/proc/thread-self/net/packet").read_text().splitlines()) > 1
    return packets or "xdp" in network.middle.links()[interface]
