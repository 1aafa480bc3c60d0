"""Capture files: every format reads the same, broken ones say so."""

from __future__ import annotations

import gzip
import json
import pathlib
import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import midsock as ms
import pytest
from frames import START, Talk, web

if TYPE_CHECKING:
    from collections.abc import Callable

TRUTH = json.loads((pathlib.Path(__file__).parent / "data/web.truth.json").read_text())["all"]
EDITCAP = pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is missing: apt install tshark")


def records_of(source: str | pathlib.Path) -> list[str]:
    """Give the records of all flows of a capture."""
    stack = ms.Stack(source)
    stack.socket(digest=True)
    records = [record.to_json() for record in stack.flows()]
    assert stack.warning is None
    return records


@pytest.fixture(scope="module")
def expected(capture: pathlib.Path) -> list[str]:
    """Give the records of the bundled capture."""
    return records_of(capture)


def test_bundled_capture_is_what_its_truth_says(expected: list[str]) -> None:
    records = [json.loads(record) for record in expected]
    assert len(records) == TRUTH["connections"]
    assert sum(record["handshake"] for record in records) == TRUTH["established"]

    def totals(key: str, *inner: str) -> list[int]:
        pairs: list[list[int]] = []
        for record in records:
            value: Any = record[key]
            for name in inner:
                value = value[name]
            pairs.append(value)
        return [sum(pair[side] for pair in pairs) for side in (0, 1)]

    assert totals("packets") == TRUTH["packets"]
    assert totals("bytes") == TRUTH["bytes"]
    for kind, counts in TRUTH["rexmit"].items():
        assert totals("rexmit", kind) == counts, kind
    streams = [sum(record["stream"][side]["length"] for record in records) for side in ("client", "server")]
    # A client reset its connection while eight segments of the server were on their way.
    assert streams == [TRUTH["stream_bytes"][0], TRUTH["stream_bytes"][1] - 8 * 1448]
    assert not any(record["gaps"][side] for record in records for side in ("client", "server"))


def test_requests_of_the_bundled_capture(capture: pathlib.Path) -> None:
    stack = ms.Stack(capture)
    counts = {
        method: stack.count(
            ms.ON_CONN_NEW_DATA, side=ms.CLIENT, filter=ms.event.data.startswith(method.encode() + b" ")
        )
        for method in TRUTH["requests"]
    }
    stack.run()
    assert {method: count.value for method, count in counts.items()} == TRUTH["requests"]


@EDITCAP
@pytest.mark.parametrize("form", ["pcap", "nsecpcap", "pcapng", "modpcap"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_formats_of_editcap(
    form: str, packing: str, capture: pathlib.Path, tmp_path: pathlib.Path, expected: list[str]
) -> None:
    plain = tmp_path / "plain.pcap"
    plain.write_bytes(gzip.decompress(capture.read_bytes()))
    path = tmp_path / "capture"
    subprocess.run(["editcap", "-F", form, plain, path], check=True)
    if packing == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif packing == ".zst":
        zstandard(path)
    assert records_of(path) == expected


def zstandard(path: pathlib.Path) -> None:
    """Compress a file in its place."""
    import pyarrow as pa  # noqa: PLC0415 (used by few)

    with pa.output_stream(str(path) + ".tmp", compression="zstd") as stream:
        stream.write(path.read_bytes())
    pathlib.Path(str(path) + ".tmp").replace(path)


@pytest.mark.parametrize(
    "name", ["a.pcap", "a.pcapng", "a.pcap.gz", "a.pcap.zst", "a.pcapng.gz", "a.pcapng.zst"]
)
def test_what_is_written_is_read_back(name: str, tmp_path: pathlib.Path) -> None:
    talk = web()
    with ms.CaptureWriter(tmp_path / name) as writer:
        for time, frame in talk.packets:
            writer.write(time, frame)
    assert raw_of(tmp_path / name) == talk.packets


def raw_of(source: str | pathlib.Path) -> list[tuple[int, bytes]]:
    """Give all packets of a capture."""
    stack = ms.Stack(source)
    packets: list[tuple[int, bytes]] = []
    raw = stack.socket(ms.MONITOR_RAW)
    raw.on(ms.ON_PKT_IN, lambda _sock, event: packets.append((event.time_ns, event.frame)))
    stack.run()
    return packets


def test_nanoseconds_are_kept_where_the_format_has_them(tmp_path: pathlib.Path) -> None:
    packets = [(START + 123_456_789, web().packets[0][1])]
    for form, time in (("pcap", START + 123_456_000), ("pcap-ns", packets[0][0]), ("pcapng", packets[0][0])):
        path = tmp_path / "capture"
        with ms.CaptureWriter(path, format=form) as writer:  # type: ignore[arg-type]
            writer.write(*packets[0])
        assert raw_of(path) == [(time, packets[0][1])]


@EDITCAP
def test_tshark_reads_what_is_written(tmp_path: pathlib.Path) -> None:
    talk = web()
    for name in ("a.pcap", "b.pcapng", "c.pcap.gz"):
        with ms.CaptureWriter(tmp_path / name) as writer:
            for time, frame in talk.packets:
                writer.write(time, frame)
        command: list[str | pathlib.Path] = [
            "tshark",
            "-n",
            "-r",
            tmp_path / name,
            "-T",
            "fields",
            "-e",
            "tcp.flags",
            "-e",
            "tcp.len",
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        lengths = [int(line.split()[1]) for line in done.stdout.splitlines()]
        assert lengths == [0, 0, 0, 18, 19, 0, 0, 0]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1_000), (0xA1B23C4D, 1)])
def test_both_byte_orders(order: str, magic: int, unit: int, tmp_path: pathlib.Path) -> None:
    talk = web()
    content = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, 1)
    for time, frame in talk.packets:
        seconds, rest = divmod(time, 1_000_000_000)
        content += struct.pack(f"{order}IIII", seconds, rest // unit, len(frame), len(frame)) + frame
    path = tmp_path / "capture"
    path.write_bytes(content)
    assert raw_of(path) == talk.packets


def strip_ethernet(frame: bytes) -> bytes:
    """Give the IP packet of an Ethernet frame."""
    return frame[14:]


LINKS: list[tuple[int, Callable[[bytes], bytes]]] = [
    (1, lambda frame: frame),
    (101, strip_ethernet),
    (228, strip_ethernet),
    (12, strip_ethernet),
    (0, lambda frame: struct.pack("<I", 2) + frame[14:]),
    (108, lambda frame: struct.pack(">I", 2) + frame[14:]),
    (9, lambda frame: b"\xff\x03\x00\x21" + frame[14:]),
    (113, lambda frame: struct.pack("!HHH8sH", 0, 1, 6, bytes(8), 0x0800) + frame[14:]),
    (276, lambda frame: struct.pack("!HHIHBB8s", 0x0800, 0, 1, 1, 0, 6, bytes(8)) + frame[14:]),
]


@pytest.mark.parametrize(
    ("link", "wrap"), LINKS, ids=lambda value: str(value) if isinstance(value, int) else ""
)
def test_link_types(link: int, wrap: Callable[[bytes], bytes], tmp_path: pathlib.Path) -> None:
    packets = [(time, wrap(frame)) for time, frame in web().packets]
    path = tmp_path / "capture.pcapng"
    with ms.CaptureWriter(path) as writer:
        for time, frame in packets:
            writer.write(time, frame, link=link)
    for stack in (ms.Stack(path), ms.Stack(ms.MemoryPort(packets, link=link))):
        stack.socket()
        (record,) = stack.flows()
        assert (record.client, record.server) == ("10.0.0.1:40000", "10.0.0.2:80")
        assert (record.packets, record.bytes, record.reason) == ((5, 3), (18, 19), ms.EndReason.CLOSED)


def test_pcapng_of_several_interfaces(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "capture.pcapng"
    with ms.CaptureWriter(path) as writer:
        for number, (time, frame) in enumerate(web().packets):
            writer.write(time, frame if number % 2 else frame[14:], link=1 if number % 2 else 101)
    stack = ms.Stack(path)
    (batch,) = stack.batches(ms.ON_PKT_IN, columns=["packet.interface"])
    assert batch["packet.interface"].to_list() == [0, 1] * 4


def test_standard_input(capture: pathlib.Path, expected: list[str]) -> None:
    script = (
        "import midsock as ms; stack = ms.Stack('-'); stack.socket(digest=True)\n"
        "for record in stack.flows(): print(record.to_json())"
    )
    with capture.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", script], stdin=file, check=True, capture_output=True, text=True
        )
    assert done.stdout.splitlines() == expected
    with subprocess.Popen(["cat", capture], stdout=subprocess.PIPE) as cat:
        done = subprocess.run(
            [sys.executable, "-c", script], stdin=cat.stdout, check=True, capture_output=True, text=True
        )
    assert done.stdout.splitlines() == expected


# --- what is wrong with a file ---


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        ms.Stack(tmp_path / "none.pcap")


def test_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match=str(tmp_path)):
        ms.Stack(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f", b"hello, this is text\n" * 10, b"\0" * 100, b"\x1f\x8b" + bytes(30)]
)
def test_empty_and_foreign_files_say_so_in_one_line(content: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "foreign.pcap"
    path.write_bytes(content)
    with pytest.raises(ms.PortError) as caught:
        ms.Stack(path).run()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng", "a.pcap.gz", "a.pcap.zst"])
def test_cut_file_yields_all_before_the_cut_and_a_warning(name: str, tmp_path: pathlib.Path) -> None:
    talk = web()
    path = tmp_path / name
    with ms.CaptureWriter(path) as writer:
        for time, frame in talk.packets:
            writer.write(time, frame)
    content = path.read_bytes()
    warned = 0
    for length in range(40, len(content), 3):
        path.write_bytes(content[:length])
        try:
            stack = ms.Stack(path)
        except ms.PortError as error:
            # A compressor keeps much to itself until the end.
            assert "cut short" in str(error)  # noqa: PT017 (not always raised)
            assert name.endswith(("gz", "zst"))
            continue
        packets: list[bytes] = []
        raw = stack.socket(ms.MONITOR_RAW)
        raw.on(ms.ON_PKT_IN, lambda _sock, event, packets=packets: packets.append(event.frame))
        stack.run()
        assert packets == [frame for _, frame in talk.packets[: len(packets)]]
        if stack.warning is not None:
            warned += 1
            assert "\n" not in stack.warning
    assert warned > 0 or name.endswith(("gz", "zst"))


def test_progress_goes_from_nothing_to_all(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "capture.pcap"
    talk = Talk().open()
    for _ in range(2_000):
        talk.client(b"x" * 1_000)
    with ms.CaptureWriter(path) as writer:
        for time, frame in talk.packets:
            writer.write(time, frame)
    stack = ms.Stack(path)
    seen: list[int] = []

    @stack.on_batch(ms.ON_PKT_IN)
    def batch(_batch: ms.Batch) -> None:
        assert stack.progress is not None
        done, total = stack.progress
        assert total == path.stat().st_size
        seen.append(done)

    stack.run()
    assert seen == sorted(seen)
    assert stack.progress == (path.stat().st_size, path.stat().st_size)
    assert stack.source == str(path)
    assert repr(stack).startswith("<midsock.Stack ")


def test_writer_refuses_what_it_cannot(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="pcap, pcap-ns, pcapng"):
        ms.CaptureWriter(tmp_path / "a", format="erf")  # type: ignore[arg-type]
    with pytest.raises(OSError, match="nowhere"):
        ms.CaptureWriter(tmp_path / "nowhere" / "a.pcap")
    writer = ms.CaptureWriter(tmp_path / "a.pcap")
    assert repr(writer) == f'<midsock.CaptureWriter "{tmp_path}/a.pcap">'
    writer.write(0, b"")
    writer.close()
    writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        writer.write(0, b"")
