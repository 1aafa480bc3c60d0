//! From bytes to layers, and the checksum.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use midsock_core::port::LinkType;
use midsock_core::wire::{self, Checksum, Outcome, Segment, TcpFlags, TcpFrame, checksum};

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = (SocketAddr::from(([10, 0, 0, 1], 40_000)), SocketAddr::from(([192, 0, 2, 1], 80)));
    let v6 = (
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 1], 40_000)),
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 2], 80)),
    );
    let payload = [b'x'; 1448];
    let frame = |(source, destination)| TcpFrame::new(source, destination).flags(TcpFlags::ACK);
    vec![
        ("ack", frame(v4).build()),
        ("full", frame(v4).payload(&payload).build()),
        ("full, ipv6", frame(v6).payload(&payload).build()),
        ("full, two vlan tags", frame(v4).vlan(&[10, 20]).payload(&payload).build()),
        ("full, ip options", frame(v4).ip_options(&[1; 4]).payload(&payload).build()),
    ]
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (name, frame) in frames() {
        let mut segment = Segment::default();
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |b| {
            b.iter(|| {
                wire::decode(
                    black_box(&frame),
                    LinkType::Ethernet,
                    frame.len() as u32,
                    black_box(&mut segment),
                )
            });
        });
    }
}

/// What the stack asks of a frame's checksums: the quick way, and the long one for what that does not take.
fn is_right(frame: &[u8], segment: &Segment) -> bool {
    checksum::are_right(frame, segment)
        || checksum::verify_tcp(frame, segment) == Checksum::Good
            && checksum::verify_ipv4_header(frame, segment) == Checksum::Good
}

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for (name, frame) in frames() {
        let mut segment = Segment::default();
        let outcome = wire::decode(&frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
        assert_eq!(outcome, Outcome::Tcp);
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |b| {
            // A way out before the sum would look like speed.
            assert!(is_right(&frame, &segment));
            b.iter(|| is_right(black_box(&frame), black_box(&segment)));
        });
    }
}

fn burst(c: &mut Criterion) {
    let frames = workload::connection(0, 8);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("a connection", |b| {
        b.iter(|| {
            let mut segment = Segment::default();
            for frame in &frames {
                black_box(wire::decode(frame, LinkType::Ethernet, frame.len() as u32, &mut segment));
            }
        });
    });
}

criterion_group!(benches, decode, verify, burst);
criterion_main!(benches);
