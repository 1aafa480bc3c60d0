"""The networks that the tests with real traffic run in."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest
from live import (
    MakeNetwork,
    Namespace,
    Network,
    capture,
    curl,
    iperf3,
    iperf3_server,
    live_namespaces,
    need_root,
    nginx,
    ping,
    remove_stale,
    wrk,
)

HERE = pathlib.Path(__file__).parent


def test_hosts_reach_each_other_through_the_kernels_bridge(
    either_network: Network, tmp_path: pathlib.Path
) -> None:
    network = either_network
    assert ping(network.client, network.SERVER, count=1).received == 0
    network.bridge()
    for address in (network.SERVER, network.SERVER6):
        answer = ping(network.client, address, count=3)
        assert answer.received == 3
        assert answer.average is not None
    with nginx(network.server, tmp_path) as root:
        (root / "index.html").write_text("hello")
        assert curl(network.client, f"http://{network.SERVER}/") == b"hello"
        with capture(network.middle, "left", tmp_path / "seen.pcap", "tcp port 80"):
            assert curl(network.client, f"http://[{network.SERVER6}]/") == b"hello"
        assert (tmp_path / "seen.pcap").stat().st_size > 300
        load = wrk(network.client, f"http://{network.SERVER}/", connections=10, seconds=1)
        assert load.requests > 100
        assert load.errors == 0
    with iperf3_server(network.server):
        assert iperf3(network.client, network.SERVER, seconds=1)["end"]["sum_received"]["bytes"] > 1e6
    network.unbridge()
    assert ping(network.client, network.SERVER, count=1).received == 0


def test_offloads_are_what_was_asked_for(make_network: MakeNetwork) -> None:
    network = make_network(middle=False)
    for on in (False, True):
        network.offloads(on=on)
        features = network.client.run("ethtool", "-k", "eth0").stdout
        switch = "on" if on else "off"
        for name in ("tx-checksumming", "tcp-segmentation-offload", "generic-receive-offload"):
            assert f"{name}: {switch}" in features


def test_what_is_left_behind_is_told(network: Network) -> None:
    assert network.leftovers() == []
    network.middle.ip("link", "add", "mine", "type", "bridge")
    raw = network.middle.socket("left", 3)
    with network.client.running("sleep", 60):
        while not network.client.pids():
            time.sleep(0.01)
        left = network.leftovers()
    assert len(left) == 3
    for found, expected in zip(sorted(left), ("1 packet sockets", "interface mine", "process"), strict=True):
        assert found.startswith(expected)
    raw.close()
    network.middle.delete_link("mine")


def test_a_killed_runs_networks_are_removed_by_the_next() -> None:
    need_root()
    script = "import os, live; live.Network(); os.kill(os.getpid(), 9)"
    before = live_namespaces()
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(HERE)}, check=False)
    assert len(live_namespaces() - before) == 3
    remove_stale()
    assert not live_namespaces() - before


def test_a_failed_command_tells_what_it_said(network: Network) -> None:
    with pytest.raises(AssertionError, match="no-such"):
        network.middle.run("ethtool", "no-such")
    with pytest.raises(AssertionError, match="Cannot find device"):
        network.middle.delete_link("no-such")
    assert isinstance(network.client, Namespace)
