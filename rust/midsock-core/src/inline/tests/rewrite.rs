use proptest::prelude::*;

use super::*;
use crate::event::{Field, Value};
use crate::inline::rewrite::{Delta, HeaderField, RewriteError, Target};
use crate::wire::Checksum;
use crate::wire::checksum::{self, fold, sum, verify_ipv4_header, verify_tcp};

fn set(frame: &mut [u8], field: HeaderField, value: Value<'_>) -> Result<(), RewriteError> {
    with_target(frame, |target| target.set(field, value))
}

#[test]
fn the_example_of_rfc_1624() {
    // Section 4: a checksum of 0xdd2f over a word that goes from 0x5555 to 0x3285 becomes 0x0000, not 0xffff.
    let delta = Delta::between(&[0x55, 0x55], &[0x32, 0x85]);
    assert_eq!(delta.mend(0xdd2f), 0x0000);
}

/// How far a sum over the whole is from being right: 0xffff if it is.
fn residual(frame: &[u8]) -> u16 {
    let (_, segment) = decoded(frame);
    let covered =
        &frame[usize::from(segment.transport)..][..usize::from(segment.payload - segment.transport)];
    let payload = segment.payload(frame);
    let pseudo = checksum::pseudo_header(
        segment.source(frame),
        segment.destination(frame),
        covered.len() as u32 + segment.length,
    );
    fold(pseudo + sum(covered) + sum(payload))
}

fn value(field: HeaderField, random: u64, is_v6: bool) -> Value<'static> {
    let address = |random: u64| {
        let v6 = std::net::IpAddr::from((u128::from(random) << 64 | u128::from(random ^ 0x4d)).to_be_bytes());
        if is_v6 { v6 } else { std::net::IpAddr::from((random as u32).to_be_bytes()) }
    };
    match field {
        HeaderField::EthSource | HeaderField::EthDestination => Value::Bytes(b"\x02abcde"),
        HeaderField::IpSource | HeaderField::IpDestination => Value::Ip(address(random)),
        HeaderField::Flag(_) => Value::Int(random & 1),
        HeaderField::VlanPriority => Value::Int(random & 7),
        HeaderField::IpEcn => Value::Int(random & 3),
        HeaderField::IpDscp => Value::Int(random & 0x3f),
        HeaderField::IpTtl | HeaderField::IpTos => Value::Int(random & 0xff),
        HeaderField::TcpFlags => Value::Int(random & 0x1ff),
        HeaderField::WindowScale => Value::Int(random % 15),
        HeaderField::Vlan | HeaderField::VlanInner => Value::Int(1 + random % 4095),
        HeaderField::Seq | HeaderField::AckSeq | HeaderField::TsVal | HeaderField::TsEcr => {
            Value::Int(random & 0xffff_ffff)
        }
        _ => Value::Int(random & 0xffff),
    }
}

proptest! {
    #[test]
    fn every_field_is_set_and_checksums_stay_as_they_were(
        is_v6 in any::<bool>(),
        is_bad in any::<bool>(),
        extended in any::<bool>(),
        odd in 0..2_usize,
        payload in proptest::collection::vec(any::<u8>(), 0..40),
        changes in proptest::collection::vec((0..31_usize, any::<u64>()), 1..12),
    ) {
        let extensions: &[(u8, &[u8])] = if extended { &[(60, &[1, 4, 0, 0, 0, 0])] } else { &[] };
        let options: &[u8] = if extended { &[1; 4] } else { &[] };
        let frame = if is_v6 { v6().extensions(extensions) } else { v4().ip_options(options) };
        // Options at an odd place, too.
        let nops = vec![1; odd];
        let frame = frame.vlan(&[0x2005, 7]).options(&nops).options(&[2, 4, 5, 180, 3, 3, 7, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        let frame = frame.payload(&payload).seq(0xffff_fff0).window(1);
        let mut frame = if is_bad { frame.bad_checksum() } else { frame }.build();
        let wrong = residual(&frame);
        let all: Vec<_> = HeaderField::all().collect();
        for (field, random) in changes {
            if is_bad && verify_tcp(&frame, &decoded(&frame).1) == Checksum::Partial {
                // By chance, the wrong checksum is one that offload leaves behind.
                break;
            }
            let field = all[field % all.len()];
            let value = value(field, random, is_v6);
            let result = set(&mut frame, field, value);
            if is_v6 && field == HeaderField::IpId {
                prop_assert_eq!(result, Err(RewriteError::Absent("ip.id")));
                continue;
            }
            prop_assert_eq!(result, Ok(()), "{:?}", field);
            let (outcome, segment) = decoded(&frame);
            prop_assert_eq!(outcome, Outcome::Tcp);
            prop_assert_eq!(verify_ipv4_header(&frame, &segment), Checksum::Good);
            let now = residual(&frame);
            prop_assert!(now == wrong || now % 0xffff == wrong % 0xffff, "{:?}", field);
            let is_good = verify_tcp(&frame, &segment) == Checksum::Good;
            prop_assert_eq!(is_good, !is_bad);
        }
    }

    #[test]
    fn an_offloaded_checksum_keeps_to_the_pseudo_header(port in any::<u16>(), address in any::<[u8; 4]>()) {
        for state in [ChecksumState::Partial, ChecksumState::Unknown] {
            let mut frame = v4().payload(b"offload").partial_checksum().build();
            let (outcome, segment) = decoded(&frame);
            let mut target =
                Target { frame: &mut frame, link: LinkType::Ethernet, outcome, segment: &segment, checksum: state };
            target.set(HeaderField::IpSource, Value::Ip(address.into())).unwrap();
            target.set(HeaderField::SourcePort, Value::Int(port.into())).unwrap();
            let (_, segment) = decoded(&frame);
            let pseudo =
                checksum::pseudo_header(segment.source(&frame), segment.destination(&frame), 20 + 7);
            // By chance it may be a whole one, too.
            let is_whole = verify_tcp(&frame, &segment) == Checksum::Good;
            prop_assert!(is_whole || segment.checksum(&frame) % 0xffff == fold(pseudo) % 0xffff);
        }
    }

    #[test]
    fn udp_is_mended_unless_it_has_no_checksum(address in any::<[u8; 4]>(), length in 0..30_usize) {
        for has_sum in [true, false] {
            let mut frame = v4().build()[..34].to_vec();
            frame[23] = 17;
            frame[16..18].copy_from_slice(&(28 + length as u16).to_be_bytes());
            frame[24..26].fill(0);
            let header = checksum::checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&header.to_be_bytes());
            frame.extend([0, 53, 0, 53, 0, 8 + length as u8, 0, 0]);
            frame.extend(vec![0xab; length]);
            let whole = |frame: &[u8]| {
                fold(sum(&frame[26..34]) + 17 + 8 + length as u32 + sum(&frame[34..]))
            };
            if has_sum {
                let sum = !whole(&frame);
                frame[40..42].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
            }
            set(&mut frame, HeaderField::IpDestination, Value::Ip(address.into())).unwrap();
            let (outcome, segment) = decoded(&frame);
            prop_assert_eq!(outcome, Outcome::NotTcp);
            prop_assert_eq!(verify_ipv4_header(&frame, &segment), Checksum::Good);
            prop_assert_eq!(frame[40..42] != [0, 0], has_sum);
            prop_assert!(!has_sum || whole(&frame) == 0xffff);
        }
    }
}

#[test]
fn what_cannot_be_set_says_why() {
    let mut frame = v4().build();
    let before = frame.clone();
    let errors = [
        (HeaderField::Vlan, Value::Int(1), "the packet has no eth.vlan"),
        (HeaderField::Mss, Value::Int(1), "the packet has no tcp.mss"),
        (HeaderField::IpTtl, Value::Int(256), "ip.ttl is at most 255"),
        (HeaderField::Seq, Value::Int(1 << 32), "tcp.seq is at most 4294967295"),
        (HeaderField::IpTtl, Value::Bytes(b"x"), "ip.ttl is set to a number"),
        (HeaderField::EthSource, Value::Bytes(b"x"), "eth.src is set to a MAC address of six bytes"),
        (
            HeaderField::IpSource,
            Value::Ip("::1".parse().unwrap()),
            "ip.src of an IPv4 packet is an IPv4 address",
        ),
    ];
    for (field, value, message) in errors {
        assert_eq!(set(&mut frame, field, value).unwrap_err().to_string(), message);
    }
    assert_eq!(frame, before);
    let error = HeaderField::try_from(Field::TcpLength).unwrap_err().to_string();
    assert!(error.starts_with("tcp.length cannot be set; these can: eth.src, "), "{error}");
    assert_eq!(HeaderField::try_from(Field::IpTtl), Ok(HeaderField::IpTtl));
    let names: Vec<_> = HeaderField::all().map(HeaderField::name).collect();
    assert!(
        names.iter().zip(HeaderField::all()).all(|(name, field)| HeaderField::from_name(name) == Some(field))
    );
}

#[test]
fn values_arrive_where_they_belong() {
    let mut frame = v4().vlan(&[0x6005, 0x2007]).tos(0xfe).mss(1460).timestamps(1, 2).build();
    set(&mut frame, HeaderField::Vlan, Value::Int(9)).unwrap();
    set(&mut frame, HeaderField::VlanInner, Value::Int(10)).unwrap();
    set(&mut frame, HeaderField::VlanPriority, Value::Int(1)).unwrap();
    set(&mut frame, HeaderField::IpDscp, Value::Int(10)).unwrap();
    set(&mut frame, HeaderField::IpEcn, Value::Int(1)).unwrap();
    set(&mut frame, HeaderField::Mss, Value::Int(1400)).unwrap();
    set(&mut frame, HeaderField::TsEcr, Value::Int(77)).unwrap();
    set(&mut frame, HeaderField::Flag(TcpFlags::PSH), Value::Int(1)).unwrap();
    let (_, segment) = decoded(&frame);
    assert_eq!((segment.vlan, &frame[14..16]), ([9, 10], &[0x20, 9][..]));
    assert_eq!(segment.tos(&frame), 10 << 2 | 1);
    assert_eq!(segment.flags, TcpFlags::ACK | TcpFlags::PSH);
    let options = crate::wire::options::parse(segment.options(&frame));
    assert_eq!((options.mss, options.timestamps), (Some(1400), Some((1, 77))));
}
