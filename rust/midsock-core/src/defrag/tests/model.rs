//! Random fragments, against a model that keeps each byte by itself.

use proptest::prelude::*;

use super::*;

/// A datagram of `Some` bytes where they are known.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<u8>>,
    total: Option<usize>,
}

impl Model {
    fn take(&mut self, offset: usize, data: &[u8], more: bool, last_holds: bool) {
        let end = offset + data.len();
        let known = self.bytes.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        if self.total.is_some_and(|total| end > total || !more && end != total)
            || self.total.is_none() && !more && end < known
        {
            return;
        }
        if !more {
            self.total = Some(end);
        }
        self.bytes.resize(self.bytes.len().max(end), None);
        for (kept, byte) in self.bytes[offset..].iter_mut().zip(data) {
            if kept.is_none() || last_holds {
                *kept = Some(*byte);
            }
        }
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let bytes = self.bytes.get(..self.total?)?;
        bytes.iter().copied().collect()
    }
}

fn pieces() -> impl Strategy<Value = Vec<(usize, usize, bool, u8)>> {
    prop::collection::vec((0..24_usize, 1..9_usize, prop::bool::weighted(0.9), any::<u8>()), 1..60)
}

proptest! {
    #[test]
    fn first_and_last_are_as_byte_for_byte(pieces in pieces(), last_holds in any::<bool>()) {
        let policy = if last_holds { FragmentPolicy::Last } else { FragmentPolicy::First };
        let mut bench = Bench::new(policy);
        let mut model = Model::default();
        for (offset, blocks, more, byte) in pieces {
            // Else it is a datagram that was never cut.
            let more = more || offset == 0;
            let data = vec![byte; blocks * 8];
            let frame = fragment(4, ANY, 7, offset * 8, more, &data);
            let whole = bench.push(&frame).map(|frame| frame[34..].to_vec());
            model.take(offset * 8, &data, more, last_holds);
            prop_assert_eq!(&whole, &model.whole());
            if whole.is_some() {
                model = Model::default();
            }
        }
    }

    /// Whatever the policy, each byte is one that was sent for its place, and the datagram is whole when it is.
    #[test]
    fn no_byte_is_made_up(pieces in pieces(), policy in prop::sample::select(&FragmentPolicy::ALL[..7])) {
        let mut bench = Bench::new(policy);
        let mut model = Model::default();
        let mut sent: Vec<(usize, usize, u8)> = Vec::new();
        for (offset, blocks, more, byte) in pieces {
            // Else it is a datagram that was never cut.
            let more = more || offset == 0;
            let data = vec![byte; blocks * 8];
            let frame = fragment(4, ANY, 7, offset * 8, more, &data);
            let whole = bench.push(&frame).map(|frame| frame[34..].to_vec());
            model.take(offset * 8, &data, more, false);
            sent.push((offset * 8, (offset + blocks) * 8, byte));
            prop_assert_eq!(whole.as_ref().map(Vec::len), model.whole().map(|bytes| bytes.len()));
            if let Some(whole) = whole {
                for (at, byte) in whole.iter().enumerate() {
                    prop_assert!(sent.iter().any(|(start, end, sent)| (*start..*end).contains(&at) && sent == byte));
                }
                (model, sent) = (Model::default(), Vec::new());
            }
        }
    }

    #[test]
    fn any_bytes_do_no_harm(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 34..120), 1..40)) {
        let mut bench = Bench::new(FragmentPolicy::Linux);
        for mut frame in frames {
            let is_v6 = frame[0] & 1 == 1;
            frame[12..15].copy_from_slice(if is_v6 { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
            if is_v6 {
                frame[20] = 44;
            }
            let mut segment = Segment::default();
            if decode(&frame, LinkType::Ethernet, frame.len() as u32, &mut segment) == Outcome::Fragment {
                bench.push(&frame);
            }
        }
    }
}
