"""What the tests of netmap ports do, each in a process of its own: with /dev/netmap emulated or the module's.

`python netmap_bodies.py NAME ARGUMENTS...` runs the function NAME. Where the other end of a pipe or a switch
is wanted, it is driven through netmap's raw interface, without midsock.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import midsock as ms

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from netmap_emulation import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE = 30.0
BUFFER = 2048
HEADER = bytes.fromhex("02000000000202000000000188b5")


def frame(number: int, size: int = 60) -> bytes:
    """Give a frame that is not IP, with its number, then bytes that depend on it."""
    return HEADER + struct.pack(">I", number) + random.Random(number).randbytes(size - 18)  # noqa: S311 (no secret)


def frames(count: int, *, longest: int = 1514, first: int = 0) -> list[bytes]:
    sizes = random.Random(first)  # noqa: S311 (no secret)
    return [frame(number, sizes.randint(60, longest)) for number in range(first, first + count)]


def wait_until(done: Callable[[], bool], turn: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, "it did not come to pass"
        turn()


class Peer(raw.Port):
    """The other end: sends and receives whole frames, in chains of slots where one does not suffice."""

    def send_all(self, sent: Sequence[bytes]) -> None:
        for each in sent:
            parts = [each[at : at + BUFFER] for at in range(0, len(each), BUFFER)]
            wait_until(lambda parts=parts: self.tx.available >= len(parts), self.push)  # type: ignore[misc]
            self.tx.put(*parts, flags=raw.MOREFRAG if len(parts) > 1 else 0)
        self.txsync()

    def push(self) -> None:
        self.txsync()
        self.poll(select.POLLOUT, 1)

    def receive_all(self) -> list[bytes]:
        self.rxsync()
        result, parts = [], []
        ring = self.rx
        for at in range(ring.head, ring.head + ring.available):
            parts.append(ring.peek(at))
            if not ring.slot(at).flags & raw.MOREFRAG:
                if any(parts):
                    result.append(b"".join(parts))
                parts = []
                ring.advance(at + 1)
        return result

    def receive(self, count: int) -> list[bytes]:  # type: ignore[override]
        result: list[bytes] = []

        def turn() -> None:
            result.extend(self.receive_all())
            time.sleep(0.001)

        wait_until(lambda: len(result) >= count, turn)
        # What was read makes room for the sender.
        self.rxsync()
        return result


class Watched:
    """A stack that keeps the frames which it sees."""

    def __init__(self, *ports: str) -> None:
        self.stack = ms.Stack(*ports)
        self.frames: list[bytes] = []
        self.times: list[int] = []
        self.stack.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, self.keep)

    def keep(self, _sock: object, event: ms.Event) -> None:
        self.frames.append(event.frame)
        self.times.append(event.time_ns)

    def until(self, count: int) -> list[bytes]:
        wait_until(lambda: len(self.frames) >= count, lambda: self.stack.run(timeout=0.05))
        return self.frames

    def port(self, number: int = 0) -> Mapping[str, Any]:
        return self.stack.statistics()["ports"][number]


@contextlib.contextmanager
def running(stack: ms.Stack) -> Iterator[None]:
    """Run a stack in a thread meanwhile; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            stack.run()
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is raised below)
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stack.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


@contextlib.contextmanager
def refused(kind: type[OSError], *words: str) -> Iterator[None]:
    said = ""
    try:
        yield
    except kind as error:
        said = str(error)
    assert said, f"{words}: nothing was refused"
    missing = [word for word in words if word not in said]
    assert not missing, f"{missing} not in {said}"


# --- pipes ---


def pipe_receives() -> None:
    peer = Peer("p{1")
    watched = Watched("netmap:p}1")
    sent = [b"\xff" * 1, *frames(3000), b"short", bytes(BUFFER)]
    before = time.time_ns()
    thread = threading.Thread(target=peer.send_all, args=(sent,))
    thread.start()
    assert watched.until(len(sent)) == sent
    thread.join()
    # The ring's clock has microseconds.
    assert before - 1000 <= min(watched.times) <= max(watched.times) <= time.time_ns()
    assert watched.times == sorted(watched.times)
    port = watched.port()
    assert (port["received"], port["received_bytes"]) == (len(sent), sum(map(len, sent)))
    watched.stack.close()
    peer.close()


def pipe_receives_chains(slots: str) -> None:
    peer = Peer("p}3", slots=int(slots))
    watched = Watched("netmap:p{3")
    most = min(64, int(slots) - 1)
    sizes = [BUFFER + 1, 2 * BUFFER, 9014, most * BUFFER, 100, 20_000, 3 * BUFFER - 1] * 20
    sent = [frame(number, min(size, most * BUFFER)) for number, size in enumerate(sizes)]
    thread = threading.Thread(target=peer.send_all, args=(sent,))
    thread.start()
    assert watched.until(len(sent)) == sent
    thread.join()
    watched.stack.close()
    peer.close()


def pipes_are_bridged_losslessly(slots: str, longest: str) -> None:
    """Nothing is lost as long as no more is on its way than a ring holds: a stack does not wait for long."""
    left, right = Peer("p}1", slots=int(slots)), Peer("p}2", slots=int(slots))
    watched = Watched("netmap:p{1", "netmap:p{2")
    each = (int(slots) - 1) // -(-int(longest) // BUFFER)
    rounds = max(4, 1500 // each)
    with running(watched.stack):
        for first in range(0, rounds * each, each):
            there = frames(each, longest=int(longest), first=first)
            back = frames(each, longest=int(longest), first=first + 100_000)
            left.send_all(there)
            right.send_all(back)
            assert right.receive(each) == there
            assert left.receive(each) == back
    for number in (0, 1):
        port = watched.port(number)
        assert (port["received"], port["sent"], port["send_failures"]) == (rounds * each, rounds * each, 0)
    watched.stack.close()
    left.close()
    right.close()


def bridged_buffers(same_region: str) -> None:
    """Within a region, the buffer that was sent is the buffer that arrives."""
    if same_region == "yes":
        left, right = Peer("p}1"), Peer("p}2")
        names = ("netmap:p{1", "netmap:p{2")
    else:
        left, right = Peer("p}1"), Peer("q}2")
        names = ("netmap:p{1", "netmap:q{2")
    assert (left.reply.mem_id == right.reply.mem_id) == (same_region == "yes")
    watched = Watched(*names)
    with running(watched.stack):
        for number in range(50):
            index = left.tx.slot(left.tx.head).buffer
            left.send_all([frame(number)])
            wait_until(lambda: right.rx.available > 0, right.rxsync)
            place = right.rx.head
            assert (right.rx.slot(place).buffer == index) == (same_region == "yes")
            assert right.receive(1) == [frame(number)]
    watched.stack.close()
    left.close()
    right.close()


def new_pipes_share_a_region() -> None:
    watched = Watched("netmap:p{1", "netmap:q{1")
    left, right = Peer("p}1"), Peer("q}1")
    assert left.reply.mem_id == right.reply.mem_id
    with running(watched.stack):
        left.send_all(frames(100))
        assert right.receive(100) == frames(100)
    watched.stack.close()
    left.close()
    right.close()


def what_finds_no_room_is_held() -> None:
    """Of frames to a pipe that nobody reads, as many wait as a ring and the extra buffers hold."""
    left, right = Peer("p}1", slots=64), Peer("p}2", slots=64)
    watched = Watched("netmap:p{1", "netmap:p{2")
    sent = frames(1000)
    with running(watched.stack):
        left.send_all(sent)
        wait_until(lambda: watched.port()["received"] == 1000, lambda: time.sleep(0.01))
        got = right.receive(63)
        # Those that were held follow, with no packet to push them.
        got += right.receive(256)
        # There is room for new ones.
        left.send_all([frame(5000)])
        assert right.receive(1) == [frame(5000)]
    assert got[: 63 + 256] == sent[: 63 + 256]
    assert watched.port(1)["send_failures"] == 1000 - 63 - 256
    assert watched.port(1)["sent"] == 63 + 256 + 1
    watched.stack.close()
    left.close()
    right.close()


def read_slowly(port: str, slots: str, count: str) -> None:
    peer = Peer(port, slots=int(slots))
    say("ready")
    sys.stdin.readline()
    say(json.dumps([each.hex() for each in peer.receive(int(count))]))
    peer.close()


def packets_on_their_way_are_sent_at_close() -> None:
    command = [sys.executable, __file__, "read_slowly", "p}2", "16", "60"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin
        assert reader.stdout
        assert reader.stdout.readline() == "ready\n"
        left = Peer("p}1", slots=16)
        watched = Watched("netmap:p{1", "netmap:p{2")
        sent = frames(60)
        sender = threading.Thread(target=left.send_all, args=(sent,))
        sender.start()
        watched.until(60)
        sender.join()
        reader.stdin.write("now\n")
        reader.stdin.flush()
        watched.stack.close()
        assert [bytes.fromhex(each) for each in json.loads(reader.stdout.readline())] == sent
    left.close()


def a_ring_that_another_moves_is_an_error() -> None:
    peer = Peer("p{1")
    watched = Watched("netmap:p}1")
    other = Peer("p}1")
    peer.send_all(frames(10))
    watched.until(10)
    peer.send_all(frames(10))
    other.rxsync()
    other.rx.advance(other.rx.head + 3)
    with refused(ms.PortError, "netmap:p}1", "only one program may use it"):
        watched.until(100)
    watched.stack.close()
    other.close()
    peer.close()


def one_direction_is_open() -> None:
    """R receives and does not send; T sends and does not receive."""
    peer = Peer("p}1")
    watched = Watched("netmap:p{1/R")
    peer.send_all(frames(100))
    assert watched.until(100) == frames(100)
    watched.stack.close()
    left, right = Peer("p}2", slots=64), Peer("p}3", slots=64)
    watched = Watched("netmap:p{2", "netmap:p{3/T")
    sent = frames(200)
    with running(watched.stack):
        left.send_all(sent)
        wait_until(lambda: watched.port()["received"] == 200, lambda: time.sleep(0.01))
        # What finds no room follows, although nothing ever comes from that side.
        assert right.receive(200) == sent
        right.send_all(frames(10))
        left.send_all([frame(7000)])
        assert right.receive(1) == [frame(7000)]
    assert left.receive_all() == []
    assert [watched.port(number)["received"] for number in (0, 1)] == [201, 0]
    watched.stack.close()
    inline = ms.Stack("netmap:p{2", "netmap:p{3/R")
    left.send_all(frames(1))
    with refused(ms.PortError, "netmap:p{3/R", "only receives"):
        inline.run(timeout=5)
    inline.close()
    for each in (peer, left, right):
        each.close()


def a_region_is_asked_for_by_its_number() -> None:
    other = Peer("q{1")
    number = other.reply.mem_id
    watched = Watched(f"netmap:p{{1@{number}")
    peer = Peer("p}1")
    assert peer.reply.mem_id == number
    peer.send_all(frames(50))
    assert watched.until(50) == frames(50)
    watched.stack.close()
    switched = ms.Stack(f"vale7:a@{number}", "vale7:b")
    looking_on = [Peer("vale7:a"), Peer("vale7:b")]
    assert [each.reply.mem_id for each in looking_on] == [number, number]
    switched.close()
    with refused(ms.PortError, "netmap:r{1@60000", "a ring or region with this number may not exist"):
        ms.Stack("netmap:r{1@60000")
    for each in (peer, other, *looking_on):
        each.close()


# --- VALE ---


def vale_receives() -> None:
    peer = Peer("vale7:a")
    watched = Watched("vale7:b")
    sent: list[bytes] = []
    for first in range(0, 2000, 100):
        part = frames(100, longest=9014, first=first)
        peer.send_all(part)
        sent += part
        watched.until(len(sent))
    assert watched.frames == sent
    watched.stack.close()
    peer.close()


def vale_is_bridged() -> None:
    """Between switches by chains of slots too."""
    left, right = Peer("vale7:a"), Peer("vale8:a")
    watched = Watched("vale7:b", "vale8:b")
    with running(watched.stack):
        for first in range(0, 1000, 50):
            sent = frames(50, longest=9014, first=first)
            left.send_all(sent)
            assert right.receive(50) == sent
            right.send_all(sent[:20])
            assert left.receive(20) == sent[:20]
    watched.stack.close()
    left.close()
    right.close()


# --- monitors ---


def monitors_see_what_a_port_does(letters: str) -> None:
    near, far = Peer("p{1"), Peer("p}1")
    watched = Watched(f"netmap:p{{1/{letters}")
    wanted: list[bytes] = []
    for first in range(0, 300, 10):
        out, back = frames(10, first=first), frames(10, first=first + 5000)
        near.send_all(out)
        assert far.receive(10) == out
        if "t" in letters:
            near.txsync()
            watched.until(len(wanted) + 10)
            wanted += out
        far.send_all(back)
        assert near.receive(10) == back
        if "r" in letters:
            near.rxsync()
            watched.until(len(wanted) + 10)
            wanted += back
    assert watched.frames == wanted
    watched.stack.close()
    with refused(ms.PortError, "only receives"):
        inline = ms.Stack("netmap:p}1", f"netmap:p{{1/{letters}")
        near.send_all(frames(1))
        inline.run(timeout=5)
    inline.close()
    orphan = Watched(f"netmap:p{{1/{letters}")
    near.close()
    with refused(ms.PortError, "the port that it monitors was closed"):
        orphan.stack.run(timeout=5)
    orphan.stack.close()
    far.close()


# --- refusals ---


def names_are_refused() -> None:
    with refused(FileNotFoundError, "no interface no-such;", "there are lo"):
        ms.Stack("netmap:no-such")
    with refused(FileNotFoundError, "no interface nosuch;", "there are lo"):
        ms.Stack("netmap:nosuch-0")
    with refused(ms.PortError, "character 11 ('q')", "no such flag"):
        ms.Stack("netmap:lo/q")
    with refused(ms.PortError, "no option rings", "offloads"):
        ms.Stack("netmap:lo?rings=1")
    with refused(OSError, "netmap:p{1/t", "open already"):
        ms.Stack("netmap:p{1/t")


def a_port_is_opened_exclusively() -> None:
    first = ms.Stack("netmap:p{1/x")
    with refused(ms.PortError, "in use"):
        ms.Stack("netmap:p{1/x")
    first.close()
    ms.Stack("netmap:p{1/x").close()


def the_device_may_not_be_opened() -> None:
    if os.geteuid() == 0 and "MIDSOCK_NETMAP_EMULATION" not in os.environ:
        os.setuid(65534)
    with refused(PermissionError, "/dev/netmap", "run as root"):
        ms.Stack("netmap:p{1")


def there_is_no_module() -> None:
    with refused(FileNotFoundError, "no /dev/netmap", "modprobe netmap"):
        ms.Stack("netmap:p{1")


# --- interfaces; their names are arguments ---


def serve(*ports: str, user: str | None = None) -> None:
    """Run a stack until SIGTERM; its last words are its statistics."""
    stack = ms.Stack(*ports)
    if user is not None:
        ms.drop_rights(user)
    raw_socket = stack.socket(ms.MONITOR_RAW)
    seen = raw_socket.count(ms.ON_PKT_IN)
    signal.signal(signal.SIGTERM, lambda *_: stack.stop())
    say("ready")
    stack.run()
    last_words = json.dumps({"seen": seen.value, "ports": stack.statistics()["ports"]})
    stack.close()
    say(last_words)


def serve_as(user: str, *ports: str) -> None:
    """Serve, but give up root's rights once the ports are open."""
    serve(*ports, user=user)


def keep(port: str, count: str) -> None:
    """Receive so many frames of the tests' own kind, with or without a VLAN tag, and tell them."""
    watched = Watched(port)
    say("ready")

    def own() -> list[bytes]:
        return [each for each in watched.frames if HEADER[12:] in {each[12:14], each[16:18]}]

    wait_until(lambda: len(own()) >= int(count), lambda: watched.stack.run(timeout=0.05))
    say(json.dumps([each.hex() for each in own()]))
    watched.stack.close()


def refuse(*ports: str) -> None:
    """Tell why ports are not opened, or why they end."""
    try:
        stack = ms.Stack(*ports)
        say("ready")
        stack.run(timeout=PATIENCE)
    except OSError as error:
        say(f"{type(error).__name__}: {error}")
    else:
        say("nothing was refused")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
