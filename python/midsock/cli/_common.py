"""What the commands share: options, sources and messages."""

from __future__ import annotations

import contextlib
import pwd
import re
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

import click

import midsock as ms

if TYPE_CHECKING:
    from collections.abc import Callable


Checksum = Literal["auto", "verify", "ignore"]


class Failure(click.ClickException):
    """An error that takes one line."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as other programs do, with the command's name."""
        click.echo(f"midsock: {self.message}", file=file or sys.stderr)


def reason(error: OSError) -> str:
    """Say what went wrong, in one line."""
    if error.strerror is None:
        return str(error)  # of the port, which says it all
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def warn(stack: ms.Stack) -> None:
    """Say what the user should know about the source."""
    if stack.warning:
        click.echo(f"midsock: warning: {stack.warning}", err=True)


source_argument = click.argument("source")


def watch_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which flows are watched, and how."""
    command = click.option(
        "--checksum",
        type=click.Choice(get_args(Checksum)),
        default="ignore",
        show_default=True,
        help="What to do about segments with a wrong checksum: verify rejects them, ignore does not look "
        "(captures are often taken before the hardware puts the right one in), auto rejects them unless "
        "their sender seems to leave checksums to its hardware.",
    )(command)
    return click.option(
        "--filter",
        "filter_",
        metavar="FILTER",
        default="",
        help="Watch only the flows that match, in tcpdump's syntax; src and dst are client and server.",
    )(command)


def _known_user(_ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    """Refuse a user that rights cannot be dropped to before anything is opened."""
    if name is None:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise click.BadParameter(f"there is no user {name!r}") from None
    if entry.pw_uid == 0:
        raise click.BadParameter(f"{name!r} has the rights of root: name a user who has not")
    return name


user_option = click.option(
    "--user",
    metavar="NAME",
    callback=_known_user,
    help="Once everything is open, give up root's rights for good and go on as this user.",
)


def drop_rights(user: str | None) -> None:
    """Go on as the user that was named, if one was."""
    if user is not None:
        ms.drop_rights(user)


LINGER = 60.0
"""Seconds for which a closed flow of a capture takes in late packets: a report is to have them all."""

_LIVE = re.compile(r"(af_packet|af_xdp|netmap|vale[^:]*):")


def is_live(source: str) -> bool:
    """Tell whether a source's name is that of a live port."""
    return bool(_LIVE.match(source))


def open_stack(source: str, checksum: Checksum) -> ms.Stack:
    """Open a source, picking up flows midstream."""
    # Nobody waits a minute to hear of a flow that ended just now.
    timeouts = {} if is_live(source) else {"linger": LINGER}
    return ms.Stack(source, checksum=checksum, midstream=True, timeouts=timeouts)


def refuse_to_overwrite(source: str, output: str, hint: str) -> None:
    """Refuse an output that is the source itself."""
    with contextlib.suppress(OSError):
        if Path(source.removeprefix("pcap:")).samefile(output):
            raise click.BadParameter("this is the source itself", param_hint=hint)


def open_socket(stack: ms.Stack, filter_: str, *, digest: bool = False) -> ms.MonitorSocket:
    """Watch the flows that match a filter; a wrong one is an error of the command line."""
    try:
        # As other tools show streams: with their urgent bytes.
        return stack.socket(ms.MONITOR_STREAM, filter=filter_, digest=digest, urgent="inline")
    except ms.FilterError as error:
        raise click.BadParameter(str(error), param_hint="--filter") from error
