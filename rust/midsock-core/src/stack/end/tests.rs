use crate::config::Config;
use crate::event::{HandlerId, MonitorKind, StreamSettings};
use crate::flow::{EndReason, FlowRecord};
use crate::port::{LinkType, MemoryPort};
use crate::scope::Scope;
use crate::wire::{TcpFlags, TcpFrame};
use crate::{Application, Stack, Upcall};

struct Nobody;

impl Application for Nobody {
    type User = ();
    fn on_event(&mut self, _: &mut Stack<()>, _: HandlerId, _: &Upcall) {}
    fn on_batch(&mut self, _: &mut Stack<()>, _: crate::event::BatchId, _: arrow_array::RecordBatch) {}
}

/// A segment's flags, and who sends it: `>` the client, `<` the server; its sequence and acknowledgement numbers and
/// payload.
type Line = (char, TcpFlags, u32, u32, &'static [u8]);

fn run(config: &Config, lines: &[Line]) -> Vec<FlowRecord> {
    let ends = ["192.0.2.1:40000", "198.51.100.7:80"].map(|end| end.parse().unwrap());
    let frames = lines.iter().enumerate().map(|(time, (direction, flags, seq, ack, payload))| {
        let (from, to) = if *direction == '>' { (0, 1) } else { (1, 0) };
        let frame = TcpFrame::new(ends[from], ends[to]).flags(*flags).seq(*seq).ack(*ack).window(1000);
        (time as i64 * 1000, frame.payload(payload).build(), LinkType::Ethernet)
    });
    let config = Config { records: true, seed: Some(1), ..config.clone() };
    let mut stack: Stack<()> = Stack::new(Box::new(MemoryPort::new(frames)), config).unwrap();
    let settings = StreamSettings { digest: true, ..StreamSettings::default() };
    stack.open(MonitorKind::Stream, Scope::any(), settings);
    stack.run(&mut Nobody).unwrap();
    stack.take_records()
}

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(SYN.0 | ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | ACK.0);
const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | ACK.0);

#[test]
fn a_tuple_begins_anew_right_after_a_reset() {
    let lines = [
        ('>', SYN, 100, 0, &b""[..]),
        ('<', RST_ACK, 0, 101, b""),
        ('>', SYN, 900, 0, b""),
        ('<', SYN_ACK, 500, 901, b""),
        ('<', RST_ACK, 501, 901, b""),
        ('>', SYN, 5000, 0, b""),
    ];
    for max_flows in [1, 2, 100] {
        let records = run(&Config { max_flows, ..Config::default() }, &lines);
        let seen: Vec<_> =
            records.iter().map(|flow| (flow.number, flow.reason, flow.sides[0].packets)).collect();
        let (reset, end) = (Some(EndReason::Reset), Some(EndReason::End));
        assert_eq!(seen, [(0, reset, 1), (1, reset, 1), (2, end, 1)]);
    }
}

#[test]
fn a_fin_may_come_after_an_acknowledgement_that_was_sent_after_it() {
    let lines = [
        ('>', SYN, 100, 0, &b""[..]),
        ('<', SYN_ACK, 500, 101, b""),
        ('>', ACK, 101, 501, b""),
        ('<', ACK, 506, 101, b""),
        ('<', FIN_ACK, 501, 101, b"last"),
        ('>', FIN_ACK, 101, 506, b""),
        ('<', ACK, 506, 102, b""),
    ];
    let records = run(&Config::default(), &lines);
    assert_eq!((records.len(), records[0].reason), (1, Some(EndReason::Closed)));
    assert_eq!((records[0].sides[1].digest.unwrap().0, &records[0].sides[1].gaps[..]), (4, &[][..]));
    assert_eq!(records[0].anomalies, []);
}

#[test]
fn a_fin_amid_data_is_none() {
    let lines = [
        ('>', SYN, 100, 0, &b""[..]),
        ('<', SYN_ACK, 500, 101, b""),
        ('>', ACK, 101, 501, b"12345"),
        ('>', FIN_ACK, 101, 501, b"1234"),
        ('>', ACK, 106, 501, b"678"),
    ];
    let records = run(&Config::default(), &lines);
    assert_eq!(records[0].reason, Some(EndReason::End));
    assert_eq!(records[0].sides[0].digest.unwrap().0, 8);
}
