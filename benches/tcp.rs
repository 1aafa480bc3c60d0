//! The two state machines, without flows, streams or events.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use midsock_core::Side;
use midsock_core::port::LinkType;
use midsock_core::tcp::{Connection, Details, Endpoint, Seq, State, arrival, receiver, sender};
use midsock_core::wire::{self, Outcome, Segment};

/// Takes the segments through both machines, as if every stream were read at once; returns the states at the end.
fn converse(segments: &[(Side, Segment, Vec<u8>)]) -> [State; 2] {
    let mut ends = [Endpoint::default(), Endpoint { state: State::Listen, ..Endpoint::default() }];
    let mut details: [Details; 2] = Default::default();
    for (side, segment, frame) in segments {
        let judged = arrival::judge(&ends, &details, *side, segment, frame, 0);
        let mut connection = Connection { ends: &mut ends, details: &mut details };
        sender::step(&mut connection, *side, segment, frame, &judged, 0);
        let mut changes = receiver::step(&mut connection, *side, segment, frame, &judged, 0);
        let end = &mut connection.ends[side.index()];
        if segment.length > 0 {
            end.head = Seq(segment.seq).plus(segment.length);
        }
        if !judged.plain {
            for side in Side::BOTH {
                receiver::finish(&mut connection, side, &mut changes);
            }
        }
    }
    ends.map(|end| end.state)
}

fn tcp(c: &mut Criterion) {
    let mut group = c.benchmark_group("tcp");
    for segments in [0, 8, 1_000] {
        let decoded: Vec<_> = workload::connection(0, segments)
            .into_iter()
            .map(|frame| {
                let mut segment = Segment::default();
                let outcome = wire::decode(&frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
                assert_eq!(outcome, Outcome::Tcp);
                let side = if segment.source_port(&frame) == 80 { Side::Server } else { Side::Client };
                (side, segment, frame)
            })
            .collect();
        assert!(converse(&decoded).into_iter().all(State::is_done));
        group.throughput(Throughput::Elements(decoded.len() as u64));
        group.bench_function(format!("a response of {segments} segments"), |b| {
            b.iter(|| converse(black_box(&decoded)));
        });
    }
}

criterion_group!(benches, tcp);
criterion_main!(benches);
