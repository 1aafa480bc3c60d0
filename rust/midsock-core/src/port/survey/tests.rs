use super::{Ability, System, survey};
use crate::port::interface::{Interface, Offloads};

fn interface() -> Interface {
    Interface {
        name: "eth0".to_owned(),
        index: 2,
        is_up: true,
        is_running: true,
        is_loopback: false,
        mtu: 1500,
        hardware: 1,
        mac: Some([2, 0, 0, 0, 0, 1]),
        driver: Some("veth".to_owned()),
        queues: Some(1),
        send_queues: Some(1),
        offloads: Offloads::default(),
    }
}

fn abilities(interface: &Interface) -> [Ability; 3] {
    System::default().abilities(interface).try_into().unwrap()
}

#[test]
fn the_loopback_interface_is_surveyed() {
    let all = survey().unwrap();
    let lo = all.iter().find(|surveyed| surveyed.interface.is_loopback).unwrap();
    let ports: Vec<&str> = lo.abilities.iter().map(|ability| &*ability.port).collect();
    assert_eq!(ports, ["af_packet:lo", "af_xdp:lo", "netmap:lo"]);
}

#[test]
fn an_interface_with_nothing_in_the_way_can_do_everything() {
    for ability in abilities(&interface()) {
        assert_eq!((ability.obstacle, ability.note), (None, None), "{}", ability.backend);
    }
}

#[test]
fn what_is_in_the_way_is_told_with_what_mends_it() {
    let offloads = Offloads { tso: true, gro: true, ..Offloads::default() };
    let [packet, xdp, netmap] = abilities(&Interface { offloads, ..interface() });
    assert!(packet.note.unwrap().ends_with("ethtool -K eth0 tso off gro off"));
    assert_eq!((packet.obstacle, xdp.obstacle, xdp.note), (None, None, None));
    assert_eq!(netmap.obstacle.unwrap(), "offloads are on: ethtool -K eth0 tso off gro off");

    let offloads = Offloads { tx_checksum: true, ..Offloads::default() };
    let [_, xdp, _] = abilities(&Interface { offloads, ..interface() });
    assert_eq!(xdp.obstacle, None);
    assert!(xdp.note.unwrap().ends_with(": ethtool -K eth0 tx off, and likewise at the veth's other end"));

    let [packet, xdp, netmap] = abilities(&Interface { mtu: 9000, ..interface() });
    assert_eq!((packet.obstacle, packet.note, xdp.obstacle), (None, None, None));
    assert!(xdp.note.unwrap().starts_with("its MTU of 9000 bytes takes several frames"));
    assert!(netmap.obstacle.unwrap().starts_with("its MTU of 9000 bytes is too large"));

    // Raw IP, and a kind of frame that is not known.
    let [packet, xdp, netmap] = abilities(&Interface { hardware: 0xfffe, ..interface() });
    assert_eq!(packet.obstacle, None);
    for ability in [xdp, netmap] {
        assert_eq!(ability.obstacle.unwrap(), "it has no Ethernet frames");
    }
    let [packet, ..] = abilities(&Interface { hardware: 801, ..interface() });
    assert_eq!(packet.obstacle.unwrap(), "its frames (kind 801 of if_arp.h) are not known here");

    for ability in abilities(&Interface { is_up: false, ..interface() }) {
        assert_eq!(ability.note.unwrap(), "it is down: ip link set dev eth0 up");
    }
}

#[test]
fn what_the_system_lacks_comes_first() {
    let lacks = || Some("lacks".to_owned());
    let system = System { af_packet: lacks(), af_xdp: lacks(), netmap: lacks() };
    for ability in system.abilities(&Interface { mtu: 9000, hardware: 801, ..interface() }) {
        assert_eq!(ability.obstacle.unwrap(), "lacks");
    }
}
