"""A flow-management stack for stateful middleboxes, with a Rust core.

An application names the events it cares about; the stack does packet I/O, finds the flow, runs the TCP state
of both ends, reassembles the byte streams, and hands the application a socket for the flow that raised the
event.
"""

from typing import Final

from midsock._enums import Anomaly, EndReason, Hook, Kind, RexmitKind, Severity, Side, State, Verdict
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
    drop_rights,
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
FORWARD: Final = Verdict.FORWARD
DROP: Final = Verdict.DROP
DROP_FLOW: Final = Verdict.DROP_FLOW
RESET: Final = Verdict.RESET

__all__ = [
    "CLIENT",
    "DROP",
    "DROP_FLOW",
    "FIELDS",
    "FORWARD",
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
    "RESET",
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
    "Severity",
    "Side",
    "Stack",
    "State",
    "Timer",
    "Verdict",
    "__version__",
    "client",
    "drop_rights",
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
