//! netmap: packets in rings that this process shares with the kernel.
//!
//! A port binds a `/dev/netmap` descriptor to an interface's rings, to one end of a pipe, or to a port of a VALE switch
//! (see [`name`]), and maps the memory region that its rings and buffers lie in. Frames are handed out where they are, in
//! the buffers of the receive rings. Ports of one region hand frames over by exchanging buffers; between regions a frame
//! is copied.
//!
//! Each port maps the region for itself, also if another port of this process has: what one port changes is never behind a
//! reference that another one gave out, and each can be closed or moved to another thread by itself.
//!
//! | file | job |
//! |---|---|
//! | `name` | the grammar of names |
//! | `open` | the requests, the checks before them, the meaning of refusals |
//! | `layout`, `ring`, `cursor` | where things lie; one ring; the arithmetic of its places |
//! | `receive` | bursts out of the receive rings |
//! | `transmit` | frames into the transmit rings, and what happens if they are full |
//! | `extra` | the buffers that are in no ring |

mod cursor;
mod extra;
mod layout;
mod name;
mod open;
mod receive;
mod ring;
#[cfg(test)]
mod tests;
mod transmit;

use std::any::Any;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use self::cursor::Broken;
use self::extra::Spares;
use self::layout::Layout;
use self::name::Name;
pub(super) use self::name::is_netmap;
pub(super) use self::open::{open, open_pair};
use self::receive::{Held, Inlet};
use self::ring::Buffers;
use self::transmit::{Budget, Outlet};
use super::sys::mapping::Mapping;
use super::sys::netmap::Device;
use super::sys::netmap_link::Watch;
use super::{Packet, Port, PortError, PortStatistics, Received};

/// An open netmap port.
///
/// netmap does not tell how many packets it dropped for want of room, so that
/// [`dropped_by_kernel`](PortStatistics::dropped_by_kernel) stays 0.
#[derive(Debug)]
pub(super) struct NetmapPort {
    name: String,
    device: Device,
    /// The region, and behind it the room where chains of slots become one frame.
    mapping: Mapping,
    /// Bytes of the region.
    region_size: usize,
    /// The number of the region.
    region: u16,
    buffers: Buffers,
    rx: Vec<Inlet>,
    /// The receive ring whose turn is next.
    turn: usize,
    /// What the packets of the current burst lie in, in their order.
    held: Vec<Held>,
    /// The NIC's rings, then the host's.
    tx: Vec<Outlet>,
    /// How many of them are the NIC's.
    nic_tx: usize,
    spares: Spares,
    budget: Budget,
    /// Whether a frame may take several slots of a transmit ring.
    chains: bool,
    /// Whether packets of the NIC's are passed on to the host and the other way round.
    tap: bool,
    /// Whether the kernel's end is gone: there is nothing to be drained then.
    gone: bool,
    statistics: PortStatistics,
    /// Tells when the interface can't be synced.
    watch: Option<Watch>,
    /// Keeps the interface promiscuous.
    _promiscuous: Option<OwnedFd>,
}

impl NetmapPort {
    #[expect(clippy::too_many_arguments, reason = "the parts that a registration brings together, once")]
    fn new(
        name: &Name,
        device: Device,
        mapping: Mapping,
        region_size: usize,
        region: u16,
        layout: Layout,
        spares: Spares,
        watch: Option<Watch>,
        promiscuous: Option<OwnedFd>,
    ) -> NetmapPort {
        let nic_tx = layout.tx.iter().filter(|ring| !ring.host).count();
        NetmapPort {
            name: name.text.clone(),
            device,
            mapping,
            region_size,
            region,
            buffers: layout.buffers,
            rx: layout.rx.into_iter().map(Inlet::new).collect(),
            turn: 0,
            held: Vec::with_capacity(super::BURST),
            tx: layout.tx.into_iter().map(Outlet::new).collect(),
            nic_tx,
            spares,
            budget: Budget::default(),
            // A NIC's driver and the host's stack take each slot for a packet of its own.
            chains: name.kind != name::Kind::Interface,
            tap: name.is_tap(),
            gone: false,
            statistics: PortStatistics::default(),
            watch,
            _promiscuous: promiscuous,
        }
    }

    fn broken(&self, broken: Broken) -> PortError {
        let reason = format!("a ring is not as it was left: {broken}; only one program may use it");
        self.failed(ErrorKind::InvalidData, reason)
    }

    /// Whether a sync returns; see [`Watch`].
    fn may_sync(&self) -> bool {
        self.watch.as_ref().is_none_or(Watch::is_running)
    }

    /// What a sync or a poll that failed means.
    fn lost(&mut self, error: &io::Error) -> PortError {
        match error.raw_os_error() {
            Some(libc::EIO | libc::ENXIO | libc::ENODEV) => {
                self.gone = true;
                self.failed(ErrorKind::NotConnected, "the interface went away".to_owned())
            }
            _ => self.failed(error.kind(), format!("netmap's sync: {error}")),
        }
    }

    fn failed(&self, kind: ErrorKind, reason: String) -> PortError {
        PortError::Live { name: self.name.clone(), kind, reason }
    }
}

impl Port for NetmapPort {
    fn receive(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError> {
        self.next_burst(burst, wait)
    }

    fn memory(&self) -> &[u8] {
        self.mapping.bytes()
    }

    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        Some(self.mapping.bytes_mut())
    }

    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError> {
        self.check_sends()?;
        for packet in burst {
            self.send_copy(self.outlet_of(packet), packet.frame(memory))?;
        }
        Ok(())
    }

    fn forward(&mut self, from: &mut dyn Port, burst: &[Packet], places: &[u16]) -> Result<(), PortError> {
        self.check_sends()?;
        let source: &mut dyn Any = from;
        if let Some(source) = source.downcast_mut::<NetmapPort>()
            && source.region == self.region
        {
            return places.iter().try_for_each(|place| {
                let place = usize::from(*place);
                self.hand_over(source, &burst[place], place)
            });
        }
        for place in places {
            let packet = &burst[usize::from(*place)];
            self.send_copy(self.outlet_of(packet), packet.frame(from.memory()))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PortError> {
        self.flush_all()
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.watch.as_ref().and_then(Watch::either).unwrap_or_else(|| self.device.as_fd()))
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl Drop for NetmapPort {
    /// Sends what can still be sent and lists the extra buffers for the kernel to free.
    fn drop(&mut self) {
        self.drain();
        for outlet in &mut self.tx {
            outlet.give_up(&mut self.spares);
        }
        self.spares.give_back(&self.mapping, &self.buffers);
    }
}
