"""netmap's raw interface through ctypes, for tests of the emulation itself."""

import ctypes
import os
import select
import struct
from typing import NamedTuple

NIOCCTRL, NIOCTXSYNC, NIOCRXSYNC, NIOCREGIF = 0xC0586997, 0x6994, 0x6995, 0xC03C6992
REGISTER, PORT_INFO_GET, VALE_LIST, POOLS_INFO = 1, 2, 5, 12
ALL_NIC, SW, NIC_SW, ONE_NIC, NULL, ONE_SW = 1, 2, 3, 4, 7, 8
MON_TX, MON_RX, ZCOPY_MON, EXCL = 0x100, 0x200, 0x400, 0x800
RX_ONLY, TX_ONLY, NO_TX_POLL = 0x2000, 0x4000, 0x20000
RING_TIMESTAMP, RING_FORWARD = 2, 4
BUF_CHANGED, SLOT_FORWARD, NO_LEARN, MOREFRAG, TXMON = 1, 4, 8, 0x20, 0x40
# Seconds for what is to come: a machine that is emulated in software, on a busy host, takes its time.
PATIENCE = 30
REGISTER_BODY = struct.Struct("=QQIIHHHHHHIIIQ")

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]


class Slot(NamedTuple):
    buffer: int
    length: int
    flags: int
    pointer: int


class Reply(NamedTuple):
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
    pad: int
    flags: int


def ioctl(fd: int, request: int, argument: object = None) -> None:
    if LIBC.ioctl(fd, request, argument) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def control(
    fd: int,
    reqtype: int,
    name: str,
    body: ctypes.Array[ctypes.c_char] | None,
    *,
    version: int = 14,
    reserved: int = 0,
    options: int = 0,
) -> bytes:
    address = 0 if body is None else ctypes.addressof(body)
    text = name.encode()
    header = struct.pack("=HHI64sQQ", version, reqtype, reserved, text, options, address)
    buffer = ctypes.create_string_buffer(header, len(header))
    ioctl(fd, NIOCCTRL, buffer)
    return buffer.raw


def register(
    fd: int,
    name: str,
    mode: int = ALL_NIC,
    *,
    flags: int = 0,
    ringid: int = 0,
    mem_id: int = 0,
    extra: int = 0,
    slots: int = 0,
    version: int = 14,
    reserved: int = 0,
    options: int = 0,
) -> Reply:
    packed = REGISTER_BODY.pack(0, 0, slots, slots, 0, 0, 0, 0, mem_id, ringid, mode, extra, 0, flags)
    body = ctypes.create_string_buffer(packed, len(packed))
    control(fd, REGISTER, name, body, version=version, reserved=reserved, options=options)
    return Reply(*REGISTER_BODY.unpack(body.raw))


class Ring:
    """One ring, by its address."""

    def __init__(self, address: int) -> None:
        self.address = address

    def word(self, offset: int, value: int | None = None) -> int:
        word = ctypes.c_uint32.from_address(self.address + offset)
        if value is not None:
            word.value = value
        return word.value

    @property
    def slots(self) -> int:
        return self.word(8)

    @property
    def buf_size(self) -> int:
        return self.word(12)

    @property
    def direction(self) -> int:
        return self.word(16) >> 16

    @property
    def ringid(self) -> int:
        return self.word(16) & 0xFFFF

    @property
    def head(self) -> int:
        return self.word(20)

    @property
    def cur(self) -> int:
        return self.word(24)

    @property
    def tail(self) -> int:
        return self.word(28)

    @property
    def timestamp(self) -> tuple[int, int]:
        seconds, microseconds = struct.unpack("=qq", ctypes.string_at(self.address + 40, 16))
        return seconds, microseconds

    def flags(self, value: int) -> None:
        self.word(32, value)

    def advance(self, head: int) -> None:
        self.word(20, head % self.slots)
        self.word(24, head % self.slots)

    @property
    def available(self) -> int:
        return (self.tail - self.head) % self.slots

    def slot(self, index: int) -> Slot:
        return Slot(
            *struct.unpack("=IHHQ", ctypes.string_at(self.address + 256 + 16 * (index % self.slots), 16))
        )

    def set_slot(self, index: int, slot: Slot) -> None:
        ctypes.memmove(self.address + 256 + 16 * (index % self.slots), struct.pack("=IHHQ", *slot), 16)

    def buffer(self, index: int) -> int:
        offset = ctypes.c_int64.from_address(self.address).value
        return self.address + offset + index * self.buf_size

    def put(self, *frames: bytes, flags: int = 0) -> None:
        """Write frames at head and go past them; MOREFRAG in `flags` joins all of them to one packet."""
        for number, frame in enumerate(frames):
            slot = self.slot(self.head)
            ctypes.memmove(self.buffer(slot.buffer), frame, len(frame))
            more = flags & ~MOREFRAG if number == len(frames) - 1 else flags
            self.set_slot(self.head, Slot(slot.buffer, len(frame), more, 0))
            self.advance(self.head + 1)

    def peek(self, index: int) -> bytes:
        slot = self.slot(index)
        return ctypes.string_at(self.buffer(slot.buffer), slot.length)

    def take(self) -> list[bytes]:
        """Read all slots that are there, and release them."""
        frames = []
        while self.head != self.tail:
            frames.append(self.peek(self.head))
            self.advance(self.head + 1)
        return frames


class Port:
    """An open, registered and mapped descriptor."""

    def __init__(self, name: str, mode: int = ALL_NIC, **options: int) -> None:
        self.fd = os.open("/dev/netmap", os.O_RDWR | os.O_CLOEXEC)
        try:
            self.reply = register(self.fd, name, mode, **options)
        except OSError:
            os.close(self.fd)
            raise
        self.base = LIBC.mmap(None, self.reply.memsize, 3, 1, self.fd, 0)
        if self.base == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "mmap")
        self.nifp = self.base + self.reply.offset

    def interface(self, offset: int) -> int:
        return ctypes.c_uint32.from_address(self.nifp + offset).value

    def ring_offset(self, index: int) -> int:
        return ctypes.c_int64.from_address(self.nifp + 56 + 8 * index).value

    def ring(self, index: int) -> Ring:
        assert self.ring_offset(index) != 0
        return Ring(self.nifp + self.ring_offset(index))

    @property
    def tx(self) -> Ring:
        return self.ring(0)

    @property
    def host_tx(self) -> Ring:
        return self.ring(self.interface(24))

    @property
    def rx(self) -> Ring:
        return self.ring(self.interface(24) + self.interface(36))

    @property
    def host_rx(self) -> Ring:
        return self.ring(self.interface(24) + self.interface(36) + self.interface(28))

    def txsync(self) -> None:
        ioctl(self.fd, NIOCTXSYNC)

    def rxsync(self) -> None:
        ioctl(self.fd, NIOCRXSYNC)

    def poll(self, events: int = select.POLLIN, milliseconds: int = PATIENCE * 1000) -> int:
        poller = select.poll()
        poller.register(self.fd, events)
        return dict(poller.poll(milliseconds)).get(self.fd, 0)

    def send(self, *frames: bytes, flags: int = 0) -> None:
        self.tx.put(*frames, flags=flags)
        self.txsync()

    def receive(self) -> list[bytes]:
        self.rxsync()
        return self.rx.take()

    def unmap(self) -> None:
        LIBC.munmap(self.base, self.reply.memsize)

    def close(self) -> None:
        self.unmap()
        os.close(self.fd)


def frame(source: int, destination: int, payload: bytes = b"", *, length: int = 60) -> bytes:
    """Make an Ethernet frame between stations 02:00:00:00:00:NN, 255 being everybody, padded to `length`."""
    target = b"\xff" * 6 if destination == 255 else b"\x02\0\0\0\0" + bytes([destination])
    return (target + b"\x02\0\0\0\0" + bytes([source]) + b"\x88\xb5" + payload).ljust(length, b"\0")
