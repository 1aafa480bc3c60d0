//! Sequence numbers: 32 bits that wrap, compared by their distance (RFC 9293, section 3.4).

/// A TCP sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `n` further on.
    #[inline]
    #[must_use]
    pub fn plus(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }

    /// The number `n` before.
    #[inline]
    #[must_use]
    pub fn minus(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }

    /// How far this number is beyond `earlier`; negative when it lies before it.
    #[inline]
    pub fn since(self, earlier: Seq) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Whether this number lies beyond `other`.
    #[inline]
    pub fn after(self, other: Seq) -> bool {
        self.since(other) > 0
    }

    /// Whether this number lies before `other`.
    #[inline]
    pub fn before(self, other: Seq) -> bool {
        self.since(other) < 0
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
