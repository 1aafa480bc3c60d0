"""The tables of `docs/anomalies.md`, made of `data/anomalies.json`."""

from collections.abc import Iterator, Mapping
from typing import Any


def rows(mapping: Mapping[str, Any], engine: str) -> Iterator[str]:
    """Give a row for each name of another engine, in alphabetic order."""
    here: dict[str, list[str]] = {}
    for name, entry in [*mapping["anomalies"].items(), *mapping["events"].items()]:
        for theirs in entry[engine]:
            here.setdefault(theirs, []).append(name)
    for theirs, names in sorted(here.items()):
        tests = dict.fromkeys(mapping["tests"][name] for name in names if name in mapping["tests"])
        links = ", ".join(f"[{path.rpartition('/')[2]}](../{path})" for path in tests)
        yield f"| `{theirs}` | {', '.join(f'`{name}`' for name in names)} | {links} |"


def table(mapping: Mapping[str, Any], engine: str) -> list[str]:
    """Give the lines of a table."""
    return [f"| {engine.title()} | midsock | test |", "|---|---|---|", *rows(mapping, engine)]
