//! What can be asked of a packet, a flow and an event: one list for filters, columns and counters.

use std::net::IpAddr;

use super::{EventDetail, Scene};
use crate::flow::{FlowFlags, Rexmits};
use crate::port::LinkType;
use crate::tcp::Flags;
use crate::wire::TcpFlags;
use crate::wire::options::{self, Options};
use crate::{Nanos, Side};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Nanoseconds since the Unix epoch.
    Time,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A MAC address: six bytes.
    Mac,
    /// Bytes.
    Bytes,
    /// ASCII text.
    Text,
}

/// What a field is in a given scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    /// [`Type::Bool`] and all unsigned types.
    Int(u64),
    /// [`Type::Time`].
    Time(Nanos),
    /// [`Type::Ip`].
    Ip(IpAddr),
    /// [`Type::Mac`] and [`Type::Bytes`].
    Bytes(&'v [u8]),
    /// [`Type::Text`].
    Text(&'v str),
}

/// Which endpoint a field is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The client.
    Client,
    /// The server.
    Server,
    /// Who sent the packet.
    Sender,
    /// Who receives it.
    Receiver,
}

/// What is asked of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndField {
    /// Its state.
    State,
    /// Its address.
    Ip,
    /// Its port.
    Port,
    /// Its initial sequence number; none if its SYN was not seen.
    Isn,
    /// Its one beyond the highest sequence number it sent.
    NextSeq,
    /// Its highest sequence number acknowledged to it.
    Acked,
    /// Its receive window it advertised last, in bytes.
    WindowSize,
    /// Its maximum segment size it announced.
    Mss,
    /// Its smoothed round trip from here to the other end and back, in nanoseconds.
    Rtt,
    /// Its payload bytes it sent on the wire.
    Bytes,
    /// Its packets it sent.
    Packets,
    /// Its segments it retransmitted.
    Rexmits,
    /// Its segments that came before others that precede them.
    OutOfOrder,
}

impl EndField {
    const ALL: [EndField; 13] = [
        EndField::State,
        EndField::Ip,
        EndField::Port,
        EndField::Isn,
        EndField::NextSeq,
        EndField::Acked,
        EndField::WindowSize,
        EndField::Mss,
        EndField::Rtt,
        EndField::Bytes,
        EndField::Packets,
        EndField::Rexmits,
        EndField::OutOfOrder,
    ];

    fn name(self) -> &'static str {
        match self {
            EndField::State => "state",
            EndField::Ip => "ip",
            EndField::Port => "port",
            EndField::Isn => "isn",
            EndField::NextSeq => "next_seq",
            EndField::Acked => "acked",
            EndField::WindowSize => "window",
            EndField::Mss => "mss",
            EndField::Rtt => "rtt",
            EndField::Bytes => "bytes",
            EndField::Packets => "packets",
            EndField::Rexmits => "rexmits",
            EndField::OutOfOrder => "out_of_order",
        }
    }

    fn ty(self) -> Type {
        match self {
            EndField::State => Type::U8,
            EndField::Ip => Type::Ip,
            EndField::Port | EndField::Mss => Type::U16,
            EndField::Isn
            | EndField::NextSeq
            | EndField::Acked
            | EndField::WindowSize
            | EndField::OutOfOrder => Type::U32,
            EndField::Rtt | EndField::Bytes | EndField::Packets | EndField::Rexmits => Type::U64,
        }
    }
}

/// Something that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Source MAC address.
    EthSource,
    /// Destination MAC address.
    EthDestination,
    /// Outermost VLAN id; 0 without a tag.
    Vlan,
    /// Second VLAN id; 0 without one.
    VlanInner,
    /// Source address of the packet.
    IpSource,
    /// Destination address of the packet.
    IpDestination,
    /// IP version, 4 or 6.
    IpVersion,
    /// IPv4 time to live or IPv6 hop limit.
    IpTtl,
    /// IPv4 type of service or IPv6 traffic class: DSCP and ECN.
    IpTos,
    /// The last two bits of those: explicit congestion notification.
    IpEcn,
    /// Source port of the packet.
    SourcePort,
    /// Destination port of the packet.
    DestinationPort,
    /// Sequence number, as sent.
    Seq,
    /// Acknowledgement number, as sent.
    AckSeq,
    /// Window field, unscaled.
    Window,
    /// All control bits, FIN = 1 up to AE = 256.
    TcpFlags,
    /// FIN.
    Fin,
    /// SYN.
    Syn,
    /// RST.
    Rst,
    /// PSH.
    Psh,
    /// ACK.
    Ack,
    /// URG.
    Urg,
    /// ECE.
    Ece,
    /// CWR.
    Cwr,
    /// AE, formerly NS.
    Ae,
    /// Payload bytes on the wire.
    TcpLength,
    /// Urgent pointer.
    TcpUrgent,
    /// Maximum segment size option.
    TcpMss,
    /// Window scale option.
    TcpScale,
    /// Timestamp option: the sender's clock.
    TcpTsVal,
    /// Timestamp option: the echo.
    TcpTsEcr,
    /// SACK-permitted option.
    TcpSackPermitted,
    /// SACK option: number of blocks.
    TcpSackBlocks,
    /// TCP payload of the packet, as far as it was captured.
    Payload,
    /// Bytes of the frame on the wire.
    PacketLength,
    /// Bytes of the frame that were captured.
    PacketCaptured,
    /// Which of the stack's ports received it: 0 or 1.
    PacketPort,
    /// Which of the port's interfaces received it.
    PacketInterface,
    /// Number of the flow, from 0 in order of opening.
    FlowNumber,
    /// When the flow's first packet came.
    FlowStart,
    /// Nanoseconds from the flow's first packet to its last.
    FlowDuration,
    /// Packets of both sides.
    FlowPackets,
    /// Payload bytes of both sides on the wire.
    FlowBytes,
    /// The flow's first packet was no SYN.
    FlowMidstream,
    /// The whole handshake was seen.
    FlowHandshake,
    /// How the connection stands, as Zeek's `conn_state` has it.
    FlowConnState,
    /// What the connection went through, as Zeek's `history` has it.
    FlowHistory,
    /// Whose event: 0 the client's, 1 the server's.
    EventSide,
    /// The packet's time, or when the timer was due.
    EventTime,
    /// `ON_CONN_NEW_DATA`, `ON_GAP`: stream offset of the first byte.
    EventOffset,
    /// `ON_CONN_NEW_DATA`, `ON_GAP`: bytes; `ON_REXMIT`: repeated bytes.
    EventLength,
    /// `ON_TCP_STATE_CHANGE`: the state before.
    EventOld,
    /// `ON_TCP_STATE_CHANGE`: the state after.
    EventNew,
    /// `ON_CONN_END`: why.
    EventReason,
    /// `ON_REXMIT`: 0 SYN, 1 SYN/ACK, 2 FIN, 3 data.
    EventRexmit,
    /// `ON_REXMIT`: new bytes are among the repeated ones.
    EventPartial,
    /// `ON_ANOMALY`: the number of the condition.
    EventAnomaly,
    /// `ON_CONN_NEW_DATA`: the bytes. `ON_ANOMALY` of different content: those that came now.
    Data,
    /// `ON_ANOMALY` of different content: the bytes that were there before.
    OldData,
    /// Something of an endpoint.
    Endpoint(End, EndField),
}

const NAMED: [(Field, &str, Type); 59] = [
    (Field::EthSource, "eth.src", Type::Mac),
    (Field::EthDestination, "eth.dst", Type::Mac),
    (Field::Vlan, "eth.vlan", Type::U16),
    (Field::VlanInner, "eth.vlan_inner", Type::U16),
    (Field::IpSource, "ip.src", Type::Ip),
    (Field::IpDestination, "ip.dst", Type::Ip),
    (Field::IpVersion, "ip.version", Type::U8),
    (Field::IpTtl, "ip.ttl", Type::U8),
    (Field::IpTos, "ip.tos", Type::U8),
    (Field::IpEcn, "ip.ecn", Type::U8),
    (Field::SourcePort, "tcp.sport", Type::U16),
    (Field::DestinationPort, "tcp.dport", Type::U16),
    (Field::Seq, "tcp.seq", Type::U32),
    (Field::AckSeq, "tcp.ack_seq", Type::U32),
    (Field::Window, "tcp.window", Type::U16),
    (Field::TcpFlags, "tcp.flags", Type::U16),
    (Field::Fin, "tcp.fin", Type::Bool),
    (Field::Syn, "tcp.syn", Type::Bool),
    (Field::Rst, "tcp.rst", Type::Bool),
    (Field::Psh, "tcp.psh", Type::Bool),
    (Field::Ack, "tcp.ack", Type::Bool),
    (Field::Urg, "tcp.urg", Type::Bool),
    (Field::Ece, "tcp.ece", Type::Bool),
    (Field::Cwr, "tcp.cwr", Type::Bool),
    (Field::Ae, "tcp.ae", Type::Bool),
    (Field::TcpLength, "tcp.length", Type::U32),
    (Field::TcpUrgent, "tcp.urgent", Type::U16),
    (Field::TcpMss, "tcp.mss", Type::U16),
    (Field::TcpScale, "tcp.window_scale", Type::U8),
    (Field::TcpTsVal, "tcp.tsval", Type::U32),
    (Field::TcpTsEcr, "tcp.tsecr", Type::U32),
    (Field::TcpSackPermitted, "tcp.sack_permitted", Type::Bool),
    (Field::TcpSackBlocks, "tcp.sack_blocks", Type::U8),
    (Field::Payload, "tcp.payload", Type::Bytes),
    (Field::PacketLength, "packet.length", Type::U32),
    (Field::PacketCaptured, "packet.captured", Type::U32),
    (Field::PacketPort, "packet.port", Type::U8),
    (Field::PacketInterface, "packet.interface", Type::U16),
    (Field::FlowNumber, "flow.id", Type::U64),
    (Field::FlowStart, "flow.start", Type::Time),
    (Field::FlowDuration, "flow.duration", Type::U64),
    (Field::FlowPackets, "flow.packets", Type::U64),
    (Field::FlowBytes, "flow.bytes", Type::U64),
    (Field::FlowMidstream, "flow.midstream", Type::Bool),
    (Field::FlowHandshake, "flow.handshake", Type::Bool),
    (Field::FlowConnState, "flow.conn_state", Type::Text),
    (Field::FlowHistory, "flow.history", Type::Text),
    (Field::EventSide, "event.side", Type::U8),
    (Field::EventTime, "event.time", Type::Time),
    (Field::EventOffset, "event.offset", Type::U64),
    (Field::EventLength, "event.length", Type::U64),
    (Field::EventOld, "event.old", Type::U8),
    (Field::EventNew, "event.new", Type::U8),
    (Field::EventReason, "event.reason", Type::U8),
    (Field::EventRexmit, "event.rexmit", Type::U8),
    (Field::EventPartial, "event.partial", Type::Bool),
    (Field::EventAnomaly, "event.anomaly", Type::U8),
    (Field::Data, "event.data", Type::Bytes),
    (Field::OldData, "event.old_data", Type::Bytes),
];

impl End {
    const ALL: [(End, &'static str); 4] = [
        (End::Client, "client"),
        (End::Server, "server"),
        (End::Sender, "sender"),
        (End::Receiver, "receiver"),
    ];

    fn side(self, sender: Side) -> Side {
        match self {
            End::Client => Side::Client,
            End::Server => Side::Server,
            End::Sender => sender,
            End::Receiver => sender.other(),
        }
    }
}

impl Field {
    /// Every field with its name and type.
    pub fn all() -> impl Iterator<Item = (Field, String, Type)> {
        let named = NAMED.into_iter().map(|(field, name, ty)| (field, name.to_owned(), ty));
        let ends = End::ALL.into_iter().flat_map(|(end, end_name)| {
            EndField::ALL.into_iter().map(move |field| {
                (Field::Endpoint(end, field), format!("{end_name}.{}", field.name()), field.ty())
            })
        });
        named.chain(ends)
    }

    /// The field of this name, such as `tcp.seq` or `client.state`.
    pub fn from_name(name: &str) -> Option<Field> {
        Field::all().find(|(_, known, _)| known == name).map(|(field, ..)| field)
    }

    /// Its name.
    pub fn name(self) -> String {
        Field::all().find(|(field, ..)| *field == self).map_or_else(String::new, |(_, name, _)| name)
    }

    /// Its type.
    pub fn ty(self) -> Type {
        match self {
            Field::Endpoint(_, field) => field.ty(),
            _ => NAMED.iter().find(|(field, ..)| *field == self).map_or(Type::Bool, |(.., ty)| *ty),
        }
    }

    /// Whether it looks at bytes of the stream.
    pub fn wants_data(self) -> bool {
        self == Field::Data
    }

    /// What it is in this scene; nothing where it does not apply.
    pub fn get<'s>(self, scene: &Scene<'s>) -> Option<Value<'s>> {
        match self {
            Field::EthSource => mac(scene, 6),
            Field::EthDestination => mac(scene, 0),
            Field::FlowNumber
            | Field::FlowStart
            | Field::FlowDuration
            | Field::FlowPackets
            | Field::FlowBytes
            | Field::FlowMidstream
            | Field::FlowHandshake
            | Field::FlowConnState
            | Field::FlowHistory => self.of_flow(scene),
            Field::EventSide
            | Field::EventTime
            | Field::EventOffset
            | Field::EventLength
            | Field::EventOld
            | Field::EventNew
            | Field::EventReason
            | Field::EventRexmit
            | Field::EventPartial
            | Field::EventAnomaly
            | Field::Data
            | Field::OldData => self.of_event(scene),
            Field::PacketLength => scene.packet.map(|packet| Value::Int(packet.length.into())),
            Field::PacketCaptured => scene.packet.map(|packet| Value::Int(packet.captured.into())),
            Field::PacketPort => scene.packet.map(|_| Value::Int(scene.port.into())),
            Field::PacketInterface => scene.packet.map(|packet| Value::Int(packet.interface.into())),
            Field::Endpoint(end, field) => field.get(scene, end.side(scene.sender)),
            _ => self.of_segment(scene),
        }
    }

    fn of_segment<'s>(self, scene: &Scene<'s>) -> Option<Value<'s>> {
        let (segment, frame) = (scene.segment?, scene.frame);
        let flag = |flag: TcpFlags| Some(Value::from(segment.flags.contains(flag)));
        let option =
            |get: fn(&Options) -> Option<u64>| get(&options::parse(segment.options(frame))).map(Value::Int);
        match self {
            Field::Vlan => int(segment.vlan[0]),
            Field::VlanInner => int(segment.vlan[1]),
            Field::IpSource => ip(segment.source(frame)),
            Field::IpDestination => ip(segment.destination(frame)),
            Field::IpVersion => int(segment.version),
            Field::IpTtl => int(segment.ttl(frame)),
            Field::IpTos => int(segment.tos(frame)),
            Field::IpEcn => int(segment.tos(frame) & 3),
            Field::SourcePort => int(segment.source_port(frame)),
            Field::DestinationPort => int(segment.destination_port(frame)),
            Field::Seq => int(segment.seq),
            Field::AckSeq => int(segment.ack),
            Field::Window => int(segment.window),
            Field::TcpFlags => int(segment.flags.bits()),
            Field::Fin => flag(TcpFlags::FIN),
            Field::Syn => flag(TcpFlags::SYN),
            Field::Rst => flag(TcpFlags::RST),
            Field::Psh => flag(TcpFlags::PSH),
            Field::Ack => flag(TcpFlags::ACK),
            Field::Urg => flag(TcpFlags::URG),
            Field::Ece => flag(TcpFlags::ECE),
            Field::Cwr => flag(TcpFlags::CWR),
            Field::Ae => flag(TcpFlags::AE),
            Field::TcpLength => int(segment.length),
            Field::TcpUrgent => int(segment.urgent(frame)),
            Field::TcpMss => option(|options| options.mss.map(u64::from)),
            Field::TcpScale => option(|options| options.window_scale.map(u64::from)),
            Field::TcpTsVal => option(|options| options.timestamps.map(|(value, _)| value.into())),
            Field::TcpTsEcr => option(|options| options.timestamps.map(|(_, echo)| echo.into())),
            Field::TcpSackPermitted => option(|options| Some(options.sack_permitted.into())),
            Field::TcpSackBlocks => option(|options| Some(options.sack_count.into())),
            Field::Payload => Some(Value::Bytes(segment.payload(frame))),
            _ => None,
        }
    }

    fn of_flow<'s>(self, scene: &Scene<'s>) -> Option<Value<'s>> {
        let view = scene.flow?;
        let flow = view.flow;
        match self {
            Field::FlowNumber => int(view.number),
            Field::FlowStart => Some(Value::Time(view.start)),
            Field::FlowDuration => int(flow.last.saturating_sub(view.start).max(0) as u64),
            Field::FlowPackets => int(flow.packets[0].wrapping_add(flow.packets[1])),
            Field::FlowBytes => int(flow.bytes[0].wrapping_add(flow.bytes[1])),
            Field::FlowMidstream => Some(flow.flags.any(FlowFlags::MIDSTREAM).into()),
            Field::FlowHandshake => Some(flow.flags.any(FlowFlags::HANDSHAKE).into()),
            Field::FlowConnState => Some(Value::Text(flow.conn_state(view.history).name())),
            Field::FlowHistory => Some(Value::Text(view.history.letters())),
            _ => None,
        }
    }

    fn of_event<'s>(self, scene: &Scene<'s>) -> Option<Value<'s>> {
        let event = scene.event;
        match (self, &event.detail) {
            (Field::EventSide, _) => int(event.side as u8),
            (Field::EventTime, _) => Some(Value::Time(event.time)),
            (
                Field::EventOffset,
                EventDetail::Bytes { offset, .. } | EventDetail::Conflict { offset, .. },
            ) => int(*offset),
            (
                Field::EventLength,
                EventDetail::Bytes { length, .. } | EventDetail::Conflict { length, .. },
            ) => int(*length),
            (Field::EventLength, EventDetail::Rexmit(rexmit)) => int(rexmit.repeated),
            (Field::EventOld, EventDetail::StateChange(old, _)) => int(*old as u8),
            (Field::EventNew, EventDetail::StateChange(_, new)) => int(*new as u8),
            (Field::EventReason, EventDetail::End(reason)) => int(*reason as u8),
            (Field::EventRexmit, EventDetail::Rexmit(rexmit)) => int(rexmit.kind as u8),
            (Field::EventPartial, EventDetail::Rexmit(rexmit)) => Some(rexmit.partial.into()),
            (Field::EventAnomaly, detail) => detail.anomaly().and_then(|anomaly| int(anomaly as u8)),
            (Field::Data, EventDetail::Bytes { .. } | EventDetail::Conflict { .. }) => {
                Some(Value::Bytes(scene.data))
            }
            (Field::OldData, EventDetail::Conflict { .. }) => Some(Value::Bytes(scene.old)),
            _ => None,
        }
    }
}

impl EndField {
    fn get<'s>(self, scene: &Scene<'s>, side: Side) -> Option<Value<'s>> {
        let view = scene.flow?;
        let (i, flow) = (side.index(), view.flow);
        let (endpoint, details) = (&flow.ends[i], &view.details[i]);
        let when = |bits: Flags, seq: u32| endpoint.flags.any(bits).then_some(Value::Int(seq.into()));
        match self {
            EndField::State => int(endpoint.state as u8),
            EndField::Ip => Some(Value::Ip(flow.address(side).ip())),
            EndField::Port => int(flow.address(side).port()),
            EndField::Isn => when(Flags::SYN, details.isn.0),
            EndField::NextSeq => when(Flags::SEEN, endpoint.next.0),
            EndField::Acked => when(Flags::ACKED, endpoint.acked.0),
            EndField::WindowSize => {
                let other = &flow.ends[side.other().index()];
                other.flags.any(Flags::ACKED).then(|| Value::Int(other.allowance().into()))
            }
            EndField::Mss => (details.mss != 0).then_some(Value::Int(details.mss.into())),
            EndField::Rtt => details.rtt.smoothed().map(|rtt| Value::Int(rtt.max(0) as u64)),
            EndField::Bytes => int(flow.bytes[i]),
            EndField::Packets => int(flow.packets[i]),
            EndField::Rexmits => int(view.trouble.map_or(0, |trouble| Rexmits::total(&trouble.rexmits[i]))),
            EndField::OutOfOrder => int(view.trouble.map_or(0, |trouble| trouble.out_of_order[i])),
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Int(value.into())
    }
}

#[allow(clippy::unnecessary_wraps)] // one of many answers to "what is it here", some of which are "nothing"
fn int<'v>(value: impl Into<u64>) -> Option<Value<'v>> {
    Some(Value::Int(value.into()))
}

fn ip<'v>(bytes: &[u8]) -> Option<Value<'v>> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(Value::Ip)
}

fn mac<'s>(scene: &Scene<'s>, at: usize) -> Option<Value<'s>> {
    scene.packet.filter(|packet| packet.link == LinkType::Ethernet)?;
    scene.frame.get(at..at + 6).map(Value::Bytes)
}
