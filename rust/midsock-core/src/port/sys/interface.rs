//! What the system tells of its network interfaces, by `ioctl` on any socket of the network namespace.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A name as the kernel takes it: at most 15 bytes, and a zero.
pub(in crate::port) type Name = [libc::c_char; libc::IFNAMSIZ];

/// The name as the kernel takes it; none if it cannot be an interface's.
pub(in crate::port) fn kernel_name(name: &str) -> Option<Name> {
    let mut bytes: Name = [0; libc::IFNAMSIZ];
    if name.is_empty() || name.len() >= bytes.len() || name.contains(['\0', '/']) {
        return None;
    }
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Some(bytes)
}

/// The names and indexes of all interfaces of the network namespace.
pub(in crate::port) fn list() -> io::Result<Vec<(u32, String)>> {
    // SAFETY: takes no argument; its result is freed below.
    let first = unsafe { libc::if_nameindex() };
    if first.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut all = Vec::new();
    let mut at = first;
    loop {
        // SAFETY: the array ends with an entry whose index is 0, and the loop stops there.
        let entry = unsafe { &*at };
        if entry.if_index == 0 || entry.if_name.is_null() {
            break;
        }
        // SAFETY: every other entry has a name that ends with a zero and lives until the array is freed.
        let name = unsafe { CStr::from_ptr(entry.if_name) };
        all.push((entry.if_index, name.to_string_lossy().into_owned()));
        // SAFETY: this was not the last entry.
        at = unsafe { at.add(1) };
    }
    // SAFETY: it is what `if_nameindex` returned, and nothing refers to it any longer.
    unsafe { libc::if_freenameindex(first) };
    Ok(all)
}

/// A socket to ask about interfaces, in the network namespace that the thread is in now.
#[derive(Debug)]
pub(in crate::port) struct Inquiry(OwnedFd);

impl Inquiry {
    pub(in crate::port) fn new() -> io::Result<Inquiry> {
        // SAFETY: no pointers.
        let descriptor = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened and is nobody else's.
        Ok(Inquiry(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    fn ask(&self, request: libc::c_ulong, name: Name) -> io::Result<libc::ifreq> {
        // SAFETY: all zeros are a valid `ifreq`.
        let mut question: libc::ifreq = unsafe { std::mem::zeroed() };
        question.ifr_name = name;
        // SAFETY: the requests used here read and write an `ifreq` and nothing else.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, &raw mut question) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(question)
    }

    pub(in crate::port) fn index(&self, name: Name) -> io::Result<u32> {
        let answer = self.ask(libc::SIOCGIFINDEX, name)?;
        // SAFETY: this request fills this member.
        Ok(unsafe { answer.ifr_ifru.ifru_ifindex } as u32)
    }

    /// `IFF_UP` and its like.
    pub(in crate::port) fn flags(&self, name: Name) -> io::Result<i32> {
        let answer = self.ask(libc::SIOCGIFFLAGS, name)?;
        // SAFETY: this request fills this member.
        Ok(i32::from(unsafe { answer.ifr_ifru.ifru_flags }))
    }

    /// The longest packet, without the link's header.
    pub(in crate::port) fn mtu(&self, name: Name) -> io::Result<u32> {
        let answer = self.ask(libc::SIOCGIFMTU, name)?;
        // SAFETY: this request fills this member.
        Ok(unsafe { answer.ifr_ifru.ifru_mtu } as u32)
    }

    /// Its kind (`ARPHRD_ETHER` and its like) and its hardware address, of which Ethernet uses the first six bytes.
    pub(in crate::port) fn hardware(&self, name: Name) -> io::Result<(u16, [u8; 14])> {
        let answer = self.ask(libc::SIOCGIFHWADDR, name)?;
        // SAFETY: this request fills this member.
        let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
        Ok((address.sa_family, address.sa_data.map(|byte| byte as u8)))
    }

    /// Asks the interface's driver: `words` is one of the structures of `linux/ethtool.h`, as 32-bit words of which the
    /// first is the command, and holds the answer afterwards. A structure of a command that is given here has no
    /// pointers and at most as many words.
    pub(in crate::port) fn ethtool(&self, name: Name, words: &mut [u32; ETHTOOL_WORDS]) -> io::Result<()> {
        // SAFETY: all zeros are a valid `ifreq`.
        let mut question: libc::ifreq = unsafe { std::mem::zeroed() };
        question.ifr_name = name;
        question.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        let request = libc::SIOCETHTOOL;
        // SAFETY: the kernel writes no more than the command's structure, the longest of which is `ethtool_drvinfo` with
        // 196 bytes; `words` is longer and outlives the call.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, &raw mut question) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// Words of the longest structure that is asked for, and some.
pub(in crate::port) const ETHTOOL_WORDS: usize = 64;
