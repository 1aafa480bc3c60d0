"""The list of anomalies: what the native half, the package, documents and other engines say of it."""

from __future__ import annotations

import json
import pathlib

import midsock as ms
import pytest
from anomaly_table import table
from midsock import _midsock

ROOT = pathlib.Path(__file__).resolve().parents[1]
MAPPING = json.loads((ROOT / "tests/data/anomalies.json").read_text())


def test_the_package_and_its_native_half_name_the_same_anomalies() -> None:
    named = [(str(anomaly), str(anomaly.severity)) for anomaly in ms.Anomaly]
    assert named == [(name, severity) for name, severity, _ in _midsock.anomalies()]
    assert [anomaly.value for anomaly in ms.Anomaly] == list(range(len(named)))


def test_severities_are_ordered() -> None:
    assert ms.Severity.INFO < ms.Severity.NOTICE < ms.Severity.WARNING < ms.Severity.ATTACK
    assert ms.Anomaly.DIFFERENT_CONTENT.severity is ms.Severity.ATTACK
    assert ms.Anomaly(0) is ms.Anomaly.BAD_CHECKSUM


@pytest.mark.parametrize("anomaly", ms.Anomaly, ids=str)
def test_documents_tell_each_anomaly_as_the_native_half_does(anomaly: ms.Anomaly) -> None:
    _, severity, description = _midsock.anomalies()[anomaly]
    row = f"| `{anomaly}` | {severity} | {description.removesuffix('.')} |"
    assert row in (ROOT / "docs/events.md").read_text()


@pytest.mark.parametrize(("engine", "count"), [("suricata", 69), ("zeek", 46)])
def test_each_name_of_another_engine_stands_for_something_here(engine: str, count: int) -> None:
    entries = [*MAPPING["anomalies"].values(), *MAPPING["events"].values()]
    names = {name for entry in entries for name in entry[engine]} | set(MAPPING["not_applicable"][engine])
    assert len(names) == count


def test_the_mapping_names_every_anomaly_and_only_those() -> None:
    assert list(MAPPING["anomalies"]) == [str(anomaly) for anomaly in ms.Anomaly]
    assert all(hasattr(ms, event) for event in MAPPING["events"])


@pytest.mark.parametrize("engine", ["suricata", "zeek"])
def test_documents_tell_what_stands_for_the_names_of_another_engine(engine: str) -> None:
    lines = (ROOT / "docs/anomalies.md").read_text().splitlines()
    head = lines.index(table(MAPPING, engine)[0])
    assert lines[head : head + len(table(MAPPING, engine))] == table(MAPPING, engine)


def test_each_test_that_is_named_names_its_anomaly() -> None:
    for name, path in MAPPING["tests"].items():
        text = (ROOT / path).read_text()
        assert name in text or name.upper() in text, (name, path)
