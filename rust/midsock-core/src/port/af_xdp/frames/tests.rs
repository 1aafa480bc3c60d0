use std::collections::HashMap;

use proptest::prelude::*;

use super::{Frame, Frames};

const ALL: u32 = 24;

/// Two ports that share a UMEM.
struct Pair {
    ports: [Frames; 2],
    /// Where each frame is, as a plain table says.
    model: HashMap<Frame, (usize, &'static str)>,
}

impl Pair {
    fn new() -> Self {
        let owner = |frame: u32| usize::from(frame >= ALL / 2);
        Pair {
            ports: [Frames::new(ALL, 0..ALL / 2), Frames::new(ALL, ALL / 2..ALL)],
            model: (0..ALL).map(|frame| (frame, (owner(frame), "free"))).collect(),
        }
    }

    fn is(&self, port: usize, place: &str) -> Vec<Frame> {
        let mut frames: Vec<_> =
            self.model.iter().filter(|(_, at)| **at == (port, place)).map(|(frame, _)| *frame).collect();
        frames.sort_unstable();
        frames
    }

    /// Does one step, on the frame that `pick` chooses, at the port and in the model; both must agree.
    fn step(&mut self, port: usize, step: u8, pick: u32) {
        let any = pick % (ALL + 2);
        let at = self.model.get(&any).copied();
        match step {
            0 | 1 => {
                let (taken, place) = match step {
                    0 => (self.ports[port].fill(), "filled"),
                    _ => (self.ports[port].send(), "sent"),
                };
                match taken {
                    Some(frame) => assert_eq!(self.model.insert(frame, (port, place)), Some((port, "free"))),
                    None => assert_eq!(self.is(port, "free"), []),
                }
            }
            2 | 3 => {
                let (from, to, moved) = match step {
                    2 => ("filled", "held", self.ports[port].received(any)),
                    _ => ("sent", "free", self.ports[port].completed(any)),
                };
                assert_eq!(moved, at == Some((port, from)));
                if moved {
                    self.model.insert(any, (port, to));
                }
            }
            4 => {
                self.ports[port].release(any);
                if at == Some((port, "held")) {
                    self.model.insert(any, (port, "free"));
                }
            }
            _ => {
                let before = self.ports[port].free.clone();
                let [first, second] = &mut self.ports;
                let (to, from) = if port == 0 { (first, second) } else { (second, first) };
                let moved = to.exchange(from, any);
                assert_eq!(moved, at == Some((1 - port, "held")) && !before.is_empty());
                if moved {
                    let given = *before.last().unwrap();
                    assert_eq!(self.model.insert(any, (port, "sent")), Some((1 - port, "held")));
                    assert_eq!(self.model.insert(given, (1 - port, "free")), Some((port, "free")));
                }
            }
        }
    }

    fn check(&self) {
        for port in 0..2 {
            let mut free = self.ports[port].free.clone();
            free.sort_unstable();
            assert_eq!(free, self.is(port, "free"));
            assert_eq!(self.model.values().filter(|(owner, _)| *owner == port).count(), ALL as usize / 2);
        }
    }
}

proptest! {
    #[test]
    fn no_frame_is_lost_or_doubled(steps in prop::collection::vec((0..2usize, 0..6u8, 0..=u32::MAX), 0..400)) {
        let mut pair = Pair::new();
        for (port, step, pick) in steps {
            pair.step(port, step, pick);
            pair.check();
        }
    }
}

#[test]
fn a_frame_is_received_once_and_completed_once() {
    let mut frames = Frames::new(2, 0..2);
    let frame = frames.fill().unwrap();
    assert!(!frames.completed(frame));
    assert!(frames.received(frame));
    assert!(!frames.received(frame));
    frames.release(frame);
    frames.release(frame);
    assert_eq!(frames.available(), 2);
    assert!(!frames.received(2) && !frames.completed(u32::MAX));
}
