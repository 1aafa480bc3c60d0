//! What only many packets together are: floods and storms, and connections that come in each other's place.

use super::Engine;
use crate::flow::{EndReason, Flow, FlowExtra};
use crate::tcp::{Arrival, Flags, Probe, RexmitKind, Seq};
use crate::wire::{Segment, TcpFlags};
use crate::{Anomalies, Anomaly, Side};

/// SYN/ACKs that nothing answers: no common system sends more than six (Linux's `tcp_synack_retries` is 5).
const SYN_ACKS: u32 = 8;

/// SYNs with differing numbers for one tuple, none of which is answered.
const SYNS: u8 = 10;

/// FINs or RSTs of one side: more than any window has segments that a closed end would answer.
const STORM: u32 = 1_000;

/// Useless acknowledgements of one side in a row.
const IDLE_ACKS: u16 = 50;

/// Packets of one side, none of the other's seen, after which the two directions must take different ways.
const ONE_SIDED: u64 = 8;

/// What a new connection has of the one in whose place it comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inheritance {
    /// What is to be told of its first packet.
    pub(super) anomalies: Anomalies,
    /// Attempts before it, none of which was answered.
    pub(super) attempts: u8,
}

/// Adds what a segment of `side` is by those before it, and keeps count.
pub(super) fn note<U>(
    flow: &Flow,
    extra: &mut FlowExtra<U>,
    side: Side,
    segment: &Segment,
    arrival: &mut Arrival,
) {
    if flow.packets[side.index()] == ONE_SIDED
        && flow.packets[side.other().index()] == 0
        && segment.flags.contains(TcpFlags::ACK)
        && !segment.flags.contains(TcpFlags::SYN)
    {
        arrival.anomalies.add(Anomaly::OneSided);
    }
    if arrival.anomalies.contains(Anomaly::OneSided) && count(extra, Anomaly::OneSided) > 0 {
        // Once is enough.
        arrival.anomalies.remove(Anomaly::OneSided);
    }
    let details = &mut extra.details[side.index()];
    if segment.flags.contains(TcpFlags::RST) {
        details.resets = details.resets.saturating_add(1);
        if u32::from(details.resets).is_multiple_of(STORM) {
            arrival.anomalies.add(Anomaly::RstStorm);
        }
    }
    if is_useless(flow, side, segment, arrival) {
        let now = flow.packets[side.index()] as u16;
        let (count, last) = details.idle_acks;
        // Those in a row only, but for a packet between.
        let count = if now.wrapping_sub(last) <= 2 { count.saturating_add(1) } else { 1 };
        details.idle_acks = (count, now);
        if count.is_multiple_of(IDLE_ACKS) {
            arrival.anomalies.add(Anomaly::AckStorm);
        }
    }
    let Some(rexmit) = arrival.rexmit else { return };
    let before = extra.trouble.as_ref().map_or(0, |trouble| trouble.rexmits[side.index()].count(rexmit.kind));
    let (limit, anomaly) = match rexmit.kind {
        RexmitKind::Fin => (STORM, Anomaly::FinStorm),
        RexmitKind::SynAck if !flow.ends[side.other().index()].flags.any(Flags::FIN) => {
            (SYN_ACKS, Anomaly::SynAckFlood)
        }
        _ => return,
    };
    if before.saturating_add(1).is_multiple_of(limit) {
        arrival.anomalies.add(anomaly);
    }
}

/// How often an anomaly has occurred in a flow.
fn count<U>(extra: &FlowExtra<U>, anomaly: Anomaly) -> u32 {
    extra.trouble.as_ref().map_or(0, |trouble| trouble.anomalies.count(anomaly))
}

/// Whether it is an acknowledgement that tells nothing and fits nothing.
fn is_useless(flow: &Flow, side: Side, segment: &Segment, arrival: &Arrival) -> bool {
    let controls = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST;
    segment.length == 0
        && !segment.flags.intersects(controls)
        && !matches!(arrival.probe, Some(Probe::KeepAlive | Probe::Window))
        && (arrival.rejected || Seq(segment.seq).before(flow.ends[side.index()].next))
}

/// What a late segment of an ended flow is: whoever sent a RST sends nothing more, or sent none.
pub(super) fn after_end<U>(flow: &Flow, extra: &FlowExtra<U>, side: Side, segment: &Segment) -> Anomalies {
    let mut anomalies = Anomalies::default();
    let is_reset = flow.reason == Some(EndReason::Reset) && extra.details[side.index()].resets > 0;
    let end = Seq(segment.seq).plus(segment.sequence_length());
    let sender = &flow.ends[side.index()];
    let goes_on = !sender.flags.any(Flags::SEEN) || end.after(sender.next);
    if is_reset && !segment.flags.contains(TcpFlags::RST) && segment.sequence_length() > 0 && goes_on {
        anomalies.add(Anomaly::AfterReset);
        anomalies.add(Anomaly::SuspectedRstInjection);
    }
    anomalies
}

impl<U> Engine<U> {
    /// A SYN of `side` takes the place of a flow that has ended: what the new one is to know of it.
    pub(super) fn inherit(&mut self, place: u32, side: Side) {
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        let (sender, receiver) = (&flow.ends[side.index()], &flow.ends[side.other().index()]);
        let mut inheritance = Inheritance::default();
        if sender.flags.any(Flags::SYN) && !receiver.flags.any(Flags::SEEN) {
            inheritance.attempts = extra.details[side.index()].attempts.saturating_add(1);
            inheritance.anomalies.add(Anomaly::SynDifferentSeq);
            if inheritance.attempts.is_multiple_of(SYNS) {
                inheritance.anomalies.add(Anomaly::SynFlood);
            }
        } else if flow.reason.is_some_and(EndReason::lingers) {
            inheritance.anomalies.add(Anomaly::PortReuse);
        }
        self.current.inheritance = inheritance;
    }
}
