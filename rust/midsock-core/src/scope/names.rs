//! The words of the filter language: keywords, protocols, services, and what to suggest for a word that is
//! none.

use super::test::{Direction, Version};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

/// A protocol's keyword: a primitive by itself, or the first word of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `ip`, `ip6`.
    Version(Version),
    /// A protocol over IP; `version` where it runs over one version only.
    Number { version: Option<Version>, number: u8 },
}

/// What a keyword means where a primitive starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// `src` or `dst`.
    Direction(Direction),
    Kind(Kind),
    Protocol(Protocol),
    Vlan,
    /// `mask`, which stands only behind a network's address.
    Mask,
    /// A keyword of pcap-filter that no scope has, and why.
    Foreign(&'static str),
}

/// The keywords of scopes. Of two equally close to a wrong word, the earlier is suggested.
const KEYWORDS: &[(&str, Keyword)] = &[
    ("port", Keyword::Kind(Kind::Port)),
    ("host", Keyword::Kind(Kind::Host)),
    ("net", Keyword::Kind(Kind::Net)),
    ("src", Keyword::Direction(Direction::Source)),
    ("dst", Keyword::Direction(Direction::Destination)),
    ("tcp", protocol(None, TCP)),
    ("udp", protocol(None, UDP)),
    ("ip", Keyword::Protocol(Protocol::Version(Version::V4))),
    ("ip6", Keyword::Protocol(Protocol::Version(Version::V6))),
    ("vlan", Keyword::Vlan),
    ("portrange", Keyword::Kind(Kind::PortRange)),
    ("proto", Keyword::Kind(Kind::Proto)),
    ("icmp", protocol(Some(Version::V4), ICMP)),
    ("icmp6", protocol(Some(Version::V6), ICMP6)),
    ("sctp", protocol(None, SCTP)),
    ("mask", Keyword::Mask),
    ("ah", protocol(None, 51)),
    ("esp", protocol(None, 50)),
    ("pim", protocol(None, 103)),
    ("igmp", protocol(Some(Version::V4), 2)),
    ("vrrp", protocol(Some(Version::V4), 112)),
];

const fn protocol(version: Option<Version>, number: u8) -> Keyword {
    Keyword::Protocol(Protocol::Number { version, number })
}

/// Why conditions on single packets are no part of a scope.
pub(super) const PACKETS: &str =
    "selects single packets, and a scope selects flows: use the filter of a user-defined event";
const NO_FLOW: &str = "is not IP, and a scope selects flows over IP";
const UNSUPPORTED: &str = "is not supported in a scope";

/// The other keywords of pcap-filter.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        PACKETS,
        &[
            "ether",
            "link",
            "fddi",
            "tr",
            "wlan",
            "ppp",
            "slip",
            "len",
            "length",
            "less",
            "greater",
            "byte",
            "broadcast",
            "multicast",
            "tcpflags",
            "tcp-fin",
            "tcp-syn",
            "tcp-rst",
            "tcp-push",
            "tcp-ack",
            "tcp-urg",
            "tcp-ece",
            "tcp-cwr",
            "icmptype",
            "icmpcode",
            "icmp6type",
            "icmp6code",
        ],
    ),
    (
        NO_FLOW,
        &[
            "arp", "rarp", "atalk", "aarp", "decnet", "lat", "sca", "moprc", "mopdl", "iso", "esis", "es-is",
            "isis", "is-is", "clnp", "stp", "ipx", "netbeui", "llc", "pppoed",
        ],
    ),
    (
        UNSUPPORTED,
        &[
            "gateway",
            "protochain",
            "inbound",
            "outbound",
            "ifindex",
            "mpls",
            "pppoes",
            "geneve",
            "vxlan",
            "igrp",
            "carp",
            "radio",
            "type",
            "subtype",
            "dir",
            "direction",
            "addr1",
            "addr2",
            "addr3",
            "addr4",
            "address1",
            "address2",
            "address3",
            "address4",
            "ra",
            "ta",
            "on",
            "ifname",
            "rset",
            "ruleset",
            "rnr",
            "rulenum",
            "srnr",
            "subrulenum",
            "reason",
            "action",
            "lane",
            "metac",
            "bcc",
            "oam",
            "oamf4",
            "oamf4ec",
            "oamf4sc",
            "sc",
            "ilmic",
            "vpi",
            "vci",
            "connectmsg",
            "metaconnect",
            "l1",
            "l2",
            "iih",
            "lsp",
            "snp",
            "csnp",
            "psnp",
            "fisu",
            "lssu",
            "lsu",
            "msu",
            "hfisu",
            "hlssu",
            "hmsu",
            "sio",
            "opc",
            "dpc",
            "sls",
            "hsio",
            "hopc",
            "hdpc",
            "hsls",
        ],
    ),
];

/// What `word` means as a keyword.
pub(super) fn keyword(word: &str) -> Option<Keyword> {
    let own = KEYWORDS.iter().find(|(name, _)| *name == word).map(|&(_, keyword)| keyword);
    own.or_else(|| {
        let (reason, _) = FOREIGN.iter().find(|(_, words)| words.contains(&word))?;
        Some(Keyword::Foreign(reason))
    })
}

/// The keyword that means just this protocol, if there is one.
pub(super) fn abbreviation(version: Option<Version>, number: u8) -> Option<&'static str> {
    KEYWORDS.iter().find(|(_, keyword)| *keyword == protocol(version, number)).map(|(name, _)| *name)
}

/// Protocols by the names of /etc/protocols that a filter is likely to use.
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", ICMP),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", TCP),
    ("udp", UDP),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", ICMP6),
    ("ipv6-icmp", ICMP6),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip", 94),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", SCTP),
    ("udplite", 136),
];

/// The number of a protocol, by its name.
pub(super) fn protocol_number(name: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|(known, _)| *known == name).map(|&(_, number)| number)
}

const TCP_ONLY: Option<u8> = Some(TCP);
const UDP_ONLY: Option<u8> = Some(UDP);

/// Services by their names in /etc/services: the port, and the protocol where the name belongs to one only.
const SERVICES: &[(&str, u16, Option<u8>)] = &[
    ("http", 80, TCP_ONLY),
    ("https", 443, None),
    ("ftp-data", 20, TCP_ONLY),
    ("ftp", 21, TCP_ONLY),
    ("ssh", 22, TCP_ONLY),
    ("telnet", 23, TCP_ONLY),
    ("smtp", 25, TCP_ONLY),
    ("domain", 53, None),
    ("bootps", 67, UDP_ONLY),
    ("bootpc", 68, UDP_ONLY),
    ("tftp", 69, UDP_ONLY),
    ("gopher", 70, TCP_ONLY),
    ("finger", 79, TCP_ONLY),
    ("kerberos", 88, None),
    ("pop3", 110, TCP_ONLY),
    ("sunrpc", 111, None),
    ("auth", 113, TCP_ONLY),
    ("nntp", 119, TCP_ONLY),
    ("ntp", 123, UDP_ONLY),
    ("netbios-ns", 137, UDP_ONLY),
    ("netbios-dgm", 138, UDP_ONLY),
    ("netbios-ssn", 139, TCP_ONLY),
    ("imap", 143, TCP_ONLY),
    ("imap2", 143, TCP_ONLY),
    ("snmp", 161, None),
    ("snmp-trap", 162, None),
    ("bgp", 179, TCP_ONLY),
    ("ldap", 389, None),
    ("microsoft-ds", 445, TCP_ONLY),
    ("submissions", 465, TCP_ONLY),
    ("smtps", 465, TCP_ONLY),
    ("isakmp", 500, UDP_ONLY),
    ("login", 513, TCP_ONLY),
    ("who", 513, UDP_ONLY),
    ("shell", 514, TCP_ONLY),
    ("syslog", 514, None),
    ("printer", 515, TCP_ONLY),
    ("rtsp", 554, None),
    ("submission", 587, TCP_ONLY),
    ("ldaps", 636, None),
    ("domain-s", 853, None),
    ("rsync", 873, TCP_ONLY),
    ("ftps-data", 989, TCP_ONLY),
    ("ftps", 990, TCP_ONLY),
    ("telnets", 992, TCP_ONLY),
    ("imaps", 993, TCP_ONLY),
    ("pop3s", 995, TCP_ONLY),
    ("socks", 1080, TCP_ONLY),
    ("openvpn", 1194, None),
    ("ms-sql-s", 1433, TCP_ONLY),
    ("l2tp", 1701, UDP_ONLY),
    ("radius", 1812, None),
    ("radius-acct", 1813, None),
    ("nfs", 2049, None),
    ("iscsi-target", 3260, TCP_ONLY),
    ("mysql", 3306, TCP_ONLY),
    ("ms-wbt-server", 3389, TCP_ONLY),
    ("svn", 3690, TCP_ONLY),
    ("sip", 5060, None),
    ("sip-tls", 5061, None),
    ("xmpp-client", 5222, TCP_ONLY),
    ("xmpp-server", 5269, TCP_ONLY),
    ("mdns", 5353, UDP_ONLY),
    ("postgresql", 5432, TCP_ONLY),
    ("amqps", 5671, TCP_ONLY),
    ("x11", 6000, TCP_ONLY),
    ("redis", 6379, TCP_ONLY),
    ("http-alt", 8080, TCP_ONLY),
    ("webcache", 8080, TCP_ONLY),
    ("git", 9418, TCP_ONLY),
];

/// The port of a service, by its name, and the protocol where the name belongs to one only.
pub(super) fn service(name: &str) -> Option<(u16, Option<u8>)> {
    SERVICES.iter().find(|(known, ..)| *known == name).map(|&(_, port, transport)| (port, transport))
}

/// Which names a wrong word may have been meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    Keywords,
    Services,
    Protocols,
}

/// The longest word for which a name is suggested; no name is that long.
const LONGEST: usize = 24;

/// ` (did you mean "port"?)` for a word close to one of the names, otherwise nothing.
pub(super) fn suggestion(word: &str, meant: Meant) -> String {
    let candidates: Vec<&str> = match meant {
        Meant::Keywords => KEYWORDS.iter().map(|(name, _)| *name).chain(["and", "or", "not"]).collect(),
        Meant::Services => SERVICES.iter().map(|(name, ..)| *name).collect(),
        Meant::Protocols => PROTOCOLS.iter().map(|(name, _)| *name).collect(),
    };
    if word.len() > LONGEST {
        return String::new();
    }
    let word = word.to_ascii_lowercase();
    let limit = if word.len() < 5 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|name| (distance(word.as_bytes(), name.as_bytes()), name))
        // A word of one or two letters is close to anything.
        .filter(|&(distance, name)| {
            distance <= limit && distance < name.len().min(word.len()).saturating_sub(1).max(1)
        })
        .min_by_key(|&(distance, _)| distance)
        .map_or_else(String::new, |(_, name)| format!(" (did you mean \"{name}\"?)"))
}

/// How many letters must be added, left out, changed or swapped with their neighbour to make `a` of `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}
