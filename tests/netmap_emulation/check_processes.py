"""Descriptors, threads and processes."""

import ctypes
import errno
import os
import pathlib
import select
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from netmap_emulation import raw
from netmap_emulation.raw import PATIENCE, Port, frame
from netmap_emulation.support import fails, give_up_root, ready, start


def duplicates_keep_it_open() -> None:
    a, b = Port("vale0:a"), Port("vale0:b")
    copy = os.dup(a.fd)
    os.close(a.fd)
    raw.ioctl(copy, raw.NIOCTXSYNC)
    b.send(frame(1, 255))
    raw.ioctl(copy, raw.NIOCRXSYNC)
    assert len(a.rx.take()) == 1
    a.unmap()  # the module keeps a port open as long as it is mapped, too
    os.close(copy)
    again = Port("vale0:a", flags=raw.EXCL)
    again.close()
    b.close()


def other_files_are_untouched() -> None:
    reader, writer = os.pipe()
    port = Port("p{1")
    peer = Port("p}1")
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    poller.register(port.fd, select.POLLIN)
    assert poller.poll(20) == []
    threading.Timer(0.1, os.write, (writer, b"x")).start()
    assert poller.poll(5000) == [(reader, select.POLLIN)]
    peer.send(b"y")
    assert set(poller.poll(0)) == {(reader, select.POLLIN), (port.fd, select.POLLIN)}
    assert pathlib.Path("/dev/null").read_bytes() == b""
    port.close()
    peer.close()


def no_epoll() -> None:
    port = Port("p{1")
    with fails(errno.EPERM):
        select.epoll().register(port.fd, select.EPOLLIN)
    port.close()


def many_threads() -> None:
    def one(number: int) -> None:
        a, b = Port(f"t{number}{{1"), Port(f"t{number}}}1")
        for _ in range(300):
            a.send(b"x" * 100)
            assert b.poll() == select.POLLIN
            assert b.rx.take() == [b"x" * 100]
            b.rxsync()
        a.close()
        b.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _echo() -> None:
    port = Port("p}1")
    ready()
    for _ in range(2000):
        assert port.poll() == select.POLLIN
        for data in port.rx.take():
            if data == b"end":
                port.txsync()
                return
            port.tx.put(data)


def _sleeper() -> None:
    port = Port("vale0:a", flags=raw.EXCL, extra=2)
    ctypes.c_uint32.from_address(port.nifp + 32).value = 0
    assert port.poll(select.POLLIN, 0) == 0
    ready()
    time.sleep(60)


def pipe_across_processes() -> None:
    port = Port("p{1")
    other = start(__file__, "_echo")
    began = time.monotonic()
    for number in range(1000):
        port.send(b"%d" % number)
        assert port.poll() == select.POLLIN
        assert port.rx.take() == [b"%d" % number]
    port.send(b"end")
    assert other.wait(2 * PATIENCE) == 0
    assert time.monotonic() - began < PATIENCE  # no wake-up was missed
    assert port.poll(select.POLLIN, 50) == 0  # the peer's close is no event
    again = Port("p}1")
    again.send(b"back")
    assert port.receive() == [b"back"]
    again.close()
    port.close()


def rights_are_needed_at_open_only() -> None:
    port = Port("p{1", extra=2)
    other = start(__file__, "_echo")
    give_up_root()
    for payload in (b"ping", b"end"):
        port.send(payload)
        if payload != b"end":
            assert port.poll() == select.POLLIN
            assert port.rx.take() == [payload]
    assert other.wait(2 * PATIENCE) == 0
    port.close()


def killed_process_lets_go() -> None:
    other = start(__file__, "_sleeper")
    with fails(errno.EBUSY):
        Port("vale0:a")
    other.send_signal(signal.SIGKILL)
    other.wait(2 * PATIENCE)
    port = Port("vale0:a", flags=raw.EXCL)
    port.close()


def _busy() -> None:
    ready()
    while True:
        a, b = Port("vale0:" + str(os.getpid())), Port("vale0:x" + str(os.getpid()))
        for _ in range(20):
            a.send(*[frame(1, 255)] * 50)
            assert b.poll() == select.POLLIN
            assert a.poll(select.POLLIN, 0) in {0, select.POLLIN}
            a.rx.take()
            assert b.rx.take() != []
        a.close()
        b.close()
        time.sleep(0.001)  # the others are to start meanwhile


def survives_kills() -> None:
    watcher = Port("vale0:watcher")
    for _ in range(4):
        others = [start(__file__, "_busy") for _ in range(2)]
        time.sleep(0.2)
        assert watcher.poll() == select.POLLIN
        watcher.rx.take()
        for other in others:
            assert other.poll() is None
            other.kill()
            other.wait()
    again = Port("vale0:again")
    watcher.send(frame(2, 255))
    assert again.receive() == [frame(2, 255)]
    again.close()
    watcher.close()


def forked_child() -> None:
    a, b = Port("p{1"), Port("p}1")
    child = os.fork()
    if child == 0:
        b.send(b"from the child")
        b.close()
        os._exit(0)
    b.close()
    assert os.waitpid(child, 0)[1] == 0
    assert a.poll() == select.POLLIN
    assert a.rx.take() == [b"from the child"]
    again = Port("p}1", flags=raw.EXCL)
    again.close()
    a.close()


def denied() -> None:
    with fails(errno.EACCES):
        os.open("/dev/netmap", os.O_RDWR)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
