//! Five network namespaces in a row, joined by veth pairs: a host, its gateway, a router, the other gateway, its host.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::site::Side;
use crate::namespace::{self, Namespace, output};

/// The host behind the cloud's gateway.
pub const CLOUD_HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
/// The host behind the customer's gateway.
pub const CUSTOMER_HOST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

/// With what the tunnel adds it fits the WAN.
const INNER_MTU: &str = "1400";
const OUTER_MTU: &str = "1500";

/// A namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    CloudHost,
    Cloud,
    Internet,
    Customer,
    CustomerHost,
}

impl Place {
    const ALL: [Self; 5] = [Self::CloudHost, Self::Cloud, Self::Internet, Self::Customer, Self::CustomerHost];

    /// Where a gateway runs.
    pub fn of(side: Side) -> Self {
        match side {
            Side::Cloud => Self::Cloud,
            Side::Customer => Self::Customer,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::CloudHost => "cloud-host",
            Self::Cloud => "cloud",
            Self::Internet => "internet",
            Self::Customer => "customer",
            Self::CustomerHost => "customer-host",
        }
    }
}

/// An end of a link: the interface there, and its addresses.
type End = (Place, &'static str, &'static [&'static str]);

const LINKS: [(End, End, &str); 4] = [
    ((Place::CloudHost, "vpc0", &["10.1.0.2/16"]), (Place::Cloud, "vpc0", &["10.1.0.1/16"]), INNER_MTU),
    (
        (Place::Cloud, "wan0", &["203.0.113.1/24", "203.0.113.2/24"]),
        (Place::Internet, "cloud0", &["203.0.113.254/24"]),
        OUTER_MTU,
    ),
    (
        (Place::Customer, "wan0", &["198.51.100.2/24", "192.0.2.2/24"]),
        (Place::Internet, "customer0", &["198.51.100.254/24", "192.0.2.254/24"]),
        OUTER_MTU,
    ),
    ((Place::CustomerHost, "vpc0", &["10.2.0.2/16"]), (Place::Customer, "vpc0", &["10.2.0.1/16"]), INNER_MTU),
];

const DEFAULT_ROUTES: [(Place, &str); 4] = [
    (Place::CloudHost, "10.1.0.1"),
    (Place::Cloud, "203.0.113.254"),
    (Place::Customer, "198.51.100.254"),
    (Place::CustomerHost, "10.2.0.1"),
];

/// The namespaces, one for each place.
pub struct Topology([Namespace; Place::ALL.len()]);

impl Topology {
    /// Makes the namespaces, the pairs between them, their addresses and routes.
    pub fn build() -> Result<Self> {
        let made: Vec<_> =
            Place::ALL.iter().map(|place| Namespace::new("failover", place.name())).collect::<Result<_>>()?;
        let topology = Self(made.try_into().ok().context("a namespace for each place")?);
        for place in Place::ALL {
            topology.inside(place, || {
                // Nothing but the bench's own packets on the pairs.
                set("ipv6/conf/all/disable_ipv6", "1")?;
                set("ipv6/conf/default/disable_ipv6", "1")?;
                set("ipv4/conf/all/rp_filter", "0")?;
                set("ipv4/conf/default/rp_filter", "0")
            })?;
        }
        topology.inside(Place::Internet, || set("ipv4/ip_forward", "1"))?;
        for ((one, one_name, one_addresses), (other, other_name, other_addresses), mtu) in LINKS {
            let peer = ["type", "veth", "peer", "name", other_name, "netns", topology.at(other).name(), "mtu", mtu];
            topology.at(one).ip(&[&["link", "add", one_name, "mtu", mtu], &peer[..]].concat())?;
            for (place, interface, addresses) in [(one, one_name, one_addresses), (other, other_name, other_addresses)]
            {
                // AF_XDP sees a frame as its sender left it, and a checksum that is left to a NIC is none.
                topology.run(place, Command::new("ethtool").args(["-K", interface, "tx", "off"]))?;
                topology.at(place).set_up(interface, addresses)?;
            }
        }
        for (place, router) in DEFAULT_ROUTES {
            topology.at(place).ip(&["route", "add", "default", "via", router])?;
        }
        Ok(topology)
    }

    fn at(&self, place: Place) -> &Namespace {
        &self.0[place as usize]
    }

    /// See [`Namespace::inside`].
    pub fn inside<T: Send>(&self, place: Place, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.at(place).inside(work)
    }

    /// Runs a program in `place` to its end; what it prints.
    pub fn run(&self, place: Place, command: &mut Command) -> Result<String> {
        self.inside(place, || output(command))
    }

    /// A name for the namespace that a gateway makes for its own host.
    pub fn inner_namespace(&self, side: Side) -> String {
        namespace::name(&format!("{}-inner", side.name()))
    }
}

/// A parameter of the network that this thread is in.
fn set(parameter: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys/net").join(parameter);
    fs::write(&path, value).with_context(|| format!("writing {}", path.display()))
}
