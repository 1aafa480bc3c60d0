"""Registration, rings, pipes and cursors, checked through the raw interface."""

import ctypes
import errno
import os
import pathlib
import select
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from netmap_emulation import raw
from netmap_emulation.raw import Port, Slot, frame
from netmap_emulation.support import fails, faults, only_fault, swap


def register_validates() -> None:
    fd = os.open("/dev/netmap", os.O_RDWR)
    for version in (11, 13, 16):
        with fails(errno.EINVAL):
            raw.register(fd, "vale0:a", version=version)
    with fails(errno.EINVAL):
        raw.register(fd, "vale0:a", reserved=1)
    for mode in (0, 5, 6, 9):
        with fails(errno.EINVAL):
            raw.register(fd, "vale0:a", mode)
    with fails(errno.EINVAL):
        raw.register(fd, "vale0:a", raw.ONE_NIC, ringid=1)
    with fails(errno.EINVAL):
        raw.register(fd, "vale0:a", mem_id=77)
    for name in ("", "x" * 64, "nosuchif0"):
        with fails(errno.ENXIO):
            raw.register(fd, name)
    with fails(errno.EINVAL):
        raw.control(fd, 99, "vale0:a", ctypes.create_string_buffer(64))
    with fails(errno.EINVAL):
        raw.control(fd, raw.REGISTER, "vale0:a", None)
    raw.register(fd, "vale0:a", version=15)
    with fails(errno.EBUSY):
        raw.register(fd, "vale0:b")
    os.close(fd)


def options_are_refused() -> None:
    fd = os.open("/dev/netmap", os.O_RDWR)
    option = ctypes.create_string_buffer(bytes(8) + (77).to_bytes(4, "little") + bytes(12), 24)
    with fails(errno.EOPNOTSUPP):
        raw.register(fd, "vale0:a", options=ctypes.addressof(option))
    assert int.from_bytes(option.raw[12:16], "little") == 95
    os.close(fd)


def unregistered_descriptor() -> None:
    fd = os.open("/dev/netmap", os.O_RDWR)
    with fails(errno.ENXIO):
        raw.ioctl(fd, raw.NIOCTXSYNC)
    with fails(errno.ENXIO):
        raw.ioctl(fd, raw.NIOCRXSYNC)
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    assert poller.poll(1000) == [(fd, select.POLLERR)]
    assert raw.LIBC.mmap(None, 4096, 3, 1, fd, 0) == ctypes.c_void_p(-1).value
    os.close(fd)


def ring_layout() -> None:
    port = Port("vale0:a")
    assert (port.reply.host_tx, port.reply.host_rx) == (0, 0)
    assert (port.interface(36), port.interface(40)) == (1, 1)
    assert [port.ring_offset(i) != 0 for i in range(4)] == [True, False, True, False]
    tx, rx = port.tx, port.rx
    n = tx.slots
    assert n == 1000  # as set, and no power of two
    assert (tx.direction, rx.direction) == (1, 0)
    assert (tx.head, tx.cur, tx.tail, tx.available) == (0, 0, n - 1, n - 1)
    assert (rx.head, rx.cur, rx.tail) == (0, 0, 0)
    indexes = [ring.slot(i).buffer for ring in (tx, rx) for i in range(n)]
    assert min(indexes) >= 2
    assert len(set(indexes)) == 2 * n
    assert (tx.address - port.base) % 128 == 0
    assert tx.buffer(max(indexes)) + tx.buf_size <= port.base + port.reply.memsize
    assert tx.buffer(5) == rx.buffer(5)
    assert raw.LIBC.mmap(None, port.reply.memsize + 4096, 3, 1, port.fd, 0) == ctypes.c_void_p(-1).value
    port.close()


def mapped_into_reserved_space() -> None:
    port = Port("p{1")
    reserved = raw.LIBC.mmap(None, port.reply.memsize, 0, 0x22, -1, 0)
    assert raw.LIBC.mmap(reserved, port.reply.memsize, 3, 0x11, port.fd, 0) == reserved
    again = raw.Ring(reserved + port.reply.offset + port.ring_offset(0))
    port.tx.advance(7)
    assert again.head == 7
    port.close()


def modes_bind_their_rings() -> None:
    whole = Port("vale0:a", slots=64)
    assert whole.tx.slots == 64
    rx_only = Port("vale0:b", flags=raw.RX_ONLY)
    assert [rx_only.ring_offset(i) != 0 for i in range(4)] == [False, False, True, False]
    tx_only = Port("vale0:c", flags=raw.TX_ONLY)
    assert [tx_only.ring_offset(i) != 0 for i in range(4)] == [True, False, False, False]
    none = Port("vale0:d", flags=raw.RX_ONLY | raw.TX_ONLY)
    assert [none.ring_offset(i) for i in range(4)] == [0, 0, 0, 0]
    with fails(errno.EINVAL):
        Port("anything", raw.NULL, extra=3)  # whose memory?
    null = Port("anything", raw.NULL, extra=3, mem_id=1)
    assert (null.reply.mem_id, null.reply.extra_bufs) == (1, 3)
    for port in (whole, rx_only, tx_only, none, null):
        port.close()


def exclusive_is_refused() -> None:
    port = Port("vale0:a", flags=raw.EXCL)
    with fails(errno.EBUSY):
        Port("vale0:a")
    port.close()
    port, second = Port("vale0:a"), Port("vale0:a")
    assert port.reply.mem_id == second.reply.mem_id
    with fails(errno.EBUSY):
        Port("vale0:a", flags=raw.EXCL)
    port.close()
    second.close()


def information() -> None:
    port = Port("vale3:a")
    body = ctypes.create_string_buffer(64)
    raw.control(port.fd, raw.PORT_INFO_GET, "vale3:a", body)
    assert int.from_bytes(body.raw[:8], "little") == port.reply.memsize
    body = ctypes.create_string_buffer(64)
    raw.control(port.fd, raw.POOLS_INFO, "vale3:a", body)
    assert int.from_bytes(body.raw[8:10], "little") == port.reply.mem_id
    listed = raw.control(port.fd, raw.VALE_LIST, "", ctypes.create_string_buffer(8))
    assert listed[8:16] == b"vale3:a\0"
    found = ctypes.create_string_buffer(8)
    raw.control(port.fd, raw.VALE_LIST, "vale3:b", found)
    assert int.from_bytes(found.raw[4:], "little") == 255  # the switch is there
    with fails(errno.ENOENT):
        raw.control(port.fd, raw.VALE_LIST, "vale4:b", ctypes.create_string_buffer(8))
    fd = os.open("/dev/netmap", os.O_RDWR)
    raw.control(fd, raw.PORT_INFO_GET, "vale4:new", ctypes.create_string_buffer(32))
    os.close(fd)
    port.close()


def pipe_is_lossless_both_ways() -> None:
    a, b = Port("p{1"), Port("p}1")
    assert a.reply.mem_id == b.reply.mem_id
    assert (a.reply.host_tx, a.interface(36)) == (0, 1)
    for sender, receiver in ((a, b), (b, a)):
        sent: list[bytes] = []
        received: list[bytes] = []
        while len(received) < 5000:
            sender.txsync()
            for _ in range(min(sender.tx.available, 5000 - len(sent))):
                sent.append(b"%d" % len(sent))
                sender.tx.put(sent[-1])
            sender.txsync()
            assert receiver.poll() == select.POLLIN
            received += receiver.rx.take()
            receiver.rxsync()  # gives the slots back
        assert received == sent
        receiver.rxsync()
        sender.txsync()
        assert (sender.tx.tail + 1) % sender.tx.slots == sender.tx.head
    a.close()
    b.close()


def pipe_blocks_when_full() -> None:
    a, b = Port("p{1"), Port("p}1")
    a.send(*[b"x"] * a.tx.available)
    assert a.poll(select.POLLOUT, 50) == 0
    timers = [threading.Timer(0.1, b.receive), threading.Timer(0.2, b.rxsync)]
    for timer in timers:
        timer.start()
    assert a.poll(select.POLLOUT) == select.POLLOUT
    # What they look at must still be mapped.
    for timer in timers:
        timer.join()
    a.close()
    b.close()


def poll_pushes_what_is_pending() -> None:
    a, b = Port("p{1"), Port("p}1")
    a.tx.put(b"one")
    assert a.poll(select.POLLIN, 0) == 0
    assert b.receive() == [b"one"]
    a.close()
    a = Port("p{1", flags=raw.NO_TX_POLL)
    a.tx.put(b"two")
    assert a.poll(select.POLLIN, 0) == 0
    assert b.receive() == []
    assert a.poll(select.POLLOUT, 0) == select.POLLOUT
    assert b.receive() == [b"two"]
    a.close()
    b.close()


def swap_between_pipes() -> None:
    ports = a, b, c, d = Port("p{1"), Port("p}1"), Port("p{2"), Port("p}2")
    assert len({port.reply.mem_id for port in ports}) == 1
    for number in range(3 * a.tx.slots):
        a.send(b"%d" % number)
        b.rxsync()
        swap(b.rx, c.tx)
        c.txsync()
        b.rxsync()
        assert d.receive() == [b"%d" % number]
        d.rxsync()
        a.txsync()
        c.txsync()
    for port in ports:
        port.close()


def swap_unannounced() -> None:
    ports = a, b, c, _ = Port("p{1"), Port("p}1"), Port("p{2"), Port("p}2")
    a.send(b"x")
    b.rxsync()
    swap(b.rx, c.tx, flags=0)
    b.rxsync()
    only_fault("missing BUF_CHANGED: slot 0 of the rx ring")
    c.txsync()
    assert "missing BUF_CHANGED: slot 0 of the tx ring" in faults()[1]
    for port in ports:
        port.close()
    assert any("double free" in line for line in faults())


def bad_cursors() -> None:
    a, b = Port("p{1"), Port("p}1")
    a.send(b"x", b"y")
    a.tx.advance(1)
    a.txsync()  # backward, and no error
    only_fault("bad cursors: tx ring 0")
    assert a.tx.head == 2
    a.tx.word(20, 5000)
    a.txsync()
    b.rxsync()
    b.rx.advance(3)
    b.rxsync()
    assert b.rx.head == 0
    b.rx.word(28, 77)
    b.rxsync()
    assert b.rx.tail == 2
    b.rx.advance(3)
    assert b.poll() & select.POLLERR
    noted = [line.split(": ")[1] for line in faults()]
    assert noted == ["bad cursors"] * 3 + ["tail overwritten", "bad cursors"]
    a.close()
    b.close()


def bad_slots() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    a.tx.set_slot(0, Slot(1 << 30, 60, raw.BUF_CHANGED, 0))
    a.tx.set_slot(1, Slot(a.tx.slot(1).buffer, 5000, 0, 0))
    a.tx.advance(2)
    a.send(frame(1, 255))
    assert len(b.receive()) == 1
    noted = [line.split(": ")[1] for line in faults()]
    assert noted == ["bad buffer", "bad length"]
    a.close()
    b.close()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
