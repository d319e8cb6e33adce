//! The valid routes against a model that knows no tables: it asks what happens to one packet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bordergate_gateway::{
    AdminState, AttachmentIndex, GatewayIndex, NextHop, Resources, RouteTarget, TunnelIndex, ValidRoute,
    WeightedTunnel, valid_routes,
};
use proptest::prelude::*;

mod plan;

/// What a forwarding table does with a packet: the longest prefix, and no other.
fn looked_up(routes: &[ValidRoute], packet: IpAddr) -> Option<NextHop> {
    let matching = routes.iter().filter(|route| route.prefix.contains(packet));
    matching.max_by_key(|route| route.prefix.length()).map(|route| route.next_hop.clone())
}

/// The same from the rules: longest destination; what discards before a VPC before a VPN; static before propagated; then all.
fn expected(
    resources: &Resources,
    gateway: GatewayIndex,
    up: &BTreeSet<TunnelIndex>,
    packet: IpAddr,
) -> Option<NextHop> {
    let mut candidates: Vec<(u8, u8, u8, RouteTarget)> = Vec::new();
    for route in resources.routes() {
        if route.gateway == gateway && route.destination.contains(packet) {
            let kind = match route.target {
                RouteTarget::Blackhole | RouteTarget::Reject => 0,
                RouteTarget::Attachment(_) => 1,
                RouteTarget::Connection(_) => 2,
            };
            candidates.push((128 - route.destination.length(), kind, 0, route.target));
        }
    }
    for (place, attachment) in resources.attachments().iter().enumerate() {
        for attached in &attachment.prefixes {
            if attachment.gateway == gateway && attached.valid && attached.prefix.contains(packet) {
                let target = RouteTarget::Attachment(AttachmentIndex(u32::try_from(place).unwrap()));
                candidates.push((128 - attached.prefix.length(), 1, 1, target));
            }
        }
    }
    let best = candidates.iter().map(|&(length, kind, origin, _)| (length, kind, origin)).min()?;
    let targets: Vec<_> = candidates.iter().filter(|c| (c.0, c.1, c.2) == best).map(|c| c.3).collect();
    match targets[..] {
        [RouteTarget::Attachment(attachment)] => return Some(NextHop::Attachment(attachment)),
        [RouteTarget::Blackhole] => return Some(NextHop::Blackhole),
        [RouteTarget::Reject] => return Some(NextHop::Reject),
        _ => {}
    }
    let usable = |tunnel: &TunnelIndex| {
        let wanted = resources.tunnel(*tunnel);
        wanted.admin == AdminState::Up
            && !wanted.paused
            && targets.contains(&RouteTarget::Connection(wanted.connection))
    };
    let weighted = |tunnel| WeightedTunnel { tunnel, weight: resources.tunnel(tunnel).weight };
    let tunnels: Vec<_> = up.iter().copied().filter(usable).map(weighted).collect();
    Some(if tunnels.is_empty() { NextHop::Unreachable } else { NextHop::Tunnels(tunnels) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_packet_goes_where_the_rules_say(plan in plan::plan(), up in any::<u64>()) {
        let resources = plan.resources();
        let up: BTreeSet<_> = resources.tunnels_indexed().map(|(index, _)| index).filter(|i| up >> (i.0 % 64) & 1 == 1).collect();
        for gateway in (0..resources.gateways().len()).map(|place| GatewayIndex(u32::try_from(place).unwrap())) {
            let routes = valid_routes(&resources, gateway, &up);
            prop_assert!(routes.windows(2).all(|pair| pair[0].prefix < pair[1].prefix), "not sorted");
            for packet in ["10.1.2.3", "10.1.3.3", "10.2.0.1", "10.9.9.9", "8.8.8.8", "2001:db8::1", "2001:db9::1"] {
                let packet = packet.parse().unwrap();
                prop_assert_eq!(
                    looked_up(&routes, packet),
                    expected(&resources, gateway, &up, packet),
                    "{} in {}", packet, gateway
                );
            }
        }
    }

    /// Tunnels coming and going change where packets go, never which prefixes are known: nothing falls through to a
    /// shorter one.
    #[test]
    fn tunnels_do_not_change_the_prefixes(plan in plan::plan()) {
        let resources = plan.resources();
        let all: BTreeSet<_> = resources.tunnels_indexed().map(|(index, _)| index).collect();
        for gateway in (0..resources.gateways().len()).map(|place| GatewayIndex(u32::try_from(place).unwrap())) {
            let prefixes = |up: &BTreeSet<_>| valid_routes(&resources, gateway, up).into_iter().map(|r| r.prefix).collect::<Vec<_>>();
            prop_assert_eq!(prefixes(&all), prefixes(&BTreeSet::new()));
        }
    }
}
