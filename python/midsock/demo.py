"""The demo: two programs on a bundled capture of web traffic. Run it by `python -m midsock.demo`."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING

import midsock as ms
from midsock._progress import progress
from midsock._report import console, report
from midsock.web import WebMonitor

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_CAPTURE = importlib.resources.files("midsock") / "data" / "web.pcap.gz"
_TOP = 20


def main() -> None:
    """Run both programs and print what they found."""
    screen = console()
    with importlib.resources.as_file(_CAPTURE) as capture:
        screen.print(
            f"[bold]midsock {ms.__version__}[/]: {capture.name}, nginx and curl over a lossy network\n"
        )
        count_syn_rexmits(screen, capture)
        watch_web(screen, capture)


def count_syn_rexmits(screen: Console, capture: Path) -> None:
    """Count the SYNs that had to be sent again (as examples/syn_rexmit.py does) and their connections."""
    with ms.Stack(capture) as stack:
        web = stack.socket(ms.MONITOR_STREAM, filter="tcp")
        syn_rexmit = ms.ON_REXMIT.where(ms.tcp.syn & ~ms.tcp.ack)
        opened = web.count(ms.ON_CONN_START)
        waiting: set[int] = set()

        @web.on(syn_rexmit, hook=ms.PRE_TCP)
        def count(sock: ms.FlowSocket, _event: ms.Event) -> None:
            stack.counters["syn_rexmit"] += 1
            waiting.add(sock.id)

        with progress(stack, "1. SYN retransmissions", keep=True):
            stack.run()
        syns, hit = stack.counters["syn_rexmit"], len(waiting)
        screen.print("[bold]1. The SYN-retransmission counter[/]\n")
        screen.print(f"{syns:,} SYNs were sent again, in {hit:,} of {opened.value:,} connections.\n")


def watch_web(screen: Console, capture: Path) -> None:
    """Run the web monitor."""
    with ms.Stack(capture) as stack:
        monitor = WebMonitor(stack, filter="tcp")
        with progress(stack, "2. Web monitor", keep=True):
            monitor.run()
        screen.print("[bold]2. The web monitor[/]\n")
        screen.print(report(monitor, top=_TOP))


if __name__ == "__main__":
    main()
