"""Captures that others recorded, against what tshark says of them.

The captures are no part of the project: `MIDSOCK_CORPUS` names the folder that holds them and their
`truth.json`.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

import midsock as ms
import pytest
from corpus_truth import compare, is_gapless, load_differences, load_truth, unexplained
from midsock.cli._common import open_stack

if TYPE_CHECKING:
    from corpus_truth import Difference

ROOT = pathlib.Path(__file__).resolve().parents[1]
CORPUS = pathlib.Path(os.environ.get("MIDSOCK_CORPUS", ROOT / "../shared/corpus")).resolve()

# pcap, with nanoseconds, modified; each in both byte orders; pcapng.
MAGICS = ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1", "0a0d0d0a")

pytestmark = pytest.mark.skipif(
    not (CORPUS / "truth.json").is_file(),
    reason=f"the captures are not part of the project: no truth.json in {CORPUS} (set MIDSOCK_CORPUS)",
)


def captures() -> list[str]:
    """Give the paths of all captures, relative to the corpus."""
    others = {"README.md", "truth.json"}
    files = (path for path in sorted(CORPUS.rglob("*")) if path.is_file())
    return [str(path.relative_to(CORPUS)) for path in files if path.name not in others]


def flows_of(capture: str) -> list[dict[str, Any]]:
    """Give the records of a capture, as `midsock flows` does."""
    # tshark does not look at checksums, so that its streams hold what hosts refused.
    with open_stack(str(CORPUS / capture), "ignore") as stack:
        stack.socket(digest=True, urgent="inline")
        return [json.loads(record.to_json()) for record in stack.flows()]


@pytest.fixture(scope="module")
def differences() -> list[Difference]:
    """Give all differences between the truth and what the stack says."""
    truth = load_truth(CORPUS / "truth.json")
    return [
        found for capture, streams in truth.items() for found in compare(capture, streams, flows_of(capture))
    ]


def test_every_capture_runs_to_its_end_or_says_what_is_wrong() -> None:
    names = captures()
    assert len(names) > 1_000
    refused = []
    for name in names:
        try:
            stack = ms.Stack(CORPUS / name, midstream=True)
        except ms.PortError as error:
            assert "\n" not in str(error)  # noqa: PT017 (not always raised)
            refused.append(name)
            continue
        told: list[object] = []
        # With a handler and a column for everything, so that nothing that is broken stays unlooked at.
        stack.on(ms.ON_PKT_IN, lambda _sock, event: [event[field] for field in ms.FIELDS])
        stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event, told=told: told.append(sock[event.side].read()))
        stack.on_batch(
            ms.ON_PKT_IN, lambda batch: [batch[name].to_list() for name in batch], columns=ms.FIELDS
        )
        stack.socket(ms.MONITOR_RAW).count(ms.ON_PKT_IN, filter=ms.payload.contains(b"GET") | ms.tcp.syn)
        try:
            stack.run()
        except ms.PortError as error:
            assert "\n" not in str(error)  # noqa: PT017 (not always raised)
            refused.append(name)
        statistics = stack.statistics()
        assert statistics["reassembly"] == 0, name
        assert statistics["flows_open"] == 0, name
    # Only those that are no captures at all, whatever their name.
    magics = {bytes.fromhex(magic) for magic in MAGICS}
    assert [name for name in refused if (CORPUS / name).read_bytes()[:4] in magics] == []


def test_flows_agree_with_tshark_but_for_reviewed_differences(differences: list[Difference]) -> None:
    assert [str(found) for found in unexplained(differences, load_differences())] == []


def test_every_reviewed_difference_has_a_reason_and_is_still_one(differences: list[Difference]) -> None:
    seen = {(found.capture, str(found.stream)) for found in differences}
    stale = []
    for capture, streams in load_differences().items():
        for stream, reason in streams.items():
            assert len(reason) > 20, (capture, stream)
            if stream == "*":
                if not any(name == capture for name, _ in seen):
                    stale.append((capture, stream))
            elif (capture, stream) not in seen:
                stale.append((capture, stream))
    assert stale == []


def test_streams_without_gap_agree_in_98_of_100(differences: list[Difference]) -> None:
    truth = load_truth(CORPUS / "truth.json")
    gapless = {
        (capture, number)
        for capture, streams in truth.items()
        for number, stream in enumerate(streams)
        if is_gapless(stream)
    }
    different = {(found.capture, found.stream) for found in differences if found.what != "rexmit"}
    agreeing = len(gapless) - len(gapless & different)
    assert agreeing >= 0.98 * len(gapless), f"{agreeing} of {len(gapless)}"
