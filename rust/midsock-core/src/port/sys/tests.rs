use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::mapping::Mapping;
use super::{netmap, poll};

const PAGE: usize = 4096;

#[test]
fn a_mapping_of_a_file_is_the_file_within_reserved_space() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; PAGE]).unwrap();
    let mut mapping = Mapping::anonymous(3 * PAGE).unwrap();
    mapping.put_shared(PAGE, file.as_fd(), 0, PAGE).unwrap();
    assert_eq!(mapping.len(), 3 * PAGE);
    assert_eq!([0, 7, 0], [0, PAGE, 2 * PAGE].map(|at| mapping.bytes()[at]));
    mapping.bytes_mut()[PAGE] = 1;
    mapping.bytes_mut()[2 * PAGE] = 2;
    let seen = Mapping::shared(file.as_fd(), 0, PAGE).unwrap();
    assert_eq!(seen.word(0).load(Ordering::Acquire).to_le_bytes(), [1, 7, 7, 7]);
}

#[test]
fn a_mapping_has_no_room_outside_of_it() {
    let file = tempfile::tempfile().unwrap();
    let mut mapping = Mapping::anonymous(PAGE).unwrap();
    for (at, length) in [(0, 0), (PAGE, PAGE), (0, PAGE + 1), (usize::MAX, 2), (1, PAGE - 1)] {
        assert!(mapping.put_shared(at, file.as_fd(), 0, length).is_err());
    }
    for at in [1, PAGE, PAGE - 2, usize::MAX - 3] {
        assert!(std::panic::catch_unwind(|| mapping.word(at).load(Ordering::Relaxed)).is_err());
    }
}

#[test]
fn a_wait_ends_with_what_it_waits_for_or_in_time() {
    let (mut near, mut far) = UnixStream::pair().unwrap();
    assert!(!poll::readable(&[near.as_fd()], Duration::from_millis(1)).unwrap());
    far.write_all(b"x").unwrap();
    assert!(poll::readable(&[near.as_fd()], Duration::from_mins(1)).unwrap());
    assert!(poll::writable(near.as_fd(), Duration::ZERO).unwrap());
    near.read_exact(&mut [0]).unwrap();
    drop(far);
    assert!(poll::readable(&[near.as_fd()], Duration::from_mins(1)).unwrap());
}

#[test]
fn requests_to_netmap_are_laid_out_as_the_kernel_reads_them() {
    use std::mem::offset_of;

    use super::netmap::{Header, Register};
    assert_eq!((size_of::<Header>(), size_of::<Register>(), netmap::NAME_SIZE), (88, 56, 64));
    assert_eq!((offset_of!(Header, version), offset_of!(Header, request)), (0, 2));
    assert_eq!((offset_of!(Header, reserved), offset_of!(Header, name)), (4, 8));
    assert_eq!((offset_of!(Header, options), offset_of!(Header, body)), (72, 80));
    assert_eq!((offset_of!(Register, offset), offset_of!(Register, memsize)), (0, 8));
    assert_eq!((offset_of!(Register, tx_slots), offset_of!(Register, rx_slots)), (16, 20));
    assert_eq!((offset_of!(Register, tx_rings), offset_of!(Register, rx_rings)), (24, 26));
    assert_eq!((offset_of!(Register, host_tx_rings), offset_of!(Register, host_rx_rings)), (28, 30));
    assert_eq!((offset_of!(Register, mem_id), offset_of!(Register, ring)), (32, 34));
    assert_eq!((offset_of!(Register, mode), offset_of!(Register, extra_buffers)), (36, 40));
    assert_eq!(offset_of!(Register, flags), 48);
}
