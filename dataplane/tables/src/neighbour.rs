//! Link headers towards neighbours, mirrored from the kernel.

use std::net::IpAddr;

use ipnet::IpNet;
use wire::{Address, LinkHeader, MacAddress};

use crate::trie::Tries;
use crate::{AttachmentIndex, GatewayIndex, PortIndex, PrefixSet};

/// A neighbour whose link address is not known: the kernel is to be asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unresolved {
    /// Where the neighbour is.
    pub port: PortIndex,
    /// Its address.
    pub address: IpAddr,
}

/// A neighbour that was seen as the source of a packet, where the kernel does not know the neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where the neighbour is.
    pub attachment: AttachmentIndex,
    /// The packet's source.
    pub address: IpAddr,
    /// The frame's source.
    pub mac: MacAddress,
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
    /// The border gateway it belongs to.
    pub gateway: GatewayIndex,
    /// The port of its interface.
    pub port: PortIndex,
    /// Where the sources of its packets lie (RFC 2827); `None`: anywhere.
    pub sources: Option<PrefixSet>,
    /// Whether its neighbours are learnt from the packets they send, for the kernel does not know them.
    pub learns: bool,
    adjacencies: Vec<Adjacency>,
    prefixes: Tries,
}

/// What the kernel's routes and neighbours come to for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Adjacency {
    /// Resolved.
    Link(LinkHeader),
    /// A neighbour, not resolved.
    OnLink,
    /// Behind a router that is not resolved.
    Router(IpAddr),
}

impl Attachment {
    /// An attachment of `gateway` at `port`, with the kernel's routes out of its interface and the neighbours there that it has resolved.
    /// Of several routes of a prefix the last counts.
    #[must_use]
    pub fn new(
        gateway: GatewayIndex,
        port: PortIndex,
        routes: &[(IpNet, NextHop)],
        neighbours: &[(IpAddr, LinkHeader)],
    ) -> Self {
        let link =
            |address: &IpAddr| neighbours.iter().find(|(neighbour, _)| neighbour == address).map(|(_, link)| link);
        let (adjacencies, prefixes) = (Vec::new(), Tries::default());
        let mut made = Self { gateway, port, sources: None, learns: false, adjacencies, prefixes };
        made.insert(routes.iter().map(|(prefix, next_hop)| {
            let adjacency = match next_hop {
                NextHop::OnLink => Adjacency::OnLink,
                NextHop::Via(router) => link(router).map_or(Adjacency::Router(*router), |link| Adjacency::Link(*link)),
            };
            (*prefix, adjacency)
        }));
        // A neighbour is one where the kernel's route says so; to it leads a route of its own, so that one look-up does.
        let on_link: Vec<_> = neighbours
            .iter()
            .filter(|(address, _)| made.adjacency((*address).into()) == Some(&Adjacency::OnLink))
            .map(|(address, link)| (IpNet::from(*address), Adjacency::Link(*link)))
            .collect();
        made.insert(on_link.into_iter());
        made
    }

    /// Whether a packet from there may have this source.
    #[must_use]
    #[inline(always)]
    pub fn may_send_from(&self, source: Address) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.holds(source))
    }

    fn insert(&mut self, ways: impl Iterator<Item = (IpNet, Adjacency)>) {
        let adjacencies = &mut self.adjacencies;
        self.prefixes.apply(ways.map(|(prefix, adjacency)| {
            adjacencies.push(adjacency);
            (prefix, adjacencies.len() as u32 - 1)
        }));
    }

    #[inline(always)]
    fn adjacency(&self, destination: Address) -> Option<&Adjacency> {
        self.adjacencies.get(self.prefixes.lookup(destination) as usize)
    }

    /// The link header of packets to `destination`, or the neighbour that is not resolved; `None` where the kernel has
    /// no route there out of this interface.
    #[must_use]
    #[inline(always)]
    pub fn link(&self, destination: impl Into<Address>) -> Option<Result<&LinkHeader, IpAddr>> {
        let destination = destination.into();
        Some(match self.adjacency(destination)? {
            Adjacency::Link(link) => Ok(link),
            Adjacency::OnLink => Err(destination.into()),
            Adjacency::Router(router) => Err(*router),
        })
    }
}

#[cfg(test)]
mod tests {
    use wire::{EtherType, MacAddress};

    use super::*;

    #[test]
    fn a_neighbour_is_one_where_the_route_says_so() {
        let link =
            |last: u8| LinkHeader::new(MacAddress([2, 0, 0, 0, 0, last]), MacAddress([2; 6]), None, EtherType::IPV4);
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let router = IpAddr::from([10, 0, 0, 1]);
        let unresolved = IpAddr::from([10, 0, 0, 9]);
        let prefix = |text: &str| text.parse().unwrap();
        let routes = [
            (prefix("10.0.0.0/24"), NextHop::OnLink),
            (prefix("10.0.0.128/25"), NextHop::Via(router)),
            (prefix("10.9.0.0/16"), NextHop::Via(unresolved)),
        ];
        let neighbours = [(router, link(1)), (address(2), link(2)), (address(200), link(200))];
        let attachment = Attachment::new(GatewayIndex(0), PortIndex(0), &routes, &neighbours);
        for (destination, expected) in [
            (address(2), Some(Ok(&link(2)))),
            (address(3), Some(Err(address(3)))),
            // The kernel has an entry, but its route leads through the router.
            (address(200), Some(Ok(&link(1)))),
            (IpAddr::from([10, 9, 0, 1]), Some(Err(unresolved))),
            (IpAddr::from([10, 8, 0, 1]), None),
            ("2001:db8::1".parse().unwrap(), None),
        ] {
            assert_eq!(attachment.link(destination), expected, "{destination}");
        }
    }
}
