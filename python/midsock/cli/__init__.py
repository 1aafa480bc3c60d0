"""The command `midsock`.

Exit codes: 0 for success, also if the capture's last record was cut short (a warning says so); 1 if the
source cannot be read or there is no such flow; 2 for a wrong command line; 130 after Ctrl-C; 141 if the
reader of the output went away.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

import midsock
from midsock.cli._bridge import bridge
from midsock.cli._capture import capture
from midsock.cli._common import Failure, reason
from midsock.cli._flows import flows
from midsock.cli._follow import follow
from midsock.cli._monitor import monitor
from midsock.cli._ports import ports
from midsock.cli._replay import replay
from midsock.cli._run import run

_INTERRUPTED = 130  # 128 + SIGINT
_BROKEN_PIPE = 141  # 128 + SIGPIPE


class _Group(click.Group):
    """A group of commands whose errors take one line."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (as in click)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        except BrokenPipeError:
            _abandon_output()
            sys.exit(_BROKEN_PIPE)
        except OSError as error:
            raise Failure(reason(error)) from error
        return result


def _abandon_output() -> None:
    """Send what is still to be written nowhere, so that Python does not complain when it exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(midsock.__version__, prog_name="midsock")
def main() -> None:
    """Watch the TCP flows of a capture or a network.

    SOURCE is a capture file, - for one on standard input, or a live port such as af_packet:eth0; `midsock
    ports` tells what there is.
    """


for _command in (run, monitor, flows, follow, capture, replay, bridge, ports):
    main.add_command(_command)
