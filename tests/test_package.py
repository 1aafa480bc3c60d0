"""What an installed package must hold, whatever it can do."""

import gzip
import importlib.metadata
import importlib.resources
import json
import pathlib
import subprocess
import sys

import midsock

DATA = importlib.resources.files("midsock") / "data"
MAX_CAPTURE = 2_000_000


def test_version_is_the_distributions() -> None:
    assert midsock.__version__ == importlib.metadata.version("midsock")


def test_ships_types_and_demo_capture() -> None:
    assert (importlib.resources.files("midsock") / "py.typed").is_file()
    capture = (DATA / "web.pcap.gz").read_bytes()
    assert len(capture) < MAX_CAPTURE
    assert gzip.decompress(capture)[:4] == bytes.fromhex("d4c3b2a1")  # pcap, microseconds, little-endian


def test_demo_capture_holds_every_kind_of_retransmission() -> None:
    truth = json.loads((pathlib.Path(__file__).parent / "data/web.truth.json").read_text())
    for version in ("ipv4", "ipv6"):
        rexmit = truth["version"][version]["rexmit"]
        assert all(sum(rexmit[kind]) > 0 for kind in ("syn", "synack", "fin", "data")), (version, rexmit)
    # Every loss was behind the capture point.
    assert truth["all"]["holes"] == [0, 0]


def test_command_line_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from midsock.cli import main; main()", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert midsock.__version__ in done.stdout
