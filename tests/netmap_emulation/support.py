"""What the emulation's checks share; they run in processes under the preloaded library."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import netmap_emulation as emulation
from netmap_emulation import raw
from netmap_emulation.raw import Slot

IS_EMULATED = "MIDSOCK_NETMAP_EMULATION" in os.environ


@contextlib.contextmanager
def fails(code: int) -> Iterator[None]:
    failed = 0
    try:
        yield
    except OSError as error:
        failed = error.errno or -1
    assert failed == code, os.strerror(failed)


def swap(one: raw.Ring, other: raw.Ring, flags: int = raw.BUF_CHANGED) -> None:
    """Exchange the buffers at both rings' heads and go past them."""
    a, b = one.slot(one.head), other.slot(other.head)
    one.set_slot(one.head, Slot(b.buffer, a.length, flags, 0))
    other.set_slot(other.head, Slot(a.buffer, a.length, flags, 0))
    one.advance(one.head + 1)
    other.advance(other.head + 1)


def faults() -> list[str]:
    return emulation.faults(pathlib.Path(os.environ["MIDSOCK_NETMAP_EMULATION"]))


def only_fault(beginning: str) -> None:
    noted = faults()
    assert len(noted) == 1, noted
    assert beginning in noted[0], noted


def start(file: str, check: str) -> subprocess.Popen[str]:
    """Start one of a file's functions in another process of the same emulation, and wait till it is ready."""
    process = subprocess.Popen(
        [sys.executable, file, check], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def give_up_root() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
