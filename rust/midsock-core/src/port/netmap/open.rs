//! From a name to an open port: the requests, the checks before them, and what a refusal means.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use super::NetmapPort;
use super::extra::Spares;
use super::layout::Layout;
use super::name::{Kind, Name};
use super::ring::FRAGMENTS;
use crate::port::interface::Interface;
use crate::port::sys::interface::kernel_name;
use crate::port::sys::mapping::Mapping;
use crate::port::sys::netmap::{DEVICE, Device, Register};
use crate::port::sys::netmap_link::{self, Watch};
use crate::port::{BURST, Port, PortError};

/// Extra buffers to ask for: as many as a burst has packets.
const EXTRA_BUFFERS: u32 = BURST as u32;

/// What a frame has besides the interface's MTU: an Ethernet header and a VLAN tag.
const FRAME_OVERHEAD: usize = 18;

/// The module's own choice of a buffer's size.
const USUAL_BUFFER: usize = 2048;

/// The module's sources, where its documentation is too.
const UPSTREAM: &str = "https://github.com/luigirizzo/netmap";

/// Opens the netmap port called `name`.
pub(in crate::port) fn open(name: &str) -> Result<Box<dyn Port>, PortError> {
    Ok(Box::new(connect(&parse(name)?)?))
}

/// Opens two netmap ports, in one memory region if the kernel lets them.
pub(in crate::port) fn open_pair(first: &str, second: &str) -> Result<[Box<dyn Port>; 2], PortError> {
    let names = [parse(first)?, parse(second)?];
    for name in &names {
        if name.is_tap() {
            let whole = &name.port;
            let reason = format!(
                "'*' passes packets between the interface and the host by itself; to bridge with them, open \
                 netmap:{whole} and netmap:{whole}^"
            );
            return Err(failed(name, ErrorKind::InvalidInput, reason));
        }
    }
    let [first, second] = &names;
    // An interface's region is given; pipes and switches' ports can be made in it.
    if first.kind != Kind::Interface && second.kind == Kind::Interface {
        let second = connect(second)?;
        let first = connect_in(first, second.region)?;
        return Ok([Box::new(first), Box::new(second)]);
    }
    let first = connect(first)?;
    let second = connect_in(second, first.region)?;
    Ok([Box::new(first), Box::new(second)])
}

fn parse(name: &str) -> Result<Name, PortError> {
    let interfaces = Interface::all().map_err(|source| PortError::Io { name: name.to_owned(), source })?;
    Name::parse(name, &interfaces.into_iter().map(|interface| interface.name).collect::<Vec<_>>())
}

/// Opens a port in the region with this number, or if that cannot be, in its own.
fn connect_in(name: &Name, region: u16) -> Result<NetmapPort, PortError> {
    if name.kind != Kind::Interface && name.mem_id == 0 {
        let shared = Name { mem_id: region, ..name.clone() };
        if let Ok(port) = connect(&shared) {
            return Ok(port);
        }
    }
    connect(name)
}

fn connect(name: &Name) -> Result<NetmapPort, PortError> {
    let device = Device::open().map_err(|error| no_device(name, &error))?;
    // What is none the kernel refuses itself. What is watched by a monitor is as its first user wants it.
    let interface = (name.kind == Kind::Interface && !name.is_monitor())
        .then(|| Interface::named(&name.port).ok())
        .flatten();
    if let Some(interface) = &interface {
        check_offloads(name, interface)?;
    }
    let mut wanted = name.registration();
    if name.can_send() {
        wanted.extra_buffers = EXTRA_BUFFERS;
    }
    let granted = device.register(&name.port, &wanted).map_err(|error| refused(name, &error))?;
    let port = set_up(name, device, &granted, interface.as_ref())?;
    match interface.map(|interface| interface.mtu as usize) {
        Some(mtu) if mtu + FRAME_OVERHEAD > port.buffers.size => Err(too_large(name, mtu, port.buffers.size)),
        _ => Ok(port),
    }
}

fn set_up(
    name: &Name,
    device: Device,
    granted: &Register,
    interface: Option<&Interface>,
) -> Result<NetmapPort, PortError> {
    let broken = |reason: String| failed(name, ErrorKind::InvalidData, format!("netmap's region: {reason}"));
    let system = |source| PortError::Io { name: name.text.clone(), source };
    let region = usize::try_from(granted.memsize).map_err(|_| broken("it is too large".to_owned()))?;
    let map = || {
        // A chain of slots is copied here to be one frame. The largest fits, and the room for more takes no memory until
        // it is used.
        let behind = 2 * FRAGMENTS as usize * usize::from(u16::MAX);
        let whole = region.checked_add(behind).ok_or(ErrorKind::OutOfMemory)?;
        let mut mapping = Mapping::anonymous(whole)?;
        mapping.put_shared(0, device.as_fd(), 0, region)?;
        Ok(mapping)
    };
    let mapping = map().map_err(system)?;
    let mut layout = Layout::read(&mapping, granted.offset, region).map_err(broken)?;
    if !name.can_send() {
        layout.tx.clear();
    }
    let watch = match interface.and_then(|interface| kernel_name(&interface.name)) {
        Some(name) => Some(Watch::new(name).map_err(system)?),
        None => None,
    };
    let promiscuous = match interface {
        Some(interface) if name.has_nic_rings() => {
            Some(netmap_link::promiscuous(interface.index).map_err(system)?)
        }
        _ => None,
    };
    for ring in &layout.rx {
        ring.ask_for_time(&mapping);
    }
    // Last, for only an open port gives them back.
    let spares = Spares::take(&mapping, &layout.buffers, layout.extra_at, granted.extra_buffers);
    let spares = spares.map_err(broken)?;
    Ok(NetmapPort::new(name, device, mapping, region, granted.mem_id, layout, spares, watch, promiscuous))
}

/// Offloads leave packets for the hardware to finish, which netmap's programs are not.
fn check_offloads(name: &Name, interface: &Interface) -> Result<(), PortError> {
    let command = interface.offloads.command(&interface.name);
    let Some(command) = command.filter(|_| interface.offloads.change_frames() && !name.keep_offloads) else {
        return Ok(());
    };
    let reason = format!(
        "offloads are on, which leave checksums unfinished and frames oversized; switch them off, and those of a \
         veth's other end: {command} (or add ?offloads=keep to the port's name)"
    );
    Err(failed(name, ErrorKind::InvalidInput, reason))
}

fn too_large(name: &Name, mtu: usize, buffer: usize) -> PortError {
    let most = buffer.saturating_sub(FRAME_OVERHEAD);
    let reason = format!(
        "its MTU of {mtu} bytes is too large for netmap's buffers of {buffer} bytes: ip link set {} mtu {} (at most \
         {most}), or have the module make larger ones (its parameter buf_size)",
        name.port,
        most.min(1500)
    );
    failed(name, ErrorKind::InvalidInput, reason)
}

fn no_device(name: &Name, error: &io::Error) -> PortError {
    let device = DEVICE.to_string_lossy();
    let reason = match error.kind() {
        ErrorKind::NotFound => {
            format!("there is no {device}: load the kernel module netmap (modprobe netmap; see {UPSTREAM})")
        }
        ErrorKind::PermissionDenied => format!("{device} may not be opened: run as root"),
        _ if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) => {
            format!(
                "nothing is behind {device}: load the kernel module netmap (modprobe netmap; see {UPSTREAM})"
            )
        }
        _ => format!("{device}: {error}"),
    };
    // A device that is not there is not a port that is not there.
    failed(name, error.kind(), reason)
}

/// Why the kernel does not bind the device to the port.
fn refused(name: &Name, error: &io::Error) -> PortError {
    let Name { port, .. } = name;
    let (kind, reason) = match error.raw_os_error() {
        Some(libc::ENXIO | libc::ENODEV | libc::ENOENT) if name.is_monitor() => {
            (ErrorKind::NotFound, format!("{port} is not open: what is to be monitored must be open already"))
        }
        Some(libc::ENXIO | libc::ENODEV | libc::ENOENT)
            if name.kind == Kind::Interface && Interface::named(port).is_ok() =>
        {
            (ErrorKind::Unsupported, format!("netmap cannot open the interface {port}"))
        }
        Some(libc::ENXIO | libc::ENODEV | libc::ENOENT) if name.kind == Kind::Interface => {
            (ErrorKind::NotFound, format!("there is no interface {port}; there are {}", Interface::names()))
        }
        Some(libc::ENXIO | libc::ENODEV | libc::ENOENT) => {
            (ErrorKind::NotFound, format!("netmap knows no port {port}"))
        }
        Some(libc::EBUSY) => {
            let reason =
                "it is in use: another program has opened it exclusively, or it is part of a switch or bond";
            (ErrorKind::ResourceBusy, reason.to_owned())
        }
        Some(libc::ENOMEM) => {
            let reason = "netmap's memory is used up: close other ports, or load the module with a larger buf_num, \
                          ring_num and if_num";
            (ErrorKind::OutOfMemory, reason.to_owned())
        }
        Some(libc::EPERM | libc::EACCES) => (ErrorKind::PermissionDenied, "run as root".to_owned()),
        Some(libc::EINVAL) => {
            let mtu = Interface::named(port).map_or(0, |interface| interface.mtu as usize);
            if name.kind == Kind::Interface && mtu + FRAME_OVERHEAD > USUAL_BUFFER {
                return too_large(name, mtu, USUAL_BUFFER);
            }
            let what = if name.is_monitor() {
                "what is to be monitored must be open already"
            } else {
                "a ring or region with this number may not exist, or the module be of another version"
            };
            (ErrorKind::InvalidInput, format!("netmap does not open it so; {what}"))
        }
        Some(libc::EOPNOTSUPP) => {
            (ErrorKind::Unsupported, "the module was built without this kind of port".to_owned())
        }
        _ => (error.kind(), format!("netmap does not open it: {error}")),
    };
    failed(name, kind, reason)
}

fn failed(name: &Name, kind: ErrorKind, reason: String) -> PortError {
    PortError::Live { name: name.text.clone(), kind, reason }
}
