use super::*;

#[test]
fn fields_of_the_header() {
    for frame in [v4(), v6()] {
        let frame = frame
            .seq(0xffff_fff0)
            .ack(0x8000_0001)
            .window(29_200)
            .urgent(513)
            .ttl(57)
            .tos(0xb9)
            .flags(TcpFlags(0xfff))
            .payload(b"GET /")
            .build();
        let segment = tcp_of(&frame);
        assert_eq!((segment.seq, segment.ack, segment.window), (0xffff_fff0, 0x8000_0001, 29_200));
        assert_eq!(segment.flags.bits(), 0xfff);
        assert_eq!((segment.source_port(&frame), segment.destination_port(&frame)), (40000, 80));
        assert_eq!(segment.ports(&frame), [0x9c, 0x40, 0, 80]);
        assert_eq!((segment.ttl(&frame), segment.tos(&frame), segment.urgent(&frame)), (57, 0xb9, 513));
        assert_eq!((segment.length, segment.captured), (5, 5));
        assert_eq!(segment.payload(&frame), b"GET /");
        assert_eq!(segment.options(&frame), b"");
    }
}

#[test]
fn addresses() {
    let frame = v4().build();
    let segment = tcp_of(&frame);
    assert_eq!(segment.source(&frame), [192, 0, 2, 1]);
    assert_eq!(segment.destination(&frame), [198, 51, 100, 7]);
    assert_eq!(segment.addresses(&frame), [192, 0, 2, 1, 198, 51, 100, 7]);
    let frame = v6().build();
    let segment = tcp_of(&frame);
    assert_eq!(segment.source(&frame)[..4], [0x20, 0x01, 0x0d, 0xb8]);
    assert_eq!((segment.source(&frame)[15], segment.destination(&frame)[15]), (1, 7));
    assert_eq!((segment.source(&frame).len(), segment.destination(&frame).len()), (16, 16));
}

#[test]
fn accessors_survive_another_frame() {
    let frame = v4().payload(b"data").mss(1460).build();
    let segment = tcp_of(&frame);
    for length in 0..frame.len() {
        let other = &frame[..length];
        let _ = (segment.ttl(other), segment.tos(other), segment.urgent(other), segment.ports(other));
        let _ = (segment.source(other), segment.destination(other), segment.checksum(other));
        let _ = segment.options(other);
        assert_eq!(segment.payload(other), b"");
    }
}

#[test]
fn bad_data_offsets() {
    let good = v4().payload(b"data").build();
    for (words, outcome) in [(0, false), (4, false), (5, true), (6, true), (7, false), (15, false)] {
        let mut frame = good.clone();
        frame[34 + 12] = words << 4;
        let expected = if outcome { Outcome::Tcp } else { malformed(Malformed::BadTcpDataOffset) };
        assert_eq!(outcome_of(&frame), expected, "{words}");
        // Padding behind the packet does not make room for more header.
        frame.extend([0; 60]);
        assert_eq!(outcome_of(&frame), expected, "{words}");
    }
}

#[test]
fn options_cut_by_the_capture() {
    let whole = v4().options(&[1; 40]).payload(b"data").build();
    for cut in 54..94 {
        let frame = &whole[..cut];
        let mut segment = Segment::default();
        assert_eq!(decode(frame, LinkType::Ethernet, whole.len() as u32, &mut segment), Outcome::Tcp);
        assert_eq!((segment.length, segment.captured), (4, 0));
        assert_eq!(usize::from(segment.payload), cut);
        assert_eq!(segment.payload(frame), b"");
        assert_eq!(segment.options(frame).len(), cut - 54);
    }
}

#[test]
fn a_cut_header_is_malformed() {
    for (frame, start) in [(v4(), 34), (v6(), 54)] {
        let frame = frame.build();
        for cut in start..start + 20 {
            let mut segment = Segment::default();
            let outcome = decode(&frame[..cut], LinkType::Ethernet, frame.len() as u32, &mut segment);
            assert_eq!(outcome, malformed(Malformed::TruncatedTcp));
        }
    }
}

#[test]
fn sequence_length_counts_syn_and_fin() {
    for (flags, expected) in [
        (TcpFlags::ACK, 3),
        (TcpFlags::SYN, 4),
        (TcpFlags::FIN | TcpFlags::ACK, 4),
        (TcpFlags::SYN | TcpFlags::FIN, 5),
        (TcpFlags::RST, 3),
    ] {
        assert_eq!(tcp_of(&v4().flags(flags).payload(b"abc").build()).sequence_length(), expected);
    }
}

#[test]
fn questions_to_flags() {
    let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
    assert!(syn_ack.contains(TcpFlags::SYN) && syn_ack.contains(syn_ack));
    assert!(!TcpFlags::SYN.contains(syn_ack));
    assert!(TcpFlags::SYN.intersects(syn_ack));
    assert!(!TcpFlags::RST.intersects(syn_ack));
    assert!(TcpFlags::SYN.is_syn_only() && !syn_ack.is_syn_only());
    assert!(syn_ack.is_syn_ack() && !TcpFlags::ACK.is_syn_ack() && !TcpFlags::SYN.is_syn_ack());
    assert!((TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR).is_syn_only());
    assert_eq!((!TcpFlags::FIN).bits(), 0xffe);
    assert_eq!(syn_ack & TcpFlags::ACK, TcpFlags::ACK);
}

#[test]
fn flags_are_shown_by_name() {
    assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "SYN|ACK");
    assert_eq!(TcpFlags(0x1ff).to_string(), "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|AE");
    assert_eq!(TcpFlags(0).to_string(), "0x0");
    assert_eq!(TcpFlags(0x802).to_string(), "SYN|0x800");
    assert_eq!(format!("{:?}", TcpFlags::RST), "TcpFlags(RST)");
}
