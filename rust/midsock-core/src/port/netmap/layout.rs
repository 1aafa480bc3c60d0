//! What lies where in a region: from the offset that a registration returns to the rings.

use std::sync::atomic::Ordering;

use super::ring::{Buffers, Ring, at as ring_at, signed};
use crate::port::sys::mapping::Mapping;

/// Where the fields of a `netmap_if` lie in it, and the offsets of its rings after it.
pub(super) mod at {
    pub(in crate::port::netmap) const TX_RINGS: usize = 24;
    pub(in crate::port::netmap) const RX_RINGS: usize = 28;
    pub(in crate::port::netmap) const EXTRA_BUFFERS: usize = 32;
    pub(in crate::port::netmap) const HOST_TX_RINGS: usize = 36;
    pub(in crate::port::netmap) const HOST_RX_RINGS: usize = 40;
    pub(in crate::port::netmap) const RING_OFFSETS: usize = 56;
}

/// More rings than any interface has: more is not a `netmap_if`.
const MOST_RINGS: u32 = 4096;

/// The rings that are bound to a port, and the buffers that they share.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) tx: Vec<Ring>,
    pub(super) rx: Vec<Ring>,
    pub(super) buffers: Buffers,
    /// Where the list of extra buffers begins: the word with the first one's index.
    pub(super) extra_at: usize,
}

impl Layout {
    /// Finds the rings of the `netmap_if` at `offset` of a region of `size` bytes.
    ///
    /// # Errors
    ///
    /// What is where it cannot be.
    pub(super) fn read(mapping: &Mapping, offset: u64, size: usize) -> Result<Layout, String> {
        let nifp = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = nifp.checked_add(at::RING_OFFSETS);
        if !nifp.is_multiple_of(8) || end.is_none_or(|end| end > size) {
            return Err(format!("its description lies at {offset} of {size} bytes"));
        }
        let word = |field| mapping.word(nifp + field).load(Ordering::Acquire);
        // In this order the offsets come: unbound rings have none.
        let kinds = [
            (at::TX_RINGS, true, false),
            (at::HOST_TX_RINGS, true, true),
            (at::RX_RINGS, false, false),
            (at::HOST_RX_RINGS, false, true),
        ];
        let (mut tx, mut rx) = (Vec::new(), Vec::new());
        let mut buffers = None;
        let mut offset_at = nifp + at::RING_OFFSETS;
        for (field, sends, host) in kinds {
            let count = word(field);
            if count > MOST_RINGS || offset_at + 8 * count as usize > size {
                return Err(format!("its description tells of {count} rings"));
            }
            let first = if host { word(if sends { at::TX_RINGS } else { at::RX_RINGS }) } else { 0 };
            for number in first..first + count {
                let ring = signed(mapping, offset_at);
                offset_at += 8;
                if ring == 0 {
                    continue;
                }
                let at = place(nifp, ring, ring_at::FIRST_SLOT, size)
                    .ok_or_else(|| format!("a ring of its lies outside of the region, at {ring}"))?;
                let found = self::buffers(mapping, at, size)?;
                if *buffers.get_or_insert(found) != found {
                    return Err("its rings do not share one set of buffers".to_owned());
                }
                let ring =
                    Ring::new(mapping, at, number as u16, host).map_err(|broken| broken.to_string())?;
                let slots = ring.cursor.slots() as usize * ring_at::SLOT_SIZE;
                if at + ring_at::FIRST_SLOT + slots > size {
                    return Err(format!("a ring of its, at {at}, reaches beyond the region"));
                }
                if sends { &mut tx } else { &mut rx }.push(ring);
            }
        }
        let buffers = buffers.ok_or("it has no rings")?;
        Ok(Layout { tx, rx, buffers, extra_at: nifp + at::EXTRA_BUFFERS })
    }
}

/// The buffers that the ring at `at` uses.
fn buffers(mapping: &Mapping, at: usize, size: usize) -> Result<Buffers, String> {
    let offset = signed(mapping, at + ring_at::BUFFERS);
    let each = mapping.word(at + ring_at::BUFFER_SIZE).load(Ordering::Acquire) as usize;
    let base = place(at, offset, 0, size)
        .ok_or_else(|| format!("its buffers lie outside of the region, at {offset}"))?;
    // The link of an extra buffer is a word in it.
    if each < 4 || !each.is_multiple_of(4) || !base.is_multiple_of(4) {
        return Err(format!("its buffers have {each} bytes, at {base}"));
    }
    Ok(Buffers { base, size: each, count: u32::try_from((size - base) / each).unwrap_or(u32::MAX) })
}

/// What lies `offset` after `from`: aligned, and with `length` bytes after it within `size`.
fn place(from: usize, offset: i64, length: usize, size: usize) -> Option<usize> {
    let at = from.checked_add_signed(isize::try_from(offset).ok()?)?;
    (at.is_multiple_of(4) && at.checked_add(length)? <= size).then_some(at)
}
