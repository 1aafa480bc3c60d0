//! What each kind of live port could do with each interface, found without opening one: that would take packets from
//! whoever has them now.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, ErrorKind};

use super::LinkType;
use super::interface::Interface;
use super::sys::netmap::Device;
use super::sys::probe;

/// Bytes of an Ethernet header and a VLAN tag, which the MTU does not count.
const LINK_HEADER: u32 = 18;
/// The longest packet that fits into one frame of `AF_XDP`: a page without the room kept in front and two VLAN tags.
const XDP_FRAME: u32 = 4096 - 256 - 22;
/// The size of a netmap buffer, unless the module was told otherwise.
const NETMAP_BUFFER: u32 = 2048;

// Of `linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// An interface, and what the kinds of live ports could do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// The interface.
    pub interface: Interface,
    /// One for each kind of port.
    pub abilities: Vec<Ability>,
}

/// Whether one kind of port can be opened on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// The kind: `af_packet`, `af_xdp` or `netmap`.
    pub backend: &'static str,
    /// The port's name, to be opened.
    pub port: String,
    /// Why it cannot be opened, and what to do about it; none if nothing is known to be in the way.
    pub obstacle: Option<String>,
    /// What else should be known before it is.
    pub note: Option<String>,
}

/// Looks at all interfaces of this thread's network namespace.
///
/// # Errors
///
/// What the system says when it is asked for them.
pub fn survey() -> io::Result<Vec<Surveyed>> {
    let system = System::look();
    let surveyed = |interface: Interface| Surveyed { abilities: system.abilities(&interface), interface };
    Ok(Interface::all()?.into_iter().map(surveyed).collect())
}

/// What stands in the way on every interface.
#[derive(Clone, Debug, Default)]
struct System {
    af_packet: Option<String>,
    af_xdp: Option<String>,
    netmap: Option<String>,
}

impl System {
    fn look() -> System {
        System { af_packet: af_packet(), af_xdp: af_xdp(), netmap: netmap() }
    }

    fn abilities(&self, interface: &Interface) -> Vec<Ability> {
        let Interface { name, mtu, .. } = interface;
        let ability = |backend, obstacle: Option<String>, note: Option<String>| Ability {
            backend,
            port: format!("{backend}:{name}"),
            obstacle,
            note,
        };
        let offloads = interface.offloads.command(name).filter(|_| interface.offloads.change_frames());
        let is_down = (!interface.is_up).then(|| format!("it is down: ip link set dev {name} up"));
        let unknown = interface
            .link()
            .is_none()
            .then(|| format!("its frames (kind {} of if_arp.h) are not known here", interface.hardware));
        let no_ethernet =
            (interface.link() != Some(LinkType::Ethernet)).then(|| "it has no Ethernet frames".to_owned());
        let merged = offloads.as_ref().map(|command| {
            format!("offloads are on, so that frames may be merged or have unfinished checksums: {command}")
        });
        let too_long = mtu.saturating_add(LINK_HEADER) > NETMAP_BUFFER;
        let too_long = too_long.then(|| {
            let most = NETMAP_BUFFER - LINK_HEADER;
            format!(
                "its MTU of {mtu} bytes is too large for netmap's usual buffers: ip link set dev {name} mtu 1500 \
                 (at most {most})"
            )
        });
        let spread = (*mtu > XDP_FRAME).then(|| {
            format!(
                "its MTU of {mtu} bytes takes several frames a packet, which not every kernel and driver can"
            )
        });
        let not_joined = interface.finishing_command(false).map(|command| {
            format!(
                "offloads are on, so that checksums may be unfinished, and two ports are not joined: {command}, and \
                 likewise at the veth's other end"
            )
        });
        let unfinished = offloads.map(|command| format!("offloads are on: {command}"));
        let or = |first: &Option<String>, second: &Option<String>| first.clone().or_else(|| second.clone());
        vec![
            ability("af_packet", or(&self.af_packet, &unknown), or(&is_down, &merged)),
            ability("af_xdp", or(&self.af_xdp, &no_ethernet), is_down.clone().or(not_joined).or(spread)),
            ability(
                "netmap",
                or(&self.netmap, &no_ethernet).or(too_long).or(unfinished),
                is_down.filter(|_| self.netmap.is_none()),
            ),
        ]
    }
}

fn af_packet() -> Option<String> {
    match probe::raw_socket(libc::AF_PACKET).err()? {
        error if error.kind() == ErrorKind::PermissionDenied => {
            Some("missing rights: run as root, or with CAP_NET_RAW".to_owned())
        }
        error => Some(format!("the kernel has no packet sockets: {error}")),
    }
}

fn af_xdp() -> Option<String> {
    let held = capabilities();
    let has = |capability: u32| held >> capability & 1 == 1;
    if !has(CAP_NET_RAW) || !has(CAP_NET_ADMIN) || !(has(CAP_BPF) || has(CAP_SYS_ADMIN)) {
        return Some(
            "missing rights: run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF".to_owned(),
        );
    }
    let error = probe::raw_socket(libc::AF_XDP).err()?;
    Some(format!("the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS): {error}"))
}

/// The capabilities that this thread can use, a bit for each; none if that cannot be known.
fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

fn netmap() -> Option<String> {
    // To open the device changes nothing; only to bind it to an interface does.
    let error = Device::open().err()?;
    Some(match error.kind() {
        ErrorKind::NotFound => "there is no /dev/netmap: the kernel module netmap is not loaded".to_owned(),
        ErrorKind::PermissionDenied => "missing rights: run as root".to_owned(),
        _ => format!("/dev/netmap: {error}"),
    })
}
