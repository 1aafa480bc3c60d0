//! Packets that make no sense, and applications that do whatever they may at any time.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::Side::{Client, Server};
use crate::event::{Filter, HandlerId};
use crate::port::LinkType;
use crate::reassembly::Overlap;
use crate::wire::{TcpFlags, TcpFrame};

/// A packet of one of a few connections, with numbers that are near those that make sense or not.
#[derive(Clone, Debug)]
struct Any {
    flow: u16,
    from_client: bool,
    flags: u16,
    seq: u32,
    ack: u32,
    window: u16,
    length: usize,
    wait: Nanos,
    cut: usize,
    claims: u32,
    bad: bool,
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => (0..400_u32).prop_map(|n| 0_u32.wrapping_sub(100).wrapping_add(n)),
        1 => any::<u32>(),
        1 => prop_oneof![Just(1_u32 << 31), Just(1 << 30), Just((1 << 30) + 200), Just(u32::MAX / 2)],
    ]
}

fn any_packet() -> impl Strategy<Value = Any> {
    let flags = prop_oneof![
        4 => Just(0x10_u16), 2 => Just(0x02), 2 => Just(0x12), 2 => Just(0x11), 1 => Just(0x14), 1 => 0..0x200_u16,
    ];
    let wait = prop_oneof![6 => 0..200 * MS, 1 => 0..5000 * SECOND, 1 => -SECOND..0, 1 => Just(Nanos::MAX)];
    let cut = prop_oneof![6 => Just(0_usize), 1 => 0..200_usize];
    let claims = prop_oneof![8 => Just(0_u32), 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let length = prop_oneof![3 => Just(0_usize), 3 => 0..100_usize, 1 => 0..3000_usize];
    (
        (0..3_u16, any::<bool>(), flags, number(), number()),
        (
            prop_oneof![3 => Just(u16::MAX), 1 => 0..10_u16],
            length,
            wait,
            cut,
            claims,
            prop::bool::weighted(0.1),
        ),
    )
        .prop_map(|((flow, from_client, flags, seq, ack), (window, length, wait, cut, claims, bad))| {
            Any { flow, from_client, flags, seq, ack, window, length, wait, cut, claims, bad }
        })
}

fn frames(packets: &[Any]) -> Vec<Frame> {
    let mut now = 1_700_000_000_000_000_000;
    let payload = [b'z'; 3000];
    packets
        .iter()
        .enumerate()
        .map(|(i, packet)| {
            let mut ends = [([192, 0, 2, 1], 4000 + packet.flow).into(), ([198, 51, 100, 1], 80).into()];
            if !packet.from_client {
                ends.reverse();
            }
            let mut frame = TcpFrame::new(ends[0], ends[1])
                .seq(packet.seq)
                .ack(packet.ack)
                .flags(TcpFlags(packet.flags))
                .window(packet.window)
                .payload(&payload[i % 7..][..packet.length.min(2900)]);
            if packet.flags & 2 != 0 {
                frame = frame.window_scale(packet.window as u8);
            }
            if packet.bad {
                frame = frame.bad_checksum();
            }
            let mut bytes = frame.build();
            let length = bytes.len() as u32;
            if packet.claims > 0 {
                // As segmentation offload leaves it: the length on the wire counts.
                bytes[16..18].fill(0);
            }
            bytes.truncate(bytes.len() - packet.cut.min(bytes.len()));
            now = i64::saturating_add(now, packet.wait);
            let (link, checksum) = (LinkType::Ethernet, crate::port::ChecksumState::Unknown);
            Frame { time: now, bytes, length: length.max(packet.claims), link, checksum, interface: 0 }
        })
        .collect()
}

/// Does something that the numbers choose.
fn meddle(choices: &RefCell<Vec<u8>>, stack: &mut Stack<u32>, upcall: &Upcall) {
    let next = || choices.borrow_mut().pop().unwrap_or(255);
    let (what, amount) = (next(), next());
    let Some(flow) = upcall.flow else { return };
    let side = if amount & 1 == 0 { Client } else { Server };
    let size = u64::from(amount) * 3;
    let refused = match what % 20 {
        0 => stack.set_track(flow, side, amount & 2 == 0),
        1 => stack.set_reassemble(flow, side, amount & 2 == 0),
        2 => stack.set_depth(flow, side, size),
        3 => stack.set_buffer(flow, side, size),
        4 => stack.set_overlap(flow, side, if amount & 2 == 0 { Overlap::First } else { Overlap::Last }),
        5 if amount < 80 => stack.stop(flow),
        6 => stack.set_timer(Some(flow), size as Nanos * MS * 10, Some(HandlerId(2)), 1).map(drop),
        7 => stack.register_flow(flow, wish(Kind::PktIn, Hook::PreTcp, 3)).map(drop),
        8 => stack.register_flow(flow, wish(Kind::Rexmit, Hook::PostSnd, u32::from(amount))).map(drop),
        9 => stack.peek_at(flow, side, size, 10).map(drop),
        10 => {
            let event = stack.define(Some(Kind::PktIn.into()), Filter::External(u32::from(amount & 1)));
            let mut wish = wish(Kind::PktIn, Hook::PostTcp, 4);
            wish.event = event;
            let registered = stack.register_flow(flow, wish).map(drop);
            registered.and_then(|()| stack.raise(flow, event))
        }
        _ => stack.read(flow, side, size as usize, <[u8]>::len).map(drop),
    };
    // The flow may have been freed: that is an error, and no more.
    let _ = refused;
    let _ = stack.unread(flow, side);
    let _ = stack.unread_offset(flow, side);
    let _ = stack.record(flow);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn packets_in_any_sequence_do_no_harm(
        packets in prop::collection::vec(any_packet(), 1..150),
        midstream in any::<bool>(),
        ignore in any::<bool>(),
        max_flows in prop_oneof![Just(1_u64), Just(2), Just(100)],
    ) {
        let mut bench = Bench { kinds: &Kind::ALL[..], ..Bench::default() };
        bench.settings.digest = true;
        bench.settings.buffer = 5000;
        bench.config.midstream = midstream;
        bench.config.max_flows = max_flows;
        bench.config.max_reassembly = 20_000;
        if ignore {
            bench.config.checksums = ChecksumPolicy::Ignore;
        }
        let (result, records) = bench.run(&frames(&packets));
        let ends = result.lines.iter().filter(|line| line.contains("END ")).count();
        let starts = result.lines.iter().filter(|line| line.contains("START ")).count();
        prop_assert_eq!(ends, records.len(), "each flow ends once");
        prop_assert_eq!(starts, records.len(), "each flow starts once");
        let counted: u64 = records.iter().flat_map(|record| &record.sides).map(|side| side.packets).sum();
        let of_flows = result.statistics.tcp - result.statistics.orphans - result.statistics.ignored;
        prop_assert_eq!(counted, of_flows);
        let malformed: u64 = result.statistics.malformed.iter().sum();
        prop_assert_eq!(result.statistics.tcp + malformed + result.statistics.not_ip, packets.len() as u64);
    }

    #[test]
    fn applications_may_do_anything_at_any_time(
        packets in prop::collection::vec(any_packet(), 1..120),
        choices in prop::collection::vec(any::<u8>(), 600),
        depth in prop_oneof![2 => Just(u64::MAX), 1 => 0..500_u64],
    ) {
        let frames = frames(&packets);
        let once = |burst: usize| {
            let choices = RefCell::new(choices.clone());
            let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| meddle(&choices, stack, upcall);
            let mut bench = Bench { kinds: &Kind::ALL[..11], act: &act, ..Bench::default() };
            bench.config.midstream = true;
            bench.settings.depth = depth;
            let mut stack = bench.open(&frames, burst);
            let mut log = Log { lines: Vec::new(), act: &act };
            stack.run(&mut log).unwrap();
            assert_eq!(stack.statistics().reassembly, 0, "bytes are left over");
            assert_eq!(stack.flow_statistics().open, 0);
            let records: Vec<String> = stack.take_records().iter().map(|record| format!("{record:?}")).collect();
            (log.lines, records)
        };
        let all = once(256);
        for burst in [1, 5] {
            prop_assert_eq!(&all, &once(burst));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(
        frames in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..120), 0..4_u8), 0..60),
    ) {
        let frames: Vec<Frame> = frames.into_iter().map(|(time, bytes, link)| {
            let link = [LinkType::Ethernet, LinkType::Ip, LinkType::Loopback, LinkType::LinuxSll][usize::from(link)];
            Frame::from((time, bytes, link))
        }).collect();
        let mut bench = Bench::default();
        bench.config.midstream = true;
        bench.run(&frames);
    }
}
