"""A flow-management stack for stateful middleboxes, with a Rust core.

An application names the events it cares about; the stack does packet I/O, finds the flow, runs the TCP state
of both ends, reassembles the byte streams, and hands the application a socket for the flow that raised the
event.
"""

from typing import Final

from midsock._enums import Anomaly, EndReason, Hook, Kind, RexmitKind, Side, State
from midsock._midsock import (
    Batch,
    CaptureWriter,
    Column,
    Counter,
    Endpoint,
    Event,
    EventType,
    Expr,
    Field,
    FilterError,
    FlowEndedError,
    FlowRecord,
    FlowSocket,
    MemoryPort,
    MonitorSocket,
    PortError,
    Timer,
    __version__,
    user_event,
)
from midsock.events import (
    ON_ANOMALY,
    ON_CONN_END,
    ON_CONN_NEW_DATA,
    ON_CONN_SETUP,
    ON_CONN_START,
    ON_GAP,
    ON_ORPHAN,
    ON_PKT_IN,
    ON_REXMIT,
    ON_TCP_STATE_CHANGE,
    ON_TIMER,
)
from midsock.fields import (
    FIELDS,
    client,
    eth,
    event,
    flow,
    ip,
    packet,
    payload,
    receiver,
    sender,
    server,
    tcp,
)
from midsock.protocol import Protocol
from midsock.stack import Stack

CLIENT: Final = Side.CLIENT
SERVER: Final = Side.SERVER
PRE_TCP: Final = Hook.PRE_TCP
POST_SND: Final = Hook.POST_SND
POST_TCP: Final = Hook.POST_TCP
MONITOR_STREAM: Final = Kind.STREAM
MONITOR_RAW: Final = Kind.RAW

__all__ = [
    "CLIENT",
    "FIELDS",
    "MONITOR_RAW",
    "MONITOR_STREAM",
    "ON_ANOMALY",
    "ON_CONN_END",
    "ON_CONN_NEW_DATA",
    "ON_CONN_SETUP",
    "ON_CONN_START",
    "ON_GAP",
    "ON_ORPHAN",
    "ON_PKT_IN",
    "ON_REXMIT",
    "ON_TCP_STATE_CHANGE",
    "ON_TIMER",
    "POST_SND",
    "POST_TCP",
    "PRE_TCP",
    "SERVER",
    "Anomaly",
    "Batch",
    "CaptureWriter",
    "Column",
    "Counter",
    "EndReason",
    "Endpoint",
    "Event",
    "EventType",
    "Expr",
    "Field",
    "FilterError",
    "FlowEndedError",
    "FlowRecord",
    "FlowSocket",
    "Hook",
    "Kind",
    "MemoryPort",
    "MonitorSocket",
    "PortError",
    "Protocol",
    "RexmitKind",
    "Side",
    "Stack",
    "State",
    "Timer",
    "__version__",
    "client",
    "eth",
    "event",
    "flow",
    "ip",
    "packet",
    "payload",
    "receiver",
    "sender",
    "server",
    "tcp",
    "user_event",
]
