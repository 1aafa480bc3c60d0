//! The two ends of a flow.

/// One end of a flow. A side's data is the bytes which that side sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Side {
    /// The end that sent the first SYN.
    Client = 0,
    /// The other one.
    Server = 1,
}

impl Side {
    /// Client, then server.
    pub const BOTH: [Side; 2] = [Side::Client, Side::Server];

    /// The other end.
    #[inline]
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// 0 for the client, 1 for the server.
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    /// `client` or `server`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
