"""The kernel's half of the interface: what midsock's ports and the emulated /dev/netmap take for granted."""

import contextlib
import errno
import fcntl
import itertools
import pathlib
import select
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from live import Namespace
from live.fixtures import prepare
from vm.guest import raw

MakeVeth = Callable[[], tuple[str, str]]

_numbers = itertools.count()
SO_RCVBUFFORCE = 33
SLICE = 40  # of a frame cut in pieces


def frame(
    number: int = 0, size: int = 60, *, to: str = "020000000002", source: str = "020000000001"
) -> bytes:
    head = bytes.fromhex(to + source + "88b5") + struct.pack(">I", number)
    return head + bytes((number + i) & 0xFF for i in range(size - len(head)))


def fails(code: int) -> contextlib.AbstractContextManager[object]:
    return pytest.raises(OSError, match=rf"\[Errno {code}\]")


def fresh(prefix: str) -> str:
    return f"{prefix}{next(_numbers)}"


@pytest.fixture(autouse=True)
def namespace() -> Iterator[Namespace]:
    """Put the test into a network namespace of its own, where interfaces say nothing by themselves."""
    prepare()
    namespace = Namespace("netmap")
    try:
        namespace.sysctl("ipv6/conf/default/disable_ipv6", 1)
        with namespace.entered():
            yield namespace
    finally:
        namespace.remove()


@pytest.fixture
def veth(namespace: Namespace) -> MakeVeth:
    """Make pairs of interfaces that are up and without offloads."""

    def make() -> tuple[str, str]:
        a, b = fresh("a"), fresh("b")
        namespace.ip("link", "add", a, "type", "veth", "peer", "name", b)
        for name in (a, b):
            namespace.offloads(name, on=False)
            namespace.ip("link", "set", name, "up", "promisc", "on")
        return a, b

    return make


@contextlib.contextmanager
def packet_socket(interface: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as sock:
        sock.bind((interface, 0x88B5))
        sock.settimeout(30)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)  # a frame counts for all of its buffer
        yield sock


@contextlib.contextmanager
def pipe() -> Iterator[tuple[raw.Port, raw.Port]]:
    name = f"vale{fresh('p')}:x"
    with raw.Port(name + "{1") as a, raw.Port(name + "}1") as b:
        yield a, b


def test_the_device_is_root_s() -> None:
    status = pathlib.Path("/dev/netmap").stat()
    assert stat.S_ISCHR(status.st_mode)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o600)


@pytest.mark.parametrize(("api", "taken"), [(11, False), (13, False), (14, True), (15, True), (16, False)])
def test_api_versions(api: int, *, taken: bool) -> None:
    with raw.opened() as fd, contextlib.nullcontext() if taken else fails(errno.EINVAL):
        raw.register(fd, "vale0:v", api=api)


def test_what_registration_refuses() -> None:
    with raw.opened() as fd:
        with fails(errno.EINVAL):
            raw.register(fd, "vale0:v", mode=0)
        assert raw.with_option(fd, "vale0:v", 77) == (errno.EOPNOTSUPP, errno.EOPNOTSUPP)
        with fails(errno.ENXIO):
            raw.register(fd, "nosuchif")
        raw.register(fd, "vale0:v")
        with fails(errno.EBUSY):
            raw.register(fd, "vale0:w")


def test_exclusive_means_nobody_else(veth: MakeVeth) -> None:
    a, _ = veth()
    with raw.Port(a, flags=raw.EXCL), raw.opened() as fd, fails(errno.EBUSY):
        raw.register(fd, a)


def test_a_port_not_registered_can_t_sync() -> None:
    with raw.opened() as fd:
        for request in (raw.NIOCTXSYNC, raw.NIOCRXSYNC):
            with fails(errno.ENXIO):
                fcntl.ioctl(fd, request)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(1000) == [(fd, select.POLLERR)]


def test_rings_of_an_interface(veth: MakeVeth) -> None:
    a, _ = veth()
    known = raw.info(a)
    assert known["mem_id"] == 1
    with raw.Port(a, raw.NIC_SW) as port:
        assert [len(part) for part in port.offsets] == [1, 1, 1, 1]
        assert [ring.dir for ring in (*port.tx, *port.host_tx)] == [1, 1]
        assert [ring.dir for ring in (*port.rx, *port.host_rx)] == [0, 0]
        ring = port.tx[0]
        assert ring.num_slots == port.reply.tx_slots == known["tx_slots"]
        assert ring.cursors == (0, 0, ring.num_slots - 1)
        assert port.rx[0].cursors == (0, 0, 0)
        assert ring.buf_size == 2048
        assert port.reply.mem_id == 1
        assert port.name == a
        assert min(ring.slot(i)[0] for i in range(ring.num_slots)) >= 2
    with raw.Port(a) as port:
        # The host's rings are there, but not bound.
        assert [len(part) for part in port.offsets] == [1, 1, 1, 1]
        assert (port.host_tx, port.host_rx) == ([], [])
    with raw.Port(a, raw.SW) as port:
        assert (port.tx, port.rx) == ([], [])


@pytest.mark.parametrize("name", ["vale{}:v", "vale{}:v{{1"])
def test_virtual_ports_say_no_host_rings_but_have_one(name: str) -> None:
    with raw.Port(name.format(fresh("h"))) as port:
        assert (port.reply.host_tx, port.reply.host_rx) == (0, 0)
        assert [len(part) for part in port.offsets] == [1, 1, 1, 1]


def test_a_pipe_loses_nothing_and_blocks() -> None:
    with pipe() as (a, b):
        assert a.reply.mem_id == b.reply.mem_id
        capacity = a.tx[0].num_slots - 1
        frames = [frame(n) for n in range(capacity)]
        a.send(*frames)
        assert a.poll(select.POLLOUT) == 0
        assert b.receive(capacity) == frames
        assert a.poll(select.POLLOUT, 1) == select.POLLOUT
        assert a.tx[0].space == capacity
        assert not a.tx[0].pending


def test_a_pipe_s_frames_in_pieces() -> None:
    with pipe() as (a, b):
        a.tx[0].put(b"a" * SLICE, b"b" * SLICE, b"c" * 10)
        a.tx_sync()
        b.poll(select.POLLIN, 1)
        slots = b.rx[0].take_slots()
        assert [len(piece) for piece, _ in slots] == [SLICE, SLICE, 10]
        assert [bool(flags & raw.MOREFRAG) for _, flags in slots] == [True, True, False]


def test_vale_learns_and_drops_when_full() -> None:
    switch = f"vale{fresh('s')}"
    one, two, three = "020000000001", "020000000002", "020000000003"
    with raw.Port(f"{switch}:a") as a, raw.Port(f"{switch}:b") as b, raw.Port(f"{switch}:c") as c:
        assert len({a.reply.mem_id, b.reply.mem_id, c.reply.mem_id}) == 3
        a.send(frame(1, to=two, source=one))  # nobody knows two: to all
        assert b.receive(1) == c.receive(1) == [frame(1, to=two, source=one)]
        b.send(frame(2, to=one, source=two))  # a is known
        assert a.receive(1) == [frame(2, to=one, source=two)]
        assert c.poll(select.POLLIN, 0.1) == 0
        sent = 0
        while sent < 3 * b.rx[0].num_slots:  # b does not read
            for _ in range(a.tx[0].space):
                a.tx[0].put(frame(sent, to=two, source=one))
                sent += 1
            a.tx_sync()
        assert not a.tx[0].pending
        kept = b.receive(1)
        assert len(kept) <= b.rx[0].num_slots - 1
        assert kept == [frame(n, to=two, source=one) for n in range(len(kept))]
        b.send(frame(3, to=three, source=two))
        assert c.receive(1) == [frame(3, to=three, source=two)]


def test_vale_repeats_the_count_of_pieces() -> None:
    switch = f"vale{fresh('s')}"
    with raw.Port(f"{switch}:a") as a, raw.Port(f"{switch}:b") as b:
        whole = frame(7, 2 * SLICE + 10)
        a.tx[0].put(whole[:SLICE], whole[SLICE : 2 * SLICE], whole[2 * SLICE :])
        a.tx_sync()
        b.poll(select.POLLIN, 1)
        slots = b.rx[0].take_slots()
        assert b"".join(piece for piece, _ in slots) == whole
        pieces = [s for s in slots if s[0]]
        assert {flags >> 8 for _, flags in slots} == {len(slots)}
        assert pieces[-1][1] & raw.MOREFRAG == 0


def test_an_interface_both_ways(veth: MakeVeth) -> None:
    a, b = veth()
    with raw.Port(a) as port, packet_socket(b) as peer:
        frames = [frame(n, 60 + n) for n in range(100)]
        port.send(*frames)
        assert [peer.recv(4096) for _ in frames] == frames
        for f in frames:
            peer.send(f)
        assert port.receive(len(frames)) == frames


def test_an_interface_sends_pieces_as_frames_of_their_own(veth: MakeVeth) -> None:
    a, b = veth()
    with raw.Port(a) as port, packet_socket(b) as peer:
        first, second = frame(1), frame(2)
        port.tx[0].put(first, second)
        port.tx_sync()
        assert [peer.recv(4096), peer.recv(4096)] == [first, second]


def test_buffers_swap_between_interfaces(veth: MakeVeth) -> None:
    (a, outer_a), (b, outer_b) = veth(), veth()
    with (
        raw.Port(a) as left,
        raw.Port(b) as right,
        packet_socket(outer_a) as source,
        packet_socket(outer_b) as sink,
    ):
        assert left.reply.mem_id == right.reply.mem_id == 1
        rx, tx = left.rx[0], right.tx[0]
        for number in range(3 * rx.num_slots):  # so that swapped buffers come round
            source.send(frame(number))
            while not rx.space:
                left.poll(select.POLLIN, 1)
            i, k = rx.cursors[0], tx.cursors[0]
            (received, length, _), (free, _, _) = rx.slot(i), tx.slot(k)
            tx.set_slot(k, buffer=received, length=length, flags=raw.BUF_CHANGED)
            rx.set_slot(i, buffer=free, length=0, flags=raw.BUF_CHANGED)
            rx.advance(rx.next(i))
            tx.advance(tx.next(k))
            right.tx_sync()
            assert sink.recv(4096) == frame(number)


def test_host_rings_stand_for_the_kernel(veth: MakeVeth) -> None:
    a, b = veth()
    with raw.Port(a, raw.NIC_SW) as port, packet_socket(a) as kernel, packet_socket(b) as peer:
        kernel.send(frame(1))
        assert port.receive(1, host=True) == [frame(1)]
        port.host_tx[0].put(frame(2))
        port.tx_sync()
        assert kernel.recv(4096) == frame(2)
        peer.send(frame(3))
        assert port.receive(1) == [frame(3)]
        peer.settimeout(0.2)
        with pytest.raises(TimeoutError):  # what the kernel sent went to the host ring only
            peer.recv(4096)


def test_a_monitor_sees_both_directions() -> None:
    name = f"vale{fresh('p')}:x"
    with raw.Port(name + "{1") as a, raw.Port(name + "}1") as b:
        with raw.Port(name + "{1", raw.ALL_NIC, raw.MON_TX | raw.MON_RX) as monitor:
            a.send(frame(1))
            assert b.receive(1) == [frame(1)]
            assert monitor.receive(1) == [frame(1)]
            b.send(frame(2))
            assert a.receive(1) == [frame(2)]
            a.rx_sync()
            assert monitor.receive(1) == [frame(2)]
        a.send(frame(3))
        assert b.receive(1) == [frame(3)]


def test_a_zero_copy_monitor_gets_received_frames_once_they_are_released(veth: MakeVeth) -> None:
    a, b = veth()
    with (
        raw.Port(a) as port,
        raw.Port(a, raw.ALL_NIC, raw.MON_RX | raw.ZCOPY_MON) as monitor,
        packet_socket(b) as peer,
    ):
        peer.send(frame(1))
        assert port.receive(1) == [frame(1)]
        assert monitor.receive(1) == [frame(1)]


def test_a_monitor_needs_its_parent_open() -> None:
    with raw.opened() as fd, pytest.raises(OSError, match="Errno"):
        raw.register(fd, "vale0:absent", flags=raw.MON_RX)


def test_extra_buffers_are_a_list(veth: MakeVeth) -> None:
    a, _ = veth()
    with raw.Port(a, extra_bufs=20) as port:
        granted = port.reply.extra_bufs
        assert 0 < granted <= 20
        found, buffer = [], port.bufs_head
        while buffer:
            found.append(buffer)
            buffer = struct.unpack_from("<I", port.memory, port.tx[0].buffer_at(buffer))[0]
        assert len(found) == len(set(found)) == granted
        assert min(found) >= 2


def test_rings_tell_the_time() -> None:
    with pipe() as (a, b):
        b.rx[0].flags |= raw.TIMESTAMP
        a.send(frame())
        before = time.time()
        b.rx_sync()
        assert before - 1 <= b.rx[0].timestamp <= time.time() + 1


def test_a_head_out_of_range_is_caught() -> None:
    with pipe() as (a, _):
        ring = a.tx[0]
        ring.advance(ring.num_slots + 5)
        with contextlib.suppress(OSError):
            a.tx_sync()
        head, cur, tail = ring.cursors
        assert max(head, cur, tail) < ring.num_slots


def test_an_interface_that_goes(veth: MakeVeth, namespace: Namespace) -> None:
    a, b = veth()
    with raw.Port(a) as port, namespace.running("ip", "link", "del", b) as deletion:
        until = time.monotonic() + 10
        while not port.poll(select.POLLIN, 0.2) & select.POLLERR:
            assert time.monotonic() < until
        with fails(errno.EIO):
            port.rx_sync()
        assert deletion.poll() is None  # it waits for us
        port.close()
        assert deletion.wait(30) == 0
    assert a not in namespace.links()


def test_names_and_switches_are_of_the_namespace(veth: MakeVeth) -> None:
    a, _ = veth()
    elsewhere = Namespace("elsewhere")
    switch = f"vale{fresh('s')}"
    try:
        with raw.Port(f"{switch}:a") as here:
            with elsewhere.entered():
                with raw.opened() as fd, fails(errno.ENXIO):
                    raw.register(fd, a)
                there = raw.Port(f"{switch}:b")
            with there:
                here.send(frame())
                assert there.poll(select.POLLIN, 0.2) == 0
    finally:
        elsewhere.remove()
