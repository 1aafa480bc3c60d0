//! TCP options.

use super::be32;

/// End of option list (RFC 9293).
pub const END: u8 = 0;
/// No operation (RFC 9293).
pub const NOP: u8 = 1;
/// Maximum segment size (RFC 9293).
pub const MSS: u8 = 2;
/// Window scale (RFC 7323).
pub const WINDOW_SCALE: u8 = 3;
/// SACK permitted (RFC 2018).
pub const SACK_PERMITTED: u8 = 4;
/// SACK (RFC 2018).
pub const SACK: u8 = 5;
/// Timestamps (RFC 7323).
pub const TIMESTAMPS: u8 = 8;
/// Quick-Start response (RFC 4782).
pub const QUICK_START: u8 = 27;
/// User timeout (RFC 5482).
pub const USER_TIMEOUT: u8 = 28;
/// Authentication (RFC 5925).
pub const AUTHENTICATION: u8 = 29;
/// Fast Open cookie (RFC 7413).
pub const FAST_OPEN: u8 = 34;
/// One of the two kinds for experiments (RFC 6994); [`FAST_OPEN_MAGIC`] after its length makes it a Fast Open cookie.
pub const EXPERIMENT: u8 = 254;
/// The experiment id of Fast Open before kind 34 was assigned.
pub const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

/// The largest shift count that is used; a larger one counts as this (RFC 7323, 2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

/// A Fast Open cookie, or the request for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Where the cookie starts in the option bytes.
    pub offset: u8,
    /// Its length in bytes; 0 is a request. RFC 7413 has cookies of 4 to 16 bytes, an even number of them.
    pub length: u8,
}

impl Cookie {
    /// The cookie's bytes in the `options` that it was found in.
    pub fn bytes(self, options: &[u8]) -> &[u8] {
        let start = usize::from(self.offset);
        options.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// The options of one segment. Of an option that occurs twice the last one holds, as in Linux; of user
/// timeout, Quick-Start and AO only the length is looked at; kinds that are not listed here (MD5, MPTCP…) are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size, in bytes of payload; 0 is possible.
    pub mss: Option<u16>,
    /// Window scale: the bits by which the sender's windows are shifted, 0 to 14.
    pub window_scale: Option<u8>,
    /// Whether the window scale was above 14 and is given as 14 (RFC 7323, 2.3).
    pub window_scale_clamped: bool,
    /// Whether the sender takes SACK.
    pub sack_permitted: bool,
    /// `TSval` and `TSecr`.
    pub timestamps: Option<(u32, u32)>,
    /// The SACK blocks: left edge, and right edge (the first number after the block); in the sender's order, unchecked.
    pub sack: [(u32, u32); 4],
    /// How many of `sack` are set.
    pub sack_count: u8,
    /// The Fast Open cookie.
    pub fast_open: Option<Cookie>,
    /// Whether an option had a length that is impossible for its kind (it was passed over), or one below 2 or beyond the
    /// end (nothing after it was read).
    pub malformed: bool,
}

impl Options {
    /// The SACK blocks that are set.
    #[inline]
    pub fn sack_blocks(&self) -> &[(u32, u32)] {
        self.sack.get(..usize::from(self.sack_count)).unwrap_or_default()
    }
}

/// Reads the options of a TCP header.
pub fn parse(options: &[u8]) -> Options {
    match linux_syn(options) {
        Some((mss, timestamps, shift)) => Options {
            mss: Some(mss),
            window_scale: Some(shift.min(MAX_WINDOW_SCALE)),
            window_scale_clamped: shift > MAX_WINDOW_SCALE,
            sack_permitted: true,
            timestamps: Some(timestamps),
            ..Options::default()
        },
        None => parse_each(options),
    }
}

/// What Linux, and so most of the world, sends in a SYN: maximum segment size, SACK permitted, timestamps and window scale,
/// in this order.
#[inline]
fn linux_syn(options: &[u8]) -> Option<(u16, (u32, u32), u8)> {
    let &[MSS, 4, high, low, SACK_PERMITTED, 2, TIMESTAMPS, 10, ref rest @ ..] = options else { return None };
    let (values, &[NOP, WINDOW_SCALE, 3, shift]) = rest.split_first_chunk()? else { return None };
    Some((u16::from_be_bytes([high, low]), pair(values), shift))
}

/// Reads options one by one.
fn parse_each(options: &[u8]) -> Options {
    let mut found = Options::default();
    let mut rest = options;
    loop {
        let (kind, length) = match *rest {
            [] | [END, ..] => return found,
            [NOP, ref after @ ..] => {
                rest = after;
                continue;
            }
            [kind, length, ..] if length >= 2 && usize::from(length) <= rest.len() => (kind, length),
            _ => {
                found.malformed = true;
                return found;
            }
        };
        let at = options.len() - rest.len();
        let (option, after) = rest.split_at(usize::from(length));
        rest = after;
        if !found.take(kind, &option[2..], at + 2) {
            found.malformed = true;
        }
    }
}

impl Options {
    /// Takes one option, whose value lies `at` bytes into the options; says whether its length fits its kind.
    fn take(&mut self, kind: u8, value: &[u8], at: usize) -> bool {
        match (kind, value) {
            (MSS, &[high, low]) => self.mss = Some(u16::from_be_bytes([high, low])),
            (WINDOW_SCALE, &[shift]) => {
                self.window_scale = Some(shift.min(MAX_WINDOW_SCALE));
                self.window_scale_clamped = shift > MAX_WINDOW_SCALE;
            }
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, blocks) if matches!(blocks.len(), 8 | 16 | 24 | 32) => {
                self.sack_count = (blocks.len() / 8) as u8;
                for (kept, block) in self.sack.iter_mut().zip(blocks.as_chunks().0) {
                    *kept = pair(block);
                }
            }
            (TIMESTAMPS, value) => match value.try_into() {
                Ok(values) => self.timestamps = Some(pair(values)),
                Err(_) => return false,
            },
            (FAST_OPEN, cookie) => return self.take_cookie(cookie.len(), at),
            (EXPERIMENT, [first, second, cookie @ ..]) if [*first, *second] == FAST_OPEN_MAGIC => {
                return self.take_cookie(cookie.len(), at + 2);
            }
            (MSS | WINDOW_SCALE | SACK_PERMITTED | SACK, _) => return false,
            (QUICK_START, value) => return value.len() == 6,
            (USER_TIMEOUT, value) => return value.len() == 2,
            (AUTHENTICATION, value) => return value.len() >= 2,
            _ => {}
        }
        true
    }

    fn take_cookie(&mut self, length: usize, at: usize) -> bool {
        let fits = length == 0 || ((4..=16).contains(&length) && length.is_multiple_of(2));
        if let (true, Ok(offset)) = (fits, u8::try_from(at)) {
            self.fast_open = Some(Cookie { offset, length: length as u8 });
        }
        fits
    }
}

/// The options of a TCP header that [`parse`] looks at, sound or not, each with its offset; without padding, up to the
/// first one whose length makes no sense.
pub fn each(options: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            match options.get(at..)? {
                [NOP, ..] => at += 1,
                rest @ [kind, length, ..] if *kind != END && *length >= 2 => {
                    let option = rest.get(..usize::from(*length))?;
                    let start = at;
                    at += option.len();
                    return Some((start, option));
                }
                _ => return None,
            }
        }
    })
}

/// The timestamps among the options of a TCP header, `TSval` and `TSecr`; [`parse`] finds the same ones.
#[inline]
pub fn timestamps(options: &[u8]) -> Option<(u32, u32)> {
    // What all common stacks send on a connection with timestamps, once it is set up (RFC 7323, appendix A).
    if let &[NOP, NOP, TIMESTAMPS, 10, ref values @ ..] = options
        && let Ok(values) = values.try_into()
    {
        return Some(pair(values));
    }
    if let Some((_, timestamps, _)) = linux_syn(options) {
        return Some(timestamps);
    }
    if options.is_empty() { None } else { parse_each(options).timestamps }
}

/// Two numbers of 32 bits.
#[inline(always)]
fn pair(bytes: &[u8; 8]) -> (u32, u32) {
    (be32(bytes, 0), be32(bytes, 4))
}
