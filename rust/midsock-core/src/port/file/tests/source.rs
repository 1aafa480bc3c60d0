use std::io::{self, Cursor, Read};

use super::super::super::PortError;
use super::super::{open, read_from};
use super::build::*;

#[test]
fn compressed_files_read_like_plain_ones() {
    for order in BOTH {
        for file in [small_pcap(order), small_pcapng(order)] {
            let (a, b) = file.split_at(file.len() / 2);
            let plain = read(&file);
            let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(&file)].concat();
            for compressed in [
                gzip(&file),
                zstd(&file),
                [gzip(a), gzip(b)].concat(),
                [gzip(&[]), gzip(a), gzip(&[]), gzip(b), gzip(&[])].concat(),
                [zstd(a), zstd(b)].concat(),
                skippable,
                // As tape blocks and some tools pad it.
                [gzip(&file), vec![0; 100]].concat(),
            ] {
                assert_eq!(read(&compressed), plain);
            }
        }
    }
}

#[test]
fn compressed_files_of_many_windows() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 1);
    for n in 0..3000u32 {
        file.extend(LITTLE.record(n, 0, 1500, &vec![(n * 7) as u8; 1400]));
    }
    let plain = read(&file);
    for compressed in [gzip(&file), zstd(&file)] {
        assert_eq!(read(&compressed), plain);
        let drip = Drip::new(compressed, 100);
        assert_eq!(drain(&mut *read_from(drip, "drip").unwrap()).packets, plain);
    }
}

#[test]
fn what_is_no_capture_is_refused_in_one_line_that_helps() {
    for (bytes, message) in [
        (&b""[..], "the file is empty"),
        (b"x", "not a capture file; pcap and pcapng are read"),
        (b"GET / HTTP/1.1\r\n\r\n", "editcap converts other formats"),
        (b"snoop\0\0\0\0\0\0\x02\0\0\0\x04", "not a capture file"),
        (b"BZh91AY&SY", "compressed with bzip2, which is not read here; decompress it first: bunzip2"),
        (b"\xfd7zXZ\0\0", "unxz"),
        (b"\x04\x22\x4d\x18aaaa", "unlz4"),
        (b"PK\x03\x04aaaa", "unzip"),
        (b"\xd4\xc3\xb2\xa1\x02\0", "cut short inside the file header"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", "cut short inside the file header"),
        (b"\x1f\x8b\x08", "the gzip data is cut short"),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff\xff\xff",
            "the gzip data is damaged after 0 decompressed bytes",
        ),
        (b"\x1f\x8b\xff\0\0\0\0\0\0\0\xff\xff\xff\xff", "the gzip data is damaged"),
        (b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "the zstd data is damaged"),
        (b"\x28\xb5\x2f\xfd", "the zstd data is cut short"),
    ] {
        let error = try_read(bytes).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    assert!(try_read(&gzip(b"")).unwrap_err().contains("the gzip data is empty"));
    assert!(try_read(&gzip(b"hello")).unwrap_err().contains("not a capture file"));
    assert!(try_read(&gzip(&zstd(b"hello"))).unwrap_err().contains("compressed twice"));
}

#[test]
fn damaged_compression_is_an_error_behind_what_was_read() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 1);
    let mut state = 1u32;
    for n in 0..4000u32 {
        // Hardly compressible, so that many blocks are made.
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let frame: Vec<u8> = noise.take(300).collect();
        file.extend(LITTLE.record(n, 0, 300, &frame));
    }
    let plain = read(&file);
    for (mut compressed, name) in [(gzip(&file), "gzip"), (zstd(&file), "zstd")] {
        let whole = compressed.len();
        let mut wrong = compressed.clone();
        // The check sum, at the end (of gzip, the length follows it).
        wrong[whole - if name == "gzip" { 8 } else { 4 }] ^= 0xff;
        let read = try_read(&wrong).unwrap();
        // The zstd decompressor keeps its last block back.
        assert!(read.packets.len() > 3000 && plain.starts_with(&read.packets));
        assert!(matches!(read.error, Some(PortError::Format { .. })));

        compressed[whole / 2..whole / 2 + 2000].fill(0xff);
        let read = try_read(&compressed).unwrap();
        assert!(read.packets != plain && read.packets[..1500] == plain[..1500]);
        // Either the decompressor saw it or, earlier, the reader of records.
        let told = read.error.map(|error| error.to_string()).or(read.warning).unwrap();
        assert!(told.contains("damaged"), "{told}");
    }
}

#[test]
fn errors_of_the_system_are_told_as_such() {
    struct Broken(Cursor<Vec<u8>>);
    impl Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::from_raw_os_error(5)),
                got => Ok(got),
            }
        }
    }
    for file in [small_pcap(LITTLE), gzip(&small_pcap(LITTLE))] {
        let read = drain(&mut *read_from(Broken(Cursor::new(file)), "disk").unwrap());
        assert_eq!(read.packets.len(), 5);
        assert!(matches!(read.error, Some(PortError::Io { .. })));
    }
    let error = read_from(Broken(Cursor::new(vec![])), "disk").err().unwrap();
    assert!(matches!(error, PortError::Io { .. }));
}

#[test]
fn progress_is_in_bytes_of_the_file_as_it_is_on_disk() {
    for (bytes, name) in
        [(small_pcap(LITTLE), "plain"), (gzip(&small_pcap(LITTLE)), "gz"), (zstd(&small_pcap(LITTLE)), "zst")]
    {
        let path = std::env::temp_dir().join(format!("midsock-progress-{}-{name}", std::process::id()));
        std::fs::write(&path, &bytes).unwrap();
        let mut port = open(path.to_str().unwrap()).unwrap();
        assert_eq!(drain(&mut *port).packets.len(), 5);
        assert_eq!(port.progress(), Some((bytes.len() as u64, bytes.len() as u64)));
        assert!(port.send(&[], &[]).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
    let port = read_from(Cursor::new(small_pcap(LITTLE)), "bytes").unwrap();
    assert_eq!(port.progress(), None);
}
