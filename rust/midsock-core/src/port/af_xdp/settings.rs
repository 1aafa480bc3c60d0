//! What can be chosen when a port is opened.

use crate::port::PortError;
use crate::port::options::Options;

/// How the kernel gets at the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Without a copy if the driver can, else with one.
    #[default]
    Auto,
    Copy,
    ZeroCopy,
}

/// Where the program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attach {
    /// In the driver if it can, else behind it.
    #[default]
    Auto,
    /// In the driver.
    Native,
    /// Behind the driver, where the kernel has made its own packet of the frame.
    Generic,
}

/// The options after the `?` of a port's name; [`super::open`] lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) queue: Option<u32>,
    pub(super) mode: Mode,
    pub(super) attach: Attach,
    /// Bytes of a frame; the fewest that hold the interface's packets if not given.
    pub(super) frame: Option<u32>,
    /// Frames for each queue.
    pub(super) frames: u32,
    pub(super) promiscuous: bool,
    /// Join the interface to another port although its checksum offload is on.
    pub(super) keep_offloads: bool,
}

impl Settings {
    /// Takes the options of a port's name.
    ///
    /// # Errors
    ///
    /// An option or a value that there is not.
    pub(super) fn take(mut options: Options<'_>) -> Result<Settings, PortError> {
        // Both ends of the ranges fit 32 bits.
        let settings = Settings {
            queue: options.number("queue", 0..=u64::from(u16::MAX))?.map(|queue| queue as u32),
            mode: match options.choice("mode", &["auto", "copy", "zerocopy"])? {
                Some(1) => Mode::Copy,
                Some(2) => Mode::ZeroCopy,
                _ => Mode::Auto,
            },
            attach: match options.choice("attach", &["auto", "native", "generic"])? {
                Some(1) => Attach::Native,
                Some(2) => Attach::Generic,
                _ => Attach::Auto,
            },
            frame: options.choice("frame", &["2048", "4096"])?.map(|place| [2048, 4096][place]),
            // More than a burst for either direction, and less than 4 GiB.
            frames: options.number("frames", 1024..=1 << 20)?.map_or(4096, |frames| frames as u32),
            promiscuous: options.switch("promisc")?.unwrap_or(true),
            keep_offloads: options.choice("offloads", &["check", "keep"])? == Some(1),
        };
        options.finish()?;
        Ok(settings)
    }
}
