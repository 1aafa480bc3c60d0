"""The built-in events. `EVENT.where(filter)` makes a user-defined event of one."""

from typing import Final

from midsock._midsock import EventType

ON_PKT_IN: Final = EventType("ON_PKT_IN")
"""A packet came. Hooks: `PRE_TCP`, `POST_SND`, `POST_TCP`."""
ON_CONN_START: Final = EventType("ON_CONN_START")
"""The first packet of a flow: its first SYN, never a retransmission. Hooks: all three."""
ON_CONN_SETUP: Final = EventType("ON_CONN_SETUP")
"""Both ends are established. Hook: `POST_TCP`."""
ON_TCP_STATE_CHANGE: Final = EventType("ON_TCP_STATE_CHANGE")
"""An endpoint changed its state: `event.side`, `old`, `new`.

Hooks: `POST_SND` (the sender's), `POST_TCP` (both)."""
ON_CONN_NEW_DATA: Final = EventType("ON_CONN_NEW_DATA")
"""Contiguous bytes became readable: `event.side`, `offset`, `length`, `data`. Hook: `POST_TCP`."""
ON_GAP: Final = EventType("ON_GAP")
"""Bytes that were never seen were given up: `event.side`, `offset`, `length`. Hook: `POST_TCP`."""
ON_REXMIT: Final = EventType("ON_REXMIT")
"""A SYN, SYN/ACK, FIN or data was sent again: `event.rexmit`, `length`, `partial`. Hooks: all three."""
ON_CONN_END: Final = EventType("ON_CONN_END")
"""The flow ended, once: `event.reason`. No event of the flow comes after it. Hook: `POST_TCP`."""
ON_ORPHAN: Final = EventType("ON_ORPHAN")
"""A TCP packet that belongs to no flow; the handler's socket is the monitoring socket. Hook: `POST_TCP`."""
ON_ANOMALY: Final = EventType("ON_ANOMALY")
"""A named condition: `event.anomaly`. Hooks: all three; what the stream shows, at `POST_TCP` only."""
ON_TIMER: Final = EventType("ON_TIMER")
"""A timer of the flow fired. Hook: `POST_TCP`."""
