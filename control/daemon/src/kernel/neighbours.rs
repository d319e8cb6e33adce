//! Neighbours and their link addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use wire::MacAddress;

/// All neighbours with a link address, by interface and address.
#[derive(Debug, Default)]
pub struct Neighbours(HashMap<(u32, IpAddr), Neighbour>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Neighbour {
    mac: MacAddress,
    /// The kernel has not heard of it for a while; without a new probe it will forget it.
    stale: bool,
}

impl Neighbours {
    pub(super) fn add(&mut self, message: &NeighbourMessage) -> bool {
        let Some(address) = address(message) else { return false };
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(mac) => mac.as_slice().try_into().ok().map(MacAddress),
            _ => None,
        });
        let stale = match message.header.state {
            NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp => Some(false),
            NeighbourState::Stale => Some(true),
            // Being probed: good until the probe fails.
            NeighbourState::Delay | NeighbourState::Probe => Some(false),
            NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None => None,
            _ => None,
        };
        let key = (message.header.ifindex, address);
        let before = match (mac, stale) {
            (Some(mac), Some(stale)) => self.0.insert(key, Neighbour { mac, stale }),
            _ => self.0.remove(&key),
        };
        before.map(|neighbour| neighbour.mac) != self.mac(key.0, key.1)
    }

    pub(super) fn remove(&mut self, message: &NeighbourMessage) -> bool {
        address(message).is_some_and(|address| self.0.remove(&(message.header.ifindex, address)).is_some())
    }

    pub(super) fn forget_interface(&mut self, interface: u32) {
        self.0.retain(|(index, _), _| *index != interface);
    }

    /// The link address of a neighbour that is resolved.
    pub fn mac(&self, interface: u32, address: IpAddr) -> Option<MacAddress> {
        self.0.get(&(interface, address)).map(|neighbour| neighbour.mac)
    }

    /// The resolved neighbours of an interface.
    pub fn of_interface(&self, interface: u32) -> impl Iterator<Item = (IpAddr, MacAddress)> {
        self.0
            .iter()
            .filter(move |((index, _), _)| *index == interface)
            .map(|((_, address), neighbour)| (*address, neighbour.mac))
    }

    /// The neighbours of an interface that the kernel will forget unless they are probed.
    pub fn stale(&self, interface: u32) -> impl Iterator<Item = IpAddr> {
        self.0
            .iter()
            .filter(move |((index, _), neighbour)| *index == interface && neighbour.stale)
            .map(|((_, address), _)| *address)
    }
}

fn address(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn message(interface: u32, address: [u8; 4], last: Option<u8>, state: NeighbourState) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = interface;
        message.header.state = state;
        message.attributes = vec![NeighbourAttribute::Destination(NeighbourAddress::Inet(address.into()))];
        message.attributes.extend(last.map(|last| NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, last])));
        message
    }

    #[test]
    fn only_a_resolved_neighbour_counts() {
        use NeighbourState::{Failed, Incomplete, Reachable, Stale};
        let (address, key) = ([192, 0, 2, 9], IpAddr::from([192, 0, 2, 9]));
        let mut neighbours = Neighbours::default();
        assert!(!neighbours.add(&message(4, address, None, Incomplete)));
        assert!(neighbours.add(&message(4, address, Some(1), Reachable)));
        assert_eq!(neighbours.mac(4, key), Some(MacAddress([2, 0, 0, 0, 0, 1])));
        assert_eq!((neighbours.mac(5, key), neighbours.stale(4).count()), (None, 0));
        assert!(!neighbours.add(&message(4, address, Some(1), Stale)), "still the same way");
        assert_eq!(neighbours.stale(4).collect::<Vec<_>>(), [key]);
        assert!(neighbours.add(&message(4, address, Some(2), Reachable)), "another MAC");
        assert!(neighbours.add(&message(4, address, Some(2), Failed)), "gone");
        assert_eq!(neighbours.of_interface(4).count(), 0);
    }
}
