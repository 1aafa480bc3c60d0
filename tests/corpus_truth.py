"""What tshark says of a corpus of captures, held against what ``midsock flows --format json --digest`` says.

The truth is one JSON object: the path of a capture, and its TCP streams in order of their first packet. Each
has ``a`` and ``b`` (the endpoints; ``a`` sent the first packet), ``pkts``, ``bytes``, ``rexmit``, ``lost``,
and ``stream`` (length and SHA-256 of both directions; null where bytes are missing; absent if not asked for).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Stream = Mapping[str, Any]
Flow = Mapping[str, Any]

DIFFERENCES = Path(__file__).with_name("data") / "corpus_differences.json"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as tshark has it."""

    capture: str
    stream: int | None
    """The stream's number in the truth; none for a flow that the truth does not have."""
    what: str
    """``missing``, ``extra``, ``packets``, ``bytes``, ``rexmit`` or ``digest``."""
    truth: Any
    flow: Any
    gapless: bool
    """Whether tshark misses nothing of the stream."""

    def __str__(self) -> str:
        number = "-" if self.stream is None else self.stream
        return f"{self.capture} #{number} {self.what}: tshark {self.truth}, midsock {self.flow}"


def load_truth(path: Path) -> dict[str, list[Stream]]:
    """The streams of every capture."""
    truth: dict[str, list[Stream]] = json.loads(path.read_text())
    return truth


def load_differences(path: Path = DIFFERENCES) -> dict[str, dict[str, str]]:
    """The reviewed differences: by capture and stream number, or ``*`` for all of it, why it differs."""
    differences: dict[str, dict[str, str]] = json.loads(path.read_text())
    return differences


def unexplained(
    differences: Iterable[Difference], reviewed: Mapping[str, Mapping[str, str]]
) -> list[Difference]:
    """Those of the differences that nobody has reviewed; an extra flow only with all of its capture."""
    return [
        difference
        for difference in differences
        if not {str(difference.stream), "*"} & reviewed.get(difference.capture, {}).keys()
    ]


def is_gapless(stream: Stream) -> bool:
    """Whether tshark misses nothing of a stream."""
    return not stream["lost"] and None not in stream.get("stream", ())


def compare(capture: str, truth: Sequence[Stream], flows: Iterable[Flow]) -> list[Difference]:
    """All differences between the streams of a capture and its flows."""
    differences = []
    for number, flow in pair(truth, list(flows)):
        if number is None:
            assert flow is not None
            seen = f"{flow['client']} {flow['server']} {flow['packets']}"
            differences.append(Difference(capture, None, "extra", None, seen, gapless=False))
            continue
        stream = truth[number]
        found = [("missing", f"{stream['a']} {stream['b']} {stream['pkts']}", None)]
        if flow is not None:
            found = list(contrast(stream, flow))
        gapless = is_gapless(stream)
        differences += [Difference(capture, number, *difference, gapless) for difference in found]
    return differences


def pair(truth: Sequence[Stream], flows: Sequence[Flow]) -> Iterator[tuple[int | None, Flow | None]]:
    """Which flow is which stream: those between the same endpoints, in the order in which they began."""
    by_ends: dict[frozenset[str], tuple[list[int], list[Flow]]] = defaultdict(lambda: ([], []))
    for number, stream in enumerate(truth):
        by_ends[frozenset((stream["a"], stream["b"]))][0].append(number)
    for flow in sorted(flows, key=lambda flow: float(flow["start"])):
        by_ends[frozenset((flow["client"], flow["server"]))][1].append(flow)
    for numbers, candidates in by_ends.values():
        yield from align(truth, numbers, candidates)


def align(
    truth: Sequence[Stream], numbers: list[int], flows: list[Flow]
) -> Iterator[tuple[int | None, Flow | None]]:
    """Pairs streams with flows in order; where there are more of one, as many pairs as can be are equal."""
    rows, columns = len(numbers), len(flows)
    if rows == columns:
        yield from zip(numbers, flows, strict=True)
        return
    # The longest common subsequence, where any pair counts a little and an equal one a lot.
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            worth = worth_of(truth[numbers[i]], flows[j])
            best[i][j] = max(best[i + 1][j + 1] + worth, best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < rows or j < columns:
        if (
            i < rows
            and j < columns
            and best[i][j] == best[i + 1][j + 1] + worth_of(truth[numbers[i]], flows[j])
        ):
            yield numbers[i], flows[j]
            i, j = i + 1, j + 1
        elif i < rows and best[i][j] == best[i + 1][j]:
            yield numbers[i], None
            i += 1
        else:
            yield None, flows[j]
            j += 1


def worth_of(stream: Stream, flow: Flow) -> int:
    """How well a flow suits a stream."""
    return 1000 if is_same_count(stream, flow) else 1


def is_same_count(stream: Stream, flow: Flow) -> bool:
    """Whether a flow has as many packets and bytes as a stream."""
    return all(ordered(stream, flow, flow[ours]) == stream[theirs] for theirs, ours in COUNTS)


COUNTS = (("pkts", "packets"), ("bytes", "bytes"))


def ordered(stream: Stream, flow: Flow, sides: Sequence[Any]) -> list[Any]:
    """What client and server have, as what ``a`` and ``b`` have."""
    return list(sides) if flow["client"] == stream["a"] else list(reversed(sides))


def contrast(stream: Stream, flow: Flow) -> Iterator[tuple[str, Any, Any]]:
    """What differs between a stream and its flow."""
    for theirs, ours in COUNTS:
        counts = ordered(stream, flow, flow[ours])
        if counts != stream[theirs]:
            yield ours, stream[theirs], counts
    rexmits = sum(sum(sides) for sides in flow["rexmit"].values())
    if bool(rexmits) != bool(stream["rexmit"]):
        yield "rexmit", stream["rexmit"], rexmits
    digests = ordered(stream, flow, [flow["stream"]["client"], flow["stream"]["server"]])
    for digest, expected in zip(digests, stream.get("stream", ()), strict=False):
        if expected and (digest["length"], digest["sha256"]) != (expected["len"], expected["sha256"]):
            yield "digest", expected["len"], digest["length"]
