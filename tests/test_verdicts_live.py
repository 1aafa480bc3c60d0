"""Verdicts as the two ends of a connection see them."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import threading
import typing

import pytest
from live.middlebox import middlebox

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from live import Network
    from live.backends import Backend

PORT = 4000


@contextlib.contextmanager
def connection(
    network: Network, *, port: int = PORT, timeout: float = 5, ipv6: bool = False
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect the client to the server; give both ends."""
    address = network.SERVER6 if ipv6 else network.SERVER
    with network.server.entered():
        listener = socket.create_server((address, port), family=socket.AF_INET6 if ipv6 else socket.AF_INET)
    with contextlib.ExitStack() as stack:
        stack.enter_context(listener)
        listener.settimeout(timeout)
        with network.client.entered():
            near = stack.enter_context(socket.create_connection((address, port), timeout))
        far = stack.enter_context(listener.accept()[0])
        far.settimeout(timeout)
        yield near, far


def answers(ends: tuple[socket.socket, socket.socket], data: bytes) -> bool:
    """Tell whether `data` reaches the server and comes back."""
    near, far = ends
    near.sendall(data)
    with contextlib.suppress(TimeoutError):
        far.sendall(far.recv(100))
        return near.recv(100) == data
    return False


ON_WORD = """
word = ms.ON_CONN_NEW_DATA.where(ms.payload.contains({word!r}))

@stack.on(word, hook=ms.POST_TCP)
def rule(sock, event):
    stack.counters["ruled"] += 1
    {action}
finish = lambda: said.update(stack.counters)
"""


def test_a_reset_reaches_both_ends(bridged: Network, box: Backend) -> None:
    script = ON_WORD.format(word=b"attack", action="return ms.RESET")
    with middlebox(bridged, box.ports, script, environment=box.environment) as middle:
        for side, ipv6 in ((0, False), (1, False), (0, True), (1, True)):
            with connection(bridged, ipv6=ipv6) as ends:
                assert answers(ends, b"good")
                ends[side].sendall(b"an attack")
                for end in ends:
                    with pytest.raises(ConnectionResetError):
                        end.recv(100)
        # The middlebox resets one connection, not the hosts.
        with connection(bridged) as ends:
            assert answers(ends, b"good")
    assert middle.said["ruled"] == 4


def test_a_dropped_packet_is_sent_again_and_then_passes(bridged: Network, box: Backend) -> None:
    action = "return ms.DROP if stack.counters['ruled'] <= 2 else None"
    script = f"""
@stack.on(ms.ON_PKT_IN.where(ms.payload.contains(b"lost")), hook=ms.PRE_TCP)
def rule(sock, event):
    stack.counters["ruled"] += 1
    {action}
finish = lambda: said.update(stack.counters)
"""
    with (
        middlebox(bridged, box.ports, script, environment=box.environment) as middle,
        connection(bridged) as ends,
    ):
        assert answers(ends, b"lost")
    assert middle.said["ruled"] >= 3


def test_a_dropped_flow_is_silence(bridged: Network, box: Backend) -> None:
    script = ON_WORD.format(word=b"hush", action="return ms.DROP_FLOW")
    with (
        middlebox(bridged, box.ports, script, environment=box.environment) as middle,
        connection(bridged, timeout=1) as ends,
        connection(bridged, port=PORT + 1) as others,
    ):
        assert answers(ends, b"good")
        assert not answers(ends, b"hush")
        assert not answers(ends, b"good")
        assert answers(others, b"good")
    assert middle.said["ruled"] == 1
    assert middle.said["statistics"]["dropped_by_verdict"] > 1


def test_a_stopped_flow_passes_unseen(bridged: Network, box: Backend) -> None:
    script = ON_WORD.format(word=b"dull", action="sock.stop()")
    with (
        middlebox(bridged, box.ports, script, environment=box.environment) as middle,
        connection(bridged) as ends,
    ):
        for _ in range(3):
            assert answers(ends, b"dull")
    assert middle.said["ruled"] == 1
    assert middle.said["statistics"]["bypassed"] > 0


def test_a_refused_connection_times_out(bridged: Network, box: Backend) -> None:
    script = """
@stack.on(ms.ON_CONN_START.where(ms.packet.port == 0), hook=ms.PRE_TCP)
def refuse(sock, event):
    return ms.DROP_FLOW
"""
    with (
        middlebox(bridged, box.ports, script, environment=box.environment),
        pytest.raises(TimeoutError),
        connection(bridged, timeout=0.5),
    ):
        pass


def test_columns_give_verdicts(bridged: Network, box: Backend) -> None:
    script = """
import numpy as np

def rule(batch):
    # Whatever is longer than this is cut off, and its connection with it.
    return np.where(np.asarray(batch["event.length"]) > 100, ms.RESET, ms.FORWARD).astype(np.uint8)

stack.on_batch(ms.ON_CONN_NEW_DATA, rule, columns=["event.length"])
"""
    with (
        middlebox(bridged, box.ports, script, environment=box.environment),
        connection(bridged) as ends,
    ):
        assert answers(ends, b"good")
        ends[0].sendall(b"x" * 200)
        for end in ends:
            with pytest.raises(ConnectionResetError):
                end.recv(1000)


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_a_failing_handler_fails_open_or_closed(bridged: Network, box: Backend, policy: str) -> None:
    script = ON_WORD.format(word=b"trouble", action="raise RuntimeError('handler')")
    options = f"on_error='log', on_failure='{policy}'"
    with (
        middlebox(bridged, box.ports, script, options=options, environment=box.environment) as middle,
        connection(bridged, timeout=1) as ends,
    ):
        assert answers(ends, b"good")
        assert answers(ends, b"trouble") is (policy == "open")
    assert middle.said["statistics"]["handler_errors"] >= 1


def test_a_length_changing_edit_is_seen_by_neither_end(bridged: Network, box: Backend) -> None:
    script = """
@stack.on(ms.ON_CONN_NEW_DATA, side=ms.CLIENT)
def translate(sock, event):
    data = event.payload
    at = data.find(b"dog")
    if at >= 0:
        event.replace(b"elephant", at, at + 3)
"""
    received = bytearray()
    rounds = 200
    with (
        middlebox(bridged, box.ports, script, environment=box.environment),
        connection(bridged) as (near, far),
    ):

        def echo() -> None:
            while data := far.recv(4096):
                received.extend(data)
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

        server = threading.Thread(target=echo)
        server.start()
        for number in range(rounds):
            sent = f"{number}: the dog.\n".encode()
            expected = sent.replace(b"dog", b"elephant")
            near.sendall(sent)
            got = b""
            while len(got) < len(expected):
                got += near.recv(4096)
            assert got == expected
        near.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
        server.join(5)
        assert not server.is_alive()
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in {0, errno.ENOTCONN}
    assert bytes(received) == b"".join(f"{number}: the elephant.\n".encode() for number in range(rounds))


EDIT_IN_BULK = """
chance = random.Random(11)

@stack.on(ms.ON_CONN_START)
def in_order(sock, event):
    sock.client.keep_order()
    sock.server.keep_order()

@stack.on(ms.ON_PKT_IN)
def lines(sock, event):
    data = event.payload
    if not data:
        return None
    if chance.random() < 0.01:
        stack.counters["dropped"] += 1
        return ms.DROP
    try:
        if event.replace(data.replace(b"\\n", b"\\r\\n")):
            stack.counters["edited"] += 1
    except RuntimeError:
        return ms.DROP
    return None

finish = lambda: said.update(stack.counters)
"""


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_bulk_is_edited_both_ways_though_packets_are_lost(
    bridged: Network, box: Backend, *, ipv6: bool
) -> None:
    """Whole windows of segments grow, are acknowledged (by SACK, too) and are sent again, with timestamps."""
    chance = random.Random(3)  # noqa: S311 -- the same lines each time
    lines = [chance.randbytes(chance.randrange(20, 400)).replace(b"\n", b" ") for _ in range(5000)]
    data = b"\n".join(lines)
    arrived: dict[str, bytes] = {}

    def send(end: socket.socket) -> None:
        end.sendall(data)
        end.shutdown(socket.SHUT_WR)

    def receive(end: socket.socket, name: str) -> None:
        received = bytearray()
        while block := end.recv(1 << 16):
            received += block
        arrived[name] = bytes(received)

    with (
        middlebox(bridged, box.ports, EDIT_IN_BULK, environment=box.environment) as middle,
        connection(bridged, timeout=60, ipv6=ipv6) as (near, far),
    ):
        threads = [
            threading.Thread(target=send, args=(near,)),
            threading.Thread(target=send, args=(far,)),
            threading.Thread(target=receive, args=(near, "near")),
            threading.Thread(target=receive, args=(far, "far")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    expected = data.replace(b"\n", b"\r\n")
    assert {name: received == expected for name, received in arrived.items()} == {"near": True, "far": True}
    assert middle.said["dropped"] > 0
    assert middle.said["edited"] > 0
