"""The ways in which midsock can join the two interfaces of a network's middle."""

from __future__ import annotations

import dataclasses
import typing

import netmap_emulation

if typing.TYPE_CHECKING:
    import pathlib

#: Kinds of ports, netmap's by an emulation of its module; only packet sockets can do with offloads on.
BACKENDS = ("af_packet", "af_packet-offloads", "af_xdp", "netmap")


@dataclasses.dataclass
class Backend:
    name: str
    #: The two ports of the middle, that to the client first.
    ports: tuple[str, str]
    environment: dict[str, str] | None
    #: Whether frames of up to 64 KiB with unfinished checksums are to cross the network.
    offloads: bool


def backend(name: str, folder: pathlib.Path) -> Backend:
    """Give a backend; `folder` is for what an emulation keeps while it runs."""
    kind, _, offloads = name.partition("-")
    environment = netmap_emulation.environment(folder) if kind == "netmap" else None
    return Backend(name, (f"{kind}:left", f"{kind}:right"), environment, bool(offloads))
