//! Header views and checksums: Ethernet, VLAN, IPv4, IPv6, ICMP, TCP, UDP, ESP; and what a router does to a packet.
//!
//! Every view borrows the frame, allocates nothing and never panics on what the network sends: a header that does not
//! fit is [`Malformed`], and says which.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod checksum;
pub mod ecn;
pub mod esp;
pub mod ethernet;
pub mod fragment;
pub mod icmp;
pub mod ip;
pub mod tcp;
pub mod udp;

pub use ecn::Ecn;
pub use esp::Spi;
pub use ethernet::{EtherType, Link, LinkHeader, MacAddress, Tag};
pub use fragment::Fragment;
pub use ip::{Address, Bits, Ipv4Header, Ipv6Header, Packet, Protocol};

/// A header that the bytes do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than an ESP header, an initialisation vector and an integrity check value.
    Esp,
    /// Shorter than an Ethernet header with its VLAN tags, or with more than two tags.
    Ethernet,
    /// Not ICMP of the packet's version, only a fragment of it, a wrong checksum, or an error that quotes no packet.
    Icmp,
    /// An IPv4 or IPv6 header with a wrong version, length field or header checksum, or extension headers too long.
    Ip,
    /// Shorter than a UDP header, or with a length field that the packet does not hold.
    Udp,
}
