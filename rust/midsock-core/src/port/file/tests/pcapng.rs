use super::super::super::{LinkType, TIME_LIMIT};
use super::super::clock::Clock;
use super::super::read_from;
use super::build::*;

#[test]
fn every_kind_of_block_in_both_byte_orders() {
    for order in BOTH {
        let packets = read(&small_pcapng(order));
        let seen: Vec<_> = packets
            .iter()
            .map(|p| (p.time, &p.bytes[..], p.length, p.link.to_linktype(), p.interface))
            .collect();
        assert_eq!(
            seen,
            [
                (1, &[1, 2, 3][..], 3, 1, 0),
                // Without a time of its own.
                (1, &[8, 9][..], 2, 1, 0),
                (5000, &[4; 17][..], 100, 101, 1),
                (6000, &[5; 6][..], 100, 113, 2),
            ]
        );
    }
}

#[test]
fn sections_can_differ_in_byte_order() {
    let file = [small_pcapng(LITTLE), small_pcapng(BOTH[1]), small_pcapng(LITTLE)].concat();
    let packets = read(&file);
    assert_eq!(packets.len(), 12);
    assert_eq!(packets[4].bytes, packets[0].bytes);
    assert_eq!(packets[11].interface, 8);
}

#[test]
fn obsolete_packet_block() {
    for order in BOTH {
        let body =
            [order.u16(1).to_vec(), order.u16(77).to_vec(), order.words(&[0, 42, 3, 60]), vec![1, 2, 3]]
                .concat();
        let file = [
            order.section(),
            order.interface(1, 0, &[]),
            order.interface(276, 0, &[]),
            order.block(2, &body),
        ];
        let packets = read(&file.concat());
        assert_eq!((packets[0].time, packets[0].length, packets[0].interface), (42_000, 60, 1));
        assert_eq!((packets[0].link, &packets[0].bytes[..]), (LinkType::LinuxSll2, &[1, 2, 3][..]));
    }
}

#[test]
fn simple_packets_are_cut_at_the_snapshot_length() {
    let order = LITTLE;
    for (snaplen, captured) in [(0, 8), (5, 5), (100, 8)] {
        let file = [
            order.section(),
            order.interface(1, snaplen, &[]),
            order.block(3, &[&order.u32(2000)[..], &[1; 8]].concat()),
        ];
        let packets = read(&file.concat());
        assert_eq!((packets[0].bytes.len(), packets[0].length), (captured, 2000));
    }
}

#[test]
fn clocks_of_every_resolution() {
    assert_eq!(Clock::default().time(1), 1000);
    assert_eq!(Clock::new(0, 0).time(3), 3_000_000_000);
    assert_eq!(Clock::new(9, 0).time(3), 3);
    assert_eq!(Clock::new(12, 0).time(7_999), 7);
    assert_eq!(Clock::new(0x80, 0).time(3), 3_000_000_000);
    assert_eq!(Clock::new(0x80 | 32, 0).time(1 << 31), 500_000_000);
    assert_eq!(Clock::new(0x80 | 63, 0).time(u64::MAX), 1_999_999_999);
    assert_eq!(Clock::new(6, 100).time(1), 100_000_001_000);
    assert_eq!(Clock::new(6, -1).time(1), -999_999_000);
    for resolution in 0..=255 {
        for offset in [0, 1, -1, i64::MAX, i64::MIN] {
            for ticks in [0, 1, u64::MAX, 1 << 63] {
                let time = Clock::new(resolution, offset).time(ticks);
                assert!((-TIME_LIMIT..=TIME_LIMIT).contains(&time));
            }
        }
    }
    assert_eq!(Clock::new(127, 0).time(u64::MAX), 0);
    assert_eq!(Clock::new(0, 0).time(u64::MAX), TIME_LIMIT);
}

#[test]
fn interface_options_are_taken_and_others_passed_over() {
    for order in BOTH {
        let options = [
            order.option(2, b"eth0"),
            order.option(0x8123, &[1; 13]),
            order.option(14, &order.u64(10)),
            order.option(9, &[3]),
            order.option(0, &[]),
            // Behind the end of options.
            order.option(9, &[0]),
        ]
        .concat();
        let file = [order.section(), order.interface(1, 0, &options), order.enhanced(0, 5, 1, &[1])];
        assert_eq!(read(&file.concat())[0].time, 10_005_000_000);
    }
}

#[test]
fn broken_options_end_the_options_only() {
    let order = LITTLE;
    let broken = [&order.option(9, &[9])[..], &order.u16(5), &order.u16(60_000), &[1, 2, 3, 4]].concat();
    let short_values = [order.option(9, &[]), order.option(14, &[1])].concat();
    for (options, time) in [(broken, 5), (short_values, 5000)] {
        let file = [order.section(), order.interface(1, 0, &options), order.enhanced(0, 5, 1, &[1])];
        assert_eq!(read(&file.concat())[0].time, time);
    }
}

#[test]
fn packets_that_contradict_themselves_are_passed_over_and_counted() {
    let order = LITTLE;
    let mut too_long = order.enhanced(0, 1, 9, &[1; 4]);
    too_long[20..24].copy_from_slice(&order.u32(5));
    let file = [
        order.section(),
        order.block(3, &order.u32(0)),
        order.interface(1, 0, &[]),
        too_long,
        order.enhanced(7, 1, 9, &[1; 4]),
        order.block(6, &[0; 16]),
        order.block(2, &[]),
        order.block(3, &[]),
        order.enhanced(0, 2, 9, &[2; 4]),
    ];
    let read = try_read(&file.concat()).unwrap();
    assert_eq!(read.packets.len(), 1);
    assert_eq!(read.statistics.malformed, 6);
    assert_eq!(
        read.warning.unwrap(),
        "t.pcap: 6 packet blocks contradict themselves or name an unknown interface and were passed over"
    );
}

#[test]
fn block_lengths_that_cannot_be_true_end_the_file() {
    let order = LITTLE;
    let good = [order.section(), order.interface(1, 0, &[]), order.enhanced(0, 1, 9, &[1; 4])].concat();
    for (length, kind) in
        [(0, 6), (8, 6), (11, 9), (37, 6), (u32::MAX, 6), (0x8000_0000, 6), (40, 0x0a0d_0d0a)]
    {
        let bad = [order.words(&[kind, length]), vec![0; 60]].concat();
        let file = [&good[..], &bad, &good].concat();
        let read = try_read(&file).unwrap();
        assert_eq!(read.packets.len(), 1, "{length}");
        let warning = read.warning.unwrap();
        assert!(warning.contains(&format!("damaged: the record at byte {}", good.len())), "{warning}");
    }
    let mut contradiction = order.block(0xbad, &[1; 8]);
    contradiction[16] = 99;
    let warning = try_read(&[good, contradiction].concat()).unwrap().warning.unwrap();
    assert!(warning.contains("is 20 bytes long by its start and 99 by its end"), "{warning}");
}

#[test]
fn blocks_longer_than_the_window_are_passed_over() {
    let order = LITTLE;
    let file = [
        order.section(),
        order.interface(1, 0, &[]),
        order.enhanced(0, 1, 9, &[1; 4]),
        order.block(0xbad, &vec![0; 5_000_001]),
        order.enhanced(0, 2, 9, &[2; 4]),
    ]
    .concat();
    assert_eq!(read(&file).len(), 2);
    for piece in [65_536, 1021] {
        let drip = Drip::new(file.clone(), piece);
        let read = drain(&mut *read_from(drip, "drip").unwrap());
        assert_eq!((read.packets.len(), read.warning), (2, None));
    }
    for cut in [4_000_000, file.len() - 37, file.len() - 38, file.len() - 40] {
        let read = try_read(&file[..cut]).unwrap();
        assert_eq!(read.packets.len(), 1);
        assert!(read.warning.unwrap().contains("cut short"));
    }
    let mut wrong = file.clone();
    let trailer = file.len() - 36 - 4;
    wrong[trailer] ^= 1;
    let read = try_read(&wrong).unwrap();
    assert_eq!(read.packets.len(), 1);
    assert!(read.warning.unwrap().contains("by its end"));
}

#[test]
fn a_packet_with_options_as_long_as_the_window_allows() {
    let order = LITTLE;
    let body = [order.words(&[0, 0, 1, 262_144, 262_144]), vec![3; 262_144], vec![0; 700_000]].concat();
    let file = [order.section(), order.interface(1, 0, &[]), order.block(6, &body), order.block(6, &body)];
    let packets = read(&file.concat());
    assert_eq!(packets.len(), 2);
    assert!(packets[1].bytes.len() == 262_144 && packets[1].bytes.iter().all(|&b| b == 3));
}

#[test]
fn sections_nobody_knows_are_refused() {
    let mut file = small_pcapng(LITTLE);
    file[12] = 2;
    assert_eq!(
        try_read(&file).unwrap_err(),
        "t.pcap: the file starts a section of pcapng version 2.0; versions 1.x are read"
    );
    file[8] = 0;
    assert_eq!(try_read(&file).unwrap_err(), "t.pcap: the file starts a section of unknown byte order");
}

#[test]
fn interfaces_are_limited_in_number() {
    let order = LITTLE;
    let mut file = order.section();
    for _ in 0..65_540 {
        file.extend(order.interface(1, 0, &[]));
    }
    file.extend(order.enhanced(65_535, 1, 1, &[1]));
    file.extend(order.enhanced(65_536, 1, 1, &[1]));
    let read = try_read(&file).unwrap();
    assert_eq!((read.packets.len(), read.packets[0].interface), (1, 65_535));
    assert_eq!(read.statistics.malformed, 1);
}
