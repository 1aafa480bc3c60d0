//! Who wins where two segments, or two fragments, hold different bytes for the same place.
//!
//! Receivers differ in this, by their operating system. What each does was found out by sending every kind of overlap
//! to real ones: Shankar and Paxson, *Active Mapping* (2003); Novak and Sturges, *Target-Based TCP Stream Reassembly*
//! (2007); Novak, *Target-Based Fragmentation Reassembly* (2005). The names are those that Suricata and Snort
//! use for them, too.

use std::ops::Range;

/// How a receiver settles overlap between segments, by its operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Overlap {
    /// The bytes that came first stay, whatever overlaps them.
    #[default]
    First,
    /// The bytes that came last win.
    Last,
    /// FreeBSD, NetBSD, OpenBSD, AIX.
    Bsd,
    /// BSD with its favours the other way round, as HP's print servers have them: for segments as
    /// `First`.
    BsdRight,
    /// Linux from 2.4 on.
    Linux,
    /// Linux up to 2.2.
    OldLinux,
    /// Solaris from 2.6 on.
    Solaris,
    /// Older Solaris and `SunOS`.
    OldSolaris,
    /// Windows up to XP.
    Windows,
    /// Windows Server 2003.
    Windows2k3,
    /// Windows from Vista on.
    Vista,
    /// macOS.
    Macos,
    /// IRIX.
    Irix,
    /// HP-UX 10.
    Hpux10,
    /// HP-UX 11.
    Hpux11,
}

/// How a new segment lies to one that came before, both as they were sent, where the two share bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Geometry {
    /// Both start together, and the new one ends later.
    Longer,
    /// Both start and end together.
    Same,
    /// Both start together, and the new one ends earlier.
    Shorter,
    /// The new one starts earlier and ends inside.
    Before,
    /// The new one starts earlier and ends with the old one or later.
    Around,
    /// The new one starts inside and ends later.
    Beyond,
    /// The new one starts inside and ends with the old one or earlier.
    Inside,
}

/// Where a receiver accepts a RST (RFC 9293, section 3.10.7.4, and RFC 5961, section 3.2, ask for the exact number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetRule {
    /// Exactly at the next sequence number that it expects.
    Exact,
    /// Anywhere in its window.
    InWindow,
    /// At the next sequence number that it expects or beyond.
    AtOrAfterNext,
}

/// How a receiver settles overlap between IP fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FragmentOverlap {
    /// The bytes that came first stay.
    #[default]
    First,
    /// The bytes that came last win.
    Last,
    /// A new fragment wins where it starts earlier.
    Bsd,
    /// A new fragment wins unless it starts earlier.
    BsdRight,
    /// As `Bsd`, and wins where it starts at the same place.
    Linux,
    /// The old bytes stay, unless the new fragment starts earlier and ends later.
    Windows,
    /// As `Windows`, and wins where it starts earlier and ends at the same place.
    Solaris,
}

/// Geometries, a bit each.
type Geometries = u8;

const fn set(geometries: &[Geometry]) -> Geometries {
    let (mut bits, mut i) = (0, 0);
    while i < geometries.len() {
        bits |= 1 << geometries[i] as u8;
        i += 1;
    }
    bits
}

const NEVER: Geometries = 0;
const ALWAYS: Geometries = Geometries::MAX;
const EARLIER: Geometries = set(&[Geometry::Before, Geometry::Around]);
const LINUX: Geometries = EARLIER | set(&[Geometry::Longer]);
const OLD_LINUX: Geometries = LINUX | set(&[Geometry::Same]);
const SOLARIS: Geometries = set(&[Geometry::Longer, Geometry::Same, Geometry::Around, Geometry::Beyond]);

/// What sets one policy apart from others.
struct Row {
    policy: Overlap,
    name: &'static str,
    /// Where the new bytes win.
    wins: Geometries,
    resets: ResetRule,
    fragments: FragmentOverlap,
}

const fn row(
    policy: Overlap,
    name: &'static str,
    wins: Geometries,
    resets: ResetRule,
    fragments: FragmentOverlap,
) -> Row {
    Row { policy, name, wins, resets, fragments }
}

use FragmentOverlap as Fragments;
use ResetRule::{AtOrAfterNext, Exact, InWindow};

/// In the order of [`Overlap::ALL`].
const TABLE: [Row; 15] = [
    row(Overlap::First, "first", NEVER, Exact, Fragments::First),
    row(Overlap::Last, "last", ALWAYS, Exact, Fragments::Last),
    row(Overlap::Bsd, "bsd", EARLIER, Exact, Fragments::Bsd),
    row(Overlap::BsdRight, "bsd_right", NEVER, Exact, Fragments::BsdRight),
    row(Overlap::Linux, "linux", LINUX, InWindow, Fragments::Linux),
    row(Overlap::OldLinux, "old_linux", OLD_LINUX, InWindow, Fragments::Linux),
    row(Overlap::Solaris, "solaris", SOLARIS, InWindow, Fragments::Solaris),
    row(Overlap::OldSolaris, "old_solaris", NEVER, Exact, Fragments::First),
    row(Overlap::Windows, "windows", EARLIER, Exact, Fragments::Windows),
    row(Overlap::Windows2k3, "windows2k3", EARLIER, Exact, Fragments::Windows),
    row(Overlap::Vista, "vista", NEVER, Exact, Fragments::Windows),
    row(Overlap::Macos, "macos", EARLIER, Exact, Fragments::First),
    row(Overlap::Irix, "irix", EARLIER, Exact, Fragments::Bsd),
    row(Overlap::Hpux10, "hpux10", EARLIER, Exact, Fragments::Bsd),
    row(Overlap::Hpux11, "hpux11", SOLARIS, AtOrAfterNext, Fragments::First),
];

impl Overlap {
    /// Every policy, in the order of its number.
    pub const ALL: [Overlap; 15] = {
        let mut all = [Overlap::First; 15];
        let mut i = 0;
        while i < all.len() {
            assert!(TABLE[i].policy as usize == i, "the table is in the order of the numbers");
            all[i] = TABLE[i].policy;
            i += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Overlap> {
        Overlap::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The names of all policies, for messages.
    pub fn names() -> String {
        TABLE.map(|row| row.name).join(", ")
    }

    /// Whether the new bytes replace the old ones.
    #[inline]
    pub fn new_wins(self, geometry: Geometry) -> bool {
        self.row().wins >> geometry as u8 & 1 != 0
    }

    /// Whether new bytes replace old ones in any geometry.
    pub fn ever_replaces(self) -> bool {
        self.row().wins != NEVER
    }

    /// Where such a receiver accepts a RST.
    pub fn reset_rule(self) -> ResetRule {
        self.row().resets
    }

    /// How such a receiver settles overlap between IP fragments.
    pub fn of_fragments(self) -> FragmentOverlap {
        self.row().fragments
    }
}

impl Geometry {
    /// Every geometry, in the order of its number.
    pub const ALL: [Geometry; 7] = [
        Geometry::Longer,
        Geometry::Same,
        Geometry::Shorter,
        Geometry::Before,
        Geometry::Around,
        Geometry::Beyond,
        Geometry::Inside,
    ];

    /// How a new segment lies to an old one with which it shares bytes.
    #[inline]
    pub fn of(new: &Range<i64>, old: &Range<i64>) -> Geometry {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (new.start.cmp(&old.start), new.end.cmp(&old.end)) {
            (Equal, Greater) => Geometry::Longer,
            (Equal, Equal) => Geometry::Same,
            (Equal, Less) => Geometry::Shorter,
            (Less, Less) => Geometry::Before,
            (Less, _) => Geometry::Around,
            (Greater, Greater) => Geometry::Beyond,
            (Greater, _) => Geometry::Inside,
        }
    }
}
