use super::super::options::parse;
use super::*;

#[test]
fn ethernet_addresses_match_in_both_directions() {
    let there = v4().build();
    let back = TcpFrame::new(address("198.51.100.7:80"), address("192.0.2.1:40000")).build();
    assert_eq!(there[..6], back[6..12]);
    assert_eq!(there[6..12], back[..6]);
    let given = v4().ethernet([1; 6], [2; 6]).build();
    assert_eq!(given[..12], [[2; 6], [1; 6]].concat());
}

#[test]
fn mixed_versions_are_mapped() {
    let frame = TcpFrame::new(address("192.0.2.1:1"), address("[2001:db8::1]:2")).build();
    let segment = tcp_of(&frame);
    assert_eq!(segment.version, 6);
    assert_eq!(segment.source(&frame), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
}

#[test]
fn too_many_options_are_left_out() {
    let frame = v4().options(&[1; 38]).timestamps(1, 2).options(&[9; 9]).payload(b"data").build();
    let segment = tcp_of(&frame);
    assert_eq!(segment.options(&frame).len(), 40);
    assert_eq!(segment.payload(&frame), b"data");
    let frame = v4().ip_options(&[1; 99]).build();
    assert_eq!(tcp_of(&frame).transport, 14 + 60);
}

#[test]
fn fields_of_ip() {
    let frame = v4().identification(0xbeef).build();
    assert_eq!(frame[14 + 4..14 + 8], [0xbe, 0xef, 0x40, 0]);
}

#[test]
fn frames_can_be_written_one_after_the_other() {
    let mut out = v4().build();
    let first = out.len();
    v6().payload(b"x").write(&mut out);
    assert_eq!(out[first..], v6().payload(b"x").build());
}

proptest! {
    #[test]
    fn frames_decode_to_what_was_given(recipe in recipe()) {
        let frame = recipe.build();
        let mut segment = Segment::default();
        let outcome = decode(&frame, recipe.link, frame.len() as u32, &mut segment);
        prop_assert_eq!(outcome, Outcome::Tcp);
        prop_assert_eq!(segment.version, if recipe.v6 { 6 } else { 4 });
        prop_assert_eq!((segment.seq, segment.ack, segment.window), (recipe.seq, recipe.ack, recipe.window));
        prop_assert_eq!(segment.flags.bits(), recipe.flags);
        prop_assert_eq!(segment.payload(&frame), &recipe.payload[..]);
        prop_assert_eq!(segment.length as usize, recipe.payload.len());
        prop_assert_eq!(&segment.options(&frame)[..recipe.options.len()], &recipe.options[..]);
        prop_assert_eq!(segment.source_port(&frame), 40000);
        let mut ids = recipe.vlan.iter().map(|tag| tag & 0xfff).filter(|id| *id != 0);
        if recipe.has_vlan() {
            prop_assert_eq!(segment.vlan, [ids.next().unwrap_or(0), ids.next().unwrap_or(0)]);
        }
        prop_assert_eq!(super::super::checksum::verify_tcp(&frame, &segment), super::super::Checksum::Good);
        prop_assert_eq!(super::super::checksum::verify_ipv4_header(&frame, &segment), super::super::Checksum::Good);
        let _ = parse(segment.options(&frame));
    }
}
