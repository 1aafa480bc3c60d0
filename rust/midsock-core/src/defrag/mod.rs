//! Datagrams from their fragments (RFC 791, 3.2; RFC 8200, 4.5).
//!
//! A datagram under way is held by its [`Key`]: ends, id, protocol and path. Its fragments are kept as they come, in
//! pieces that do not overlap; which bytes hold where they would is the receiver's [`FragmentPolicy`]. Time and memory
//! are bounded: what is under way for too long is given up, and so are the oldest ones if there are too many.

mod datagram;
#[cfg(test)]
pub(crate) mod kit;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::RandomState;

use self::datagram::{Data, Taken};
pub use self::policy::FragmentPolicy;
use crate::Nanos;
use crate::flow::Path;
use crate::port::LinkType;
use crate::wire::{Fragment, Segment};

/// The most datagrams under way.
pub const MAX_DATAGRAMS: usize = 1 << 16;

/// How many datagrams' memory is kept for others.
const SPARE: usize = 64;

/// The most bytes that an IP datagram has, headers included (of IPv6 without the first one).
const MAX_LENGTH: usize = 65_535;

/// What tells a datagram under way from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    addresses: [u64; 4],
    /// Id and protocol.
    name: u64,
    /// IP version and path.
    path: u64,
}

impl Key {
    /// The key of a fragment that came by the path of this number: VLANs, or tunnels and VLANs.
    ///
    /// An IPv6 datagram is known by its ends and its id alone, whatever its fragments say of their protocol (RFC 8200,
    /// 4.5).
    pub fn of(frame: &[u8], segment: &Segment, fragment: &Fragment, path: u64) -> Key {
        let mut addresses = [0; 4];
        if segment.version == 4 {
            let both = segment.addresses(frame).first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            (addresses[0], addresses[2]) = (both >> 32, both & 0xffff_ffff);
        } else {
            for (word, bytes) in addresses.iter_mut().zip(segment.addresses(frame).as_chunks::<8>().0) {
                *word = u64::from_be_bytes(*bytes);
            }
        }
        let protocol = if segment.version == 4 { fragment.protocol } else { 0 };
        let name = u64::from(fragment.id) << 8 | u64::from(protocol);
        Key { addresses, name, path: path << 8 | u64::from(segment.version) }
    }
}

/// What is odd about fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings(u8);

impl Findings {
    /// Two of a datagram overlap, and are not the same.
    pub const OVERLAP: Findings = Findings(1);
    /// Those say different things.
    pub const DIFFERENT: Findings = Findings(2);
    /// One lies inside another, or the last one ends where others have gone on: the teardrop attack.
    pub const TEARDROP: Findings = Findings(4);
    /// The datagram would be longer than one can be: the ping of death.
    pub const TOO_LONG: Findings = Findings(8);
    /// The first one is too short for the headers.
    pub const TINY: Findings = Findings(16);

    fn add(&mut self, finding: Findings) {
        self.0 |= finding.0;
    }

    /// Whether one of these is among them.
    pub fn contains(self, finding: Findings) -> bool {
        self.0 & finding.0 != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Counters of a defragmenter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefragStatistics {
    /// Datagrams put together.
    pub reassembled: u64,
    /// Datagrams given up because fragments were missing for too long.
    pub timed_out: u64,
    /// Datagrams given up because there was too much of them, or of all.
    pub shed: u64,
    /// Datagrams discarded because their fragments overlap.
    pub discarded: u64,
    /// Fragments that changed nothing: they contradict others of their datagram, belong to one that was discarded, have
    /// no data or no end on a multiple of 8 bytes, have a wrong IPv4 header checksum, or were not captured whole.
    pub refused: u64,
    /// Fragments that overlap others without being the same.
    pub overlaps: u64,
    /// Those that say something else than what they overlap.
    pub different: u64,
    /// Fragments that lie inside of others, or end their datagram where it has another end (the teardrop attack).
    pub teardrops: u64,
    /// Fragments that would make a datagram of more than 65,535 bytes (the ping of death).
    pub too_long: u64,
    /// First fragments that do not hold the headers whole (RFC 1858, RFC 7112).
    pub tiny: u64,
    /// Datagrams under way.
    pub waiting: u64,
    /// Bytes of memory that these take.
    pub bytes: u64,
}

/// What came of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Its datagram is whole.
    Whole,
    /// It is not.
    Not,
}

/// Limits of a defragmenter.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of memory.
    pub bytes: u64,
    /// How long a datagram waits for its fragments, from the first one that came.
    pub timeout: Nanos,
}

/// A datagram under way, or one that was discarded and whose further fragments are.
#[derive(Debug, Default)]
struct Datagram {
    key: Option<Key>,
    /// When it is given up.
    deadline: Nanos,
    /// Its neighbours in the order in which they began.
    older: Option<u32>,
    newer: Option<u32>,
    policy: FragmentPolicy,
    is_discarded: bool,
    findings: Findings,
    data: Data,
    first: Segment,
    link: LinkType,
    announced: usize,
    protocol: u8,
    /// Keeps the number of its path.
    path: Option<Path>,
    /// Bytes of memory that were counted for it.
    cost: u64,
}

/// A datagram that was put together.
#[derive(Debug, Default)]
pub struct Whole {
    /// The headers of its first fragment, from the link layer on, and the datagram: as if it had never been fragmented.
    /// Lengths in headers of tunnels before it are the fragment's.
    pub frame: Vec<u8>,
    /// What the first fragment decoded to.
    pub first: Segment,
    /// What the frame starts with.
    pub link: LinkType,
    /// What was odd about its fragments.
    pub findings: Findings,
    /// The tunnels that its fragments came through.
    pub path: Option<Path>,
}

/// A fragment, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'f> {
    /// The frame that it is in.
    pub frame: &'f [u8],
    /// What the frame starts with.
    pub link: LinkType,
    /// What it decoded to.
    pub segment: &'f Segment,
    /// The fragment itself.
    pub fragment: &'f Fragment,
    /// The tunnels that it came through.
    pub path: Option<&'f Path>,
}

/// All datagrams under way.
#[derive(Debug, Default)]
pub struct Defragmenter {
    /// By a hash whose secret whoever sends the fragments does not know.
    table: HashMap<Key, u32, RandomState>,
    list: Vec<Datagram>,
    free: Vec<u32>,
    /// Memory for datagrams to come.
    spare: Vec<Data>,
    oldest: Option<u32>,
    newest: Option<u32>,
    statistics: DefragStatistics,
}

impl Defragmenter {
    /// Counters.
    pub fn statistics(&self) -> DefragStatistics {
        DefragStatistics { waiting: self.table.len() as u64, ..self.statistics }
    }

    /// When the oldest datagram is given up.
    #[inline]
    pub fn next_due(&self) -> Option<Nanos> {
        self.oldest.map(|oldest| self.list[oldest as usize].deadline)
    }

    /// Gives up what is under way for too long; returns how many were waiting for fragments.
    pub fn expire(&mut self, now: Nanos) -> u64 {
        let before = self.statistics.timed_out;
        while let Some(oldest) = self.oldest
            && self.list[oldest as usize].deadline <= now
        {
            if !self.list[oldest as usize].is_discarded {
                self.statistics.timed_out += 1;
            }
            self.remove(oldest);
        }
        self.statistics.timed_out - before
    }

    /// Takes in a fragment; if its datagram is whole with it, that is put into `whole`.
    ///
    /// `policy` is asked for only if the datagram is a new one.
    #[allow(clippy::too_many_arguments)] // where it comes from and where it goes
    pub fn push(
        &mut self,
        key: Key,
        arrival: Arrival<'_>,
        now: Nanos,
        limits: &Limits,
        policy: impl FnOnce() -> FragmentPolicy,
        whole: &mut Whole,
    ) -> Pushed {
        let mut findings = Findings::default();
        let pushed = self.push_found(key, arrival, now, limits, policy, &mut findings, whole);
        let statistics = &mut self.statistics;
        for (finding, count) in [
            (Findings::OVERLAP, &mut statistics.overlaps),
            (Findings::DIFFERENT, &mut statistics.different),
            (Findings::TEARDROP, &mut statistics.teardrops),
            (Findings::TOO_LONG, &mut statistics.too_long),
            (Findings::TINY, &mut statistics.tiny),
        ] {
            *count += u64::from(findings.contains(finding));
        }
        pushed
    }

    /// Counts a fragment that is not to be taken in.
    pub fn refuse(&mut self) {
        self.statistics.refused += 1;
    }

    /// [`Defragmenter::push`], with what is odd about the fragment.
    #[allow(clippy::too_many_arguments)] // as above
    fn push_found(
        &mut self,
        key: Key,
        arrival: Arrival<'_>,
        now: Nanos,
        limits: &Limits,
        policy: impl FnOnce() -> FragmentPolicy,
        findings: &mut Findings,
        whole: &mut Whole,
    ) -> Pushed {
        let Arrival { frame, segment, fragment, .. } = arrival;
        let known = self.table.get(&key).copied();
        let is_v6 = segment.version == 6;
        if known.is_some_and(|place| self.list[place as usize].is_discarded) {
            self.statistics.refused += 1;
            return Pushed::Not;
        }
        let header = usize::from(segment.payload) - usize::from(segment.network) - if is_v6 { 48 } else { 0 };
        if header + fragment.offset as usize + fragment.length as usize > MAX_LENGTH {
            self.note(known, Findings::TOO_LONG, findings);
            self.statistics.refused += 1;
            return Pushed::Not;
        }
        if !fragment.has_headers(frame, segment) {
            self.note(known, Findings::TINY, findings);
            // Of IPv6, such a fragment is discarded (RFC 7112, 5); of IPv4, receivers take it.
            if is_v6 {
                self.statistics.refused += 1;
                return Pushed::Not;
            }
        }
        let policy = known.map_or_else(policy, |place| self.list[place as usize].policy);
        // RFC 8200, 4.5, for IPv6; of IPv4, Linux cuts it to a multiple of 8, and BSD discards it.
        let is_uneven = fragment.more && fragment.length % 8 != 0;
        let is_odd = fragment.length == 0
            || is_uneven && (is_v6 || policy != FragmentPolicy::Linux || fragment.length < 8);
        if is_odd || (fragment.data.len() as u32) < fragment.length {
            self.statistics.refused += 1;
            return Pushed::Not;
        }
        let place = match known {
            Some(place) => place,
            None => self.begin(key, policy, now.saturating_add(limits.timeout), arrival.path),
        };
        let pushed = self.put(place, arrival, findings, whole);
        if self.list[place as usize].key == Some(key) {
            self.count(place);
        }
        while self.statistics.bytes > limits.bytes
            && let Some(oldest) = self.oldest
        {
            self.shed(oldest);
        }
        pushed
    }

    /// Notes what is odd, of the fragment and of its datagram.
    fn note(&mut self, place: Option<u32>, finding: Findings, findings: &mut Findings) {
        findings.add(finding);
        if let Some(place) = place {
            self.list[place as usize].findings.add(finding);
        }
    }

    /// Takes a fragment into its datagram.
    fn put(
        &mut self,
        place: u32,
        arrival: Arrival<'_>,
        findings: &mut Findings,
        whole: &mut Whole,
    ) -> Pushed {
        let Arrival { frame, link, segment, fragment, .. } = arrival;
        let datagram = &mut self.list[place as usize];
        let mut bytes = frame.get(fragment.data.clone()).unwrap_or_default();
        if fragment.more {
            bytes = &bytes[..bytes.len() & !7];
        }
        let mut found = Findings::default();
        if !fragment.has_headers(frame, segment) {
            found.add(Findings::TINY);
        }
        let taken = datagram.data.take(fragment.offset, bytes, fragment.more, datagram.policy, &mut found);
        findings.add(found);
        datagram.findings.add(found);
        match taken {
            Taken::Refused => {
                self.statistics.refused += 1;
                return Pushed::Not;
            }
            Taken::Discarded => {
                self.statistics.discarded += 1;
                datagram.is_discarded = true;
                datagram.data = Data::default();
                return Pushed::Not;
            }
            Taken::TooMuch => {
                self.shed(place);
                return Pushed::Not;
            }
            Taken::Waits | Taken::Whole => {}
        }
        if fragment.offset == 0 && datagram.data.head.is_empty() {
            datagram.data.head.extend_from_slice(frame.get(..fragment.head).unwrap_or_default());
            (datagram.first, datagram.link) = (*segment, link);
            (datagram.announced, datagram.protocol) = (fragment.announced, fragment.protocol);
        }
        if taken != Taken::Whole {
            return Pushed::Not;
        }
        let is_whole = datagram.assemble(whole);
        if is_whole {
            self.statistics.reassembled += 1;
        } else {
            findings.add(Findings::TOO_LONG);
            self.statistics.refused += 1;
        }
        self.remove(place);
        if is_whole { Pushed::Whole } else { Pushed::Not }
    }

    /// Begins a datagram.
    fn begin(&mut self, key: Key, policy: FragmentPolicy, deadline: Nanos, path: Option<&Path>) -> u32 {
        if self.table.len() >= MAX_DATAGRAMS
            && let Some(oldest) = self.oldest
        {
            self.shed(oldest);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.list.push(Datagram::default());
            self.list.len() as u32 - 1
        });
        let older = self.newest.replace(place);
        match older {
            Some(older) => self.list[older as usize].newer = Some(place),
            None => self.oldest = Some(place),
        }
        let datagram = &mut self.list[place as usize];
        (datagram.key, datagram.deadline, datagram.policy) = (Some(key), deadline, policy);
        (datagram.older, datagram.newer) = (older, None);
        (datagram.is_discarded, datagram.findings) = (false, Findings::default());
        datagram.path = path.cloned();
        datagram.data = self.spare.pop().unwrap_or_default();
        self.table.insert(key, place);
        place
    }

    /// Counts the memory of a datagram.
    fn count(&mut self, place: u32) {
        let datagram = &mut self.list[place as usize];
        let memory = size_of::<Datagram>() + size_of::<(Key, u32)>();
        let cost = (memory + datagram.data.memory()) as u64;
        self.statistics.bytes = self.statistics.bytes - datagram.cost + cost;
        datagram.cost = cost;
    }

    /// Gives up a datagram for want of room.
    fn shed(&mut self, place: u32) {
        self.statistics.shed += 1;
        self.remove(place);
    }

    /// Forgets a datagram.
    fn remove(&mut self, place: u32) {
        let datagram = &mut self.list[place as usize];
        let (older, newer) = (datagram.older.take(), datagram.newer.take());
        if let Some(key) = datagram.key.take() {
            self.table.remove(&key);
        }
        datagram.path = None;
        let mut data = std::mem::take(&mut datagram.data);
        self.statistics.bytes -= std::mem::take(&mut datagram.cost);
        match older {
            Some(older) => self.list[older as usize].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.list[newer as usize].older = older,
            None => self.newest = older,
        }
        self.free.push(place);
        if self.spare.len() < SPARE && data.memory() > 0 {
            data.clear();
            self.spare.push(data);
        }
    }
}

impl Datagram {
    /// Puts a whole datagram together; returns whether it is no longer than one can be.
    fn assemble(&mut self, whole: &mut Whole) -> bool {
        let network = usize::from(self.first.network);
        let length = self.data.head.len() - network + self.data.length() as usize;
        let (field, length) = match self.first.version {
            4 => (network + 2, length),
            _ => (network + 4, length - 40),
        };
        if length > MAX_LENGTH {
            return false;
        }
        let frame = &mut whole.frame;
        frame.clear();
        frame.extend_from_slice(&self.data.head);
        frame[field..field + 2].copy_from_slice(&(length as u16).to_be_bytes());
        if self.first.version == 4 {
            // Neither more fragments nor an offset: only that it was not to be fragmented stays.
            frame[network + 6] &= 0xc0;
            frame[network + 7] = 0;
            crate::wire::checksum::mend_ipv4_header(&mut frame[network..]);
        } else {
            frame[self.announced] = self.protocol;
        }
        self.data.write(frame);
        (whole.first, whole.link) = (self.first, self.link);
        (whole.findings, whole.path) = (self.findings, self.path.take());
        true
    }
}
