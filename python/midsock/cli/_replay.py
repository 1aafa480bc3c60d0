"""`midsock replay`: a capture file to a port."""

from __future__ import annotations

import math
import sys
import time

import click

from midsock import _midsock
from midsock.cli._common import Failure, drop_rights, user_option
from midsock.cli._counters import STRETCH, counters, number_of, rates
from midsock.cli._signals import ending

_POSITIVE = click.FloatRange(0, min_open=True)
_KILLED = 128  # and the number of the signal


@click.command()
@click.argument("file")
@click.argument("port")
@click.option("--speed", metavar="FACTOR", type=_POSITIVE, help="Send so many times as fast as recorded.")
@click.option("--rate", metavar="PPS", type=_POSITIVE, help="Send so many packets a second, evenly.")
@click.option("--flat-out", is_flag=True, help="Send as fast as the port takes them.")
@click.option(
    "--loop",
    metavar="N",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Send the file so many times; 0 is for ever.",
)
@user_option
def replay(
    file: str,
    port: str,
    speed: float | None,
    rate: float | None,
    flat_out: bool,
    loop: int,
    user: str | None,
) -> None:
    """Send the packets of the capture FILE out of PORT, with the gaps they were recorded with.

    FILE is - for a capture on standard input.
    """
    if sum((speed is not None, rate is not None, flat_out)) > 1:
        raise click.UsageError("--speed, --rate and --flat-out exclude each other")
    speed = math.inf if flat_out else speed or 1.0
    try:
        session = _midsock.Replay(file, port, speed=speed, rate=rate, rounds=loop or None)
    except ValueError as error:
        raise Failure(str(error)) from error
    start = time.monotonic()

    def text(seconds: float) -> str:
        now = session.statistics()
        done = ""
        if session.progress and session.progress[1] and loop == 1:
            done = f"{session.progress[0] / session.progress[1]:.0%} read; "
        return f"{done}{_told(now)}; {rates(now['sent'], now['sent_bytes'], seconds)}"

    warning = None
    try:
        with ending() as ends, counters(text) as show:
            drop_rights(user)
            while not ends and session.advance(STRETCH):
                show()
        warning = session.warning
    finally:
        session.close()
        now, seconds = session.statistics(), time.monotonic() - start
        click.echo(f"{_told(now)} in {seconds:.3f} s: {rates(*_sent(now), seconds)}", err=True)
    _warn(now, warning)
    if ends:
        sys.exit(_KILLED + ends[0])


def _sent(now: dict[str, int]) -> tuple[int, int]:
    return now["sent"], now["sent_bytes"]


def _told(now: dict[str, int]) -> str:
    return f"{number_of(now['sent'], 'packet')} sent, {now['send_failures']:,} failed"


def _warn(now: dict[str, int], warning: str | None) -> None:
    for text in (
        warning,
        now["skipped"] and f"{number_of(now['skipped'], 'packet')} not sent: only Ethernet frames can be",
        now["cut_short"] and f"{number_of(now['cut_short'], 'packet')} cut short when captured, and sent so",
    ):
        if text:
            click.echo(f"midsock: warning: {text}", err=True)
