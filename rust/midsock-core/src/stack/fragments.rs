//! Fragments: each passes as it came, and the datagram goes on in place of the one that completes it.

use std::net::{IpAddr, Ipv4Addr};

use super::ahead::Decoded;
use super::{Engine, Feed, Stage};
use crate::anomaly::{Anomalies, Anomaly};
use crate::config::ChecksumPolicy;
use crate::defrag::{
    Arrival, DefragStatistics, Defragmenter, Findings, FragmentPolicy, Key, Limits, Pushed, Whole,
};
use crate::flow::{Key as FlowKey, Path, TimerId};
use crate::port::{ChecksumState, Packet};
use crate::wire::{self, Checksum, Fragment, Malformed, Outcome, Segment};

/// How many datagrams may come in fragments of one another: tunnels in fragments, with fragments in them.
const MAX_NESTING: usize = 4;

/// What is between fragments and the datagrams that come of them.
#[derive(Default)]
pub(super) struct Fragments {
    defragmenter: Defragmenter,
    /// The datagram at hand, as long as `is_whole`, and what it was made of.
    whole: Whole,
    spare: Whole,
    packet: Option<Packet>,
    /// The packet at hand is a datagram that came in fragments, the last of which is in its place in the burst.
    pub(super) is_whole: bool,
    /// Datagrams of TCP that fragments of this burst completed, by the place of that fragment.
    decoded: Vec<(usize, Decoded)>,
    /// Some IPv4 header had the right checksum: what has a wrong one was not left to hardware.
    sums_good: bool,
    /// Fires when the oldest datagram is given up.
    timer: Option<TimerId>,
}

/// What the timer for fragments is called among those of flows, which are called by their places.
pub(super) const TIMER: u64 = u64::MAX;

impl Fragments {
    pub(super) fn statistics(&self) -> DefragStatistics {
        self.defragmenter.statistics()
    }

    /// A burst has come.
    #[inline]
    pub(super) fn begin_burst(&mut self) {
        self.decoded.clear();
        self.is_whole = false;
    }

    /// The segment of the datagram that the packet at this place in the burst completed.
    pub(super) fn decoded(&self, packet: usize) -> Option<Decoded> {
        self.decoded.iter().find(|(place, _)| *place == packet).map(|(_, decoded)| *decoded)
    }

    /// The datagram at hand.
    pub(super) fn feed(&self) -> Option<Feed<'_>> {
        Some(Feed { packet: self.packet.as_ref()?, frame: &self.whole.frame })
    }

    /// What was odd about the fragments of the datagram at hand.
    pub(super) fn note_anomalies(&self, to: &mut Anomalies) {
        let found = self.whole.findings;
        for (finding, anomaly) in [
            (Findings::OVERLAP, Anomaly::FragmentOverlap),
            (Findings::DIFFERENT, Anomaly::FragmentDifferentContent),
            (Findings::TEARDROP, Anomaly::FragmentTeardrop),
            (Findings::TOO_LONG, Anomaly::FragmentTooLong),
            (Findings::TINY, Anomaly::FragmentTiny),
        ] {
            if found.contains(finding) {
                to.add(anomaly);
            }
        }
    }
}

impl<U> Engine<U> {
    /// The timer for fragments fired: gives up what waits for too long.
    pub(super) fn expire_fragments(&mut self) {
        self.fragments.timer = None;
        self.fragments.defragmenter.expire(self.now);
        self.watch_fragments();
    }

    /// Sets the timer for fragments, unless it is set.
    fn watch_fragments(&mut self) {
        if self.fragments.timer.is_none()
            && let Some(due) = self.fragments.defragmenter.next_due()
        {
            self.fragments.timer = Some(self.table.wheel.insert(due, TIMER));
        }
    }

    /// A fragment has come; if it completes its datagram, that is the packet at hand from now on. Returns whether it is.
    pub(super) fn reassemble(&mut self, feed: Feed<'_>) -> bool {
        let at = self.current.packet;
        let mut decoded = *self.ahead.at(at);
        let mut whole = std::mem::take(&mut self.fragments.whole);
        let mut next = std::mem::take(&mut self.fragments.spare);
        let mut is_whole = self.push_fragment(feed, &decoded.segment, None, &mut whole);
        for _ in 0..MAX_NESTING {
            if !is_whole {
                break;
            }
            let decoder = self.ahead.decoding.decoder;
            decoded.outcome = decoder.decode_datagram(&whole.frame, &whole.first, &mut decoded.segment);
            if decoded.outcome != Outcome::Fragment {
                break;
            }
            let inner = Feed { packet: feed.packet, frame: &whole.frame };
            is_whole = self.push_fragment(inner, &decoded.segment, Some(&whole), &mut next);
            std::mem::swap(&mut whole, &mut next);
        }
        // Fragments in fragments in fragments, and so on, are nobody's.
        is_whole &= decoded.outcome != Outcome::Fragment;
        if is_whole {
            self.take_whole(feed.packet, &whole, decoded);
        }
        (self.fragments.whole, self.fragments.spare) = (whole, next);
        is_whole
    }

    /// Takes a fragment in; `within` is the datagram that it lies in, if it came in fragments, too.
    fn push_fragment(
        &mut self,
        feed: Feed<'_>,
        segment: &Segment,
        within: Option<&Whole>,
        whole: &mut Whole,
    ) -> bool {
        let Some(fragment) = Fragment::of(feed.frame, segment) else { return false };
        let sum = wire::checksum::verify_ipv4_header(feed.frame, segment);
        self.fragments.sums_good |= sum == Checksum::Good && segment.version == 4;
        let is_wrong = match self.config.checksums {
            ChecksumPolicy::Verify => matches!(sum, Checksum::Bad | Checksum::Partial),
            ChecksumPolicy::Auto => sum == Checksum::Bad && self.fragments.sums_good,
            ChecksumPolicy::Ignore => false,
        };
        if is_wrong {
            self.fragments.defragmenter.refuse();
            return false;
        }
        let decoding = self.ahead.decoding;
        let vlan = decoding.vlan(segment);
        let (packet, frame) = (feed.packet, feed.frame);
        let number = (segment.tunnels > 0).then(|| {
            self.paths.number(vlan, |path| match within {
                None => decoding.decoder.path(frame, packet.link, packet.length, path),
                Some(outer) => write_path(outer, decoding.decoder, path),
            })
        });
        let path = match number {
            None => u64::from(vlan[0]) | u64::from(vlan[1]) << 12,
            Some(Some(number)) => FlowKey::path_word(number),
            // There are too many.
            Some(None) => {
                self.fragments.defragmenter.refuse();
                return false;
            }
        };
        let kept = number.flatten().and_then(|number| self.paths.get(number));
        let (config, version) = (&self.config, segment.version);
        let policy = || {
            // All systems discard overlapping fragments of IPv6, or should (RFC 5722).
            let host = (version == 4).then(|| config.hosts.policy(receiver(frame, segment))).flatten();
            let default = if version == 6 { FragmentPolicy::Discard } else { FragmentPolicy::First };
            host.map(FragmentPolicy::of_host).or(config.fragment_overlap).unwrap_or(default)
        };
        let limits = Limits { bytes: self.config.max_fragments, timeout: self.config.timeouts.fragments };
        let link = within.map_or(packet.link, |outer| outer.link);
        let key = Key::of(frame, segment, &fragment, path);
        // The timer may fire a little later than it is due.
        self.fragments.defragmenter.expire(self.now);
        let arrival = Arrival { frame, link, segment, fragment: &fragment, path: kept };
        let pushed = self.fragments.defragmenter.push(key, arrival, self.now, &limits, policy, whole);
        self.watch_fragments();
        pushed == Pushed::Whole
    }

    /// A datagram is whole: it takes the place of the packet at hand.
    fn take_whole(&mut self, packet: &Packet, whole: &Whole, mut decoded: Decoded) {
        let length = whole.frame.len() as u32;
        let (link, checksum) = (whole.link, ChecksumState::Unknown);
        self.fragments.packet =
            Some(Packet { captured: length, length, link, checksum, offset: 0, ..*packet });
        if decoded.outcome == Outcome::Malformed(Malformed::BadTcpDataOffset) {
            decoded.outcome = Outcome::Tcp;
        }
        if decoded.outcome == Outcome::Tcp {
            let decoding = self.ahead.decoding;
            decoding.key(&mut decoded, &whole.frame, &mut self.paths, |path| {
                write_path(whole, decoding.decoder, path);
            });
            decoded.hash = self.table.hash(&decoded.key);
            self.fragments.decoded.push((self.current.packet, decoded));
        }
        decoded.guess = None;
        *self.ahead.at_mut(self.current.packet) = decoded;
        self.fragments.is_whole = true;
    }

    /// Takes the datagram at hand further along its way; returns whether it has come to the end of it.
    #[cold]
    pub(super) fn go_on_with_whole(&mut self) -> bool {
        let frame = std::mem::take(&mut self.fragments.whole.frame);
        let Some(packet) = self.fragments.packet else { return true };
        let is_through = self.packet(Feed { packet: &packet, frame: &frame });
        self.fragments.whole.frame = frame;
        if is_through {
            // Nothing of it is left to be done when the engine goes on.
            (self.current.stage, self.current.place) = (Stage::Finish, None);
            self.fragments.is_whole = false;
        }
        is_through
    }
}

/// Whom a fragment is for; `0.0.0.0` if it is not one of IPv4.
fn receiver(frame: &[u8], segment: &Segment) -> IpAddr {
    let address = segment.destination(frame).first_chunk::<4>();
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| IpAddr::from(*address))
}

/// Writes the path of what is inside a datagram: that of its fragments, and then its own tunnels.
fn write_path(whole: &Whole, decoder: wire::Decoder, path: &mut Vec<u8>) {
    path.extend_from_slice(whole.path.as_ref().map_or(&[], Path::tunnels));
    decoder.path_of_datagram(&whole.frame, &whole.first, path);
}
