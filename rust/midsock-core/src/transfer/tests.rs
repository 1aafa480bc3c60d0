use std::path::Path;
use std::time::{Duration, Instant};

use super::{Capture, CaptureOptions, Pace, Replay};
use crate::Nanos;
use crate::port::file::{Format, create};
use crate::port::{self, Frame, LinkType, MemoryPort, Packet, Port, Received};
use crate::scope::Scope;

const MS: Nanos = 1_000_000;
const LONG: Duration = Duration::from_mins(1);

/// An Ethernet frame of a UDP datagram to this port.
fn udp(port: u16) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x30, 0x39, (port >> 8) as u8, port as u8, 0, 10, 0, 0, 7, 7]);
    frame
}

fn frames(count: u16, gap: Nanos) -> Vec<(Nanos, Vec<u8>, LinkType)> {
    (0..count).map(|i| (Nanos::from(i) * gap, udp(i), LinkType::Ethernet)).collect()
}

fn write(path: &Path, frames: impl IntoIterator<Item = (Nanos, Vec<u8>, LinkType)>) {
    let mut writer = create(path.to_str().unwrap(), Format::Pcapng, None).unwrap();
    for (time, bytes, link) in frames {
        let frame = Frame::from((time, bytes, link));
        let mut port = MemoryPort::new([frame]);
        let mut burst = Vec::new();
        port.receive(&mut burst, Duration::ZERO).unwrap();
        writer.send(port.memory(), &burst).unwrap();
    }
    writer.finish().unwrap();
}

fn read(path: &Path) -> Vec<(Packet, Vec<u8>)> {
    let (mut port, mut burst, mut all) =
        (port::open(path.to_str().unwrap()).unwrap(), Vec::new(), Vec::new());
    while port.receive(&mut burst, Duration::ZERO).unwrap() == Received::Packets {
        all.extend(burst.iter().map(|packet| (*packet, packet.frame(port.memory()).to_vec())));
    }
    assert_eq!(port.warning(), None);
    all
}

fn capture(path: &Path, options: CaptureOptions) -> super::CaptureStatistics {
    let port = MemoryPort::new(frames(1000, MS));
    let writer = create(path.to_str().unwrap(), Format::Pcapng, None).unwrap();
    let mut capture = Capture::new(Box::new(port), writer, options);
    while capture.advance(LONG).unwrap() {}
    let statistics = capture.statistics();
    capture.finish().unwrap();
    statistics
}

#[test]
fn a_capture_holds_what_came() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["all.pcapng", "all.pcapng.gz", "all.pcapng.zst"] {
        let path = folder.path().join(name);
        let statistics = capture(&path, CaptureOptions::default());
        assert_eq!((statistics.received, statistics.written), (1000, 1000));
        let all: Vec<_> =
            read(&path).into_iter().map(|(packet, bytes)| (packet.time, bytes, packet.link)).collect();
        assert_eq!(all, frames(1000, MS));
    }
}

#[test]
fn a_capture_holds_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.pcapng");
    let filter = Scope::parse("udp portrange 100-899").unwrap();
    let statistics = capture(&path, CaptureOptions { filter, snaplen: 40, count: 500 });
    assert_eq!((statistics.written, statistics.received), (500, 768));
    let some = read(&path);
    assert_eq!(some.len(), 500);
    for (i, (packet, bytes)) in some.iter().enumerate() {
        assert_eq!((packet.length, &bytes[..]), (44, &udp(100 + i as u16)[..40]));
    }
}

/// Replays a file; returns what was sent, the counters and how long it took.
fn replay(path: &Path, pace: Pace, rounds: Option<u64>) -> (Vec<Frame>, super::ReplayStatistics, Duration) {
    let sink = MemoryPort::new(Vec::<Frame>::new());
    let sent = sink.sent();
    let start = Instant::now();
    let mut replay = Replay::open(path.to_str().unwrap(), Box::new(sink), pace, rounds).unwrap();
    while replay.advance(LONG).unwrap() {}
    (sent.take(), replay.statistics(), start.elapsed())
}

#[test]
fn a_replay_sends_every_frame_in_order_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.pcapng");
    write(&path, frames(300, MS / 2));
    let expected: Vec<Vec<u8>> = frames(300, 0).into_iter().map(|(_, bytes, _)| bytes).collect();
    let at_most = Duration::from_secs(10);
    for (pace, rounds, at_least) in [
        (Pace::FlatOut, 1, 0),
        (Pace::Original { speed: 1.0 }, 1, 149),
        (Pace::Original { speed: 3.0 }, 2, 98),
        (Pace::Rate(2990.0), 1, 99),
        (Pace::FlatOut, 3, 0),
    ] {
        let (sent, statistics, took) = replay(&path, pace, Some(rounds));
        let sent: Vec<Vec<u8>> = sent.into_iter().map(|frame| frame.bytes).collect();
        assert_eq!(sent, vec![&expected[..]; rounds as usize].concat(), "{pace:?}");
        assert_eq!((statistics.sent, statistics.rounds), (300 * rounds, rounds));
        assert!(took >= Duration::from_millis(at_least) && took < at_most, "{pace:?} {took:?}");
    }
}

#[test]
fn a_replay_stops_and_goes_on_within_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.pcapng");
    // Times go back, and far ahead.
    write(&path, [5, 0, 4, 3_600_000].map(|ms| (ms * MS, udp(1), LinkType::Ethernet)));
    let sink = MemoryPort::new(Vec::<Frame>::new());
    let sent = sink.sent();
    let pace = Pace::Original { speed: 1.0 };
    let mut replay = Replay::open(path.to_str().unwrap(), Box::new(sink), pace, None).unwrap();
    for _ in 0..5 {
        let start = Instant::now();
        assert!(replay.advance(Duration::from_millis(2)).unwrap());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(sent.len(), 3);
}

#[test]
fn a_replay_passes_over_what_is_no_ethernet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.pcapng");
    let mut mixed = frames(10, 0);
    mixed.extend((0..300).map(|_| (0, vec![0x45; 40], LinkType::Ip)));
    write(&path, mixed);
    let (sent, statistics, _) = replay(&path, Pace::FlatOut, Some(2));
    assert_eq!((sent.len(), statistics.skipped, statistics.rounds), (20, 600, 2));
    // With nothing to send, it ends though it is to go on for ever.
    write(&path, [(0, vec![0x45; 40], LinkType::Ip)]);
    assert_eq!(replay(&path, Pace::FlatOut, None).1.rounds, 1);
}

#[test]
fn frames_that_were_cut_short_are_sent_so_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.pcapng");
    capture(&path, CaptureOptions { snaplen: 30, ..CaptureOptions::default() });
    let (sent, statistics, _) = replay(&path, Pace::FlatOut, Some(1));
    assert!(sent.iter().all(|frame| (frame.bytes.len(), frame.length) == (30, 30)));
    assert_eq!((sent.len(), statistics.cut_short, statistics.sent_bytes), (1000, 1000, 30_000));
}
