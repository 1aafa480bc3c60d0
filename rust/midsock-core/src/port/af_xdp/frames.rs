//! Which frames of the UMEM a port owns, and where each of them is.
//!
//! Ports that share a UMEM number its frames alike, but each owns some of them only, and always as many: a frame that
//! is handed over is exchanged for a free one. What the kernel says of a frame is believed only if the frame is where it
//! can say that of it, so that no frame is ever in two places, or lost.

use std::ops::Range;

/// The number of a frame within the UMEM.
pub(super) type Frame = u32;

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// With the other port that shares the UMEM.
    Elsewhere,
    /// With this port, for any use.
    Free,
    /// With the kernel, to be received into.
    Filled,
    /// Handed out in the current burst.
    Held,
    /// With the kernel, to be sent.
    Sent,
}

/// The frames of one port.
#[derive(Debug)]
pub(super) struct Frames {
    places: Vec<Place>,
    /// The last one freed comes first: it is the likeliest to be in the cache.
    free: Vec<Frame>,
}

impl Frames {
    /// Of a UMEM with `all` frames, those in `own` are this port's, and free.
    pub(super) fn new(all: u32, own: Range<Frame>) -> Frames {
        let mut places = vec![Place::Elsewhere; all as usize];
        places[own.start as usize..own.end as usize].fill(Place::Free);
        Frames { places, free: own.rev().collect() }
    }

    /// How many are free.
    #[inline]
    pub(super) fn available(&self) -> usize {
        self.free.len()
    }

    /// Takes a free frame for the kernel to receive into.
    #[inline]
    pub(super) fn fill(&mut self) -> Option<Frame> {
        self.take(Place::Filled)
    }

    /// Takes a free frame to be sent.
    #[inline]
    pub(super) fn send(&mut self) -> Option<Frame> {
        self.take(Place::Sent)
    }

    /// The kernel received into the frame: it is held now. False if the kernel did not have it for that.
    #[inline]
    #[must_use]
    pub(super) fn received(&mut self, frame: Frame) -> bool {
        self.moved(frame, Place::Filled, Place::Held)
    }

    /// Frees a frame that is held.
    #[inline]
    pub(super) fn release(&mut self, frame: Frame) {
        if self.moved(frame, Place::Held, Place::Free) {
            self.free.push(frame);
        }
    }

    /// The kernel has sent the frame: it is free now. False if the kernel did not have it for that.
    #[inline]
    #[must_use]
    pub(super) fn completed(&mut self, frame: Frame) -> bool {
        let is_so = self.moved(frame, Place::Sent, Place::Free);
        if is_so {
            self.free.push(frame);
        }
        is_so
    }

    /// Takes over, to be sent, a frame that `from` holds, and gives it a free one instead. False, and nothing done, if
    /// none is free here or `from` does not hold the frame.
    #[inline]
    #[must_use]
    pub(super) fn exchange(&mut self, from: &mut Frames, frame: Frame) -> bool {
        if self.free.is_empty() || !from.moved(frame, Place::Held, Place::Elsewhere) {
            return false;
        }
        if let Some(given) = self.take(Place::Elsewhere) {
            from.places[given as usize] = Place::Free;
            from.free.push(given);
        }
        self.places[frame as usize] = Place::Sent;
        true
    }

    #[inline]
    fn take(&mut self, place: Place) -> Option<Frame> {
        let frame = self.free.pop()?;
        self.places[frame as usize] = place;
        Some(frame)
    }

    #[inline]
    fn moved(&mut self, frame: Frame, from: Place, to: Place) -> bool {
        match self.places.get_mut(frame as usize) {
            Some(place) if *place == from => {
                *place = to;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
