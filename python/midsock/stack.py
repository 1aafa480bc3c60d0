"""The stack, with what is easier said in Python."""

from __future__ import annotations

import time
from collections import Counter as CounterDict
from functools import cached_property
from typing import TYPE_CHECKING, Self

from midsock import _midsock
from midsock._aio import in_thread
from midsock._enums import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from midsock._midsock import FlowRecord, MonitorSocket
    from midsock.protocol import Protocol


class Stack(_midsock.Stack):
    """One port or two, all flows, and who watches them.

    `source` is the port that packets come from: the path of a capture file (pcap or pcapng, also compressed
    by gzip or zstd), `"-"` for one on standard input, a live port such as `"af_packet:eth0"`,
    `"af_xdp:eth0"` or `"netmap:eth0"`, or a `MemoryPort`. Ports are opened here, not when the stack runs.

    With a `sink`, the stack is inline: what comes from either port goes out of the other, unless a handler
    has it otherwise. A handler may return a `Verdict` (`FORWARD`, `DROP`, `DROP_FLOW` or `RESET`; the
    strongest of several holds) or `None`; anything else is a `TypeError`, handled as if the handler had
    raised it. With one port, what handlers return is not looked at.

    Keyword arguments, all optional:

    - `checksum`: `"verify"` rejects segments with a wrong TCP or IPv4 checksum, `"ignore"` does not look,
      `"auto"` (default) verifies but for sides whose checksums are left to the sending hardware.
    - `midstream`: whether flows are picked up whose SYN was not seen; off by default.
    - `max_flows`: the most flows at once; 10,000,000. `when_full`: `"evict"` (default) lets a new flow
      replace one that has ended, is not set up, or has been idle for a minute, if a short search finds one;
      `"ignore"` ignores it.
    - `max_reassembly`: the most bytes of out-of-order and unread data of all flows together; 1 GiB.
    - `max_fragments`: the most bytes of memory for datagrams of which fragments are missing; 16 MiB.
    - `fragment_overlap`: whose bytes hold where IP fragments overlap: `"first"`, `"last"`, `"bsd"`,
      `"bsd_right"`, `"linux"`, `"windows"`, `"solaris"`, or `"discard"` for the whole datagram. By default
      `"first"` for IPv4, and `"discard"` for IPv6 (RFC 5722).
    - `decapsulate`: the tunnels that are entered: `True` (default) for all, `False` for none, or the names
      of some: `"ip"`, `"gre"`, `"erspan"`, `"vxlan"`, `"geneve"`, `"gtp"`, `"pppoe"`, `"pbb"`, `"teredo"`,
      `"nsh"`, `"l2tp"`, `"ayiya"`. A packet of any other is one of its outer transport.
    - `max_layers`: the most layers of headers, 4 to 255; a frame of more is counted as malformed; 32.
    - `vlans`: `"separate"` (default) makes VLANs part of a flow's tuple; `"ignore"` does not, for networks
      in which the directions of a connection have different ones.
    - `timeouts`: seconds of packet time, a mapping with any of `opening` (handshake not over; 120),
      `established` (3600), `closing` (one end has closed; 600), `linger` (an ended flow takes in late
      packets; 2), `gap` (bytes that were acknowledged but never seen may still turn up; 0.1),
      `hole` (bytes that nobody acknowledged may still turn up while others wait behind them; 30) and
      `fragments` (a datagram waits for its other fragments; 60).
    - `emergency`: what holds while the flow table is nearly full, a mapping with any of `begin` and `end`
      (whole percent of `max_flows` with which that begins and is over; 90 and 70) and shorter timeouts for
      `opening` (5), `established` (100), `closing` (10) and `linger` (0.2).
    - `on_error`: when a handler raises, `"raise"` (default) stops `run` and raises with the flow in a note;
      `"log"` logs to the logger `midsock`, counts in `statistics()["handler_errors"]` and goes on.
    - `on_failure`: with two ports, what becomes of packets that no decision came about, because a handler
      raised or the stack ended within a burst: `"open"` (default) forwards them, `"closed"` drops them, and
      what comes of their flows later.
    - `hosts`: the operating systems of receivers by network, as `{"10.0.0.0/8": "windows"}`: the policy by
      which overlap in what they receive is settled. The longest prefix decides, before a socket's `overlap`.
    - `seed`: the secret of the flow table's hash, for tests; from the operating system by default.

    Raises `FileNotFoundError`, `PermissionError` or `PortError` if the source cannot be opened, `ValueError`
    for a wrong argument. As a context manager it is closed at the end.
    """

    @cached_property
    def counters(self) -> CounterDict[str]:
        """Counters of the application's own, by name; 0 at first."""
        return CounterDict()

    @cached_property
    def default_socket(self) -> MonitorSocket:
        """A stream socket for every flow, opened when it is first asked for."""
        return self.socket(Kind.STREAM)

    @property
    def on(self) -> _midsock._On:
        """`on` of the default socket."""
        return self.default_socket.on

    @property
    def on_batch(self) -> _midsock._OnBatch:
        """`on_batch` of the default socket."""
        return self.default_socket.on_batch

    @property
    def batches(self) -> _midsock._Batches:
        """`batches` of the default socket."""
        return self.default_socket.batches

    @property
    def events(self) -> _midsock._Events:
        """`events` of the default socket."""
        return self.default_socket.events

    @property
    def count(self) -> _midsock._Count:
        """`count` of the default socket."""
        return self.default_socket.count

    def protocol(self, factory: Callable[[], Protocol]) -> None:
        """Give every flow a protocol object of its own, made by `factory`."""
        self.default_socket.protocol(factory)

    def flows(self, timeout: float | None = None) -> Iterator[FlowRecord]:
        """Run the stack and yield a record of every flow that a stream socket watches, in order of their end.

        A record comes once the flow is freed: a closed flow takes in late packets for the `linger` timeout.
        With a `timeout`, it ends after so many seconds; called again, it goes on. `ended` tells whether the
        input is over.
        """
        until = None if timeout is None else time.monotonic() + timeout
        self._keep_records()
        while records := self._next_records(None if until is None else max(0.0, until - time.monotonic())):
            yield from records

    async def run_async(self) -> None:
        """Run as `run` does, in a thread, so that the event loop goes on. Cancelled, it stops the stack."""
        await in_thread(self, self.run)

    def __enter__(self) -> Self:
        """Enter the context: the stack itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stack."""
        self.close()

    async def __aenter__(self) -> Self:
        """Enter the context: the stack itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stack."""
        self.close()
