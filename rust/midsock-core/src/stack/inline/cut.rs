//! Flows of which nothing passes any more, and the RSTs to their ends.

use super::Verdict;
use crate::event::{EventDetail, Kind};
use crate::flow::{EndReason, Flow, FlowFlags, FlowId};
use crate::reassembly::Urgent;
use crate::stack::{Call, Engine, Feed, Stage};
use crate::tcp::{Details, Flags, Seq, State};
use crate::wire::{Segment, TcpFlags};
use crate::{Anomaly, Side};

/// What of a flow was not sent on.
#[derive(Clone, Copy, Default)]
pub(super) struct Unsent {
    /// What the other end expects of each side instead of what it would expect if all had been sent on.
    from: [Option<Seq>; 2],
    /// Packets that were not sent on.
    packets: [u64; 2],
    /// One beyond what each side sent in them.
    end: [Option<Seq>; 2],
    /// What they acknowledge of each side.
    acked: [Option<Seq>; 2],
}

impl Unsent {
    /// A packet was not sent on; before it, the other end expected this number, if the packet could change that.
    pub(super) fn add(&mut self, side: Side, segment: &Segment, expected: Option<Seq>) {
        let i = side.index();
        self.packets[i] += 1;
        let Some(expected) = expected else { return };
        if segment.flags.contains(TcpFlags::ACK) {
            self.acked[side.other().index()] = Some(Seq(segment.ack));
        }
        self.from[i].get_or_insert(expected);
        if !segment.flags.contains(TcpFlags::RST) {
            let end = end_of(segment);
            self.end[i] = Some(self.end[i].filter(|sent| sent.after(end)).unwrap_or(end));
        }
    }

    fn is_empty(&self) -> bool {
        self.packets == [0; 2]
    }
}

/// One beyond the last number that a segment takes.
fn end_of(segment: &Segment) -> Seq {
    Seq(segment.seq).plus(segment.sequence_length())
}

/// What the other end expects next of `side`, if everything that the side sent has come to it; none if that is not
/// known.
fn expected(flow: &Flow, details: &[Details; 2], side: Side) -> Option<Seq> {
    let end = &flow.ends[side.index()];
    let acked = end.flags.any(Flags::ACKED).then_some(end.acked);
    if !end.flags.any(Flags::SEEN) || end.flags.any(Flags::UNTRACKED) {
        return acked;
    }
    let has_fin = end.flags.any(Flags::FIN) && end.head == details[side.index()].fin;
    let sent = end.head.plus(u32::from(has_fin));
    Some(acked.filter(|acked| acked.after(sent)).unwrap_or(sent))
}

impl<U> Engine<U> {
    /// Remembers of a packet that is not plain how to reach its sender, and what was expected of that before it.
    #[inline(never)] // Else it takes registers from the way of plain packets.
    pub(in crate::stack) fn note_irregular(&mut self, feed: Feed<'_>, place: u32, side: Side) {
        let segment = &self.ahead.at(self.current.packet).segment;
        let Some(outbox) = &mut self.outbox else { return };
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        let arrival = &self.current.arrival;
        let before = if arrival.rejected || arrival.rexmit.is_some_and(|rexmit| !rexmit.partial) {
            None
        } else if flow.ends[side.index()].flags.any(Flags::SEEN) {
            expected(flow, &extra.details, side)
        } else {
            Some(Seq(segment.seq))
        };
        outbox.note_expected(self.current.packet, before);
        if arrival.rejected
            && arrival.anomalies.contains(Anomaly::UrgentData)
            && extra.details[side.index()].urgent == Urgent::Drop
            && outbox.is_bridge
        {
            outbox.put(self.current.packet, Verdict::Drop);
        }
        if !arrival.rejected && segment.tunnels == 0 {
            outbox.learn(place, side, feed.packet, feed.frame, segment);
        }
    }

    /// What was still to be told of a flow is not told any more.
    pub(in crate::stack) fn forget_upcalls(&mut self, flow: FlowId) {
        let dropped = &mut self.timers.dropped;
        self.dispatch.upcalls.retain(|upcall| {
            if upcall.flow != Some(flow) {
                return true;
            }
            if let Call::Once(handler) = &upcall.call {
                dropped.push(*handler);
            }
            false
        });
    }

    /// Cuts a flow, and drops its packet at hand if there is one. RSTs go before the packet at the place `before`.
    pub(super) fn cut_at(&mut self, place: u32, packet: Option<usize>, before: usize, resets: bool) {
        let mut unsent = Unsent::default();
        if let (Some(packet), Some(outbox)) = (packet, &mut self.outbox) {
            let decoded = self.ahead.at(packet);
            let (segment, flow) = (&decoded.segment, self.table.flow(place));
            let side = flow.sender(decoded.forward);
            let expected = outbox.expected_before(packet, segment.seq);
            if outbox.is_bridge {
                outbox.put(packet, if resets { Verdict::Reset } else { Verdict::DropFlow });
                unsent.add(side, segment, expected);
            } else if self.current.stage == Stage::Send && expected.is_some() {
                // It has gone past already, though its sender has still to move.
                unsent.from[side.index()] = Some(end_of(segment));
                unsent.end[side.index()] = Some(end_of(segment));
            }
        }
        self.cut(place, unsent, before, resets);
    }

    /// Lets nothing of a flow pass any more. If it `resets`, both ends are sent a RST, before the packet at the place
    /// `before` of the burst.
    pub(super) fn cut(&mut self, place: u32, unsent: Unsent, before: usize, resets: bool) {
        let Some(outbox) = &mut self.outbox else { return };
        let flow = self.table.flow(place);
        let is_over = flow.is_ended() && !flow.flags.any(FlowFlags::CUT) && unsent.is_empty();
        if resets && !std::mem::replace(&mut outbox.reach_mut(place).answers, true) {
            outbox.statistics.resets += 1;
            if !is_over {
                self.send_rsts(place, unsent, before);
            }
        }
        if self.table.flow(place).is_ended() {
            return self.hold_back(place);
        }
        if resets {
            for side in Side::BOTH {
                let end = &mut self.table.flow_mut(place).ends[side.index()];
                let old = std::mem::replace(&mut end.state, State::Closed);
                if old != State::Closed {
                    let detail = EventDetail::StateChange(old, State::Closed);
                    self.raise_alone(place, Kind::StateChange, side, detail);
                }
            }
        }
        self.table.flow_mut(place).flags.set(FlowFlags::CUT);
        self.end(place, if resets { EndReason::Reset } else { EndReason::Stopped });
    }

    /// Sends a RST to each end that has sent or was sent anything.
    fn send_rsts(&mut self, place: u32, unsent: Unsent, before: usize) {
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        for to in Side::BOTH {
            let (i, from) = (to.index(), to.other().index());
            let end = &flow.ends[i];
            let next = end.flags.any(Flags::SEEN).then_some(end.next);
            let sent = match (next, unsent.end[i]) {
                (Some(next), Some(end)) if end.after(next) => Some(end),
                (next, end) => next.or(end),
            };
            if sent.is_none() && flow.packets[from] <= unsent.packets[from] {
                // It knows of no connection.
                continue;
            }
            let seq = unsent.from[from]
                .or_else(|| expected(flow, &extra.details, to.other()))
                .or(unsent.acked[from]);
            let seq = self.as_seen(place, to.other(), seq.unwrap_or_default());
            let ends = self.ends_to(place, to);
            // In SYN-SENT it looks at the acknowledgement alone, later at the sequence number alone (RFC 9293, 3.10.7).
            if let Some(outbox) = &mut self.outbox {
                outbox.send_rst(before, self.now, place, to, ends, seq.0, sent.map(|sent| sent.0));
            }
        }
    }

    /// A packet of a flow that was cut: it is dropped, and answered if the flow was reset.
    pub(in crate::stack) fn refuse(&mut self, place: u32, side: Side) {
        let Some(outbox) = &mut self.outbox else { return };
        let packet = self.current.packet;
        if outbox.is_bridge {
            outbox.put(packet, Verdict::Drop);
        }
        let segment = &self.ahead.at(packet).segment;
        if !outbox.reach_mut(place).answers || segment.is_broken() || segment.flags.contains(TcpFlags::RST) {
            return;
        }
        // As the other end would, had it no connection (RFC 9293, section 3.10.7.1); for a challenge (RFC 5961, section
        // 3.2) that is the number that it asks for.
        let (seq, ack) = if segment.flags.contains(TcpFlags::ACK) {
            (self.as_seen(place, side.other(), Seq(segment.ack)).0, None)
        } else {
            (0, Some(end_of(segment).0))
        };
        let ends = self.ends_to(place, side);
        if let Some(outbox) = &mut self.outbox {
            outbox.send_rst(packet + 1, self.now, place, side, ends, seq, ack);
        }
    }

    /// Whether a SYN of `side` begins anew in the place of a flow that was cut. Where only the packets were dropped, the
    /// ends may still have the connection, and whoever sends might go on with it behind such a SYN.
    #[cold]
    pub(in crate::stack) fn may_begin_anew(&self, place: u32, side: Side) -> bool {
        let flow = self.table.flow(place);
        let is_reset = self.outbox.as_ref().is_some_and(|outbox| outbox.answers(place));
        is_reset
            || !flow.ends[side.other().index()].flags.any(Flags::SEEN)
            || flow.ends.iter().all(|end| end.state.is_done())
    }
}
