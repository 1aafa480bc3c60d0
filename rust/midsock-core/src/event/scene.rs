//! What a filter and a column can look at.

use super::Event;
use crate::Side;
use crate::flow::{Flow, FlowExtra, History, Trouble};
use crate::port::Packet;
use crate::tcp::Details;
use crate::wire::Segment;

/// One event with its packet and its flow, as far as there are any.
#[derive(Clone, Copy)]
pub struct Scene<'s> {
    /// What happened.
    pub event: &'s Event,
    /// The packet's record; none for what time brings about.
    pub packet: Option<&'s Packet>,
    /// Which of the stack's ports received it.
    pub port: u8,
    /// The packet's frame; empty if there is no packet.
    pub frame: &'s [u8],
    /// The TCP segment in it.
    pub segment: Option<&'s Segment>,
    /// Who sent the packet; the event's side if there is no packet.
    pub sender: Side,
    /// The flow.
    pub flow: Option<FlowView<'s>>,
    /// The bytes that became readable, for [`Kind::NewData`](super::Kind::NewData); of different content, those that came
    /// now.
    pub data: &'s [u8],
    /// Of different content, the bytes that were there before.
    pub old: &'s [u8],
}

/// A flow, whatever the application keeps with it.
#[derive(Clone, Copy)]
pub struct FlowView<'s> {
    /// What every packet touches.
    pub flow: &'s Flow,
    /// The flow's number.
    pub number: u64,
    /// When its first packet came.
    pub start: crate::Nanos,
    /// What few packets ask of client and server.
    pub details: &'s [Details; 2],
    /// Irregularities.
    pub trouble: Option<&'s Trouble>,
    /// What it went through, in Zeek's notation.
    pub history: &'s History,
}

impl<'s> FlowView<'s> {
    /// The view of a flow.
    pub fn new<U>(flow: &'s Flow, extra: &'s FlowExtra<U>) -> FlowView<'s> {
        FlowView {
            flow,
            number: extra.number,
            start: extra.start,
            details: &extra.details,
            trouble: extra.trouble.as_deref(),
            history: &extra.history,
        }
    }
}
