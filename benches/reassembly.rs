//! Ranges beyond a hole, and bytes that wait to be read.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use midsock_core::reassembly::{Assembler, Backlog, Overlap};

const SEGMENT: u64 = 1448;
const SEGMENTS: u64 = 64;

/// Takes in all segments but the first in the order that `place` gives, then hands all of them on.
fn fill(assembler: &mut Assembler, bytes: &[u8], place: impl Fn(u64) -> u64) -> u64 {
    for i in 0..SEGMENTS {
        assembler.insert((1 + place(i)) * SEGMENT, SEGMENT, bytes, Overlap::First);
    }
    let mut head = SEGMENT;
    while let Some((_, run)) = assembler.pop(head) {
        head += run.length;
    }
    head
}

fn assembler(c: &mut Criterion) {
    let bytes = [b'x'; SEGMENT as usize];
    let mut group = c.benchmark_group("reassembly/hold 64 segments");
    group.throughput(Throughput::Bytes(SEGMENTS * SEGMENT));
    let mut bench = |name: &str, place: fn(u64) -> u64| {
        let mut assembler = Assembler::default();
        assert_eq!(fill(&mut assembler, &bytes, place), (SEGMENTS + 1) * SEGMENT);
        group.bench_function(name, |b| b.iter(|| fill(&mut assembler, black_box(&bytes), place)));
    };
    bench("in order", |i| i);
    bench("backwards", |i| SEGMENTS - 1 - i);
    // 29 is prime to 64.
    bench("scattered", |i| i * 29 % SEGMENTS);
}

fn backlog(c: &mut Criterion) {
    let bytes = [b'x'; SEGMENT as usize];
    let mut group = c.benchmark_group("reassembly/backlog");
    group.throughput(Throughput::Bytes(SEGMENT));
    let (mut backlog, mut offset) = (Backlog::default(), 0);
    group.bench_function("push a segment, read it", |b| {
        b.iter(|| {
            backlog.push(offset, black_box(&bytes));
            offset += SEGMENT;
            let length = black_box(backlog.front(usize::MAX)).len() as u64;
            backlog.consume(length);
        });
    });
}

criterion_group!(benches, assembler, backlog);
criterion_main!(benches);
