"""Protocols: one object per flow, in the manner of `asyncio.Protocol`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midsock import events
from midsock._enums import Side, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from midsock._enums import EndReason
    from midsock._midsock import Event, FlowSocket, MonitorSocket


class Protocol:
    """What happens to one flow.

    Subclass it and override what you need; every method does nothing by default.
    """

    def connection_made(self, sock: FlowSocket) -> None:
        """Call before all else.

        That is when both ends are established, at the first data if that comes earlier (TCP Fast Open), or at
        the first packet of a flow that is picked up midstream.
        """

    def data_received(self, side: Side, data: bytes) -> None:
        """Call with the next bytes that `side` sent."""

    def gap_received(self, side: Side, offset: int, length: int) -> None:
        """Call where `length` bytes of what `side` sent, from `offset` on, were never seen."""

    def eof_received(self, side: Side) -> None:
        """Call when `side` has sent all it had: the other end has received its FIN."""

    def connection_lost(self, reason: EndReason) -> None:
        """Call when the flow has ended; nothing comes after this."""


# An end that enters one of these has received the other one's FIN.
_RECEIVED_FIN = frozenset({State.CLOSE_WAIT, State.CLOSING, State.TIME_WAIT})


class _Protocols:
    """The protocol objects of a monitoring socket's flows, and the handlers that call them."""

    def __init__(self, factory: Callable[[], Protocol]) -> None:
        """Have none as yet; `factory` makes them."""
        self._factory = factory
        self._protocols: dict[int, Protocol] = {}
        # Of CLOSING and TIME-WAIT an end may enter both, yet the other one's end is told once.
        self._finished: dict[int, set[Side]] = {}

    def _of(self, sock: FlowSocket) -> Protocol:
        protocol = self._protocols.get(sock.id)
        if protocol is None:
            protocol = self._protocols[sock.id] = self._factory()
            protocol.connection_made(sock)
        return protocol

    def start(self, sock: FlowSocket, _event: Event) -> None:
        """Take up a flow whose handshake was not seen."""
        if sock.midstream:
            self._of(sock)

    def set_up(self, sock: FlowSocket, _event: Event) -> None:
        """Take up a flow."""
        self._of(sock)

    def data(self, sock: FlowSocket, event: Event) -> None:
        """Hand on new data."""
        self._of(sock).data_received(event.side, event.data)

    def gap(self, sock: FlowSocket, event: Event) -> None:
        """Tell of missing bytes."""
        self._of(sock).gap_received(event.side, event.offset, event.length)

    def eof(self, sock: FlowSocket, event: Event) -> None:
        """Tell the end of one side's stream."""
        if event.new not in _RECEIVED_FIN:
            return
        side = Side.SERVER if event.side is Side.CLIENT else Side.CLIENT
        told = self._finished.setdefault(sock.id, set())
        if side not in told:
            told.add(side)
            self._of(sock).eof_received(side)

    def end(self, sock: FlowSocket, event: Event) -> None:
        """Tell the end of the flow."""
        self._finished.pop(sock.id, None)
        protocol = self._protocols.pop(sock.id, None)
        if protocol is not None:
            protocol.connection_lost(event.reason)


def attach(monitor: MonitorSocket, factory: Callable[[], Protocol]) -> None:
    """Give every flow of a monitoring socket a protocol object of its own, made by `factory`."""
    protocols = _Protocols(factory)
    monitor.on(events.ON_CONN_START, protocols.start)
    monitor.on(events.ON_CONN_SETUP, protocols.set_up)
    monitor.on(events.ON_CONN_NEW_DATA, protocols.data)
    monitor.on(events.ON_GAP, protocols.gap)
    monitor.on(events.ON_TCP_STATE_CHANGE, protocols.eof)
    monitor.on(events.ON_CONN_END, protocols.end)
