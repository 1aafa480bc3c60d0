//! Link types: what the first byte of a frame belongs to.

/// What a frame starts with.
///
/// Names and numbers are those of the registry at <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// IEEE 802.3 (`LINKTYPE_ETHERNET`, 1).
    #[default]
    Ethernet,
    /// An IPv4 or IPv6 header, told apart by its version (`LINKTYPE_RAW` 101, and 12, 14, 228, 229).
    Ip,
    /// Linux cooked capture, version 1 (`LINKTYPE_LINUX_SLL`, 113).
    LinuxSll,
    /// Linux cooked capture, version 2 (`LINKTYPE_LINUX_SLL2`, 276).
    LinuxSll2,
    /// BSD loopback: a protocol family of four bytes, in either byte order (`LINKTYPE_NULL` 0, `LINKTYPE_LOOP` 108).
    Loopback,
    /// PPP, with or without HDLC-like framing (`LINKTYPE_PPP` 9, `LINKTYPE_PPP_HDLC` 50).
    Ppp,
    /// Cisco HDLC (`LINKTYPE_C_HDLC`, 104).
    CiscoHdlc,
    /// FDDI (`LINKTYPE_FDDI`, 10).
    Fddi,
    /// A link type this stack does not decode; its packets pass untouched and are counted.
    Other(u16),
}

impl LinkType {
    /// The link type with this number in a capture file.
    ///
    /// Numbers that mean the same to this stack are one link type here: the several kinds of raw IP, for example,
    /// because the version in the IP header says which it is. 12 and 14 are `DLT_RAW` of different systems, which
    /// some programs write although the file format's own number is 101.
    pub const fn from_linktype(number: u16) -> Self {
        match number {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            10 => Self::Fddi,
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            104 => Self::CiscoHdlc,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }

    /// The number of this link type in a capture file; of several that mean the same, the commonest.
    pub const fn to_linktype(self) -> u16 {
        match self {
            Self::Loopback => 0,
            Self::Ethernet => 1,
            Self::Ppp => 9,
            Self::CiscoHdlc => 104,
            Self::Fddi => 10,
            Self::Ip => 101,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
            Self::Other(number) => number,
        }
    }
}

impl std::fmt::Display for LinkType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ethernet => f.write_str("Ethernet"),
            Self::Ip => f.write_str("raw IP"),
            Self::LinuxSll => f.write_str("Linux cooked capture v1"),
            Self::LinuxSll2 => f.write_str("Linux cooked capture v2"),
            Self::Loopback => f.write_str("BSD loopback"),
            Self::Ppp => f.write_str("PPP"),
            Self::CiscoHdlc => f.write_str("Cisco HDLC"),
            Self::Fddi => f.write_str("FDDI"),
            Self::Other(number) => write!(f, "link type {number}"),
        }
    }
}
