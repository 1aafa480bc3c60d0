//! What the readers of both formats share.

/// Why a walk over the window ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// The burst is full.
    Full,
    /// The next record is not there in full.
    Incomplete,
    /// The record where the walk ended cannot be true, so that nobody can tell where the next one starts. How the
    /// sentence goes on after "the record".
    Damaged(String),
}

/// Integers of a file whose byte order is `BIG` endian or little endian.
pub(super) struct Order<const BIG: bool>;

impl<const BIG: bool> Order<BIG> {
    #[inline(always)]
    pub(super) fn u16(bytes: [u8; 2]) -> u16 {
        if BIG { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    #[inline(always)]
    pub(super) fn u32(bytes: [u8; 4]) -> u32 {
        if BIG { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    #[inline(always)]
    pub(super) fn u64(bytes: [u8; 8]) -> u64 {
        if BIG { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }

    /// The 32-bit integer at `at`, a constant in range.
    #[inline(always)]
    pub(super) fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
        Self::u32([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }

    /// The 16-bit integer at `at`, a constant in range.
    #[inline(always)]
    pub(super) fn half<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
        Self::u16([bytes[at], bytes[at + 1]])
    }
}
