"""Protocols: one object per flow, in the manner of `asyncio.Protocol`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from midsock._enums import EndReason, Side
    from midsock._midsock import Event, FlowSocket, MonitorSocket


class Protocol:
    """What happens to one flow. Subclass it and override what you need; every method does nothing by default."""

    def connection_made(self, sock: FlowSocket) -> None:
        """Call when both ends are established, or where a flow is picked up midstream, at its first packet."""

    def data_received(self, side: Side, data: bytes) -> None:
        """Call with the next bytes that `side` sent."""

    def gap_received(self, side: Side, offset: int, length: int) -> None:
        """Call where `length` bytes of what `side` sent, from `offset` on, were never seen."""

    def eof_received(self, side: Side) -> None:
        """Call when `side` has sent all it had: the other end has received its FIN."""

    def connection_lost(self, reason: EndReason) -> None:
        """Call when the flow has ended; nothing comes after this."""


def attach(monitor: MonitorSocket, factory: Callable[[], Protocol]) -> None:
    """Give every flow of a monitoring socket a protocol object of its own, made by `factory` at its first event."""
    from midsock import events
    from midsock._enums import State

    protocols: dict[int, Protocol] = {}
    received = {State.CLOSE_WAIT, State.CLOSING, State.TIME_WAIT}
    finished: dict[int, set[Side]] = {}

    def protocol_of(sock: FlowSocket) -> Protocol:
        protocol = protocols.get(sock.id)
        if protocol is None:
            protocol = protocols[sock.id] = factory()
            protocol.connection_made(sock)
        return protocol

    def made(sock: FlowSocket, _event: Event) -> None:
        if sock.midstream:
            protocol_of(sock)

    def set_up(sock: FlowSocket, _event: Event) -> None:
        protocol_of(sock)

    def data(sock: FlowSocket, event: Event) -> None:
        protocol_of(sock).data_received(event.side, event.data)

    def gap(sock: FlowSocket, event: Event) -> None:
        protocol_of(sock).gap_received(event.side, event.offset, event.length)

    def eof(sock: FlowSocket, event: Event) -> None:
        # The end that enters one of these states has received the other one's FIN. Of CLOSING and TIME-WAIT an end may
        # enter both, so each side's end is told once.
        if event.new not in received:
            return
        side = type(event.side)(1 - event.side)
        told = finished.setdefault(sock.id, set())
        if side not in told:
            told.add(side)
            protocol_of(sock).eof_received(side)

    def end(sock: FlowSocket, event: Event) -> None:
        finished.pop(sock.id, None)
        protocol = protocols.pop(sock.id, None)
        if protocol is not None:
            protocol.connection_lost(event.reason)

    monitor.on(events.ON_CONN_START, made)
    monitor.on(events.ON_CONN_SETUP, set_up)
    monitor.on(events.ON_CONN_NEW_DATA, data)
    monitor.on(events.ON_GAP, gap)
    monitor.on(events.ON_TCP_STATE_CHANGE, eof)
    monitor.on(events.ON_CONN_END, end)
