//! The route tables of a border gateway: static, propagated, and what is valid of both.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::{AttachmentIndex, ConnectionIndex, GatewayIndex, TunnelIndex};
use crate::prefix::Prefix;
use crate::resource::{AdminState, RouteTarget};
use crate::resources::Resources;

/// A route before selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Where it leads to.
    pub destination: Prefix,
    /// Through what.
    pub target: RouteTarget,
    /// How it came about.
    pub origin: RouteOrigin,
    /// Among routes that are equal otherwise, the smaller wins. 0 for static and propagated routes.
    pub metric: u32,
}

/// How a route came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteOrigin {
    /// The user wrote it down.
    Static,
    /// A VPC attachment has the prefix.
    Propagated,
}

impl RouteOrigin {
    /// The second thing compared among routes to one destination; the smaller wins.
    #[must_use]
    pub fn distance(self) -> u8 {
        match self {
            Self::Static => 100,
            Self::Propagated => 120,
        }
    }
}

impl RouteTarget {
    /// The first thing compared among routes to one destination; the smaller wins. So an attached VPC goes before a
    /// VPN even where the route to the VPN is static and that to the VPC is not.
    #[must_use]
    pub fn preference(self) -> u8 {
        match self {
            Self::Attachment(_) => 100,
            Self::Connection(_) => 140,
        }
    }
}

/// What a border gateway forwards the packets of one prefix by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidRoute {
    /// The destination. Of several that match a packet the longest counts, and no other.
    pub prefix: Prefix,
    /// Where the packet goes.
    pub next_hop: NextHop,
}

/// Where the packets of a route go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// Out of the interface of this attachment.
    Attachment(AttachmentIndex),
    /// Into one of these tunnels, chosen by the hash of the flow. Never empty, in ascending order.
    Tunnels(Vec<TunnelIndex>),
    /// Nowhere: no tunnel of the route is up. The packets are dropped for that reason; they must not follow a
    /// shorter prefix, which may lead out of the tunnels.
    Unreachable,
}

/// The static table of a gateway, in file order.
#[must_use]
pub fn static_routes(resources: &Resources, gateway: GatewayIndex) -> Vec<Route> {
    let of_gateway = resources.routes().iter().filter(|route| route.gateway == gateway);
    of_gateway
        .map(|route| Route {
            destination: route.destination,
            target: route.target,
            origin: RouteOrigin::Static,
            metric: 0,
        })
        .collect()
}

/// The propagated table of a gateway, in file order: the valid prefixes of its attachments.
#[must_use]
pub fn propagated_routes(resources: &Resources, gateway: GatewayIndex) -> Vec<Route> {
    let attachments = resources.attachments().iter().enumerate().filter(|(_, a)| a.gateway == gateway);
    attachments
        .flat_map(|(place, attachment)| {
            let target = RouteTarget::Attachment(AttachmentIndex::from_position(place));
            let valid = attachment.prefixes.iter().filter(|attached| attached.valid);
            valid.map(move |attached| Route {
                destination: attached.prefix,
                target,
                origin: RouteOrigin::Propagated,
                metric: 0,
            })
        })
        .collect()
}

/// The valid table of a gateway, by ascending prefix, given the tunnels that are up (of all gateways).
///
/// For each prefix the routes with the smallest next-hop preference, then distance, then metric are taken; several
/// to connections share the traffic over all their tunnels. A tunnel that is administratively down takes no part.
#[must_use]
pub fn valid_routes(
    resources: &Resources,
    gateway: GatewayIndex,
    tunnels_up: &BTreeSet<TunnelIndex>,
) -> Vec<ValidRoute> {
    let up = up_by_connection(resources, tunnels_up);
    let mut by_prefix: BTreeMap<Prefix, Vec<Route>> = BTreeMap::new();
    for route in static_routes(resources, gateway).into_iter().chain(propagated_routes(resources, gateway)) {
        by_prefix.entry(route.destination).or_default().push(route);
    }
    by_prefix.into_iter().map(|(prefix, routes)| ValidRoute { prefix, next_hop: next_hop(&routes, &up) }).collect()
}

fn up_by_connection(
    resources: &Resources,
    tunnels_up: &BTreeSet<TunnelIndex>,
) -> BTreeMap<ConnectionIndex, Vec<TunnelIndex>> {
    let mut up: BTreeMap<ConnectionIndex, Vec<TunnelIndex>> = BTreeMap::new();
    for (index, tunnel) in resources.tunnels_indexed() {
        if tunnel.admin == AdminState::Up && tunnels_up.contains(&index) {
            up.entry(tunnel.connection).or_default().push(index);
        }
    }
    up
}

fn next_hop(routes: &[Route], up: &BTreeMap<ConnectionIndex, Vec<TunnelIndex>>) -> NextHop {
    let rank = |route: &Route| (route.target.preference(), route.origin.distance(), route.metric);
    let best = routes.iter().map(rank).min();
    let mut tunnels = Vec::new();
    for route in routes.iter().filter(|route| Some(rank(route)) == best) {
        match route.target {
            // The best are of one kind of target, and the rules of a file allow one attachment for a destination.
            RouteTarget::Attachment(attachment) => return NextHop::Attachment(attachment),
            RouteTarget::Connection(connection) => tunnels.extend(up.get(&connection).into_iter().flatten()),
        }
    }
    tunnels.sort_unstable();
    tunnels.dedup();
    if tunnels.is_empty() { NextHop::Unreachable } else { NextHop::Tunnels(tunnels) }
}
