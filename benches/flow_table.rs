//! Looking flows up, and opening them.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use midsock_core::flow::{Flow, FlowTable, HashKey, Key};

fn keys(count: u32) -> Vec<Key> {
    let server = SocketAddr::from(([192, 0, 2, 1], 80));
    (0..count)
        .map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            Key::between(SocketAddr::from(([10, a, b, c], 40_000)), server, [0; 2]).0
        })
        .collect()
}

fn filled(keys: &[Key]) -> FlowTable<()> {
    let mut table = FlowTable::new(HashKey::from_seed(1), keys.len() as u64);
    for key in keys {
        let hash = table.hash(key);
        table.insert(hash, Flow { key: *key, ..Flow::default() }, 0, 1_000_000_000);
    }
    table
}

/// Look-ups in an order that no cache foresees. The tuples looked up lie in memory as well, and so are part of the cost;
/// consecutive look-ups do not depend on each other, so the processor may overlap them.
fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow_table/find");
    for flows in [1_000, 100_000, 1_000_000] {
        let keys = keys(flows);
        let table = filled(&keys);
        let mut at = 0_usize;
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{flows} flows"), |b| {
            b.iter(|| {
                // A full period over the keys: the step is prime to their number.
                at = (at + 611_953) % keys.len();
                let key = &keys[at];
                black_box(table.find(key, table.hash(key)))
            });
        });
    }
}

fn insert(c: &mut Criterion) {
    let keys = keys(10_000);
    let mut group = c.benchmark_group("flow_table");
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("insert 10000", |b| {
        b.iter_batched_ref(|| (), |()| filled(&keys), BatchSize::PerIteration);
    });
}

fn hash(c: &mut Criterion) {
    let key = keys(1)[0];
    let secret = HashKey::from_seed(1);
    c.bench_function("flow_table/hash", |b| b.iter(|| secret.hash(black_box(&key))));
}

criterion_group!(benches, hash, find, insert);
criterion_main!(benches);
