"""NICs and host rings; the network namespace has the veth pairs va-vb and vc-vd."""

import contextlib
import errno
import pathlib
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from netmap_emulation import raw
from netmap_emulation.raw import MOREFRAG, PATIENCE, Port, Slot, frame
from netmap_emulation.support import IS_EMULATED, fails, give_up_root, ready, start, swap

STATION = 0x88B5  # the ethertype of frame()


def station(interface: str) -> socket.socket:
    result = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(STATION))
    result.bind((interface, STATION))
    result.settimeout(PATIENCE)
    return result


def links() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def nic_sends_and_receives() -> None:
    peer, port = station("vb"), Port("va")
    assert (port.reply.mem_id, port.reply.host_tx, port.reply.host_rx) == (1, 1, 1)
    assert [port.ring_offset(i) != 0 for i in range(4)] == [True, False, True, False]
    threading.Timer(0.1, peer.send, (frame(1, 2, b"in"),)).start()
    assert port.poll() == select.POLLIN
    assert port.rx.take() == [frame(1, 2, b"in")]
    port.send(frame(3, 4, b"out"))
    assert peer.recv(2000) == frame(3, 4, b"out")
    port.txsync()
    assert (port.tx.tail + 1) % port.tx.slots == port.tx.head
    tagged = frame(1, 2)[:12] + b"\x81\0\0\x05" + frame(1, 2, b"tagged")[12:]
    peer.send(tagged)
    assert port.poll() == select.POLLIN
    assert port.rx.take() == [tagged]
    port.close()


def nic_gives_slots_back_late() -> None:
    """As hardware does; the module may with a veth, whose other end has it all at once, or may not."""
    port = Port("va")
    port.send(frame(3, 4))
    n = port.tx.slots
    assert (port.tx.tail + 1) % n != port.tx.head
    port.txsync()
    assert (port.tx.tail + 1) % n == port.tx.head
    port.close()


def nic_tx_knows_no_chains() -> None:
    peer, port = station("vb"), Port("va")
    port.send(frame(1, 2, b"a"), frame(1, 2, b"b"), flags=MOREFRAG)
    assert [peer.recv(2000)[14:15] for _ in range(2)] == [b"a", b"b"]
    port.close()


def nic_rx_makes_chains() -> None:
    subprocess.run(["ip", "link", "set", "va", "mtu", "1472"], check=True)
    peer, port = station("vb"), Port("va")  # buffers are as long as the MTU, frames longer by their header
    data = frame(1, 2, bytes(range(256)) * 5, length=1486)
    peer.send(data)
    assert port.poll() == select.POLLIN
    assert [port.rx.slot(i).flags for i in range(2)] == [MOREFRAG, 0]
    assert [port.rx.slot(i).length for i in range(2)] == [1472, 14]
    assert b"".join(port.rx.take()) == data
    port.close()


def nic_loses_nothing() -> None:
    peer, port = station("vb"), Port("va")
    received: list[bytes] = []
    for first in range(0, 6000, 50):  # fewer than a socket sends before some have been received
        for number in range(first, first + 50):
            peer.send(frame(1, 2, b"%06d" % number))
        while len(received) < first + 50:
            assert port.poll() == select.POLLIN
            received += [data[14:20] for data in port.rx.take()]
    assert received == [b"%06d" % number for number in range(6000)]
    port.close()


def nic_refuses_a_large_mtu() -> None:
    subprocess.run(["ip", "link", "set", "va", "mtu", "9000"], check=True)
    with fails(errno.EINVAL):
        Port("va")
    port = Port("va", flags=raw.TX_ONLY)
    port.close()


def nic_keeps_the_host_apart() -> None:
    before = links()
    peer = station("vb")
    port = Port("va")
    host = station("va")
    host.send(frame(7, 8, b"from the host"))
    peer.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        raise AssertionError(peer.recv(100))
    rings = Port("va", raw.SW)
    assert [rings.ring_offset(i) != 0 for i in range(4)] == [False, True, False, True]
    assert len(links() - before) == IS_EMULATED  # by a device of its own
    threading.Timer(0.1, host.send, (frame(7, 8, b"from the host"),)).start()
    assert rings.poll() == select.POLLIN
    assert rings.host_rx.take() == [frame(7, 8, b"from the host")]
    rings.host_tx.put(frame(9, 10, b"to the host"))
    rings.txsync()
    assert host.recv(100) == frame(9, 10, b"to the host")
    assert port.receive() == []
    rings.close()
    port.close()
    assert links() == before
    peer.settimeout(PATIENCE)
    host.send(frame(7, 8, b"again"))
    assert peer.recv(100) == frame(7, 8, b"again")


def nic_host_rings_alone() -> None:
    peer, host, rings = station("vb"), station("va"), Port("va", raw.ONE_SW)
    host.send(frame(7, 8, b"passes"))  # the NIC's rings are not netmap's
    assert peer.recv(100) == frame(7, 8, b"passes")
    assert rings.poll(select.POLLIN, 50) == 0
    port = Port("va")
    rings.rxsync()
    host.send(frame(7, 8, b"taken"))
    assert rings.poll() == select.POLLIN
    assert rings.host_rx.take() == [frame(7, 8, b"taken")]
    port.close()
    rings.rxsync()
    host.send(frame(7, 8, b"passes again"))
    assert peer.recv(100) == frame(7, 8, b"passes again")
    rings.close()


def nic_forwards() -> None:
    peer, host, port = station("vb"), station("va"), Port("va", raw.NIC_SW)
    for ring, sender, receiver in ((port.rx, peer, host), (port.host_rx, host, peer)):
        ring.flags(raw.RING_FORWARD)
        for payload in (b"kept", b"passed"):
            sender.send(frame(1, 2, payload))
            assert port.poll() == select.POLLIN
        slot = ring.slot(1)
        assert ring.available == 2
        ring.set_slot(1, Slot(slot.buffer, slot.length, raw.SLOT_FORWARD, 0))
        ring.advance(2)
        port.rxsync()
        port.txsync()  # to the wire, they go by the tx ring
        while (data := receiver.recv(100)) != frame(1, 2, b"passed"):
            # The packet socket on va sees what arrives there, before the emulation takes it away.
            assert receiver is host
            assert data == frame(1, 2, b"kept")
    port.close()


def nic_swap_to_another() -> None:
    left, right = station("vb"), station("vd")
    a, c = Port("va"), Port("vc")
    assert (a.reply.mem_id, c.reply.mem_id) == (1, 1)
    for number in range(2 * a.rx.slots):
        data = frame(1, 2, b"%d" % number)
        left.send(data)
        assert a.poll() == select.POLLIN
        swap(a.rx, c.tx)
        c.txsync()
        assert right.recv(100) == data
    a.close()
    c.close()


def nic_memory_is_shared() -> None:
    nic, pipe, member = Port("va"), Port("va{1"), Port("vale0:a", mem_id=1)
    assert [port.reply.mem_id for port in (nic, pipe, member)] == [1, 1, 1]
    peer, other = station("vb"), Port("vale0:b")
    peer.send(frame(1, 255, b"through"))
    assert nic.poll() == select.POLLIN
    swap(nic.rx, member.tx)
    member.txsync()
    assert other.receive() == [frame(1, 255, b"through")]
    for port in (nic, pipe, member, other):
        port.close()


def nic_monitored_elsewhere() -> None:
    peer, port = station("vb"), Port("va")
    other = start(__file__, "_monitor")
    peer.send(frame(1, 2, b"in"))
    assert port.poll() == select.POLLIN
    port.rx.take()
    port.send(frame(3, 4, b"out"))
    assert other.wait(2 * PATIENCE) == 0
    port.close()


def _monitor() -> None:
    port = Port("va", flags=raw.MON_RX | raw.MON_TX)
    ready()
    seen: list[bytes] = []
    while len(seen) < 2:
        assert port.poll() == select.POLLIN
        seen += port.rx.take()
    assert seen == [frame(1, 2, b"in"), frame(3, 4, b"out")]


def nic_rings_share_the_traffic() -> None:
    peer = station("vb")
    rings = [Port("va", raw.ONE_NIC, ringid=number) for number in range(4)]
    assert [[port.ring_offset(i) != 0 for i in range(5)] for port in rings][2] == [
        False,
        False,
        True,
        False,
        False,
    ]
    with fails(errno.EINVAL):
        Port("va", raw.ONE_NIC, ringid=4)
    for number in range(200):
        address = bytes([10, 0, 0, number, 10, 0, 1, 1])
        peer.send((frame(1, 2)[:12] + b"\x08\0" + b"E" + bytes(8) + b"\x11\0\0" + address).ljust(60, b"\0"))
    for port in rings:
        port.rxsync()
    first = [port.interface(24) + port.interface(36) + number for number, port in enumerate(rings)]
    counts = [len(port.ring(first[number]).take()) for number, port in enumerate(rings)]
    assert sum(counts) == 200, counts
    assert min(counts) > 20, counts
    for port in rings:
        port.close()


def nic_goes_down_and_up() -> None:
    """Not so with the module, which sleeps in all of these until the interface is up again."""
    peer, port = station("vb"), Port("va")
    subprocess.run(["ip", "link", "set", "va", "down"], check=True)
    assert port.poll(select.POLLIN | select.POLLOUT, 50) == select.POLLOUT
    assert port.poll(select.POLLIN, 50) == 0
    port.send(frame(1, 2, b"into nowhere"))
    subprocess.run(["ip", "link", "set", "va", "up"], check=True)
    peer.send(frame(1, 2, b"in"))
    assert port.poll() == select.POLLIN
    assert port.rx.take() == [frame(1, 2, b"in")]
    port.send(frame(1, 2, b"out"))
    assert peer.recv(100) == frame(1, 2, b"out")
    port.close()


def nic_without_rights_after_open() -> None:
    peer, port = station("vb"), Port("va", raw.NIC_SW)
    give_up_root()
    peer.send(frame(1, 2, b"in"))
    assert port.poll() == select.POLLIN
    assert port.rx.take() == [frame(1, 2, b"in")]
    port.send(frame(1, 2, b"out"))
    assert peer.recv(100) == frame(1, 2, b"out")
    port.close()


def nic_removed_under_load() -> None:
    peer, port, rings = station("vb"), Port("va"), Port("va", raw.SW)
    peer.send(frame(1, 2))
    assert port.poll() == select.POLLIN
    deletion = subprocess.Popen(["ip", "link", "delete", "va"])
    deadline = time.monotonic() + PATIENCE
    for one in (port, rings):
        while not one.poll(select.POLLIN, 100) & select.POLLERR:
            assert time.monotonic() < deadline
        with fails(errno.EIO):
            one.txsync()
        with fails(errno.EIO):
            one.rxsync()
    with fails(errno.ENXIO):
        Port("va")
    port.close()
    rings.close()
    assert deletion.wait(2 * PATIENCE) == 0  # the module has it wait for the close
    assert not any(name.startswith("nmhost") for name in links())


def nic_given_back_after_a_kill() -> None:
    before = links()
    other = start(__file__, "_holder")
    assert len(links() - before) == IS_EMULATED
    other.send_signal(signal.SIGKILL)
    other.wait(2 * PATIENCE)
    peer, host = station("vb"), station("va")
    deadline = time.monotonic() + PATIENCE
    while links() != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert links() == before
    host.send(frame(1, 2))
    assert peer.recv(100) == frame(1, 2)
    port = Port("va", flags=raw.EXCL)
    port.close()


def _holder() -> None:
    _ = Port("va", raw.NIC_SW)
    ready()
    time.sleep(60)


def _bridge() -> None:
    """Join the host to its own wire: what came without netmap goes on coming."""
    port = Port("va", raw.NIC_SW)
    ready()
    while True:
        assert port.poll() == select.POLLIN
        for source, sink in ((port.rx, port.host_tx), (port.host_rx, port.tx)):
            while source.available > 0 and sink.available > 0:
                swap(source, sink)


def host_goes_on() -> None:
    other = start(__file__, "_bridge")
    try:
        subprocess.run(
            ["ping", "-c", "5", "-i", "0.05", "-W", "2", "10.99.0.2"], check=True, stdout=subprocess.DEVNULL
        )
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
