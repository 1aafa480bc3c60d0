//! Overlap between whole segments, as it comes to the stream.

use super::talk::Talk;
use super::*;
use crate::Side::{Client, Server};
use crate::reassembly::Overlap;

/// Where a cell of the stream holds bytes of an old segment and of a new one that overlaps it, and the policies under
/// which the new bytes win.
const CELLS: [(std::ops::Range<usize>, &str); 7] = [
    (2..8, "last linux old_linux solaris hpux11"),
    (2..6, "last old_linux solaris hpux11"),
    (2..4, "last"),
    (1..4, "last bsd hpux10 irix windows windows2k3 old_linux linux macos"),
    (1..7, "last bsd hpux10 irix windows windows2k3 old_linux linux macos solaris hpux11"),
    (4..8, "last solaris hpux11"),
    (3..5, "last"),
];
const OLD: std::ops::Range<usize> = 2..6;
const CELL: usize = 8;

fn stream(policy: Overlap) -> String {
    let mut bytes = vec![b'.'; 1 + CELLS.len() * CELL];
    for (i, (new, winners)) in CELLS.iter().enumerate() {
        let at = 1 + i * CELL;
        let wins = winners.split(' ').any(|name| name == policy.name());
        let (under, over) =
            if wins { ((OLD, b'o'), (new.clone(), b'n')) } else { ((new.clone(), b'n'), (OLD, b'o')) };
        for (range, byte) in [under, over] {
            bytes[at + range.start..at + range.end].fill(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// All old segments, then all new ones, then whatever is missing, last of all the first byte of the stream.
fn talk(side: Side, isn: u32) -> Talk {
    let mut talk = Talk::new();
    talk.next[side.index()] = isn;
    fill(talk.open(), side);
    talk.close();
    talk
}

fn fill(talk: &mut Talk, side: Side) {
    let mut cell = |i: usize, range: std::ops::Range<usize>, byte: u8| {
        let at = 1 + i * CELL + range.start;
        talk.again(side, at as i32, &vec![byte; range.len()]);
    };
    for i in 0..CELLS.len() {
        cell(i, OLD, b'o');
    }
    for (i, (new, _)) in CELLS.iter().enumerate() {
        cell(i, new.clone(), b'n');
    }
    for (i, (new, _)) in CELLS.iter().enumerate() {
        cell(i, 0..new.start.min(OLD.start), b'.');
        cell(i, new.end.max(OLD.end)..CELL, b'.');
    }
    talk.again(side, 0, b".").skip(side, 1 + (CELLS.len() * CELL) as u32).ack(side.other());
}

#[test]
fn every_policy_settles_every_overlap_on_both_sides_and_across_the_wrap() {
    for side in [Client, Server] {
        // The numbers wrap within old segments, within new ones, and right before the first.
        for isn in [1000, u32::MAX, u32::MAX - 4, u32::MAX - 28, u32::MAX - 42, u32::MAX / 2 - 20] {
            let talk = talk(side, isn);
            for overlap in Overlap::ALL {
                let expected = stream(overlap);
                let settings = StreamSettings { overlap, ..StreamSettings::default() };
                let bench =
                    Bench { settings, kinds: &[Kind::NewData, Kind::Gap, Kind::ConnEnd], ..Bench::default() };
                let data = format!("NEW_DATA {side} 0+57 {expected}");
                let records = bench.expect(&talk, &[&data, "END closed"]);
                assert_eq!(anomalies(&records[0]), [("different_content", 7)]);
            }
        }
    }
}

#[test]
fn a_policy_can_be_set_for_one_side_alone() {
    for (client, server) in [(Overlap::Last, Overlap::First), (Overlap::Solaris, Overlap::Linux)] {
        let mut talk = Talk::opened();
        fill(&mut talk, Client);
        fill(&mut talk, Server);
        let set = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
            if let (Kind::ConnSetup, Some(flow)) = (upcall.event.kind, upcall.flow) {
                stack.set_overlap(flow, Client, client).unwrap();
                stack.set_overlap(flow, Server, server).unwrap();
            }
        };
        let kinds = &[Kind::ConnSetup, Kind::NewData];
        let (result, _) = Bench { kinds, act: &set, ..Bench::default() }.run(&talk.frames);
        assert!(result.lines[1].ends_with(&stream(client)), "{:?}", result.lines);
        assert!(result.lines[2].ends_with(&stream(server)), "{:?}", result.lines);
    }
}

#[test]
fn the_receivers_network_gives_the_policy() {
    let mut config = Bench::default().config;
    config.hosts.add("198.51.100.0/24", Overlap::Solaris).unwrap();
    config.hosts.add("198.51.100.1", Overlap::Windows).unwrap();
    config.hosts.add("192.0.0.0/8", Overlap::OldLinux).unwrap();
    for (vlan, ends) in [
        (&[][..], None),
        (&[7][..], Some(["[2001:db8::1]:4000", "[2001:db8:f::1]:80"])),
        (&[][..], Some(["203.0.113.1:4000", "203.0.113.2:80"])),
    ] {
        let mut talk = Talk::new();
        talk.vlan = vlan.to_vec();
        if let Some(ends) = ends {
            talk.ends = ends.map(|end| end.parse().unwrap());
        }
        talk.open();
        fill(&mut talk, Client);
        fill(&mut talk, Server);
        let mut config = config.clone();
        config.hosts.add("2001:db8:f::/48", Overlap::Windows).unwrap();
        config.hosts.add("2001:db8::/64", Overlap::OldLinux).unwrap();
        // Where no rule holds, the socket's own policy does.
        let settings = StreamSettings { overlap: Overlap::Last, ..StreamSettings::default() };
        let expected = match ends {
            Some(["203.0.113.1:4000", _]) => [Overlap::Last; 2],
            _ => [Overlap::Windows, Overlap::OldLinux],
        };
        let asks = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
            let settings = stack.settings(upcall.flow.unwrap(), upcall.event.side).unwrap();
            lines.push(settings.overlap.name().to_owned());
        };
        let (result, _) = Bench { config, settings, kinds: &[Kind::NewData], act: &asks, ..Bench::default() }
            .run(&talk.frames);
        let data = |side: Side| format!("NEW_DATA {side} 0+57 {}", stream(expected[side.index()]));
        let names = expected.map(Overlap::name);
        assert_eq!(result.lines, [&data(Client), names[0], &data(Server), names[1]]);
    }
}
