//! Opening the port, and what can be in the way of that.

use std::cell::Cell;
use std::io::{self, ErrorKind};

use super::blocks::Blocks;
use super::frames::Frames;
use super::header::{Shape, Version};
use super::send::Sender;
use super::transmit::Transmit;
use super::{AfPacket, Ring};
use crate::port::options::Options;
use crate::port::sys::packet::PacketSocket;
use crate::port::{Interface, LinkType, PortError, PortStatistics};

/// What a port is opened for, which decides what its options are if they are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To see all of an interface's packets, also those that this machine sends, as cheaply as can be.
    Watch,
    /// To pass on what comes in, as soon as it comes, by another such port.
    Bridge,
    /// To pass it on by a port of another kind, which cannot finish what offloads left undone.
    Convert,
}

/// Bytes of frames that may wait in the socket beside the ring, or to be sent.
const BUFFER: u32 = 32 << 20;
/// Bytes of an Ethernet header with two tags.
const LINK_HEADER: usize = 22;

/// The options.
struct Settings {
    ring: usize,
    fanout: Option<u16>,
    promiscuous: bool,
    outgoing: bool,
    version: Version,
    keep_offloads: bool,
}

impl Settings {
    fn take(mut options: Options<'_>, purpose: Use) -> Result<Settings, PortError> {
        let watch = purpose == Use::Watch;
        let ring = options.size("ring", 64 << 10..=2 << 30)?;
        let settings = Settings {
            ring: ring.unwrap_or(if watch { 32 << 20 } else { 8 << 20 }) as usize,
            fanout: options.number("fanout", 0..=65535)?.map(|group| group as u16),
            promiscuous: options.switch("promisc")?.unwrap_or(true),
            outgoing: options.switch("outgoing")?.unwrap_or(watch),
            version: match options.choice("tpacket", &["2", "3"])? {
                None if watch => Version::Three,
                None | Some(0) => Version::Two,
                Some(_) => Version::Three,
            },
            keep_offloads: options.choice("offloads", &["check", "keep"])? == Some(1),
        };
        options.finish()?;
        Ok(settings)
    }
}

impl AfPacket {
    /// Opens the port called `name`, in the network namespace of this thread.
    ///
    /// # Errors
    ///
    /// An option that it does not know, no such interface, an interface that is down, missing rights, no memory for the
    /// ring: the message says what to do.
    pub fn open(name: &str, purpose: Use) -> Result<AfPacket, PortError> {
        let (base, options) = Options::split(name)?;
        let settings = Settings::take(options, purpose)?;
        let interface = base.strip_prefix(AfPacket::PREFIX).unwrap_or(base);
        let error = |kind: ErrorKind, reason: String| PortError::Live { name: name.to_owned(), kind, reason };
        let failed = |doing: &str, source: io::Error| match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => error(
                ErrorKind::PermissionDenied,
                "no right to open a packet socket; run as root, or with CAP_NET_RAW".into(),
            ),
            Some(libc::ENOMEM) => error(
                ErrorKind::OutOfMemory,
                format!("no memory for a ring of {} bytes; ask for less with ?ring=", settings.ring),
            ),
            Some(libc::ENODEV | libc::ENXIO) => {
                error(ErrorKind::NotFound, format!("the interface {interface} was removed"))
            }
            Some(libc::EAFNOSUPPORT) => {
                error(ErrorKind::Unsupported, "this kernel has no packet sockets (CONFIG_PACKET)".into())
            }
            _ => error(source.kind(), format!("{doing}: {source}")),
        };

        let found = Interface::named(interface).map_err(|source| match source.kind() {
            ErrorKind::NotFound => error(
                ErrorKind::NotFound,
                format!("no interface {interface}; there are: {}", Interface::names()),
            ),
            _ => failed("asking for the interface", source),
        })?;
        if purpose == Use::Convert && !settings.keep_offloads {
            found.refuse_unfinished(name, true)?;
        }
        // Without its own header, a frame of a kind unknown here gets that of a cooked capture.
        let link = found.link().unwrap_or(LinkType::LinuxSll);
        let is_raw = found.link().is_some();
        let socket = PacketSocket::new(is_raw).map_err(|source| failed("opening a packet socket", source))?;
        if !found.is_up {
            return Err(error(
                ErrorKind::NetworkDown,
                format!("the interface {interface} is down; switch it on with: ip link set {interface} up"),
            ));
        }

        // What is sent by the loopback interface also comes in by it: one of both is enough.
        let skip_outgoing = !settings.outgoing || found.is_loopback;
        // Kernels before 4.20 cannot leave outgoing packets out.
        let kernel_skips = skip_outgoing && socket.set_number(libc::PACKET_IGNORE_OUTGOING, 1).is_ok();
        if is_raw {
            socket
                .set_number(libc::PACKET_VNET_HDR, 1)
                .map_err(|source| failed("asking for offload headers", source))?;
        }
        let shape = Shape {
            link,
            has_offload: is_raw,
            skip_outgoing: skip_outgoing && (!kernel_skips || settings.fanout.is_some()),
        };
        socket.set_buffers(BUFFER).map_err(|source| failed("setting the socket's buffers", source))?;
        let longest = found.mtu as usize + LINK_HEADER;
        let ring = match settings.version {
            Version::Two => Frames::new(&socket, shape, longest, settings.ring)
                .map(|frames| Ring::Frames(Box::new(frames))),
            Version::Three => {
                Blocks::new(&socket, shape, settings.ring).map(|blocks| Ring::Blocks(Box::new(blocks)))
            }
        }
        .map_err(|source| failed("making the receive ring", source))?;
        if settings.promiscuous {
            socket
                .promiscuous(found.index)
                .map_err(|source| failed("switching to promiscuous mode", source))?;
        }
        socket.bind(found.index, true).map_err(|source| failed("binding to the interface", source))?;
        if let Some(group) = settings.fanout {
            join(&socket, group, purpose, skip_outgoing).map_err(|source| match source.raw_os_error() {
                Some(libc::EINVAL | libc::EALREADY) => error(
                    ErrorKind::InvalidInput,
                    format!(
                        "fanout group {group} is in use on another interface or in another way; choose another number"
                    ),
                ),
                _ => failed("joining the fanout group", source),
            })?;
        }
        let mtu = found.mtu as usize + if link == LinkType::Ethernet { 14 } else { 0 };
        // What leaves by another socket than it is received by would come back to a port that takes what is sent.
        let transmit = if is_raw && skip_outgoing && !found.is_loopback {
            let ring = Transmit::new(found.index, mtu + Sender::TAG, BUFFER);
            Some(ring.map_err(|source| failed("making the transmit ring", source))?)
        } else {
            None
        };
        Ok(AfPacket {
            name: name.to_owned(),
            interface: interface.to_owned(),
            socket,
            ring,
            sender: Sender::new(link, is_raw, mtu, transmit),
            statistics: PortStatistics::default(),
            dropped_by_kernel: Cell::new(0),
            silent: 0,
            bursts: 0,
            down: None,
        })
    }
}

/// Shares the interface's packets with the other sockets of the group, by a hash that is the same for both directions
/// of a flow.
fn join(socket: &PacketSocket, group: u16, purpose: Use, skip_outgoing: bool) -> io::Result<()> {
    let mut kind = libc::PACKET_FANOUT_HASH;
    if purpose == Use::Watch {
        kind |= libc::PACKET_FANOUT_FLAG_DEFRAG;
    }
    let join = |kind: u32| socket.set_number(libc::PACKET_FANOUT, u32::from(group) | kind << 16);
    if skip_outgoing {
        // Older kernels do not know this flag; the port sorts them out itself.
        match join(kind | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result,
        }
    }
    join(kind)
}
