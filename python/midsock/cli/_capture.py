"""`midsock capture`: packets of a port to a file."""

from __future__ import annotations

import re
import time

import click

import midsock as ms
from midsock import _midsock
from midsock.cli._common import drop_rights, refuse_to_overwrite, user_option
from midsock.cli._counters import STRETCH, counters, number_of, rates
from midsock.cli._signals import ending


@click.command()
@click.argument("port")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--filter",
    "filter_",
    metavar="FILTER",
    default="",
    help="Keep only the packets that match, in tcpdump's syntax.",
)
@click.option("--count", "-c", metavar="N", type=click.IntRange(1), help="Stop after so many packets.")
@click.option(
    "--duration", metavar="SECONDS", type=click.FloatRange(0, min_open=True), help="Stop after so long."
)
@click.option(
    "--snaplen",
    "-s",
    metavar="BYTES",
    type=click.IntRange(1, 2**32 - 1),
    help="Keep at most so many bytes of each packet.",
)
@user_option
def capture(
    port: str,
    file: str,
    filter_: str,
    count: int | None,
    duration: float | None,
    snaplen: int | None,
    user: str | None,
) -> None:
    """Write the packets that come to PORT to FILE, until Ctrl-C.

    FILE is written as pcapng, or as pcap if its name says so (.pcap), and compressed for .gz and .zst; - is
    standard output.
    """
    refuse_to_overwrite(port, file, "FILE")
    try:
        session = _midsock.Capture(
            port, file, filter=filter_, snaplen=snaplen, count=count, format=_format(file)
        )
    except ms.FilterError as error:
        raise click.BadParameter(str(error), param_hint="--filter") from error
    start = time.monotonic()
    until = float("inf") if duration is None else start + duration

    def text(seconds: float) -> str:
        now = session.statistics()
        return f"{_told(now)}; {rates(now['received'], now['received_bytes'], seconds)}"

    try:
        with ending() as ends, counters(text) as show:
            drop_rights(user)
            while not ends and (left := until - time.monotonic()) > 0:
                if not session.advance(min(STRETCH, left)):
                    break
                show()
            if ends:
                _drain(session)
    finally:
        session.close()
        click.echo(_told(session.statistics()), err=True)


def _drain(session: _midsock.Capture) -> None:
    """Take what came before the capture was told to end: kernels hand packets over some milliseconds late."""
    until = time.monotonic() + _DRAIN
    seen = -1
    while seen < (seen := session.statistics()["received"]) and time.monotonic() < until:
        session.advance(_LATE)


_DRAIN = 0.25
"""Seconds after which a capture ends though packets keep coming."""
_LATE = 0.02
"""Seconds that a packet may be late."""


def _format(file: str) -> _midsock._Format:
    return "pcap" if re.search(r"\.pcap(\.gz|\.zst)?$", file, re.IGNORECASE) else "pcapng"


def _told(now: dict[str, int]) -> str:
    return (
        f"{number_of(now['received'], 'packet')} received, {now['written']:,} written, "
        f"{now['dropped_by_kernel']:,} dropped by the kernel, {now['dropped']:,} by midsock"
    )
