//! The bytes of a capture: a file or standard input, decompressed if need be.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;

use flate2::bufread::GzDecoder;

use super::super::PortError;
use super::window::Window;

/// Compressed bytes asked of the system in one read.
const COMPRESSED_CHUNK: usize = 128 << 10;

/// The bytes as they are on disk.
pub(super) struct Input {
    /// One dynamic call for each chunk, not for each packet.
    from: Box<dyn Read + Send>,
    /// Bytes that were read to find out what the file is, still to be handed out.
    head: Vec<u8>,
    /// Bytes handed out so far.
    consumed: u64,
    /// The size of a regular file.
    size: Option<u64>,
}

impl Input {
    /// Opens a file, or standard input if `path` is "-".
    pub(super) fn open(path: &str) -> io::Result<Self> {
        if path == "-" {
            // Past the standard library's own buffer: it would copy every byte once more.
            let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            return Ok(Self::new(Box::new(file), None));
        }
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(
                error.kind(),
                "no such file (give the path of a capture, or - for standard input)",
            ),
            _ => error,
        })?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "this is a directory; give the path of a capture file",
            ));
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self::new(Box::new(file), size))
    }

    pub(super) fn new(from: Box<dyn Read + Send>, size: Option<u64>) -> Self {
        Self { from, head: Vec::new(), consumed: 0, size }
    }

    /// Hands out `bytes`, all that was handed out so far, once more.
    fn put_back(&mut self, bytes: Vec<u8>) {
        (self.head, self.consumed) = (bytes, 0);
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = if self.head.is_empty() {
            self.from.read(into)?
        } else {
            let got = self.head.len().min(into.len());
            into[..got].copy_from_slice(&self.head[..got]);
            self.head.drain(..got);
            got
        };
        self.consumed += got as u64;
        Ok(got)
    }
}

/// Decompresses the members of a gzip file one after another.
///
/// Not flate2's own reader of several members: that takes whatever follows the last one, such as the zeros of a tape
/// block, for a damaged member.
pub(super) struct Gzip {
    /// None only while one decoder is exchanged for the next.
    member: Option<GzDecoder<BufReader<Input>>>,
    ended: bool,
}

impl Gzip {
    fn new(input: Input) -> Self {
        let input = BufReader::with_capacity(COMPRESSED_CHUNK, input);
        Self { member: Some(GzDecoder::new(input)), ended: false }
    }

    fn input(&self) -> Option<&Input> {
        self.member.as_ref().map(|member| member.get_ref().get_ref())
    }
}

impl Read for Gzip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let Some(member) = &mut self.member else { break };
            let got = member.read(into)?;
            if got > 0 {
                return Ok(got);
            }
            if member.get_mut().fill_buf()?.first() == Some(&0x1f) {
                self.member = self.member.take().map(|done| GzDecoder::new(done.into_inner()));
            } else {
                self.ended = true;
            }
        }
        Ok(0)
    }
}

/// Where the bytes of a capture come from.
pub(super) enum Source {
    Plain(Input),
    Gzip(Box<Gzip>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Input>>),
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

impl Source {
    /// Looks at the first bytes of `input` and leaves the capture's first bytes in `window`.
    pub(super) fn new(mut input: Input, name: &str, window: &mut Window) -> Result<Self, PortError> {
        let format = |reason: String| PortError::Format { name: name.to_owned(), reason };
        let io = |source| PortError::Io { name: name.to_owned(), source };

        window.need(4, &mut input).map_err(io)?;
        if window.rest().is_empty() {
            return Err(format(
                "the file is empty: nothing was captured, or the capturing program has not written anything yet".into(),
            ));
        }
        let mut source = match compression(window.rest()) {
            None => return Ok(Self::Plain(input)),
            Some(Compression::Gzip) => {
                input.put_back(window.take());
                Self::Gzip(Box::new(Gzip::new(input)))
            }
            Some(Compression::Zstd) => {
                input.put_back(window.take());
                let input = BufReader::with_capacity(COMPRESSED_CHUNK, input);
                Self::Zstd(zstd::stream::read::Decoder::with_buffer(input).map_err(io)?)
            }
            Some(Compression::Foreign(what, decompress)) => {
                return Err(format(format!(
                    "compressed with {what}, which is not read here; decompress it first: {decompress}"
                )));
            }
        };
        match window.need(4, &mut source) {
            Err(error) => Err(source.explain(error, name, window)),
            Ok(_) if window.rest().is_empty() => {
                Err(format(format!("the {} data is empty: nothing was captured", source.compression())))
            }
            Ok(_) if compression(window.rest()).is_some() => {
                Err(format("compressed twice; decompress it once and try again".into()))
            }
            Ok(_) => Ok(source),
        }
    }

    fn input(&self) -> Option<&Input> {
        match self {
            Self::Plain(input) => Some(input),
            Self::Gzip(decoder) => decoder.input(),
            Self::Zstd(decoder) => Some(decoder.get_ref().get_ref()),
        }
    }

    /// Bytes read of a regular file, and its size.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        let input = self.input()?;
        // A file that is still being written can grow past the size it had when it was opened.
        input.size.map(|size| (input.consumed.min(size), size))
    }

    /// The name of the compression; of none, the empty string.
    pub(super) fn compression(&self) -> &'static str {
        match self {
            Self::Plain(_) => "",
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        }
    }

    /// Whether `error` says that compressed data ended too early.
    pub(super) fn is_cut_short(&self, error: &io::Error) -> bool {
        !matches!(self, Self::Plain(_)) && error.kind() == io::ErrorKind::UnexpectedEof
    }

    /// What to tell the user about an error of [`Read::read`].
    pub(super) fn explain(&self, error: io::Error, name: &str, window: &Window) -> PortError {
        let name = name.to_owned();
        let compression = self.compression();
        // What the system says has a number; what a decompressor says has none.
        let is_of_system = error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted;
        if matches!(self, Self::Plain(_)) || is_of_system {
            return PortError::Io { name, source: error };
        }
        let reason = if self.is_cut_short(&error) {
            format!(
                "the {compression} data is cut short before the first packet; copy or record the file again"
            )
        } else {
            let read = window.position() + window.rest().len() as u64;
            format!(
                "the {compression} data is damaged after {read} decompressed bytes ({error}); copy or record the file again"
            )
        };
        PortError::Format { name, reason }
    }
}

/// A compression, as told by the first bytes.
enum Compression {
    Gzip,
    Zstd,
    /// One that is not read here: its name, and how to undo it.
    Foreign(&'static str, &'static str),
}

fn compression(head: &[u8]) -> Option<Compression> {
    match head {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        // A frame, or the skippable frame that pzstd writes first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Compression::Foreign("bzip2", "bunzip2 FILE")),
        [0xfd, b'7', b'z', b'X', ..] => Some(Compression::Foreign("xz", "unxz FILE")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(Compression::Foreign("lz4", "unlz4 FILE")),
        [b'P', b'K', 3, 4, ..] => Some(Compression::Foreign("zip", "unzip FILE")),
        _ => None,
    }
}
