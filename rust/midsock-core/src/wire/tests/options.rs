use super::super::options::{self, Cookie, Options, parse};
use super::*;

#[test]
fn nothing() {
    assert_eq!(parse(&[]), Options::default());
    assert_eq!(parse(&[1, 1, 1, 1]), Options::default());
    // What follows the end of the list is padding.
    assert_eq!(parse(&[0, 2, 4, 5, 180]), Options::default());
}

#[test]
fn a_syn_of_linux() {
    let frame = v4().mss(1460).sack_permitted().timestamps(7, 0).window_scale(10).build();
    let segment = tcp_of(&frame);
    // Laid out just as Linux does.
    assert_eq!(segment.options(&frame), [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 1, 3, 3, 10]);
    let found = parse(segment.options(&frame));
    assert_eq!(found.mss, Some(1460));
    assert_eq!(found.window_scale, Some(10));
    assert_eq!(found.timestamps, Some((7, 0)));
    assert!(found.sack_permitted && !found.malformed && !found.window_scale_clamped);
}

#[test]
fn sack_blocks() {
    let blocks = [(1, 2), (u32::MAX, 5), (6, 7), (8, 9)];
    for count in 1..=4 {
        let frame = v4().sack(&blocks[..count]).build();
        let found = parse(tcp_of(&frame).options(&frame));
        assert_eq!(found.sack_blocks(), &blocks[..count]);
        assert!(!found.malformed);
    }
    let frame = v4().timestamps(1, 2).sack(&blocks[..3]).build();
    let found = parse(tcp_of(&frame).options(&frame));
    assert_eq!((found.timestamps, found.sack_count), (Some((1, 2)), 3));
}

#[test]
fn large_window_scales_count_as_14() {
    for (shift, used, clamped) in [(0, 0, false), (14, 14, false), (15, 14, true), (255, 14, true)] {
        let found = parse(&[3, 3, shift]);
        assert_eq!((found.window_scale, found.window_scale_clamped), (Some(used), clamped));
        assert!(!found.malformed);
    }
}

#[test]
fn fast_open() {
    let request = parse(&[34, 2]);
    assert_eq!(request.fast_open, Some(Cookie { offset: 2, length: 0 }));
    let bytes = [1, 1, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let cookie = parse(&bytes).fast_open.unwrap();
    assert_eq!((cookie.offset, cookie.bytes(&bytes)), (4, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    let experimental = [254, 8, 0xf9, 0x89, 1, 2, 3, 4];
    assert_eq!(parse(&experimental).fast_open.unwrap().bytes(&experimental), [1, 2, 3, 4]);
    assert_eq!(parse(&[254, 4, 0xf9, 0x89]).fast_open, Some(Cookie { offset: 4, length: 0 }));
    assert_eq!(cookie.bytes(&[]), b"");
    for bad in [
        &[34, 3, 1][..],
        &[34, 7, 1, 2, 3, 4, 5],
        &[34, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let found = parse(bad);
        assert!(found.fast_open.is_none() && found.malformed, "{bad:?}");
    }
}

#[test]
fn other_kinds_are_passed_over() {
    let others = [
        &[28, 4, 0x80, 10][..],                                    // user timeout
        &[19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // MD5
        &[29, 4, 1, 1],                                            // AO
        &[30, 4, 0, 1],                                            // MPTCP
        &[254, 4, 1, 2],                                           // another experiment
        &[77, 2],                                                  // unassigned
    ];
    for other in others {
        let found = parse(&[other, &[2, 4, 5, 180]].concat());
        assert_eq!(found, Options { mss: Some(1460), ..Options::default() }, "{other:?}");
    }
}

#[test]
fn the_last_of_two_holds() {
    assert_eq!(parse(&[2, 4, 0, 1, 2, 4, 0, 2]).mss, Some(2));
    assert_eq!(parse(&[3, 3, 15, 3, 3, 2]), Options { window_scale: Some(2), ..Options::default() });
}

#[test]
fn a_wrong_length_loses_that_option_only() {
    for bad in [&[2, 3, 5][..], &[3, 2], &[4, 3, 0], &[5, 2], &[5, 9, 0, 0, 0, 0, 0, 0, 0], &[8, 4, 0, 0]] {
        let found = parse(&[bad, &[2, 4, 5, 180]].concat());
        assert_eq!(found, Options { mss: Some(1460), malformed: true, ..Options::default() }, "{bad:?}");
    }
}

#[test]
fn an_impossible_length_ends_the_list() {
    for bad in
        [&[8][..], &[8, 0, 2, 4, 5, 180], &[8, 1, 2, 4, 5, 180], &[8, 10, 0, 0], &[77, 255, 2, 4, 5, 180]]
    {
        let found = parse(&[&[3, 3, 5], bad].concat());
        assert_eq!(
            found,
            Options { window_scale: Some(5), malformed: true, ..Options::default() },
            "{bad:?}"
        );
    }
}

#[test]
fn timestamps_wherever_they_are() {
    let option = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    for before in [&[][..], &[1], &[1, 1], &[2, 4, 5, 180], &[1, 1, 1]] {
        for after in [&[][..], &[0, 0], &[1, 1]] {
            assert_eq!(options::timestamps(&[before, &option, after].concat()), Some((1, 2)));
        }
    }
    assert_eq!(options::timestamps(&[]), None);
    assert_eq!(options::timestamps(&[1, 1, 8, 9, 0, 0, 0, 1, 0, 0, 0]), None);
}

proptest! {
    #[test]
    fn any_bytes(bytes in bytes(60)) {
        let found = parse(&bytes);
        prop_assert!(found.sack_blocks().len() <= 4);
        prop_assert!(found.window_scale.is_none_or(|shift| shift <= 14));
        prop_assert_eq!(options::timestamps(&bytes), found.timestamps);
        if let Some(cookie) = found.fast_open {
            prop_assert_eq!(cookie.bytes(&bytes).len(), usize::from(cookie.length));
        }
    }

    #[test]
    fn likely_bytes(bytes in proptest::collection::vec(0..12_u8, 0..=40)) {
        prop_assert_eq!(options::timestamps(&bytes), parse(&bytes).timestamps);
    }
}
