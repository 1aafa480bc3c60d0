"""Random conversations of two kernels through a midsock that mangles their packets.

Whatever comes of the path, each stream that midsock puts together is what the program at its end sent, byte
for byte: in the middle, which sees packets as they come in, and at both hosts, where they are as the path
left them. `MIDSOCK_SEED` repeats a failed run's random choices; what the kernels make of them still depends
on time.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

import midsock as ms
import pytest
from live import Network, running, until
from mangle import RATES, Mangler
from midsock import CLIENT, SERVER, Side

PORT = 4_000
CONVERSATIONS = 6


@pytest.fixture
def seed() -> int:
    """Give the seed of this run, and print it."""
    chosen = int(os.environ.get("MIDSOCK_SEED", random.SystemRandom().randrange(2**32)))
    print(f"MIDSOCK_SEED={chosen}")  # noqa: T201 (pytest shows it where the test fails)
    return chosen


def chance(seed: float) -> random.Random:
    """Give a source of random choices."""
    return random.Random(seed)  # noqa: S311 (they are no secrets)


@dataclass
class Observer:
    """What a stack put together of the streams of each client port."""

    stack: ms.Stack
    streams: dict[tuple[int, Side], bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    gaps: list[tuple[int, Side, int, int]] = field(default_factory=list)
    ended: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Watch the test's port only."""
        web = self.stack.socket(filter=f"tcp port {PORT}", buffer=8 << 20)
        web.on(ms.ON_CONN_NEW_DATA, self.take)
        web.on(
            ms.ON_GAP,
            lambda sock, event: self.gaps.append((*self.key(sock, event), event.offset, event.length)),
        )
        web.on(ms.ON_CONN_END, lambda sock, event: self.ended.update({sock.client.port: str(event.reason)}))

    @staticmethod
    def key(sock: ms.FlowSocket, event: ms.Event) -> tuple[int, Side]:
        return sock.client.port, event.side

    def take(self, sock: ms.FlowSocket, event: ms.Event) -> None:
        self.streams[self.key(sock, event)] += event.data


def send(end: socket.socket, data: bytes, rng: random.Random) -> None:
    """Send in pieces of any size, now and then after a pause, then close this direction."""
    at = 0
    while at < len(data):
        size = rng.choice((1, 10, 500, 5_000, 50_000))
        end.sendall(data[at : at + size])
        at += size
        if rng.random() < 0.1:
            time.sleep(rng.random() / 100)
    end.shutdown(socket.SHUT_WR)


def receive(end: socket.socket) -> bytes:
    """Receive to the end of this direction."""
    data = bytearray()
    while piece := end.recv(1 << 16):
        data += piece
    return bytes(data)


def converse(network: Network, address: str, rng: random.Random) -> tuple[int, tuple[bytes, bytes]]:
    """Let client and server send to each other; give the client's port and what each sent."""
    sent = (rng.randbytes(rng.randrange(200_000)), rng.randbytes(rng.randrange(200_000)))
    with ExitStack() as stack:
        with network.server.entered():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = stack.enter_context(socket.create_server((address, PORT), family=family))
        with network.client.entered():
            near = stack.enter_context(socket.create_connection((address, PORT), 60))
        listener.settimeout(60)
        far = stack.enter_context(listener.accept()[0])
        far.settimeout(60)
        seeds = rng.random(), rng.random()
        senders = [
            threading.Thread(target=send, args=(end, data, chance(seed)))
            for end, data, seed in zip((near, far), sent, seeds, strict=True)
        ]
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(receive(far)))
        for thread in (*senders, reader):
            thread.start()
        answer = receive(near)
        for thread in (*senders, reader):
            thread.join(60)
        port = near.getsockname()[1]
    # The kernels themselves agree.
    assert (got[0], answer) == sent
    return port, sent


@pytest.mark.parametrize("address", [Network.SERVER, Network.SERVER6], ids=["ipv4", "ipv6"])
def test_streams_are_what_the_programs_sent(network: Network, address: str, seed: int) -> None:
    rng = chance(seed)
    network.neighbours()
    with network.middle.entered():
        middle = ms.Stack("af_packet:left", "af_packet:right")
    with network.client.entered():
        client = ms.Stack("af_packet:eth0")
    with network.server.entered():
        server = ms.Stack("af_packet:eth0")
    mangler = Mangler(middle, chance(rng.random()))
    middle.socket(filter=f"tcp port {PORT}").on(ms.ON_PKT_IN, mangler, hook=ms.PRE_TCP)
    observers = {"middle": Observer(middle), "client": Observer(client), "server": Observer(server)}
    said: dict[int, tuple[bytes, bytes]] = {}
    with running(middle, client, server):
        for _ in range(CONVERSATIONS):
            port, sent = converse(network, address, rng)
            said[port] = sent
        until(lambda: all(len(each.ended) == CONVERSATIONS for each in observers.values()), seconds=30)
        statistics = {name: each.stack.statistics() for name, each in observers.items()}
    for name, observer in observers.items():
        # What the kernel did not hand over is no fault of the reassembly.
        assert sum(each["dropped_by_kernel"] for each in statistics[name]["ports"]) == 0, name
        assert observer.gaps == [], (name, statistics[name])
        assert set(observer.ended.values()) <= {"closed", "reset"}, name
        for port, sent in said.items():
            for side in (CLIENT, SERVER):
                assert bytes(observer.streams[port, side]) == sent[side], (name, port, side)
    # The path was as hostile as it was to be.
    assert set(mangler.done) == set(RATES)
    assert statistics["server"]["reassembled"] > 0
    assert statistics["client"]["reassembled"] > 0
