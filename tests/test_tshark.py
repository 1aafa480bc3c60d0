"""Captures against a tshark that runs now: conversations made here, and some that others recorded.

What tshark says is brought into the form that `corpus_truth` compares with.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import midsock as ms
import pytest
from corpus_truth import compare, load_differences, unexplained
from frames import ACK, FIN, PSH, Talk, merge, web
from midsock import CLIENT, SERVER
from midsock.cli._common import open_stack

if TYPE_CHECKING:
    from frames import Packet

ROOT = pathlib.Path(__file__).resolve().parents[1]
CORPUS = pathlib.Path(os.environ.get("MIDSOCK_CORPUS", ROOT / "../shared/corpus")).resolve()
TSHARK = shutil.which("tshark")

# Captures of this kind of the corpus, in which tshark has much to say.
RECORDED = (
    "zeek/tcp/reassembly.pcap",
    "zeek/tcp/missing-syn.pcap",
    "zeek/tcp/payload-syn.pcap",
    "zeek/tcp/one-sided-2745.pcap",
    "zeek/tcp/timestamp.pcap",
    "zeek/http/get.pcap",
    "zeek/http/pipelined-requests.pcap",
    "zeek/ftp/ipv4.pcap",
    "zeek/wikipedia.pcap",
    "sv/dns-tcp-ts-gap/input.pcap",
    "sv/tcp-fastopen-06/tfo-s1.pcap",
    "sv/tcp-split-handshake-01-4whs/split-handshake-4whs.pcap",
    "sv/http-gap-double/input.pcap",
)

pytestmark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")

MARKS = ("retransmission", "keep_alive", "lost_segment", "ack_lost_segment")
FIELDS = (
    *("tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport", "tcp.len"),
    *(f"tcp.analysis.{mark}" for mark in MARKS),
)


def tshark(path: pathlib.Path, *arguments: str) -> str:
    """Run tshark over a capture, without names and without a look at checksums."""
    assert TSHARK is not None
    command = [TSHARK, "-n", "-o", "tcp.check_checksum:FALSE", "-r", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def endpoint(v4: str, v6: str, port: str) -> str:
    """Give the innermost address and the port."""
    return f"[{v6.rsplit(',', maxsplit=1)[-1]}]:{port}" if v6 else f"{v4.rsplit(',', maxsplit=1)[-1]}:{port}"


def truth_of(path: pathlib.Path) -> list[dict[str, Any]]:
    """Give tshark's streams."""
    columns = [part for field in FIELDS for part in ("-e", field)]
    streams: dict[int, dict[str, Any]] = {}
    for line in tshark(path, "-Y", "tcp", "-T", "fields", "-E", "separator=|", *columns).splitlines():
        number, src4, src6, sport, dst4, dst6, dport, length, rexmit, alive, lost, ack_lost = line.split("|")
        source, destination = endpoint(src4, src6, sport), endpoint(dst4, dst6, dport)
        new = {"a": source, "b": destination, "pkts": [0, 0], "bytes": [0, 0], "rexmit": 0, "lost": 0}
        stream = streams.setdefault(int(number), new)
        i = 0 if source == stream["a"] else 1
        stream["pkts"][i] += 1
        stream["bytes"][i] += int(length or 0)
        stream["rexmit"] += bool(rexmit or alive)
        stream["lost"] += bool(lost or ack_lost)
    whole = [key for key, found in streams.items() if not found["lost"]]
    for stream, lines in zip(map(streams.__getitem__, whole), follow(path, whole), strict=True):
        stream["stream"] = digests(lines, stream["a"])
    return [streams[number] for number in sorted(streams)]


def follow(path: pathlib.Path, numbers: list[int]) -> list[list[str]]:
    """Give the lines that tshark shows of streams."""
    wanted = [part for number in numbers for part in ("-z", f"follow,tcp,raw,{number}")]
    shown = tshark(path, "-q", *wanted).split("\nFollow: tcp,raw\n")[1:] if wanted else []
    by_number = {int(text.split("Filter: tcp.stream eq ")[1].split()[0]): text.splitlines() for text in shown}
    return [by_number[number] for number in numbers]


def digests(lines: list[str], first: str) -> list[dict[str, Any]]:
    """Give length and digest of what both ends sent, of the one that sent the first packet first."""
    sides: dict[bool, bytearray] = defaultdict(bytearray)
    # Node 0 is whom tshark takes for the client; lines of the other one are indented.
    node = next(line for line in lines if line.startswith("Node 0: ")).removeprefix("Node 0: ")
    is_turned = node.replace("[", "").replace("]", "") != first.replace("[", "").replace("]", "")
    for line in lines:
        if line.strip() and all(digit in "0123456789abcdef" for digit in line.strip()):
            sides[line.startswith("\t") != is_turned] += bytes.fromhex(line.strip())
    both = (sides[False], sides[True])
    return [{"len": len(data), "sha256": hashlib.sha256(data).hexdigest()} for data in both]


def flows_of(path: pathlib.Path) -> list[dict[str, Any]]:
    """Give midsock's flows."""
    with open_stack(str(path), "ignore") as stack:
        stack.socket(digest=True, urgent="inline")
        return [json.loads(record.to_json()) for record in stack.flows()]


def chatter(seed: int, *, reorder: bool, ipv6: bool = False) -> Talk:
    """Give a conversation of random sizes; some segments come twice and, if so wanted, in another order."""
    dice = random.Random(seed)  # noqa: S311 (no secret)
    ends = ("2001:db8::1", "2001:db8::2") if ipv6 else ("10.0.0.1", "10.0.0.2")
    isns = (dice.randrange(2**32), 2**32 - dice.randrange(3_000))
    talk = Talk(*ends, client_port=30_000 + seed, isns=isns).open()
    sent = [0, 0]
    for _ in range(dice.randrange(5, 30)):
        side = dice.choice((CLIENT, SERVER))
        pieces = [dice.randbytes(dice.randrange(1, 1_400)) for _ in range(dice.randrange(1, 4))]
        places = []
        for data in pieces:
            places.append((sent[side], data))
            sent[side] += len(data)
        if reorder:
            dice.shuffle(places)
        if dice.random() < 0.3:
            places.append(dice.choice(places))
        for offset, data in places:
            talk.send(side, ACK | PSH, data, offset=offset)
        talk.send(SERVER if side == CLIENT else CLIENT, ACK)
    if dice.random() < 0.7:
        talk.send(CLIENT, FIN | ACK).send(SERVER, FIN | ACK).send(CLIENT, ACK)
    return talk


def write(packets: list[Packet], path: pathlib.Path) -> pathlib.Path:
    """Write packets into a capture."""
    with ms.CaptureWriter(path) as writer:
        for time, frame in packets:
            writer.write(time, frame)
    return path


def without_guesses(differences: list[Any]) -> list[str]:
    """Give the differences but those in what tshark guesses at by time: out of order, or sent again."""
    return [str(found) for found in differences if found.what != "rexmit"]


def test_several_orderly_conversations_are_as_tshark_has_them(tmp_path: pathlib.Path) -> None:
    talks = [web(number=number) for number in range(4)] + [chatter(seed, reorder=False) for seed in range(4)]
    talks += [chatter(seed, reorder=False, ipv6=True) for seed in range(10, 12)]
    path = write(merge(*talks), tmp_path / "orderly.pcap")
    truth = truth_of(path)
    assert len(truth) == len(talks)
    assert [str(found) for found in compare("orderly", truth, flows_of(path))] == []


@pytest.mark.parametrize("seed", range(100, 104))
def test_reordered_and_repeated_segments_make_the_streams_that_tshark_follows(
    seed: int, tmp_path: pathlib.Path
) -> None:
    path = write(chatter(seed, reorder=True).packets, tmp_path / "reordered.pcap")
    truth = truth_of(path)
    assert len(truth) == 1
    assert without_guesses(compare("reordered", truth, flows_of(path))) == []


@pytest.mark.skipif(not (CORPUS / "truth.json").is_file(), reason="no corpus: set MIDSOCK_CORPUS")
@pytest.mark.parametrize("capture", RECORDED)
def test_recorded_captures_are_as_this_tshark_has_them(capture: str) -> None:
    path = CORPUS / capture
    differences = compare(capture, truth_of(path), flows_of(path))
    assert [str(found) for found in unexplained(differences, load_differences())] == []
