"""The command `midsock`, as a user and a script see it."""

import csv
import gzip
import hashlib
import importlib.resources
import io
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import midsock as ms
import polars as pl
import pytest
from click.testing import CliRunner, Result
from midsock.cli import main

WEB = importlib.resources.files("midsock") / "data" / "web.pcap.gz"
TRUTH = json.loads((pathlib.Path(__file__).parent / "data/web.truth.json").read_text())
KEYS = [
    *("client", "server", "vlan", "start", "end", "packets", "bytes", "state", "reason", "handshake"),
    *("midstream", "rexmit", "gaps", "anomalies", "conn_state", "history"),
]
COMMAND = [sys.executable, "-W", "error", "-m", "midsock.cli"]
TIMEOUT = 30

Midsock = Callable[..., Result]


@pytest.fixture
def midsock() -> Midsock:
    def call(*args: str | pathlib.Path) -> Result:
        return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="midsock")

    return call


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("captures") / "web.pcap"
    path.write_bytes(gzip.decompress(WEB.read_bytes()))
    return path


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


# --- flows ---


def test_json_has_one_object_per_flow_with_the_keys(midsock: Midsock, web: pathlib.Path) -> None:
    flows = rows(midsock("flows", web, "--format", "json"))
    assert len(flows) == TRUTH["all"]["connections"]
    assert all(list(flow) == KEYS for flow in flows)
    for key in ("packets", "bytes"):
        assert [sum(flow[key][i] for flow in flows) for i in (0, 1)] == TRUTH["all"][key]
    for kind, counts in TRUTH["all"]["rexmit"].items():
        assert [sum(flow["rexmit"][kind][i] for flow in flows) for i in (0, 1)] == counts
    assert {"client": "TIME-WAIT", "server": "CLOSED"} in [flow["state"] for flow in flows]


def test_json_times_have_nine_decimals(midsock: Midsock, web: pathlib.Path) -> None:
    text = midsock("flows", web, "-f", "json").stdout
    assert f'"start":{TRUTH["first_packet"]},' in text
    assert all(re.search(r'"start":\d+\.\d{9},"end":\d+\.\d{9},', line) for line in text.splitlines())


def test_json_with_digest_adds_the_streams(midsock: Midsock, web: pathlib.Path) -> None:
    flows = rows(midsock("flows", web, "-f", "json", "--digest"))
    assert all(list(flow) == [*KEYS, "stream"] for flow in flows)
    assert sum(flow["stream"]["client"]["length"] for flow in flows) == TRUTH["all"]["stream_bytes"][0]
    empty = hashlib.sha256(b"").hexdigest()
    assert {"length": 0, "sha256": empty} in [flow["stream"]["server"] for flow in flows]


def test_flows_come_in_the_order_of_their_end(midsock: Midsock, web: pathlib.Path) -> None:
    ended: list[str] = []
    stack = ms.Stack(web, midstream=True)
    stack.on(ms.ON_CONN_END, lambda sock, _event: ended.append(sock.flow.client))
    stack.run()
    assert [flow["client"] for flow in rows(midsock("flows", web, "-f", "json"))] == ended


def test_table_shows_numbers_that_follow_takes(midsock: Midsock, web: pathlib.Path) -> None:
    head, first, *rest = midsock("flows", web).stdout.splitlines()
    assert head.split()[:3] == ["flow", "client", "server"]
    assert first.split()[:3] == ["0", "198.51.100.4:54770", "192.0.2.10:80"]
    assert len(rest) == TRUTH["all"]["connections"] - 1
    assert "\x1b" not in head
    assert "198.51.100.4" not in midsock("follow", web, "--flow", "0", "--side", "client").stdout


def test_csv_has_flat_columns(midsock: Midsock, web: pathlib.Path) -> None:
    flows = list(csv.DictReader(io.StringIO(midsock("flows", web, "-f", "csv", "--digest").stdout)))
    assert len(flows) == TRUTH["all"]["connections"]
    assert flows[0]["start"] == TRUTH["first_packet"]
    assert {flow["handshake"] for flow in flows} == {"true", "false"}
    assert sum(int(flow["server_rexmit_synack"]) for flow in flows) == TRUTH["all"]["rexmit"]["synack"][1]
    assert len(flows[0]["client_stream_sha256"]) == 64


def test_parquet_has_the_columns_of_csv(midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flows.parquet"
    assert midsock("flows", web, "-f", "parquet", "-o", path).exit_code == 0
    flows = pl.read_parquet(path)
    header = midsock("flows", web, "-f", "csv").stdout.splitlines()[0]
    assert flows.columns == header.split(",")
    assert [flows["client_bytes"].sum(), flows["server_bytes"].sum()] == TRUTH["all"]["bytes"]
    assert flows["start"].dtype == pl.Datetime("ns", "UTC")
    first = flows["start"].dt.timestamp("ns").min()
    assert isinstance(first, int)
    assert f"{first // 10**9}.{first % 10**9:09}" == TRUTH["first_packet"]


def test_parquet_without_pyarrow_says_what_to_install(
    midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = midsock("flows", web, "-f", "parquet", "-o", tmp_path / "x")
    assert (result.exit_code, result.stderr) == (
        1,
        "midsock: parquet needs pyarrow: pip install 'midsock[parquet]'\n",
    )


def test_output_goes_to_a_file(midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flows.json"
    assert midsock("flows", web, "-f", "json", "-o", path).stdout == ""
    assert path.read_text() == midsock("flows", web, "-f", "json").stdout


def test_the_source_is_never_overwritten(midsock: Midsock, tmp_path: pathlib.Path, web: pathlib.Path) -> None:
    copy = tmp_path / "web.pcap"
    copy.write_bytes(web.read_bytes())
    assert midsock("flows", copy, "-o", copy).exit_code == 2
    assert copy.read_bytes() == web.read_bytes()


def test_an_unreadable_source_leaves_the_output_alone(midsock: Midsock, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "kept"
    path.write_text("precious")
    assert midsock("flows", tmp_path / "none.pcap", "-o", path).exit_code == 1
    assert path.read_text() == "precious"


def test_filter_selects_flows(midsock: Midsock, web: pathlib.Path) -> None:
    flows = rows(midsock("flows", web, "-f", "json", "--filter", "dst port 8081"))
    assert {flow["server"] for flow in flows} == {"192.0.2.10:8081", "[2001:db8:2::10]:8081"}


def test_flows_are_picked_up_midstream(midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data, at = web.read_bytes(), 24
    for _ in range(40):  # the first packets
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    path = tmp_path / "cut.pcap"
    path.write_bytes(data[:24] + data[at:])
    flows = rows(midsock("flows", path, "-f", "json"))
    stack = ms.Stack(path)
    stack.run()
    assert sum(sum(flow["packets"]) for flow in flows) == stack.statistics()["tcp"] < TRUTH["tcp_packets"]
    assert any(flow["midstream"] for flow in flows)


# --- sources that are not as they should be ---


def bad_sources(tmp_path: pathlib.Path, web: pathlib.Path) -> dict[str, pathlib.Path]:
    data = web.read_bytes()
    sources = {
        "missing": tmp_path / "missing.pcap",
        "empty": tmp_path / "empty.pcap",
        "foreign": tmp_path / "foreign.txt",
        "truncated": tmp_path / "truncated.pcap",
        "directory": tmp_path,
    }
    sources["empty"].write_bytes(b"")
    sources["foreign"].write_text("Dear reader, this is no capture at all.\n")
    sources["truncated"].write_bytes(data[:20])
    return sources


@pytest.mark.parametrize("what", ["missing", "empty", "foreign", "truncated", "directory"])
@pytest.mark.parametrize("command", [["flows"], ["monitor"], ["follow", "--flow", "0"]])
def test_a_bad_source_is_told_in_one_line(
    midsock: Midsock, tmp_path: pathlib.Path, web: pathlib.Path, what: str, command: list[str]
) -> None:
    source = bad_sources(tmp_path, web)[what]
    result = midsock(*command, source)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert re.fullmatch(rf"midsock: {re.escape(str(source))}: .+\n", result.stderr)


@pytest.mark.parametrize("command", [["flows", "-f", "json"], ["monitor"], ["follow", "--flow", "0"]])
def test_a_truncated_last_record_is_warned_of(
    midsock: Midsock, tmp_path: pathlib.Path, web: pathlib.Path, command: list[str]
) -> None:
    source = tmp_path / "truncated.pcap"
    source.write_bytes(web.read_bytes()[:-7])
    result = midsock(*command, source)
    assert result.exit_code == 0
    if command[0] == "flows":
        assert len(result.stdout.splitlines()) == TRUTH["all"]["connections"]
    if command[0] != "follow":  # which stops at the flow's end
        assert re.fullmatch(r"midsock: warning: .*cut short.*\n", result.stderr)


def test_truncated_gzip_yields_what_came_before(midsock: Midsock, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "truncated.pcap.gz"
    source.write_bytes(WEB.read_bytes()[:100_000])
    result = midsock("flows", source, "-f", "json")
    assert result.exit_code == 0
    assert result.stdout
    assert result.stderr.startswith("midsock: warning: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["flows"],
        ["flows", "x", "--format", "xml"],
        ["flows", "{web}", "--filter", "tcp prot 80"],
        ["monitor", "{web}", "--filter", "tcp prot 80"],
        ["flows", "{web}", "--format", "parquet"],
        ["follow", "{web}"],
        ["follow", "{web}", "--flow", "-1"],
        ["run", "/nonexistent.py", "{web}"],
        ["nonsense"],
    ],
)
def test_a_wrong_command_line_exits_with_2(midsock: Midsock, web: pathlib.Path, args: list[str]) -> None:
    result = midsock(*(arg.format(web=web) for arg in args))
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    if "tcp prot 80" in args:
        assert "      ^^^^" in result.stderr or "    ^^^^" in result.stderr


def test_output_that_cannot_be_written_is_told_in_one_line(midsock: Midsock, web: pathlib.Path) -> None:
    result = midsock("flows", web, "-o", "/nonexistent/flows.txt")
    assert (result.exit_code, result.stderr) == (
        1,
        "midsock: /nonexistent/flows.txt: No such file or directory\n",
    )


# --- follow ---


def test_follow_raw_gives_the_bytes_of_the_digest(midsock: Midsock, web: pathlib.Path) -> None:
    flows = rows(midsock("flows", web, "-f", "json", "--digest"))
    for side in ("client", "server"):
        result = midsock("follow", web, "--flow", "0", "--side", side, "--raw")
        stream = flows[0]["stream"][side]
        assert len(result.stdout_bytes) == stream["length"]
        assert hashlib.sha256(result.stdout_bytes).hexdigest() == stream["sha256"]


def test_follow_text_tells_the_sides_apart(midsock: Midsock, web: pathlib.Path) -> None:
    text = midsock("follow", web, "--flow", "2").stdout
    assert text.startswith("--- client at 0 ---\nGET /")
    assert "--- server at 0 ---\nHTTP/1.1 " in text
    assert midsock("follow", web, "--flow", "2", "--side", "client").stdout.startswith("GET /")


def test_follow_text_holds_nothing_that_a_terminal_obeys(midsock: Midsock, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "evil.pcap"
    source.write_bytes(capture([b"a\x1b[2J\xc3", b"\xa9\xff\x9b\r\nend"]))
    assert midsock("follow", source, "--flow", "0", "--side", "client").stdout == "a.[2Jé..\nend\n"


def test_follow_tells_gaps(midsock: Midsock, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "gap.pcap"
    source.write_bytes(capture([b"before", None, b"after"]))
    message = "7 bytes of the client at 6 are missing"
    text = midsock("follow", source, "--flow", "0")
    assert text.stdout == f"--- client at 0 ---\nbefore\n--- {message} ---\n--- client at 13 ---\nafter\n"
    raw = midsock("follow", source, "--flow", "0", "--raw")
    assert (raw.stdout, raw.stderr) == ("beforeafter", f"midsock: warning: {message}\n")
    assert message in midsock("follow", source, "--flow", "0", "--hex").stdout


def test_follow_hex_has_offsets(midsock: Midsock, web: pathlib.Path) -> None:
    line = midsock("follow", web, "--flow", "2", "--side", "client", "--hex").stdout.splitlines()[1]
    assert re.fullmatch(r"00000010  ([0-9a-f]{2} ){16} .{16}", line)


def test_follow_of_no_flow_says_how_many_there_are(midsock: Midsock, web: pathlib.Path) -> None:
    result = midsock("follow", web, "--flow", "245")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"midsock: {web}: there is no flow 245: it holds 245, numbered from 0\n"


# --- monitor, ports, version ---


def test_monitor_reports(midsock: Midsock, web: pathlib.Path) -> None:
    text = midsock("monitor", web, "--top", "3").stdout
    assert "377: 359 GET, 18 POST" in text
    assert "… and 5 more" in text
    assert re.search(r"192\.0\.2\.10:80 +39 +107 +8,676 +1,312,417 +10 +11 +0 +30", text)


def test_monitor_of_nothing_says_so(midsock: Midsock, web: pathlib.Path) -> None:
    assert midsock("monitor", web, "--filter", "port 1").stdout == "No TCP connection was seen.\n"


def test_ports_lists_what_can_be_read(midsock: Midsock) -> None:
    text = midsock("ports").stdout
    assert all(word in text for word in ("pcapng", "zstd", "Linux cooked capture", "standard input", "VXLAN"))


def test_ports_lists_interfaces_as_json(midsock: Midsock) -> None:
    interfaces = rows(midsock("ports", "--format", "json"))
    lo = next(it for it in interfaces if it["name"] == "lo")
    assert list(lo) == [
        *("name", "index", "up", "running", "mtu", "mac", "driver", "queues", "offloads", "ports")
    ]
    assert {name: port["port"] for name, port in lo["ports"].items()} == {
        name: f"{name}:lo" for name in ("af_packet", "af_xdp", "netmap")
    }
    for port in lo["ports"].values():
        assert port["possible"] == (port["obstacle"] is None)


def test_version(midsock: Midsock) -> None:
    assert midsock("--version").stdout == f"midsock, version {ms.__version__}\n"


# --- capture and replay, without a network ---


def packets_of(path: pathlib.Path) -> list[tuple[int, bytes]]:
    stack, packets = ms.Stack(path), []
    stack.socket(ms.MONITOR_RAW).on(
        ms.ON_PKT_IN, lambda _, event: packets.append((event.time_ns, event.frame))
    )
    stack.run()
    assert stack.warning is None
    return packets


@pytest.mark.parametrize("name", ["all.pcapng", "all.pcapng.gz", "all.pcap.zst"])
def test_capture_of_a_file_is_a_copy(
    midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    result = midsock("capture", web, tmp_path / name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "5,827 packets received, 5,827 written, 0 dropped by the kernel, 0 by midsock\n"
    assert packets_of(tmp_path / name) == packets_of(web)


def test_capture_keeps_what_is_asked_for(midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "some.pcapng"
    midsock("capture", web, path, "--filter", "src port 8080", "--count", "20", "--snaplen", "80")
    packets = packets_of(path)
    wanted = ms.Stack(web)
    expected: list[tuple[int, bytes]] = []
    wanted.socket(ms.MONITOR_RAW, filter="src port 8080").on(
        ms.ON_PKT_IN, lambda _, event: expected.append((event.time_ns, event.frame[:80]))
    )
    wanted.run()
    assert packets == expected[:20]


def test_capture_to_standard_output(web: pathlib.Path) -> None:
    with subprocess.Popen([*COMMAND, "capture", str(web), "-"], stdout=subprocess.PIPE) as process:
        done = subprocess.run([*COMMAND, "flows", "-"], stdin=process.stdout, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == TRUTH["all"]["connections"] + 1
    assert process.returncode == 0


def test_capture_refuses_a_wrong_filter_and_its_own_source(
    midsock: Midsock, web: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = web.read_bytes()
    assert midsock("capture", web, web).exit_code == 2
    assert web.read_bytes() == before
    result = midsock("capture", web, tmp_path / "none", "--filter", "tcp port")
    assert (result.exit_code, (tmp_path / "none").exists()) == (2, False)
    for option in ("--count", "--snaplen", "--duration"):
        assert midsock("capture", web, tmp_path / "none", option, "0").exit_code == 2


def test_replay_sends_to_live_ports_only(midsock: Midsock, web: pathlib.Path) -> None:
    result = midsock("replay", web, web)
    assert (result.exit_code, result.stderr) == (
        1,
        f"midsock: {web} is a capture file: packets can be sent to live ports only\n",
    )
    for args in (["--speed", "0"], ["--rate", "-1"], ["--loop", "-1"], ["--flat-out", "--rate", "1"]):
        assert midsock("replay", web, web, *args).exit_code == 2
    assert "once only" in midsock("replay", "-", "af_packet:lo", "--loop", "2").stderr


# --- run ---


def script(tmp_path: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp_path / "script.py"
    path.write_text(text)
    return path


def call(*args: str | pathlib.Path, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
    command = [*COMMAND, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, **options)


def test_run_is_like_python(tmp_path: pathlib.Path, web: pathlib.Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    path = script(tmp_path, "import sys, beside\nprint(__name__, beside.NAME, sys.argv[1:])\nsys.exit(7)\n")
    done = call("run", path, web, "--option", "-h")
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout == f"__main__ beside {[str(web), '--option', '-h']}\n"


def test_run_shows_where_a_script_fails(tmp_path: pathlib.Path, web: pathlib.Path) -> None:
    path = script(tmp_path, "def f():\n    raise ValueError('wrong')\nf()\n")
    done = call("run", path, web)
    assert done.returncode == 1
    assert done.stderr.startswith(f'Traceback (most recent call last):\n  File "{path}", line 3')
    assert done.stderr.endswith("ValueError: wrong\n")


def test_run_shows_the_flow_of_a_failing_handler(tmp_path: pathlib.Path, web: pathlib.Path) -> None:
    text = (
        "import sys, midsock as ms\ns = ms.Stack(sys.argv[1])\n@s.on(ms.ON_CONN_START)\n"
        "def f(sock, event):\n    raise ValueError('wrong')\ns.run()\n"
    )
    done = call("run", script(tmp_path, text), web)
    assert done.returncode == 1
    assert "while handling <midsock.Event ON_CONN_START" in done.stderr


def test_run_tells_a_bad_source_in_one_line(tmp_path: pathlib.Path, web: pathlib.Path) -> None:
    path = script(tmp_path, "import sys, midsock\nmidsock.Stack(sys.argv[1]).run()\n")
    for source in bad_sources(tmp_path, web).values():
        done = call("run", path, source)
        assert done.returncode == 1
        assert re.fullmatch(rf"midsock: {re.escape(str(source))}: .+\n", done.stderr)


# --- pipes, signals and terminals ---


def test_standard_input_is_a_source(web: pathlib.Path) -> None:
    with web.open("rb") as file:
        done = call("flows", "-", "-f", "json", stdin=file)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == TRUTH["all"]["connections"]


@pytest.mark.parametrize(
    "args", [["flows", "{}", "-f", "json"], ["flows", "{}"], ["follow", "{}", "--flow", "182", "--hex"]]
)
def test_a_reader_that_goes_away_is_no_error(web: pathlib.Path, args: list[str]) -> None:
    command = [*COMMAND, *(arg.format(web) for arg in args)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT) == 141


def test_ctrl_c_exits_with_130(tmp_path: pathlib.Path, web: pathlib.Path) -> None:
    text = (
        "import sys, midsock as ms\ns = ms.Stack(sys.argv[1])\n@s.on(ms.ON_PKT_IN)\n"
        "def f(sock, event):\n    print('running', flush=True)\n    import time; time.sleep(60)\ns.run()\n"
    )
    command = [*COMMAND, "run", str(script(tmp_path, text)), str(web)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"running\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
        assert process.stderr.read() == b""


@pytest.mark.parametrize("sent", [0, 24, 5_000])
def test_ctrl_c_ends_waiting_for_standard_input(web: pathlib.Path, sent: int) -> None:
    command = [*COMMAND, "flows", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(web.read_bytes()[:sent])
        process.stdin.flush()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(5) == 130
        finally:
            process.kill()


def on_terminal(*args: str | pathlib.Path, stdout_too: bool) -> tuple[str, str]:
    """Run on a terminal; return what was written to it, and what to standard output if that is a pipe."""
    here, there = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-W", "error", *map(str, args)]
    out = there if stdout_too else subprocess.PIPE
    with subprocess.Popen(command, stdout=out, stderr=there, env=environment) as process:
        os.close(there)
        shown, piped = b"", b""
        sources = [here] + ([process.stdout.fileno()] if process.stdout else [])
        while sources:
            for source in select.select(sources, [], [], TIMEOUT)[0]:
                try:
                    data = os.read(source, 65_536)
                except OSError:  # how a terminal says that nobody holds its other end
                    data = b""
                if not data:
                    sources.remove(source)
                elif source == here:
                    shown += data
                else:
                    piped += data
        assert process.wait(TIMEOUT) == 0
    os.close(here)
    return shown.decode(), piped.decode()


def test_demo_shows_progress_on_a_terminal() -> None:
    shown, _ = on_terminal("-m", "midsock.demo", stdout_too=True)
    assert shown.count("100%") >= 2
    assert "50 SYNs were sent again" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_progress_goes_to_the_terminal_and_records_to_the_pipe(web: pathlib.Path) -> None:
    shown, piped = on_terminal("-m", "midsock.cli", "flows", web, "-f", "json", stdout_too=False)
    assert "100%" in shown
    assert len([json.loads(line) for line in piped.splitlines()]) == TRUTH["all"]["connections"]


def test_a_table_on_a_terminal_has_a_bold_head_and_no_bar_in_between(web: pathlib.Path) -> None:
    shown, _ = on_terminal("-m", "midsock.cli", "flows", web, stdout_too=True)
    assert shown.startswith("\x1b[1mflow  client")
    assert "%" not in shown


# --- captures made here ---


def segment(seq: int, ack: int, flags: int, data: bytes, *, is_client: bool) -> bytes:
    """Return an Ethernet frame with a TCP segment between two fixed hosts, without checksums."""
    ports = (40_000, 80) if is_client else (80, 40_000)
    addresses = (b"\x0a\0\0\x01", b"\x0a\0\0\x02")
    tcp = b"".join(p.to_bytes(2, "big") for p in ports) + seq.to_bytes(4, "big") + ack.to_bytes(4, "big")
    tcp += bytes([0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]) + data
    ip = bytes([0x45, 0]) + (20 + len(tcp)).to_bytes(2, "big") + bytes([0, 0, 0, 0, 64, 6, 0, 0])
    ip += b"".join(addresses if is_client else addresses[::-1])
    return bytes(12) + b"\x08\x00" + ip + tcp


def capture(pieces: list[bytes | None]) -> bytes:
    """Return a capture in which a client sends these pieces; of one that is None, 7 bytes were lost."""
    frames = [
        segment(99, 0, 2, b"", is_client=True),
        segment(499, 100, 18, b"", is_client=False),
        segment(100, 500, 16, b"", is_client=True),
    ]
    seq = 100
    for piece in pieces:
        if piece is not None:
            frames.append(segment(seq, 500, 24, piece, is_client=True))
        seq += 7 if piece is None else len(piece)
        frames += [] if piece is None else [segment(500, seq, 16, b"", is_client=False)]
    header = bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000")
    for i, frame in enumerate(frames):
        length = len(frame).to_bytes(4, "little")
        header += i.to_bytes(4, "little") + bytes(4) + length + length + frame
    return header
