"""`midsock ports`: what can be read and written."""

from __future__ import annotations

import click

_PORTS = """\
Sources that this build reads:

  PATH        a capture file; its first bytes tell the format, never its name
  pcap:PATH   the same, whatever PATH looks like
  -           a capture on standard input

  formats     pcap (microseconds and nanoseconds, both byte orders), pcapng
  compressed  gzip, zstd
  link types  {links}
  inside      {tunnels}

Sinks, for midsock.CaptureWriter:

  PATH        a capture file: pcapng if its name ends so, else pcap; compressed for .gz and .zst
  -           standard output

Live network interfaces cannot be read in this version; `tcpdump -w - | midsock flows -` comes close.
"""


@click.command()
def ports() -> None:
    """List what can be a SOURCE, and what can be written."""
    links = (
        "Ethernet",
        "raw IP",
        "Linux cooked capture v1 and v2",
        "BSD loopback",
        "PPP",
        "Cisco HDLC",
        "FDDI",
    )
    tunnels = ("VLAN", "MPLS", "PPPoE", "IP in IP", "GRE", "VXLAN", "Geneve", "GTP-U")
    click.echo(_PORTS.format(links=", ".join(links), tunnels=", ".join(tunnels)), nl=False)
