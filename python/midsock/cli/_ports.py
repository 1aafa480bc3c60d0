"""`midsock ports`: what can be read and written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from midsock import _midsock
from midsock._report import console

if TYPE_CHECKING:
    from midsock._midsock import _Interface, _Port

_BACKENDS = {"af_packet": "af_packet:IF", "af_xdp": "af_xdp:IF", "netmap": "netmap:IF"}

_FILES = """\
Capture files, as a SOURCE:

  PATH        a capture file; its first bytes tell the format, never its name
  pcap:PATH   the same, whatever PATH looks like
  -           a capture on standard input

  formats     pcap (microseconds and nanoseconds, both byte orders), pcapng
  compressed  gzip, zstd
  link types  {links}
  inside      {tunnels}

Capture files, to be written by `midsock capture` and midsock.CaptureWriter:

  PATH        pcapng or pcap, by its name; compressed for .gz and .zst
  -           standard output
"""
_LINKS = (
    "Ethernet",
    "raw IP",
    "Linux cooked capture v1 and v2",
    "BSD loopback",
    "PPP",
    "Cisco HDLC",
    "FDDI",
)
_TUNNELS = ("VLAN", "MPLS", "PPPoE", "IP in IP", "GRE", "VXLAN", "Geneve", "GTP-U")


@click.command()
@click.option(
    "--format",
    "-f",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to list the interfaces; json is one object per line.",
)
def ports(format_: str) -> None:
    """List the network interfaces with what each kind of live port could do there, and the files.

    Nothing is opened for it: what is only found out then, such as that another program has an interface, is
    not told.
    """
    interfaces = _midsock.interfaces()
    if format_ == "json":
        for interface in interfaces:
            click.echo(json.dumps(interface))
        return
    screen = console()
    screen.print(_table(interfaces))
    for notes in _notes(interfaces):
        screen.print(notes, soft_wrap=True)
    screen.print()
    click.echo(_FILES.format(links=", ".join(_LINKS), tunnels=", ".join(_TUNNELS)), nl=False)


def _table(interfaces: list[_Interface]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title="Network interfaces (IF)", title_justify="left")
    table.title_style = "bold"
    for name in ("IF", "state", "MTU", "MAC address", "driver", "queues", *_BACKENDS.values()):
        table.add_column(name, no_wrap=True, justify="right" if name in {"MTU", "queues"} else "left")
    for interface in interfaces:
        state = "down" if not interface["up"] else "up" if interface["running"] else "no link"
        queues = interface["queues"]
        cells = (
            interface["name"],
            state,
            f"{interface['mtu']:,}",
            interface["mac"] or "",
            interface["driver"] or "",
            "" if queues is None else str(queues),
        )
        table.add_row(*cells, *(_word(interface["ports"][backend]) for backend in _BACKENDS))
    return table


def _word(port: _Port) -> Text:
    if not port["possible"]:
        return Text("no", style="red")
    return Text("yes, but", style="yellow") if port["note"] else Text("yes", style="green")


def _notes(interfaces: list[_Interface]) -> list[str]:
    """Say each reason once, with the ports that it is the reason of."""
    reasons: dict[str, list[str]] = {}
    for backend, form in _BACKENDS.items():
        texts = [it["ports"][backend]["obstacle"] or it["ports"][backend]["note"] for it in interfaces]
        for interface, text in zip(interfaces, texts, strict=True):
            if text is not None:
                everywhere = len(set(texts)) == 1
                name = form if everywhere else interface["ports"][backend]["port"]
                ports_of = reasons.setdefault(text, [])
                if name not in ports_of:
                    ports_of.append(name)
    return [f"{', '.join(names)}: {text}" for text, names in reasons.items()]
