"""The programs that make and serve traffic, as functions of a namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import select
import signal
import subprocess
import time
import typing

from live.needs import need_tools

if typing.TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from live.namespace import Namespace


# --- who answers ---


@contextlib.contextmanager
def nginx(
    namespace: Namespace, work: pathlib.Path, *, root: pathlib.Path | None = None, more: str = ""
) -> Iterator[pathlib.Path]:
    """Serve the files of `root` (by default, the folder that is given back) by HTTP on port 80.

    `more` goes into the configuration's `server` block.
    """
    need_tools("nginx")
    root = root or work / "www"
    root.mkdir(exist_ok=True)
    configuration = work / "nginx.conf"
    configuration.write_text(f"""
        user root;
        daemon off;
        worker_processes 1;
        pid {work}/nginx.pid;
        error_log {work}/nginx-error.log;
        events {{ worker_connections 8192; }}
        http {{
          access_log off;
          sendfile on;
          keepalive_requests 1000000;
          client_body_temp_path {work}; proxy_temp_path {work};
          fastcgi_temp_path {work}; uwsgi_temp_path {work}; scgi_temp_path {work};
          server {{ listen 80 backlog=8192; listen [::]:80 backlog=8192; root {root}; {more} }}
        }}
    """)
    # nginx opens its compiled-in error log before it reads the configuration, unless told by -e.
    command = ("nginx", "-p", work, "-c", configuration, "-e", work / "nginx-error.log")
    with namespace.running(*command) as process:
        listening(namespace, 80, process)
        yield root


@contextlib.contextmanager
def iperf3_server(namespace: Namespace, *, port: int = 5201) -> Iterator[None]:
    need_tools("iperf3")
    with namespace.running(
        *("iperf3", "--server", "--port", port), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        listening(namespace, port, process)
        yield


def listening(
    namespace: Namespace, port: int, process: subprocess.Popen[bytes], *, timeout: float = 30
) -> None:
    """Wait until a process listens on a TCP port of the namespace."""
    deadline = time.monotonic() + timeout
    while True:
        if process.poll() is not None:
            said = process.stderr.read().decode() if process.stderr else ""
            raise AssertionError(f"{process.args!r} ended with {process.returncode}: {said}")
        if namespace.run("ss", "-Htln", f"sport = :{port}").stdout.strip():
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{process.args!r} does not listen on port {port}")
        time.sleep(0.02)


@contextlib.contextmanager
def capture(namespace: Namespace, interface: str, file: pathlib.Path, *arguments: object) -> Iterator[None]:
    """Let tcpdump write what it sees on `interface`; the file is whole at the end."""
    need_tools("tcpdump")
    command = (
        "tcpdump",
        "-Z",
        "root",
        "-U",
        "--immediate-mode",
        "-n",
        "-i",
        interface,
        "-B",
        65536,
        "-w",
        file,
        *arguments,
    )
    with namespace.running(*command, stop=signal.SIGINT, stderr=subprocess.PIPE) as process:
        said = b""
        deadline = time.monotonic() + 30
        assert process.stderr is not None
        while b"listening on" not in said:
            if not select.select([process.stderr], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("tcpdump does not start")
            line = process.stderr.readline()
            if not line:
                raise AssertionError(f"tcpdump: {said.decode()}")
            said += line
        yield
        # It forgets what it has not read when it is told to stop.
        time.sleep(0.2)


# --- who asks ---


def curl(namespace: Namespace, url: str, *arguments: object, timeout: float = 30) -> bytes:
    """Give what lies at `url`."""
    need_tools("curl")
    command = namespace.command("curl", "-gsSf", "--max-time", timeout, *arguments, url)
    done = subprocess.run(command, capture_output=True, timeout=timeout + 5, check=False)
    if done.returncode:
        raise AssertionError(f"curl {url} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


@dataclasses.dataclass
class Ping:
    sent: int
    received: int
    #: Milliseconds; none if nothing came back.
    average: float | None


def ping(
    namespace: Namespace, address: str, *arguments: object, count: int = 5, interval: float = 0.01
) -> Ping:
    """Ping `address`; lost answers are no failure here."""
    need_tools("ping")
    command = ("ping", "-n", "-q", "-W", 1, "-c", count, "-i", interval, *arguments, address)
    said = namespace.run(*command, timeout=count * (interval + 1) + 10, check=False).stdout
    found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    assert found, said
    times = re.search(r"= [\d.]+/([\d.]+)/", said)
    return Ping(int(found[1]), int(found[2]), float(times[1]) if times else None)


def iperf3(
    namespace: Namespace, address: str, *arguments: object, seconds: float = 2
) -> dict[str, typing.Any]:
    """Send to an iperf3 server; give its report."""
    need_tools("iperf3")
    done = namespace.run(
        *("iperf3", "--client", address, "--json", "--time", seconds, *arguments),
        timeout=seconds + 30,
        check=False,
    )
    report: dict[str, typing.Any] = json.loads(done.stdout)
    if "error" in report:
        raise AssertionError(f"iperf3: {report['error']}")
    return report


@dataclasses.dataclass
class Wrk:
    requests: int
    #: Socket errors and answers other than 2xx and 3xx.
    errors: int
    rate: float


def wrk(namespace: Namespace, url: str, *arguments: object, connections: int = 100, seconds: int = 2) -> Wrk:
    """Load an HTTP server."""
    need_tools("wrk")
    said = namespace.run(
        *("wrk", "-t", 1, "-c", connections, "-d", seconds, "--timeout", 10, *arguments, url),
        timeout=seconds + 30,
    ).stdout
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert requests, said
    assert rate, said
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    failed = sum(map(int, errors.groups())) if errors else 0
    return Wrk(int(requests[1]), failed + (int(refused[1]) if refused else 0), float(rate[1]))
