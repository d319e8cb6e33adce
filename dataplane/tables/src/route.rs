//! A border gateway's routes, as workers look them up.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use poptrie::Poptrie;

use crate::{AttachmentIndex, TunnelIndex};

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the network behind an attachment.
    Attachment(AttachmentIndex),
    /// Into one of these tunnels, by flow. None: the route stands, but no tunnel is up; nothing may fall through to
    /// a wider route.
    Tunnels(Box<[TunnelIndex]>),
}

impl Route {
    /// The tunnel of the flow with this hash, or `None` where no tunnel is up.
    #[must_use]
    pub fn tunnel(tunnels: &[TunnelIndex], flow_hash: u32) -> Option<TunnelIndex> {
        // The high bits of the product choose evenly among any number, without a division.
        let choice = (u64::from(flow_hash) * tunnels.len() as u64) >> 32;
        tunnels.get(choice as usize).copied()
    }
}

/// The routes of one border gateway, IPv4 and IPv6: the longest prefix wins.
#[derive(Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    v4: Poptrie<Ipv4Net, u32>,
    v6: Poptrie<Ipv6Net, u32>,
}

impl RouteTable {
    /// Sets the route of `prefix`, replacing one that it had.
    ///
    /// # Panics
    /// With more than 2^32 routes.
    pub fn insert(&mut self, prefix: IpNet, route: Route) {
        let index = u32::try_from(self.routes.len()).expect("fewer than 2^32 routes");
        self.routes.push(route);
        match prefix.trunc() {
            IpNet::V4(prefix) => self.v4.insert(prefix, index),
            IpNet::V6(prefix) => self.v6.insert(prefix, index),
        };
    }

    /// The route of the longest prefix that holds `destination`.
    #[must_use]
    pub fn lookup(&self, destination: IpAddr) -> Option<&Route> {
        let index = match destination {
            IpAddr::V4(address) => self.v4.lookup(address.to_bits()),
            IpAddr::V6(address) => self.v6.lookup(address.to_bits()),
        };
        index.and_then(|index| self.routes.get(*index as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mut table = RouteTable::default();
        let tunnels = |indices: &[u32]| Route::Tunnels(indices.iter().copied().map(TunnelIndex).collect());
        for (prefix, route) in [
            ("0.0.0.0/0", tunnels(&[0])),
            ("10.0.0.0/8", tunnels(&[1])),
            ("10.1.0.0/16", Route::Attachment(AttachmentIndex(7))),
            ("10.1.2.3/32", tunnels(&[])),
            ("2001:db8::/32", tunnels(&[2])),
        ] {
            table.insert(prefix.parse().unwrap(), route);
        }
        for (destination, route) in [
            ("192.0.2.1", Some(tunnels(&[0]))),
            ("10.2.0.1", Some(tunnels(&[1]))),
            ("10.1.2.4", Some(Route::Attachment(AttachmentIndex(7)))),
            ("10.1.2.3", Some(tunnels(&[]))),
            ("2001:db8::1", Some(tunnels(&[2]))),
            ("2001:db9::1", None),
        ] {
            assert_eq!(table.lookup(destination.parse().unwrap()), route.as_ref(), "{destination}");
        }
    }

    #[test]
    fn flows_spread_over_all_tunnels() {
        let tunnels: Vec<_> = (0..3).map(TunnelIndex).collect();
        for (hash, tunnel) in [(0, 0), (u32::MAX / 3 + 1, 1), (u32::MAX, 2)] {
            assert_eq!(Route::tunnel(&tunnels, hash), Some(TunnelIndex(tunnel)));
        }
        assert_eq!(Route::tunnel(&[], 5), None);
    }
}
