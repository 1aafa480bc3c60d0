//! Bytes that nobody sane would send.

use super::super::checksum::{verify_ipv4_header, verify_tcp};
use super::super::{Decoder, options, plain};
use super::*;

/// Decodes, holds the result against every promise of [`Segment`], and uses all of it.
pub(super) fn check(frame: &[u8], link: LinkType, wire_length: u32) -> Outcome {
    let mut segment = Segment::default();
    let outcome = decode(frame, link, wire_length, &mut segment);
    if segment.version != 0 {
        assert!(matches!(segment.version, 4 | 6));
        assert!(usize::from(segment.network) < frame.len());
    }
    if outcome == Outcome::Tcp {
        let (network, transport, payload) = (segment.network, segment.transport, segment.payload);
        assert!(network < transport && transport + 20 <= payload, "{segment:?}");
        assert!(segment.captured <= segment.length, "{segment:?}");
        assert!(usize::from(payload) + segment.captured as usize <= frame.len(), "{segment:?}");
        assert!(
            u64::from(payload) + u64::from(segment.length)
                <= u64::from(wire_length).max(frame.len() as u64 + 40)
        );
        assert_eq!(segment.payload(frame).len(), segment.captured as usize);
        assert_eq!(segment.options(frame).len(), usize::from(payload - transport) - 20);
        assert_eq!(segment.source(frame).len(), if segment.version == 4 { 4 } else { 16 });
        let _ = options::parse(segment.options(frame));
    }
    let _ = (verify_tcp(frame, &segment), verify_ipv4_header(frame, &segment));
    let _ = (segment.ttl(frame), segment.tos(frame), segment.sequence_length());

    let mut layers = Segment::default();
    assert_eq!(Decoder::default().decode_layers(frame, link, wire_length, &mut layers), outcome);
    if outcome == Outcome::Tcp {
        assert_eq!(layers, segment, "the straight line and the layers differ");
    }
    outcome
}

#[test]
fn common_frames_take_the_straight_line() {
    let mut segment = Segment::default();
    for (frame, headers) in [(v4(), 66), (v6(), 86)] {
        let frame = frame.timestamps(1, 2).payload(b"data");
        for tags in [&[][..], &[5], &[5, 6], &[0, 6]] {
            let frame = frame.clone().vlan(tags).build();
            let cut = &frame[..headers + 4 * tags.len()];
            assert!(plain::decode(&frame, frame.len() as u32, &mut segment));
            assert!(plain::decode(cut, frame.len() as u32, &mut segment));
            assert_eq!((segment.length, segment.captured), (4, 0));
        }
    }
    let others = [v4().vlan(&[1, 2, 3]), v4().ip_options(&[1]), v6().extensions(&[(60, &[])])];
    for frame in others.map(|frame| frame.build()) {
        assert!(!plain::decode(&frame, frame.len() as u32, &mut segment));
    }
}

#[test]
fn every_frame_cut_at_every_byte() {
    let chain: [(u8, &[u8]); 4] = [(0, &[0; 6]), (43, &[0; 22]), (44, &[0; 6]), (51, &[0; 10])];
    for link in LINKS {
        let frames = [
            v4().payload(b"data").mss(1).build(),
            v4().vlan(&[1, 2, 3]).ip_options(&[1; 12]).link(link).payload(b"data").padding(3).build(),
            v4().link(link).timestamps(1, 2).payload(b"data").build(),
            v6().vlan(&[1]).extensions(&chain).link(link).payload(b"data").build(),
        ];
        for frame in frames {
            for cut in 0..=frame.len() {
                check(&frame[..cut], link, frame.len() as u32);
                check(&frame[..cut], link, cut as u32);
                check(&frame[..cut], link, 0);
                check(&frame[..cut], link, u32::MAX);
            }
        }
    }
}

#[test]
fn every_byte_of_a_frame_at_its_extremes() {
    let chain: [(u8, &[u8]); 2] = [(43, &[0; 22]), (51, &[0; 10])];
    for link in LINKS {
        for frame in [
            v4().link(link).vlan(&[3]).mss(1460).ip_options(&[1; 4]).payload(b"data").build(),
            v6().link(link).extensions(&chain).mss(1460).payload(b"data").build(),
            // These take the straight line.
            v4().link(link).timestamps(1, 2).payload(b"data").build(),
            v6().link(link).payload(b"data").padding(2).build(),
            v4().link(link).vlan(&[3]).payload(b"data").build(),
            v6().link(link).vlan(&[3, 4]).payload(b"data").build(),
        ] {
            for at in 0..frame.len() {
                for value in 0..=255 {
                    let mut changed = frame.clone();
                    changed[at] = value;
                    check(&changed, link, frame.len() as u32);
                }
            }
        }
    }
}

fn any_link() -> impl Strategy<Value = LinkType> {
    prop_oneof![9 => proptest::sample::select(&LINKS[..]), 1 => any::<u16>().prop_map(LinkType::Other)]
}

proptest! {
    #[test]
    fn random_bytes(bytes in bytes(200), link in any_link(), wire in any::<u32>()) {
        check(&bytes, link, wire);
    }

    #[test]
    fn random_bytes_behind_a_sound_start(tail in bytes(200), recipe in recipe(), keep in 0..120_usize, wire in 0..400_u32) {
        let mut frame = recipe.build();
        frame.truncate(keep);
        frame.extend(tail);
        check(&frame, recipe.link, wire);
    }

    #[test]
    fn mutated_frames(
        recipe in recipe(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        wire in prop_oneof![0..300_u32, any::<u32>()],
    ) {
        let mut frame = recipe.build();
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        check(&frame, recipe.link, wire);
        check(&frame[..cut.index(frame.len())], recipe.link, wire);
    }
}
