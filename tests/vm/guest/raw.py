"""netmap's interface without midsock: what the tests know of the kernel module, they know from here."""

import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import mmap
import os
import select
import struct
import time
from collections.abc import Iterator
from typing import Self

API = 14
NIOCCTRL, NIOCTXSYNC, NIOCRXSYNC = 0xC0586997, 0x6994, 0x6995
REGISTER, PORT_INFO_GET = 1, 2
ALL_NIC, SW, NIC_SW, ONE_NIC, ONE_SW = 1, 2, 3, 4, 8
MON_TX, MON_RX, ZCOPY_MON, EXCL, RX_ONLY, TX_ONLY, NO_TX_POLL = (
    0x100,
    0x200,
    0x400,
    0x800,
    0x2000,
    0x4000,
    0x20000,
)
TIMESTAMP, FORWARD = 2, 4  # of a ring
BUF_CHANGED, REPORT, MOREFRAG = 1, 2, 0x20  # of a slot

_HEADER = struct.Struct("<HHI64sQQ")
_REGISTER = struct.Struct("<QQIIHHHHHHII4xQ")
_INFO = struct.Struct("<QIIHHHHH6x")
_OPTION = struct.Struct("<QIIQ")
_IF = struct.Struct("<16sIIIIIII")  # …, rings, list of buffers, host rings; the offsets follow at 56
_SLOT = struct.Struct("<IHHQ")
_SLOTS_AT = 256


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the kernel answers to a registration."""

    offset: int
    memsize: int
    tx_slots: int
    rx_slots: int
    tx_rings: int
    rx_rings: int
    host_tx: int
    host_rx: int
    mem_id: int
    ringid: int
    mode: int
    extra_bufs: int
    flags: int


def control(fd: int, request: int, name: str, body: ctypes.Array[ctypes.c_char], **other: int) -> None:
    """Do a NIOCCTRL; `other` may give `api` and `options`, the address of the first option."""
    fields = _HEADER.pack(
        other.get("api", API), request, 0, name.encode(), other.get("options", 0), ctypes.addressof(body)
    )
    fcntl.ioctl(fd, NIOCCTRL, bytearray(fields))


def register(fd: int, name: str, mode: int = ALL_NIC, flags: int = 0, **other: int) -> Reply:
    """Register; `other` may give `ringid`, `extra_bufs`, `mem_id`, slots, and what `control` takes."""
    body = ctypes.create_string_buffer(_REGISTER.size)
    slots, ringid = other.pop("slots", 0), other.pop("ringid", 0)
    mem_id, extra_bufs = other.pop("mem_id", 0), other.pop("extra_bufs", 0)
    rings = (0, 0, 0, 0)
    _REGISTER.pack_into(body, 0, 0, 0, slots, slots, *rings, mem_id, ringid, mode, extra_bufs, flags)
    control(fd, REGISTER, name, body, **other)
    return Reply(*_REGISTER.unpack(body))


def info(name: str) -> dict[str, int]:
    """Ask for a port's information without registering."""
    body = ctypes.create_string_buffer(_INFO.size)
    names = ("memsize", "tx_slots", "rx_slots", "tx_rings", "rx_rings", "host_tx", "host_rx", "mem_id")
    with opened() as fd:
        control(fd, PORT_INFO_GET, name, body)
    return dict(zip(names, _INFO.unpack(body), strict=True))


def with_option(fd: int, name: str, kind: int) -> tuple[int, int]:
    """Register with one option of this kind; give the error (or 0) and the option's status."""
    option = ctypes.create_string_buffer(_OPTION.pack(0, kind, 0, 0), _OPTION.size)
    failed = 0
    try:
        register(fd, name, options=ctypes.addressof(option))
    except OSError as error:
        failed = error.errno or errno.EIO
    return failed, _OPTION.unpack(option)[2]


@contextlib.contextmanager
def opened() -> Iterator[int]:
    fd = os.open("/dev/netmap", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


class Ring:
    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory, self._at = memory, offset
        self.buf_ofs, self.num_slots, self.buf_size, self.ringid, self.dir = self._get("<qIIHH", 0)
        if self.num_slots < 2:
            message = f"a ring of {self.num_slots} slots at {offset:#x}"
            raise AssertionError(message)

    def _get(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(layout, self._memory, self._at + at)

    @property
    def cursors(self) -> tuple[int, int, int]:
        """Head, cur and tail."""
        head, cur, tail = self._get("<III", 20)
        return head, cur, tail

    @property
    def flags(self) -> int:
        return self._get("<I", 32)[0]

    @flags.setter
    def flags(self, flags: int) -> None:
        struct.pack_into("<I", self._memory, self._at + 32, flags)

    @property
    def timestamp(self) -> float:
        seconds, microseconds = self._get("<qq", 40)
        return seconds + microseconds * 1e-6

    def advance(self, head: int, cur: int | None = None) -> None:
        struct.pack_into("<II", self._memory, self._at + 20, head, head if cur is None else cur)

    def next(self, index: int) -> int:
        return (index + 1) % self.num_slots

    @property
    def space(self) -> int:
        head, _cur, tail = self.cursors
        return (tail - head) % self.num_slots

    @property
    def pending(self) -> bool:
        """Of a tx ring: whether the kernel still has frames of ours."""
        head, _cur, tail = self.cursors
        return self.next(tail) != head

    def slot(self, index: int) -> tuple[int, int, int]:
        """Give a slot's buffer, length and flags."""
        buffer, length, flags, _ptr = _SLOT.unpack_from(self._memory, self._slot_at(index))
        return buffer, length, flags

    def set_slot(self, index: int, *, buffer: int | None = None, length: int, flags: int = 0) -> None:
        buffer = self.slot(index)[0] if buffer is None else buffer
        struct.pack_into("<IHH", self._memory, self._slot_at(index), buffer, length, flags)

    def _slot_at(self, index: int) -> int:
        return self._at + _SLOTS_AT + index * _SLOT.size

    def buffer_at(self, buffer: int) -> int:
        return self._at + self.buf_ofs + buffer * self.buf_size

    def put(self, *pieces: bytes) -> None:
        """Queue one frame, a slot for each piece."""
        head = self.cursors[0]
        assert self.space >= len(pieces)
        for number, piece in enumerate(pieces):
            at = self.buffer_at(self.slot(head)[0])
            self._memory[at : at + len(piece)] = piece
            more = MOREFRAG if number < len(pieces) - 1 else 0
            self.set_slot(head, length=len(piece), flags=more)
            head = self.next(head)
        self.advance(head)

    def take_slots(self) -> list[tuple[bytes, int]]:
        """Take all slots there are: their bytes and flags."""
        head, _cur, tail = self.cursors
        taken = []
        while head != tail:
            buffer, length, flags = self.slot(head)
            at = self.buffer_at(buffer)
            taken.append((self._memory[at : at + length], flags))
            head = self.next(head)
        self.advance(head)
        return taken

    def take(self) -> list[bytes]:
        """Take all frames there are, put together."""
        frames, pieces = [], []
        for piece, flags in self.take_slots():
            pieces.append(piece)
            if not flags & MOREFRAG:
                frames.append(b"".join(pieces))
                pieces = []
        return frames


class Port:
    """An open port; its rings are those that are bound."""

    def __init__(self, name: str, mode: int = ALL_NIC, flags: int = 0, **other: int) -> None:
        self.fd = os.open("/dev/netmap", os.O_RDWR | os.O_CLOEXEC)
        try:
            self.reply = reply = register(self.fd, name, mode, flags, **other)
            self.memory = mmap.mmap(self.fd, reply.memsize, mmap.MAP_SHARED)
        except BaseException:
            os.close(self.fd)
            raise
        head = _IF.unpack_from(self.memory, reply.offset)
        # What follows the name's end is whatever was there before.
        self.name, tx, rx = head[0].split(b"\0")[0].decode(), head[3], head[4]
        self.bufs_head, host_tx, host_rx = head[5:8]
        counts = (tx, host_tx, rx, host_rx)
        offsets = iter(struct.unpack_from(f"<{sum(counts)}q", self.memory, reply.offset + 56))
        self.offsets = [[next(offsets) for _ in range(count)] for count in counts]
        self.tx, self.host_tx, self.rx, self.host_rx = (
            [Ring(self.memory, reply.offset + o) for o in part if o] for part in self.offsets
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was not sent yet is lost."""
        if self.fd >= 0:
            self.memory.close()
            os.close(self.fd)
            self.fd = -1

    def tx_sync(self) -> None:
        fcntl.ioctl(self.fd, NIOCTXSYNC)

    def rx_sync(self) -> None:
        fcntl.ioctl(self.fd, NIOCRXSYNC)

    def poll(self, events: int, timeout: float = 0) -> int:
        poll = select.poll()
        poll.register(self.fd, events)
        return dict(poll.poll(timeout * 1000)).get(self.fd, 0)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.tx[0].put(frame)
        self.tx_sync()

    def receive(self, count: int, *, host: bool = False, within: float = 30) -> list[bytes]:
        """Take at least `count` frames."""
        ring = (self.host_rx if host else self.rx)[0]
        frames: list[bytes] = []
        until = time.monotonic() + within
        while len(frames) < count and time.monotonic() < until:
            self.poll(select.POLLIN, 0.2)
            frames += ring.take()
        self.rx_sync()  # gives the slots back
        assert len(frames) >= count, f"{len(frames)} of {count} frames within {within} s"
        return frames
