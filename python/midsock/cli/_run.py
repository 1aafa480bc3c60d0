"""`midsock run`: a user's script on a source."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from typing import TYPE_CHECKING

import click

import midsock as ms
from midsock import _midsock
from midsock.cli._common import Failure, user_option

if TYPE_CHECKING:
    from types import TracebackType


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@user_option
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("source")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(user: str | None, script: str, source: str, args: tuple[str, ...]) -> None:
    """Run the Python program SCRIPT on SOURCE.

    As with `python SCRIPT SOURCE ARGS...`, the program finds SOURCE in sys.argv[1] and ARGS behind it. With
    --user, rights are dropped when its first stack starts to run: ports are to be open by then.
    """
    if user is not None:
        _midsock.drop_rights_at_run(user)
    sys.argv = [script, source, *args]
    sys.path.insert(0, os.path.dirname(os.path.realpath(script)))  # noqa: PTH120 (as Python itself does)
    try:
        runpy.run_path(script, run_name="__main__")
    except BrokenPipeError:
        raise
    except Exception as error:
        if _is_about(source, error):
            raise Failure(str(error)) from error
        traceback.print_exception(error.with_traceback(_from_script(script, error.__traceback__)))
        sys.exit(1)


def _is_about(source: str, error: Exception) -> bool:
    """Whether the source cannot be read, rather than that the program is wrong."""
    is_of_port = isinstance(error, OSError) and error.errno is None
    return isinstance(error, ms.PortError) or (is_of_port and str(error).startswith(f"{source}:"))


def _from_script(script: str, trace: TracebackType | None) -> TracebackType | None:
    """Leave out what led to the script."""
    at = trace
    while at and at.tb_frame.f_code.co_filename != script:
        at = at.tb_next
    # A script that does not compile has no frame, and its error says where.
    return at
