"""Networks of namespaces for tests with real traffic, and the programs that make and serve it."""

from live.namespace import Namespace, live_namespaces, remove_stale
from live.needs import missing, need_root, need_tools
from live.network import MakeNetwork, Network
from live.programs import (
    Ping,
    Wrk,
    capture,
    curl,
    iperf3,
    iperf3_server,
    nginx,
    ping,
    wrk,
)
from live.stacks import running, until

__all__ = [
    "MakeNetwork",
    "Namespace",
    "Network",
    "Ping",
    "Wrk",
    "capture",
    "curl",
    "iperf3",
    "iperf3_server",
    "live_namespaces",
    "missing",
    "need_root",
    "need_tools",
    "nginx",
    "ping",
    "remove_stale",
    "running",
    "until",
    "wrk",
]
