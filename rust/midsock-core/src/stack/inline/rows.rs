//! Which packets the rows of batches stand for, and verdicts on those.

use super::cut::Unsent;
use super::{InlineError, Verdict};
use crate::Side;
use crate::event::BatchId;
use crate::flow::FlowId;
use crate::port::Packet;
use crate::stack::Engine;

/// A row, and a packet that it stands for.
#[derive(Clone, Copy)]
pub(in crate::stack) struct Mark {
    row: usize,
    /// Its place in the burst; none for what time brought about.
    packet: Option<u16>,
    flow: Option<FlowId>,
}

/// What the rows of one batch stand for.
#[derive(Default)]
struct Rows {
    marks: Vec<Mark>,
    /// It has rows of an earlier burst.
    is_old: bool,
}

/// What the rows of all batches stand for.
#[derive(Default)]
pub(in crate::stack) struct Marks {
    batches: Vec<Rows>,
    /// The batch that was delivered last, and its rows.
    delivered: Option<(BatchId, usize)>,
}

impl Marks {
    fn rows(&mut self, batch: BatchId) -> &mut Rows {
        let place = batch.0 as usize;
        if place >= self.batches.len() {
            self.batches.resize_with(place + 1, Rows::default);
        }
        &mut self.batches[place]
    }

    /// A packet went into a row.
    pub(in crate::stack) fn note(
        &mut self,
        batch: BatchId,
        row: usize,
        packet: Option<u16>,
        flow: Option<FlowId>,
    ) {
        self.rows(batch).marks.push(Mark { row, packet, flow });
    }

    /// A burst is over: its packets are gone, and rows that are still there are of an earlier one from now on.
    pub(in crate::stack) fn end_burst(&mut self) {
        self.close_delivered();
        for rows in &mut self.batches {
            rows.is_old |= !rows.marks.is_empty();
            rows.marks.clear();
        }
    }

    /// A batch is delivered.
    pub(in crate::stack) fn deliver(&mut self, batch: BatchId, rows: usize) {
        self.close_delivered();
        self.rows(batch);
        self.delivered = Some((batch, rows));
    }

    /// The stack goes on: the batch that was delivered last can no longer be ruled on.
    fn close_delivered(&mut self) {
        if let Some((batch, _)) = self.delivered.take() {
            let rows = self.rows(batch);
            rows.marks.clear();
            rows.is_old = false;
        }
    }

    /// What the rows of the batch that was delivered just now stand for, as far as their packets are still there.
    pub(super) fn delivered(&self, batch: BatchId) -> Option<&[Mark]> {
        self.delivered.filter(|(delivered, _)| *delivered == batch)?;
        Some(&self.batches[batch.0 as usize].marks)
    }

    /// What the rows of the batch that was delivered just now stand for.
    pub(super) fn of(&self, batch: BatchId, verdicts: usize) -> Result<&[Mark], InlineError> {
        let Some((_, rows)) = self.delivered.filter(|(delivered, _)| *delivered == batch) else {
            return Err(InlineError::LateBatch);
        };
        let of = &self.batches[batch.0 as usize];
        if of.is_old {
            return Err(InlineError::LateBatch);
        }
        if verdicts != rows {
            return Err(InlineError::RowCount { given: verdicts, rows });
        }
        Ok(&of.marks)
    }
}

/// The verdict on each row of a batch that nobody ruled on, where nothing is to pass unseen.
pub(super) fn closed(marks: &[Mark]) -> Vec<Verdict> {
    let rows = marks.iter().map(|mark| mark.row + 1).max().unwrap_or(0);
    let mut verdicts = vec![Verdict::Drop; rows];
    for mark in marks.iter().filter(|mark| mark.flow.is_some()) {
        verdicts[mark.row] = Verdict::DropFlow;
    }
    verdicts
}

impl<U> Engine<U> {
    /// Carries out verdicts on the rows of a batch.
    pub(super) fn rule_on_rows(
        &mut self,
        memory: &[u8],
        burst: &[Packet],
        marks: &[Mark],
        verdicts: &[Verdict],
    ) -> Result<(), InlineError> {
        let ruled = || {
            let verdict = |mark: &Mark| verdicts.get(mark.row).copied().unwrap_or_default();
            marks
                .iter()
                .map(move |mark| (*mark, verdict(mark)))
                .filter(|(_, verdict)| *verdict > Verdict::Forward)
        };
        for (mark, verdict) in ruled() {
            self.may_rule(mark, verdict)?;
        }
        for (mark, verdict) in ruled() {
            if let (Some(packet), Some(outbox)) = (mark.packet, &mut self.outbox)
                && outbox.is_bridge
            {
                outbox.put(packet.into(), verdict);
            }
        }
        // Each flow once: with the strongest of its verdicts, from the first packet on that any of those is about.
        let mut flows: Vec<(FlowId, Option<u16>, bool)> = ruled()
            .filter(|(_, verdict)| *verdict >= Verdict::DropFlow)
            .filter_map(|(mark, verdict)| Some((mark.flow?, mark.packet, verdict == Verdict::Reset)))
            .collect();
        flows.sort_by_key(|(flow, packet, _)| (flow.number, packet.is_none(), *packet));
        for same in flows.chunk_by(|(flow, ..), (next, ..)| flow == next) {
            let (flow, first, _) = same[0];
            self.cut_from(memory, burst, flow, first, same.iter().any(|(.., resets)| *resets));
        }
        Ok(())
    }

    /// Whether a verdict on a row can be carried out.
    fn may_rule(&self, mark: Mark, verdict: Verdict) -> Result<(), InlineError> {
        let is_bridge = self.outbox.as_ref().is_some_and(|outbox| outbox.is_bridge);
        if !is_bridge && verdict != Verdict::Reset {
            return Err(InlineError::Passive);
        }
        if verdict >= Verdict::DropFlow {
            let flow = mark.flow.ok_or(InlineError::NoFlow)?;
            // One that has gone can come to no more harm; its packets are dropped.
            if let Some(place) = self.table.place(flow)
                && verdict == Verdict::Reset
                && self.table.flow(place).key.path().is_some()
            {
                return Err(InlineError::Tunnelled);
            }
        }
        Ok(())
    }

    /// Cuts a flow at the end of a burst, and drops what the burst holds of it from the packet `first` on.
    fn cut_from(&mut self, memory: &[u8], burst: &[Packet], flow: FlowId, first: Option<u16>, resets: bool) {
        let (Some(place), Some(outbox)) = (self.table.place(flow), &mut self.outbox) else { return };
        let flow = self.table.flow(place);
        let mut unsent = Unsent::default();
        let first = first.map_or(burst.len(), usize::from);
        if outbox.is_bridge {
            for (at, packet) in burst.iter().enumerate().skip(first) {
                let frame = packet.frame(memory);
                let decoded = self.ahead.decode_one(packet, frame, &mut self.paths);
                let Some(decoded) = decoded.or_else(|| self.fragments.decoded(at)) else { continue };
                if decoded.key == flow.key {
                    let side: Side = flow.sender(decoded.forward);
                    unsent.add(side, &decoded.segment, outbox.expected_before(at, decoded.segment.seq));
                    outbox.put(at, Verdict::Drop);
                }
            }
        }
        self.cut(place, unsent, burst.len(), resets);
    }

    /// Drops the packets of all rows that nobody ruled on.
    pub(super) fn drop_rows(&mut self) {
        let (Some(marks), Some(outbox)) = (&self.dispatch.marks, &mut self.outbox) else { return };
        if !outbox.is_bridge {
            return;
        }
        for packet in marks.batches.iter().flat_map(|rows| &rows.marks).filter_map(|mark| mark.packet) {
            outbox.put(packet.into(), Verdict::Drop);
        }
    }
}
