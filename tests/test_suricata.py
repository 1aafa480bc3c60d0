"""Captures of Suricata's engine tests, against what they are about.

`data/suricata.json` says of each capture (see `test_corpus.py` for where they are) what the test that it is
of is about, and what follows from that and from the packets that tshark shows: flows with the bytes of each
direction that were seen, put together in the order of their sequence numbers, the gaps between them,
connection state and history, retransmissions, and anomalies that are told.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any, Literal, get_args

import midsock as ms
import pytest
from test_corpus import CORPUS

Overlap = Literal[
    "first",
    "last",
    "bsd",
    "bsd_right",
    "linux",
    "old_linux",
    "solaris",
    "old_solaris",
    "windows",
    "windows2k3",
    "vista",
    "macos",
    "irix",
    "hpux10",
    "hpux11",
]

EXPECTATIONS: dict[str, dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parent / "data/suricata.json").read_text()
)
OVERLAPS = [capture for capture in EXPECTATIONS if "overlap" in capture]
POLICIES: tuple[Overlap, ...] = get_args(Overlap)

pytestmark = pytest.mark.skipif(
    not (CORPUS / "sv").is_dir(),
    reason=f"the captures are not part of the project: no sv in {CORPUS} (set MIDSOCK_CORPUS)",
)


def open_capture(capture: str, *, overlap: Overlap = "first", depth: int | None = None) -> ms.Stack:
    """Open a capture, with offloaded checksums as they are."""
    stack = ms.Stack(CORPUS / "sv" / capture, midstream=True, checksum="ignore")
    stack.socket(filter="tcp", digest=True, overlap=overlap, depth=depth)
    return stack


def digest_of(stream: dict[str, Any]) -> tuple[int, str]:
    """Give the length and SHA-256 of an expected stream."""
    if "text" in stream:
        text = stream["text"].encode()
        return len(text), hashlib.sha256(text).hexdigest()
    return stream["length"], stream["sha256"]


@pytest.mark.parametrize("capture", EXPECTATIONS)
def test_flows_are_what_the_capture_is_about(capture: str) -> None:
    expectation = EXPECTATIONS[capture]
    with open_capture(capture) as stack:
        records = sorted(stack.flows(), key=lambda record: (record.start, record.id))
        statistics: dict[str, Any] = dict(stack.statistics())
    for name, count in expectation.get("statistics", {}).items():
        assert statistics[name] == count, name
    assert len(records) == len(expectation["flows"])
    for record, flow in zip(records, expectation["flows"], strict=True):
        assert (record.client, record.server) == (flow["client"], flow["server"])
        assert (record.conn_state, record.history) == (flow["conn_state"], flow["history"])
        assert record.midstream is flow["midstream"]
        assert list(record.packets) == flow["packets"]
        assert [[list(gap) for gap in gaps] for gaps in record.gaps] == flow["gaps"]
        for found, stream in zip(record.digest, flow["streams"], strict=True):
            assert stream is None or found == digest_of(stream)
        for kind, counts in flow.get("rexmit", {}).items():
            assert list(record.rexmit[kind]) == counts, kind
        named = set(flow.get("anomalies", []))
        assert named <= record.anomalies.keys()
        # None of these is an attack that is not the test's own subject.
        severe = {str(each) for each in ms.Anomaly if each.severity >= ms.Severity.WARNING}
        assert record.anomalies.keys() & severe <= named | {"different_content"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("capture", OVERLAPS)
def test_what_came_in_order_stays_whatever_the_policy(capture: str, policy: Overlap) -> None:
    (flow,) = EXPECTATIONS[capture]["flows"]
    with open_capture(capture, overlap=policy) as stack:
        (record,) = stack.flows()
    assert record.digest[0] == digest_of(flow["streams"][0])


def test_the_depth_cuts_a_stream_where_it_says() -> None:
    with open_capture("filestore-v2.7-stream-depth/input.pcap", depth=100_000) as stack:
        (data,) = (record for record in stack.flows() if record.client.endswith(":20"))
    assert data.digest[0] is not None
    assert data.digest[0][0] == 100_000
    assert data.anomalies["depth_reached"] == 1
