//! The port that reads a capture file.

use std::io::{self, Read};
use std::time::Duration;

use super::super::{BURST, Packet, Port, PortError, PortStatistics, Received};
use super::pcap::{FILE_HEADER, Pcap};
use super::pcapng::{MIN_SECTION_HEADER, Pcapng};
use super::source::{Input, Source};
use super::walk::Stop;
use super::window::Window;

/// Opens the capture file at `path`, or on standard input if `path` is "-".
///
/// # Errors
///
/// [`PortError::Io`] if the file cannot be opened or read; [`PortError::Format`] if it is empty, cut short inside its
/// file header, not a capture, or damaged in its compression. A signal that interrupts the wait for standard input's
/// first bytes is an [`io::ErrorKind::Interrupted`]. A file that ends amid a record is not an error: what is
/// before it is read, and [`Port::warning`] tells.
pub fn open(path: &str) -> Result<Box<dyn Port>, PortError> {
    Ok(Box::new(Reader::open(path)?))
}

/// Reads a capture from anything that can be read, such as a socket or bytes in memory; messages call it `name`.
///
/// # Errors
///
/// Those of [`open`].
pub fn read_from(source: impl Read + Send + 'static, name: &str) -> Result<Box<dyn Port>, PortError> {
    Ok(Box::new(Reader::new(Input::new(Box::new(source), None), name.to_owned())?))
}

/// A capture file being read.
///
/// Frames are handed out where `read` put them, in one buffer that is used again and again.
pub struct Reader {
    name: String,
    source: Source,
    window: Window,
    format: Format,
    /// Nothing is to be read any more.
    ended: bool,
    warning: Option<String>,
    statistics: PortStatistics,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .field("progress", &self.source.progress())
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a capture file; see [`open`].
    pub fn open(path: &str) -> Result<Self, PortError> {
        let name = if path == "-" { "standard input" } else { path }.to_owned();
        match Input::open(path) {
            Ok(input) => Self::new(input, name),
            Err(source) => Err(PortError::Io { name, source }),
        }
    }

    fn new(input: Input, name: String) -> Result<Self, PortError> {
        let mut window = Window::new();
        let mut source = Source::new(input, &name, &mut window)?;
        let format = read_file_header(&mut source, &mut window, &name)?;
        Ok(Self {
            name,
            source,
            window,
            format,
            ended: false,
            warning: None,
            statistics: PortStatistics::default(),
        })
    }

    /// Reads on; what [`Port::receive`] has to return, if anything.
    fn refill(&mut self) -> Result<Option<Received>, PortError> {
        match self.window.refill(&mut self.source) {
            Ok(0) => {
                self.ended = true;
                let amid_block = matches!(&self.format, Format::Pcapng(pcapng) if pcapng.is_amid_block());
                if amid_block || !self.window.rest().is_empty() {
                    self.warn_of_cut();
                } else if self.statistics.malformed > 0 {
                    self.warning = Some(format!(
                        "{}: {} packet blocks contradict themselves or name an unknown interface and were passed over",
                        self.name, self.statistics.malformed
                    ));
                }
                Ok(Some(Received::End))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(Received::Nothing)),
            Err(error) if self.source.is_cut_short(&error) => {
                self.ended = true;
                self.warn_of_cut();
                Ok(Some(Received::End))
            }
            Err(error) => {
                self.ended = true;
                Err(self.source.explain(error, &self.name, &self.window))
            }
        }
    }

    #[cold]
    fn warn_of_cut(&mut self) {
        let place = self.place();
        self.warning = Some(format!(
            "{}: the last record is cut short (at {place}); everything before it was read",
            self.name
        ));
    }

    #[cold]
    fn warn_of_damage(&mut self, what: &str) {
        let place = self.place();
        self.warning = Some(format!(
            "{}: damaged: the record at {place} {what}; only what is before it was read",
            self.name
        ));
    }

    /// Where in the file the next record is, for people.
    fn place(&self) -> String {
        let position = self.window.position();
        match self.source.compression() {
            "" => format!("byte {position}"),
            _ => format!("byte {position} of the decompressed data"),
        }
    }
}

/// Reads what is in front of the first record.
fn read_file_header(source: &mut Source, window: &mut Window, name: &str) -> Result<Format, PortError> {
    let format_error = |reason: String| PortError::Format { name: name.to_owned(), reason };
    let is_pcap = Pcap::recognises(window.rest());
    if !is_pcap && !Pcapng::recognises(window.rest()) {
        return Err(format_error(
            "not a capture file; pcap and pcapng are read, plain or compressed with gzip or zstd, and Wireshark's \
             editcap converts other formats"
                .into(),
        ));
    }
    let wanted = if is_pcap { FILE_HEADER } else { MIN_SECTION_HEADER };
    match window.need(wanted, source) {
        Ok(true) => {}
        Err(error) if !source.is_cut_short(&error) => return Err(source.explain(error, name, window)),
        Ok(false) | Err(_) => {
            return Err(format_error(
                "cut short inside the file header: there are no packets in it; copy or record the file again"
                    .into(),
            ));
        }
    }
    let head = window.rest();
    let format = if is_pcap {
        head.first_chunk().map(|header| Pcap::new(header).map(Format::Pcap))
    } else {
        head.first_chunk().map(|header| Pcapng::new(header).map(Format::Pcapng))
    };
    // The bytes are there: that was made sure of above.
    let format = format.unwrap_or_else(|| Err("cut short inside the file header".into()));
    let format = format.map_err(format_error)?;
    if is_pcap {
        window.advance_to(window.start() + FILE_HEADER);
    }
    Ok(format)
}

impl Port for Reader {
    fn receive(&mut self, burst: &mut Vec<Packet>, _wait: Duration) -> Result<Received, PortError> {
        burst.clear();
        burst.reserve(BURST);
        loop {
            if self.ended {
                return Ok(Received::End);
            }
            let mut at = self.window.start();
            let stop = match &mut self.format {
                Format::Pcap(pcap) => pcap.walk(self.window.memory(), &mut at, burst),
                Format::Pcapng(pcapng) => {
                    let stop = pcapng.walk(self.window.memory(), &mut at, burst);
                    self.statistics.malformed = pcapng.malformed();
                    stop
                }
            };
            self.window.advance_to(at);
            if let Stop::Damaged(what) = stop {
                self.ended = true;
                self.statistics.malformed += 1;
                self.warn_of_damage(&what);
            }
            if !burst.is_empty() {
                self.statistics.received += burst.len() as u64;
                self.statistics.received_bytes += burst.iter().map(|p| u64::from(p.length)).sum::<u64>();
                return Ok(Received::Packets);
            }
            // Only now: reading moves what the offsets of a burst point at.
            if !self.ended
                && let Some(received) = self.refill()?
            {
                return Ok(received);
            }
        }
    }

    fn memory(&self) -> &[u8] {
        self.window.memory()
    }

    fn send(&mut self, _memory: &[u8], burst: &[Packet]) -> Result<(), PortError> {
        if burst.is_empty() {
            return Ok(());
        }
        Err(PortError::Format {
            name: self.name.clone(),
            reason: "this capture file is open for reading; packets cannot be sent to it".into(),
        })
    }

    fn can_send(&self) -> bool {
        false
    }

    fn flush(&mut self) -> Result<(), PortError> {
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.source.progress()
    }

    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}
