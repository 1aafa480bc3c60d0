//! Round-trip times as they are seen from the middle (RFC 6298, RFC 7323).

use super::Seq;
use crate::Nanos;

/// Measures how long the other end takes to acknowledge what passes here: the way from here to there and back.
///
/// One segment is timed at a time. With timestamps the acknowledgement must echo that segment's own, so that a
/// retransmission cannot spoil the measure; without, a retransmission ends it (Karn's rule).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rtt {
    sent: Nanos,
    end: Seq,
    timestamp: Option<u32>,
    /// Microseconds; 0 before the first measure.
    smoothed: u32,
}

impl Rtt {
    /// A segment up to `end`, with this timestamp, passes now.
    pub(super) fn begin(&mut self, now: Nanos, end: Seq, timestamp: Option<u32>) {
        (self.sent, self.end, self.timestamp) = (now, end, timestamp);
    }

    /// Bytes up to `ack` were acknowledged, with this timestamp echoed; returns whether the measure is over.
    pub(super) fn acknowledge(&mut self, now: Nanos, ack: Seq, echo: Option<u32>) -> bool {
        if ack.before(self.end) {
            return false;
        }
        if self.timestamp.is_none() || self.timestamp == echo {
            // A millionth of a second is finer than any capture's own clock error; 0 stands for "no measure".
            let micros = ((now - self.sent).max(0) / 1_000).clamp(1, i64::from(u32::MAX)) as u32;
            self.smoothed = match self.smoothed {
                0 => micros,
                old => (u64::from(old) * 7 / 8 + u64::from(micros) / 8).max(1) as u32,
            };
        }
        true
    }

    /// The timed segment was sent again; returns whether the measure is over.
    pub(super) fn repeat(&self) -> bool {
        self.timestamp.is_none()
    }

    /// The smoothed round-trip time in nanoseconds, if there was a measure.
    pub fn smoothed(&self) -> Option<Nanos> {
        (self.smoothed != 0).then(|| Nanos::from(self.smoothed) * 1_000)
    }
}
