"""What a test must not leave behind in its own process and on the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import pathlib
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

PINNED = pathlib.Path("/sys/fs/bpf")


@dataclasses.dataclass
class Possessions:
    """Descriptors of this process for sockets, BPF objects and devices; its children; pinned BPF objects."""

    descriptors: frozenset[str]
    children: frozenset[str]
    pinned: frozenset[str]

    @classmethod
    def now(cls) -> Possessions:
        gc.collect()
        descriptors = set()
        for path in pathlib.Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(path.readlink())
                if target.startswith(("socket:", "anon_inode:bpf", "anon_inode:[", "/dev/netmap")):
                    descriptors.add(f"{path.name} -> {target}")
        return cls(frozenset(descriptors), frozenset(children()), frozenset(pinned()))

    def gained(self, before: Possessions) -> list[str]:
        """Tell what is here that was not there before."""
        return [
            f"{kind} {name}"
            for kind in ("descriptors", "children", "pinned")
            for name in sorted(getattr(self, kind) - getattr(before, kind))
        ]


def children() -> Iterator[str]:
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            for pid in (task / "children").read_text().split():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    yield f"{pid} {pathlib.Path('/proc', pid, 'comm').read_text().strip()}"


def pinned() -> Iterator[str]:
    with contextlib.suppress(PermissionError):
        for folder, _folders, files in os.walk(PINNED):
            yield from (f"{folder}/{name}" for name in files if "midsock" in f"{folder}/{name}")
