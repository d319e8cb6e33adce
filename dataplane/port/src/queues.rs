//! How many queues an interface has.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::OpenError;

/// `SIOCETHTOOL` and `ETHTOOL_GCHANNELS`, which the libc crate does not have for Linux.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_channels` of `linux/ethtool.h`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    max_combined: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// The receive queues of an interface of the current network namespace, at least 1: so many AF_XDP sockets
/// are needed to see all of its traffic. Asked of the driver; one that does not say has one.
///
/// # Errors
/// [`OpenError::NoSuchInterface`], or [`OpenError::Kernel`].
pub fn queue_count(interface: &str) -> Result<u32, OpenError> {
    let no_such = || OpenError::NoSuchInterface { interface: interface.into() };
    let failed = |error: io::Error| OpenError::Kernel {
        doing: "asking for its channels",
        interface: interface.into(),
        queue: 0,
        reason: error.to_string(),
    };
    let name = CString::new(interface).map_err(|_| no_such())?;
    let name = name.as_bytes_with_nul();
    if name.len() > libc::IFNAMSIZ {
        return Err(no_such());
    }

    // SAFETY: no pointers are passed.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    // SAFETY: the descriptor was just made and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };

    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    // SAFETY: all zeros is a valid value of this plain C struct.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // SAFETY: for this command the kernel reads `request`, and writes a `struct ethtool_channels` to where its data
    // pointer points, which is `channels`, alive and of that layout.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if done == 0 {
        return Ok((channels.rx + channels.combined).max(1));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENODEV) => Err(no_such()),
        Some(libc::EOPNOTSUPP) => Ok(1),
        Some(_) | None => Err(failed(error)),
    }
}
