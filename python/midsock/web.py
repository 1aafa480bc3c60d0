"""The web monitor: ongoing connections over time, and requests, bytes and retransmissions per server.

```python
monitor = WebMonitor(midsock.Stack("trace.pcap"))
monitor.run()
for server in monitor.servers.values():
    print(server.name, server.requests.total(), server.bytes)
```
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import midsock as ms
from midsock._http import Request, RequestParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Request", "RequestParser", "Server", "Timeline", "WebMonitor"]

_SECOND = 1_000_000_000
_KINDS = tuple(str(kind) for kind in ms.RexmitKind)


def _pairs() -> dict[str, list[int]]:
    return {kind: [0, 0] for kind in _KINDS}


@dataclass
class Server:
    """What is known of one server, or of several together; pairs are those of client and server."""

    name: str
    """"ip:port", IPv6 in brackets."""
    connections: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    """Complete HTTP/1 requests by method."""
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    """Payload bytes on the wire, repeated bytes counted again."""
    rexmit: dict[str, list[int]] = field(default_factory=_pairs)
    """Retransmitted segments by what was sent again: `syn synack fin data`."""

    def add(self, record: ms.FlowRecord, requests: Counter[str]) -> None:
        """Count one flow in."""
        self.connections += 1
        self.requests += requests
        for side in (0, 1):
            self.packets[side] += record.packets[side]
            self.bytes[side] += record.bytes[side]
            for kind, counts in record.rexmit.items():
                self.rexmit[kind][side] += counts[side]


class Timeline:
    """How many connections there were at once, second by second of the packets' time."""

    def __init__(self) -> None:
        """Begin with none."""
        self.ongoing = 0
        self.most = 0
        self._seconds: dict[int, tuple[int, int]] = {}  # the most in that second, and how many at its end
        self._now: int | None = None

    def change(self, time_ns: int, by: int) -> None:
        """Take note that connections began or ended."""
        # Packets of a capture may be out of order by a little.
        self._now = max(time_ns // _SECOND, time_ns // _SECOND if self._now is None else self._now)
        most, _ = self._seconds.get(self._now, (self.ongoing, self.ongoing))
        self.ongoing += by
        self.most = max(self.most, self.ongoing)
        self._seconds[self._now] = (max(most, self.ongoing), self.ongoing)

    def bars(self, at_most: int, until: float) -> tuple[int, list[int]]:
        """Sum it up in bars: seconds per bar, and the most connections at once in each, up to a last time."""
        if not self._seconds:
            return 1, []
        first = next(iter(self._seconds))
        last = max(self._now or first, int(until))
        width = next(w for w in _widths() if (last - first) // w < at_most)
        bars = [0] * ((last - first) // width + 1)
        level, next_bar = 0, 0
        for second, (most, at_end) in self._seconds.items():
            bar = (second - first) // width
            for passed in range(next_bar, bar + 1):
                bars[passed] = level
            next_bar = bar + 1
            bars[bar] = max(bars[bar], most)
            level = at_end
        for passed in range(next_bar, len(bars)):
            bars[passed] = level
        return width, bars


def _widths() -> Iterator[int]:
    """Seconds that read well: 1 2 5 10 15 30, then minutes, hours and days."""
    yield from (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200)
    days = 86_400
    while True:
        yield days
        days *= 2


class WebMonitor:
    """Watches the flows of a stack as connections of web clients to web servers.

    `filter` is a scope filter that says which; by default all TCP flows are watched, and what is not HTTP/1
    counts no requests.
    """

    def __init__(self, stack: ms.Stack, filter: str = "") -> None:  # noqa: A002 (as in Stack.socket)
        """Register with a stack that has not run yet."""
        self.stack = stack
        self.servers: dict[str, Server] = {}
        self.timeline = Timeline()
        self.first: float | None = None
        """When the first packet came, in seconds since the Unix epoch; `None` if none came."""
        self.last = 0.0
        """When the last packet came."""
        self.reasons: Counter[str] = Counter()
        """How many connections ended in which way."""
        self._requests: dict[int, Counter[str]] = {}
        web = stack.socket(ms.MONITOR_STREAM, filter=filter)
        web.on(ms.ON_CONN_START, self._began)
        web.on(ms.ON_CONN_NEW_DATA, self._data, side=ms.CLIENT)
        web.on(ms.ON_GAP, self._gap, side=ms.CLIENT)
        web.on(ms.ON_CONN_END, self._ended)

    def run(self, timeout: float | None = None) -> bool:
        """Run the stack to the end of its input, or for `timeout` seconds; return whether it is over."""
        for record in self.stack.flows(timeout):
            requests = self._requests.pop(record.id, Counter())
            server = self.servers.get(record.server)
            if server is None:
                server = self.servers[record.server] = Server(record.server)
            server.add(record, requests)
            self.reasons[str(record.reason)] += 1
            self.first = record.start if self.first is None else min(self.first, record.start)
            self.last = max(self.last, record.end)
        return self.stack.ended

    def total(self) -> Server:
        """Give the sum of all servers."""
        total = Server("all servers")
        for server in self.servers.values():
            total.connections += server.connections
            total.requests += server.requests
            for side in (0, 1):
                total.packets[side] += server.packets[side]
                total.bytes[side] += server.bytes[side]
                for kind in _KINDS:
                    total.rexmit[kind][side] += server.rexmit[kind][side]
        return total

    def _began(self, _sock: ms.FlowSocket, event: ms.Event) -> None:
        self.timeline.change(event.time_ns, 1)

    def _ended(self, sock: ms.FlowSocket, event: ms.Event) -> None:
        sock.user = None
        if event.reason is not ms.EndReason.END:  # else it goes on beyond the input
            self.timeline.change(event.time_ns, -1)

    def _data(self, sock: ms.FlowSocket, event: ms.Event) -> None:
        parser = sock.user
        if parser is None:
            parser = sock.user = RequestParser(midstream=sock.midstream)
        self._count(sock, parser.feed(event.data))
        if parser.is_hopeless:
            # Not HTTP/1: there is no need to put the stream together any further.
            sock.client.reassemble = False

    def _gap(self, sock: ms.FlowSocket, event: ms.Event) -> None:
        parser = sock.user
        if parser is None:
            sock.user = RequestParser(midstream=True)
        else:
            self._count(sock, parser.skip(event.length))

    def _count(self, sock: ms.FlowSocket, requests: Iterable[Request]) -> None:
        for request in requests:
            self._requests.setdefault(sock.id, Counter())[request.method] += 1
