//! What protects a BGP session's TCP connection from strangers: MD5 signatures (RFC 2385), and the generalised TTL security
//! mechanism (RFC 5082).
//!
//! Both are options of a socket, set before it connects or listens. Without the right key, or from too far away, segments are
//! dropped by the kernel before TCP sees them: whoever sends them gets no answer.

#![deny(clippy::indexing_slicing)]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use zeroize::Zeroizing;

/// The key of a session's MD5 signatures: 1 to 80 bytes, as the kernel has them.
#[derive(Clone)]
pub struct Md5Key(Zeroizing<Vec<u8>>);

/// A key of no bytes, or of too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of {0} bytes; allowed: 1 to 80")]
pub struct Md5KeyError(pub usize);

const LONGEST_KEY: usize = 80;

impl Md5Key {
    /// A key.
    ///
    /// # Errors
    /// [`Md5KeyError`] says how many bytes it has.
    pub fn new(key: &[u8]) -> Result<Self, Md5KeyError> {
        if (1..=LONGEST_KEY).contains(&key.len()) {
            Ok(Self(Zeroizing::new(key.to_vec())))
        } else {
            Err(Md5KeyError(key.len()))
        }
    }
}

impl fmt::Debug for Md5Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Key([redacted])")
    }
}

/// Has all segments to and from a peer signed with a key; `None` ends that. Of a listening socket it is the key of those peers
/// that will connect, each its own.
///
/// # Errors
/// The kernel's: `ENOPROTOOPT` or `EINVAL` where it is built without `TCP_MD5SIG`, `ENOENT` for the end of what never began.
pub fn set_md5_key(socket: &impl AsFd, peer: IpAddr, key: Option<&Md5Key>) -> io::Result<()> {
    let key = key.map(|key| key.0.as_slice()).unwrap_or_default();
    // `struct tcp_md5sig` of linux/tcp.h: an address in the place of 128 bytes, flags, the length of a prefix, that of the key,
    // an interface, the key in the place of 80.
    let mut option = Zeroizing::new(Vec::with_capacity(MD5_OPTION));
    match peer {
        IpAddr::V4(address) => {
            option.extend_from_slice(&family(libc::AF_INET));
            option.extend_from_slice(&[0; 2]);
            option.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            option.extend_from_slice(&family(libc::AF_INET6));
            // A port and a flow label, both unused.
            option.extend_from_slice(&[0; 6]);
            option.extend_from_slice(&address.octets());
        }
    }
    option.resize(128, 0);
    option.extend_from_slice(&[0; 2]);
    let length = u16::try_from(key.len()).expect("a key has at most 80 bytes");
    option.extend_from_slice(&length.to_ne_bytes());
    option.extend_from_slice(&[0; 4]);
    option.extend_from_slice(key);
    option.resize(MD5_OPTION, 0);
    set(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_MD5SIG, &option)
}

const MD5_OPTION: usize = 128 + 8 + LONGEST_KEY;

/// Has segments dropped that have crossed more than `255 - least` routers; the other end sends with a time to live of 255
/// (RFC 5082 §3).
///
/// # Errors
/// The kernel's.
pub fn set_least_ttl(socket: &impl AsFd, peer: IpAddr, least: u8) -> io::Result<()> {
    // Of linux/in.h and linux/in6.h.
    let (level, option) = match peer {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MINTTL),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT),
    };
    set(socket.as_fd(), level, option, &c_int::from(least).to_ne_bytes())
}

const IPV6_MINHOPCOUNT: c_int = 73;

fn family(family: c_int) -> [u8; 2] {
    u16::try_from(family).expect("families are small numbers").to_ne_bytes()
}

fn set(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).expect("options are short");
    // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel reads `length` bytes, which `value` has; it
    // copies them as bytes, whatever their alignment, and keeps no pointer.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.as_ptr().cast::<c_void>(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
