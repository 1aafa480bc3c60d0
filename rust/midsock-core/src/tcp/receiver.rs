//! The receiver's step: the other end takes the segment in.

use super::{Arrival, Changes, Connection, Details, Endpoint, Flags, Scale, Seq, State};
use crate::wire::{Segment, TcpFlags, options};
use crate::{Nanos, Side};

/// Moves the endpoint `receiver`, which receives a plain segment (see [`Arrival::plain`]) from an end with this
/// `scale`.
#[inline]
pub fn step_plain(
    receiver: &mut Endpoint,
    details: &mut Details,
    scale: Scale,
    segment: &Segment,
    frame: &[u8],
    now: Nanos,
) {
    receiver.acked = Seq(segment.ack);
    receiver.edge = Seq(segment.ack).plus(scale.window(segment.window));
    if receiver.flags.any(Flags::TIMING) {
        end_timing(receiver, details, segment, frame, now);
    }
}

/// Moves the endpoint that receives a segment of `side`: what the segment acknowledges, and its SYN or RST. Rejected
/// segments must not come here.
#[inline]
pub fn step(
    connection: &mut Connection<'_>,
    side: Side,
    segment: &Segment,
    frame: &[u8],
    arrival: &Arrival,
    now: Nanos,
) -> Changes {
    if arrival.plain {
        let scale = connection.ends[side.index()].scale;
        let (receiver, details) = connection.end(side.other());
        step_plain(receiver, details, scale, segment, frame, now);
        return Changes::default();
    }
    step_in_full(connection, side, segment, frame, now)
}

fn step_in_full(
    connection: &mut Connection<'_>,
    side: Side,
    segment: &Segment,
    frame: &[u8],
    now: Nanos,
) -> Changes {
    let mut changes = Changes::default();
    let (flags, other) = (segment.flags, side.other());
    if flags.contains(TcpFlags::RST) {
        changes.enter(connection.ends, other, State::Closed);
        return changes;
    }
    if connection.ends[other.index()].flags.any(Flags::UNTRACKED) {
        return changes;
    }
    let is_syn = flags.contains(TcpFlags::SYN);
    if flags.contains(TcpFlags::ACK) {
        let scale = if is_syn { Scale::default() } else { connection.ends[side.index()].scale };
        acknowledge(&mut connection.ends[other.index()], segment, scale);
        if connection.ends[other.index()].flags.any(Flags::TIMING) {
            let (receiver, details) = connection.end(other);
            end_timing(receiver, details, segment, frame, now);
        }
    }
    let receiver = &connection.ends[other.index()];
    let is_syn_acked = receiver.flags.any(Flags::ACKED)
        && receiver.acked.after(connection.details[other.index()].isn)
        || !receiver.flags.any(Flags::SYN);
    if is_syn {
        match receiver.state {
            State::SynSent if flags.contains(TcpFlags::ACK) => {
                changes.enter(connection.ends, other, State::Established);
            }
            State::Closed | State::Listen | State::SynSent => {
                changes.enter(connection.ends, other, State::SynReceived);
            }
            // A simultaneous open: the SYN/ACK acknowledges this end's own SYN.
            State::SynReceived if flags.contains(TcpFlags::ACK) && is_syn_acked => {
                changes.enter(connection.ends, other, State::Established);
            }
            _ => {}
        }
        return changes;
    }
    let is_fin_acked = receiver.is_fin_acked(connection.details[other.index()].fin);
    match receiver.state {
        State::SynReceived if is_syn_acked => changes.enter(connection.ends, other, State::Established),
        // What it receives from an established end acknowledges its SYN, though the capture lacks that. Past its FIN, it
        // is closed for good.
        State::Closed | State::Listen if !receiver.flags.any(Flags::FIN) => {
            changes.enter(connection.ends, other, State::Established);
        }
        State::FinWait1 if is_fin_acked => changes.enter(connection.ends, other, State::FinWait2),
        State::Closing if is_fin_acked => changes.enter(connection.ends, other, State::TimeWait),
        State::LastAck if is_fin_acked => changes.enter(connection.ends, other, State::Closed),
        _ => {}
    }
    changes
}

/// Takes in an acknowledgement and the window that came with it.
fn acknowledge(receiver: &mut Endpoint, segment: &Segment, scale: Scale) {
    let ack = Seq(segment.ack);
    let is_newer = !receiver.flags.any(Flags::ACKED) || ack.since(receiver.acked) >= 0;
    if is_newer {
        receiver.acked = ack;
        receiver.edge = ack.plus(scale.window(segment.window));
        receiver.flags.set(Flags::ACKED);
        if receiver.flags.any(Flags::SEEN) && ack.after(receiver.next) {
            receiver.next = ack;
        }
    }
}

fn end_timing(receiver: &mut Endpoint, details: &mut Details, segment: &Segment, frame: &[u8], now: Nanos) {
    let echo = if details.timestamps { options::timestamps(segment.options(frame)) } else { None };
    if details.rtt.acknowledge(now, Seq(segment.ack), echo.map(|(_, echo)| echo)) {
        receiver.flags.clear(Flags::TIMING);
    }
}

/// Moves the end that receives from `side` past that side's FIN, once every byte before it is there.
pub fn finish(connection: &mut Connection<'_>, side: Side, changes: &mut Changes) {
    let sender = &mut connection.ends[side.index()];
    if !sender.flags.any(Flags::FIN)
        || sender.flags.any(Flags::FIN_RECEIVED)
        || sender.head != connection.details[side.index()].fin
    {
        return;
    }
    sender.flags.set(Flags::FIN_RECEIVED);
    match connection.ends[side.other().index()].state {
        State::SynReceived | State::Established => {
            changes.enter(connection.ends, side.other(), State::CloseWait);
        }
        State::FinWait1 => changes.enter(connection.ends, side.other(), State::Closing),
        State::FinWait2 => changes.enter(connection.ends, side.other(), State::TimeWait),
        _ => {}
    }
}
