"""`midsock bridge`: packets between two ports."""

from __future__ import annotations

import time

import click

import midsock as ms
from midsock.cli._common import drop_rights, user_option, warn
from midsock.cli._counters import STRETCH, counters, number_of, rates
from midsock.cli._signals import ending


@click.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--duration", metavar="SECONDS", type=click.FloatRange(0, min_open=True), help="Stop after so long."
)
@user_option
def bridge(first: str, second: str, duration: float | None, user: str | None) -> None:
    """Pass packets between the ports FIRST and SECOND, in both directions, until Ctrl-C.

    Nothing is looked at or changed: it shows what a stack between these ports can carry.
    """
    with ms.Stack(first, second) as stack:
        start = time.monotonic()
        until = float("inf") if duration is None else start + duration

        def text(seconds: float) -> str:
            now = stack.statistics()
            return f"{_told(stack)}; {rates(now['received'], now['received_bytes'], seconds)}"

        try:
            with ending() as ends, counters(text) as show:
                drop_rights(user)
                warned = None
                while not ends and (left := until - time.monotonic()) > 0:
                    if stack.run(timeout=min(STRETCH, left)):
                        break
                    if stack.warning != warned:
                        warned = stack.warning
                        warn(stack)
                    show()
        finally:
            click.echo(_told(stack), err=True)


def _told(stack: ms.Stack) -> str:
    now = stack.statistics()
    lost = sum(port["dropped_by_kernel"] + port["dropped"] for port in now["ports"])
    there, back = (port["sent"] for port in reversed(now["ports"]))
    return (
        f"{number_of(there, 'packet')} there, {back:,} back, {lost:,} dropped before they got here, "
        f"{now['failures']:,} not sent"
    )
