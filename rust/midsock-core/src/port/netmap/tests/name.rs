use proptest::prelude::*;

use crate::port::netmap::name::{Kind, Name, is_netmap};
use crate::port::sys::netmap::{flag, mode};

const INTERFACES: [&str; 6] = ["lo", "eth0", "br-lan", "br-lan-2", "eth0.100", "veth@1"];

fn parse(text: &str) -> Result<Name, String> {
    let interfaces = INTERFACES.map(str::to_owned);
    Name::parse(text, &interfaces).map_err(|error| error.to_string())
}

#[test]
fn names_are_taken_apart() {
    for (text, port, kind, mode, ring, flags, mem_id) in [
        ("netmap:eth0", "eth0", Kind::Interface, mode::ALL_NIC, 0, 0, 0),
        ("netmap:eth0-0", "eth0", Kind::Interface, mode::ONE_NIC, 0, 0, 0),
        ("netmap:eth0-12", "eth0", Kind::Interface, mode::ONE_NIC, 12, 0, 0),
        ("netmap:eth0^", "eth0", Kind::Interface, mode::HOST, 0, 0, 0),
        ("netmap:eth0^3", "eth0", Kind::Interface, mode::ONE_HOST, 3, 0, 0),
        ("netmap:eth0*", "eth0", Kind::Interface, mode::NIC_AND_HOST, 0, 0, 0),
        ("netmap:eth0.100", "eth0.100", Kind::Interface, mode::ALL_NIC, 0, 0, 0),
        ("netmap:eth0@7", "eth0", Kind::Interface, mode::ALL_NIC, 0, 0, 7),
        ("netmap:eth0-1/x@7", "eth0", Kind::Interface, mode::ONE_NIC, 1, flag::EXCLUSIVE, 7),
        ("netmap:eth0/R", "eth0", Kind::Interface, mode::ALL_NIC, 0, flag::RX_ONLY, 0),
        ("netmap:eth0^/T", "eth0", Kind::Interface, mode::HOST, 0, flag::TX_ONLY, 0),
        ("netmap:eth0/t", "eth0", Kind::Interface, mode::ALL_NIC, 0, flag::MONITOR_TX, 0),
        (
            "netmap:eth0/rz",
            "eth0",
            Kind::Interface,
            mode::ALL_NIC,
            0,
            flag::MONITOR_RX | flag::MONITOR_ZERO_COPY,
            0,
        ),
        ("netmap:eth0/trx", "eth0", Kind::Interface, mode::ALL_NIC, 0, 0xb00, 0),
        ("netmap:br-lan", "br-lan", Kind::Interface, mode::ALL_NIC, 0, 0, 0),
        ("netmap:br-lan-1", "br-lan", Kind::Interface, mode::ONE_NIC, 1, 0, 0),
        ("netmap:br-lan-2", "br-lan-2", Kind::Interface, mode::ALL_NIC, 0, 0, 0),
        ("netmap:br-lan-2-2", "br-lan-2", Kind::Interface, mode::ONE_NIC, 2, 0, 0),
        ("netmap:br-lan^", "br-lan", Kind::Interface, mode::HOST, 0, 0, 0),
        ("netmap:veth@1", "veth@1", Kind::Interface, mode::ALL_NIC, 0, 0, 0),
        ("netmap:veth@1@1", "veth@1", Kind::Interface, mode::ALL_NIC, 0, 0, 1),
        // Not there now: the kernel says so.
        ("netmap:eth1", "eth1", Kind::Interface, mode::ALL_NIC, 0, 0, 0),
        ("netmap:eth1-1", "eth1", Kind::Interface, mode::ONE_NIC, 1, 0, 0),
        ("netmap:x{1", "x{1", Kind::Pipe, mode::ALL_NIC, 0, 0, 0),
        ("netmap:x}a_b", "x}a_b", Kind::Pipe, mode::ALL_NIC, 0, 0, 0),
        ("netmap:br-lan{1-0", "br-lan{1", Kind::Pipe, mode::ONE_NIC, 0, 0, 0),
        ("netmap:x{1/t", "x{1", Kind::Pipe, mode::ALL_NIC, 0, flag::MONITOR_TX, 0),
        ("netmap:x}1@2", "x}1", Kind::Pipe, mode::ALL_NIC, 0, 0, 2),
        ("vale:1", "vale:1", Kind::Vale, mode::ALL_NIC, 0, 0, 0),
        ("vale0:eth0", "vale0:eth0", Kind::Vale, mode::ALL_NIC, 0, 0, 0),
        ("vale_a1:p-0", "vale_a1:p", Kind::Vale, mode::ONE_NIC, 0, 0, 0),
        ("vale0:p/x@3", "vale0:p", Kind::Vale, mode::ALL_NIC, 0, flag::EXCLUSIVE, 3),
        ("vale0:p{1", "vale0:p{1", Kind::Pipe, mode::ALL_NIC, 0, 0, 0),
    ] {
        let name = parse(text).unwrap();
        let found = (&*name.port, name.kind, name.mode, name.ring, name.flags, name.mem_id);
        assert_eq!(found, (port, kind, mode, ring, flags, mem_id), "{text}");
        assert_eq!(name.text, text);
    }
}

#[test]
fn what_a_port_can_do_follows_from_its_name() {
    let of = |text| parse(text).unwrap();
    assert!(of("netmap:eth0").can_send() && of("netmap:eth0").has_nic_rings() && !of("netmap:eth0").is_tap());
    assert!(of("netmap:eth0*").is_tap() && !of("netmap:eth0*/r").is_tap() && !of("netmap:eth0*/R").is_tap());
    assert!(!of("netmap:eth0^").has_nic_rings() && !of("netmap:eth0^0").has_nic_rings());
    assert!(
        !of("netmap:eth0/R").can_send() && !of("netmap:eth0/t").can_send() && of("netmap:eth0/T").can_send()
    );
    assert!(of("netmap:eth0?offloads=keep").keep_offloads && !of("netmap:eth0?offloads=check").keep_offloads);
    let request = of("netmap:eth0^2/x@9").registration();
    assert_eq!((request.mode, request.ring, request.mem_id), (mode::ONE_HOST, 2, 9));
    // Polls for packets to receive are not to work on the transmit rings too.
    assert_eq!(request.flags, flag::EXCLUSIVE | flag::NO_TX_POLL);
}

#[test]
fn what_is_wrong_is_pointed_at() {
    for (text, message) in [
        ("netmap:", "at the end: the name of an interface is wanted"),
        ("netmap:-1", "at character 8 ('-'): the name of an interface is wanted"),
        ("netmap:{1", "at character 8 ('{'): the name of an interface is wanted"),
        ("netmap:x{", "at the end: a pipe's identifier is wanted, such as 1"),
        ("netmap:x}-1", "at character 10 ('-'): a pipe's identifier is wanted, such as 1"),
        ("vale0:", "at the end: the name of a switch's port is wanted"),
        ("netmap:eth0-", "at the end: the number of a ring is wanted, 0 to 65535"),
        ("netmap:eth0-x", "at character 13 ('x'): the number of a ring is wanted, 0 to 65535"),
        ("netmap:eth0-70000", "at character 13 ('7'): the number of a ring is wanted, 0 to 65535"),
        (
            "netmap:wlan-lan/x",
            "there is no interface wlan-lan; there are lo, eth0, br-lan, br-lan-2, eth0.100, veth@1 (if wlan is meant: \
             at character 13 ('l'): the number of a ring is wanted, 0 to 65535)",
        ),
        ("netmap:x{1^", "at character 11 ('^'): only an interface has host rings"),
        ("vale0:1*", "at character 8 ('*'): only an interface has host rings"),
        ("netmap:eth0/", "at the end: flags are wanted: letters of xztrRT"),
        (
            "netmap:eth0/xq",
            "at character 14 ('q'): no such flag; there are x (exclusive), t and r (monitor what is sent, received), \
             z (monitor without copies), R and T (only receive, transmit)",
        ),
        ("netmap:eth0/RT", "at character 13 ('R'): R and T exclude each other"),
        ("netmap:eth0/z", "at character 13 ('z'): z is a manner of monitoring: add t, r or both"),
        ("netmap:eth0/tT", "at character 13 ('t'): a monitor only receives"),
        ("netmap:eth0@", "at the end: the number of a memory region is wanted, 0 to 65535"),
        ("netmap:eth0@share=x", "at character 13 ('s'): the number of a memory region is wanted, 0 to 65535"),
        ("netmap:eth0@0", "at character 13 ('0'): memory regions are numbered from 1 on"),
        (
            "netmap:eth0*x",
            "at character 13 ('x'): a name ends here, or goes on with - ^ * (rings), / (flags), @ (region)",
        ),
        ("netmap:a b", "at character 9 (' '): a port's name has no such character"),
        ("netmap:abcdefghijklmnop", "at character 23 ('p'): an interface's name has at most 15 bytes"),
        ("netmap:eth0?rings=1", "this port has no option rings; its options are offloads"),
        ("netmap:eth0?offloads=off", "offloads=off: give one of check, keep"),
    ] {
        assert_eq!(parse(text).unwrap_err(), format!("{text}: {message}"));
    }
    let long = format!("vale0:{}", "x".repeat(58));
    assert!(parse(&long).unwrap_err().ends_with("at the end: a port's name has at most 63 bytes"));
    assert!(parse(&long[..63]).is_ok());
}

#[test]
fn other_names_are_not_of_netmap() {
    for name in ["vale", "vale0", "vale/0:1", "vale0.pcap", "value:1", "netmap", "eth0", "pcap:vale0:1", "-"]
    {
        assert!(!is_netmap(name), "{name}");
    }
    for name in ["vale:1", "vale0:1", "vale_x9:y", "netmap:", "netmap:eth0"] {
        assert!(is_netmap(name), "{name}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_name_or_an_error(text in "(netmap:|vale[a-z0-9]?:)[-a-z0-9^*/@{}?=&é ,.]{0,20}") {
        match parse(&text) {
            Ok(name) => prop_assert!(!name.port.is_empty() && name.port.len() < 64),
            Err(message) => prop_assert!(message.starts_with(&text)),
        }
    }
}
