//! Timeouts while the flow table is nearly full.

use super::talk::{SYN, Talk};
use super::*;
use crate::Emergency;
use crate::Side::Client;
use crate::config::Timeouts;

fn bench() -> Bench<'static> {
    let mut bench = Bench { kinds: &[Kind::ConnEnd], ..Bench::default() };
    bench.config.max_flows = 10;
    bench
}

/// SYNs of so many ports from this one on.
fn syns(talk: &mut Talk, first: u16, count: u16) {
    for port in first..first + count {
        talk.port(port).send(Client, SYN, 1000, 0, b"");
    }
}

#[test]
fn embryonic_flows_make_room_before_the_table_is_full() {
    let mut talk = Talk::new();
    talk.port(100).open();
    syns(&mut talk, 200, 8);
    talk.wait(6 * SECOND);
    // The table is nearly full now, and those before have waited for too long.
    syns(&mut talk, 300, 1);
    talk.wait(SECOND);
    syns(&mut talk, 400, 1);
    let (result, _) = bench().run(&talk.frames);
    let timeouts: Vec<String> = (1..=8).map(|number| format!("#{number} END timeout")).collect();
    assert_eq!(result.lines[..8], timeouts);
    assert_eq!(result.lines[8..], ["END end", "#9 END end", "#10 END end"]);
    let statistics = result.statistics;
    assert_eq!((statistics.emergencies, statistics.emergency_timeouts, statistics.evicted), (1, 8, 0));
    assert!(!statistics.is_emergency, "it is over once there is room");
}

#[test]
fn idle_flows_end_sooner_and_busy_ones_go_on() {
    let mut talk = Talk::new();
    for port in 100..109 {
        talk.port(port).open();
    }
    talk.wait(90 * SECOND).port(100).next = [1001, 5001];
    talk.say(Client, b"busy").wait(20 * SECOND);
    syns(&mut talk, 200, 1);
    talk.wait(SECOND);
    syns(&mut talk, 201, 1);
    let (result, _) = bench().run(&talk.frames);
    let timeouts: Vec<String> = (1..=8).map(|number| format!("#{number} END timeout")).collect();
    assert_eq!(result.lines[..8], timeouts);
    assert_eq!(result.statistics.emergency_timeouts, 8);
    // The thresholds and all times can be set.
    let mut later = bench();
    later.config.emergency = Emergency { established: 200 * SECOND, ..Emergency::default() };
    let (result, _) = later.run(&talk.frames);
    assert_eq!((result.statistics.emergencies, result.statistics.emergency_timeouts), (1, 0));
    let mut larger = bench();
    larger.config.max_flows = 13;
    let (result, _) = larger.run(&talk.frames);
    assert_eq!(result.statistics.emergencies, 0);
}

#[test]
fn an_emergency_makes_no_timeout_longer() {
    let mut talk = Talk::new();
    syns(&mut talk, 100, 9);
    talk.wait(2 * SECOND);
    syns(&mut talk, 200, 1);
    let mut bench = bench();
    bench.config.timeouts = Timeouts { opening: SECOND, ..Timeouts::default() };
    let (result, _) = bench.run(&talk.frames);
    assert_eq!(result.lines[0], "END timeout");
    assert_eq!(result.lines.len(), 10);
}
