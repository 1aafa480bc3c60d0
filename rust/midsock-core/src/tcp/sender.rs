//! The sender's step: it sent this segment, so it must have been in a state to send it.

use super::{Arrival, Changes, Connection, Details, Endpoint, Flags, Marks, Scale, Seq, State, arrival};
use crate::wire::options::{self, Cookie, Options};
use crate::wire::{Segment, TcpFlags};
use crate::{Nanos, Side};

/// The scale of windows whose handshake was not seen: the largest there is (RFC 7323, section 2.2), since a window
/// taken too large loses nothing.
const UNKNOWN_SHIFT: u8 = 14;

/// Moves the endpoint `sender`, which sent a plain segment (see [`Arrival::plain`]).
#[inline]
pub fn step_plain(sender: &mut Endpoint, details: &mut Details, segment: &Segment, frame: &[u8], now: Nanos) {
    if sender.scale.is_stamped()
        && let Some(stamp) = arrival::options::usual_timestamp(segment, frame)
    {
        details.recent = stamp;
    }
    if segment.length > 0 {
        sender.next = Seq(segment.seq).plus(segment.length);
        if !sender.flags.any(Flags::TIMING) {
            time(sender, details, segment, frame, now);
        }
    }
}

/// Moves the endpoint of `side`, which sent the segment. Rejected segments must not come here.
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
        let (sender, details) = connection.end(side);
        step_plain(sender, details, segment, frame, now);
        return Changes::default();
    }
    step_in_full(connection, side, segment, frame, arrival, now)
}

fn step_in_full(
    connection: &mut Connection<'_>,
    side: Side,
    segment: &Segment,
    frame: &[u8],
    arrival: &Arrival,
    now: Nanos,
) -> Changes {
    let mut changes = Changes::default();
    let flags = segment.flags;
    if flags.contains(TcpFlags::RST) {
        changes.enter(connection.ends, side, State::Closed);
        return changes;
    }
    if connection.ends[side.index()].flags.any(Flags::UNTRACKED) {
        return changes;
    }
    let is_syn = flags.contains(TcpFlags::SYN);
    let is_first = !connection.ends[side.index()].flags.any(Flags::SEEN);
    if is_first {
        begin(connection, side, segment, frame);
    }
    if is_syn {
        let offered = options::parse(segment.options(frame));
        if !connection.ends[side.index()].flags.any(Flags::SYN) {
            learn(connection, side, segment, &offered);
        }
        mark(&mut connection.details[side.index()].marks, segment, offered.fast_open);
    }
    let sender = &mut connection.ends[side.index()];
    let details = &mut connection.details[side.index()];
    if sender.scale.is_stamped()
        && Seq(segment.seq).since(sender.head) <= 0
        && let Some((stamp, _)) = options::timestamps(segment.options(frame))
        && (stamp.wrapping_sub(details.recent).cast_signed() > 0 || details.recent == 0 || arrival.is_late)
    {
        details.recent = stamp;
    }
    let end = Seq(segment.seq).plus(segment.sequence_length());
    // A first SYN brings nothing beyond `next`, which starts behind it, but is the first to be timed.
    if end.after(sender.next) || is_first && is_syn {
        sender.next = end;
        if !sender.flags.any(Flags::TIMING) {
            time(sender, details, segment, frame, now);
        }
    } else if arrival.rexmit.is_some() && sender.flags.any(Flags::TIMING) && details.rtt.repeat() {
        sender.flags.clear(Flags::TIMING);
    }
    let state = sender.state;
    if is_syn {
        match (state, flags.contains(TcpFlags::ACK)) {
            (State::Closed | State::Listen, false) => changes.enter(connection.ends, side, State::SynSent),
            (State::Closed | State::Listen | State::SynSent, true) => {
                changes.enter(connection.ends, side, State::SynReceived);
            }
            _ => {}
        }
        return changes;
    }
    if matches!(state, State::Closed | State::Listen | State::SynSent) && !sender.flags.any(Flags::FIN) {
        // It could not send this without the other end's SYN, which the capture lacks.
        changes.enter(connection.ends, side, State::Established);
    }
    if flags.contains(TcpFlags::FIN) {
        let sender = &mut connection.ends[side.index()];
        if !sender.flags.any(Flags::FIN) {
            sender.flags.set(Flags::FIN);
            connection.details[side.index()].fin = end.minus(1);
        }
        match sender.state {
            State::Established | State::SynReceived => {
                changes.enter(connection.ends, side, State::FinWait1);
            }
            State::CloseWait => changes.enter(connection.ends, side, State::LastAck),
            _ => {}
        }
    }
    changes
}

/// The first segment of a side: where its stream begins.
fn begin(connection: &mut Connection<'_>, side: Side, segment: &Segment, frame: &[u8]) {
    let first = Seq(segment.seq).plus(u32::from(segment.flags.contains(TcpFlags::SYN)));
    let (sender, details) = (&mut connection.ends[side.index()], &mut connection.details[side.index()]);
    sender.flags.set(Flags::SEEN);
    // Of a side that was not tracked for a while, the stream goes on where it was; of a new one, that is 0.
    details.start(first, details.offset(sender.head));
    (sender.head, sender.next) = (first, first);
    let stamp = options::timestamps(segment.options(frame));
    details.timestamps = stamp.is_some();
    details.recent = stamp.map_or(0, |(value, _)| value);
    agree(connection);
}

/// What a SYN or SYN/ACK tells of the handshake.
fn mark(marks: &mut Marks, segment: &Segment, fast_open: Option<Cookie>) {
    let is_answer = segment.flags.is_syn_ack();
    marks.set(if is_answer { Marks::SYN_ACK } else { Marks::SYN });
    if !is_answer && segment.length > 0 {
        marks.set(Marks::SYN_DATA);
    }
    match fast_open {
        Some(cookie) if !is_answer && cookie.length > 0 => marks.set(Marks::COOKIE),
        Some(_) => marks.set(Marks::FAST_OPEN),
        None => {}
    }
}

/// The SYN of a side: its first sequence number and what it offers.
fn learn(connection: &mut Connection<'_>, side: Side, segment: &Segment, offered: &Options) {
    connection.ends[side.index()].flags.set(Flags::SYN);
    let details = &mut connection.details[side.index()];
    details.isn = Seq(segment.seq);
    details.mss = offered.mss.unwrap_or(0);
    details.scale = offered.window_scale;
    details.sack_permitted = offered.sack_permitted;
    details.timestamps = offered.timestamps.is_some();
    agree(connection);
}

/// Windows are scaled, and segments bear timestamps, only if both SYNs offered it (RFC 7323, sections 2.2 and 3.2). Where
/// one SYN was not seen, the other's offer is taken to have been accepted; of timestamps, its first segment says more.
fn agree(connection: &mut Connection<'_>) {
    let offers = |side: Side| {
        let is_known = connection.ends[side.index()].flags.any(Flags::SYN);
        if is_known { connection.details[side.index()].scale } else { Some(UNKNOWN_SHIFT) }
    };
    let shifts = match (offers(Side::Client), offers(Side::Server)) {
        (Some(client), Some(server)) => [client, server],
        _ => [0, 0],
    };
    let stamps = |side: Side| {
        !connection.ends[side.index()].flags.any(Flags::SEEN) || connection.details[side.index()].timestamps
    };
    let is_stamped = stamps(Side::Client) && stamps(Side::Server);
    for side in Side::BOTH {
        connection.ends[side.index()].scale = Scale::new(shifts[side.index()], is_stamped);
    }
}

/// Begins to time a segment that carries something new.
fn time(sender: &mut Endpoint, details: &mut Details, segment: &Segment, frame: &[u8], now: Nanos) {
    let timestamp = if details.timestamps { options::timestamps(segment.options(frame)) } else { None };
    let end = Seq(segment.seq).plus(segment.sequence_length());
    details.rtt.begin(now, end, timestamp.map(|(value, _)| value));
    sender.flags.set(Flags::TIMING);
}
