//! The port that writes a capture file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use flate2::write::GzEncoder;

use super::super::{LinkType, Packet, Port, PortError, PortStatistics, Received};
use super::{pcap, pcapng};
use crate::Nanos;

/// Bytes gathered before they are written.
const CHUNK: usize = 128 << 10;

/// The snapshot length that the file states. Longer frames are cut there, as other programs refuse to read them.
const SNAPLEN: u32 = 262_144;

/// What kind of capture file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// pcap with microseconds, which every program reads. Times are cut to whole microseconds.
    Pcap,
    /// pcap with nanoseconds.
    PcapNanos,
    /// pcapng with nanoseconds; it alone can hold frames of several link types.
    Pcapng,
}

impl Format {
    /// The format that a file name asks for by its extension (`.gz` and `.zst` put aside): pcapng, else pcap with
    /// microseconds.
    pub fn from_path(path: &str) -> Self {
        let stem = match (extension(path).as_str(), path.rsplit_once('.')) {
            ("gz" | "zst", Some((stem, _))) => stem,
            _ => path,
        };
        if extension(stem) == "pcapng" { Self::Pcapng } else { Self::Pcap }
    }
}

/// What follows the last dot of a path, in lower case.
fn extension(path: &str) -> String {
    path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase()
}

/// Creates the capture file `path`, or empties it if it exists; "-" is standard output.
///
/// The file is compressed if its name ends in `.gz` or `.zst`. Of pcap, which has one link type for the whole file,
/// `link` is that link type; None stands for that of the first packet (Ethernet if there never is one).
///
/// # Errors
///
/// [`PortError::Io`] if the file cannot be created.
pub fn create(path: &str, format: Format, link: Option<LinkType>) -> Result<Writer, PortError> {
    Writer::create(path, format, link)
}

/// A capture file being written.
///
/// Dropping it completes the file, and any error goes unseen: end with [`Writer::finish`] to see it.
pub struct Writer {
    name: String,
    sink: Sink,
    /// Records not yet written.
    pending: Vec<u8>,
    format: Format,
    /// Of pcap: the link type in the file header, or that is to be.
    link: Option<LinkType>,
    has_header: bool,
    /// Of pcapng: the interface of each link type met so far.
    interfaces: BTreeMap<u16, u32>,
    statistics: PortStatistics,
}

enum Sink {
    Plain(File),
    Gzip(GzEncoder<File>),
    Zstd(zstd::stream::write::Encoder<'static, File>),
    Finished,
}

impl Sink {
    fn create(path: &str) -> io::Result<Self> {
        if path == "-" {
            // Past the standard library's own buffer, which looks for line ends.
            return Ok(Self::Plain(File::from(io::stdout().as_fd().try_clone_to_owned()?)));
        }
        let file = File::create(path)?;
        Ok(match extension(path).as_str() {
            "gz" => Self::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            "zst" => {
                let mut encoder = zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                // As the zstd program does: without it damage to the file can go unseen.
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            _ => Self::Plain(file),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Finished => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::Finished => Ok(()),
        }
    }

    /// Ends compressed data as it has to end.
    fn finish(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Self::Finished) {
            Self::Plain(mut file) => file.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
            Self::Finished => Ok(()),
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("name", &self.name)
            .field("format", &self.format)
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Creates a capture file; see [`create`].
    pub fn create(path: &str, format: Format, link: Option<LinkType>) -> Result<Self, PortError> {
        let name = if path == "-" { "standard output" } else { path }.to_owned();
        match Sink::create(path) {
            Err(source) => Err(PortError::Io { name, source }),
            Ok(sink) => Ok(Self {
                name,
                sink,
                pending: Vec::with_capacity(CHUNK + CHUNK / 2),
                format,
                link,
                has_header: false,
                interfaces: BTreeMap::new(),
                statistics: PortStatistics::default(),
            }),
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    ///
    /// [`PortError::Io`] if not everything could be written; the file is then incomplete.
    pub fn finish(mut self) -> Result<(), PortError> {
        self.complete().map_err(|source| self.io(source))
    }

    fn complete(&mut self) -> io::Result<()> {
        if matches!(self.sink, Sink::Finished) {
            return Ok(());
        }
        // Without a packet it is still a capture file.
        self.put_header(LinkType::Ethernet);
        let written = self.write_pending();
        written.and(self.sink.finish())
    }

    fn io(&self, source: io::Error) -> PortError {
        PortError::Io { name: self.name.clone(), source }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let written = self.sink.write_all(&self.pending);
        // Also after an error: what was written of it cannot be told.
        self.pending.clear();
        written
    }

    fn put_header(&mut self, link: LinkType) {
        if std::mem::replace(&mut self.has_header, true) {
            return;
        }
        let magic = match self.format {
            Format::Pcap => pcap::MAGIC_MICROS,
            Format::PcapNanos => pcap::MAGIC_NANOS,
            Format::Pcapng => {
                self.put(&[pcapng::SECTION_HEADER, 28, pcapng::BYTE_ORDER_MAGIC]);
                // Version 1.0, and a section of unknown length.
                self.put(&[1, u32::MAX, u32::MAX, 28]);
                return;
            }
        };
        let link = *self.link.get_or_insert(link);
        // Version 2.4, and times in UTC.
        self.put(&[magic, 2 | 4 << 16, 0, 0, SNAPLEN, u32::from(link.to_linktype())]);
    }

    fn put(&mut self, words: &[u32]) {
        for word in words {
            self.pending.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn put_packet(&mut self, packet: &Packet, frame: &[u8]) -> Result<(), PortError> {
        let frame = &frame[..frame.len().min(SNAPLEN as usize)];
        self.put_header(packet.link);
        match self.format {
            Format::Pcapng => self.put_block(packet, frame),
            Format::Pcap | Format::PcapNanos => {
                let link = self.link.unwrap_or(packet.link);
                if packet.link != link {
                    let reason = format!(
                        "a pcap file holds frames of one link type, here {link}, and this one is {}; write pcapng \
                         instead",
                        packet.link
                    );
                    return Err(PortError::Format { name: self.name.clone(), reason });
                }
                let unit = if self.format == Format::Pcap { 1000 } else { 1 };
                self.put_record(packet, frame, unit);
            }
        }
        Ok(())
    }

    /// Puts a pcap record; its time can say 1970 to 2106, and others become the nearest of those.
    fn put_record(&mut self, packet: &Packet, frame: &[u8], unit: Nanos) {
        const END: Nanos = (1 << 32) * 1_000_000_000 - 1;
        let time = packet.time.clamp(0, END);
        let (seconds, fraction) = (time / 1_000_000_000, time % 1_000_000_000 / unit);
        self.put(&[seconds as u32, fraction as u32, frame.len() as u32, packet.length]);
        self.pending.extend_from_slice(frame);
    }

    /// Puts an enhanced packet block; its time cannot be before 1970, and becomes that instead.
    fn put_block(&mut self, packet: &Packet, frame: &[u8]) {
        let number = packet.link.to_linktype();
        let next = self.interfaces.len() as u32;
        let interface = *self.interfaces.entry(number).or_insert(next);
        if interface == next {
            // One option: the clock ticks nanoseconds.
            let tsresol = u32::from(pcapng::OPTION_TSRESOL) | 1 << 16;
            self.put(&[pcapng::INTERFACE_DESCRIPTION, 32, u32::from(number), SNAPLEN, tsresol, 9, 0, 32]);
        }
        let padded = frame.len().next_multiple_of(4);
        let length = (padded + 32) as u32;
        let ticks = packet.time.max(0) as u64;
        self.put(&[pcapng::ENHANCED_PACKET, length, interface, (ticks >> 32) as u32, ticks as u32]);
        self.put(&[frame.len() as u32, packet.length]);
        self.pending.extend_from_slice(frame);
        self.pending.resize(self.pending.len() + (padded - frame.len()), 0);
        self.put(&[length]);
    }
}

impl Port for Writer {
    fn receive(&mut self, burst: &mut Vec<Packet>, _wait: Duration) -> Result<Received, PortError> {
        burst.clear();
        Ok(Received::End)
    }

    fn memory(&self) -> &[u8] {
        &[]
    }

    /// Writes frames, in part or whole not before [`Port::flush`].
    ///
    /// # Errors
    ///
    /// [`PortError::Io`] if the system refuses; [`PortError::Format`] if a pcap file would need a second link type.
    /// Frames before the one at fault are in the file.
    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError> {
        for packet in burst {
            self.put_packet(packet, packet.frame(memory))?;
            self.statistics.sent += 1;
            self.statistics.sent_bytes += u64::from(packet.length);
            if self.pending.len() >= CHUNK {
                self.write_pending().map_err(|source| self.io(source))?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PortError> {
        let flushed = self.write_pending().and_then(|()| self.sink.flush());
        flushed.map_err(|source| self.io(source))
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whoever wants to see the error calls `finish`.
        let _ = self.complete();
    }
}
