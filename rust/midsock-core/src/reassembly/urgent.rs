//! Urgent data: which bytes of a stream its receiver takes out of it.

use std::ops::Range;

/// What a receiver makes of urgent data (RFC 6093).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Urgent {
    /// The byte before the one that the urgent pointer points to is no part of the stream: an application gets it apart,
    /// as sockets without `SO_OOBINLINE` have it.
    #[default]
    Oob,
    /// The urgent pointer says nothing, and all bytes are part of the stream (RFC 6093, section 6).
    Inline,
    /// A segment with urgent data changes neither state nor stream, as with a firewall on the way that drops it.
    Drop,
}

impl Urgent {
    /// Every policy, in the order of its number.
    pub const ALL: [Urgent; 3] = [Urgent::Oob, Urgent::Inline, Urgent::Drop];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Urgent::Oob => "oob",
            Urgent::Inline => "inline",
            Urgent::Drop => "drop",
        }
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Urgent> {
        Urgent::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// Urgent bytes of one stream that are taken out at most; beyond, they are part of it. Programs send a few (RFC 6093,
/// section 2); many make a sensor's stream another one than the receiver's.
const MOST: u64 = 4096;

/// Those of them that the stream has not come to yet.
const MOST_AHEAD: usize = 256;

/// The urgent bytes of a stream. Places are counted in all bytes, those included that are taken out.
#[derive(Debug, Default)]
pub struct UrgentBytes {
    /// Where those are that the stream has not come to, in order.
    ahead: Vec<u64>,
    taken: u64,
    is_over: bool,
}

/// What becomes of an urgent byte that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// It will be taken out.
    Noted,
    /// It is the first that is left in the stream, because there were too many.
    Limit,
    /// It is left in the stream, as were others before it.
    Over,
}

impl UrgentBytes {
    /// How many bytes were taken out so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// A segment says that the byte at this place is urgent.
    pub fn announce(&mut self, place: u64) -> Announced {
        let Err(at) = self.ahead.binary_search(&place) else { return Announced::Noted };
        if self.ahead.len() >= MOST_AHEAD || self.taken + self.ahead.len() as u64 >= MOST {
            let was_over = std::mem::replace(&mut self.is_over, true);
            return if was_over { Announced::Over } else { Announced::Limit };
        }
        self.ahead.insert(at, place);
        Announced::Noted
    }

    /// The place of the first one in a range.
    pub fn first_in(&self, range: &Range<u64>) -> Option<u64> {
        self.ahead.first().copied().filter(|place| range.contains(place))
    }

    /// Takes out the first one.
    pub fn take(&mut self) {
        self.ahead.remove(0);
        self.taken += 1;
    }

    /// The bytes before this place were never seen, urgent ones among them.
    pub fn pass(&mut self, place: u64) {
        self.ahead.retain(|ahead| *ahead >= place);
    }

    /// Forgets those that the stream has not come to.
    pub fn clear(&mut self) {
        self.ahead.clear();
    }
}
