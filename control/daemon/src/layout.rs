//! Which interfaces packets go through, and which port of every worker each one is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use gateway::{AttachmentIndex, ConnectionIndex, Field, Resources};
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
}

impl Layout {
    /// Finds the interfaces that the resources need. `wan` names the one towards the peers; without, it is the one that has
    /// the connections' addresses.
    ///
    /// # Errors
    /// [`Failure::Host`] with all interfaces and addresses that the host lacks.
    pub fn plan(resources: &Resources, view: &KernelView, wan: Option<&str>) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        let mut interfaces = Vec::new();
        match wan_interface(resources, view, wan) {
            Ok((index, name)) => interfaces.push(Interface { name, index, side: Side::Wan }),
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
                    Some((index, _)) => interfaces.push(Interface { name: name.into(), index, side: Side::Vpc }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::example;

    fn resources() -> Resources {
        Resources::parse("static.toml", include_str!("../../../examples/static.toml")).unwrap()
    }

    #[test]
    fn the_wan_is_where_the_addresses_are() {
        let layout = Layout::plan(&resources(), &example(), None).unwrap();
        let names: Vec<_> = layout.interfaces().iter().map(|known| (known.name.as_str(), known.side)).collect();
        assert_eq!(names, [("wan0", Side::Wan), ("vpc0", Side::Vpc)]);
        assert_eq!(
            (layout.port(3), layout.port_named("vpc0"), layout.port(99)),
            (Some(PortIndex(1)), Some(PortIndex(1)), None)
        );
    }

    #[test]
    fn all_that_the_host_lacks_is_named() {
        let failure = Layout::plan(&resources(), &KernelView::default(), None).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        let text = failure.lines().join("\n");
        for part in ["--wan IFACE", "vpc0", "static.toml", "ip addr add 203.0.113.1/24 dev"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let failure = Layout::plan(&resources(), &example(), Some("wan9")).unwrap_err();
        assert!(failure.lines()[0].contains("--wan wan9"));
    }
}
