//! From a port's name to the port.

#[cfg(target_os = "linux")]
use super::af_packet::{AfPacket, Use};
#[cfg(target_os = "linux")]
use super::af_xdp;
#[cfg(target_os = "linux")]
use super::netmap;
use super::{Port, PortError, file};

/// Opens the port called `name`.
///
/// | name | port |
/// |---|---|
/// | `af_packet:INTERFACE` | a network interface, by a packet socket of Linux; see [`AfPacket`](super::AfPacket) |
/// | `pcap:PATH` | the capture file PATH, even if PATH looks like another port's name |
/// | `netmap:IF`, `netmap:IF-K` | the rings of the interface IF, or only its ring K, through netmap |
/// | `netmap:IF^`, `netmap:IF*` | the host's side of the interface; both, with packets passed between them |
/// | `netmap:X{ID`, `netmap:X}ID` | the two ends of a netmap pipe |
/// | `valeSWITCH:PORT` | a port of a VALE switch |
/// | `-` | a capture on standard input |
/// | `af_xdp:IF` | the Linux network interface IF, by AF_XDP sockets; [options](super::af_xdp::open) after a `?` |
/// | anything else | the capture file of that name |
///
/// # Errors
///
/// Those of the port: the message says what to do.
pub fn open(name: &str) -> Result<Box<dyn Port>, PortError> {
    #[cfg(target_os = "linux")]
    if netmap::is_netmap(name) {
        return netmap::open(name);
    }
    #[cfg(target_os = "linux")]
    if name.starts_with(af_xdp::PREFIX) {
        return Ok(Box::new(af_xdp::open(name)?));
    }
    #[cfg(target_os = "linux")]
    if name.starts_with(AfPacket::PREFIX) {
        return Ok(Box::new(AfPacket::open(name, Use::Watch)?));
    }
    file::open(name.strip_prefix("pcap:").unwrap_or(name))
}

/// Opens two ports between which packets are to be forwarded, so that they share memory if they can.
///
/// # Errors
///
/// Those of [`open`], and offloads that are on of an interface whose packets the other port could not finish.
pub fn open_pair(first: &str, second: &str) -> Result<[Box<dyn Port>; 2], PortError> {
    #[cfg(target_os = "linux")]
    if netmap::is_netmap(first) && netmap::is_netmap(second) {
        return netmap::open_pair(first, second);
    }
    #[cfg(target_os = "linux")]
    if first.starts_with(af_xdp::PREFIX) && second.starts_with(af_xdp::PREFIX) {
        let [first, second] = af_xdp::open_pair(first, second)?;
        return Ok([Box::new(first), Box::new(second)]);
    }
    Ok([open_beside(first, second)?, open_beside(second, first)?])
}

/// Opens a port that is to be joined to the one called `other`.
fn open_beside(name: &str, other: &str) -> Result<Box<dyn Port>, PortError> {
    #[cfg(target_os = "linux")]
    if name.starts_with(AfPacket::PREFIX) {
        let converts = other.starts_with(af_xdp::PREFIX) || netmap::is_netmap(other);
        return Ok(Box::new(AfPacket::open(name, if converts { Use::Convert } else { Use::Bridge })?));
    }
    #[cfg(target_os = "linux")]
    if name.starts_with(af_xdp::PREFIX) && (other.starts_with(AfPacket::PREFIX) || netmap::is_netmap(other)) {
        return Ok(Box::new(af_xdp::open_beside(name)?));
    }
    let _ = other;
    open(name)
}
