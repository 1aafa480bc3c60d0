//! Contiguous bytes that wait to be read.

use std::collections::VecDeque;

/// A piece of the stream without a hole in it.
#[derive(Debug)]
struct Piece {
    /// The offset of its first unread byte.
    offset: u64,
    bytes: Vec<u8>,
    /// How many of `bytes` were read.
    read: usize,
}

impl Piece {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.read..]
    }
}

/// Unread bytes in the order of the stream, with a break at each gap, so that no read joins what a gap divides.
#[derive(Debug, Default)]
pub struct Backlog {
    pieces: VecDeque<Piece>,
    length: u64,
}

impl Backlog {
    /// Unread bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Offset of the first unread byte.
    pub fn offset(&self) -> Option<u64> {
        self.pieces.front().map(|piece| piece.offset)
    }

    /// Appends bytes that start at this stream offset.
    pub fn push(&mut self, offset: u64, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if let Some(last) = self.pieces.back_mut()
            && last.offset + last.unread().len() as u64 == offset
        {
            last.bytes.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.pieces.push_back(Piece { offset, bytes: bytes.to_vec(), read: 0 });
        }
    }

    /// Up to `limit` bytes from the first unread one to the next gap, as one slice.
    pub fn front(&self, limit: usize) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| {
            let unread = piece.unread();
            &unread[..unread.len().min(limit)]
        })
    }

    /// Up to `limit` unread bytes from this offset on, as far as they are there without a gap.
    pub fn at(&self, offset: u64, limit: usize) -> &[u8] {
        for piece in &self.pieces {
            let unread = piece.unread();
            if let Some(start) = offset.checked_sub(piece.offset)
                && start < unread.len() as u64
            {
                let rest = &unread[start as usize..];
                return &rest[..rest.len().min(limit)];
            }
        }
        &[]
    }

    /// Takes `count` bytes as read; fewer if there are no more.
    pub fn consume(&mut self, mut count: u64) {
        while count > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let step = count.min(piece.unread().len() as u64);
            piece.read += step as usize;
            piece.offset += step;
            self.length -= step;
            count -= step;
            if piece.read == piece.bytes.len() {
                self.pieces.pop_front();
            } else if piece.read > piece.bytes.len() / 2 {
                // At most as many bytes move as were read since the last move: constant time per byte.
                piece.bytes.drain(..piece.read);
                piece.read = 0;
            }
        }
    }

    /// Forgets all that is unread.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.length = 0;
    }
}
