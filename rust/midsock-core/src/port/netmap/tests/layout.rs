use super::rings::Region;
use crate::port::netmap::extra::Spares;
use crate::port::netmap::layout::{Layout, at as nifp_at};
use crate::port::netmap::ring::{Buffers, at as ring_at};

#[test]
fn rings_are_found_in_their_order_and_unbound_ones_left_out() {
    // Two NIC rings of each direction, of which the first transmit ring is not bound, and one host ring.
    let region = Region::new([2, 1, 2, 1], 5, 512, 64);
    region.set_offset(0, 0);
    let layout = region.layout().unwrap();
    let rings = |rings: &[crate::port::netmap::ring::Ring]| {
        rings.iter().map(|ring| (ring.number, ring.host, ring.cursor.slots())).collect::<Vec<_>>()
    };
    assert_eq!(rings(&layout.tx), [(1, false, 5), (2, true, 5)]);
    assert_eq!(rings(&layout.rx), [(0, false, 5), (1, false, 5), (2, true, 5)]);
    assert_eq!(layout.buffers, Buffers { base: region.buffers_at, size: 512, count: 64 });
    assert_eq!(layout.extra_at, Region::NIFP + nifp_at::EXTRA_BUFFERS);
}

#[test]
fn what_reaches_out_of_the_region_is_refused() {
    let region = || Region::new([1, 0, 1, 0], 8, 512, 32);
    let refused = |region: &Region| region.layout().unwrap_err();
    for offset in [u64::MAX, 1 << 40, 1, region().size as u64, region().size as u64 - 8] {
        let region = region();
        let error = Layout::read(&region.mapping, offset, region.size).unwrap_err();
        assert!(error.starts_with("its description lies at"), "{error}");
    }
    for count in [u32::MAX, 5000, 4000] {
        let region = region();
        region.set(Region::NIFP + nifp_at::TX_RINGS, count);
        assert_eq!(refused(&region), format!("its description tells of {count} rings"));
    }
    for offset in [i64::MAX, i64::MIN, -4096, 1 << 40, 2, region().size as i64 - 4 - Region::NIFP as i64] {
        let region = region();
        region.set_offset(1, offset);
        assert_eq!(refused(&region), format!("a ring of its lies outside of the region, at {offset}"));
    }
    let region = region();
    region.set(region.ring_at(1) + ring_at::SLOTS, 1 << 20);
    assert!(refused(&region).contains("reaches beyond the region"));
    region.set(region.ring_at(1) + ring_at::SLOTS, 1);
    assert!(refused(&region).contains("its size is 1"));
    region.set(region.ring_at(1) + ring_at::BUFFERS + 4, 0x4000_0000);
    assert!(refused(&region).contains("its buffers lie outside of the region"));
    region.set(region.ring_at(1) + ring_at::BUFFERS + 4, 0);
    region.set(region.ring_at(1) + ring_at::BUFFER_SIZE, 0);
    assert!(refused(&region).contains("its buffers have 0 bytes"));
    region.set(region.ring_at(1) + ring_at::BUFFER_SIZE, 1024);
    assert_eq!(refused(&region), "its rings do not share one set of buffers");
    let region = Region::new([1, 0, 1, 0], 8, 512, 32);
    region.set_offset(0, 0);
    region.set_offset(1, 0);
    assert_eq!(refused(&region), "it has no rings");
}

#[test]
fn the_list_of_extra_buffers_is_taken_and_rebuilt() {
    let region = Region::new([1, 0, 1, 0], 4, 512, 32);
    let layout = region.layout().unwrap();
    let (mapping, buffers, list) = (&region.mapping, &layout.buffers, layout.extra_at);
    let link = |index: u32| buffers.place(index).unwrap();
    for (from, to) in [(list, 20), (link(20), 30), (link(30), 25), (link(25), 0)] {
        region.set(from, to);
    }
    for granted in [0, 2, 4] {
        assert!(Spares::take(mapping, buffers, list, granted).is_err(), "{granted}");
    }
    let mut spares = Spares::take(mapping, buffers, list, 3).unwrap();
    // A process that is killed now must not have anything freed twice.
    assert_eq!((region.get(list), spares.len()), (0, 3));
    assert_eq!(spares.pop(), Some(25));
    spares.push(9);
    spares.give_back(mapping, buffers);
    let mut found = vec![region.get(list)];
    while *found.last().unwrap() != 0 {
        found.push(region.get(link(*found.last().unwrap())));
    }
    found.sort_unstable();
    assert_eq!(found, [0, 9, 20, 30]);
}

#[test]
fn a_list_of_extra_buffers_that_leads_nowhere_is_refused() {
    let region = Region::new([1, 0, 1, 0], 4, 512, 32);
    let layout = region.layout().unwrap();
    let take = || Spares::take(&region.mapping, &layout.buffers, layout.extra_at, 3).unwrap_err();
    for index in [1, 32, u32::MAX] {
        region.set(layout.extra_at, index);
        assert_eq!(take(), format!("its list of extra buffers leads to {index}"));
    }
    region.set(layout.extra_at, 20);
    region.set(layout.buffers.place(20).unwrap(), 20);
    assert_eq!(take(), "its list of extra buffers leads to 20");
}
