//! The whole stack, from a port to counters and columns, on one core.
//!
//! Without anything set it works on connections in memory. With `MIDSOCK_CAPTURE=PATH` it works on that capture file
//! as well: best one of a gigabyte in memory (tmpfs), to be compared with the same file's rate in other programs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use midsock_core::event::{
    Action, BatchSpec, EventId, Expr, Field, Filter, HandlerId, Hook, Kind, MonitorKind, Registration,
    StreamSettings,
};
use midsock_core::port::{self, Frame, MemoryPort, Port};
use midsock_core::scope::Scope;
use midsock_core::{Application, Config, Stack, Upcall};

/// What the stack is asked for.
#[derive(Clone, Copy)]
enum Ask {
    /// How many flows there are.
    CountFlows,
    /// The bytes of both sides in order, each segment of them looked at.
    Reassemble,
    /// A row per flow, side and burst with new data.
    Columns,
    /// Every kind of event, counted.
    CountAll,
}

const ASKED: [(&str, Ask); 4] = [
    ("count flows", Ask::CountFlows),
    ("reassemble", Ask::Reassemble),
    ("columns of new data", Ask::Columns),
    ("count every event", Ask::CountAll),
];

/// Lets batches go.
struct Nothing;

impl Application for Nothing {
    type User = ();

    fn on_event(&mut self, _: &mut Stack<()>, _: HandlerId, _: &Upcall) {}
}

/// A stack with its wishes set.
fn stack(port: Box<dyn Port>, ask: Ask) -> Stack<()> {
    let mut stack = Stack::new(port, Config { seed: Some(1), ..Config::default() }).expect("a seed is given");
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    let wishes: Vec<(EventId, Action)> = match ask {
        Ask::CountFlows => vec![(Kind::ConnStart.into(), Action::Count(stack.add_count(None)))],
        Ask::Reassemble => {
            let pattern = Expr::starts_with(Field::Data, b"zzz".to_vec()).expect("a field of bytes");
            let event = stack.define(Some(Kind::NewData.into()), Filter::Expr(Arc::new(pattern)));
            vec![(event, Action::Count(stack.add_count(None)))]
        }
        Ask::Columns => {
            let columns = vec![
                Field::FlowNumber,
                Field::EventSide,
                Field::EventTime,
                Field::EventOffset,
                Field::EventLength,
            ];
            let batch = stack.add_batch(BatchSpec { columns, size: 4096 }, true);
            vec![(Kind::NewData.into(), Action::Batch(batch))]
        }
        Ask::CountAll => [
            Kind::PktIn,
            Kind::ConnStart,
            Kind::ConnSetup,
            Kind::StateChange,
            Kind::NewData,
            Kind::Gap,
            Kind::Rexmit,
            Kind::ConnEnd,
            Kind::Anomaly,
        ]
        .map(|kind| (kind.into(), Action::Count(stack.add_count(None))))
        .into(),
    };
    for (event, action) in wishes {
        let wish = Registration { event, hook: Hook::PostTcp, side: None, action };
        stack.register(monitor, wish).expect("every event has this hook");
    }
    stack
}

fn run(mut stack: Stack<()>) -> Stack<()> {
    stack.run(&mut Nothing).expect("a source that can be read");
    // Handed back, so that letting go of it is not measured.
    stack
}

fn in_memory(c: &mut Criterion) {
    for (workload, connections, segments) in [("short", 8_192, 6), ("long", 256, 1_000)] {
        let frames: Vec<Frame> = workload::connections(connections, segments);
        let mut group = c.benchmark_group(format!("stack/{workload} connections"));
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.sample_size(20).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(8));
        for (name, ask) in ASKED {
            group.bench_function(name, |b| {
                let ready = || stack(Box::new(MemoryPort::new(frames.iter().cloned())), ask);
                b.iter_batched(ready, run, BatchSize::PerIteration);
            });
        }
    }
}

fn capture(c: &mut Criterion) {
    let Some(path) = std::env::var_os("MIDSOCK_CAPTURE") else { return };
    let path = path.to_str().expect("a path in UTF-8");
    let ready = |ask| stack(port::open(path).expect("a capture file"), ask);
    let packets = run(ready(Ask::CountFlows)).port().statistics().received;
    let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
    let mut group = c.benchmark_group(format!("stack/{name}"));
    group.throughput(Throughput::Elements(packets));
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(8));
    for (name, ask) in ASKED {
        group.bench_function(name, |b| b.iter_batched(|| ready(ask), run, BatchSize::PerIteration));
    }
}

criterion_group!(benches, in_memory, capture);
criterion_main!(benches);
