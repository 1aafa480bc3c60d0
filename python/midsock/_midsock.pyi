from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from os import PathLike
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
    overload,
    type_check_only,
)
from typing import Protocol as Interface

import numpy.typing as npt
import pandas as pd
from typing_extensions import Buffer, disjoint_base

from midsock._enums import Anomaly, EndReason, Hook, Kind, RexmitKind, Side, State
from midsock.protocol import Protocol

__all__ = [
    "Batch",
    "Capture",
    "CaptureWriter",
    "Column",
    "Counter",
    "Endpoint",
    "Event",
    "EventType",
    "Expr",
    "Field",
    "FilterError",
    "FlowEndedError",
    "FlowRecord",
    "FlowSocket",
    "MemoryPort",
    "MonitorSocket",
    "PortError",
    "Pull",
    "Replay",
    "Stack",
    "Timer",
    "__version__",
    "anomalies",
    "drop_rights",
    "drop_rights_at_run",
    "interfaces",
    "user_event",
]

__version__: Final[str]

_T_co = TypeVar("_T_co", covariant=True)

# A handler gets the flow's socket; of a raw socket's packets and of orphans, the monitoring socket. It may be
# written for one of the two or for both.
_Handler: TypeAlias = Callable[[FlowSocket, Event], object] | Callable[[MonitorSocket, Event], object]
_FlowHandler: TypeAlias = Callable[[FlowSocket, Event], object]
_BatchHandler: TypeAlias = Callable[[Batch], object]
_H = TypeVar("_H", bound=_Handler)
_F = TypeVar("_F", bound=_FlowHandler)
_B = TypeVar("_B", bound=_BatchHandler)

_Filter: TypeAlias = (
    Expr | Field | Callable[[FlowSocket, Event], bool] | Callable[[MonitorSocket, Event], bool]
)
_Columns: TypeAlias = Iterable[Field | str] | None
_Hook: TypeAlias = Hook | Literal[0, 1, 2]
_Format: TypeAlias = Literal["pcap", "pcap-ns", "pcapng"]
_FragmentOverlap: TypeAlias = Literal[
    "first", "last", "bsd", "bsd_right", "linux", "windows", "solaris", "discard"
]
_Tunnel: TypeAlias = Literal[
    "ip",
    "gre",
    "erspan",
    "vxlan",
    "geneve",
    "gtp",
    "pppoe",
    "pbb",
    "teredo",
    "nsh",
    "l2tp",
    "ayiya",
]
_Urgent: TypeAlias = Literal["oob", "inline", "drop"]
_Overlap: TypeAlias = Literal[
    "first",
    "last",
    "bsd",
    "bsd_right",
    "linux",
    "old_linux",
    "solaris",
    "old_solaris",
    "windows",
    "windows2k3",
    "vista",
    "macos",
    "irix",
    "hpux10",
    "hpux11",
]
_Value: TypeAlias = (
    int | bytes | bytearray | str | IPv4Address | IPv6Address | IPv4Network | IPv6Network | Field
)

_Address: TypeAlias = tuple[str | IPv4Address | IPv6Address, int]

# Where a property is named `bytes`, too.
_Bytes: TypeAlias = bytes

class PortError(OSError): ...
class FilterError(ValueError): ...
class FlowEndedError(RuntimeError): ...

@final
class Field:
    __hash__: Any
    def __new__(cls, name: str) -> Self: ...
    @staticmethod
    def names() -> list[str]: ...
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Literal["bool", "u8", "u16", "u32", "u64", "time", "ip", "mac", "bytes", "text"]: ...
    # Comparisons make filters.
    def __eq__(self, other: _Value, /) -> Expr: ...  # type: ignore[override]
    def __ne__(self, other: _Value, /) -> Expr: ...  # type: ignore[override]
    def __lt__(self, other: int | Field, /) -> Expr: ...
    def __le__(self, other: int | Field, /) -> Expr: ...
    def __gt__(self, other: int | Field, /) -> Expr: ...
    def __ge__(self, other: int | Field, /) -> Expr: ...
    def __and__(self, other: Expr | Field, /) -> Expr: ...
    def __rand__(self, other: Expr | Field, /) -> Expr: ...
    def __or__(self, other: Expr | Field, /) -> Expr: ...
    def __ror__(self, other: Expr | Field, /) -> Expr: ...
    def __invert__(self) -> Expr: ...
    def __bool__(self) -> bool: ...
    def isin(self, values: Iterable[_Value]) -> Expr: ...
    def contains(self, bytes: bytes | str) -> Expr: ...
    def startswith(self, bytes: bytes | str) -> Expr: ...
    def matches(self, pattern: str | bytes) -> Expr: ...

@final
class Expr:
    def __and__(self, other: Expr | Field, /) -> Expr: ...
    def __rand__(self, other: Expr | Field, /) -> Expr: ...
    def __or__(self, other: Expr | Field, /) -> Expr: ...
    def __ror__(self, other: Expr | Field, /) -> Expr: ...
    def __invert__(self) -> Expr: ...
    def __bool__(self) -> bool: ...

@final
class EventType:
    def __new__(cls, name: str) -> Self: ...
    def where(self, filter: _Filter) -> EventType: ...
    @property
    def parent(self) -> EventType | None: ...
    @property
    def root(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def user_event(name: str) -> EventType: ...

@final
class Event:
    @property
    def kind(self) -> str: ...
    @property
    def hook(self) -> Hook: ...
    @property
    def side(self) -> Side: ...
    @property
    def time(self) -> float: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def old_data(self) -> bytes: ...
    @property
    def old(self) -> State: ...
    @property
    def new(self) -> State: ...
    @property
    def reason(self) -> EndReason: ...
    @property
    def rexmit(self) -> RexmitKind: ...
    @property
    def partial(self) -> bool: ...
    @property
    def anomaly(self) -> Anomaly: ...
    @property
    def frame(self) -> bytes: ...
    @property
    def payload(self) -> bytes | None: ...
    def __getitem__(self, field: Field | str, /) -> Any: ...
    def set(
        self, field: Field | str, value: int | str | _Bytes | bytearray | IPv4Address | IPv6Address
    ) -> None: ...
    def replace(self, data: _Bytes, start: int = 0, stop: int | None = None) -> bool: ...

@final
class Column(Buffer):  # numbers only: `BufferError` for text and bytes
    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def to_list(self) -> list[Any]: ...
    @property
    def _dtype(self) -> str | None: ...
    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

@final
class Batch:
    def __len__(self) -> int: ...
    @property
    def columns(self) -> list[str]: ...
    def keys(self) -> list[str]: ...
    def __getitem__(self, name: str, /) -> Column: ...
    def __contains__(self, name: str, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def to_pandas(self) -> pd.DataFrame: ...
    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class Counter:
    @property
    def value(self) -> int: ...
    @property
    def sum(self) -> int: ...
    def __int__(self) -> int: ...

@final
class FlowRecord:
    @property
    def id(self) -> int: ...
    @property
    def client(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def vlan(self) -> list[int]: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def packets(self) -> tuple[int, int]: ...
    @property
    def bytes(self) -> tuple[int, int]: ...
    @property
    def state(self) -> tuple[State, State]: ...
    @property
    def reason(self) -> EndReason | None: ...
    @property
    def conn_state(self) -> str: ...
    @property
    def history(self) -> str: ...
    @property
    def handshake(self) -> bool: ...
    @property
    def midstream(self) -> bool: ...
    @property
    def rexmit(self) -> dict[str, tuple[int, int]]: ...
    @property
    def gaps(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...
    @property
    def anomalies(self) -> dict[str, int]: ...
    @property
    def digest(self) -> tuple[tuple[int, str] | None, tuple[int, str] | None]: ...
    def to_json(self) -> str: ...

@final
class Timer:
    def cancel(self) -> bool: ...

@final
class Endpoint:
    @property
    def side(self) -> Side: ...
    @property
    def ip(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def isn(self) -> int | None: ...
    @property
    def next_seq(self) -> int | None: ...
    @property
    def ack(self) -> int | None: ...
    @property
    def window(self) -> int | None: ...
    @property
    def mss(self) -> int | None: ...
    @property
    def rtt(self) -> float | None: ...
    @property
    def bytes(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def rexmits(self) -> int: ...
    @property
    def out_of_order(self) -> int: ...
    @property
    def keep_alives(self) -> int: ...
    @property
    def window_probes(self) -> int: ...
    @property
    def gaps(self) -> list[tuple[int, int]]: ...
    @property
    def offset(self) -> int: ...
    def read(self, n: int | None = None) -> _Bytes: ...
    def inject(self, data: _Bytes) -> None: ...
    def keep_order(self, on: bool = True) -> None: ...
    def peek(self, n: int | None = None) -> _Bytes: ...
    def peek_at(self, offset: int, n: int) -> _Bytes: ...
    @property
    def track(self) -> bool: ...
    @track.setter
    def track(self, on: bool, /) -> None: ...
    @property
    def reassemble(self) -> bool: ...
    @reassemble.setter
    def reassemble(self, on: bool, /) -> None: ...
    @property
    def depth(self) -> int | None: ...
    @depth.setter
    def depth(self, depth: int | None, /) -> None: ...
    @property
    def buffer(self) -> int: ...
    @buffer.setter
    def buffer(self, bytes: int, /) -> None: ...
    @property
    def overlap(self) -> _Overlap: ...
    @overlap.setter
    def overlap(self, name: _Overlap, /) -> None: ...
    @property
    def urgent(self) -> _Urgent: ...
    @urgent.setter
    def urgent(self, name: _Urgent, /) -> None: ...

@final
class FlowSocket:
    @property
    def client(self) -> Endpoint: ...
    @property
    def server(self) -> Endpoint: ...
    def __getitem__(self, side: Side | int, /) -> Endpoint: ...
    @property
    def id(self) -> int: ...
    @property
    def flow(self) -> FlowRecord: ...
    @property
    def start(self) -> float: ...
    @property
    def duration(self) -> float: ...
    @property
    def midstream(self) -> bool: ...
    @property
    def handshake(self) -> bool: ...
    @property
    def conn_state(self) -> str: ...
    @property
    def history(self) -> str: ...
    @property
    def ended(self) -> bool: ...
    @property
    def user(self) -> Any: ...
    @user.setter
    def user(self, value: object, /) -> None: ...
    @property
    def stack(self) -> Stack: ...
    @overload
    def on(
        self,
        event: EventType,
        handler: None = None,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Callable[[_F], _F]: ...
    @overload
    def on(
        self,
        event: EventType,
        handler: _F,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> _F: ...
    def emit(self, event: EventType) -> None: ...
    def stop(self) -> None: ...
    def drop(self) -> None: ...
    def reset(self) -> None: ...
    def translate(self, *, client: _Address | None = None, server: _Address | None = None) -> None: ...
    def timer(self, seconds: float, handler: _FlowHandler | None = None) -> Timer: ...

@final
class MonitorSocket:
    @overload
    def on(
        self,
        event: EventType,
        handler: None = None,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Callable[[_H], _H]: ...
    @overload
    def on(
        self,
        event: EventType,
        handler: _H,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> _H: ...
    def off(self, handler: Callable[..., object]) -> int: ...
    @overload
    def on_batch(
        self,
        event: EventType,
        handler: None = None,
        *,
        columns: _Columns = None,
        size: int = 0,
        side: Side | None = None,
        hook: _Hook = 2,
        filter: _Filter | None = None,
    ) -> Callable[[_B], _B]: ...
    @overload
    def on_batch(
        self,
        event: EventType,
        handler: _B,
        *,
        columns: _Columns = None,
        size: int = 0,
        side: Side | None = None,
        hook: _Hook = 2,
        filter: _Filter | None = None,
    ) -> _B: ...
    def batches(
        self,
        event: EventType,
        *,
        columns: _Columns = None,
        size: int = 4096,
        side: Side | None = None,
        hook: _Hook = 2,
        filter: _Filter | None = None,
    ) -> Pull[Batch]: ...
    def events(
        self,
        event: EventType,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Pull[tuple[FlowSocket | MonitorSocket, Event]]: ...
    def count(
        self,
        event: EventType,
        *,
        sum: Field | str | None = None,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Counter: ...
    def protocol(self, factory: Callable[[], Protocol]) -> None: ...
    def close(self) -> None: ...
    @property
    def filter(self) -> str: ...
    @property
    def stack(self) -> Stack: ...

@final
class MemoryPort:
    def __new__(cls, packets: Sequence[tuple[int, bytes]], *, link: int = 1, burst: int = 256) -> Self: ...
    @property
    def sent(self) -> list[bytes]: ...

@final
class CaptureWriter:
    def __new__(cls, path: str | PathLike[str], *, format: _Format | None = None) -> Self: ...
    def write(self, time_ns: int, frame: bytes, *, length: int | None = None, link: int = 1) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_error: object) -> None: ...

@final
class Capture:
    def __new__(
        cls,
        port: str | PathLike[str] | MemoryPort,
        path: str | PathLike[str],
        *,
        filter: str = "",
        snaplen: int | None = None,
        count: int | None = None,
        format: _Format | None = None,
    ) -> Self: ...
    def advance(self, seconds: float) -> bool: ...
    def statistics(self) -> dict[str, int]: ...
    def close(self) -> None: ...
    @property
    def live(self) -> bool: ...

@final
class Replay:
    def __new__(
        cls,
        path: str | PathLike[str],
        port: str | MemoryPort,
        *,
        speed: float = 1.0,
        rate: float | None = None,
        rounds: int | None = 1,
    ) -> Self: ...
    def advance(self, seconds: float) -> bool: ...
    def statistics(self) -> dict[str, int]: ...
    def close(self) -> None: ...
    @property
    def progress(self) -> tuple[int, int] | None: ...
    @property
    def warning(self) -> str | None: ...

@type_check_only
class _Port(TypedDict):
    port: str
    possible: bool
    obstacle: str | None
    note: str | None

@type_check_only
class _Interface(TypedDict):
    name: str
    index: int
    up: bool
    running: bool
    mtu: int
    mac: str | None
    driver: str | None
    queues: int | None
    offloads: list[str]
    ports: dict[str, _Port]

def anomalies() -> list[tuple[str, str, str]]: ...
def interfaces() -> list[_Interface]: ...
def drop_rights(user: str) -> None: ...
def drop_rights_at_run(user: str) -> None: ...

@final
class Pull(Generic[_T_co]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T_co: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> _T_co: ...
    @property
    def stack(self) -> Stack: ...
    def close(self) -> None: ...

@disjoint_base
class Stack:
    def __new__(
        cls,
        source: str | PathLike[str] | MemoryPort,
        sink: str | MemoryPort | None = None,
        *,
        checksum: Literal["auto", "verify", "ignore"] = "auto",
        midstream: bool = False,
        max_flows: int = 10_000_000,
        when_full: Literal["evict", "ignore"] = "evict",
        max_reassembly: int = ...,
        max_fragments: int = ...,
        fragment_overlap: _FragmentOverlap | None = None,
        decapsulate: bool | Collection[_Tunnel] | None = None,
        max_layers: int = 32,
        vlans: Literal["separate", "ignore"] = "separate",
        timeouts: Mapping[str, float] | None = None,
        emergency: Mapping[str, float] | None = None,
        on_error: Literal["raise", "log"] = "raise",
        on_failure: Literal["open", "closed"] = "open",
        seed: int | None = None,
        hosts: Mapping[str | IPv4Network | IPv6Network, _Overlap] | None = None,
    ) -> Self: ...
    def socket(
        self,
        kind: Kind | Literal[0, 1] = 0,
        filter: str = "",
        *,
        track: tuple[bool, bool] = ...,
        reassemble: bool | None = None,
        depth: int | None = None,
        buffer: int = ...,
        overlap: _Overlap = "first",
        urgent: _Urgent = "oob",
        compare: int | None = None,
        normalize: bool = False,
        digest: bool = False,
    ) -> MonitorSocket: ...
    def run(self, timeout: float | None = None) -> bool: ...
    def stop(self) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def _keep_records(self) -> None: ...
    @property
    def ended(self) -> bool: ...
    def _next_records(self, timeout: float | None = None) -> list[FlowRecord]: ...
    def timer(self, seconds: float, handler: Callable[[None, Event], object]) -> Timer: ...
    def inject(self, frame: _Bytes, port: int = 0) -> None: ...
    def statistics(self) -> _Statistics: ...
    @property
    def progress(self) -> tuple[int, int] | None: ...
    @property
    def warning(self) -> str | None: ...
    @property
    def live(self) -> bool: ...
    @property
    def source(self) -> str: ...
    @property
    def sink(self) -> str | None: ...

@type_check_only
class _PortStatistics(TypedDict):
    name: str
    received: int
    received_bytes: int
    dropped_by_kernel: int
    dropped: int
    unreadable: int
    sent: int
    sent_bytes: int
    send_failures: int

@type_check_only
class _Statistics(TypedDict):
    received: int
    received_bytes: int
    unreadable: int
    tcp: int
    not_tcp: int
    not_ip: int
    fragments: int
    orphans: int
    unwatched: int
    ignored: int
    evicted: int
    emergency: bool
    emergencies: int
    emergency_timeouts: int
    flows_opened: int
    flows_open: int
    flows_peak: int
    flow_memory: int
    reassembly: int
    reassembled: int
    fragments_timed_out: int
    fragments_shed: int
    fragments_discarded: int
    fragments_refused: int
    fragments_waiting: int
    fragment_memory: int
    fragment_overlap: int
    fragment_different_content: int
    fragment_teardrop: int
    fragment_too_long: int
    fragment_tiny: int
    handler_errors: int
    forwarded: int
    dropped_by_verdict: int
    resets: int
    injected: int
    normalized: int
    bypassed: int
    failures: int
    ports: list[_PortStatistics]
    malformed: dict[str, int]

# What the properties of the same names of `midsock.Stack` give: methods of its default socket.
@type_check_only
class _On(Interface):
    @overload
    def __call__(
        self,
        event: EventType,
        handler: None = None,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Callable[[_H], _H]: ...
    @overload
    def __call__(
        self,
        event: EventType,
        handler: _H,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> _H: ...

@type_check_only
class _OnBatch(Interface):
    @overload
    def __call__(
        self,
        event: EventType,
        handler: None = None,
        *,
        columns: _Columns = None,
        size: int = 0,
        side: Side | None = None,
        hook: _Hook = 2,
        filter: _Filter | None = None,
    ) -> Callable[[_B], _B]: ...
    @overload
    def __call__(
        self,
        event: EventType,
        handler: _B,
        *,
        columns: _Columns = None,
        size: int = 0,
        side: Side | None = None,
        hook: _Hook = 2,
        filter: _Filter | None = None,
    ) -> _B: ...

@type_check_only
class _Batches(Interface):
    def __call__(
        self,
        event: EventType,
        *,
        columns: _Columns = None,
        size: int = 4096,
        side: Side | None = None,
        hook: _Hook = 2,
        filter: _Filter | None = None,
    ) -> Pull[Batch]: ...

@type_check_only
class _Events(Interface):
    def __call__(
        self,
        event: EventType,
        *,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Pull[tuple[FlowSocket | MonitorSocket, Event]]: ...

@type_check_only
class _Count(Interface):
    def __call__(
        self,
        event: EventType,
        *,
        sum: Field | str | None = None,
        hook: _Hook = 2,
        side: Side | None = None,
        filter: _Filter | None = None,
    ) -> Counter: ...
