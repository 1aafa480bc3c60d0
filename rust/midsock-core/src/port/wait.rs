//! Waiting for packets, and the time of those that come live.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Port;
#[cfg(target_os = "linux")]
use super::sys;
use crate::Nanos;

/// Waits until one of the ports may have packets, for at most `timeout`, or until a signal comes.
///
/// Ports that never have to be waited for end the wait at once.
///
/// # Errors
///
/// What the system says.
pub fn wait(ports: &[Box<dyn Port>], timeout: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let [Some(first), rest @ ..] = &*ports.iter().map(|port| port.descriptor()).collect::<Vec<_>>() {
        let mut descriptors = vec![*first];
        for descriptor in rest {
            match descriptor {
                Some(descriptor) => descriptors.push(*descriptor),
                None => return Ok(()),
            }
        }
        return sys::poll::readable(&descriptors, timeout).map(drop);
    }
    let _ = (ports, timeout);
    Ok(())
}

/// The clock's time. Only live ports read it, once a burst: the core never does.
pub fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}
