//! What decoding a frame came to.

/// What [`decode`](super::decode) found in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A TCP segment.
    Tcp,
    /// A fragment of an IP packet, the first one included, whatever its transport.
    Fragment,
    /// An IP packet of another transport.
    NotTcp,
    /// A frame that carries no IP, or a link type this stack does not decode.
    NotIp,
    /// A frame that contradicts itself, or whose headers are not all there.
    Malformed(Malformed),
}

/// Why a frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// The link-layer header (Ethernet, cooked, loopback, PPP, LLC) is cut short.
    TruncatedLink,
    /// A VLAN tag is cut short.
    TruncatedVlan,
    /// The version of an IP header is not what the layer below announced, or neither 4 nor 6.
    BadIpVersion,
    /// The IPv4 header is cut short.
    TruncatedIpv4,
    /// The IPv4 header length is below 20 bytes or beyond the packet's end.
    BadIpv4HeaderLength,
    /// The IPv4 total length is below the header length.
    BadIpv4TotalLength,
    /// The IPv6 header is cut short.
    TruncatedIpv6,
    /// An extension header is cut short or reaches beyond the packet's end.
    TruncatedExtensionHeader,
    /// The header of a tunnel is cut short.
    TruncatedTunnel,
    /// Fewer bytes than a TCP header has: the capture cut it, or the IP length leaves no room for it.
    TruncatedTcp,
    /// The TCP data offset is below 20 bytes or beyond the segment's end.
    BadTcpDataOffset,
    /// More layers than a sound frame has, or headers beyond the 65,535th byte.
    TooManyLayers,
}

impl Malformed {
    /// Every condition, in the order of [`Malformed::index`].
    pub const ALL: [Self; 12] = [
        Self::TruncatedLink,
        Self::TruncatedVlan,
        Self::BadIpVersion,
        Self::TruncatedIpv4,
        Self::BadIpv4HeaderLength,
        Self::BadIpv4TotalLength,
        Self::TruncatedIpv6,
        Self::TruncatedExtensionHeader,
        Self::TruncatedTunnel,
        Self::TruncatedTcp,
        Self::BadTcpDataOffset,
        Self::TooManyLayers,
    ];

    /// Its place in [`Malformed::ALL`], for an array of counters.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name, in `snake_case`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TruncatedLink => "truncated_link",
            Self::TruncatedVlan => "truncated_vlan",
            Self::BadIpVersion => "bad_ip_version",
            Self::TruncatedIpv4 => "truncated_ipv4",
            Self::BadIpv4HeaderLength => "bad_ipv4_header_length",
            Self::BadIpv4TotalLength => "bad_ipv4_total_length",
            Self::TruncatedIpv6 => "truncated_ipv6",
            Self::TruncatedExtensionHeader => "truncated_extension_header",
            Self::TruncatedTunnel => "truncated_tunnel",
            Self::TruncatedTcp => "truncated_tcp",
            Self::BadTcpDataOffset => "bad_tcp_data_offset",
            Self::TooManyLayers => "too_many_layers",
        }
    }
}
