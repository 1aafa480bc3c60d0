//! Connections whose packets come in fragments.

use super::talk::{ACK, Talk};
use super::*;
use crate::Side::{Client, Server};
use crate::defrag::{FragmentPolicy, kit};
use crate::port::LinkType;
use crate::wire::TcpFrame;

/// A conversation of which the client says something long.
fn talk() -> Talk {
    let mut talk = Talk::opened();
    talk.say(Client, &DATA).close();
    talk
}

const DATA: [u8; 60] = [b'd'; 60];

/// The same, with every packet that is long enough in fragments of so many bytes.
fn fragmented(talk: &Talk, size: usize) -> Talk {
    let mut cut = talk.clone();
    cut.frames.clear();
    for (id, frame) in talk.frames.iter().enumerate() {
        for bytes in kit::pieces(&frame.bytes, id as u32, size) {
            cut.frames.push(Frame::from((frame.time, bytes, LinkType::Ethernet)));
        }
    }
    cut
}

fn lines(talk: &Talk) -> (Vec<String>, Statistics) {
    let (result, _) = Bench::default().run(&talk.frames);
    (result.lines, result.statistics)
}

#[test]
fn fragments_come_to_what_the_whole_packets_do() {
    for vlan in [&[][..], &[5], &[5, 6]] {
        for ends in [["192.0.2.1:4000", "198.51.100.1:80"], ["[2001:db8::1]:4000", "[2001:db8::2]:80"]] {
            let mut talk = Talk::new();
            (talk.ends, talk.vlan) = (ends.map(|end| end.parse().unwrap()), vlan.to_vec());
            talk.open().say(Client, &DATA).say(Server, &[b's'; 3000]).close();
            let (expected, statistics) = lines(&talk);
            assert!(
                statistics.fragments == 0 && expected.iter().any(|line| line.contains("NEW_DATA server"))
            );
            for size in [24, 40, 1000] {
                let (got, statistics) = lines(&fragmented(&talk, size));
                assert_eq!(got, expected, "in pieces of {size}");
                assert!(statistics.fragments > 0);
                assert_eq!(statistics.tcp, talk.frames.len() as u64);
                let defrag = statistics.defrag;
                assert_eq!((defrag.waiting, defrag.bytes, defrag.refused), (0, 0, 0));
                assert_eq!(defrag.overlaps + defrag.tiny, 0);
            }
        }
    }
}

#[test]
fn the_last_piece_can_come_first() {
    let talk = talk();
    let mut cut = fragmented(&talk, 24);
    let at = cut.frames.iter().position(|frame| frame.bytes.len() > 34 + 20 + 3).unwrap();
    let end = at + 4;
    cut.frames[at..end].reverse();
    assert_eq!(lines(&cut).0, lines(&talk).0);
}

#[test]
fn what_is_odd_about_fragments_is_told_on_their_flow() {
    let mut talk = Talk::opened();
    talk.say(Client, &DATA);
    let whole = talk.frames.pop().unwrap();
    let mut other = whole.bytes.clone();
    other[34 + 32..34 + 40].fill(b'x');
    for bytes in
        [kit::cut(&whole.bytes, 9, 0, 40), kit::cut(&other, 9, 32, 56), kit::cut(&whole.bytes, 9, 56, 80)]
    {
        talk.frames.push(Frame::from((whole.time, bytes, LinkType::Ethernet)));
    }
    talk.close();
    let mut bench = Bench::default();
    let (result, records) = bench.run(&talk.frames);
    assert_eq!(anomalies(&records[0]), [("fragment_overlap", 1), ("fragment_different_content", 1)]);
    let data = result.lines.iter().find(|line| line.contains("NEW_DATA")).unwrap();
    // What came first holds, and the checksum with it.
    assert!(data.ends_with(&"d".repeat(60)), "{data}");
    assert_eq!((result.statistics.defrag.overlaps, result.statistics.defrag.different), (1, 1));
    bench.config.checksums = ChecksumPolicy::Ignore;
    let mut hosts = bench.config.clone();
    hosts.hosts.add("198.51.100.0/24", crate::reassembly::Overlap::Last).unwrap();
    let (result, _) = Bench { config: hosts, ..Bench::default() }.run(&talk.frames);
    assert!(result.lines.iter().any(|line| line.contains("dxxxxxxxxd")), "{:?}", result.lines);
    for (policy, content) in [(FragmentPolicy::First, "d"), (FragmentPolicy::Last, "x")] {
        bench.config.fragment_overlap = Some(policy);
        let (result, _) = bench.run(&talk.frames);
        let text = format!("{}{}", "d".repeat(12), content.repeat(8));
        assert!(result.lines.iter().any(|line| line.contains(&format!(" {text}"))), "{:?}", result.lines);
    }
}

/// A frame in a tunnel: GRE over IPv4 between two hosts, with a key.
fn gre(frame: &[u8], key: u8) -> Vec<u8> {
    let packet = &frame[14..];
    let total = (20 + 8 + packet.len() as u16).to_be_bytes();
    let mut outer = frame[..14].to_vec();
    outer.extend([0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 47, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    crate::wire::checksum::mend_ipv4_header(&mut outer[14..]);
    outer.extend([0x20, 0, 8, 0, 0, 0, 0, key]);
    outer.extend(packet);
    outer
}

/// The frames that a frame becomes; the number is its place.
type Way<'a> = &'a dyn Fn(usize, &[u8]) -> Vec<Vec<u8>>;

/// Every frame changed.
fn changed(talk: &Talk, change: impl Fn(usize, &[u8]) -> Vec<Vec<u8>>) -> Talk {
    let mut other = talk.clone();
    other.frames.clear();
    for (at, frame) in talk.frames.iter().enumerate() {
        for bytes in change(at, &frame.bytes) {
            other.frames.push(Frame::from((frame.time, bytes, LinkType::Ethernet)));
        }
    }
    other
}

#[test]
fn tunnels_in_fragments_and_fragments_in_tunnels() {
    let talk = talk();
    let expected = lines(&talk).0;
    let tunnels = changed(&talk, |_, frame| vec![gre(frame, 7)]);
    assert_eq!(lines(&tunnels).0, expected);
    let ways: [(&str, Way); 3] = [
        ("a tunnel in fragments", &|id, frame| kit::pieces(&gre(frame, 7), id as u32, 32)),
        ("fragments in a tunnel", &|id, frame| {
            kit::pieces(frame, id as u32, 32).iter().map(|piece| gre(piece, 7)).collect()
        }),
        ("fragments in a tunnel in fragments", &|id, frame| {
            let inner = kit::pieces(frame, id as u32, 40);
            let outer = inner.iter().enumerate();
            outer.flat_map(|(i, piece)| kit::pieces(&gre(piece, 7), (id * 100 + i) as u32, 24)).collect()
        }),
    ];
    for (what, way) in ways {
        let cut = changed(&talk, way);
        let (got, statistics) = lines(&cut);
        assert_eq!(got, expected, "{what}");
        assert!(statistics.defrag.reassembled > 0 && statistics.defrag.waiting == 0);
        // They are one flow with what comes whole through the same tunnel, and another than through another one.
        let mixed =
            changed(&talk, |at, frame| if at % 2 == 0 { way(at, frame) } else { vec![gre(frame, 7)] });
        assert_eq!(lines(&mixed).0, expected, "{what}, mixed");
        let crossed = changed(&talk, |at, frame| if at == 3 { way(at, frame) } else { vec![gre(frame, 8)] });
        assert_ne!(lines(&crossed).0, expected, "{what}, crossed");
    }
}

#[test]
fn fragments_of_two_vlans_are_of_two_datagrams() {
    let mut talk = Talk::opened();
    talk.say(Client, &DATA);
    let frame = talk.frames.pop().unwrap();
    let in_vlan = TcpFrame::new(talk.ends[0], talk.ends[1]).vlan(&[5]).payload(&DATA).flags(ACK).build();
    let parts = [kit::cut(&frame.bytes, 9, 0, 40), kit::cut(&in_vlan, 9, 40, 80)];
    talk.frames.extend(parts.map(|bytes| Frame::from((frame.time, bytes, LinkType::Ethernet))));
    let (_, statistics) = lines(&talk);
    assert_eq!((statistics.defrag.reassembled, statistics.defrag.waiting), (0, 2));
}

#[test]
fn datagrams_that_stay_incomplete_are_given_up_by_packet_time() {
    let mut talk = talk();
    talk.frames[3] = {
        let frame = &talk.frames[3];
        Frame::from((frame.time, kit::cut(&frame.bytes, 9, 0, 40), LinkType::Ethernet))
    };
    talk.wait(59 * SECOND).ack(Server);
    assert_eq!(lines(&talk).1.defrag.waiting, 1);
    talk.wait(2 * SECOND).ack(Server);
    let defrag = lines(&talk).1.defrag;
    assert_eq!((defrag.waiting, defrag.timed_out, defrag.bytes), (0, 1, 0));
}

#[test]
fn a_flood_of_fragments_does_not_touch_flows() {
    let mut talk = Talk::opened();
    let mut bench = Bench::default();
    bench.config.max_fragments = 100_000;
    for id in 0..5000_u32 {
        if id % 100 == 0 {
            talk.say(Client, b"still here");
        }
        let bytes = kit::fragment(4, 17, id, 8 * (id as usize % 50), true, &[0; 200]);
        talk.frames.push(Frame::from((talk.now, bytes, LinkType::Ethernet)));
    }
    talk.close();
    let (result, records) = bench.run(&talk.frames);
    assert!(result.statistics.defrag.bytes <= 100_000 && result.statistics.defrag.shed > 4000);
    assert_eq!(records[0].sides[0].bytes, 500);
}

#[test]
fn a_segment_with_a_broken_header_in_fragments_is_told_too() {
    let mut talk = talk();
    talk.frames[3].bytes[34 + 12] = 0x10;
    let cut = fragmented(&talk, 40);
    let (_, records) = Bench::default().run(&cut.frames);
    assert_eq!(anomalies(&records[0])[0].0, "bad_header");
}

#[test]
fn fragments_with_a_wrong_header_checksum_do_not_count() {
    let talk = talk();
    let mut cut = fragmented(&talk, 40);
    let at = cut.frames.iter().position(|frame| frame.bytes[20] & 0x20 != 0).unwrap();
    let mut bad = cut.frames[at + 1].clone();
    bad.bytes[24] ^= 1;
    bad.bytes[34..].fill(b'x');
    cut.frames.insert(at + 1, bad);
    let (got, statistics) = lines(&cut);
    assert_eq!(got, lines(&talk).0);
    assert_eq!(statistics.defrag.refused, 1);
}
