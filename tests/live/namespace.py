"""One network namespace: made, entered, filled with processes, and removed without a trace."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLONE_NEWNET = 0x4000_0000
NAMES = re.compile(r"midsock-(\d+)-(\d+)-\d+-\w+")
ROOT = pathlib.Path("/run/netns")
libc = ctypes.CDLL(None, use_errno=True)
counter = itertools.count()


def started(pid: int) -> int | None:
    """Tell when a process started, which together with its number names it for good; none if it is gone."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def live_namespaces() -> set[str]:
    """Give the names of all namespaces that any run of the tests has made and not removed."""
    return {path.name for path in ROOT.glob("midsock-*")} if ROOT.exists() else set()


def remove_stale() -> None:
    """Remove what runs left behind that were killed."""
    for name in live_namespaces():
        found = NAMES.fullmatch(name)
        if found and started(int(found[1])) != int(found[2]):
            Namespace.existing(name).remove()


class Namespace:
    """A network namespace with its loopback up; `ip netns exec NAME` works on it from outside, too."""

    name: str

    def __init__(self, role: str) -> None:
        self.name = f"midsock-{os.getpid()}-{started(os.getpid())}-{next(counter)}-{role}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link", "set", "lo", "up")

    @classmethod
    def existing(cls, name: str) -> Namespace:
        namespace = cls.__new__(cls)
        namespace.name = name
        return namespace

    def __repr__(self) -> str:
        return f"<Namespace {self.name}>"

    # --- from inside ---

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread into the namespace: a socket or port that is opened meanwhile stays in it."""
        with pathlib.Path("/proc/thread-self/ns/net").open() as home, (ROOT / self.name).open() as there:
            enter(there.fileno())
            try:
                yield
            finally:
                enter(home.fileno())

    def sysctl(self, path: str, value: object) -> None:
        """Set what lies at `path` of /proc/sys/net."""
        with self.entered():
            pathlib.Path("/proc/sys/net", path).write_text(str(value))

    def socket(self, interface: str, protocol: int = 0) -> socket.socket:
        """Give a raw packet socket on `interface` (it receives only with a `protocol`, such as 3 for all)."""
        with self.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
            raw.bind((interface, protocol))
        return raw

    def send(self, interface: str, frames: Sequence[bytes]) -> None:
        """Send frames, as they are, out of `interface`."""
        with self.socket(interface) as raw:
            for frame in frames:
                raw.send(frame)

    # --- processes ---

    def command(self, *command: object) -> list[str]:
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(
        self, *command: object, timeout: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace to its end; what it says on failure is part of the exception."""
        done = subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            said = (done.stderr + done.stdout).strip()[-2000:]
            raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {said}")
        return done

    @contextlib.contextmanager
    def running(
        self,
        *command: object,
        stop: signal.Signals = signal.SIGTERM,
        stdout: int | None = None,
        stderr: int | None = None,
        env: dict[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command in the namespace meanwhile, then stop it; if it does not stop, kill it and fail."""
        process: subprocess.Popen[bytes] = subprocess.Popen(
            self.command(*command), stdout=stdout, stderr=stderr, env=env
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(stop)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise

    def pids(self) -> list[int]:
        """Give the processes in the namespace, but not those that merely entered it with a thread."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return [int(pid) for pid in done.stdout.split() if int(pid) != os.getpid()]

    # --- interfaces ---

    def ip(self, *arguments: object) -> str:
        """Run `ip` with these arguments on the namespace."""
        command = ["ip", "-n", self.name, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def links(self) -> dict[str, dict[str, typing.Any]]:
        """Give what `ip -details link` knows of each interface."""
        return {link["ifname"]: link for link in json.loads(self.ip("-j", "-d", "link"))}

    def set_link(self, interface: str, *, up: bool) -> None:
        self.ip("link", "set", interface, "up" if up else "down")

    def delete_link(self, interface: str) -> None:
        self.ip("link", "del", interface)

    def offloads(self, interface: str, *, on: bool) -> None:
        """Switch everything that makes frames differ from those of a wire: checksums, segments, merging."""
        features = ["rx", "tx", "sg", "tso", "gso", "gro"]
        switch = "on" if on else "off"
        self.run("ethtool", "-K", interface, *(word for name in features for word in (name, switch)))

    # --- the end ---

    def remove(self) -> None:
        """Kill what still runs in the namespace, and remove it."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.name], check=False, stderr=subprocess.DEVNULL)


def enter(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {errno.errorcode.get(number)}")
