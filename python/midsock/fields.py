"""Fields: what filters, columns and `event[field]` can ask.

A field compared with something is a filter: `(tcp.dport == 80) & ~tcp.syn`. Comparisons with a field that
does not apply to the packet at hand are false.
"""

from typing import Final

from midsock._midsock import Field


class _Eth:
    """Fields of the link layer."""

    src: Final = Field("eth.src")
    """Source MAC address."""
    dst: Final = Field("eth.dst")
    """Destination MAC address."""
    vlan: Final = Field("eth.vlan")
    """Outermost VLAN id; 0 without a tag."""
    vlan_inner: Final = Field("eth.vlan_inner")
    """Second VLAN id; 0 without one."""


class _Ip:
    """Fields of the IP header."""

    src: Final = Field("ip.src")
    """Source address of the packet."""
    dst: Final = Field("ip.dst")
    """Destination address of the packet."""
    version: Final = Field("ip.version")
    """4 or 6."""
    ttl: Final = Field("ip.ttl")
    """Time to live (IPv4) or hop limit (IPv6)."""
    tos: Final = Field("ip.tos")
    """Type of service (IPv4) or traffic class (IPv6): DSCP and ECN."""
    ecn: Final = Field("ip.ecn")
    """Its last two bits, ECN (RFC 3168): 0 not capable, 1 and 2 capable, 3 congestion experienced."""


class _Tcp:
    """Fields of the TCP header."""

    sport: Final = Field("tcp.sport")
    """Source port of the packet."""
    dport: Final = Field("tcp.dport")
    """Destination port of the packet."""
    seq: Final = Field("tcp.seq")
    """Sequence number, as sent."""
    ack_seq: Final = Field("tcp.ack_seq")
    """Acknowledgement number, as sent."""
    window: Final = Field("tcp.window")
    """Window field, unscaled."""
    flags: Final = Field("tcp.flags")
    """All control bits as a number: FIN = 1 up to AE = 256."""
    fin: Final = Field("tcp.fin")
    """The FIN bit."""
    syn: Final = Field("tcp.syn")
    """The SYN bit."""
    rst: Final = Field("tcp.rst")
    """The RST bit."""
    psh: Final = Field("tcp.psh")
    """The PSH bit."""
    ack: Final = Field("tcp.ack")
    """The ACK bit."""
    urg: Final = Field("tcp.urg")
    """The URG bit."""
    ece: Final = Field("tcp.ece")
    """The ECE bit."""
    cwr: Final = Field("tcp.cwr")
    """The CWR bit."""
    ae: Final = Field("tcp.ae")
    """The AE bit of accurate ECN, formerly NS."""
    length: Final = Field("tcp.length")
    """Payload bytes on the wire."""
    urgent: Final = Field("tcp.urgent")
    """Urgent pointer."""
    mss: Final = Field("tcp.mss")
    """Maximum segment size option."""
    window_scale: Final = Field("tcp.window_scale")
    """Window scale option."""
    tsval: Final = Field("tcp.tsval")
    """Timestamp option: the sender's clock."""
    tsecr: Final = Field("tcp.tsecr")
    """Timestamp option: the echo."""
    sack_permitted: Final = Field("tcp.sack_permitted")
    """SACK-permitted option."""
    sack_blocks: Final = Field("tcp.sack_blocks")
    """SACK option: number of blocks."""
    payload: Final = Field("tcp.payload")
    """TCP payload of the packet, as far as it was captured."""


class _Packet:
    """Fields of the packet's record."""

    length: Final = Field("packet.length")
    """Bytes of the frame on the wire."""
    captured: Final = Field("packet.captured")
    """Bytes of the frame that were captured."""
    port: Final = Field("packet.port")
    """Which of the stack's ports received it: 0 or 1."""
    interface: Final = Field("packet.interface")
    """Which of the port's interfaces received it."""


class _Flow:
    """Fields of the flow."""

    id: Final = Field("flow.id")
    """Number of the flow, from 0 in order of opening."""
    start: Final = Field("flow.start")
    """When the flow's first packet came, in nanoseconds since the Unix epoch."""
    duration: Final = Field("flow.duration")
    """Nanoseconds from the flow's first packet to its last."""
    packets: Final = Field("flow.packets")
    """Packets of both sides."""
    bytes: Final = Field("flow.bytes")
    """Payload bytes of both sides on the wire."""
    midstream: Final = Field("flow.midstream")
    """The flow's first packet was no SYN."""
    handshake: Final = Field("flow.handshake")
    """The whole handshake was seen."""
    conn_state: Final = Field("flow.conn_state")
    """How the connection stands, as Zeek's `conn_state` has it: text such as `"SF"`."""
    history: Final = Field("flow.history")
    """What the connection went through, as Zeek's `history` has it: text such as `"ShADadFf"`."""


class _Event:
    """Fields of the event itself."""

    side: Final = Field("event.side")
    """Whose event: a `Side`."""
    time: Final = Field("event.time")
    """The packet's time, or when the timer was due, in nanoseconds since the Unix epoch."""
    offset: Final = Field("event.offset")
    """`ON_CONN_NEW_DATA`, `ON_GAP`, `ON_ANOMALY` of different content: stream offset of the first byte."""
    length: Final = Field("event.length")
    """`ON_CONN_NEW_DATA`, `ON_GAP`, different content: bytes. `ON_REXMIT`: repeated bytes."""
    old: Final = Field("event.old")
    """`ON_TCP_STATE_CHANGE`: the `State` before."""
    new: Final = Field("event.new")
    """`ON_TCP_STATE_CHANGE`: the `State` after."""
    reason: Final = Field("event.reason")
    """`ON_CONN_END`: the `EndReason`."""
    rexmit: Final = Field("event.rexmit")
    """`ON_REXMIT`: the `RexmitKind`."""
    partial: Final = Field("event.partial")
    """`ON_REXMIT`: new bytes are among the repeated ones."""
    anomaly: Final = Field("event.anomaly")
    """`ON_ANOMALY`: the `Anomaly`."""
    data: Final = Field("event.data")
    """`ON_CONN_NEW_DATA`: the bytes. `ON_ANOMALY` of different content: those that came now."""
    old_data: Final = Field("event.old_data")
    """`ON_ANOMALY` of different content: the bytes that were there before."""


class _Endpoint:
    """Fields of an endpoint of the flow."""

    def __init__(self, end: str) -> None:
        """Fields of this end: `client`, `server`, `sender` or `receiver`."""
        self.state: Final = Field(f"{end}.state")
        """Its `State`."""
        self.ip: Final = Field(f"{end}.ip")
        """Its address."""
        self.port: Final = Field(f"{end}.port")
        """Its port."""
        self.isn: Final = Field(f"{end}.isn")
        """Its initial sequence number; none if its SYN was not seen."""
        self.next_seq: Final = Field(f"{end}.next_seq")
        """One beyond the highest sequence number it sent."""
        self.acked: Final = Field(f"{end}.acked")
        """The highest sequence number acknowledged to it."""
        self.window: Final = Field(f"{end}.window")
        """The receive window it advertised last, in bytes."""
        self.mss: Final = Field(f"{end}.mss")
        """The maximum segment size it announced."""
        self.rtt: Final = Field(f"{end}.rtt")
        """Smoothed round trip from here to the other end and back, in nanoseconds."""
        self.bytes: Final = Field(f"{end}.bytes")
        """Payload bytes it sent on the wire."""
        self.packets: Final = Field(f"{end}.packets")
        """Packets it sent."""
        self.rexmits: Final = Field(f"{end}.rexmits")
        """Segments it retransmitted."""
        self.out_of_order: Final = Field(f"{end}.out_of_order")
        """Segments that came before others that precede them."""


eth: Final = _Eth()
ip: Final = _Ip()
tcp: Final = _Tcp()
packet: Final = _Packet()
flow: Final = _Flow()
event: Final = _Event()
client: Final = _Endpoint("client")
server: Final = _Endpoint("server")
sender: Final = _Endpoint("sender")
receiver: Final = _Endpoint("receiver")
payload: Final = tcp.payload
"""TCP payload of the packet: the same as `tcp.payload`."""
FIELDS: Final = tuple(Field.names())
"""Names of all fields."""
