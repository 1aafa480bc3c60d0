"""What the tests of netmap ports share: the emulated device or, with MIDSOCK_NETMAP=device, the module's."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import netmap_emulation as emulation
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live import Namespace

BODIES = pathlib.Path(__file__).parent / "netmap_bodies.py"
IS_EMULATED = os.environ.get("MIDSOCK_NETMAP", "emulated") != "device"


class Netmap:
    """A /dev/netmap for the processes of one test."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.settings: dict[str, int] = {}

    def environment(self) -> dict[str, str]:
        if IS_EMULATED:
            return emulation.environment(self.directory, sanitize=False, **self.settings)
        return dict(os.environ)

    def command(self, body: str, *arguments: object) -> list[str]:
        return [sys.executable, str(BODIES), body, *map(str, arguments)]

    def run(self, body: str, *arguments: object, namespace: Namespace | None = None) -> str:
        """Run a body to its end; give what it said."""
        command = self.command(body, *arguments)
        if namespace is not None:
            command = namespace.command(*command)
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout

    def start(self, body: str, *arguments: object, namespace: Namespace) -> Running:
        """Start a body in a namespace and wait until it is ready."""
        command = namespace.command(*self.command(body, *arguments))
        process = subprocess.Popen(
            command, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        said = process.stdout.readline()
        if said != "ready\n":
            said += process.communicate(timeout=10)[0]
            raise AssertionError(said[-4000:])
        return Running(process)


class Running:
    """A body that goes on meanwhile. As a context manager it is killed at the end, if it still runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def end(self, *, stop: bool) -> str:
        """Wait for the end, after stopping it if wanted; give what it said."""
        if stop:
            self.process.terminate()
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said[-4000:]
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def netmap(tmp_path: pathlib.Path) -> Iterator[Netmap]:
    """Give a /dev/netmap; afterwards no program may have done anything to it that harms a kernel."""
    if not IS_EMULATED and not pathlib.Path("/dev/netmap").exists():
        pytest.fail("MIDSOCK_NETMAP=device, but there is no /dev/netmap")
    if IS_EMULATED and shutil.which("gcc") is None:
        pytest.skip("the emulated /dev/netmap is built with gcc")
    made = Netmap(tmp_path / "netmap")
    yield made
    if IS_EMULATED:
        assert emulation.faults(made.directory) == []
