"""Fixtures: networks that are gone after the test, whatever happens in it."""

from __future__ import annotations

import functools
import typing

import pytest

from live.backends import BACKENDS, Backend, backend
from live.leaks import Possessions
from live.namespace import remove_stale
from live.needs import need_root
from live.network import MakeNetwork, Network

if typing.TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


@functools.cache
def prepare() -> None:
    """Once a run, see to it that networks can be made, and remove those whose makers were killed."""
    need_root()
    remove_stale()


@pytest.fixture
def make_network() -> Iterator[MakeNetwork]:
    """Make networks for one test; afterwards nothing may be left in them, nor in this process."""
    prepare()
    made: list[Network] = []
    before = Possessions.now()

    def make(*, middle: bool = True, offloads: bool = False, mtu: int = 1500) -> Network:
        network = Network(middle=middle, offloads=offloads, mtu=mtu)
        made.append(network)
        return network

    try:
        yield make
        left = Possessions.now().gained(before)
        for network in made:
            left += network.leftovers()
    finally:
        for network in made:
            network.remove()
    assert not left, f"left behind: {left}"


@pytest.fixture
def network(make_network: MakeNetwork) -> Network:
    """Give a network client - middle - server with offloads off."""
    return make_network()


@pytest.fixture(params=[False, True], ids=["offloads-off", "offloads-on"])
def either_network(make_network: MakeNetwork, request: pytest.FixtureRequest) -> Network:
    """Give a network once with offloads off, once with them on."""
    return make_network(offloads=request.param)


@pytest.fixture(params=BACKENDS)
def box(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Backend:
    """Give each way of joining the interfaces of a network's middle in turn."""
    return backend(request.param, tmp_path)


@pytest.fixture
def bridged(make_network: MakeNetwork, box: Backend) -> Network:
    """Give the network that a box is to join, with offloads as it can do with them."""
    return make_network(offloads=box.offloads)
