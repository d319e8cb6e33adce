//! The kernel's main route table.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia};

/// The routes, by destination, the one of the least metric first.
#[derive(Debug, Default)]
pub struct Routes(BTreeMap<IpNet, Vec<Route>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    metric: u32,
    /// None: packets go nowhere (blackhole, unreachable, prohibit).
    hops: Vec<Hop>,
}

/// One way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The interface.
    pub interface: u32,
    /// The router, or `None` where the destination is a neighbour.
    pub gateway: Option<IpAddr>,
}

impl Routes {
    pub(super) fn add(&mut self, message: &RouteMessage, replace: bool) -> bool {
        let Some((destination, route)) = parse(message) else { return false };
        let routes = self.0.entry(destination).or_default();
        if replace {
            routes.retain(|known| known.metric != route.metric);
        }
        if routes.contains(&route) {
            return replace;
        }
        // Behind those of its metric: the kernel prefers the older one.
        routes.insert(routes.partition_point(|known| known.metric <= route.metric), route);
        true
    }

    pub(super) fn remove(&mut self, message: &RouteMessage) -> bool {
        let Some((destination, route)) = parse(message) else { return false };
        let Some(routes) = self.0.get_mut(&destination) else { return false };
        let before = routes.len();
        routes.retain(|known| *known != route);
        let changed = routes.len() != before;
        if routes.is_empty() {
            self.0.remove(&destination);
        }
        changed
    }

    pub(super) fn forget_interface(&mut self, interface: u32) {
        self.0.retain(|_, routes| {
            routes.retain_mut(|route| {
                let nowhere = route.hops.is_empty();
                route.hops.retain(|hop| hop.interface != interface);
                nowhere || !route.hops.is_empty()
            });
            !routes.is_empty()
        });
    }

    /// The first usable hop of the longest prefix that holds `destination` and has a usable route.
    pub fn lookup(&self, destination: IpAddr, usable: impl Fn(u32) -> bool) -> Option<Hop> {
        let bits = if destination.is_ipv4() { 32 } else { 128 };
        for length in (0..=bits).rev() {
            let prefix = IpNet::new(destination, length).ok()?.trunc();
            for route in self.0.get(&prefix).into_iter().flatten() {
                if route.hops.is_empty() {
                    return None;
                }
                if let Some(hop) = route.hops.iter().find(|hop| usable(hop.interface)) {
                    return Some(*hop);
                }
            }
        }
        None
    }

    /// The destinations behind an interface, each with its preferred hop there.
    pub fn through(&self, interface: u32) -> impl Iterator<Item = (IpNet, Hop)> {
        self.0.iter().filter_map(move |(destination, routes)| {
            let hop = routes.iter().flat_map(|route| &route.hops).find(|hop| hop.interface == interface)?;
            Some((*destination, *hop))
        })
    }
}

/// `None` for what is not a unicast destination of the main table.
fn parse(message: &RouteMessage) -> Option<(IpNet, Route)> {
    let mut table = u32::from(message.header.table);
    let (mut destination, mut gateway, mut interface, mut metric, mut hops) = (None, None, None, 0, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(via) => gateway = via_ip(via),
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::MultiPath(paths) => {
                hops.extend(paths.iter().map(|path| Hop {
                    interface: path.interface_index,
                    gateway: path.attributes.iter().find_map(|attribute| match attribute {
                        RouteAttribute::Gateway(address) => ip(address),
                        RouteAttribute::Via(via) => via_ip(via),
                        _ => None,
                    }),
                }));
            }
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    match message.header.kind {
        RouteType::Unicast => hops.extend(interface.map(|interface| Hop { interface, gateway })),
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => hops.clear(),
        _ => return None,
    }
    if hops.is_empty() && message.header.kind == RouteType::Unicast {
        return None;
    }
    let all = match u8::from(message.header.address_family) {
        INET => IpAddr::from([0; 4]),
        INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let prefix = IpNet::new(destination.unwrap_or(all), message.header.destination_prefix_length).ok()?;
    Some((prefix.trunc(), Route { metric, hops }))
}

/// `AF_INET` and `AF_INET6`.
const INET: u8 = 2;
const INET6: u8 = 10;

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn via_ip(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(address) => Some(IpAddr::V4(*address)),
        RouteVia::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use netlink_packet_route::AddressFamily;

    use super::*;

    pub fn message(prefix: &str, via: Option<[u8; 4]>, interface: u32, metric: u32) -> RouteMessage {
        let prefix: ipnet::Ipv4Net = prefix.parse().unwrap();
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.kind = RouteType::Unicast;
        message.header.destination_prefix_length = prefix.prefix_len();
        message.attributes = vec![RouteAttribute::Oif(interface)];
        if prefix.prefix_len() > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(prefix.addr())));
        }
        message.attributes.extend(via.map(|via| RouteAttribute::Gateway(RouteAddress::Inet(via.into()))));
        message.attributes.extend((metric > 0).then_some(RouteAttribute::Priority(metric)));
        message
    }

    fn hop(routes: &Routes, destination: [u8; 4]) -> Option<(u32, Option<IpAddr>)> {
        routes.lookup(destination.into(), |_| true).map(|hop| (hop.interface, hop.gateway))
    }

    #[test]
    fn longest_prefix_then_least_metric() {
        let mut routes = Routes::default();
        let router = IpAddr::from([203, 0, 113, 254]);
        for route in [
            message("0.0.0.0/0", Some([203, 0, 113, 254]), 2, 0),
            message("198.51.100.0/24", None, 4, 200),
            message("198.51.100.0/24", None, 3, 100),
        ] {
            assert!(routes.add(&route, false));
        }
        assert_eq!(hop(&routes, [8, 8, 8, 8]), Some((2, Some(router))));
        assert_eq!(hop(&routes, [198, 51, 100, 2]), Some((3, None)));
        let down = routes.lookup([198, 51, 100, 2].into(), |interface| interface != 3).unwrap();
        assert_eq!(down.interface, 4, "the next metric where an interface is down");
        assert!(routes.remove(&message("198.51.100.0/24", None, 3, 100)));
        assert_eq!(hop(&routes, [198, 51, 100, 2]), Some((4, None)));
        assert_eq!(routes.through(2).count(), 1);
    }

    #[test]
    fn replaced_and_forgotten() {
        let mut routes = Routes::default();
        routes.add(&message("0.0.0.0/0", Some([192, 0, 2, 1]), 2, 0), false);
        assert!(routes.add(&message("0.0.0.0/0", Some([192, 0, 2, 2]), 2, 0), true));
        assert_eq!(hop(&routes, [8, 8, 8, 8]), Some((2, Some([192, 0, 2, 2].into()))));
        routes.forget_interface(2);
        assert_eq!(hop(&routes, [8, 8, 8, 8]), None);
    }

    #[test]
    fn a_blackhole_hides_wider_routes_and_other_tables_do_not_count() {
        let mut routes = Routes::default();
        routes.add(&message("0.0.0.0/0", None, 2, 0), false);
        let mut blackhole = message("10.0.0.0/8", None, 2, 0);
        blackhole.header.kind = RouteType::BlackHole;
        assert!(routes.add(&blackhole, false));
        assert_eq!(hop(&routes, [10, 1, 1, 1]), None);
        let mut other = message("192.0.2.0/24", None, 9, 0);
        other.header.table = 255;
        assert!(!routes.add(&other, false));
        assert_eq!(hop(&routes, [192, 0, 2, 1]), Some((2, None)));
    }
}
