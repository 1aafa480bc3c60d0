use std::path::PathBuf;
use std::time::Duration;

use super::super::super::{BURST, Frame, LinkType, MemoryPort, Packet, Port, Received};
use super::super::{Format, Writer, create, open};
use super::build::*;

/// A path in the directory for temporary files, removed in the end.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("midsock-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn read(&self) -> Vec<Out> {
        let read = drain(&mut *open(self.path()).unwrap());
        assert!(read.warning.is_none() && read.error.is_none(), "{read:?}");
        read.packets
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn copy(from: &mut dyn Port, to: &mut dyn Port) {
    let mut burst = Vec::with_capacity(BURST);
    while from.receive(&mut burst, Duration::ZERO).unwrap() == Received::Packets {
        to.send(from.memory(), &burst).unwrap();
    }
}

fn frames(count: i64) -> Vec<Frame> {
    (0..count)
        .map(|n| {
            let time = 1_700_000_000_123_456_000 + n * 1_000_001_000;
            let mut frame = Frame::from((time, vec![n as u8; (n * 37 % 1500) as usize], LinkType::Ip));
            frame.length += n as u32 % 3;
            frame
        })
        .collect()
}

fn as_read(frames: &[Frame]) -> Vec<Out> {
    let out = |f: &Frame| Out {
        time: f.time,
        bytes: f.bytes.clone(),
        length: f.length,
        link: f.link,
        interface: f.interface,
    };
    frames.iter().map(out).collect()
}

#[test]
fn what_is_written_reads_the_same() {
    for format in [Format::Pcap, Format::PcapNanos, Format::Pcapng] {
        for end in ["pcap", "pcap.gz", "pcap.zst"] {
            let temp = Temp::new(&format!("same-{format:?}.{end}"));
            let mut frames = frames(1000);
            if format != Format::Pcap {
                for frame in &mut frames {
                    frame.time += 789;
                }
            }
            let mut writer = create(temp.path(), format, None).unwrap();
            copy(&mut MemoryPort::new(frames.clone()), &mut writer);
            assert_eq!(writer.statistics().sent, 1000);
            writer.finish().unwrap();
            assert_eq!(temp.read(), as_read(&frames));
            let magic = &std::fs::read(&temp.0).unwrap()[..2];
            assert_eq!(magic == [0x1f, 0x8b], end.ends_with("gz"));
            assert_eq!(magic == [0x28, 0xb5], end.ends_with("zst"));
        }
    }
}

#[test]
fn dropping_completes_the_file_and_flushing_hands_it_over() {
    for end in ["pcap", "pcap.gz", "pcap.zst"] {
        let temp = Temp::new(&format!("drop.{end}"));
        let frames = frames(10);
        let mut writer = create(temp.path(), Format::Pcap, None).unwrap();
        copy(&mut MemoryPort::new(frames.clone()), &mut writer);
        writer.flush().unwrap();
        // Compressed data has no end yet; everything else is there.
        assert_eq!(drain(&mut *open(temp.path()).unwrap()).packets.len(), 10);
        copy(&mut MemoryPort::new(frames.clone()), &mut writer);
        drop(writer);
        assert_eq!(temp.read().len(), 20);
    }
}

#[test]
fn a_capture_without_packets_is_a_capture() {
    for format in [Format::Pcap, Format::PcapNanos, Format::Pcapng] {
        for end in ["pcap", "pcap.gz", "pcap.zst"] {
            let temp = Temp::new(&format!("empty-{format:?}.{end}"));
            create(temp.path(), format, Some(LinkType::LinuxSll)).unwrap().finish().unwrap();
            assert!(temp.read().is_empty());
        }
    }
}

#[test]
fn pcapng_describes_each_link_type_once() {
    let temp = Temp::new("links.pcapng");
    let links = [LinkType::Ethernet, LinkType::Ip, LinkType::Ethernet, LinkType::Other(147), LinkType::Ip];
    let frames: Vec<Frame> =
        links.iter().enumerate().map(|(n, &link)| (n as i64, vec![1; n], link).into()).collect();
    let mut writer = create(temp.path(), Format::from_path(temp.path()), None).unwrap();
    copy(&mut MemoryPort::new(frames), &mut writer);
    drop(writer);
    let packets = temp.read();
    assert_eq!(packets.iter().map(|p| p.link).collect::<Vec<_>>(), links);
    assert_eq!(packets.iter().map(|p| p.interface).collect::<Vec<_>>(), [0, 1, 0, 2, 1]);
    assert_eq!(packets.iter().map(|p| p.time).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn pcap_refuses_a_second_link_type() {
    let temp = Temp::new("second.pcap");
    let mut writer = create(temp.path(), Format::Pcap, None).unwrap();
    let mut from = MemoryPort::new([
        (1, vec![1], LinkType::Ip),
        (2, vec![2], LinkType::Ethernet),
        (3, vec![3], LinkType::Ip),
    ]);
    let mut burst = Vec::new();
    from.receive(&mut burst, Duration::ZERO).unwrap();
    let error = writer.send(from.memory(), &burst).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "a pcap file holds frames of one link type, here raw IP, and this one is Ethernet; write pcapng instead"
        ),
        "{error}"
    );
    drop(writer);
    assert_eq!(temp.read().len(), 1);
}

#[test]
fn what_a_format_cannot_say_becomes_the_nearest_it_can() {
    for (format, latest) in [
        (Format::Pcap, 4_294_967_295_999_999_000),
        (Format::PcapNanos, 4_294_967_295_999_999_999),
        (Format::Pcapng, (1 << 62) - 1),
    ] {
        let temp = Temp::new(&format!("nearest-{format:?}"));
        let mut writer = create(temp.path(), format, None).unwrap();
        let frames = [(i64::MIN, vec![7; 300_000], LinkType::Ip), (i64::MAX, vec![8], LinkType::Ip)];
        copy(&mut MemoryPort::new(frames), &mut writer);
        drop(writer);
        let packets = temp.read();
        assert_eq!((packets[0].time, packets[1].time), (0, latest));
        assert_eq!((packets[0].bytes.len(), packets[0].length), (262_144, 300_000));
        assert_eq!(packets[1].bytes, [8]);
    }
}

#[test]
fn the_name_tells_the_format() {
    for (name, format) in [
        ("a.pcap", Format::Pcap),
        ("a.pcap.gz", Format::Pcap),
        ("a.PCAPNG", Format::Pcapng),
        ("a.pcapng.zst", Format::Pcapng),
        ("a", Format::Pcap),
        ("-", Format::Pcap),
    ] {
        assert_eq!(Format::from_path(name), format, "{name}");
    }
}

#[test]
fn nothing_can_be_received_from_it_and_errors_name_it() {
    let temp = Temp::new("receive.pcap");
    let mut writer = Writer::create(temp.path(), Format::Pcap, None).unwrap();
    let mut burst: Vec<Packet> = Vec::new();
    assert_eq!(writer.receive(&mut burst, Duration::ZERO).unwrap(), Received::End);
    assert!(writer.memory().is_empty());
    let error = create("/nonexistent/a.pcap", Format::Pcap, None).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/a.pcap: "), "{error}");
    // A device that is always full.
    let mut full = create("/dev/full", Format::Pcap, None).unwrap();
    copy(&mut MemoryPort::new(frames(3)), &mut full);
    assert!(full.flush().unwrap_err().to_string().starts_with("/dev/full: "));
}
