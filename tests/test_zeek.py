"""Connection state and history of captures, against what Zeek writes of them.

`data/zeek_conn.json` names captures of Zeek's own tests (see `test_corpus.py` for where they are) and, of
each TCP connection, originator, responder, `conn_state` and `history`: those that Zeek's tests expect
(`zeek`), or what follows from the control bits that tshark shows by the rules of Zeek's manual (`rules`).
`checksum` says whether Zeek looked at checksums. Where midsock differs on purpose, `differences` has the
reason, by capture and originator.
"""

from __future__ import annotations

import json
import pathlib
from collections import defaultdict

import midsock as ms
import pytest
from test_corpus import CORPUS

TRUTH = json.loads((pathlib.Path(__file__).parent / "data/zeek_conn.json").read_text())
DIFFERENCES: dict[str, dict[str, str]] = TRUTH["differences"]

pytestmark = pytest.mark.skipif(
    not (CORPUS / "zeek").is_dir(),
    reason=f"the captures are not part of the project: no zeek in {CORPUS} (set MIDSOCK_CORPUS)",
)

Connection = tuple[str, str, str, str]


def connections_of(capture: str) -> list[Connection]:
    """Give originator, responder, state and history of each flow, in the order in which they began."""
    checksum = TRUTH["captures"][capture]["checksum"]
    with ms.Stack(CORPUS / "zeek" / capture, midstream=True, checksum=checksum) as stack:
        stack.socket(filter="tcp")
        records = sorted(stack.flows(), key=lambda record: (record.start, record.id))
        return [(record.client, record.server, record.conn_state, record.history) for record in records]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, Connection, Connection | None]]:
    """Give each of Zeek's connections, by its capture, and midsock's between the same ends."""
    found: list[tuple[str, Connection, Connection | None]] = []
    for capture, entry in TRUTH["captures"].items():
        ours: dict[frozenset[str], list[Connection]] = defaultdict(list)
        for connection in connections_of(capture):
            ours[frozenset(connection[:2])].append(connection)
        for expected in entry["flows"]:
            candidates = ours[frozenset(expected[:2])]
            found.append((capture, tuple(expected), candidates.pop(0) if candidates else None))
    return found


def test_state_and_history_are_as_zeek_has_them(
    pairs: list[tuple[str, Connection, Connection | None]],
) -> None:
    unexplained = [
        (capture, expected, found)
        for capture, expected, found in pairs
        if found != expected and expected[0] not in DIFFERENCES.get(capture, {})
    ]
    assert unexplained == []


def test_every_difference_has_a_reason_and_is_still_one(
    pairs: list[tuple[str, Connection, Connection | None]],
) -> None:
    differing = {(capture, expected[0]) for capture, expected, found in pairs if found != expected}
    explained = {(capture, end) for capture, reasons in DIFFERENCES.items() for end in reasons}
    assert explained <= differing
    assert all(len(reason) > 20 for reasons in DIFFERENCES.values() for reason in reasons.values())


def test_nine_of_ten_agree(pairs: list[tuple[str, Connection, Connection | None]]) -> None:
    agreeing = sum(found == expected for _, expected, found in pairs)
    assert agreeing >= 0.9 * len(pairs), f"{agreeing} of {len(pairs)}"
