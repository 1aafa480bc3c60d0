//! Builders of files, sources that read oddly, and a collector of everything that comes out.

use std::io::{self, Cursor, Read, Write};
use std::time::Duration;

use super::super::super::{BURST, LinkType, Port, PortError, PortStatistics, Received};
use super::super::read_from;
use crate::Nanos;

/// One packet as it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) time: Nanos,
    pub(super) bytes: Vec<u8>,
    pub(super) length: u32,
    pub(super) link: LinkType,
    pub(super) interface: u16,
}

/// All that came out of a file.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) packets: Vec<Out>,
    pub(super) warning: Option<String>,
    pub(super) statistics: PortStatistics,
    pub(super) error: Option<PortError>,
}

pub(super) fn drain(port: &mut dyn Port) -> Outcome {
    let (mut packets, mut burst, mut error) = (Vec::new(), Vec::new(), None);
    loop {
        match port.receive(&mut burst, Duration::ZERO) {
            Ok(Received::Packets) => {
                assert!((1..=BURST).contains(&burst.len()));
                for p in &burst {
                    assert!(p.length >= p.captured);
                    packets.push(Out {
                        time: p.time,
                        bytes: p.frame(port.memory()).to_vec(),
                        length: p.length,
                        link: p.link,
                        interface: p.interface,
                    });
                }
            }
            Ok(Received::Nothing) => assert!(burst.is_empty()),
            Ok(Received::End) => break,
            Err(e) => {
                assert!(error.replace(e).is_none(), "an error is told once");
            }
        }
    }
    assert_eq!(port.receive(&mut burst, Duration::ZERO).unwrap(), Received::End);
    let statistics = port.statistics();
    assert_eq!(statistics.received, packets.len() as u64);
    assert_eq!(statistics.received_bytes, packets.iter().map(|p| u64::from(p.length)).sum::<u64>());
    Outcome { packets, warning: port.warning().map(str::to_owned), statistics, error }
}

pub(super) fn try_read(bytes: &[u8]) -> Result<Outcome, String> {
    match read_from(Cursor::new(bytes.to_vec()), "t.pcap") {
        Ok(mut port) => Ok(drain(&mut *port)),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("t.pcap: ") && !text.contains('\n'), "{text}");
            Err(text)
        }
    }
}

/// Reads a file that is whole.
pub(super) fn read(bytes: &[u8]) -> Vec<Out> {
    let read = try_read(bytes).unwrap();
    assert!(read.error.is_none() && read.warning.is_none(), "{read:?}");
    assert_eq!(read.statistics.malformed, 0);
    read.packets
}

/// A source that hands out its bytes in pieces, with interruptions.
pub(super) struct Drip {
    bytes: Cursor<Vec<u8>>,
    piece: usize,
    interrupt: bool,
}

impl Drip {
    pub(super) fn new(bytes: Vec<u8>, piece: usize) -> Self {
        Self { bytes: Cursor::new(bytes), piece, interrupt: false }
    }
}

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Not while the port is being opened: that ends with the error.
        if self.bytes.position() > 4096 {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        let piece = self.piece.min(into.len());
        self.bytes.read(&mut into[..piece])
    }
}

/// Writes integers in one byte order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endian(pub(super) bool);

impl Endian {
    pub(super) fn u16(self, n: u16) -> [u8; 2] {
        if self.0 { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub(super) fn u32(self, n: u32) -> [u8; 4] {
        if self.0 { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub(super) fn u64(self, n: u64) -> [u8; 8] {
        if self.0 { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub(super) fn words(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&n| self.u32(n)).collect()
    }

    /// A pcap file header of version 2.4.
    pub(super) fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
        [
            self.u32(magic).to_vec(),
            self.u16(2).to_vec(),
            self.u16(4).to_vec(),
            self.words(&[0, 0, 65535, link]),
        ]
        .concat()
    }

    pub(super) fn record(self, seconds: u32, fraction: u32, length: u32, frame: &[u8]) -> Vec<u8> {
        [self.words(&[seconds, fraction, frame.len() as u32, length]), frame.to_vec()].concat()
    }

    /// A pcapng block; the body is padded.
    pub(super) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = (padded + 12) as u32;
        let mut block = self.words(&[kind, length]);
        block.extend_from_slice(body);
        block.resize(8 + padded, 0);
        block.extend(self.u32(length));
        block
    }

    pub(super) fn section(self) -> Vec<u8> {
        let body = [
            self.u32(0x1a2b_3c4d).to_vec(),
            self.u16(1).to_vec(),
            self.u16(0).to_vec(),
            self.u64(u64::MAX).to_vec(),
        ];
        self.block(0x0a0d_0d0a, &body.concat())
    }

    pub(super) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.u16(code), self.u16(value.len() as u16)].concat();
        option.extend_from_slice(value);
        option.resize(4 + value.len().next_multiple_of(4), 0);
        option
    }

    pub(super) fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        let body = [&self.u16(link)[..], &self.u16(0), &self.u32(snaplen), options].concat();
        self.block(1, &body)
    }

    pub(super) fn enhanced(self, interface: u32, ticks: u64, length: u32, frame: &[u8]) -> Vec<u8> {
        let head = [interface, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, length];
        self.block(6, &[self.words(&head), frame.to_vec()].concat())
    }
}

pub(super) const BOTH: [Endian; 2] = [Endian(false), Endian(true)];
pub(super) const LITTLE: Endian = Endian(false);

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A small pcap file.
pub(super) fn small_pcap(order: Endian) -> Vec<u8> {
    let mut file = order.pcap(0xa1b2_c3d4, 1);
    for n in 0..5u8 {
        file.extend(order.record(u32::from(n), 7, 100, &vec![n; usize::from(n) * 3]));
    }
    file
}

/// A small pcapng file with a block of every kind.
pub(super) fn small_pcapng(order: Endian) -> Vec<u8> {
    [
        order.section(),
        order.interface(1, 0, &order.option(9, &[9])),
        order.enhanced(0, 1, 3, &[1, 2, 3]),
        order.block(0xbad, &[9; 30]),
        order.block(3, &[&order.u32(2)[..], &[8, 9]].concat()),
        order.interface(101, 64, &[]),
        order.enhanced(1, 5, 100, &[4; 17]),
        order.section(),
        order.interface(113, 64, &[]),
        order.enhanced(0, 6, 100, &[5; 6]),
    ]
    .concat()
}
