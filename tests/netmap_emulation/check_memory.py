"""VALE switches, extra buffers and monitors."""

import ctypes
import errno
import pathlib
import select
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from netmap_emulation import raw
from netmap_emulation.raw import MOREFRAG, Port, Slot, frame
from netmap_emulation.support import IS_EMULATED, fails, faults, only_fault


def vale_learns() -> None:
    ports = [Port(f"vale0:{name}") for name in "abc"]
    other = Port("vale1:a")
    assert len({port.reply.mem_id for port in ports}) == 3
    ports[0].send(frame(1, 2))
    assert [len(port.receive()) for port in ports] == [0, 1, 1]
    ports[1].send(frame(2, 1))
    assert [len(port.receive()) for port in ports] == [1, 0, 0]
    ports[0].send(frame(1, 2))
    assert [len(port.receive()) for port in ports] == [0, 1, 0]
    ports[2].send(frame(2, 9), flags=raw.NO_LEARN)  # which nobody heeds
    assert [len(port.receive()) for port in ports] == [1, 1, 0]
    ports[0].send(frame(1, 2))
    assert [len(port.receive()) for port in ports] == [0, 0, 1]
    ports[1].send(frame(2, 1))  # from where it sent before, which is not learnt again
    assert [len(port.receive()) for port in ports] == [1, 0, 0]
    ports[0].send(frame(1, 2))
    assert [len(port.receive()) for port in ports] == [0, 0, 1]
    ports[0].send(frame(1, 255), b"runt")
    assert [len(port.receive()) for port in ports] == [0, 1, 1]
    assert other.receive() == []
    for port in (*ports, other):
        port.close()


def vale_drops_when_full() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    for _ in range(3):
        a.send(*[frame(1, 255)] * (a.tx.slots - 1))
        assert a.tx.available == a.tx.slots - 1
    assert len(b.receive()) == b.rx.slots - 1
    a.close()
    b.close()


def vale_chains() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    a.send(frame(1, 255, length=2048), b"b" * 2048, b"c" * 10, flags=MOREFRAG)
    b.rxsync()
    slots = [b.rx.slot(i) for i in range(3)]
    assert [slot.length for slot in slots] == [2048, 2048, 10]
    assert [slot.flags for slot in slots] == [3 << 8 | MOREFRAG, 3 << 8 | MOREFRAG, 3 << 8]
    b.rx.take()
    a.tx.set_slot(a.tx.head, Slot(a.tx.slot(a.tx.head).buffer, 60, MOREFRAG, 0))
    a.tx.advance(a.tx.head + 1)
    a.txsync()
    only_fault("cut chain")
    a.close()
    b.close()


def vale_gives_empty_slots() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    a.send(*[frame(1, 255)] * 4)
    assert [len(data) for data in b.receive()] == [60, 0, 60, 60, 0, 60]
    a.close()
    b.close()


def vale_indirect() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    data = ctypes.create_string_buffer(frame(1, 255, b"elsewhere"), 60)
    a.tx.set_slot(0, Slot(a.tx.slot(0).buffer, 60, 0x10, ctypes.addressof(data)))
    a.tx.advance(1)
    a.txsync()
    assert b.receive() == [data.raw]
    a.close()
    b.close()


def extra_buffers() -> None:
    port = Port("vale0:a", extra=5)
    assert port.reply.extra_bufs == 5
    listed = []
    index = port.interface(32)
    while index != 0:
        listed.append(index)
        index = ctypes.c_uint32.from_address(port.tx.buffer(index)).value
    assert len(set(listed)) == 5
    # One goes into the tx ring, whose buffer takes its place in the list.
    old = port.tx.slot(0)
    port.tx.set_slot(0, Slot(listed[0], 60, raw.BUF_CHANGED, 0))
    port.tx.advance(1)
    port.txsync()
    ctypes.c_uint32.from_address(port.tx.buffer(old.buffer)).value = listed[1]
    ctypes.c_uint32.from_address(port.nifp + 32).value = old.buffer
    port.close()
    few = Port("vale0:a", extra=100000)
    assert 0 < few.reply.extra_bufs <= (1000 if IS_EMULATED else 100000)
    few.close()


def extra_buffer_listed_twice() -> None:
    port = Port("vale0:a", extra=2)
    first = port.interface(32)
    port.tx.set_slot(0, Slot(first, 60, raw.BUF_CHANGED, 0))
    port.tx.advance(1)
    port.txsync()
    port.close()
    noted = faults()
    assert any("double free" in line for line in noted), noted
    assert any("lost buffers: 1" in line for line in noted), noted


def extra_list_broken() -> None:
    port = Port("vale0:a", extra=2)
    ctypes.c_uint32.from_address(port.tx.buffer(port.interface(32))).value = 1 << 31
    port.close()
    assert "bad buffer" in faults()[0]


def monitors() -> None:
    with fails(errno.EINVAL):
        Port("vale0:a", flags=raw.MON_RX)
    a, b = Port("vale0:a"), Port("vale0:b")
    rx, tx = Port("vale0:a", flags=raw.MON_RX), Port("vale0:a", flags=raw.MON_TX)
    both = Port("vale0:a", flags=raw.MON_RX | raw.MON_TX)
    assert len({port.reply.mem_id for port in (a, rx, tx, both)}) == 4
    a.send(frame(1, 255, b"out"))
    b.send(frame(2, 255, b"in"))
    assert rx.receive() == [frame(2, 255, b"in")]  # before the monitored program has synced
    assert len(a.receive()) == len(b.receive()) == 1
    assert rx.receive() == []
    both.rxsync()
    assert [both.rx.slot(i).flags & raw.TXMON for i in range(2)] == [raw.TXMON, 0]
    assert both.rx.take() == [frame(1, 255, b"out"), frame(2, 255, b"in")]
    assert tx.poll() == select.POLLIN
    assert tx.rx.take() == [frame(1, 255, b"out")]
    rx.txsync()  # it can't send, and says nothing
    a.close()
    rx.rxsync()
    assert rx.poll() & select.POLLERR
    for port in (b, rx, tx, both):
        port.close()


def monitor_by_swap() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    monitor = Port("vale0:a", flags=raw.MON_TX | raw.MON_RX | raw.ZCOPY_MON)
    before = a.tx.slot(0).buffer
    a.send(frame(1, 255, b"out"))
    assert a.tx.slot(0).buffer != before
    b.receive()
    assert monitor.receive() == [frame(1, 255, b"out")]
    b.send(frame(2, 255, b"in"))
    a.receive()
    assert monitor.receive() == []
    a.rxsync()  # releases it, and so passes it on
    assert monitor.receive() == [frame(2, 255, b"in")]
    for port in (monitor, a, b):
        port.close()


def timestamps() -> None:
    a, b = Port("p{1"), Port("p}1")
    for flags in (0, raw.RING_TIMESTAMP):
        b.rx.flags(flags)
        a.send(b"x")
        before = time.time()
        b.rxsync()
        seconds, microseconds = b.rx.timestamp
        assert before - 0.1 <= seconds + microseconds / 1e6 <= time.time() + 0.1
    assert a.tx.timestamp == (0, 0)
    a.close()
    b.close()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
