//! The pcapng capture format.
//!
//! <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/>: blocks of type, length, body and the length again. A
//! section header block starts a section and tells its byte order; interface description blocks tell link type and
//! clock. Blocks and options of other kinds are passed over.

use super::super::{BURST, ChecksumState, LinkType, Packet};
use super::clock::Clock;
use super::walk::{Order, Stop};
use super::window::MAX_RECORD;
use crate::Nanos;

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete, but still found in old captures.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;

pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
pub(super) const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Type and length in front of a block's body.
const BLOCK_HEADER: usize = 8;
/// Those and the length again.
const MIN_BLOCK: u32 = 12;
/// What an enhanced packet block has in front of the frame.
const PACKET_HEADER: usize = 20;
/// The shortest section header block.
pub(super) const MIN_SECTION_HEADER: usize = 28;

/// Interfaces that one section may describe: as many as a packet's interface number can tell apart.
const MAX_INTERFACES: usize = 1 << 16;

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    /// 0 stands for no limit.
    snaplen: u32,
    clock: Clock,
}

/// Reads the blocks of one file.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    big: bool,
    /// The interfaces of the section.
    interfaces: Vec<Interface>,
    /// Interfaces of the sections before it: a packet's interface is counted through the file.
    interfaces_before: usize,
    /// Bytes still to pass over of a block nobody needs.
    skip: usize,
    /// After those bytes this length must come again.
    trailer: Option<u32>,
    /// The time of the packet before, for packets that come without one.
    last_time: Nanos,
    /// Packet blocks that were passed over.
    malformed: u64,
}

/// What to do after a block.
enum Next {
    Block,
    /// The byte order may be another one from here on.
    Section,
    Stop(Stop),
}

impl Pcapng {
    /// Whether a file that starts with `head` is of this format.
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.starts_with(&SECTION_HEADER.to_le_bytes())
    }

    /// A reader of a file that starts with `head`; the error is the reason why these files cannot be read.
    pub(super) fn new(head: &[u8; MIN_SECTION_HEADER]) -> Result<Self, String> {
        section(head).map(|_| Self::default()).map_err(|reason| format!("the file {reason}"))
    }

    /// Packet blocks passed over so far because they contradict themselves or name an unknown interface.
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Whether the bytes walked so far end amid a block.
    pub(super) fn is_amid_block(&self) -> bool {
        self.skip > 0 || self.trailer.is_some()
    }

    /// Puts the packets in `memory`, from `at` on, into `burst` and moves `at` behind them.
    pub(super) fn walk(&mut self, memory: &[u8], at: &mut usize, burst: &mut Vec<Packet>) -> Stop {
        loop {
            let stop = if self.big {
                self.blocks::<true>(memory, at, burst)
            } else {
                self.blocks::<false>(memory, at, burst)
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// Walks blocks of one byte order; None when a section starts.
    fn blocks<const BIG: bool>(
        &mut self,
        memory: &[u8],
        at: &mut usize,
        burst: &mut Vec<Packet>,
    ) -> Option<Stop> {
        while burst.len() < BURST {
            match self.block::<BIG>(memory, at, burst) {
                Next::Block => {}
                Next::Section => return None,
                Next::Stop(stop) => return Some(stop),
            }
        }
        Some(Stop::Full)
    }

    #[inline(always)]
    fn block<const BIG: bool>(&mut self, memory: &[u8], at: &mut usize, burst: &mut Vec<Packet>) -> Next {
        if self.is_amid_block()
            && let Some(stop) = self.pass_over::<BIG>(memory, at)
        {
            return Next::Stop(stop);
        }
        let Some(header) = memory.get(*at..).and_then(|rest| rest.first_chunk::<BLOCK_HEADER>()) else {
            return Next::Stop(Stop::Incomplete);
        };
        let kind = Order::<BIG>::word(header, 0);
        if kind == SECTION_HEADER {
            return self.start_section(memory, at);
        }
        let length = Order::<BIG>::word(header, 4);
        let is_needed = matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | PACKET | INTERFACE_DESCRIPTION);
        if let Err(reason) = check_length(length, is_needed) {
            return Next::Stop(Stop::Damaged(reason));
        }
        let Some(block) = memory[*at..].get(..length as usize) else {
            if !is_needed {
                // Not waited for: it may be longer than the window.
                self.skip = length as usize - 4;
                self.trailer = Some(length);
                return Next::Block;
            }
            return Next::Stop(Stop::Incomplete);
        };
        let body = &block[BLOCK_HEADER..block.len() - 4];
        // A block is at least twelve bytes long, so that there are four.
        let trailer = block.last_chunk().map_or(0, |&bytes| Order::<BIG>::u32(bytes));
        if trailer != length {
            return Next::Stop(contradiction(length, trailer));
        }
        let body_at = *at + BLOCK_HEADER;
        let taken = match kind {
            ENHANCED_PACKET => self.packet::<BIG, false>(body, body_at, burst),
            PACKET => self.packet::<BIG, true>(body, body_at, burst),
            SIMPLE_PACKET => self.simple_packet::<BIG>(body, body_at, burst),
            INTERFACE_DESCRIPTION => {
                if self.describe_interface::<BIG>(body).is_none() {
                    // Which interface later packets mean can no longer be told.
                    let reason = "describes an interface, but is too short for it".into();
                    return Next::Stop(Stop::Damaged(reason));
                }
                Some(())
            }
            _ => Some(()),
        };
        if taken.is_none() {
            self.malformed += 1;
        }
        *at += block.len();
        Next::Block
    }

    /// Goes on passing over a block that was longer than what was there; None when behind it.
    #[cold]
    fn pass_over<const BIG: bool>(&mut self, memory: &[u8], at: &mut usize) -> Option<Stop> {
        let passed = self.skip.min(memory.len() - *at);
        *at += passed;
        self.skip -= passed;
        if self.skip > 0 {
            return Some(Stop::Incomplete);
        }
        if let Some(length) = self.trailer {
            let Some(&trailer) = memory[*at..].first_chunk() else { return Some(Stop::Incomplete) };
            let trailer = Order::<BIG>::u32(trailer);
            if trailer != length {
                return Some(contradiction(length, trailer));
            }
            *at += 4;
            self.trailer = None;
        }
        None
    }

    /// Takes an enhanced packet block or, with `OBSOLETE`, a packet block; None if it contradicts itself.
    #[inline(always)]
    fn packet<const BIG: bool, const OBSOLETE: bool>(
        &mut self,
        body: &[u8],
        body_at: usize,
        burst: &mut Vec<Packet>,
    ) -> Option<()> {
        let (header, rest) = body.split_first_chunk::<PACKET_HEADER>()?;
        let number = if OBSOLETE {
            usize::from(Order::<BIG>::half(header, 0))
        } else {
            Order::<BIG>::word(header, 0) as usize
        };
        let interface = self.interfaces.get(number)?;
        let ticks = u64::from(Order::<BIG>::word(header, 4)) << 32 | u64::from(Order::<BIG>::word(header, 8));
        let captured = Order::<BIG>::word(header, 12);
        if captured as usize > rest.len() {
            return None;
        }
        let time = interface.clock.time(ticks);
        self.last_time = time;
        burst.push(Packet {
            time,
            offset: body_at + PACKET_HEADER,
            captured,
            length: Order::<BIG>::word(header, 16).max(captured),
            link: interface.link,
            checksum: ChecksumState::Unknown,
            interface: self.interface_in_file(number),
        });
        Some(())
    }

    /// Takes a simple packet block: of the section's first interface, without a time, cut at that interface's snapshot
    /// length. It gets the time of the packet before it, which keeps time from running backwards.
    fn simple_packet<const BIG: bool>(
        &mut self,
        body: &[u8],
        body_at: usize,
        burst: &mut Vec<Packet>,
    ) -> Option<()> {
        let (&length, rest) = body.split_first_chunk()?;
        let length = Order::<BIG>::u32(length);
        let interface = self.interfaces.first()?;
        let snaplen = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        burst.push(Packet {
            time: self.last_time,
            offset: body_at + 4,
            // A block is at most MAX_RECORD long.
            captured: length.min(snaplen).min(rest.len() as u32),
            length,
            link: interface.link,
            checksum: ChecksumState::Unknown,
            interface: self.interface_in_file(0),
        });
        Some(())
    }

    #[inline]
    fn interface_in_file(&self, number: usize) -> u16 {
        u16::try_from(self.interfaces_before + number).unwrap_or(u16::MAX)
    }

    fn describe_interface<const BIG: bool>(&mut self, body: &[u8]) -> Option<()> {
        let (header, mut options) = body.split_first_chunk::<8>()?;
        let (mut tsresol, mut tsoffset) = (6, 0);
        while let Some((option, rest)) = options.split_first_chunk::<4>() {
            let (code, length) = (Order::<BIG>::half(option, 0), usize::from(Order::<BIG>::half(option, 2)));
            let Some(value) = rest.get(..length) else { break };
            match (code, value) {
                (OPTION_END, _) => break,
                (OPTION_TSRESOL, &[resolution, ..]) => tsresol = resolution,
                (OPTION_TSOFFSET, _) => {
                    if let Some(&seconds) = value.first_chunk() {
                        tsoffset = Order::<BIG>::u64(seconds) as i64;
                    }
                }
                _ => {}
            }
            let Some(next) = rest.get(length.next_multiple_of(4)..) else { break };
            options = next;
        }
        if self.interfaces.len() < MAX_INTERFACES {
            self.interfaces.push(Interface {
                link: LinkType::from_linktype(Order::<BIG>::half(header, 0)),
                snaplen: Order::<BIG>::word(header, 4),
                clock: Clock::new(tsresol, tsoffset),
            });
        }
        Some(())
    }

    #[cold]
    fn start_section(&mut self, memory: &[u8], at: &mut usize) -> Next {
        let Some(head) = memory[*at..].first_chunk::<MIN_SECTION_HEADER>() else {
            return Next::Stop(Stop::Incomplete);
        };
        let (big, length) = match section(head) {
            Ok(section) => section,
            Err(reason) => return Next::Stop(Stop::Damaged(reason)),
        };
        let Some(block) = memory[*at..].get(..length as usize) else { return Next::Stop(Stop::Incomplete) };
        let trailer = block
            .last_chunk()
            .map_or(0, |&bytes| if big { Order::<true>::u32(bytes) } else { Order::<false>::u32(bytes) });
        if trailer != length {
            return Next::Stop(contradiction(length, trailer));
        }
        self.big = big;
        self.interfaces_before = self.interfaces_before.saturating_add(self.interfaces.len());
        self.interfaces.clear();
        *at += block.len();
        Next::Section
    }
}

/// Byte order and length of a section header block; the error says what it does wrong.
fn section(head: &[u8; MIN_SECTION_HEADER]) -> Result<(bool, u32), String> {
    let big = Order::<true>::word(head, 8) == BYTE_ORDER_MAGIC;
    if !big && Order::<false>::word(head, 8) != BYTE_ORDER_MAGIC {
        return Err("starts a section of unknown byte order".into());
    }
    let (length, major, minor) = if big {
        (Order::<true>::word(head, 4), Order::<true>::half(head, 12), Order::<true>::half(head, 14))
    } else {
        (Order::<false>::word(head, 4), Order::<false>::half(head, 12), Order::<false>::half(head, 14))
    };
    if major != 1 {
        return Err(format!("starts a section of pcapng version {major}.{minor}; versions 1.x are read"));
    }
    if length < MIN_SECTION_HEADER as u32 {
        return Err(format!("starts a section with a header of only {length} bytes"));
    }
    check_length(length, true)?;
    Ok((big, length))
}

/// Whether a block can be `length` bytes long; `is_needed` if it has to fit into the window.
#[inline]
fn check_length(length: u32, is_needed: bool) -> Result<(), String> {
    if length < MIN_BLOCK || !length.is_multiple_of(4) || (is_needed && length as usize > MAX_RECORD) {
        return Err(format!("says that it is {length} bytes long"));
    }
    Ok(())
}

#[cold]
fn contradiction(length: u32, trailer: u32) -> Stop {
    Stop::Damaged(format!("is {length} bytes long by its start and {trailer} by its end"))
}
