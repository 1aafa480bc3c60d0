//! The tunnels that flows come through, numbered so that a key can name them.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

/// The tunnels and VLANs that a flow comes through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Arc<[u8]>);

impl Path {
    /// VLAN ids, outermost first; 0 is none.
    pub fn vlan(&self) -> [u16; 2] {
        let id = |at: usize| u16::from_be_bytes([self.0[at], self.0[at + 1]]);
        [id(0), id(2)]
    }

    /// What tells its tunnels apart, as [`Decoder::path`](crate::wire::Decoder::path) writes it.
    pub fn tunnels(&self) -> &[u8] {
        &self.0[4..]
    }

    /// Begins to write a path, in place of what `bytes` held; the tunnels follow.
    fn begin(bytes: &mut Vec<u8>, vlan: [u16; 2]) {
        bytes.clear();
        for id in vlan {
            bytes.extend(id.to_be_bytes());
        }
    }
}

/// The fewest paths at which those that no flow has any more are looked for.
const FEW: usize = 1024;

/// Numbers for paths. A path keeps its number as long as a flow holds it.
#[derive(Default)]
pub struct Paths {
    numbers: HashMap<Arc<[u8]>, u32>,
    list: Vec<Option<Path>>,
    free: Vec<u32>,
    /// As many paths as there were when they were last looked through.
    kept: usize,
    /// The path at hand.
    draft: Vec<u8>,
}

impl Paths {
    /// The number of the path that `write` appends; none if there are too many.
    pub fn number(&mut self, vlan: [u16; 2], write: impl FnOnce(&mut Vec<u8>)) -> Option<u32> {
        Path::begin(&mut self.draft, vlan);
        write(&mut self.draft);
        if let Some(number) = self.numbers.get(&self.draft[..]) {
            return Some(*number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.list.len() < super::Key::MAX_PATHS => {
                self.list.push(None);
                self.list.len() as u32 - 1
            }
            None => return None,
        };
        let bytes: Arc<[u8]> = self.draft[..].into();
        self.numbers.insert(Arc::clone(&bytes), number);
        self.list[number as usize] = Some(Path(bytes));
        Some(number)
    }

    /// The path of this number.
    pub fn get(&self, number: u32) -> Option<&Path> {
        self.list.get(number as usize)?.as_ref()
    }

    /// Forgets paths that no flow has, once there are twice as many as there were of use. Between the numbering of a
    /// packet's path and the opening of its flow this must not be called.
    #[inline]
    pub fn sweep(&mut self) {
        if self.numbers.len() >= FEW.max(self.kept * 2) {
            self.sweep_now();
        }
    }

    #[cold]
    fn sweep_now(&mut self) {
        let (list, free) = (&mut self.list, &mut self.free);
        self.numbers.retain(|bytes, number| {
            // One is this map's, one the list's.
            let is_used = Arc::strong_count(bytes) > 2;
            if !is_used {
                list[*number as usize] = None;
                free.push(*number);
            }
            is_used
        });
        self.kept = self.numbers.len();
    }
}
