"""The emulated /dev/netmap behaves as the kernel module does: the same checks pass on both.

With MIDSOCK_NETMAP=device they are run on the module (tests/vm does so).
"""

import inspect
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import netmap_emulation as emulation
import pytest
from netmap_emulation import check_memory, check_nic, check_processes, check_rings

SETTINGS = {
    "ring_layout": {"slots": 1000},
    "pipe_is_lossless_both_ways": {"slots": 37},
    "pipe_blocks_when_full": {"slots": 16},
    "swap_between_pipes": {"slots": 10},
    "vale_gives_empty_slots": {"empty_every": 2},
    "extra_buffers": {"extra": 1000},
    "denied": {"deny": 1},
    "nic_loses_nothing": {"slots": 100},
    "nic_rx_makes_chains": {"buffer_size": 1472},
    "nic_swap_to_another": {"slots": 64},
    "nic_rings_share_the_traffic": {"rings": 4},
}
# What these do wrong is their point.
FAULTY = {
    "bad_cursors",
    "bad_slots",
    "extra_buffer_listed_twice",
    "extra_list_broken",
    "swap_unannounced",
    "vale_chains",
}
# What is no matter of the module's: settings of the emulation, and faults, some of which harm a kernel.
EMULATED_ONLY = FAULTY | {
    "denied",
    "nic_gives_slots_back_late",
    "nic_goes_down_and_up",
    "nic_rings_share_the_traffic",
    "nic_rx_makes_chains",
    "no_epoll",
    "ring_layout",
    "vale_gives_empty_slots",
}
# What may go otherwise where it goes faster than with sanitizers.
TIMED = {"many_threads", "pipe_across_processes", "survives_kills"}
IS_EMULATED = os.environ.get("MIDSOCK_NETMAP", "emulated") != "device"
TIMEOUT = 120


def checks(*modules: ModuleType) -> list[tuple[ModuleType, str]]:
    return [
        (module, name)
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if IS_EMULATED or name not in EMULATED_ONLY
    ]


def run(module: ModuleType, name: str, directory: pathlib.Path, *prefix: str, sanitize: bool = False) -> None:
    environment = dict(os.environ)
    if IS_EMULATED:
        environment = emulation.environment(directory, sanitize=sanitize, **SETTINGS.get(name, {}))
    command = [*prefix, sys.executable, str(module.__file__), name]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if IS_EMULATED:
        assert (emulation.faults(directory) != []) == (name in FAULTY)


def named(check: tuple[ModuleType, str]) -> str:
    return check[1]


@pytest.mark.parametrize("check", checks(check_rings, check_memory, check_processes), ids=named)
def test_emulated(check: tuple[ModuleType, str], tmp_path: pathlib.Path) -> None:
    run(*check, tmp_path / "netmap", sanitize=True)
    left = {path.name for path in (tmp_path / "netmap").glob("*")}  # of the module's, there is no such thing
    assert left <= {"world", "faults"}


@pytest.mark.skipif(not IS_EMULATED, reason="nothing is built")
@pytest.mark.parametrize(
    "check", [check for check in checks(check_processes) if check[1] in TIMED], ids=named
)
def test_emulated_at_full_speed(check: tuple[ModuleType, str], tmp_path: pathlib.Path) -> None:
    run(*check, tmp_path / "netmap")


@pytest.fixture
def namespace() -> Iterator[str]:
    """Give a network namespace with the veth pairs va-vb and vc-vd, beside an empty one, named ...-far."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    name = f"emu-{os.getpid()}"

    def do(command: str) -> None:
        subprocess.run(command.split(), check=True, capture_output=True)

    try:
        do(f"ip netns add {name}")
        do(f"ip netns add {name}-far")
        do(f"ip -n {name} link add va type veth peer name vb")
        do(f"ip -n {name} link add vc type veth peer name vd")
        for interface in ("va", "vb", "vc", "vd"):
            offloads = "rx off tx off gso off gro off tso off sg off"
            do(f"ip netns exec {name} ethtool -K {interface} {offloads}")
            # No chatter of the kernel's own among the test's packets.
            quiet = f"echo 1 >/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
            subprocess.run(["ip", "netns", "exec", name, "sh", "-c", quiet], check=True)
            do(f"ip -n {name} link set {interface} up")
        yield name
    finally:
        for each in (f"{name}-far", name):
            subprocess.run(["ip", "netns", "delete", each], check=False)


@pytest.mark.parametrize(
    "check", [check for check in checks(check_nic) if check[1].startswith("nic_")], ids=named
)
def test_emulated_nic(check: tuple[ModuleType, str], namespace: str, tmp_path: pathlib.Path) -> None:
    run(*check, tmp_path / "netmap", "ip", "netns", "exec", namespace, sanitize=True)


def test_host_rings_carry_a_ping(namespace: str, tmp_path: pathlib.Path) -> None:
    for command in (
        f"ip -n {namespace} link set vb netns {namespace}-far",
        f"ip -n {namespace} address add 10.99.0.1/24 dev va",
        f"ip -n {namespace}-far address add 10.99.0.2/24 dev vb",
        f"ip -n {namespace}-far link set vb up",
    ):
        subprocess.run(command.split(), check=True)
    run(check_nic, "host_goes_on", tmp_path / "netmap", "ip", "netns", "exec", namespace)


def python(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import os\n{program}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not IS_EMULATED, reason="nothing is emulated")
def test_nothing_is_emulated_unless_asked_for(tmp_path: pathlib.Path) -> None:
    environment = emulation.environment(tmp_path / "netmap")
    del environment["MIDSOCK_NETMAP_EMULATION"]
    done = python("print(os.path.exists('/dev/netmap'), os.open('/dev/netmap', os.O_RDWR))", environment)
    assert done.stdout.startswith("True") or "No such file" in done.stderr
    assert not (tmp_path / "netmap").exists()


@pytest.mark.skipif(not IS_EMULATED, reason="nothing is emulated")
def test_a_wrong_setting_is_told(tmp_path: pathlib.Path) -> None:
    done = python("os.open('/dev/netmap', os.O_RDWR)", emulation.environment(tmp_path / "netmap", slots=1))
    assert "MIDSOCK_NETMAP_EMULATION_SLOTS=1 is not within 4..2288" in done.stderr
