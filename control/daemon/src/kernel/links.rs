//! Network interfaces.

use std::collections::BTreeMap;

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use wire::MacAddress;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    /// `None` where it is not an Ethernet interface.
    pub mac: Option<MacAddress>,
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
}

/// All interfaces, by index.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<u32, Link>);

impl Links {
    pub(super) fn add(&mut self, message: &LinkMessage) -> bool {
        // Not of a bridge's ports or another family's view of the link.
        if u8::from(message.header.interface_family) != 0 {
            return false;
        }
        let mut link = Link { name: String::new(), mac: None, mtu: 1500, up: false };
        link.up = message.header.flags.contains(LinkFlags::Up);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().ok().map(MacAddress),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                _ => {}
            }
        }
        self.0.insert(message.header.index, link.clone()) != Some(link)
    }

    pub(super) fn remove(&mut self, index: u32) -> bool {
        self.0.remove(&index).is_some()
    }

    /// The interface of this index.
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.0.get(&index)
    }

    /// The interface of this name, with its index.
    pub fn named(&self, name: &str) -> Option<(u32, &Link)> {
        self.0.iter().find(|(_, link)| link.name == name).map(|(index, link)| (*index, link))
    }

    /// The names of all interfaces.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|link| link.name.as_str())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn message(index: u32, name: &str, last: u8, up: bool) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, last]),
            LinkAttribute::Mtu(1400),
        ];
        message
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let mut links = Links::default();
        assert!(links.add(&message(3, "wan0", 1, true)));
        assert!(!links.add(&message(3, "wan0", 1, true)));
        assert!(links.add(&message(3, "wan0", 2, true)), "another MAC");
        assert!(links.add(&message(3, "wan0", 2, false)), "down");
        let (index, link) = links.named("wan0").unwrap();
        assert_eq!((index, link.mac, link.mtu, link.up), (3, Some(MacAddress([2, 0, 0, 0, 0, 2])), 1400, false));
        assert!(links.remove(3) && !links.remove(3));
    }
}
