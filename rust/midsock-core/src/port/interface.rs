//! The network interfaces of this machine, and what has to be known of one before packets are taken from it.

use std::io;

use super::sys::interface::{ETHTOOL_WORDS, Inquiry, Name, kernel_name, list};
use super::{LinkType, PortError};

/// Of `linux/if_arp.h`: kinds of interface whose frames start with an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772]; // ARPHRD_ETHER, ARPHRD_LOOPBACK
/// Kinds whose frames start with an IP header: raw IP, tunnels of several sorts, and those that name no kind, such as
/// `tun` devices.
const RAW_IP: [u16; 5] = [519, 768, 769, 776, 0xfffe]; // RAWIP, TUNNEL, TUNNEL6, SIT, NONE

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number in its network namespace.
    pub index: u32,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Whether it is switched on and its link carries.
    pub is_running: bool,
    /// Whether it is the loopback interface.
    pub is_loopback: bool,
    /// The longest packet it sends, in bytes, without its link's header.
    pub mtu: u32,
    /// Its kind, `ARPHRD_…` in `linux/if_arp.h`.
    pub hardware: u16,
    /// Its MAC address, if it has an Ethernet's.
    pub mac: Option<[u8; 6]>,
    /// The name of its driver, if it tells.
    pub driver: Option<String>,
    /// How many queues it receives by, if its driver tells.
    pub queues: Option<u32>,
    /// How many queues it sends by, if its driver tells.
    pub send_queues: Option<u32>,
    /// The offloads that are on.
    pub offloads: Offloads,
}

impl Interface {
    /// The interface called `name` in the network namespace of this thread.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; else what the system says.
    pub fn named(name: &str) -> io::Result<Interface> {
        let kernel = kernel_name(name).ok_or(io::ErrorKind::NotFound)?;
        let inquiry = Inquiry::new()?;
        Self::inquire(&inquiry, name, kernel).map_err(not_found)
    }

    /// All interfaces in the network namespace of this thread, in the order of their indexes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn all() -> io::Result<Vec<Interface>> {
        let inquiry = Inquiry::new()?;
        let mut all = Vec::new();
        for (_, name) in list()? {
            let Some(kernel) = kernel_name(&name) else { continue };
            match Self::inquire(&inquiry, &name, kernel) {
                Ok(interface) => all.push(interface),
                // It went away between the two questions.
                Err(error) if not_found_number(&error) => {}
                Err(error) => return Err(error),
            }
        }
        all.sort_by_key(|interface| interface.index);
        Ok(all)
    }

    fn inquire(inquiry: &Inquiry, name: &str, kernel: Name) -> io::Result<Interface> {
        let flags = inquiry.flags(kernel)?;
        let (hardware, address) = inquiry.hardware(kernel)?;
        let mac = address.first_chunk().copied();
        let (queues, send_queues) = queues(inquiry, kernel).unzip();
        Ok(Interface {
            name: name.to_owned(),
            index: inquiry.index(kernel)?,
            is_up: flags & libc::IFF_UP != 0,
            is_running: flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING != 0,
            is_loopback: flags & libc::IFF_LOOPBACK != 0,
            mtu: inquiry.mtu(kernel)?,
            hardware,
            mac: mac.filter(|_| ETHERNET.contains(&hardware)),
            driver: driver(inquiry, kernel),
            queues,
            send_queues,
            offloads: Offloads::of(inquiry, kernel),
        })
    }

    /// What its frames start with; none if that is a header that this stack does not know.
    pub fn link(&self) -> Option<LinkType> {
        match self.hardware {
            kind if ETHERNET.contains(&kind) => Some(LinkType::Ethernet),
            kind if RAW_IP.contains(&kind) => Some(LinkType::Ip),
            _ => None,
        }
    }

    /// Whether it is one end of a virtual Ethernet.
    pub fn is_veth(&self) -> bool {
        self.driver.as_deref() == Some("veth")
    }

    /// The command that switches off what has frames come unfinished from this interface: merged, if the port gets them
    /// behind the kernel's or the driver's merging, or of a veth without their checksums; none if all is off.
    ///
    /// What a veth's packets lack is decided at its other end, which may be in another network namespace and cannot be
    /// asked then: both ends are taken to be alike.
    pub(super) fn finishing_command(&self, is_behind_merging: bool) -> Option<String> {
        let Offloads { tx_checksum, gro, lro, .. } = self.offloads;
        let in_the_way = Offloads {
            tx_checksum: tx_checksum && self.is_veth(),
            gro: gro && is_behind_merging,
            lro: lro && is_behind_merging,
            ..Offloads::default()
        };
        in_the_way.command(&self.name)
    }

    /// Refuses to let another port send what comes unfinished from this interface.
    pub(super) fn refuse_unfinished(&self, port: &str, is_behind_merging: bool) -> Result<(), PortError> {
        let Some(command) = self.finishing_command(is_behind_merging) else { return Ok(()) };
        let veth = if self.is_veth() { ", and likewise at the veth's other end" } else { "" };
        let reason = format!(
            "offloads are on, so that frames come with checksums unfinished or merged, and would be sent on so, for \
             their receivers to drop; switch them off: {command}{veth} (or add offloads=keep to the port's options)"
        );
        Err(PortError::Live { name: port.to_owned(), kind: io::ErrorKind::InvalidInput, reason })
    }

    /// The names of all interfaces, joined by commas, for messages.
    pub fn names() -> String {
        let names: Vec<_> = list().unwrap_or_default().into_iter().map(|(_, name)| name).collect();
        names.join(", ")
    }
}

fn not_found(error: io::Error) -> io::Error {
    if not_found_number(&error) { io::ErrorKind::NotFound.into() } else { error }
}

fn not_found_number(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// What an interface does to packets before they get here and after they left: with these on, frames are not as they
/// are on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Offloads {
    /// Checksums of what was received are verified by the hardware, or left out between virtual interfaces.
    pub rx_checksum: bool,
    /// Checksums of what is sent are made by the hardware.
    pub tx_checksum: bool,
    /// Frames to be sent may lie in pieces.
    pub scatter_gather: bool,
    /// TCP segments are cut by the hardware (TSO).
    pub tso: bool,
    /// Segments are cut as late as possible (GSO).
    pub gso: bool,
    /// Received segments are merged by the kernel (GRO).
    pub gro: bool,
    /// Received segments are merged by the hardware (LRO).
    pub lro: bool,
    /// VLAN tags are taken off what is received.
    pub rx_vlan: bool,
    /// VLAN tags are put on by the hardware.
    pub tx_vlan: bool,
}

impl Offloads {
    fn of(inquiry: &Inquiry, name: Name) -> Self {
        let ask = |command| ethtool_value(inquiry, name, command).unwrap_or(0);
        let is_on = |command| ask(command) != 0;
        // Commands and flags of linux/ethtool.h.
        let flags = ask(0x25); // ETHTOOL_GFLAGS
        Self {
            rx_checksum: is_on(0x14),
            tx_checksum: is_on(0x16),
            scatter_gather: is_on(0x18),
            tso: is_on(0x1e),
            gso: is_on(0x23),
            gro: is_on(0x2b),
            lro: flags & (1 << 15) != 0,
            rx_vlan: flags & (1 << 8) != 0,
            tx_vlan: flags & (1 << 7) != 0,
        }
    }

    /// Each offload's name for `ethtool -K`, and whether it is on.
    pub fn named(&self) -> [(&'static str, bool); 9] {
        [
            ("rx", self.rx_checksum),
            ("tx", self.tx_checksum),
            ("sg", self.scatter_gather),
            ("tso", self.tso),
            ("gso", self.gso),
            ("gro", self.gro),
            ("lro", self.lro),
            ("rxvlan", self.rx_vlan),
            ("txvlan", self.tx_vlan),
        ]
    }

    /// Whether frames may be longer than the MTU, or their checksums unfinished.
    pub fn change_frames(&self) -> bool {
        self.tx_checksum || self.tso || self.gso || self.gro || self.lro
    }

    /// The command that switches off what is on; none if all is off.
    pub fn command(&self, interface: &str) -> Option<String> {
        let on: Vec<_> =
            self.named().into_iter().filter(|(_, on)| *on).map(|(name, _)| format!("{name} off")).collect();
        (!on.is_empty()).then(|| format!("ethtool -K {interface} {}", on.join(" ")))
    }
}

/// The value that a command of `struct ethtool_value` gets.
fn ethtool_value(inquiry: &Inquiry, name: Name, command: u32) -> Option<u32> {
    let mut words = [0; ETHTOOL_WORDS];
    words[0] = command;
    inquiry.ethtool(name, &mut words).ok()?;
    Some(words[1])
}

fn driver(inquiry: &Inquiry, name: Name) -> Option<String> {
    let mut words = [0; ETHTOOL_WORDS];
    words[0] = 0x3; // ETHTOOL_GDRVINFO
    inquiry.ethtool(name, &mut words).ok()?;
    // `char driver[32]` follows the command.
    let bytes: Vec<u8> =
        words[1..9].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).ok().filter(|driver| !driver.is_empty())
}

/// How many queues there are to receive by and to send by.
fn queues(inquiry: &Inquiry, name: Name) -> Option<(u32, u32)> {
    let mut words = [0; ETHTOOL_WORDS];
    words[0] = 0x3c; // ETHTOOL_GCHANNELS
    inquiry.ethtool(name, &mut words).ok()?;
    // The most of each kind come first (4 words), then how many there are: receive, send, other, combined.
    let [receive, send] = [words[5], words[6]].map(|one| one.saturating_add(words[8]));
    (receive != 0).then_some((receive, send))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_the_loopback_interface() {
        let lo = Interface::named("lo").unwrap();
        assert!(lo.is_loopback);
        assert_eq!((lo.index, lo.hardware, lo.link()), (1, 772, Some(LinkType::Ethernet)));
        assert!(Interface::names().split(", ").any(|name| name == "lo"));
        let all = Interface::all().unwrap();
        assert_eq!(all[0].name, "lo");
        assert!(all.is_sorted_by_key(|interface| interface.index));
    }

    #[test]
    fn what_is_no_interface_is_not_found() {
        for name in ["", "no-such", "a name that is much too long", "a/b", "a\0b"] {
            assert_eq!(Interface::named(name).unwrap_err().kind(), io::ErrorKind::NotFound, "{name:?}");
        }
    }

    #[test]
    fn the_line_that_switches_offloads_off_names_those_that_are_on() {
        let offloads = Offloads { tso: true, gro: true, ..Offloads::default() };
        assert_eq!(offloads.command("eth0").unwrap(), "ethtool -K eth0 tso off gro off");
        assert!(offloads.change_frames());
        assert_eq!(Offloads::default().command("eth0"), None);
    }

    #[test]
    fn only_what_leaves_frames_unfinished_is_in_the_way() {
        let mut interface = Interface::named("lo").unwrap();
        "eth0".clone_into(&mut interface.name);
        let offloads =
            Offloads { tx_checksum: true, tso: true, gso: true, rx_vlan: true, ..Offloads::default() };
        (interface.offloads, interface.driver) = (offloads, Some("e1000".to_owned()));
        // Of hardware, what it does when it sends.
        assert_eq!(interface.finishing_command(true), None);
        interface.offloads.gro = true;
        assert_eq!(interface.finishing_command(false), None);
        assert_eq!(interface.finishing_command(true).unwrap(), "ethtool -K eth0 gro off");
        interface.driver = Some("veth".to_owned());
        assert_eq!(interface.finishing_command(false).unwrap(), "ethtool -K eth0 tx off");
        let said = interface.refuse_unfinished("af_packet:eth0", true).unwrap_err().to_string();
        assert!(
            said.contains("ethtool -K eth0 tx off gro off, and likewise at the veth's other end"),
            "{said}"
        );
        interface.offloads = Offloads::default();
        assert!(interface.refuse_unfinished("af_packet:eth0", true).is_ok());
    }
}
