//! Packets that are changed on their way.

use super::super::talk::{ACK, FIN_ACK, SYN, SYN_ACK};
use super::*;
use crate::Side::{Client, Server};
use crate::event::Value;
use crate::inline::{EditError, HeaderField, NatError, Replaced, RewriteError};
use crate::wire::{TcpFrame, checksum};

/// What a test looks at of a frame: seq, ack, payload, window.
fn told(frames: &[Frame]) -> Vec<(u32, u32, String)> {
    let tell = |frame: &Frame| {
        let segment = segment(&frame.bytes);
        assert!(checksum::are_right(&frame.bytes, &segment), "a wrong checksum");
        (segment.seq, segment.ack, String::from_utf8_lossy(segment.payload(&frame.bytes)).into_owned())
    };
    frames.iter().map(tell).collect()
}

fn line(seq: u32, ack: u32, payload: &str) -> (u32, u32, String) {
    (seq, ack, payload.to_owned())
}

/// Packets whose numbers a test gives; between the usual ends.
fn handshake() -> Talk {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"").send(Server, SYN_ACK, 5000, 1001, b"");
    talk.send(Client, ACK, 1001, 5001, b"");
    talk
}

fn edit(from: &'static [u8], to: &'static [u8]) -> impl Fn(&mut Stack<u32>, &Upcall, &mut Vec<String>) {
    move |stack, upcall, lines| {
        let payload = payload_at_hand(stack);
        if let Some(at) = payload.windows(from.len()).position(|window| window == from) {
            let replaced = stack.replace(upcall, at..at + from.len(), to).unwrap();
            lines.push(format!("{replaced:?}"));
        }
    }
}

#[test]
fn fields_are_set_in_place() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Server, b"two").close();
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        stack.set_field(upcall, HeaderField::IpTtl, Value::Int(7)).unwrap();
        stack.set_field(upcall, HeaderField::Window, Value::Int(99)).unwrap();
        let wrong = stack.set_field(upcall, HeaderField::Vlan, Value::Int(3)).unwrap_err();
        assert!(matches!(wrong, ModifyError::Field(RewriteError::Absent("eth.vlan"))), "{wrong}");
    };
    let all =
        Inline { wishes: &[wish(Kind::PktIn, Hook::PreTcp, 0)], act: &act, ..Inline::default() }.run(&talk);
    let frames: Vec<_> = all.out.iter().flatten().collect();
    assert_eq!(frames.len(), talk.frames.len());
    for frame in frames {
        let segment = segment(&frame.bytes);
        assert_eq!((segment.ttl(&frame.bytes), segment.window), (7, 99));
        assert!(checksum::are_right(&frame.bytes, &segment));
    }
}

#[test]
fn a_longer_payload_shifts_what_follows() {
    let mut talk = handshake();
    talk.send(Client, ACK, 1001, 5001, b"a cat sat");
    talk.send(Server, ACK, 5001, 1018, b"");
    talk.send(Client, ACK, 1010, 5001, b" down");
    // A retransmission of the end of the first segment and the whole second.
    talk.send(Client, ACK, 1007, 5001, b"sat down");
    talk.send(Server, ACK, 5001, 1023, b"yes");
    talk.send(Client, FIN_ACK, 1015, 5004, b"");
    talk.send(Server, FIN_ACK, 5004, 1024, b"");
    talk.send(Client, ACK, 1016, 5005, b"");
    let act = edit(b"cat", b"hippopotamus");
    let inline = Inline { wishes: &[on(Kind::PktIn)], act: &act, ..Inline::default() };
    let all = inline.run(&talk);
    let to_server = told(&all.out[1]);
    assert_eq!(
        to_server[2..],
        [
            line(1001, 5001, "a hippopotamus sat"),
            line(1019, 5001, " down"),
            line(1016, 5001, "sat down"),
            line(1024, 5004, ""),
            line(1025, 5005, ""),
        ]
    );
    // 1018 is one short of all of the first segment: the last byte is still to be acknowledged.
    assert_eq!(told(&all.out[0])[1..], [line(5001, 1009, ""), line(5001, 1014, "yes"), line(5004, 1015, "")]);
    assert_eq!(all.lines.iter().filter(|line| line.starts_with("Done")).count(), 1);
}

#[test]
fn a_retransmission_is_edited_alike() {
    let mut talk = handshake();
    talk.send(Client, ACK, 1001, 5001, b"a cat sat").send(Client, ACK, 1001, 5001, b"a cat sat down");
    let act = edit(b"cat", b"");
    let all = Inline { wishes: &[on(Kind::PktIn)], act: &act, ..Inline::default() }.run(&talk);
    assert_eq!(told(&all.out[1])[2..], [line(1001, 5001, "a  sat"), line(1001, 5001, "a  sat down")]);
    assert!(all.lines.iter().any(|line| line == "Repeated"));
}

#[test]
fn a_segment_deleted_whole_is_acknowledged_to_its_sender() {
    let mut talk = handshake();
    talk.send(Client, ACK, 1001, 5001, b"one").send(Server, ACK, 5001, 1004, b"");
    talk.send(Client, ACK, 1004, 5001, b"secret").send(Client, ACK, 1010, 5001, b"two");
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        // From the beginning, so that the server's headers are known.
        stack.keep_order(upcall.flow.unwrap(), Client, true).unwrap();
        edit(b"secret", b"")(stack, upcall, &mut Vec::new());
    };
    let all = Inline { wishes: &[on(Kind::PktIn)], act: &act, ..Inline::default() }.run(&talk);
    assert_eq!(
        told(&all.out[1])[2..],
        [line(1001, 5001, "one"), line(1004, 5001, ""), line(1004, 5001, "two")]
    );
    assert_eq!(told(&all.out[0])[1..], [line(5001, 1004, ""), line(5001, 1010, "")]);
}

#[test]
fn what_is_injected_goes_out_at_once() {
    let mut talk = handshake();
    talk.send(Client, ACK, 1001, 5001, b"one").send(Server, ACK, 5001, 1004, b"");
    talk.send(Server, ACK, 5001, 1009, b"").send(Client, ACK, 1004, 5001, b"two");
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        let acks = segment(stack.frame()).ack == 1004;
        if upcall.event.side == Server && acks && !lines.iter().any(|line| line == "injected") {
            lines.push("injected".into());
            stack.inject(upcall.flow.unwrap(), Client, b"extra").unwrap();
        }
    };
    let all = Inline { wishes: &[on(Kind::PktIn)], act: &act, ..Inline::default() }.run(&talk);
    assert_eq!(
        told(&all.out[1])[2..],
        [line(1001, 5001, "one"), line(1004, 5001, "extra"), line(1009, 5001, "two")]
    );
    assert_eq!(told(&all.out[0])[1..], [line(5001, 1004, ""), line(5001, 1004, "")]);
}

fn mss(frame: TcpFrame<'_>) -> TcpFrame<'_> {
    frame.mss(700)
}

#[test]
fn long_data_is_cut_into_segments() {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, 1000, 0, b"", mss).send_with(Server, SYN_ACK, 5000, 1001, b"", mss);
    talk.send(Client, ACK, 1001, 5001, b"").send(Client, FIN_ACK, 1001, 5001, &[b'x'; 600]);
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        if payload_at_hand(stack).len() == 600 {
            stack.replace(upcall, 300..300, &[b'y'; 1000]).unwrap();
            let wrong = stack.replace(upcall, 0..601, b"").unwrap_err();
            assert!(matches!(wrong, ModifyError::Edit(EditError::Range)), "{wrong}");
        }
    };
    let all = Inline { wishes: &[on(Kind::PktIn)], act: &act, ..Inline::default() }.run(&talk);
    let pieces = &all.out[1][2..];
    let lengths: Vec<_> = pieces.iter().map(|frame| segment(&frame.bytes).length).collect();
    assert_eq!(lengths, [600, 600, 400]);
    let fins: Vec<_> = pieces.iter().map(|frame| segment(&frame.bytes).flags == FIN_ACK).collect();
    assert_eq!(fins, [false, false, true]);
    assert_eq!(told(pieces).iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), [1001, 1601, 2201]);
}

#[test]
fn an_end_gets_another_address() {
    let mut talk = Talk::new();
    let outside = "203.0.113.9:6000".parse().unwrap();
    let inside = talk.ends;
    talk.send(Client, SYN, 1000, 0, b"");
    talk.ends[0] = outside;
    talk.send(Server, SYN_ACK, 5000, 1001, b"");
    talk.ends[0] = inside[0];
    talk.send(Client, ACK, 1001, 5001, b"").send(Client, ACK, 1001, 5001, b"one");
    talk.ends[0] = outside;
    talk.send(Server, ACK, 5001, 1004, b"two");
    // Another flow that wants the same.
    talk.ends[0] = "192.0.2.1:4444".parse().unwrap();
    talk.send(Client, SYN, 1000, 0, b"");
    let act = move |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        if let Err(error) = stack.translate(upcall.flow.unwrap(), Client, outside) {
            assert!(matches!(error, ModifyError::Nat(NatError::InUse { .. })), "{error}");
            lines.push("in use".into());
        }
    };
    let all = Inline { wishes: &[on(Kind::ConnStart)], act: &act, ..Inline::default() }.run(&talk);
    assert_eq!(all.out.each_ref().map(Vec::len), [2, 4]);
    for frame in &all.out[1][..3] {
        let segment = segment(&frame.bytes);
        assert_eq!(segment.source(&frame.bytes), [203, 0, 113, 9]);
        assert_eq!(segment.source_port(&frame.bytes), 6000);
    }
    for frame in &all.out[0] {
        let segment = segment(&frame.bytes);
        assert_eq!(segment.destination(&frame.bytes), [192, 0, 2, 1]);
        assert_eq!(segment.destination_port(&frame.bytes), 4000);
    }
    assert_eq!(told(&all.out[0]), [line(5000, 1001, ""), line(5001, 1004, "two")]);
    assert_eq!(all.lines.iter().filter(|line| *line == "in use").count(), 1);
    assert_eq!(all.records.len(), 2);
}

#[test]
fn nothing_is_changed_without_two_ports() {
    let mut stack =
        Stack::<u32>::new(Box::new(MemoryPort::new(Talk::opened().frames)), Config::default()).unwrap();
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    stack.register(monitor, on(Kind::PktIn)).unwrap();
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        let passive = |result: std::result::Result<(), ModifyError>| {
            assert!(matches!(result, Err(ModifyError::Inline(InlineError::Passive))));
        };
        passive(stack.set_field(upcall, HeaderField::IpTtl, Value::Int(7)));
        passive(stack.replace(upcall, 0..0, b"x").map(|replaced| assert_eq!(replaced, Replaced::Done)));
        passive(stack.inject(upcall.flow.unwrap(), Client, b"x"));
    };
    let mut log = Log { lines: Vec::new(), act: &act };
    stack.run(&mut log).unwrap();
}
