//! The two tunnels, as both ends know them.

use std::net::Ipv4Addr;

/// A tunnel of the connection.
pub struct Tunnel {
    pub name: &'static str,
    /// Public addresses.
    pub cloud: Ipv4Addr,
    pub customer: Ipv4Addr,
    /// Addresses inside, of one /30.
    pub cloud_inner: Ipv4Addr,
    pub customer_inner: Ipv4Addr,
}

/// Both; the second one is cut and drained.
pub const TUNNELS: [Tunnel; 2] = [
    Tunnel {
        name: "tun-1",
        cloud: Ipv4Addr::new(203, 0, 113, 1),
        customer: Ipv4Addr::new(198, 51, 100, 2),
        cloud_inner: Ipv4Addr::new(169, 254, 10, 1),
        customer_inner: Ipv4Addr::new(169, 254, 10, 2),
    },
    Tunnel {
        name: "tun-2",
        cloud: Ipv4Addr::new(203, 0, 113, 2),
        customer: Ipv4Addr::new(192, 0, 2, 2),
        cloud_inner: Ipv4Addr::new(169, 254, 11, 1),
        customer_inner: Ipv4Addr::new(169, 254, 11, 2),
    },
];

/// The one that stays.
pub const STEADY: &Tunnel = &TUNNELS[0];
/// The one that is cut and drained.
pub const LOST: &Tunnel = &TUNNELS[1];
