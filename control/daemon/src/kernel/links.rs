//! Network interfaces.

use std::collections::BTreeMap;

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
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
    /// Of a VLAN device, what its frames are on the wire.
    pub tagged: Option<Tagged>,
}

/// The frames of a VLAN device (IEEE 802.1Q): those of another interface that bear its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged {
    /// The other interface.
    pub parent: u32,
    /// The VLAN's identifier.
    pub vlan: u16,
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
        let mut link = Link { name: String::new(), mac: None, mtu: 1500, up: false, tagged: tagged(message) };
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

/// `None` for what is no VLAN device. One of a provider's VLAN (IEEE 802.1ad), or whose parent is in another network
/// namespace, counts as an interface of its own: its frames are none that a port of ours could send.
fn tagged(message: &LinkMessage) -> Option<Tagged> {
    let (mut parent, mut vlan, mut is_ours) = (None, None, true);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::LinkNetNsId(_) => is_ours = false,
            LinkAttribute::LinkInfo(information) => {
                is_ours &= information.contains(&LinkInfo::Kind(InfoKind::Vlan));
                let data = information.iter().filter_map(|part| match part {
                    LinkInfo::Data(InfoData::Vlan(data)) => Some(data),
                    _ => None,
                });
                for part in data.flatten() {
                    match part {
                        InfoVlan::Id(number) => vlan = Some(*number),
                        InfoVlan::Protocol(protocol) => is_ours &= *protocol == VlanProtocol::Ieee8021Q,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Tagged { parent: parent?, vlan: vlan? }).filter(|_| is_ours)
}

#[cfg(test)]
pub(crate) mod tests {
    use netlink_packet_core::Parseable;

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

    /// A VLAN device as the kernel describes it.
    pub fn vlan_message(index: u32, name: &str, parent: u32, vlan: u16) -> LinkMessage {
        let mut message = message(index, name, index as u8, true);
        let data = vec![InfoVlan::Protocol(VlanProtocol::Ieee8021Q), InfoVlan::Id(vlan)];
        let information = vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(InfoData::Vlan(data))];
        message.attributes.extend([LinkAttribute::Link(parent), LinkAttribute::LinkInfo(information)]);
        message
    }

    /// `IFLA_LINKINFO` of a device of VLAN 101 with QoS mappings, as a kernel gave it to the authors of
    /// netlink-packet-route (their `link/tests/vlan.rs`), behind a header for interface 34.
    const OF_A_KERNEL: &str = "000001002200000043100100000000005000120009000100766c616e000000004000020006000500810000000600010065\
                               0000000c00020001000000ffffffff100004000c0001000600000007000000100003000c0001000400000005000000";

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

    #[test]
    fn a_vlan_device_is_frames_of_its_parent() {
        let digits = OF_A_KERNEL.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        let mut bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let told = |bytes: &[u8]| tagged(&LinkMessage::parse(bytes).unwrap());
        assert_eq!(told(&bytes), None, "it says not of what");
        // IFLA_LINK (linux/if_link.h).
        bytes.extend([8, 0, 5, 0, 2, 0, 0, 0]);
        assert_eq!(told(&bytes), Some(Tagged { parent: 2, vlan: 101 }));
        // IFLA_LINK_NETNSID.
        let elsewhere = [&bytes[..], &[8, 0, 37, 0, 0, 0, 0, 0]].concat();
        assert_eq!(told(&elsewhere), None, "that 2 is another namespace's");
        let protocol = bytes.windows(6).position(|part| part == [6, 0, 5, 0, 0x81, 0]).unwrap();
        bytes[protocol + 4..protocol + 6].copy_from_slice(&[0x88, 0xa8]);
        assert_eq!(told(&bytes), None, "a provider's");
        // A macvlan has a parent, too.
        let mut macvlan = vlan_message(7, "m0", 2, 9);
        macvlan.attributes.pop();
        macvlan.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan)]));
        assert_eq!(tagged(&macvlan), None);
    }
}
