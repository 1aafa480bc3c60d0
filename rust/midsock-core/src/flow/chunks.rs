//! Storage that grows without moving what is in it.

const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;

/// A list in chunks: growing it copies nothing. A chunk's length is known beforehand, so that a place in it needs no
/// check.
pub(super) struct Chunks<T> {
    chunks: Vec<Box<[T; CHUNK]>>,
    length: usize,
}

impl<T: Default> Chunks<T> {
    pub(super) fn new() -> Chunks<T> {
        Chunks { chunks: Vec::new(), length: 0 }
    }

    pub(super) fn push(&mut self, value: T) {
        if self.length == self.chunks.len() * CHUNK {
            let chunk: Vec<T> = std::iter::repeat_with(T::default).take(CHUNK).collect();
            // Just as many were taken as the array holds.
            let chunk = chunk.into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!());
            self.chunks.push(chunk);
        }
        self.chunks[self.length >> CHUNK_BITS][self.length & (CHUNK - 1)] = value;
        self.length += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn memory(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>()
    }
}

impl<T> std::ops::Index<u32> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, i: u32) -> &T {
        &self.chunks[(i >> CHUNK_BITS) as usize][i as usize & (CHUNK - 1)]
    }
}

impl<T> std::ops::IndexMut<u32> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, i: u32) -> &mut T {
        &mut self.chunks[(i >> CHUNK_BITS) as usize][i as usize & (CHUNK - 1)]
    }
}
