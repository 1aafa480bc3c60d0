//! Flows that the application resets, and receivers that judge the RSTs as RFC 9293 and RFC 5961 say.

use super::super::talk::{ACK, FIN_ACK, RST, SYN, SYN_ACK};
use super::*;
use crate::Side::{Client, Server};
use crate::port::file::{Format, Writer};
use crate::wire::TcpFrame;

/// An end of a connection, as far as a RST concerns it.
#[derive(Debug, Default)]
struct End {
    /// Its first sequence number and one beyond its last one, once it has sent.
    sent: Option<(u32, u32)>,
    /// What it expects next, once it has received.
    expects: Option<u32>,
    is_reset: bool,
    /// It was not sure of a RST, and asks for an exact one.
    challenges: u32,
}

impl End {
    fn send(&mut self, frame: &[u8]) {
        let segment = segment(frame);
        let (first, _) = *self.sent.get_or_insert((segment.seq, segment.seq));
        let end = segment.seq.wrapping_add(segment.sequence_length());
        self.sent = Some((first, end));
    }

    fn receive(&mut self, frame: &[u8]) {
        let segment = segment(frame);
        if segment.flags.contains(TcpFlags::RST) {
            return self.receive_rst(&segment);
        }
        assert!(!self.is_reset, "it is sent data after the RST");
        let expects = self.expects.get_or_insert(segment.seq);
        if segment.seq == *expects {
            *expects = expects.wrapping_add(segment.sequence_length());
        }
    }

    fn receive_rst(&mut self, segment: &Segment) {
        match (self.sent, self.expects) {
            (None, None) => panic!("a RST to an end without a connection"),
            // SYN-SENT: the RST has to acknowledge the SYN.
            (Some((first, end)), None) => {
                assert!(segment.flags.contains(TcpFlags::ACK));
                let acked = segment.ack.wrapping_sub(first);
                assert!((1..=end.wrapping_sub(first)).contains(&acked), "{acked}");
                self.is_reset = true;
            }
            (sent, Some(expects)) => {
                // Linux looks at the acknowledgement in SYN-RECEIVED.
                if let (Some((first, end)), true) = (sent, segment.flags.contains(TcpFlags::ACK)) {
                    assert!(segment.ack.wrapping_sub(first) <= end.wrapping_sub(first));
                }
                match segment.seq.wrapping_sub(expects) {
                    0 => self.is_reset = true,
                    1..=65_535 => self.challenges += 1,
                    _ => panic!("{} is outside of the window that begins at {expects}", segment.seq),
                }
            }
        }
    }
}

/// The two ends after all that was sent came to them.
fn ends(talk: &Talk, until: usize, out: &Out) -> [End; 2] {
    let mut ends = [End::default(), End::default()];
    let mut at = [0, 0];
    let times = talk.frames[..until].iter().map(|frame| (Some(frame), frame.time));
    for (frame, time) in times.chain([(None, Nanos::MAX)]) {
        if let Some(Frame { bytes, .. }) = frame {
            let is_server = segment(bytes).source_port(bytes) == talk.ends[1].port();
            ends[usize::from(is_server)].send(bytes);
        }
        // What came out because of it comes to the other end before that sends again.
        for port in 0..2 {
            while let Some(made) = out[port].get(at[port]).filter(|made| made.time <= time) {
                at[port] += 1;
                ends[port].receive(&made.bytes);
            }
        }
    }
    ends
}

fn conversation() -> Talk {
    let mut talk = Talk::opened();
    talk.say(Client, b"question")
        .say(Server, b"answer")
        .ack(Client)
        .say(Client, b"more")
        .say(Client, b"and more");
    talk.say(Server, b"enough").fin(Client).say(Server, b"still").fin(Server).ack(Client);
    talk
}

#[test]
fn both_ends_accept_the_rst_in_every_state() {
    let whole = conversation();
    for until in 1..=whole.frames.len() {
        for hook in [Hook::PreTcp, Hook::PostSnd, Hook::PostTcp] {
            let mut talk = whole.clone();
            talk.frames.truncate(until);
            let last = talk.frames[until - 1].bytes.clone();
            let act: Act<'_> = &|stack, upcall, _| {
                if stack.frame() == &last[..] && upcall.event.kind == Kind::PktIn {
                    stack.verdict(upcall, Verdict::Reset).unwrap();
                }
            };
            let wishes = [wish(Kind::PktIn, hook, 0), on(Kind::ConnEnd)];
            let all = Inline { wishes: &wishes, act, ..Inline::default() }.run(&talk);
            let ends = ends(&talk, until, &all.out);
            assert!(ends[0].is_reset, "client, packet {until}, {hook:?}: {ends:?}");
            // The server that was never sent the SYN knows of nothing.
            assert_eq!(ends[1].is_reset, until > 1, "server, packet {until}, {hook:?}: {ends:?}");
            assert_eq!(ends[0].challenges + ends[1].challenges, 0, "packet {until}, {hook:?}");
            assert_eq!((all.statistics.resets, all.statistics.dropped_by_verdict), (1, 1));
            let ended = all.lines.iter().filter(|line| line.starts_with("END")).collect::<Vec<_>>();
            // By its last packet the connection was over for the stack.
            let reason =
                if until == whole.frames.len() && hook == Hook::PostTcp { "END closed" } else { "END reset" };
            assert!(ended == [reason] || ended == ["END closed"], "packet {until}, {hook:?}: {ended:?}");
        }
    }
}

#[test]
fn a_timer_resets_a_flow_by_what_was_forwarded_last() {
    let mut talk = Talk::opened();
    talk.say(Client, b"question").say(Server, b"answer").wait(3 * SECOND);
    let silence = talk.frames.len();
    talk.port(4001).send(Client, SYN, 7, 0, b"");
    let act: Act<'_> = &|stack, upcall, _| match upcall.event.kind {
        Kind::ConnStart if upcall.flow.unwrap().number == 0 => {
            stack.set_timer(upcall.flow, SECOND, None, 0).unwrap();
        }
        Kind::Timer => stack.reset(upcall.flow.unwrap()).unwrap(),
        _ => {}
    };
    let wishes = [on(Kind::ConnStart), on(Kind::Timer), on(Kind::StateChange), on(Kind::ConnEnd)];
    let all = Inline { wishes: &wishes, act, ..Inline::default() }.run(&talk);
    let changes: Vec<&str> =
        all.lines.iter().map(String::as_str).filter(|line| line.contains("> CLOSED")).collect();
    assert_eq!(
        changes,
        ["TCP_STATE_CHANGE client ESTABLISHED > CLOSED", "TCP_STATE_CHANGE server ESTABLISHED > CLOSED"]
            .map(|line| line.trim_start_matches("TCP_"))
    );
    assert!(all.lines.contains(&"END reset".to_owned()));
    // The RSTs go before the packet that moved time on.
    assert!(segment(&all.out[1][silence - 2].bytes).flags.contains(TcpFlags::RST));
    let mut out = all.out;
    out[1].pop();
    let ends = ends(&talk, silence, &out);
    assert!(ends.iter().all(|end| end.is_reset && end.challenges == 0), "{ends:?}");
}

#[test]
fn whoever_goes_on_is_answered_with_an_exact_rst() {
    let mut talk = Talk::opened();
    talk.say(Client, b"reset");
    let [c, s] = talk.next;
    // The server lacks what went before the RST, and asks for an exact one (RFC 5961, section 3.2).
    talk.send(Server, ACK, s, c.wrapping_sub(3), b"");
    // The client sends again what was dropped; its SYN, which has no acknowledgement; a RST, which is not answered.
    talk.send(Client, ACK, c.wrapping_sub(5), s, b"reset")
        .send(Client, SYN, 1000, 0, b"")
        .send(Client, RST, c, 0, b"");
    let act: Act<'_> = &|stack, upcall, _| stack.verdict(upcall, Verdict::Reset).unwrap();
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run(&talk);
    let rsts = |frames: &[Frame]| -> Vec<(u16, u32, u32)> {
        let all = frames.iter().map(|frame| segment(&frame.bytes));
        let rsts = all.filter(|segment| segment.flags.contains(TcpFlags::RST));
        rsts.map(|segment| (segment.flags.bits(), segment.seq, segment.ack)).collect()
    };
    let (bare, acking) = (RST.bits(), (TcpFlags::RST | ACK).bits());
    assert_eq!(rsts(&all.out[1]), [(acking, c.wrapping_sub(5), s), (bare, c.wrapping_sub(3), 0)]);
    let to_client = rsts(&all.out[0]);
    assert_eq!(to_client, [(acking, s, c), (bare, s, 0), (acking, 0, 1001)]);
    assert_eq!((all.statistics.dropped_by_verdict, all.statistics.resets), (5, 1));
}

#[test]
fn a_new_connection_of_the_tuple_is_a_new_flow() {
    let mut talk = Talk::opened();
    talk.say(Client, b"reset");
    talk.next = [90_000, 70_000];
    talk.open().say(Client, b"fine");
    let act: Act<'_> = &|stack, upcall, _| {
        if stack.data(upcall) == b"reset" {
            stack.verdict(upcall, Verdict::Reset).unwrap();
        }
    };
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run(&talk);
    assert_eq!(all.lines, ["NEW_DATA client 0+5 reset", "#1 NEW_DATA client 0+4 fine"]);
    assert!(all.out[1].last().unwrap().bytes.ends_with(b"fine"));
}

#[test]
fn a_rst_looks_like_the_flows_own_frames() {
    let ends: [std::net::SocketAddr; 2] =
        ["[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:80".parse().unwrap()];
    let frame = |from: usize, flags, seq, ack, payload| {
        let (source, destination) = (ends[from], ends[1 - from]);
        let mac = [[2, 0, 0, 0, 0, 0xc], [2, 0, 0, 0, 0, 0x5]];
        TcpFrame::new(source, destination)
            .ethernet(mac[from], mac[1 - from])
            .vlan(&[0x6064, 0x2007])
            .flags(flags)
            .seq(seq)
            .ack(ack)
            .payload(payload)
            .build()
    };
    let time = |time: Nanos, bytes| Frame::from((time, bytes, LinkType::Ethernet));
    let mut frames = [vec![time(1, frame(0, SYN, 1, 0, b""))], vec![]];
    let act: Act<'_> = &|stack, upcall, _| {
        if upcall.event.kind == Kind::NewData || stack.frame().len() < 90 {
            stack.verdict(upcall, Verdict::Reset).unwrap();
        }
    };
    // Of the server nothing was seen: the client's addresses are swapped.
    let refuse: Act<'_> = &|stack, upcall, _| stack.verdict(upcall, Verdict::Reset).unwrap();
    let all = Inline { wishes: &[on(Kind::ConnStart)], act: refuse, ..Inline::default() }.run_split(&frames);
    let expected = frame(1, TcpFlags::RST | ACK, 0, 2, b"");
    let cut = |frame: &Frame| frame.bytes[..22].to_vec();
    assert!(all.out[1].is_empty());
    assert_eq!(cut(&all.out[0][0]), expected[..22]);
    let rst = &all.out[0][0].bytes;
    let parsed = segment(rst);
    assert_eq!((parsed.seq, parsed.ack, parsed.window, parsed.vlan), (0, 2, 0, [0x64, 7]));
    assert_eq!(wire::checksum::verify_tcp(rst, &parsed), Checksum::Good);

    frames[1].push(time(2, frame(1, SYN_ACK, 50, 2, b"")));
    frames[0].push(time(3, frame(0, ACK, 2, 51, b"")));
    frames[0].push(time(4, frame(0, ACK, 2, 51, b"some data to be reset for")));
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run_split(&frames);
    for (port, from) in [(0, 1), (1, 0)] {
        let rst = all.out[port].last().unwrap();
        assert_eq!(cut(rst), frame(from, TcpFlags::RST, 0, 0, b"")[..22], "port {port}");
        assert!(wire::checksum::verify_tcp(&rst.bytes, &segment(&rst.bytes)) == Checksum::Good);
    }
}

#[test]
fn short_rsts_are_padded_and_802_3_lengths_are_right() {
    let mut talk = Talk::opened();
    talk.say(Client, b"reset");
    let act: Act<'_> = &|stack, upcall, _| stack.verdict(upcall, Verdict::Reset).unwrap();
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run(&talk);
    assert_eq!(all.out[1].last().unwrap().bytes.len(), 60);
    // The same as IEEE 802.3 with LLC and SNAP.
    let snap = |frame: &Frame| {
        let mut bytes = frame.bytes[..12].to_vec();
        bytes.extend(((frame.bytes.len() - 14 + 8) as u16).to_be_bytes());
        bytes.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
        bytes.extend(&frame.bytes[14..]);
        Frame { bytes, length: frame.bytes.len() as u32 + 8, ..frame.clone() }
    };
    let frames = split(&talk).map(|frames| frames.iter().map(snap).collect::<Vec<_>>());
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run_split(&frames);
    let rst = &all.out[1].last().unwrap().bytes;
    assert_eq!(rst[12..22], [0, 48, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
    assert_eq!((rst.len(), segment(rst).flags.contains(TcpFlags::RST)), (62, true));
}

#[test]
fn a_flow_in_a_tunnel_cannot_be_reset() {
    // IPv4 in IPv4.
    let inner = Talk::opened().say(Client, b"data").frames.clone();
    let wrap = |frame: &Frame| {
        let mut bytes = frame.bytes[..34].to_vec();
        bytes.extend(&frame.bytes[14..]);
        let length = (bytes.len() - 14) as u16;
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
        bytes[23] = 4;
        Frame { length: bytes.len() as u32, bytes, ..frame.clone() }
    };
    let talk = Talk { frames: inner.iter().map(wrap).collect(), ..Talk::new() };
    let frames = [talk.frames.clone(), vec![]];
    let act: Act<'_> = &|stack, upcall, _| {
        assert!(matches!(stack.verdict(upcall, Verdict::Reset), Err(InlineError::Tunnelled)));
        assert!(matches!(stack.reset(upcall.flow.unwrap()), Err(InlineError::Tunnelled)));
        stack.verdict(upcall, Verdict::DropFlow).unwrap();
    };
    let config = Config { checksums: ChecksumPolicy::Ignore, ..Config::default() };
    let all = Inline { wishes: &[on(Kind::NewData)], act, config }.run_split(&frames);
    assert_eq!((all.lines.len(), all.statistics.dropped_by_verdict), (1, 1));
}

#[test]
fn a_stack_with_one_live_port_resets_what_it_only_sees() {
    let mut talk = Talk::opened();
    talk.say(Client, b"reset");
    for hook in [Hook::PreTcp, Hook::PostTcp] {
        let wire = Wire::default();
        wire.push(talk.frames.clone());
        let mut stack: Stack<u32> = Stack::new(wire.port(), Config::default()).unwrap();
        let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
        stack.register(monitor, wish(Kind::PktIn, hook, 0)).unwrap();
        while let step = stack.step().unwrap()
            && !matches!(step, Step::Idle)
        {
            if let Step::Upcall(upcall) = step
                && payload_at_hand(&stack) == b"reset"
            {
                stack.verdict(&upcall, Verdict::Reset).unwrap();
            }
        }
        let rsts: Vec<Segment> = wire.take().iter().map(|frame| segment(&frame.bytes)).collect();
        // The packet itself has long arrived.
        let [c, s] = talk.next;
        let numbers: Vec<(u32, u32)> = rsts.iter().map(|rst| (rst.seq, rst.ack)).collect();
        assert_eq!(numbers, [(s, c), (c, s)], "{hook:?}");
        assert_eq!(stack.inline_statistics(), InlineStatistics { resets: 1, ..InlineStatistics::default() });
    }
}

#[test]
fn a_capture_cannot_be_reset() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let mut writer = Writer::create(path, Format::Pcap, None).unwrap();
    let talk = Talk::opened();
    let mut memory = MemoryPort::new(talk.frames.clone());
    let mut burst = Vec::new();
    memory.receive(&mut burst, Duration::ZERO).unwrap();
    writer.send(memory.memory(), &burst).unwrap();
    drop(writer);
    let port = crate::port::open(path).unwrap();
    let mut stack: Stack<u32> = Stack::new(port, Config::default()).unwrap();
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    stack.register(monitor, on(Kind::ConnSetup)).unwrap();
    let act: Act<'_> = &|stack, upcall, _| {
        assert!(matches!(stack.reset(upcall.flow.unwrap()), Err(InlineError::ReadOnly)));
        assert!(matches!(stack.verdict(upcall, Verdict::Reset), Err(InlineError::ReadOnly)));
        assert!(matches!(stack.inject_frame(0, b"x"), Err(InlineError::ReadOnly)));
    };
    let mut log = Log { lines: Vec::new(), act };
    stack.run(&mut log).unwrap();
    assert_eq!(log.lines.len(), 1);
}

#[test]
fn a_connection_that_closed_within_the_burst_is_reset_by_its_rows() {
    let mut talk = Talk::opened();
    talk.say(Client, b"reset");
    let [c, s] = talk.next;
    talk.send(Client, FIN_ACK, c, s, b"");
    talk.send(Server, ACK, s, c.wrapping_sub(5), b"");
    let act: Act<'_> = &|stack, upcall, _| {
        if upcall.event.kind == Kind::NewData {
            stack.reset(upcall.flow.unwrap()).unwrap();
            // Once is enough.
            stack.reset(upcall.flow.unwrap()).unwrap();
        }
    };
    let all = Inline { wishes: &[on(Kind::NewData), on(Kind::ConnEnd)], act, ..Inline::default() }.run(&talk);
    assert_eq!(all.lines, ["NEW_DATA client 0+5 reset", "END reset"]);
    assert_eq!(all.statistics.resets, 1);
    let to_server: Vec<Segment> = all.out[1].iter().map(|frame| segment(&frame.bytes)).collect();
    assert_eq!(to_server[2].seq, c.wrapping_sub(5));
    // The late acknowledgement is answered.
    assert_eq!(to_server.last().unwrap().seq, c.wrapping_sub(5));
    assert_eq!(to_server.len(), 4);
}
