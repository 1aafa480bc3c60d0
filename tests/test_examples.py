"""The examples and the code in the documentation run, and say what is true."""

import gzip
import importlib.resources
import json
import pathlib
import re
import subprocess
import sys

import midsock as ms
import pytest

ROOT = pathlib.Path(__file__).parent.parent
CAPTURE = importlib.resources.files("midsock") / "data" / "web.pcap.gz"
ALL = json.loads((ROOT / "tests/data/web.truth.json").read_text())["all"]
EXPECTED = {
    "syn_rexmit.py": f"{ALL['rexmit']['syn'][0]} SYNs were sent again",
    "web_monitor.py": "192.0.2.10:80                 107    1321093       51",
    "flow_meter.py": f"242 flows, {ALL['stream_bytes'][0]} bytes to servers",
    "http_requests.py": "192.0.2.10 port 80 GET /style.css",
    "ids.py": f"{ALL['requests']['POST']} uploads",
}
#: Those in the path of packets: tests/test_examples_live.py.
INLINE = {
    "edit_response.py",
    "firewall.py",
    "flow_rate.py",
    "ips.py",
    "nat.py",
    "rewrite_headers.py",
}
MOST_LINES = 15
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def trace(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "trace.pcap"
    path.write_bytes(gzip.decompress(CAPTURE.read_bytes()))
    return path


def python(*args: str | pathlib.Path, cwd: pathlib.Path) -> str:
    command = [sys.executable, "-W", "error", *args]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXPECTED) | INLINE
    live = (ROOT / "tests/test_examples_live.py").read_text()
    assert all(f'"{name}"' in live for name in INLINE)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name: str, trace: pathlib.Path) -> None:
    assert EXPECTED[name] in python(ROOT / "examples" / name, trace, cwd=trace.parent)


def test_all_requests_are_listed(trace: pathlib.Path) -> None:
    lines = python(ROOT / "examples/http_requests.py", trace, cwd=trace.parent).splitlines()
    assert len(lines) == sum(ALL["requests"].values())


def test_the_first_example_is_short() -> None:
    assert len((ROOT / "examples/syn_rexmit.py").read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_of_document_runs(document: pathlib.Path, trace: pathlib.Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    # The blocks of a document are one program.
    script = trace.with_name("script.py")
    script.write_text("\n".join(blocks))
    python(script, cwd=trace.parent)


def test_documents_name_all_fields() -> None:
    text = (ROOT / "docs/filters.md").read_text()
    named = set(re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE))
    ends = {
        f"{end}.{name.partition('.')[2]}"
        for end in ("client", "server", "sender", "receiver")
        for name in named
        if name.startswith("client.")
    }
    assert named | ends == set(ms.FIELDS)
    for name in named:
        assert f"| `{name}` | {ms.Field(name).type} |" in text


def test_documents_name_all_events_and_enumerations() -> None:
    text = (ROOT / "docs/events.md").read_text()
    for name in (name for name in ms.__all__ if name.startswith("ON_")):
        assert f"`{name}`" in text
    for enumeration in (ms.Anomaly, ms.EndReason, ms.RexmitKind):
        for member in enumeration:
            assert f"`{member}`" in text


def test_links_of_documents_lead_somewhere() -> None:
    for document in (*DOCUMENTS, ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), (document.name, target)
