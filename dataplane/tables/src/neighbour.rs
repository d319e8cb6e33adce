//! Link headers towards neighbours, mirrored from the kernel.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use poptrie::Poptrie;
use wire::{EtherType, Link, MacAddress};

use crate::PortIndex;

/// An Ethernet header, ready to be copied in front of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkHeader(pub [u8; Link::UNTAGGED]);

impl LinkHeader {
    /// The header of packets of `address`'s family.
    #[must_use]
    pub fn new(destination: MacAddress, source: MacAddress, address: IpAddr) -> Self {
        let ether_type = if address.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        Self(Link::untagged(destination, source, ether_type))
    }
}

/// A neighbour whose link address is not known: the kernel is to be asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unresolved {
    /// Where the neighbour is.
    pub port: PortIndex,
    /// Its address.
    pub address: IpAddr,
}

/// How the kernel reaches a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHop {
    /// Each address is a neighbour.
    OnLink,
    /// Through this router.
    Via(IpAddr),
}

/// A VPC attachment as workers see it: a port, and the way to what lies behind it.
pub struct Attachment {
    /// The port of its interface.
    pub port: PortIndex,
    v4: Poptrie<Ipv4Net, NextHop>,
    v6: Poptrie<Ipv6Net, NextHop>,
    neighbours: HashMap<IpAddr, LinkHeader, foldhash::fast::FixedState>,
}

impl Attachment {
    /// An attachment at `port`, with nothing behind it yet.
    #[must_use]
    pub fn new(port: PortIndex) -> Self {
        Self { port, v4: Poptrie::new(), v6: Poptrie::new(), neighbours: HashMap::default() }
    }

    /// Adds a route of the kernel's out of this interface.
    pub fn insert_route(&mut self, prefix: IpNet, next_hop: NextHop) {
        match prefix.trunc() {
            IpNet::V4(prefix) => self.v4.insert(prefix, next_hop),
            IpNet::V6(prefix) => self.v6.insert(prefix, next_hop),
        };
    }

    /// Adds a neighbour that the kernel has resolved.
    pub fn insert_neighbour(&mut self, address: IpAddr, header: LinkHeader) {
        self.neighbours.insert(address, header);
    }

    /// The link header of packets to `destination`, or the neighbour that is not resolved; `None` where the kernel has
    /// no route there out of this interface.
    #[must_use]
    pub fn link(&self, destination: IpAddr) -> Option<Result<&LinkHeader, IpAddr>> {
        let next_hop = match destination {
            IpAddr::V4(address) => self.v4.lookup(address.to_bits()),
            IpAddr::V6(address) => self.v6.lookup(address.to_bits()),
        };
        let neighbour = match next_hop? {
            NextHop::OnLink => destination,
            NextHop::Via(router) => *router,
        };
        Some(self.neighbours.get(&neighbour).ok_or(neighbour))
    }
}
