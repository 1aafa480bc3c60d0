use std::net::SocketAddr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt64Type};
use arrow_array::{Array, RecordBatch};

use super::field::{End, EndField};
use super::*;
use crate::Side::{self, Client, Server};
use crate::flow::{EndReason, Flow, FlowExtra, FlowTable, HashKey, Key};
use crate::port::{ChecksumState, LinkType, Packet};
use crate::scope::{Scope, Tuple};
use crate::tcp::{Rexmit, RexmitKind, State};
use crate::wire::{self, Segment, TcpFlags, TcpFrame};

/// A packet of a flow, and an event about it.
struct Stage {
    event: Event,
    packet: Packet,
    frame: Vec<u8>,
    segment: Segment,
    table: FlowTable<()>,
    place: u32,
    data: Vec<u8>,
}

fn ends() -> [SocketAddr; 2] {
    ["192.0.2.1:4000".parse().unwrap(), "198.51.100.1:80".parse().unwrap()]
}

impl Stage {
    fn new(kind: Kind, detail: EventDetail) -> Stage {
        let [client, server] = ends();
        let frame = TcpFrame::new(client, server)
            .vlan(&[7])
            .ttl(63)
            .tos(4)
            .seq(1000)
            .ack(2000)
            .window(500)
            .flags(TcpFlags::ACK | TcpFlags::PSH)
            .mss(1400)
            .payload(b"GET /index.html")
            .build();
        let mut segment = Segment::default();
        wire::decode(&frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
        let length = frame.len() as u32;
        let (link, checksum) = (LinkType::Ethernet, ChecksumState::Unknown);
        let packet = Packet { time: 9, offset: 0, captured: length, length, link, checksum, interface: 3 };
        let mut table = FlowTable::new(HashKey::from_seed(1), 10);
        let (key, _) = Key::between(client, server, [7, 0]);
        let mut flow = Flow { key, bytes: [10, 20], packets: [3, 4], last: 109, ..Flow::default() };
        flow.ends[0].state = State::Established;
        flow.ends[1].state = State::SynReceived;
        let hash = table.hash(&key);
        let place = table.insert(hash, flow, 9, 0);
        let event = Event { kind, hook: Hook::PostTcp, side: Client, time: 9, detail };
        Stage { event, packet, frame, segment, table, place, data: b"hello".to_vec() }
    }

    fn scene(&self) -> Scene<'_> {
        let extra: &FlowExtra<()> = self.table.extra(self.place);
        Scene {
            event: &self.event,
            packet: Some(&self.packet),
            port: 1,
            frame: &self.frame,
            segment: Some(&self.segment),
            sender: Client,
            flow: Some(FlowView::new(self.table.flow(self.place), extra)),
            data: &self.data,
            old: b"",
        }
    }

    fn holds(&self, expr: Result<Expr, ExprError>) -> bool {
        expr.unwrap().holds(&self.scene())
    }
}

fn field(name: &str) -> Field {
    Field::from_name(name).unwrap_or_else(|| panic!("{name}"))
}

fn packet() -> Stage {
    Stage::new(Kind::PktIn, EventDetail::None)
}

fn number(name: &str, comparison: Comparison, number: i128) -> Result<Expr, ExprError> {
    Expr::number(field(name), comparison, number)
}

#[test]
fn every_field_has_a_name_of_its_own_and_a_value_of_its_type() {
    let mut names = std::collections::HashSet::new();
    let stages = [
        packet(),
        Stage::new(Kind::NewData, EventDetail::Bytes { offset: 7, length: 5 }),
        Stage::new(Kind::StateChange, EventDetail::StateChange(State::Listen, State::SynReceived)),
        Stage::new(Kind::ConnEnd, EventDetail::End(EndReason::Reset)),
        Stage::new(Kind::Anomaly, EventDetail::Anomaly(crate::tcp::Anomaly::BadFlags)),
        Stage::new(
            Kind::Rexmit,
            EventDetail::Rexmit(Rexmit { kind: RexmitKind::Fin, repeated: 3, partial: true }),
        ),
    ];
    let mut found = 0;
    for (field, name, ty) in Field::all() {
        assert!(names.insert(name.clone()), "{name} twice");
        assert_eq!((Field::from_name(&name), field.name(), field.ty()), (Some(field), name.clone(), ty));
        for stage in &stages {
            let Some(value) = field.get(&stage.scene()) else { continue };
            found += 1;
            let limit = match ty {
                Type::Bool => 1,
                Type::U8 => u8::MAX.into(),
                Type::U16 => u16::MAX.into(),
                Type::U32 => u32::MAX.into(),
                _ => u64::MAX,
            };
            match (ty, value) {
                (Type::Time, Value::Time(_))
                | (Type::Ip, Value::Ip(_))
                | (Type::Bytes, Value::Bytes(_))
                | (Type::Text, Value::Text(_)) => {}
                (Type::Mac, Value::Bytes(bytes)) => assert_eq!(bytes.len(), 6),
                (_, Value::Int(value)) => assert!(value <= limit, "{name}"),
                _ => panic!("{name} is {value:?}, not {ty:?}"),
            }
        }
        // Without packet and flow a field does not apply, but does no harm.
        let event = &stages[0].event;
        let bare = Scene {
            event,
            packet: None,
            port: 0,
            frame: &[],
            segment: None,
            sender: Client,
            flow: None,
            data: &[],
            old: &[],
        };
        let _ = field.get(&bare);
    }
    assert!(found > 400, "{found}");
    assert_eq!(Field::from_name("tcp.nonsense"), None);
}

#[test]
fn fields_say_what_is_there() {
    let stage = packet();
    for (name, value) in [
        ("eth.vlan", 7),
        ("ip.version", 4),
        ("ip.ttl", 63),
        ("ip.tos", 4),
        ("tcp.sport", 4000),
        ("tcp.dport", 80),
        ("tcp.seq", 1000),
        ("tcp.ack_seq", 2000),
        ("tcp.window", 500),
        ("tcp.flags", 0x18),
        ("tcp.length", 15),
        ("tcp.mss", 1400),
        ("packet.port", 1),
        ("packet.interface", 3),
        ("flow.id", 0),
        ("flow.start", 9),
        ("flow.duration", 100),
        ("flow.packets", 7),
        ("flow.bytes", 30),
        ("client.port", 4000),
        ("server.port", 80),
        ("sender.port", 4000),
        ("receiver.port", 80),
        ("client.state", 4),
        ("server.state", 3),
        ("client.bytes", 10),
        ("server.packets", 4),
        ("event.side", 0),
        ("event.time", 9),
        ("client.rexmits", 0),
    ] {
        assert!(stage.holds(number(name, Comparison::Eq, value)), "{name}");
        assert!(!stage.holds(number(name, Comparison::Ne, value)), "{name}");
    }
    assert_eq!(field("client.state"), Field::Endpoint(End::Client, EndField::State));
}

#[test]
fn comparisons_of_numbers() {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let stage = packet();
    for (comparison, below, same, above) in [
        (Eq, false, true, false),
        (Ne, true, false, true),
        (Lt, false, false, true),
        (Le, false, true, true),
        (Gt, true, false, false),
        (Ge, true, true, false),
    ] {
        for (other, expected) in [(999, below), (1000, same), (1001, above)] {
            assert_eq!(stage.holds(number("tcp.seq", comparison, other)), expected, "{comparison:?} {other}");
        }
        // Numbers that no field can have are compared all the same.
        assert_eq!(stage.holds(number("tcp.seq", comparison, -1)), below);
        assert_eq!(stage.holds(number("tcp.seq", comparison, i128::MAX)), above);
    }
    let both = |a, comparison, b| stage.holds(Expr::fields(field(a), comparison, field(b)));
    assert!(both("tcp.seq", Lt, "tcp.ack_seq") && !both("tcp.ack_seq", Lt, "tcp.seq"));
    assert!(both("ip.src", Eq, "client.ip") && both("ip.src", Ne, "ip.dst"));
    assert!(both("eth.src", Ne, "eth.dst") && both("tcp.payload", Eq, "tcp.payload"));
    assert!(stage.holds(Expr::numbers(field("tcp.dport"), vec![443, 80, 80, -5])));
    assert!(!stage.holds(Expr::numbers(field("tcp.dport"), vec![])));
}

#[test]
fn flags_addresses_and_bytes() {
    let stage = packet();
    assert!(stage.holds(Expr::flag(Field::Ack)) && !stage.holds(Expr::flag(Field::Syn)));
    let networks = |name: &str, nets: &[&str]| {
        stage.holds(Expr::networks(field(name), nets.iter().map(|net| net.parse().unwrap()).collect()))
    };
    assert!(
        networks("ip.src", &["10.0.0.0/8", "192.0.2.0/24"]) && !networks("ip.dst", &["192.0.2.0/24", "::/0"])
    );
    assert!(networks("server.ip", &["198.51.100.1/32"]));
    assert!(stage.holds(Expr::starts_with(Field::Payload, b"GET ".to_vec())));
    assert!(!stage.holds(Expr::starts_with(Field::Payload, b"POST".to_vec())));
    assert!(
        stage.holds(Expr::contains(Field::Payload, b"index"))
            && stage.holds(Expr::contains(Field::Payload, b""))
    );
    assert!(stage.holds(Expr::matches(Field::Payload, r"^GET /\w+\.html$")));
    assert!(!stage.holds(Expr::matches(Field::Payload, r"^get")));
    assert!(stage.holds(Expr::matches(Field::Payload, r"(?i)^get")));
    assert!(stage.holds(Expr::equals(Field::Payload, b"GET /index.html".to_vec())));
    let source = stage.frame[6..12].to_vec();
    assert!(stage.holds(Expr::equals(Field::EthSource, source.clone())));
    assert!(!stage.holds(Expr::equals(Field::EthDestination, source)));
}

#[test]
fn what_does_not_apply_is_false_and_its_negation_true() {
    let stage = packet();
    assert!(!stage.holds(number("tcp.tsval", Comparison::Ge, 0)));
    assert!(!stage.holds(number("tcp.tsval", Comparison::Lt, i128::MAX)));
    assert!(stage.holds(number("tcp.tsval", Comparison::Ge, 0).unwrap().negate()));
    assert!(!stage.holds(Expr::fields(Field::TcpTsVal, Comparison::Ne, Field::Seq)));
    assert!(!stage.holds(Expr::contains(Field::Data, b"")), "no data in a packet's event");
}

#[test]
fn and_or_not() {
    let stage = packet();
    let (yes, no) = (|| Expr::flag(Field::Ack).unwrap(), || Expr::flag(Field::Syn).unwrap());
    for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
        let make = |value: bool| if value { yes() } else { no() };
        assert_eq!(stage.holds(make(a).and(make(b))), a && b);
        assert_eq!(stage.holds(make(a).or(make(b))), a || b);
        assert_eq!(stage.holds(make(a).negate()), !a);
    }
}

#[test]
fn what_does_not_suit_a_type_is_an_error_with_advice() {
    let message = |expr: Result<Expr, ExprError>| expr.unwrap_err().to_string();
    assert_eq!(
        message(Expr::flag(Field::Seq)),
        "tcp.seq is a number: compare it with a number by == != < <= > >=, or with several by .isin([…])"
    );
    assert!(message(number("ip.src", Comparison::Eq, 1)).starts_with("ip.src is an IP address: "));
    assert!(message(Expr::contains(Field::EthSource, b"x")).starts_with("eth.src is a MAC address: "));
    assert!(message(Expr::networks(Field::Payload, vec![])).starts_with("tcp.payload is bytes: "));
    assert!(message(Expr::starts_with(Field::Syn, vec![])).starts_with("tcp.syn is a flag: "));
    assert!(Expr::equals(Field::EthSource, vec![1, 2]).is_err());
    assert!(Expr::fields(Field::Seq, Comparison::Eq, Field::IpSource).is_err());
    assert!(Expr::fields(Field::IpSource, Comparison::Lt, Field::IpDestination).is_err());
    assert!(Expr::numbers(Field::Data, vec![]).is_err());
    assert!(message(Expr::matches(Field::Payload, "(")).contains("unclosed group"));
}

#[test]
fn filters_nest_up_to_a_cap() {
    let mut expr = Expr::flag(Field::Ack).unwrap();
    for _ in 1..500 {
        expr = expr.negate().unwrap();
    }
    assert_eq!(expr.clone().negate().unwrap_err(), ExprError::Depth);
    assert_eq!(expr.clone().and(Expr::flag(Field::Ack).unwrap()).unwrap_err(), ExprError::Depth);
    assert!(!expr.holds(&packet().scene()));
    assert_eq!(expr.to_string().len(), 499 + "tcp.ack".len());
}

#[test]
fn one_filter_has_one_text() {
    let text = |expr: Result<Expr, ExprError>| expr.unwrap().to_string();
    let syn_only = Expr::flag(Field::Syn).unwrap().and(Expr::flag(Field::Ack).unwrap().negate().unwrap());
    assert_eq!(text(syn_only), "(tcp.syn & ~tcp.ack)");
    assert_eq!(text(number("tcp.seq", Comparison::Ge, 5)), "(tcp.seq >= 5)");
    assert_eq!(text(Expr::numbers(Field::SourcePort, vec![3, 1, 3])), "tcp.sport.isin([1, 3])");
    assert_eq!(text(Expr::equals(Field::Payload, b"a\"\\\n".to_vec())), r#"(tcp.payload == b"a\"\\\n")"#);
    assert_eq!(text(Expr::contains(Field::Data, b"x")), r#"event.data.contains(b"x")"#);
    assert_eq!(text(Expr::starts_with(Field::Data, b"x".to_vec())), r#"event.data.startswith(b"x")"#);
    assert_eq!(text(Expr::matches(Field::Data, "a|b")), r#"event.data.matches("a|b")"#);
    assert_eq!(text(Expr::fields(Field::Seq, Comparison::Lt, Field::AckSeq)), "(tcp.seq < tcp.ack_seq)");
    let networks = |nets: &[&str]| {
        text(Expr::networks(Field::IpSource, nets.iter().map(|net| net.parse().unwrap()).collect()))
    };
    assert_eq!(networks(&["10.1.0.0/8", "192.0.2.1/32"]), networks(&["192.0.2.1/32", "10.0.0.0/8"]));
}

#[test]
fn filters_know_whether_they_look_at_the_stream() {
    assert!(Expr::contains(Field::Data, b"x").unwrap().negate().unwrap().wants_data());
    assert!(!Expr::contains(Field::Payload, b"x").unwrap().wants_data());
}

/// What a program did.
#[derive(Debug, Default, PartialEq)]
struct Done {
    actions: Vec<u32>,
    asked: Vec<(u32, u32)>,
}

impl Outlet for Done {
    fn act(&mut self, action: Action, _: &Scene<'_>) {
        let (Action::Call(HandlerId(n)) | Action::Count(CountId(n)) | Action::Batch(BatchId(n))) = action;
        self.actions.push(n);
    }

    fn ask(&mut self, filter: u32, node: u32, _: &Scene<'_>) {
        self.asked.push((filter, node));
    }
}

fn wish(event: impl Into<EventId>, handler: u32) -> Registration {
    let (hook, action) = (Hook::PostTcp, Action::Call(HandlerId(handler)));
    Registration { event: event.into(), hook, side: None, action }
}

fn tuple() -> Tuple {
    let [client, server] = ends();
    Tuple {
        source: client.ip(),
        source_port: client.port(),
        destination: server.ip(),
        destination_port: server.port(),
        vlan: [0; 2],
        protocol: 6,
    }
}

fn registry() -> (Registry, MonitorId) {
    let mut registry = Registry::default();
    let monitor = registry.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    (registry, monitor)
}

fn program(registry: &mut Registry) -> Arc<Program> {
    let number = registry.program_for(&tuple()).unwrap();
    registry.get(number).clone()
}

fn fire(program: &Program, stage: &Stage) -> Done {
    let mut done = Done::default();
    program.fire(&stage.scene(), &mut done);
    done
}

fn when(flag: Field) -> Filter {
    Filter::Expr(Arc::new(Expr::flag(flag).unwrap()))
}

#[test]
fn a_forest_prunes_where_a_filter_fails() {
    let (mut registry, monitor) = registry();
    let packet_in = Some(Kind::PktIn.into());
    let ack = registry.define(packet_in, when(Field::Ack));
    let psh = registry.define(Some(ack), when(Field::Psh));
    let syn = registry.define(packet_in, when(Field::Syn));
    let below_syn = registry.define(Some(syn), Filter::Always);
    let syn_below = registry.define(Some(psh), when(Field::Syn));
    for (number, event) in [psh, below_syn, syn_below, ack, syn].into_iter().enumerate() {
        registry.register(monitor, wish(event, number as u32)).unwrap();
    }
    registry.register(monitor, wish(Kind::PktIn, 9)).unwrap();
    let program = program(&mut registry);
    // The parent before its children.
    assert_eq!(fire(&program, &packet()).actions, [9, 3, 0]);
    assert_eq!(program.mask(Hook::PostTcp), Kind::PktIn.bit());
    assert_eq!((program.mask(Hook::PreTcp), program.brief().any_mask()), (0, Kind::PktIn.bit()));
    // Another hook has trees of its own.
    let mut early = packet();
    early.event.hook = Hook::PreTcp;
    assert_eq!(fire(&program, &early), Done::default());
}

#[test]
fn a_forest_may_be_as_deep_as_it_likes() {
    for depth in [1000, 100_000] {
        let (mut registry, monitor) = registry();
        let mut event = EventId::from(Kind::PktIn);
        let mut first = None;
        for i in 0..depth {
            event = registry.define(Some(event), if i % 2 == 0 { when(Field::Ack) } else { Filter::Always });
            first.get_or_insert(event);
        }
        registry.register(monitor, wish(event, 1)).unwrap();
        assert_eq!(registry.root(event), Kind::PktIn);
        let program = program(&mut registry);
        assert_eq!(fire(&program, &packet()).actions, [1]);
        let mut done = Done::default();
        program.raise(first.unwrap(), &packet().scene(), &mut done);
        assert_eq!(done.actions, [1]);
    }
}

#[test]
fn the_same_definition_is_the_same_event() {
    let (mut registry, _) = registry();
    let parent = Some(Kind::PktIn.into());
    let ack = registry.define(parent, when(Field::Ack));
    assert_eq!(registry.define(parent, when(Field::Ack)), ack);
    assert_ne!(registry.define(parent, when(Field::Syn)), ack);
    assert_ne!(registry.define(Some(Kind::Rexmit.into()), when(Field::Ack)), ack);
    assert_ne!(registry.define(Some(ack), when(Field::Ack)), ack);
    let external = registry.define(parent, Filter::External(1));
    assert_eq!(registry.define(parent, Filter::External(1)), external);
    assert_ne!(registry.define(parent, Filter::External(2)), external);
    let mine = registry.define(None, Filter::Never);
    assert_ne!(registry.define(None, Filter::Never), mine);
    assert_eq!(registry.root(mine), Kind::User);
    assert_eq!((ack.built_in(), EventId::from(Kind::User).built_in()), (None, Some(Kind::User)));
}

#[test]
fn the_application_answers_its_own_filters() {
    let (mut registry, monitor) = registry();
    let asked = registry.define(Some(Kind::PktIn.into()), Filter::External(7));
    let below = registry.define(Some(asked), when(Field::Ack));
    let not_below = registry.define(Some(asked), when(Field::Syn));
    let further = registry.define(Some(below), Filter::External(8));
    for (number, event) in [asked, below, not_below, further].into_iter().enumerate() {
        registry.register(monitor, wish(event, number as u32)).unwrap();
    }
    registry.register(monitor, wish(registry.root(asked), 9)).unwrap();
    let program = program(&mut registry);
    let done = fire(&program, &packet());
    assert_eq!((done.actions.as_slice(), done.asked.len(), done.asked[0].0), (&[9][..], 1, 7));
    let mut after = Done::default();
    program.resume(done.asked[0].1, &packet().scene(), &mut after);
    assert_eq!((after.actions.as_slice(), after.asked.len(), after.asked[0].0), (&[0, 1][..], 1, 8));
    let mut last = Done::default();
    program.resume(after.asked[0].1, &packet().scene(), &mut last);
    assert_eq!(last, Done { actions: vec![3], asked: vec![] });
}

#[test]
fn events_are_raised_whatever_their_filter_says() {
    let (mut registry, monitor) = registry();
    let mine = registry.define(None, Filter::Never);
    let below = registry.define(Some(mine), when(Field::Ack));
    let syn = registry.define(Some(Kind::PktIn.into()), when(Field::Syn));
    for (number, event) in [mine, below, syn].into_iter().enumerate() {
        registry.register(monitor, wish(event, number as u32)).unwrap();
    }
    let program = program(&mut registry);
    let raise = |event| {
        let mut done = Done::default();
        program.raise(event, &packet().scene(), &mut done);
        done.actions
    };
    assert_eq!((raise(mine), raise(below), raise(syn)), (vec![0, 1], vec![1], vec![2]));
    assert_eq!(fire(&program, &packet()).actions, [0_u32; 0]);
    assert_eq!(fire(&program, &Stage::new(Kind::User, EventDetail::None)).actions, [0_u32; 0]);
}

#[test]
fn a_side_may_be_chosen() {
    let (mut registry, monitor) = registry();
    for (number, side) in [Some(Client), Some(Server), None].into_iter().enumerate() {
        registry.register(monitor, Registration { side, ..wish(Kind::PktIn, number as u32) }).unwrap();
    }
    let program = program(&mut registry);
    assert_eq!(fire(&program, &packet()).actions, [0, 2]);
    let mut other = packet();
    other.event.side = Server;
    assert_eq!(fire(&program, &other).actions, [1, 2]);
}

#[test]
fn registrations_that_cannot_be_say_why() {
    let (mut registry, monitor) = registry();
    let early = Registration { hook: Hook::PreTcp, ..wish(Kind::NewData, 1) };
    assert_eq!(
        registry.register(monitor, early).unwrap_err().to_string(),
        "ON_CONN_NEW_DATA cannot be handled at PRE_TCP: choose POST_TCP"
    );
    let state = Registration { hook: Hook::PreTcp, ..wish(Kind::StateChange, 1) };
    assert!(
        registry.register(monitor, state).unwrap_err().to_string().ends_with("choose POST_SND or POST_TCP")
    );
    let raw = registry.open(MonitorKind::Raw, Scope::any(), StreamSettings::default());
    assert_eq!(
        registry.register(raw, wish(Kind::ConnStart, 1)).unwrap_err().to_string(),
        "ON_CONN_START never fires on a raw socket"
    );
    registry.register(raw, wish(Kind::PktIn, 1)).unwrap();
    assert!(registry.has_raw());
    registry.close(raw);
    assert!(!registry.has_raw());
    assert_eq!(registry.register(raw, wish(Kind::PktIn, 1)), Err(RegistryError::Closed));
    assert!(registry.take_released().contains(&HandlerId(1)));
}

#[test]
fn programs_follow_their_registrations() {
    let (mut registry, monitor) = registry();
    let number = registry.program_for(&tuple()).unwrap();
    assert_eq!(registry.get(number).brief().any_mask(), 0);
    let first = registry.register(monitor, wish(Kind::PktIn, 1)).unwrap();
    registry.register(monitor, wish(Kind::PktIn, 2)).unwrap();
    assert_eq!(fire(registry.get(number), &packet()).actions, [1, 2]);
    assert_eq!(registry.program_for(&tuple()), Some(number), "flows of the same sockets share a program");
    registry.unregister(monitor, first);
    registry.unregister(monitor, first);
    assert_eq!(fire(registry.get(number), &packet()).actions, [2]);
    assert_eq!(registry.take_released(), [HandlerId(1)]);
    assert!(registry.take_released().is_empty());
    let other =
        registry.open(MonitorKind::Stream, Scope::parse("tcp port 80").unwrap(), StreamSettings::default());
    let both = registry.program_for(&tuple()).unwrap();
    assert_ne!(both, number);
    assert_eq!(registry.monitors_of(both), [monitor, other]);
    registry.close(monitor);
    assert_eq!(registry.get(number).brief().any_mask(), 0);
    assert_eq!(registry.program_for(&Tuple { destination_port: 81, ..tuple() }), None);
}

#[test]
fn programs_of_single_flows_are_shared_by_content_and_freed() {
    let (mut registry, monitor) = registry();
    registry.register(monitor, wish(Kind::PktIn, 1)).unwrap();
    let (a, b) = (registry.program_for(&tuple()).unwrap(), registry.program_for(&tuple()).unwrap());
    let (x, y) = (wish(Kind::PktIn, 10), wish(Kind::PktIn, 11));
    let mut one = registry.extend(a, x).unwrap();
    one = registry.extend(one, y).unwrap();
    let mut two = registry.extend(b, y).unwrap();
    two = registry.extend(two, x).unwrap();
    assert_eq!(one, two, "in whatever order they were made");
    assert_eq!(registry.extend(one, x).unwrap(), one, "twice is once");
    assert_eq!(fire(registry.get(one), &packet()).actions, [1, 10, 11]);
    assert_eq!(fire(registry.get(a), &packet()).actions, [1], "other flows are left alone");
    assert!(registry.extend(one, Registration { hook: Hook::PreTcp, ..wish(Kind::Gap, 1) }).is_err());
    registry.register(monitor, wish(Kind::PktIn, 2)).unwrap();
    assert_eq!(fire(registry.get(one), &packet()).actions, [1, 2, 10, 11]);
    registry.leave(one);
    assert!(registry.take_released().is_empty());
    registry.leave(two);
    let mut released = registry.take_released();
    released.sort_unstable();
    assert_eq!(released, [HandlerId(10), HandlerId(11)]);
    // The place of the freed program is used again.
    let again = registry.program_for(&tuple()).unwrap();
    assert!(registry.extend(again, x).unwrap() <= one);
}

#[test]
fn programs_know_whether_bytes_are_wanted() {
    let check = |register: &dyn Fn(&mut Registry, MonitorId)| {
        let (mut registry, monitor) = registry();
        register(&mut registry, monitor);
        let program = program(&mut registry);
        (program.collects, program.reads)
    };
    let counted = Registration { action: Action::Count(CountId(0)), ..wish(Kind::NewData, 1) };
    let register = |wish: Registration| {
        move |registry: &mut Registry, monitor| {
            registry.register(monitor, wish).unwrap();
        }
    };
    assert_eq!(check(&register(wish(Kind::PktIn, 1))), (false, false));
    assert_eq!(check(&register(counted)), (false, false));
    assert_eq!(check(&register(wish(Kind::NewData, 1))), (true, true));
    let filtered = check(&|registry, monitor| {
        let expr = Expr::contains(Field::Data, b"x").unwrap();
        let event = registry.define(Some(Kind::NewData.into()), Filter::Expr(Arc::new(expr)));
        let action = Action::Count(CountId(0));
        registry.register(monitor, Registration { action, ..wish(event, 1) }).unwrap();
    });
    assert_eq!(filtered, (true, true));
}

/// A batch of new data, fed by `(flow, side, offset, bytes)`.
struct Rows {
    batch: Batch,
    stages: Vec<Stage>,
}

impl Rows {
    fn new(columns: &[&str], size: usize, coalesces: bool) -> Rows {
        let columns = columns.iter().map(|name| field(name)).collect();
        let stages = (0..4)
            .map(|number| {
                let mut stage = Stage::new(Kind::NewData, EventDetail::None);
                stage.table.extra_mut(stage.place).number = number;
                stage
            })
            .collect();
        Rows { batch: Batch::new(BatchSpec { columns, size }, coalesces), stages }
    }

    fn push(&mut self, flow: usize, side: Side, offset: u64, bytes: &[u8]) {
        let stage = &mut self.stages[flow];
        stage.event.side = side;
        stage.event.detail = EventDetail::Bytes { offset, length: bytes.len() as u64 };
        stage.data = bytes.to_vec();
        self.batch.push(&stage.scene());
    }

    fn take(&mut self) -> RecordBatch {
        self.batch.end_burst();
        self.batch.take().unwrap()
    }
}

/// The rows as flow, side, offset, length and bytes.
fn rows(batch: &RecordBatch) -> Vec<(u64, u8, u64, u64, String)> {
    let numbers = |column: usize| batch.column(column).as_primitive::<UInt64Type>();
    let sides = batch.column(1).as_primitive::<UInt8Type>();
    let bytes = batch.column(4).as_binary::<i64>();
    (0..batch.num_rows())
        .map(|i| {
            let text = String::from_utf8(bytes.value(i).to_vec()).unwrap();
            (numbers(0).value(i), sides.value(i), numbers(2).value(i), numbers(3).value(i), text)
        })
        .collect()
}

const COLUMNS: [&str; 5] = ["flow.id", "event.side", "event.offset", "event.length", "event.data"];

#[test]
fn new_data_of_a_side_becomes_one_row_per_burst() {
    let mut rows_of = Rows::new(&COLUMNS, 0, true);
    assert!(rows_of.batch.wants_data());
    rows_of.push(1, Client, 0, b"ab");
    rows_of.push(2, Client, 5, b"xy");
    rows_of.push(1, Server, 0, b"12");
    rows_of.push(1, Client, 2, b"cd");
    rows_of.push(2, Client, 7, b"z");
    rows_of.push(1, Client, 4, b"ef");
    // Behind a gap, a row of its own; and the one before it is closed.
    rows_of.push(1, Client, 10, b"gh");
    rows_of.push(1, Server, 2, b"34");
    rows_of.push(1, Client, 12, b"ij");
    let text = str::to_owned;
    assert_eq!(
        rows(&rows_of.take()),
        [
            (1, 0, 0, 6, text("abcdef")),
            (2, 0, 5, 3, text("xyz")),
            (1, 1, 0, 4, text("1234")),
            (1, 0, 10, 4, text("ghij")),
        ]
    );
    // The next burst begins anew.
    rows_of.push(1, Client, 14, b"k");
    rows_of.batch.end_burst();
    rows_of.push(1, Client, 15, b"l");
    assert_eq!(rows(&rows_of.take()), [(1, 0, 14, 1, text("k")), (1, 0, 15, 1, text("l"))]);
    assert!(rows_of.batch.take().is_none());
}

#[test]
fn without_coalescing_each_event_is_a_row() {
    let mut rows_of = Rows::new(&COLUMNS, 0, false);
    rows_of.push(1, Client, 0, b"ab");
    rows_of.push(1, Client, 2, b"cd");
    let text = str::to_owned;
    assert_eq!(rows(&rows_of.take()), [(1, 0, 0, 2, text("ab")), (1, 0, 2, 2, text("cd"))]);
}

#[test]
fn a_batch_is_full_at_its_size() {
    for (size, least) in [(0, 1), (1, 1), (3, 3)] {
        let mut rows_of = Rows::new(&["flow.id"], size, true);
        assert!(!rows_of.batch.is_full() && rows_of.batch.take().is_none());
        for i in 0..least {
            assert!(!rows_of.batch.is_full());
            rows_of.push(1, Client, 10 * i, b"a");
        }
        assert!(rows_of.batch.is_full());
        assert_eq!(rows_of.take().num_rows() as u64, least);
    }
}

#[test]
fn columns_have_the_types_of_their_fields_and_nulls_where_they_do_not_apply() {
    let columns: Vec<Field> = Field::all().map(|(field, ..)| field).collect();
    let mut batch = Batch::new(BatchSpec { columns: columns.clone(), size: 0 }, false);
    batch.push(&packet().scene());
    batch.push(&Stage::new(Kind::NewData, EventDetail::Bytes { offset: 1, length: 5 }).scene());
    batch.end_burst();
    let rows = batch.take().unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (2, columns.len()));
    let column = |name: &str| rows.column_by_name(name).unwrap();
    assert_eq!(column("ip.src").as_string::<i32>().value(0), "192.0.2.1");
    assert_eq!(column("eth.src").as_string::<i32>().value(0).len(), 17);
    assert_eq!(column("tcp.dport").as_primitive::<UInt16Type>().value(0), 80);
    assert!(column("tcp.ack").as_boolean().value(0) && !column("tcp.syn").as_boolean().value(0));
    assert_eq!(column("event.time").as_primitive::<TimestampNanosecondType>().value(0), 9);
    assert_eq!(column("tcp.payload").as_binary::<i64>().value(0), b"GET /index.html");
    assert!(
        column("tcp.tsval").is_null(0)
            && column("event.offset").is_null(0)
            && column("event.data").is_null(0)
    );
    assert_eq!(column("event.offset").as_primitive::<UInt64Type>().value(1), 1);
    assert_eq!(column("event.data").as_binary::<i64>().value(1), b"hello");
}
