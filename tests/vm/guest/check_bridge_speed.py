"""How fast midsock bridges two interfaces, against the program that comes with the module."""

import contextlib
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from live import Network, iperf3, iperf3_server, ping

ROUNDS = int(os.environ.get("MIDSOCK_VM_ROUNDS", "9"))
SECONDS = 2.0
AT_LEAST = 0.95
BRIDGE = pathlib.Path("/opt/bin/bridge")
MIDSOCK = """
import midsock
midsock.Stack("netmap:left", "netmap:right").run()
"""
Bridge = Callable[[Network], contextlib.AbstractContextManager[object]]


def netmaps_own(network: Network) -> contextlib.AbstractContextManager[object]:
    # Its reports of idle seconds go to stderr.
    command = (BRIDGE, "-w", "0", "-i", "netmap:left", "-i", "netmap:right")
    return network.middle.running(*command, stop=signal.SIGINT, stderr=subprocess.DEVNULL)


def midsocks(network: Network) -> contextlib.AbstractContextManager[object]:
    return network.middle.running(sys.executable, "-c", MIDSOCK, stop=signal.SIGTERM)


@contextlib.contextmanager
def bridged(network: Network, bridge: Bridge) -> Iterator[None]:
    with bridge(network):
        until = time.monotonic() + 120
        while not ping(network.client, network.SERVER, count=1).received:
            assert time.monotonic() < until, "nothing gets through"
        yield


def throughput(network: Network, bridge: Bridge) -> float:
    """Give what arrives, in Mbit/s."""
    with bridged(network, bridge):
        report = iperf3(network.client, network.SERVER, seconds=SECONDS)
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e6


def test_midsock_bridges_as_fast_as_netmap_s_bridge(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs: list[float] = []
    ours: list[float] = []
    with iperf3_server(network.server):
        throughput(network, netmaps_own)  # the first one also allocates memory
        for number in range(ROUNDS):
            # In turns, each of them first every other time: the host's load changes.
            for bridge, results in ((netmaps_own, theirs), (midsocks, ours))[:: 1 if number % 2 else -1]:
                results.append(throughput(network, bridge))
    ratio = statistics.median(ours) / statistics.median(theirs)
    with capsys.disabled():
        for name, results in (("netmap's bridge", theirs), ("midsock", ours)):
            sys.stdout.write(f"\n{name:>16}: {' '.join(f'{r:.1f}' for r in results)} Mbit/s")
        sys.stdout.write(f"\n           ratio: {ratio:.3f} of the medians, {AT_LEAST} wanted\n")
    assert ratio >= AT_LEAST
