use std::time::Duration;

use super::*;

fn receive_all(port: &mut dyn Port) -> Vec<(Nanos, Vec<u8>, LinkType)> {
    let (mut burst, mut all) = (Vec::new(), Vec::new());
    while port.receive(&mut burst, Duration::ZERO).unwrap() == Received::Packets {
        assert!((1..=BURST).contains(&burst.len()));
        all.extend(burst.iter().map(|p| (p.time, p.frame(port.memory()).to_vec(), p.link)));
    }
    assert!(burst.is_empty());
    all
}

#[test]
fn link_types_have_their_registered_numbers() {
    for (number, link, canonical) in [
        (0, LinkType::Loopback, 0),
        (1, LinkType::Ethernet, 1),
        (9, LinkType::Ppp, 9),
        (12, LinkType::Ip, 101),
        (14, LinkType::Ip, 101),
        (50, LinkType::Ppp, 9),
        (101, LinkType::Ip, 101),
        (108, LinkType::Loopback, 0),
        (113, LinkType::LinuxSll, 113),
        (228, LinkType::Ip, 101),
        (229, LinkType::Ip, 101),
        (276, LinkType::LinuxSll2, 276),
        (147, LinkType::Other(147), 147),
    ] {
        assert_eq!(LinkType::from_linktype(number), link, "{number}");
        assert_eq!(link.to_linktype(), canonical, "{number}");
        assert_eq!(LinkType::from_linktype(canonical), link, "{number}");
    }
}

#[test]
fn link_types_are_named_for_people() {
    assert_eq!(LinkType::Ethernet.to_string(), "Ethernet");
    assert_eq!(LinkType::Other(147).to_string(), "link type 147");
}

#[test]
fn memory_port_hands_out_its_frames_in_order() {
    let frames: Vec<_> =
        (0..700i64).map(|n| (n * 10, vec![n as u8; n as usize % 90], LinkType::Ethernet)).collect();
    let mut port = MemoryPort::new(frames.clone());
    assert_eq!(receive_all(&mut port), frames);
    assert_eq!(port.statistics().received, 700);
    assert_eq!(port.progress(), Some((700, 700)));
    for size in [0, 1, 7, 256, 1000] {
        assert_eq!(receive_all(&mut MemoryPort::new(frames.clone()).with_burst(size)), frames);
    }
}

#[test]
fn memory_port_mends_lengths_and_times() {
    let mut frame = Frame::from((Nanos::MIN, vec![1, 2, 3], LinkType::Ip));
    frame.length = 1;
    let mut port = MemoryPort::new([frame]);
    let mut burst = Vec::new();
    assert_eq!(port.receive(&mut burst, Duration::ZERO).unwrap(), Received::Packets);
    assert_eq!((burst[0].length, burst[0].captured, burst[0].time), (3, 3, -TIME_LIMIT));
}

#[test]
fn memory_port_keeps_what_is_sent() {
    let mut from = MemoryPort::new([(5, vec![1, 2, 3], LinkType::Ip), (6, vec![4], LinkType::Ethernet)]);
    let mut to: Box<dyn Port> = {
        let port = MemoryPort::new::<Frame>([]);
        let sent = port.sent();
        let mut port: Box<dyn Port> = Box::new(port);
        let mut burst = Vec::new();
        from.receive(&mut burst, Duration::ZERO).unwrap();
        port.send(from.memory(), &burst).unwrap();
        assert_eq!(sent.len(), 2);
        let frames = sent.take();
        assert!(sent.is_empty());
        assert_eq!(frames[0], (5, vec![1, 2, 3], LinkType::Ip).into());
        assert_eq!(frames[1], (6, vec![4], LinkType::Ethernet).into());
        port
    };
    to.flush().unwrap();
    assert_eq!(to.statistics().sent, 2);
    assert!(receive_all(&mut *to).is_empty());
}

#[test]
fn a_port_name_is_a_path() {
    for name in ["/nonexistent/a.pcap", "pcap:/nonexistent/a.pcap"] {
        let error = open(name).err().unwrap();
        assert_eq!(
            error.to_string(),
            "/nonexistent/a.pcap: no such file (give the path of a capture, or - for standard input)"
        );
    }
    let error = open("/").err().unwrap().to_string();
    assert_eq!(error, "/: this is a directory; give the path of a capture file");
}

#[test]
fn packets_stay_small() {
    // A burst of 256 is walked several times: it must stay in the first-level cache.
    assert_eq!(size_of::<Packet>(), 32);
}
