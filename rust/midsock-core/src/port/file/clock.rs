//! The clock of a pcapng interface.

use super::super::TIME_LIMIT;
use crate::Nanos;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How an interface's time stamps become nanoseconds since the epoch.
///
/// Times beyond [`TIME_LIMIT`] become that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    offset: Nanos,
}

/// One tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds.
    Nanos(u64),
    /// One part in so many of a nanosecond.
    NanoParts(u64),
    /// One part in 2 to this power of a second.
    BinaryParts(u32),
}

impl Clock {
    /// A clock from an interface's `if_tsresol` (negative power of 10 or, with the top bit, of 2) and `if_tsoffset` in
    /// seconds.
    pub(super) fn new(tsresol: u8, tsoffset: i64) -> Self {
        let power = u32::from(tsresol & 0x7f);
        let unit = if tsresol & 0x80 != 0 {
            Unit::BinaryParts(power)
        } else if power <= 9 {
            Unit::Nanos(10u64.pow(9 - power))
        } else {
            // The whole range of a tick finer than that is less than a nanosecond.
            10u64.checked_pow(power - 9).map_or(Unit::Nanos(0), Unit::NanoParts)
        };
        Self { unit, offset: tsoffset.saturating_mul(NANOS_PER_SECOND as i64) }
    }

    /// The time of a time stamp.
    #[inline]
    pub(super) fn time(self, ticks: u64) -> Nanos {
        let nanos = match self.unit {
            Unit::Nanos(nanos) => ticks.saturating_mul(nanos),
            Unit::NanoParts(parts) => ticks / parts,
            Unit::BinaryParts(power) => {
                let nanos = (u128::from(ticks) * u128::from(NANOS_PER_SECOND)) >> power;
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        };
        let time = Nanos::try_from(nanos).unwrap_or(Nanos::MAX).saturating_add(self.offset);
        time.clamp(-TIME_LIMIT, TIME_LIMIT)
    }
}

impl Default for Clock {
    /// Microseconds since the epoch.
    fn default() -> Self {
        Self::new(6, 0)
    }
}
