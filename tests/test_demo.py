"""The demo's programs find in the bundled capture exactly what tshark finds."""

import importlib.resources
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import midsock as ms
import pytest
from midsock.web import RequestParser, Server, Timeline, WebMonitor

CAPTURE = importlib.resources.files("midsock") / "data" / "web.pcap.gz"
TRUTH = json.loads((pathlib.Path(__file__).parent / "data/web.truth.json").read_text())
IDLE_SERVERS = 2  # those that refused every connection


@pytest.fixture
def capture() -> Iterator[pathlib.Path]:
    with importlib.resources.as_file(CAPTURE) as path:
        yield path


def same(server: Server, truth: dict[str, object]) -> None:
    assert server.connections == truth["connections"]
    assert server.packets == truth["packets"]
    assert server.bytes == truth["bytes"]
    assert server.rexmit == truth["rexmit"]
    requests = truth["requests"]
    assert isinstance(requests, dict)
    assert server.requests == {method: n for method, n in requests.items() if n}


@pytest.mark.parametrize("midstream", [False, True])
def test_monitor_agrees_with_tshark(capture: pathlib.Path, *, midstream: bool) -> None:
    monitor = WebMonitor(ms.Stack(capture, midstream=midstream))
    monitor.run()
    assert set(monitor.servers) == set(TRUTH["server"])
    for name, truth in TRUTH["server"].items():
        same(monitor.servers[name], truth)
    same(monitor.total(), TRUTH["all"])
    assert monitor.first == float(TRUTH["first_packet"])
    assert monitor.last == float(TRUTH["last_packet"])
    assert monitor.timeline.ongoing == monitor.reasons["end"] == TRUTH["all"]["open_at_end"]


def test_monitor_takes_a_filter(capture: pathlib.Path) -> None:
    monitor = WebMonitor(ms.Stack(capture), filter="ip6")
    monitor.run()
    same(monitor.total(), TRUTH["version"]["ipv6"])


def test_demo_prints_a_readable_report() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "midsock.demo"], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""  # no progress bar beside a terminal
    assert "\x1b" not in done.stdout
    syn = TRUTH["all"]["rexmit"]["syn"][0]
    hit = TRUTH["connections_with_syn_rexmit"]
    assert f"{syn} SYNs were sent again, in {hit} of {TRUTH['all']['connections']} connections" in done.stdout
    assert "50 SYN, 61 SYN/ACK, 24 FIN, 72 data" in done.stdout
    assert "377: 359 GET, 18 POST" in done.stdout
    for name in TRUTH["server"]:
        assert name in done.stdout


# --- requests ---

PIPELINED = (
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    b"POST /b HTTP/1.1\r\ncontent-length: 5\r\n\r\nGET /"
    b"\r\nPUT /c HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n"
    b"HEAD /d HTTP/1.0\n\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 1000])
def test_requests_are_found_however_the_stream_is_cut(size: int) -> None:
    parser = RequestParser()
    found = [r for at in range(0, len(PIPELINED), size) for r in parser.feed(PIPELINED[at : at + size])]
    assert [(r.method, r.target) for r in found] == [
        ("GET", "/a"),
        ("POST", "/b"),
        ("PUT", "/c"),
        ("HEAD", "/d"),
    ]


def test_a_request_counts_when_its_body_is_complete() -> None:
    parser = RequestParser()
    assert parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab") == []
    assert len(parser.feed(b"c")) == 1


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"EHLO me\r\n", b"A" * 40, b"SSH-2.0-x\r\n", b"\r" * 9]
)
def test_what_is_no_http_is_hopeless(data: bytes) -> None:
    parser = RequestParser()
    assert parser.feed(data) == []
    assert parser.is_hopeless


def test_endless_lines_are_given_up() -> None:
    for start in (
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0",
    ):
        parser = RequestParser()
        parser.feed(start)
        for _ in range(80):
            parser.feed(b"0" * 1024)
        assert len(parser._rest) <= 65_536 + 1024


def test_after_garbage_parsing_goes_on_where_a_request_begins() -> None:
    parser = RequestParser(midstream=True)
    assert parser.feed(b"end of something") == []
    assert not parser.is_hopeless
    assert len(parser.feed(b"GET / HTTP/1.1\r\n\r\n")) == 1


def test_a_gap_inside_a_body_loses_no_request() -> None:
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nab")
    assert len(parser.skip(8)) == 1
    assert len(parser.feed(b"GET / HTTP/1.1\r\n\r\n")) == 1


def test_a_gap_elsewhere_is_resynchronized_after() -> None:
    parser = RequestParser()
    parser.feed(b"GET / HT")
    assert parser.skip(100) == []
    assert parser.feed(b"rest\r\n\r\n") == []
    assert len(parser.feed(b"GET / HTTP/1.1\r\n\r\n")) == 1


# --- connections over time ---


def at(second: float) -> int:
    return int(second * 1e9)


def test_bars_show_the_most_at_once_and_carry_over() -> None:
    timeline = Timeline()
    for time, by in ((0, 1), (0.5, 1), (0.6, -1), (3.1, -1), (3.2, 1)):
        timeline.change(at(time), by)
    assert timeline.bars(20, 6.0) == (1, [2, 1, 1, 1, 1, 1, 1])
    assert timeline.bars(4, 6.0) == (2, [2, 1, 1, 1])
    assert timeline.most == 2


def test_bars_of_a_very_long_time_are_few() -> None:
    timeline = Timeline()
    timeline.change(at(0), 1)
    timeline.change(at(3e9), -1)
    _, bars = timeline.bars(20, 3e9)
    assert len(bars) <= 20
    assert bars[0] == bars[-1] == 1


def test_no_connection_no_bars() -> None:
    assert Timeline().bars(20, 0.0) == (1, [])
