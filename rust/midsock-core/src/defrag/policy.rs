//! Whose bytes hold where fragments of a datagram overlap.

use crate::reassembly::Overlap;

/// What the receiver of a datagram makes of fragments that overlap: "target-based fragmentation" (Sturges and Novak, after
/// Paxson's and Shankar's "Active Mapping", IEEE S&P 2003).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FragmentPolicy {
    /// The bytes that came first hold.
    #[default]
    First,
    /// The bytes that came last hold (RFC 791, 3.2).
    Last,
    /// The new ones hold where their fragment starts earlier (BSD, HP-UX 10, IRIX).
    Bsd,
    /// The new ones hold where their fragment ends later, or as late and starts no later (HP's printers).
    BsdRight,
    /// The new ones hold where their fragment starts no later (Linux before 4.20, which discards instead).
    Linux,
    /// The new ones hold where their fragment covers the old one at both ends.
    Windows,
    /// The new ones hold where their fragment starts earlier and ends no earlier.
    Solaris,
    /// The datagram is discarded, and so are the fragments of it that are still to come (RFC 5722; RFC 8200, 4.5).
    Discard,
}

impl FragmentPolicy {
    /// Every policy.
    pub const ALL: [Self; 8] = [
        Self::First,
        Self::Last,
        Self::Bsd,
        Self::BsdRight,
        Self::Linux,
        Self::Windows,
        Self::Solaris,
        Self::Discard,
    ];

    /// Its name, in `snake_case`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Bsd => "bsd",
            Self::BsdRight => "bsd_right",
            Self::Linux => "linux",
            Self::Windows => "windows",
            Self::Solaris => "solaris",
            Self::Discard => "discard",
        }
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<FragmentPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// What a host does that settles overlapping segments so: the nearest of the policies for fragments.
    pub const fn of_host(overlap: Overlap) -> FragmentPolicy {
        match overlap {
            Overlap::First | Overlap::OldSolaris | Overlap::Hpux11 | Overlap::Macos => Self::First,
            Overlap::Last => Self::Last,
            Overlap::Bsd | Overlap::Hpux10 | Overlap::Irix => Self::Bsd,
            Overlap::BsdRight => Self::BsdRight,
            Overlap::Linux | Overlap::OldLinux => Self::Linux,
            Overlap::Windows | Overlap::Windows2k3 | Overlap::Vista => Self::Windows,
            Overlap::Solaris => Self::Solaris,
        }
    }

    /// Whether the bytes of a new fragment hold, and not those of an old one that it overlaps; each is where it starts
    /// and where it ends.
    pub(super) fn prefers_new(self, new: (u32, u32), old: (u32, u32)) -> bool {
        let ((start, end), (old_start, old_end)) = (new, old);
        match self {
            Self::First | Self::Discard => false,
            Self::Last => true,
            Self::Bsd => start < old_start,
            Self::BsdRight => end > old_end || end == old_end && start <= old_start,
            Self::Linux => start <= old_start,
            Self::Windows => start < old_start && end > old_end,
            Self::Solaris => start < old_start && end >= old_end,
        }
    }
}
