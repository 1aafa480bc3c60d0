//! Whatever happens to a file: no panic, no hang, and nothing but a prefix of its packets if its end is missing.

use proptest::prelude::*;

use super::build::*;

fn files() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for order in BOTH {
        let mut nanos = small_pcap(order);
        nanos[..4].copy_from_slice(&order.u32(0xa1b2_3c4d));
        let mut modified = order.pcap(0xa1b2_cd34, 1);
        for n in 0..3 {
            modified.extend(order.words(&[n, 1, 4, 4, 2, 0]));
            modified.extend([1; 4]);
        }
        files.extend([small_pcap(order), nanos, modified, small_pcapng(order)]);
    }
    for file in files.clone() {
        files.extend([gzip(&file), zstd(&file)]);
    }
    files.push([gzip(&small_pcap(LITTLE)[..60]), gzip(&small_pcap(LITTLE)[60..])].concat());
    files.push([small_pcapng(BOTH[1]), small_pcapng(LITTLE)].concat());
    files
}

#[test]
fn a_file_cut_at_any_byte_yields_a_prefix() {
    for file in files() {
        let whole = read(&file);
        assert!(!whole.is_empty());
        let mut told = 0;
        for cut in 0..file.len() {
            match try_read(&file[..cut]) {
                Ok(read) => {
                    assert!(whole.starts_with(&read.packets), "cut at {cut}");
                    assert!(read.error.is_none(), "cut at {cut}: {read:?}");
                    if let Some(warning) = read.warning {
                        assert!(warning.contains("cut short (at byte "), "{warning}");
                        assert!(warning.ends_with("everything before it was read"), "{warning}");
                        told += 1;
                    }
                }
                Err(error) => {
                    assert!(
                        ["cut short", "empty", "not a capture"].iter().any(|w| error.contains(w)),
                        "{error}"
                    );
                }
            }
        }
        assert!(told > 0);
    }
}

#[test]
fn the_warning_names_the_file_and_the_place() {
    let file = small_pcap(LITTLE);
    let last = file.len() - 12 - 16;
    for cut in last + 1..file.len() {
        let read = try_read(&file[..cut]).unwrap();
        assert_eq!(read.packets.len(), 4);
        assert_eq!(
            read.warning.unwrap(),
            format!("t.pcap: the last record is cut short (at byte {last}); everything before it was read")
        );
    }
    assert_eq!(try_read(&file[..last]).unwrap().warning, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_corrupted_file_never_panics(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let files = files();
        let mut file = files[which.index(files.len())].clone();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = try_read(&file);
    }

    #[test]
    fn noise_behind_a_file_header_never_panics(
        noise in prop::collection::vec(prop_oneof![Just(0u8), 0..8u8, any::<u8>()], 0..400),
        big in any::<bool>(),
        kind in 0..4,
    ) {
        let order = Endian(big);
        let head = match kind {
            0 => order.pcap(0xa1b2_c3d4, 1),
            1 => order.section(),
            2 => [order.section(), order.interface(1, 0, &[])].concat(),
            _ => vec![],
        };
        let _ = try_read(&[head, noise].concat());
    }

    #[test]
    fn any_packets_survive_the_formats(
        records in prop::collection::vec((any::<u32>(), 0..1_000_000u32, prop::collection::vec(any::<u8>(), 0..60), 0..100u32), 0..40),
        big in any::<bool>(),
    ) {
        let order = Endian(big);
        let mut pcap = order.pcap(0xa1b2_c3d4, 1);
        let mut pcapng = [order.section(), order.interface(1, 0, &[])].concat();
        for (seconds, micros, frame, length) in &records {
            pcap.extend(order.record(*seconds, *micros, *length, frame));
            let ticks = u64::from(*seconds) * 1_000_000 + u64::from(*micros);
            pcapng.extend(order.enhanced(0, ticks, *length, frame));
        }
        let (pcap, pcapng) = (read(&pcap), read(&pcapng));
        prop_assert_eq!(pcap.len(), records.len());
        prop_assert_eq!(pcap, pcapng);
    }
}
