//! What can be set of a stack.

mod hosts;

pub use self::hosts::{Hosts, NetworkError};
use crate::Nanos;
use crate::defrag::FragmentPolicy;
use crate::wire::Decoder;

/// A second in nanoseconds.
const SECOND: Nanos = 1_000_000_000;

/// What is made of wrong checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumPolicy {
    /// A segment with a wrong checksum is rejected.
    Verify,
    /// Checksums are not looked at.
    Ignore,
    /// As `Verify`, but for what is left to hardware: segments with an unfinished checksum (the pseudo-header's alone, as
    /// offload leaves it, or none), and all segments of a side that never had a right one so far. Where whoever sends
    /// may be hostile and the port does not know what was left to hardware, `Verify` is the stricter choice.
    #[default]
    Auto,
}

/// What becomes of a new flow when the table is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullPolicy {
    /// It takes the place of one that ended, of one whose handshake is not over, or of one that has been idle for a
    /// minute. If a short search finds none of these, it is ignored: no flood of SYNs moves an established flow.
    #[default]
    Evict,
    /// It is ignored.
    Ignore,
}

/// What becomes inline of the packets about which the application comes to no decision: its handler failed, or the stack
/// stops in the middle of a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They are forwarded: traffic goes on without whatever the application does.
    #[default]
    Open,
    /// They are dropped, and with them what comes of their flows later: nothing passes that the application did not let
    /// pass, also not when it is sent again.
    Closed,
}

/// What VLANs are to flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VlanPolicy {
    /// They are part of a flow's tuple: equal addresses of two VLANs are two ends.
    #[default]
    Separate,
    /// They are not, for networks in which the two directions of a connection have different ones. Filters for flows
    /// find none then.
    Ignore,
}

/// Idle times after which flows end, in nanoseconds of packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The handshake is not over.
    pub opening: Nanos,
    /// Both ends are established.
    pub established: Nanos,
    /// One end has closed.
    pub closing: Nanos,
    /// How long an ended flow still takes in late packets of its own.
    pub linger: Nanos,
    /// How long bytes that were acknowledged but never seen may still turn up: packets are reordered between the
    /// wire and the capture, but not for long.
    pub gap: Nanos,
    /// How long bytes that nobody acknowledged may still turn up while others wait behind them.
    pub hole: Nanos,
    /// How long the fragments of a datagram are waited for, from the first one on.
    pub fragments: Nanos,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            // SYNs are sent again up to 64 s after the one before (RFC 9293, section 3.8.1; Linux's tcp_syn_retries).
            opening: 120 * SECOND,
            established: 3600 * SECOND,
            closing: 600 * SECOND,
            // Four repetitions of a FIN whose acknowledgement was lost (Linux waits 200 ms, then twice as long each time) fit in; longer, and
            // the records of short connections that are over outnumber those of open ones by far.
            linger: 2 * SECOND,
            gap: SECOND / 10,
            // Where acknowledgements are seen they say sooner what is lost; this is for captures of one direction. Four
            // repetitions fit in, each twice as long after the one before (RFC 6298, section 5.5).
            hole: 30 * SECOND,
            // RFC 8200, section 4.5.
            fragments: 60 * SECOND,
        }
    }
}

/// When the flow table counts as nearly full, and idle times after which flows end then. A time longer than the usual one
/// of [`Timeouts`] changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// It begins when so much of [`Config::max_flows`] is in use: percent, at least one flow.
    pub begin: u8,
    /// It is over when no more than this is: percent, less than `begin`.
    pub end: u8,
    /// The handshake is not over.
    pub opening: Nanos,
    /// Both ends are established.
    pub established: Nanos,
    /// One end has closed.
    pub closing: Nanos,
    /// How long an ended flow still takes in late packets of its own.
    pub linger: Nanos,
}

impl Default for Emergency {
    fn default() -> Emergency {
        Emergency {
            begin: 90,
            end: 70,
            // A SYN is repeated after 1 s and after 3 s (RFC 6298, section 2).
            opening: 5 * SECOND,
            // More than the usual intervals between keep-alives of applications (30 s to 60 s).
            established: 100 * SECOND,
            closing: 10 * SECOND,
            linger: SECOND / 5,
        }
    }
}

/// What can be set of a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is made of wrong checksums.
    pub checksums: ChecksumPolicy,
    /// Whether flows are picked up that began before the capture.
    pub midstream: bool,
    /// The most flows at once, those included that ended and linger.
    pub max_flows: u64,
    /// What becomes of a new flow beyond that.
    pub full: FullPolicy,
    /// The most bytes of all held and unread data.
    pub max_reassembly: u64,
    /// The most bytes of memory for datagrams of which fragments are missing.
    pub max_fragments: u64,
    /// Whose bytes hold where fragments overlap. If none is given, datagrams of IPv4 are put together of what came
    /// first, and those of IPv6 are discarded (RFC 5722).
    pub fragment_overlap: Option<FragmentPolicy>,
    /// Which tunnels are entered, and how many layers are.
    pub decoder: Decoder,
    /// Whether VLANs tell flows apart.
    pub vlans: VlanPolicy,
    /// When idle flows end.
    pub timeouts: Timeouts,
    /// When they end while the flow table is nearly full.
    pub emergency: Emergency,
    /// Whether a record of every flow is kept for [`Stack::take_records`](crate::Stack::take_records).
    pub records: bool,
    /// The secret of the table's hash; from the operating system if none.
    pub seed: Option<u64>,
    /// Inline: what becomes of packets about which the application comes to no decision.
    pub on_failure: FailurePolicy,
    /// What the receivers of some networks are; the others are what their monitoring sockets say.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            checksums: ChecksumPolicy::Auto,
            midstream: false,
            max_flows: 10_000_000,
            full: FullPolicy::Evict,
            max_reassembly: 1 << 30,
            max_fragments: 1 << 24,
            fragment_overlap: None,
            decoder: Decoder::default(),
            vlans: VlanPolicy::Separate,
            timeouts: Timeouts::default(),
            emergency: Emergency::default(),
            records: false,
            seed: None,
            on_failure: FailurePolicy::Open,
            hosts: Hosts::default(),
        }
    }
}
