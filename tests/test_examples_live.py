"""The examples that sit in the path of packets, with real traffic."""

from __future__ import annotations

import pathlib
import socket
import sys
import threading
import time
import typing

import pytest
from live import Network, curl, nginx, wire
from live.middlebox import is_listening_on, running

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from live.middlebox import Running

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
PORTS = ("af_packet:left", "af_packet:right")


def example(network: Network, name: str, *arguments: object) -> typing.ContextManager[Running]:
    return running(network, sys.executable, EXAMPLES / name, *PORTS, *arguments, ready="")


def wait(network: Network) -> None:
    """Wait until an example has its ports open."""
    deadline = time.monotonic() + 10
    while not is_listening_on(network, "right"):
        assert time.monotonic() < deadline, "the example does not open its ports"
        time.sleep(0.02)
    time.sleep(0.2)


@pytest.fixture
def web(network: Network, tmp_path: pathlib.Path) -> Iterator[Network]:
    """Give a network whose server serves a page."""
    with nginx(network.server, tmp_path) as root:
        (root / "index.html").write_text("<html><body>hello</body></html>")
        (root / "big").write_bytes(bytes(range(256)) * 4096)
        yield network


def url(network: Network, path: str = "/") -> str:
    return f"http://{network.SERVER}{path}"


def test_firewall(web: Network) -> None:
    with example(web, "firewall.py") as box:
        wait(web)
        assert b"hello" in curl(web.client, url(web))
        with web.client.entered():
            listener = socket.create_server((web.CLIENT, 4000))
        with listener, web.server.entered(), pytest.raises(TimeoutError):
            socket.create_connection((web.CLIENT, 4000), 0.7)
        assert b"hello" in curl(web.client, url(web))
    assert f"refused: {web.SERVER} to port 4000 of {web.CLIENT}" in box.output.decode()


def test_ips(web: Network) -> None:
    with example(web, "ips.py") as box:
        wait(web)
        assert b"hello" in curl(web.client, url(web))
        with pytest.raises(AssertionError, match="reset"):
            curl(web.client, url(web, "/?file=/etc/passwd"))
        # In two pieces.
        with web.client.entered():
            near = socket.create_connection((web.SERVER, 80), 5)
        with near:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.sendall(b"GET /?file=/etc/pas")
            time.sleep(0.2)
            near.sendall(b"swd HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                near.recv(100)
        assert len(curl(web.client, url(web, "/big"))) == 1 << 20
    assert box.output.decode().count("sent /etc/passwd") == 2


def test_nat(web: Network) -> None:
    address = "10.77.0.99"
    web.server.ip("neigh", "replace", address, "lladdr", web.CLIENT_MAC, "nud", "permanent", "dev", "eth0")
    with web.server.entered():
        listener = socket.create_server((web.SERVER, 4000))
    with listener, example(web, "nat.py", address) as box:
        wait(web)
        listener.settimeout(5)
        for number in range(3):
            with web.client.entered():
                near = socket.create_connection((web.SERVER, 4000), 5)
            far, seen = listener.accept()
            with near, far:
                assert seen == (address, 40_000 + number)
                near.sendall(b"request")
                assert far.recv(100) == b"request"
                far.sendall(b"answer")
                assert near.recv(100) == b"answer"
        assert len(curl(web.client, url(web, "/big"))) == 1 << 20
    assert "is port 40002" in box.output.decode()


def test_rewrite_headers(web: Network) -> None:
    seen: list[int] = []
    with example(web, "rewrite_headers.py"):
        wait(web)
        with web.server.socket("eth0", 3) as raw:
            wire.listen(raw)
            raw.settimeout(2)
            done = threading.Thread(target=curl, args=(web.client, url(web)))
            done.start()
            while not seen or not seen[-1] & 1:
                frame = wire.receive(raw)
                if frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[36:38] == b"\x00\x50":
                    assert (frame[15] >> 2, frame[22]) == (8, 64)
                    seen.append(frame[47])
            done.join()
    assert len(seen) >= 4


def test_edit_response(web: Network) -> None:
    banner = b"<p>This page came through a middlebox.</p>"
    with example(web, "edit_response.py"):
        wait(web)
        # Twice over one connection: the second answer comes after the first one's edit.
        page = banner + b"<html><body>hello</body></html>"
        assert curl(web.client, url(web), url(web)) == page * 2
        assert curl(web.client, url(web, "/big"), url(web))[len(page) :] == bytes(range(256)) * 4096


def test_flow_rate(web: Network) -> None:
    with example(web, "flow_rate.py") as box:
        wait(web)
        with web.client.entered():
            near = socket.create_connection((web.SERVER, 80), 5)
        with near:
            near.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            # Two reports, the second of a second in which nothing came.
            time.sleep(2.5)
    rates = [float(line.split()[-2]) for line in box.output.decode().splitlines() if web.CLIENT in line]
    assert len(rates) == 2
    # As much as fits the buffers of a client that does not read.
    assert rates[0] > 0.1
    assert rates[1] == 0
