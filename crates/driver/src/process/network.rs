//! The network of a task that may reach nothing: a namespace of its own with nothing but loopback.
//!
//! Entered by the child between fork and exec, as root and before it gives root up, so the task can neither come
//! back nor add anything to it. When it cannot be made the task does not run.

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd as _;

use crate::Network;

/// Enters what a task was given.
pub(crate) fn enter(network: Network) -> Result<(), String> {
    match network {
        Network::Machine => Ok(()),
        Network::None => {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("make a network namespace: {error}"))?;
            raise_loopback().map_err(|error| format!("raise loopback: {error}"))
        }
    }
}

/// A new namespace has a loopback that is down; with it up, `127.0.0.1` and `::1` are there.
fn raise_loopback() -> Result<(), Errno> {
    let handle = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid request; the name is two bytes with its closing zero.
    #[allow(unsafe_code)]
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    // SAFETY: the socket is open and the request lives through both calls; the kernel fills and reads its flags.
    #[allow(unsafe_code)]
    unsafe {
        Errno::result(libc::ioctl(handle.as_raw_fd(), libc::SIOCGIFFLAGS as _, &mut request))?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        Errno::result(libc::ioctl(handle.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request)).map(drop)
    }
}
