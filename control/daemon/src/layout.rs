//! Which interfaces packets go through, and which port of every worker each one is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gateway::{AttachmentIndex, ConnectionIndex, Field, Resources};
use port::XdpOptions;
use steer::Side;
use tables::PortIndex;

use crate::failure::Failure;
use crate::kernel::KernelView;

/// The interfaces, by [`PortIndex`]: the WAN first, then those of the attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Vec<Interface>);

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub side: Side,
    /// The VLAN of what is sent out of it though the kernel knows of none.
    pub vlan: Option<u16>,
    /// The longest IP packet that ports carry whose frames were chosen for the MTU it has now.
    pub longest: u32,
}

/// Which interface leads to the peers, as far as the operator says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wan<'a> {
    /// Its name; without, it is found by the connections' addresses.
    pub name: Option<&'a str>,
    /// The VLAN of the frames out of it, where the kernel has no device for that.
    pub vlan: Option<u16>,
}

impl Layout {
    /// Finds the interfaces that the resources need. The one towards the peers is that which `wan` names; without, the one
    /// that has the connections' addresses, or of which a VLAN device has them.
    ///
    /// # Errors
    /// [`Failure::Host`] with all interfaces and addresses that the host lacks.
    pub fn plan(resources: &Resources, view: &KernelView, wan: Wan<'_>) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        let mut interfaces = Vec::new();
        match wan_interface(resources, view, wan.name) {
            Ok((index, name)) => match longest(view, index, &name) {
                Ok(longest) => interfaces.push(Interface { name, index, side: Side::Wan, vlan: wan.vlan, longest }),
                Err(problem) => missing.push(problem),
            },
            Err(problem) => missing.push(problem),
        }
        for (place, attachment) in resources.attachments().iter().enumerate() {
            let name = attachment.interface.as_str();
            if interfaces.iter().any(|known| known.name == name && known.side == Side::Wan) {
                let field = Field::Interface(AttachmentIndex(place as u32));
                let problem = "is the interface towards the peers";
                missing.push(resources.diagnostic(field, problem, Some("another one than the WAN's")).to_string());
            } else if interfaces.iter().all(|known| known.name != name) {
                match view.links.named(name) {
                    Some((index, _)) => match longest(view, index, name) {
                        Ok(longest) => {
                            let name = name.to_owned();
                            interfaces.push(Interface { name, index, side: Side::Vpc, vlan: None, longest });
                        }
                        Err(problem) => missing.push(problem),
                    },
                    None => {
                        let names: Vec<_> = view.links.names().collect();
                        let field = Field::Interface(AttachmentIndex(place as u32));
                        let problem = "does not exist in this network namespace";
                        missing.push(resources.diagnostic(field, problem, Some(&names.join(", "))).to_string());
                    }
                }
            }
        }
        let there = interfaces.first().filter(|first| first.side == Side::Wan).map_or("IFACE", |wan| &wan.name);
        for (place, connection) in resources.connections().iter().enumerate() {
            for (nth, address) in connection.addresses.iter().enumerate() {
                if view.addresses.interfaces_of(*address).next().is_none() {
                    let field = Field::ConnectionAddress(ConnectionIndex(place as u32), nth);
                    let length = if address.is_ipv4() { 24 } else { 64 };
                    let allowed = format!("an address of this host (ip addr add {address}/{length} dev {there})");
                    let problem = "is not configured on this host";
                    missing.push(resources.diagnostic(field, problem, Some(&allowed)).to_string());
                }
            }
        }
        if missing.is_empty() { Ok(Self(interfaces)) } else { Err(Failure::Host(missing)) }
    }

    /// The interfaces, by port.
    pub fn interfaces(&self) -> &[Interface] {
        &self.0
    }

    /// The interface of a port.
    pub fn interface(&self, port: PortIndex) -> Option<&Interface> {
        self.0.get(port.position())
    }

    /// The port of the interface with this index.
    pub fn port(&self, interface: u32) -> Option<PortIndex> {
        self.0.iter().position(|known| known.index == interface).map(|position| PortIndex(position as u32))
    }

    /// The port that what the kernel sends out of an interface leaves through, and the VLAN that it bears there: of a VLAN
    /// device that is its parent's port.
    pub fn leaving(&self, view: &KernelView, interface: u32) -> Option<(PortIndex, Option<u16>)> {
        if let Some(port) = self.port(interface) {
            return Some((port, self.interface(port)?.vlan));
        }
        let tagged = view.links.get(interface)?.tagged?;
        Some((self.port(tagged.parent)?, Some(tagged.vlan)))
    }

    /// The port of the interface with this name.
    pub fn port_named(&self, name: &str) -> Option<PortIndex> {
        self.0.iter().position(|known| known.name == name).map(|position| PortIndex(position as u32))
    }
}

/// The gateway's public addresses.
pub fn public_addresses(resources: &Resources) -> Vec<IpAddr> {
    let all: BTreeSet<IpAddr> = resources.connections().iter().flat_map(|c| c.addresses.iter().copied()).collect();
    all.into_iter().collect()
}

fn wan_interface(resources: &Resources, view: &KernelView, wan: Option<&str>) -> Result<(u32, String), String> {
    if let Some(name) = wan {
        let found = view.links.named(name).map(|(index, _)| (index, name.to_owned()));
        return found.ok_or_else(|| {
            let names: Vec<_> = view.links.names().collect();
            format!(
                "--wan {name}: there is no such interface in this network namespace; there are {}",
                names.join(", ")
            )
        });
    }
    let mut found: BTreeSet<(u32, &str)> = BTreeSet::new();
    for address in public_addresses(resources) {
        for index in view.addresses.interfaces_of(address) {
            // A VLAN device's frames are its parent's, where drivers have XDP; on the device itself it would be slow.
            let index = view.links.get(index).and_then(|link| link.tagged).map_or(index, |tagged| tagged.parent);
            if let Some(link) = view.links.get(index).filter(|link| link.name != "lo") {
                found.insert((index, &link.name));
            }
        }
    }
    let names: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
    match (found.first(), names.as_slice()) {
        (Some((index, _)), [name]) => Ok((*index, (*name).to_owned())),
        (None, _) => Err("which interface leads to the peers cannot be told: none has the connections' addresses; \
                          configure them there, or name it with --wan IFACE"
            .to_owned()),
        (Some(_), names) => Err(format!(
            "the connections' addresses are on several interfaces ({}); name the one towards the peers with --wan IFACE",
            names.join(", ")
        )),
    }
}

/// What ports for an interface's MTU carry.
fn longest(view: &KernelView, interface: u32, name: &str) -> Result<u32, String> {
    let mtu = view.links.get(interface).map_or(0, |link| link.mtu);
    let options = XdpOptions::new(name, 0).with_mtu(mtu).map_err(|error| error.to_string())?;
    Ok(options.longest_mtu())
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::LinkAttribute;

    use crate::kernel::links;
    use crate::kernel::tests::{example, with_vlans};

    fn resources() -> Resources {
        Resources::parse("static.toml", include_str!("../../../examples/static.toml")).unwrap()
    }

    #[test]
    fn the_wan_is_where_the_addresses_are() {
        let layout = Layout::plan(&resources(), &example(), Wan::default()).unwrap();
        let names: Vec<_> = layout.interfaces().iter().map(|known| (known.name.as_str(), known.side)).collect();
        assert_eq!(names, [("wan0", Side::Wan), ("vpc0", Side::Vpc)]);
        assert_eq!(
            (layout.port(3), layout.port_named("vpc0"), layout.port(99)),
            (Some(PortIndex(1)), Some(PortIndex(1)), None)
        );
    }

    #[test]
    fn a_vlan_device_leads_to_its_parent() {
        let view = with_vlans();
        let layout = Layout::plan(&resources(), &view, Wan::default()).unwrap();
        let wan = &layout.interfaces()[0];
        assert_eq!((wan.name.as_str(), wan.index, wan.vlan), ("trunk0", 2, None));
        let ways = [2, 3, 4, 5, 6, 99].map(|interface| layout.leaving(&view, interface));
        let (wan, vpc) = (PortIndex(0), PortIndex(1));
        assert_eq!(
            ways,
            [Some((wan, None)), Some((vpc, None)), Some((wan, Some(100))), Some((wan, Some(200))), None, None]
        );
        // As it is told, and not its parent.
        let named = Layout::plan(&resources(), &view, Wan { name: Some("trunk0.100"), ..Wan::default() }).unwrap();
        assert_eq!(named.leaving(&view, 4), Some((wan, None)));
        let told = Layout::plan(&resources(), &example(), Wan { vlan: Some(7), ..Wan::default() }).unwrap();
        assert_eq!([2, 3].map(|interface| told.leaving(&view, interface)), [Some((wan, Some(7))), Some((vpc, None))]);
    }

    #[test]
    fn an_mtu_that_no_port_carries_is_refused_by_name() {
        let planned = |mtu| {
            let mut view = example();
            let mut message = links::tests::message(3, "vpc0", 3, true);
            message.attributes.push(LinkAttribute::Mtu(mtu));
            view.apply(&RouteNetlinkMessage::NewLink(message), false);
            Layout::plan(&resources(), &view, Wan::default())
        };
        let longest = [68, 1500, 1771, 9000, 11498].map(|mtu| planned(mtu).unwrap().interfaces()[1].longest);
        assert_eq!(longest, [1770, 1770, 3818, 11498, 11498]);
        let failure = planned(11499).unwrap_err();
        let expected = "bordergate: the MTU of vpc0 is 11499; allowed is up to 11498 (ip link set vpc0 mtu 11498)";
        assert_eq!(failure.lines(), [expected]);
    }

    #[test]
    fn all_that_the_host_lacks_is_named() {
        let failure = Layout::plan(&resources(), &KernelView::default(), Wan::default()).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        let text = failure.lines().join("\n");
        for part in ["--wan IFACE", "vpc0", "static.toml", "ip addr add 203.0.113.1/24 dev"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let failure = Layout::plan(&resources(), &example(), Wan { name: Some("wan9"), ..Wan::default() }).unwrap_err();
        assert!(failure.lines()[0].contains("--wan wan9"));
    }
}
