use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use proptest::prelude::*;

use super::index::Index;
use super::records::Records;
use super::*;
use crate::port::LinkType;
use crate::wire::{self, Outcome, Segment, TcpFrame};
use crate::{Nanos, Side};

/// One tick of the wheel, in nanoseconds.
const TICK: Nanos = 1 << 20;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The key of a frame, and whether it goes from the lower end to the higher one.
fn key_of(frame: &[u8]) -> (Key, bool) {
    let mut segment = Segment::default();
    let outcome = wire::decode(frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
    assert_eq!(outcome, Outcome::Tcp);
    Key::of(frame, &segment)
}

const PAIRS: [(&str, &str); 6] = [
    ("192.0.2.1:40000", "198.51.100.1:80"),
    ("192.0.2.1:80", "198.51.100.1:40000"),
    ("192.0.2.1:1", "192.0.2.1:2"),
    ("[2001:db8::1]:40000", "[2001:db8::2]:80"),
    ("[2001:db8::1]:80", "[2001:db8::2]:40000"),
    // The same bits as the first pair, but for the version.
    ("[::192.0.2.1]:40000", "[::198.51.100.1]:80"),
];

const PATHS: [&[u16]; 5] = [&[], &[7], &[8], &[7, 8], &[8, 7]];

#[test]
fn both_directions_have_one_key_and_different_tuples_different_ones() {
    let mut known = HashSet::new();
    for (a, b) in PAIRS {
        let (a, b) = (address(a), address(b));
        for path in PATHS {
            let (there, forward) = key_of(&TcpFrame::new(a, b).vlan(path).build());
            let (back, backward) = key_of(&TcpFrame::new(b, a).vlan(path).build());
            assert_eq!(there, back, "{a} {b} {path:?}");
            assert_ne!(forward, backward);
            assert!(known.insert(*there.words()), "{a} {b} {path:?} has the key of another tuple");
            let (low, high) = if forward { (a, b) } else { (b, a) };
            assert_eq!((there.low(), there.high()), (low, high));
            let vlan = [path.first().copied().unwrap_or(0), path.get(1).copied().unwrap_or(0)];
            assert_eq!(there.vlan(), vlan);
            assert_eq!(Key::between(a, b, vlan), (there, forward));
            assert_eq!(Key::between(b, a, vlan), (there, backward));
        }
    }
}

#[test]
fn an_end_that_talks_to_itself_has_one_key_too() {
    let end = address("127.0.0.1:9");
    let (key, forward) = key_of(&TcpFrame::new(end, end).build());
    assert!(forward);
    assert_eq!((key.low(), key.high()), (end, end));
}

#[test]
fn a_hash_depends_on_every_word_and_on_the_secret() {
    let keys: Vec<Key> = PAIRS
        .iter()
        .flat_map(|(a, b)| (0..50).map(|vlan| Key::between(address(a), address(b), [vlan, 0]).0))
        .collect();
    let (one, two) = (HashKey::from_seed(1), HashKey::from_seed(2));
    let hashes: HashSet<u32> = keys.iter().map(|key| one.hash(key)).collect();
    assert!(hashes.len() >= keys.len() - 1, "300 tuples of 32 bits hardly ever meet");
    assert!(keys.iter().filter(|key| one.hash(key) == two.hash(key)).count() <= 1);
    assert!(keys.iter().all(|key| one.hash(key) == HashKey::from_seed(1).hash(key)));
    assert_ne!(HashKey::random().unwrap().hash(&keys[0]), HashKey::random().unwrap().hash(&keys[0]));
    assert_eq!(format!("{one:?}"), "HashKey(secret)");
}

#[test]
fn records_stay_in_place_up_to_their_number() {
    let mut records = Records::new(2_000_000);
    assert_eq!((records.len(), records.memory()), (0, 0));
    records.push(0);
    let first = std::ptr::from_ref(&records[0]);
    for i in 1..2_000_000_u32 {
        records.push(i);
    }
    records[4096] += 1;
    assert!((0..2_000_000).all(|i| records[i] == i + u32::from(i == 4096)));
    assert!(std::ptr::eq(first, std::ptr::from_ref(&records[0])));
    assert_eq!((records.len(), records.memory()), (2_000_000, 8_000_000));
}

#[test]
fn records_grow_beyond_their_number_and_where_none_can_be_reserved() {
    for most in [0, 3, u64::MAX] {
        let mut records = Records::new(most);
        (0..10_000).for_each(|i| records.push([i; 1 << 5]));
        assert!((0..10_000).all(|i| records[i][0] == u64::from(i)), "{most}");
    }
}

/// Hashes of which many collide, or have neighbouring places, also around the table's end.
fn colliding() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..4_u32,
        (0..4_u32).prop_map(|low| u32::MAX - low),
        (0..6_u32, 0..3_u32).prop_map(|(place, low)| place << 22 | low),
        (0..6_u32, 0..3_u32).prop_map(|(place, low)| (1023 - place) << 22 | low),
        any::<u32>(),
    ]
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_map(steps in prop::collection::vec((0..3_u8, colliding()), 1..1500)) {
        let (mut index, mut model) = (Index::new(), Vec::<(u32, u32)>::new());
        for (number, (step, hash)) in steps.into_iter().enumerate() {
            if step == 0 && !model.is_empty() {
                let (hash, record) = model.swap_remove(hash as usize % model.len());
                index.remove(hash, record);
                // What is not there is not removed, and takes nothing else along.
                index.remove(hash, record);
            } else {
                index.insert(hash, number as u32);
                model.push((hash, number as u32));
            }
        }
        for (hash, record) in &model {
            prop_assert_eq!(index.find(*hash, |found| found == *record), Some(*record));
            let mut all = Vec::new();
            index.find(*hash, |found| { all.push(found); false });
            all.sort_unstable();
            let mut same: Vec<u32> =
                model.iter().filter(|(other, _)| other == hash).map(|(_, record)| *record).collect();
            same.sort_unstable();
            prop_assert_eq!(all, same);
        }
    }
}

#[test]
fn the_index_grows_and_forgets() {
    let mut index = Index::new();
    let small = index.memory();
    let hash = |i: u32| i.wrapping_mul(0x9e37_79b9);
    for i in 0..100_000 {
        index.insert(hash(i), i);
    }
    assert!(index.memory() > 100 * small);
    assert!((0..100_000).all(|i| index.find(hash(i), |found| found == i) == Some(i)));
    for i in 0..100_000 {
        index.remove(hash(i), i);
    }
    assert!((0..100_000).all(|i| index.find(hash(i), |_| true).is_none()));
}

fn table() -> FlowTable<u64> {
    FlowTable::new(HashKey::from_seed(3), 1_000)
}

fn key(i: u32) -> Key {
    let client = SocketAddr::from(((0x0a00_0000 + (i >> 8)).to_be_bytes(), i as u16 & 0xff));
    Key::between(client, address("192.0.2.1:80"), [0; 2]).0
}

fn insert(table: &mut FlowTable<u64>, i: u32) -> u32 {
    let hash = table.hash(&key(i));
    table.insert(hash, Flow { key: key(i), ..Flow::default() }, 0, 0)
}

fn remove(table: &mut FlowTable<u64>, place: u32) -> Option<u64> {
    if let Some(timer) = table.extra_mut(place).timer.take() {
        table.wheel.cancel(timer);
    }
    table.remove(place)
}

#[test]
fn the_table_finds_by_the_exact_tuple() {
    let mut table = table();
    let places: Vec<u32> = (0..10_000).map(|i| insert(&mut table, i)).collect();
    for (i, place) in places.iter().enumerate() {
        let key = key(i as u32);
        assert_eq!(table.find(&key, table.hash(&key)), Some(*place));
        assert_eq!(table.extra(*place).number, i as u64);
    }
    let other = Key::between(address("10.0.0.1:1"), address("192.0.2.1:80"), [5, 0]).0;
    assert_eq!(table.find(&other, table.hash(&other)), None);
    // A collision of hashes does not make two tuples one.
    assert_eq!(table.find(&other, table.hash(&key(0))), None);
    assert_eq!(table.places().count(), 10_000);
    assert!(table.memory() / 10_000 < 1000);
}

#[test]
fn a_freed_id_never_names_a_later_flow() {
    let mut table = table();
    let mut freed = Vec::new();
    for round in 0..50_u32 {
        let place = insert(&mut table, round);
        assert_eq!(place, 0, "the place is used again");
        let id = table.id(place);
        assert_eq!(id.number, u64::from(round));
        assert_eq!(table.place(id), Some(place));
        assert!(freed.iter().all(|id| table.place(*id).is_none()));
        table.extra_mut(place).user = Some(u64::from(round));
        assert_eq!(remove(&mut table, place), Some(u64::from(round)));
        assert!(table.place(id).is_none());
        freed.push(id);
    }
    assert_eq!(table.statistics(), FlowStatistics { opened: 50, open: 0, peak: 1 });
    assert_eq!(table.places().count(), 0);
    assert!(table.wheel.is_empty());
}

#[test]
fn the_search_goes_round_and_looks_at_no_more_than_asked() {
    let mut table = table();
    assert_eq!(table.search(64, |_| true), None);
    for i in 0..10 {
        insert(&mut table, i);
    }
    table.flow_mut(7).last = 1;
    assert_eq!(table.search(5, |flow| flow.last == 1), None);
    assert_eq!(table.search(5, |flow| flow.last == 1), Some(7));
    assert_eq!(table.search(9, |flow| flow.last == 1), None);
    assert_eq!(table.search(64, |flow| flow.last == 1), Some(7));
    remove(&mut table, 7);
    assert_eq!(table.search(64, |flow| flow.last == 1), None);
}

#[test]
fn a_flow_knows_its_sides() {
    let (client, server) = (address("10.0.0.1:5000"), address("10.0.0.2:80"));
    for (client, server) in [(client, server), (server, client)] {
        let (key, forward) = Key::between(client, server, [0; 2]);
        let mut flow = Flow { key, ..Flow::default() };
        if !forward {
            flow.flags.set(FlowFlags::CLIENT_IS_HIGH);
        }
        assert_eq!(flow.address(Side::Client), client);
        assert_eq!(flow.address(Side::Server), server);
        assert_eq!(flow.sender(forward), Side::Client);
        assert_eq!(flow.sender(!forward), Side::Server);
    }
}

/// The simplest timers that are right.
#[derive(Default)]
struct Model {
    /// Payload, deadline, and the tick at which it is due: the one after its own, which is never early and at most a
    /// tick late, or the next one if it is overdue.
    timers: HashMap<u64, (Nanos, u64)>,
    tick: u64,
}

impl Model {
    fn tick_of(time: Nanos) -> u64 {
        (time.max(0) / TICK) as u64
    }

    fn set(&mut self, payload: u64, deadline: Nanos) {
        self.timers.insert(payload, (deadline, Model::tick_of(deadline).max(self.tick) + 1));
    }

    /// The payloads due, earliest tick first.
    fn advance(&mut self, now: Nanos) -> Vec<u64> {
        self.tick = self.tick.max(Model::tick_of(now));
        let mut due: Vec<(u64, u64)> = self
            .timers
            .iter()
            .filter(|(_, (_, due))| *due <= self.tick)
            .map(|(p, (_, due))| (*due, *p))
            .collect();
        due.sort_unstable();
        self.timers.retain(|_, (_, due)| *due > self.tick);
        due.into_iter().map(|(_, payload)| payload).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Nanos),
    Cancel(usize),
    Reset(usize, Nanos),
    Advance(Nanos),
}

/// A distance in time: within a tick, in one of the wheel's levels, or at the end of time.
fn span() -> impl Strategy<Value = Nanos> {
    prop_oneof![
        0..3 * TICK,
        (0..43_u32, 0..64_i64).prop_map(|(bits, n)| n.saturating_mul(1 << bits)),
        (20..62_u32, -2..2_i64).prop_map(|(bits, n)| (1_i64 << bits) + n * TICK),
        Just(1 << 62),
        Just(Nanos::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let time = prop_oneof![4 => span(), 1 => span().prop_map(|span| -span), 1 => Just(Nanos::MIN)];
    prop_oneof![
        4 => time.clone().prop_map(Step::Insert),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (any::<usize>(), time).prop_map(|(which, time)| Step::Reset(which, time)),
        4 => prop_oneof![3 => 0..70 * TICK, 1 => span()].prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn the_wheel_agrees_with_a_sorted_list(
        start in prop_oneof![Just(0_i64), Just(-5 * TICK), 0..1_i64 << 60, Just(1_700_000_000_000_000_000)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut wheel, mut model) = (TimerWheel::new(), Model::default());
        let (mut ids, mut now, mut fired) = (HashMap::new(), start, Vec::new());
        for (payload, step) in steps.into_iter().enumerate() {
            let pick = |which: usize, model: &Model| {
                let mut all: Vec<u64> = model.timers.keys().copied().collect();
                all.sort_unstable();
                (!all.is_empty()).then(|| all[which % all.len()])
            };
            match step {
                Step::Insert(after) => {
                    let deadline = now.saturating_add(after);
                    ids.insert(payload as u64, wheel.insert(deadline, payload as u64));
                    model.set(payload as u64, deadline);
                }
                Step::Cancel(which) => {
                    if let Some(payload) = pick(which, &model) {
                        wheel.cancel(ids[&payload]);
                        model.timers.remove(&payload);
                    }
                }
                Step::Reset(which, after) => {
                    if let Some(payload) = pick(which, &model) {
                        wheel.reset(ids[&payload], now.saturating_add(after));
                        model.set(payload, now.saturating_add(after));
                    }
                }
                Step::Advance(by) => {
                    now = now.saturating_add(by);
                    let deadlines = model.timers.clone();
                    let mut expected = model.advance(now);
                    prop_assert!(expected.is_empty() || wheel.is_due(now), "something is due unnoticed");
                    fired.clear();
                    wheel.advance(now, &mut fired);
                    prop_assert!(!wheel.is_due(now));
                    for payload in &fired {
                        prop_assert!(deadlines[payload].0 <= now, "early");
                    }
                    let tick = |payload: &u64| deadlines[payload].1;
                    prop_assert!(fired.is_sorted_by_key(tick));
                    fired.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(&fired, &expected);
                }
            }
            prop_assert_eq!(wheel.len(), model.timers.len());
        }
    }
}

#[test]
fn a_timer_far_off_does_not_hide_a_near_one() {
    let (mut wheel, mut fired) = (TimerWheel::default(), Vec::new());
    let now = 1_700_000_000_000_000_000;
    wheel.insert(Nanos::MAX, 1);
    wheel.insert(now + 3600 * 1_000_000_000, 2);
    wheel.insert(now + TICK, 3);
    assert!(!wheel.is_empty());
    wheel.advance(now, &mut fired);
    assert!(fired.is_empty());
    wheel.advance(now + 3 * TICK, &mut fired);
    assert_eq!(fired, [3]);
    wheel.advance(now + 3601 * 1_000_000_000, &mut fired);
    assert_eq!(fired, [3, 2]);
    wheel.advance(Nanos::MAX, &mut fired);
    // The last tick of time is never over.
    assert_eq!((fired.len(), wheel.len()), (2, 1));
}
