//! The host's own addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};

/// All addresses, with the index of their interface.
#[derive(Debug, Default)]
pub struct Addresses(BTreeSet<(IpAddr, u32)>);

impl Addresses {
    pub(super) fn add(&mut self, message: &AddressMessage) -> bool {
        own(message).is_some_and(|address| self.0.insert((address, message.header.index)))
    }

    pub(super) fn remove(&mut self, message: &AddressMessage) -> bool {
        own(message).is_some_and(|address| self.0.remove(&(address, message.header.index)))
    }

    pub(super) fn forget_interface(&mut self, interface: u32) {
        self.0.retain(|(_, index)| *index != interface);
    }

    /// The interfaces that have this address.
    pub fn interfaces_of(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.0.iter().filter(move |(own, _)| *own == address).map(|(_, index)| *index)
    }

    /// The addresses of this interface.
    pub fn of_interface(&self, interface: u32) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter(move |(_, index)| *index == interface).map(|(own, _)| *own)
    }

    /// All addresses, each once.
    pub fn all(&self) -> BTreeSet<IpAddr> {
        self.0.iter().map(|(address, _)| *address).collect()
    }
}

/// On a point-to-point link `Address` is the other end's, and `Local` ours.
fn own(message: &AddressMessage) -> Option<IpAddr> {
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => own = Some(*address),
            _ => {}
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_end_of_a_point_to_point_link_is_the_local_one() {
        let (ours, theirs) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut message = AddressMessage::default();
        message.header.index = 7;
        message.attributes = vec![AddressAttribute::Address(theirs), AddressAttribute::Local(ours)];
        let mut addresses = Addresses::default();
        assert!(addresses.add(&message) && !addresses.add(&message));
        assert_eq!(addresses.all(), BTreeSet::from([ours]));
        assert_eq!(addresses.interfaces_of(ours).collect::<Vec<_>>(), [7]);
        assert_eq!(addresses.of_interface(7).collect::<Vec<_>>(), [ours]);
        assert_eq!(addresses.of_interface(8).next(), None);
        assert!(addresses.remove(&message));
        assert!(addresses.all().is_empty());
    }
}
