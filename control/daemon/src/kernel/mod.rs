//! What the kernel knows about the network, mirrored over netlink.

pub mod addresses;
pub mod links;
pub mod neighbours;
pub mod netlink;
pub mod request;
pub mod routes;

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;

pub use addresses::Addresses;
pub use links::Links;
pub use neighbours::Neighbours;
pub use netlink::Netlink;
pub use request::{KernelRoute, Requests};
pub use routes::Routes;

/// Links, addresses, neighbours and routes as the kernel last told them. Plain memory: [`Netlink`] feeds it.
#[derive(Debug, Default)]
pub struct KernelView {
    pub links: Links,
    pub addresses: Addresses,
    pub neighbours: Neighbours,
    pub routes: Routes,
}

/// The way out to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The interface.
    pub interface: u32,
    /// The neighbour to send to.
    pub next_hop: IpAddr,
}

impl KernelView {
    /// Takes in one message; `replace` is its `NLM_F_REPLACE`. Returns whether packets may go another way now.
    pub fn apply(&mut self, message: &RouteNetlinkMessage, replace: bool) -> bool {
        match message {
            RouteNetlinkMessage::NewLink(link) => {
                let changed = self.links.add(link);
                if !self.links.get(link.header.index).is_some_and(|link| link.up) {
                    // The kernel drops the IPv4 routes of an interface that goes down, and does not say so.
                    self.routes.forget_interface(link.header.index);
                }
                changed
            }
            RouteNetlinkMessage::DelLink(link) => {
                self.routes.forget_interface(link.header.index);
                self.neighbours.forget_interface(link.header.index);
                self.addresses.forget_interface(link.header.index);
                self.links.remove(link.header.index)
            }
            RouteNetlinkMessage::NewAddress(address) => self.addresses.add(address),
            RouteNetlinkMessage::DelAddress(address) => self.addresses.remove(address),
            RouteNetlinkMessage::NewNeighbour(neighbour) => self.neighbours.add(neighbour),
            RouteNetlinkMessage::DelNeighbour(neighbour) => self.neighbours.remove(neighbour),
            RouteNetlinkMessage::NewRoute(route) => self.routes.add(route, replace),
            RouteNetlinkMessage::DelRoute(route) => self.routes.remove(route),
            // Nothing that says where packets go.
            _ => false,
        }
    }

    /// The way to a peer, by the main table; `None` without a route, or where its interface is down.
    pub fn way(&self, destination: IpAddr) -> Option<Way> {
        let hop = self.routes.lookup(destination, |interface| self.links.get(interface).is_some_and(|link| link.up))?;
        Some(Way { interface: hop.interface, next_hop: hop.gateway.unwrap_or(destination) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use netlink_packet_route::address::{AddressAttribute, AddressMessage};
    use netlink_packet_route::neighbour::NeighbourState;

    use super::*;
    use super::{links, neighbours, routes};

    /// The host of `examples/static.toml`: wan0 (2) with a default route, vpc0 (3), both neighbours resolved.
    pub fn example() -> KernelView {
        let address = |index: u32, address: [u8; 4]| {
            let mut message = AddressMessage::default();
            message.header.index = index;
            message.attributes = vec![AddressAttribute::Local(address.into())];
            RouteNetlinkMessage::NewAddress(message)
        };
        let mut view = KernelView::default();
        for message in [
            RouteNetlinkMessage::NewLink(links::tests::message(2, "wan0", 2, true)),
            RouteNetlinkMessage::NewLink(links::tests::message(3, "vpc0", 3, true)),
            address(2, [203, 0, 113, 1]),
            address(3, [10, 1, 0, 1]),
            RouteNetlinkMessage::NewRoute(routes::tests::message("0.0.0.0/0", Some([203, 0, 113, 254]), 2, 0)),
            RouteNetlinkMessage::NewRoute(routes::tests::message("10.1.0.0/16", None, 3, 0)),
            neighbour([203, 0, 113, 254], 2, 0x52),
            neighbour([10, 1, 0, 2], 3, 0x53),
        ] {
            assert!(view.apply(&message, false));
        }
        view
    }

    /// The same host behind a trunk: trunk0 (2) without an address, of it VLAN 100 (4) with wan0's address, route and
    /// router, and VLAN 200 (5); besides VLAN 9 (6) of an interface that is not ours.
    pub fn with_vlans() -> KernelView {
        let mut view = example();
        let router = [203, 0, 113, 254];
        let mut address = AddressMessage::default();
        address.attributes = vec![AddressAttribute::Local([203, 0, 113, 1].into())];
        address.header.index = 2;
        let gone = RouteNetlinkMessage::DelAddress(address.clone());
        address.header.index = 4;
        let vlan = |index, name, parent, vlan| {
            RouteNetlinkMessage::NewLink(links::tests::vlan_message(index, name, parent, vlan))
        };
        for message in [
            RouteNetlinkMessage::NewLink(links::tests::message(2, "trunk0", 2, true)),
            gone,
            RouteNetlinkMessage::DelRoute(routes::tests::message("0.0.0.0/0", Some(router), 2, 0)),
            vlan(4, "trunk0.100", 2, 100),
            vlan(5, "trunk0.200", 2, 200),
            vlan(6, "other.9", 77, 9),
            RouteNetlinkMessage::NewAddress(address),
            RouteNetlinkMessage::NewRoute(routes::tests::message("0.0.0.0/0", Some(router), 4, 0)),
            neighbour(router, 4, 0x54),
        ] {
            assert!(view.apply(&message, false));
        }
        view
    }

    pub fn neighbour(address: [u8; 4], interface: u32, last: u8) -> RouteNetlinkMessage {
        let state = NeighbourState::Reachable;
        RouteNetlinkMessage::NewNeighbour(neighbours::tests::message(interface, address, Some(last), state))
    }

    #[test]
    fn the_way_follows_routes_and_links() {
        let mut view = example();
        let peer = IpAddr::from([198, 51, 100, 2]);
        assert_eq!(view.way(peer), Some(Way { interface: 2, next_hop: [203, 0, 113, 254].into() }));
        assert_eq!(view.way([10, 1, 0, 9].into()), Some(Way { interface: 3, next_hop: [10, 1, 0, 9].into() }));
        let direct = RouteNetlinkMessage::NewRoute(routes::tests::message("198.51.100.0/24", None, 3, 0));
        assert!(view.apply(&direct, false));
        assert_eq!(view.way(peer), Some(Way { interface: 3, next_hop: peer }));
        let down = RouteNetlinkMessage::NewLink(links::tests::message(3, "vpc0", 3, false));
        assert!(view.apply(&down, false));
        assert_eq!(view.way(peer).map(|way| way.interface), Some(2));
        assert!(view.apply(&RouteNetlinkMessage::DelLink(links::tests::message(2, "wan0", 2, true)), false));
        assert_eq!(view.way(peer), None);
    }
}
