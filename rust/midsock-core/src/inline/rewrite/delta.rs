//! What a change does to a checksum (RFC 1624).

use crate::wire::checksum::{fold, sum};

/// The sum of covered bytes before and after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    old: u16,
    new: u16,
}

impl Delta {
    /// The change that `new` at `at` of the frame would be, where what is covered starts at `base`.
    pub(crate) fn of(frame: &[u8], base: usize, at: usize, new: &[u8]) -> Delta {
        let Some(old) = frame.get(at..at + new.len()) else { return Delta::default() };
        let odd = at.wrapping_sub(base) & 1 == 1;
        Delta::between(old, new).shifted(odd)
    }

    /// The change from `old` to `new`, which start an even number of bytes into what is covered.
    pub(crate) fn between(old: &[u8], new: &[u8]) -> Delta {
        Delta { old: fold(sum(old)), new: fold(sum(new)) }
    }

    /// The same change an odd number of bytes further on: bytes swap their places within words (RFC 1071, 2.B).
    fn shifted(self, odd: bool) -> Delta {
        if odd { Delta { old: self.old.swap_bytes(), new: self.new.swap_bytes() } } else { self }
    }

    /// This change and then that one.
    #[must_use]
    pub(crate) fn and(self, other: Delta) -> Delta {
        Delta {
            old: fold(u32::from(self.old) + u32::from(other.old)),
            new: fold(u32::from(self.new) + u32::from(other.new)),
        }
    }

    /// The checksum after this change: equation 3.
    pub(crate) fn mend(self, checksum: u16) -> u16 {
        !self.add(!checksum)
    }

    /// A sum, not complemented, after this change.
    pub(crate) fn add(self, sum: u16) -> u16 {
        fold(u32::from(sum) + u32::from(!self.old) + u32::from(self.new))
    }
}
