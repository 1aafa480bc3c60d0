"""midsock between two real kernels: whatever it does, their TCP gets its bytes across, and it knows them."""

from __future__ import annotations

import hashlib
import socket
import threading
import typing

import pytest
from live import Namespace, Network, curl, nginx, ping, wire, wrk
from live.middlebox import middlebox

if typing.TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from live.backends import Backend

PORT = 4000
#: What the big transfer carries.
GIGABYTE = 1 << 30
CONNECTIONS = 2_000


@pytest.fixture(scope="module")
def gigabyte(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pathlib.Path, str]]:
    """Give a folder with a file of a gigabyte in which no two segments are alike, and that file's SHA-256."""
    folder = tmp_path_factory.mktemp("www")
    digest = hashlib.sha256()
    block = bytearray(hashlib.shake_256(b"midsock").digest(1 << 20))
    with (folder / "big").open("wb") as file:
        for number in range(GIGABYTE >> 20):
            for at in range(0, len(block), 1024):
                block[at : at + 4] = (number * 1024 + at // 1024).to_bytes(4, "big")
            file.write(block)
            digest.update(block)
    yield folder, digest.hexdigest()
    (folder / "big").unlink()


def fetch(namespace: Namespace, url: str) -> tuple[int, str]:
    """Fetch what lies at `url`; give its length and SHA-256."""
    command = ("bash", "-c", f"curl -gsSf --max-time 240 {url} | tee >(wc -c >&2) | sha256sum")
    done = namespace.run(*command, timeout=260)
    return int(done.stderr.split()[0]), done.stdout.split()[0]


def test_a_gigabyte_comes_through_unchanged(
    bridged: Network, box: Backend, gigabyte: tuple[pathlib.Path, str], tmp_path: pathlib.Path
) -> None:
    root, digest = gigabyte
    script = """
flows = stack.socket()
received = flows.count(ms.ON_CONN_NEW_DATA, side=ms.SERVER, sum=ms.event.length)
gaps = flows.count(ms.ON_GAP)
finish = lambda: said.update(received=received.sum, gaps=gaps.value)
"""
    with (
        nginx(bridged.server, tmp_path, root=root),
        middlebox(bridged, box.ports, script, environment=box.environment) as middle,
    ):
        assert fetch(bridged.client, f"http://{bridged.SERVER}/big") == (GIGABYTE, digest)
        head = curl(bridged.client, f"http://[{bridged.SERVER6}]/big", "--head")
    received = middle.said["received"]
    # The stack's own stream: the file, its HTTP head, and the head that was asked for alone.
    assert GIGABYTE < received <= GIGABYTE + 2 * len(head) + 64
    assert middle.said["gaps"] == 0


def test_thousands_of_connections_at_once(bridged: Network, box: Backend, tmp_path: pathlib.Path) -> None:
    script = """
opened, ended = stack.count(ms.ON_CONN_START), stack.count(ms.ON_CONN_END)
finish = lambda: said.update(opened=opened.value, ended=ended.value)
"""
    with (
        nginx(bridged.server, tmp_path) as root,
        middlebox(bridged, box.ports, script, environment=box.environment) as middle,
    ):
        (root / "index.html").write_bytes(b"x" * 1000)
        url = f"http://{bridged.SERVER}/"
        load = wrk(bridged.client, url, connections=CONNECTIONS, seconds=5)
    assert load.requests >= CONNECTIONS
    assert load.errors == 0
    assert middle.said["opened"] >= CONNECTIONS
    assert middle.said["statistics"]["flows_peak"] >= CONNECTIONS


def exchange(network: Network, address: str, data: bytes, *, timeout: float = 90) -> list[bytes]:
    """Send `data` from each end to the other by TCP; give what arrives at the server, and at the client."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    arrived = [b"", b""]

    def send(end: socket.socket) -> None:
        end.sendall(data)
        end.shutdown(socket.SHUT_WR)

    def talk(end: socket.socket, place: int) -> None:
        end.settimeout(timeout)
        received = bytearray()
        sender = threading.Thread(target=send, args=(end,))
        sender.start()
        while block := end.recv(1 << 20):
            received += block
        sender.join(timeout)
        arrived[place] = bytes(received)

    with network.server.entered():
        listener = socket.create_server((address, PORT), family=family)
    with listener:
        with network.client.entered():
            near = socket.create_connection((address, PORT), timeout)
        far, _ = listener.accept()
        with near, far:
            threads = [threading.Thread(target=talk, args=pair) for pair in ((far, 0), (near, 1))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout)
                assert not thread.is_alive()
    return arrived


IMPAIR = """
chance = random.Random(7)
late = []
digests = {}
flows = stack.socket(filter="tcp port 4000")

@flows.on(ms.ON_PKT_IN, hook=ms.PRE_TCP)
def impair(sock, event):
    # Whatever was held back goes behind the packet that comes next: the two change places.
    while late:
        stack.inject(*late.pop())
    if not event.payload:
        return None
    draw = chance.random()
    if draw < 0.02:
        stack.counters["dropped"] += 1
        return ms.DROP
    if draw < 0.04:
        stack.counters["doubled"] += 1
        stack.inject(event.frame, 1 - event[ms.packet.port])
    elif draw < 0.06:
        stack.counters["reordered"] += 1
        late.append((event.frame, 1 - event[ms.packet.port]))
        return ms.DROP
    return None

@flows.on(ms.ON_CONN_NEW_DATA)
def listen(sock, event):
    digests.setdefault(f"{sock.server.ip} {event.side.name}", hashlib.sha256()).update(event.data)

gaps, rexmits = flows.count(ms.ON_GAP), flows.count(ms.ON_REXMIT)
finish = lambda: said.update(
    dict(stack.counters),
    digests=sorted((name, it.hexdigest()) for name, it in digests.items()),
    gaps=gaps.value,
    rexmits=rexmits.value,
)
"""


def test_streams_are_what_was_sent_though_packets_are_lost_doubled_and_reordered(
    bridged: Network, box: Backend
) -> None:
    data = hashlib.shake_256(b"impaired").digest(4 << 20)
    addresses = (bridged.SERVER, bridged.SERVER6)
    with middlebox(bridged, box.ports, IMPAIR, environment=box.environment) as middle:
        for address in addresses:
            assert [it == data for it in exchange(bridged, address, data)] == [True, True]
    digest = hashlib.sha256(data).hexdigest()
    sides = sorted(f"{address} {side}" for address in addresses for side in ("CLIENT", "SERVER"))
    assert middle.said["digests"] == [[side, digest] for side in sides]
    assert middle.said["gaps"] == 0
    for what in ("dropped", "doubled", "reordered", "rexmits"):
        assert middle.said[what] > 0, what


def test_what_is_not_tcp_passes_unchanged(bridged: Network, box: Backend) -> None:
    """Answers to ping, and frames of all kinds, as short and as long as the interface takes them."""
    sent = [
        bytes.fromhex("020000007702020000007701") + rest
        for rest in (
            b"\x88\xb5" + b"an experimental protocol".ljust(46, b"."),
            b"\x81\x00\x00\x2a\x88\xb5" + b"tagged".ljust(46, b"."),
            b"\x88\xa8\x00\x07\x81\x00\x00\x2a\x88\xb5" + b"tagged twice".ljust(46, b"."),
            b"\x00\x2e" + b"\xaa\xaa\x03" + b"an IEEE 802.3 frame".ljust(43, b"."),
            b"\x08\x00" + b"\x45" + b"not IP after all".ljust(45, b"."),
            b"\x86\xdd" + b"\x60".ljust(1500, b"6"),
        )
    ]
    with middlebox(bridged, box.ports, environment=box.environment) as middle:
        assert ping(bridged.client, bridged.SERVER, count=3).received == 3
        assert ping(bridged.client, bridged.SERVER6, "-s", 1452, count=3).received == 3
        # In two fragments each way.
        assert ping(bridged.client, bridged.SERVER, "-s", 2000, count=3).received == 3
        with bridged.server.socket("eth0", 3) as raw:
            raw.settimeout(5)
            wire.listen(raw)
            bridged.client.send("eth0", sent)
            seen: list[bytes] = []
            while len(seen) < len(sent):
                frame = wire.receive(raw)
                if frame[:12] == sent[0][:12] and frame in sent:
                    seen.append(frame)
    assert seen == sent
    assert middle.said["statistics"]["ports"][0]["send_failures"] == 0
    assert middle.said["statistics"]["ports"][1]["send_failures"] == 0


def test_an_interface_that_goes_away_ends_the_run_with_its_name(
    bridged: Network, box: Backend, tmp_path: pathlib.Path
) -> None:
    with (
        nginx(bridged.server, tmp_path) as root,
        middlebox(bridged, box.ports, environment=box.environment) as middle,
    ):
        with (root / "big").open("wb") as file:
            file.truncate(1 << 30)
        with bridged.client.running("curl", "-s", f"http://{bridged.SERVER}/big", "-o", "/dev/null"):
            bridged.middle.run("sleep", 0.3)
            bridged.middle.delete_link("right")
            middle.ended()
    assert "right" in middle.said["error"]
