//! Whole conversations through the stack, with the exact list of events that they come to.

mod content;
mod emergency;
mod end;
mod events;
mod fragments;
mod handshake;
mod hostile;
mod inline;
mod overlap;
mod random;
mod reuse;
mod stream;
mod talk;
mod urgent;

use std::fmt::Write as _;

use self::talk::Talk;
use super::*;
use crate::event::{Action, Field, HandlerId, MonitorId, MonitorKind, Registration, StreamSettings, Value};
use crate::port::{Frame, MemoryPort};
use crate::scope::Scope;
use crate::tcp::State;

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;

/// The application: it writes a line per upcall and then does as the test says.
struct Log<'a> {
    lines: Vec<String>,
    act: Act<'a>,
}

/// What a test does when it is called.
type Act<'a> = &'a dyn Fn(&mut Stack<u32>, &Upcall, &mut Vec<String>);

/// An event as a line of text.
fn line(stack: &Stack<u32>, upcall: &Upcall) -> String {
    let Event { kind, hook, side, detail, .. } = upcall.event;
    let mut line = String::new();
    match upcall.call {
        Call::Handler(HandlerId(number)) | Call::Once(HandlerId(number)) if number > 0 => {
            write!(line, "h{number} ").unwrap();
        }
        _ => {}
    }
    match upcall.flow.map_or(0, |flow| flow.number) {
        0 => {}
        number => write!(line, "#{number} ").unwrap(),
    }
    if hook != Hook::PostTcp {
        write!(line, "{} ", hook.name()).unwrap();
    }
    line += kind.name().trim_start_matches("ON_").trim_start_matches("CONN_").trim_start_matches("TCP_");
    match detail {
        EventDetail::None => write!(line, " {side}"),
        EventDetail::StateChange(old, new) => write!(line, " {side} {old} > {new}"),
        EventDetail::Bytes { offset, length } if kind == Kind::NewData => {
            write!(line, " {side} {offset}+{length} {}", stack.data(upcall).escape_ascii())
        }
        EventDetail::Bytes { offset, length } => write!(line, " {side} {offset}+{length}"),
        EventDetail::Rexmit(rexmit) => {
            let partial = if rexmit.partial { " partial" } else { "" };
            write!(line, " {side} {} {}{partial}", rexmit.kind.name(), rexmit.repeated)
        }
        EventDetail::End(reason) => write!(line, " {}", reason.name()),
        EventDetail::Anomaly(anomaly) => write!(line, " {side} {}", anomaly.name()),
        EventDetail::Conflict { offset, length, .. } => {
            write!(line, " {side} different_content {offset}+{length} ").unwrap();
            let new = stack.data(upcall).escape_ascii();
            let old = |value: Option<Value<'_>>| match value {
                Some(Value::Bytes(old)) => format!("{} > {new}", old.escape_ascii()),
                _ => String::new(),
            };
            line += &stack.field(upcall, Field::OldData, old);
            Ok(())
        }
        EventDetail::Timer(token) => write!(line, " {token}"),
    }
    .unwrap();
    line
}

impl Application for Log<'_> {
    type User = u32;

    fn on_event(&mut self, stack: &mut Stack<u32>, _: HandlerId, upcall: &Upcall) {
        self.lines.push(line(stack, upcall));
        (self.act)(stack, upcall, &mut self.lines);
    }

    /// Filters by number: 0 never passes, 1 always does.
    fn filter(&mut self, stack: &mut Stack<u32>, number: u32, upcall: &Upcall) -> bool {
        self.lines.push(format!("filter {number}? {}", line(stack, upcall)));
        number == 1
    }
}

/// Reads what its event is about: up to the next gap.
fn read_all(stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>) {
    if let (Kind::NewData, Some(flow)) = (upcall.event.kind, upcall.flow) {
        let _ = stack.read(flow, upcall.event.side, usize::MAX, |_| ());
    }
}

fn leave_unread(_: &mut Stack<u32>, _: &Upcall, _: &mut Vec<String>) {}

fn wish(kind: Kind, hook: Hook, handler: u32) -> Registration {
    Registration { event: kind.into(), hook, side: None, action: Action::Call(HandlerId(handler)) }
}

/// What a test runs its packets through.
struct Bench<'a> {
    config: Config,
    scope: &'a str,
    settings: StreamSettings,
    /// Handled at `POST_TCP`.
    kinds: &'a [Kind],
    act: Act<'a>,
    prepare: &'a dyn Fn(&mut Stack<u32>, MonitorId),
}

/// What the packets came to.
#[derive(Debug, PartialEq)]
struct Result {
    lines: Vec<String>,
    /// The records, in the order in which the stack handed them over, as text.
    records: Vec<String>,
    statistics: Statistics,
}

/// What most tests want to see: all that happens to a connection but its state changes.
const USUAL: &[Kind] = &[
    Kind::ConnStart,
    Kind::ConnSetup,
    Kind::NewData,
    Kind::Gap,
    Kind::Rexmit,
    Kind::ConnEnd,
    Kind::Orphan,
    Kind::Anomaly,
];

impl Default for Bench<'_> {
    fn default() -> Self {
        Bench {
            config: Config { seed: Some(1), records: true, ..Config::default() },
            scope: "",
            settings: StreamSettings::default(),
            kinds: USUAL,
            act: &read_all,
            prepare: &|_, _| {},
        }
    }
}

impl Bench<'_> {
    fn open(&self, frames: &[Frame], burst: usize) -> Stack<u32> {
        let port = MemoryPort::new(frames.iter().cloned()).with_burst(burst);
        let mut stack = Stack::new(Box::new(port), self.config.clone()).unwrap();
        let scope = if self.scope.is_empty() { Scope::any() } else { Scope::parse(self.scope).unwrap() };
        let monitor = stack.open(MonitorKind::Stream, scope, self.settings);
        for kind in self.kinds {
            stack.register(monitor, wish(*kind, Hook::PostTcp, 0)).unwrap();
        }
        (self.prepare)(&mut stack, monitor);
        stack
    }

    /// Runs the packets in bursts of several sizes: what comes of them must not depend on that.
    fn run(&self, frames: &[Frame]) -> (Result, Vec<FlowRecord>) {
        let mut results = [256, 1, 2, 7].map(|burst| {
            let mut stack = self.open(frames, burst);
            let mut log = Log { lines: Vec::new(), act: self.act };
            stack.run(&mut log).unwrap();
            assert_eq!(stack.statistics().reassembly, 0, "bytes are left over");
            assert_eq!(stack.flow_statistics().open, 0, "flows are left over");
            let records = stack.take_records();
            let texts = records.iter().map(|record| format!("{record:?}")).collect();
            (Result { lines: log.lines, records: texts, statistics: stack.statistics() }, records)
        });
        for other in &results[1..] {
            assert_eq!(results[0].0, other.0);
        }
        std::mem::replace(
            &mut results[0],
            (Result { lines: vec![], records: vec![], statistics: Statistics::default() }, vec![]),
        )
    }

    /// Runs the packets, and expects just these lines.
    fn expect(&self, talk: &Talk, lines: &[&str]) -> Vec<FlowRecord> {
        let (result, records) = self.run(&talk.frames);
        assert_eq!(result.lines, lines, "\n{}\n", result.lines.join("\n"));
        records
    }
}

fn expect(talk: &Talk, lines: &[&str]) -> Vec<FlowRecord> {
    Bench::default().expect(talk, lines)
}

fn anomalies(record: &FlowRecord) -> Vec<(&'static str, u32)> {
    record.anomalies.iter().map(|(anomaly, count)| (anomaly.name(), *count)).collect()
}
