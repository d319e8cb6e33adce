//! What a tunnel's BGP and BFD sessions are to be like, from the resources.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bfd::{Algorithm, Authentication, Distance, Key, SessionConfig};
use bgp::{
    AttributeChange, Condition, Drain, Excess, Families, Family, Filter, GracefulRestart, LargeCommunity,
    NeighborConfig, NextHops, PeerConfig, PrefixLimit, Rule, Verdict, Worth,
};
use gateway::{
    AddressFamily, BfdAuthentication, BfdParameters, BgpParameters, FilterAction, FilterRule, FilterVerdict,
    GatewayIndex, Policy, Prefix, PrefixExcess, Resources, VpcRouter, VpnTunnel,
};
use peering::PeerSetup;
use tcp_protection::Md5Key;

/// For how long a session that has ended for too many prefixes stays down.
const RESTART_AFTER: Duration = Duration::from_secs(300);
/// What nothing has that has crossed a router (RFC 5082 §3).
const NEAREST: u8 = 255;

/// What decides before BGP does: the product's kinds of next hop and of route, the lower wins.
pub mod worth {
    use super::Worth;

    /// Routes that discard: who writes one wants what is for that prefix gone.
    pub const DISCARDING: Worth = Worth { preference: 0, distance: 100 };
    /// A static route to an attachment.
    pub const STATIC_ATTACHMENT: Worth = Worth { preference: 100, distance: 100 };
    /// A prefix of an attachment.
    pub const PROPAGATED: Worth = Worth { preference: 100, distance: 120 };
    /// A static route to a connection.
    pub const STATIC_CONNECTION: Worth = Worth { preference: 140, distance: 100 };
    /// What a router behind an attachment says, of another AS.
    pub const EXTERNAL_ROUTER: Worth = Worth { preference: 100, distance: 150 };
    /// What one of our AS says.
    pub const ROUTER: Worth = Worth { preference: 100, distance: 200 };
    /// What another AS says in a tunnel.
    pub const EXTERNAL: Worth = Worth { preference: 140, distance: 150 };
    /// What is better than a shorter prefix only.
    pub const UNREACHABLE: Worth = Worth { preference: 255, distance: 255 };
}

/// A tunnel's BGP session. `None` without BGP, or without the ends that the file's rules ask for.
pub fn in_tunnel(resources: &Resources, tunnel: &VpnTunnel, drained: bool, restarting: bool) -> Option<PeerSetup> {
    let connection = resources.connection(tunnel.connection);
    let ends = Ends {
        gateway: tunnel.gateway,
        local: tunnel.inner_address?.address(),
        remote: tunnel.peer_inner_address?,
        remote_as: resources.customer(connection.customer).asn.number(),
    };
    peer(resources, &ends, connection.bgp.as_ref()?, drained, restarting)
}

/// The BGP session with a VPC router.
pub fn with_router(resources: &Resources, router: &VpcRouter, restarting: bool) -> Option<PeerSetup> {
    let ends = Ends {
        gateway: router.gateway,
        local: router.local_address,
        remote: router.address,
        remote_as: router.asn.number(),
    };
    let mut setup = peer(resources, &ends, &router.bgp, false, restarting)?;
    if let Some(export) = &mut setup.routes.export {
        // It is in that network itself.
        let own = &resources.attachment(router.attachment).prefixes;
        let exactly = |prefix: Prefix| bgp::PrefixRange {
            within: self::prefix(prefix),
            at_least: prefix.length(),
            at_most: prefix.length(),
        };
        let conditions = vec![Condition::Prefix(own.iter().map(|attached| exactly(attached.prefix)).collect())];
        export.rules.insert(0, Rule { conditions, changes: Vec::new(), verdict: Some(Verdict::Reject) });
    }
    setup.routes.worth = if setup.session.is_internal() { worth::ROUTER } else { worth::EXTERNAL_ROUTER };
    Some(setup)
}

/// A tunnel's BFD session, if it has one.
pub fn detection_in_tunnel(resources: &Resources, tunnel: &VpnTunnel) -> Option<SessionConfig> {
    let bfd = resources.connection(tunnel.connection).bfd.as_ref()?;
    Some(detection(bfd, tunnel.inner_address?.address(), tunnel.peer_inner_address?))
}

/// The BFD session with a VPC router, if there is one.
pub fn detection_of_router(router: &VpcRouter) -> Option<SessionConfig> {
    Some(detection(router.bfd.as_ref()?, router.local_address, router.address))
}

/// Between whom a session is.
struct Ends {
    gateway: GatewayIndex,
    local: IpAddr,
    remote: IpAddr,
    remote_as: u32,
}

fn peer(resources: &Resources, ends: &Ends, bgp: &BgpParameters, drained: bool, restarting: bool) -> Option<PeerSetup> {
    let owner = resources.gateway(ends.gateway);
    let (local, remote, remote_as) = (ends.local, ends.remote, ends.remote_as);
    let local_as = bgp.local_asn.unwrap_or(owner.asn).number();
    let restart_time = bgp.graceful_restart.seconds();
    let hold = bgp.hold.seconds();
    Some(PeerSetup {
        session: NeighborConfig {
            local,
            remote,
            local_as,
            remote_as,
            router_id: resources.router_id(ends.gateway)?,
            hold_time: hold,
            connect_retry: Duration::from_secs(bgp.connect_retry.seconds().into()),
            passive: bgp.passive,
            families: families(bgp, local),
            graceful_restart: (restart_time > 0).then_some(GracefulRestart {
                restart_time,
                long_lived_stale_time: bgp.long_lived_stale.seconds(),
                restarting,
            }),
        },
        routes: PeerConfig {
            worth: worth::EXTERNAL,
            local_as,
            remote_as,
            address: remote,
            next_hop: next_hops(local, owner.addresses.iter().map(gateway::InterfaceAddress::address)),
            allow_own_as: bgp.allow_own_asn.count(),
            override_as: bgp.override_asn,
            import: Some(filter(resources, bgp.import, local_as)),
            export: Some(filter(resources, bgp.export, local_as)),
            prefix_limit: Some(PrefixLimit {
                most: bgp.prefix_limit.count(),
                excess: match bgp.prefix_excess {
                    PrefixExcess::Discard => Excess::Discard,
                    PrefixExcess::Warn => Excess::Warn,
                    PrefixExcess::Restart => Excess::Restart(RESTART_AFTER),
                },
            }),
            drain: drained.then_some(Drain { med: Some(bgp.drain_med), prepend: bgp.drain_prepend.count() }),
        },
        md5_key: bgp.md5_key.as_ref().and_then(|key| Md5Key::new(key.psk()?.secret()).ok()),
        least_ttl: bgp.ttl_security.then_some(NEAREST),
        send_hold: peering::SEND_HOLD.max(Duration::from_secs(2 * u64::from(hold))),
    })
}

fn detection(bfd: &BfdParameters, local: IpAddr, remote: IpAddr) -> SessionConfig {
    let interval = Duration::from_millis(bfd.interval.milliseconds().into());
    SessionConfig {
        local,
        remote,
        distance: if bfd.multihop { Distance::MultiHop { minimum_ttl: 1 } } else { Distance::SingleHop },
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_multiplier: bfd.multiplier.packets(),
        passive: false,
        authentication: authentication(bfd),
    }
}

fn authentication(bfd: &BfdParameters) -> Option<Authentication> {
    let (kind, id, key) = bfd.authentication.as_ref()?;
    let algorithm = match kind {
        BfdAuthentication::Password => Algorithm::SimplePassword,
        BfdAuthentication::Md5 => Algorithm::KeyedMd5,
        BfdAuthentication::MeticulousMd5 => Algorithm::MeticulousKeyedMd5,
        BfdAuthentication::Sha1 => Algorithm::KeyedSha1,
        BfdAuthentication::MeticulousSha1 => Algorithm::MeticulousKeyedSha1,
    };
    Some(Authentication { algorithm, keys: vec![Key::new(id.number(), key.psk()?.secret())] })
}

fn families(bgp: &BgpParameters, local: IpAddr) -> Families {
    match &bgp.families {
        Some(chosen) => {
            Families { ipv4: chosen.contains(&AddressFamily::Ipv4), ipv6: chosen.contains(&AddressFamily::Ipv6) }
        }
        None => Families { ipv4: true, ipv6: local.is_ipv6() },
    }
}

/// Our end of the tunnel; for IPv6 in a session of IPv4 an address of the gateway itself. IPv4 in a session of IPv6 has our end
/// of the tunnel, too, with peers that know RFC 8950.
fn next_hops(local: IpAddr, own: impl Iterator<Item = IpAddr>) -> NextHops {
    let own_ipv6 = own.into_iter().find_map(|address| match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    });
    match local {
        IpAddr::V4(address) => NextHops { ipv4: Some(address), ipv6: own_ipv6 },
        IpAddr::V6(address) => NextHops { ipv4: None, ipv6: Some(address) },
    }
}

fn filter(resources: &Resources, policy: Policy, local_as: u32) -> Filter {
    match policy {
        Policy::All => Filter::ALL,
        Policy::None => Filter::NONE,
        // What a peer has told us has a path.
        Policy::Own => Filter {
            rules: vec![Rule {
                conditions: vec![Condition::PathLongerThan(0)],
                changes: Vec::new(),
                verdict: Some(Verdict::Reject),
            }],
            otherwise: Verdict::Accept,
        },
        Policy::Filter(index) => {
            let chosen = &resources.filters()[index.position()];
            Filter {
                rules: chosen.rules.iter().map(|chosen| rule(chosen, local_as)).collect(),
                otherwise: match chosen.otherwise {
                    FilterVerdict::Accept => Verdict::Accept,
                    FilterVerdict::Reject => Verdict::Reject,
                },
            }
        }
    }
}

fn rule(rule: &FilterRule, local_as: u32) -> Rule {
    let prefixes: Vec<_> = rule.prefixes.iter().map(prefix_range).collect();
    let large = |gateway::LargeCommunity(first, second, third): gateway::LargeCommunity| LargeCommunity {
        global_admin: first,
        local_data1: second,
        local_data2: third,
    };
    let conditions = [
        (!prefixes.is_empty()).then_some(Condition::Prefix(prefixes)),
        rule.path_contains.map(|asn| Condition::PathContains(asn.number())),
        rule.path_begins.map(|asn| Condition::PathBegins(asn.number())),
        rule.path_ends.map(|asn| Condition::PathEnds(asn.number())),
        rule.path_longer_than.map(|length| Condition::PathLongerThan(length.into())),
        rule.community.map(|community| Condition::Community(community.0)),
        rule.large_community.map(|community| Condition::LargeCommunity(large(community))),
    ];
    let changes = [
        rule.set_local_pref.map(AttributeChange::LocalPref),
        rule.set_med.map(|med| AttributeChange::Med(Some(med))),
        rule.prepend.map(|times| AttributeChange::Prepend(local_as, times.count())),
        rule.remove_community.map(|community| AttributeChange::RemoveCommunity(community.0)),
        rule.add_community.map(|community| AttributeChange::AddCommunity(community.0)),
        rule.remove_large_community.map(|community| AttributeChange::RemoveLargeCommunity(large(community))),
        rule.add_large_community.map(|community| AttributeChange::AddLargeCommunity(large(community))),
    ];
    Rule {
        conditions: conditions.into_iter().flatten().collect(),
        changes: changes.into_iter().flatten().collect(),
        verdict: match rule.action {
            FilterAction::Accept => Some(Verdict::Accept),
            FilterAction::Reject => Some(Verdict::Reject),
            FilterAction::Next => None,
        },
    }
}

fn prefix_range(range: &gateway::PrefixRange) -> bgp::PrefixRange {
    bgp::PrefixRange { within: prefix(range.within), at_least: range.at_least, at_most: range.at_most }
}

/// A prefix as BGP has it.
pub fn prefix(prefix: Prefix) -> bgp::Prefix {
    match prefix.address() {
        IpAddr::V4(address) => bgp::Prefix::V4(bgp::Ipv4Prefix { addr: address, len: prefix.length() }),
        IpAddr::V6(address) => bgp::Prefix::V6(bgp::Ipv6Prefix { addr: address, len: prefix.length() }),
    }
}

/// Where nobody is told to send anything: what stands with routes of our own, and is another address to every peer.
pub fn nowhere(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = include_str!("../../../../examples/full.toml");

    fn tunnel<'a>(resources: &'a Resources, name: &str) -> &'a VpnTunnel {
        resources.tunnels().iter().find(|tunnel| tunnel.name.as_str() == name).unwrap()
    }

    fn full() -> Resources {
        let mut resources = Resources::parse("", FULL).unwrap();
        let files: Vec<_> = resources.psk_files().map(|(field, _)| field).collect();
        files.into_iter().for_each(|field| resources.supply_psk(field, b"a_key_in_a_file_").unwrap());
        resources
    }

    #[test]
    fn a_session_is_as_the_file_says() {
        let resources = full();
        let setup = in_tunnel(&resources, tunnel(&resources, "tun-4"), false, false).unwrap();
        let (session, routes) = (&setup.session, &setup.routes);
        assert_eq!((session.local_as, session.remote_as, session.hold_time), (64700, 4_200_000_003, 30));
        assert_eq!(session.local, IpAddr::from([169, 254, 11, 1]));
        assert_eq!(session.router_id, Ipv4Addr::new(10, 255, 0, 1));
        assert_eq!(session.families, Families { ipv4: true, ipv6: false });
        assert_eq!(session.graceful_restart.unwrap().long_lived_stale_time, 3600);
        assert_eq!((routes.worth, routes.allow_own_as, setup.least_ttl), (worth::EXTERNAL, 1, Some(255)));
        assert_eq!(routes.prefix_limit.unwrap().excess, Excess::Restart(RESTART_AFTER));
        assert_eq!((routes.drain, setup.md5_key.is_some()), (None, true));
        let import = routes.import.as_ref().unwrap();
        assert_eq!((import.rules.len(), import.otherwise), (1, Verdict::Reject));
        assert_eq!((import.rules[0].conditions.len(), import.rules[0].changes.len()), (7, 7));
        // RFC 8212 is a policy like any other: none is left out.
        assert!(routes.export.is_some());
        let drained = in_tunnel(&resources, tunnel(&resources, "tun-4"), true, false).unwrap();
        assert_eq!(drained.routes.drain, Some(Drain { med: Some(1000), prepend: 3 }));
    }

    #[test]
    fn ipv6_has_both_families_and_ipv4_by_its_next_hop() {
        let resources = full();
        let setup = in_tunnel(&resources, tunnel(&resources, "tun-6"), false, true).unwrap();
        assert_eq!(setup.session.families, Families { ipv4: true, ipv6: true });
        assert_eq!(setup.routes.next_hop, NextHops { ipv4: None, ipv6: "fd00:11::1".parse().ok() });
        assert!(setup.session.graceful_restart.unwrap().restarting);
        let bfd = detection_in_tunnel(&resources, tunnel(&resources, "tun-6")).unwrap();
        assert_eq!((bfd.desired_min_tx, bfd.detect_multiplier), (Duration::from_millis(300), 3));
        assert_eq!(bfd.authentication.unwrap().algorithm, Algorithm::KeyedSha1);
        assert_eq!(in_tunnel(&resources, tunnel(&resources, "tun-1"), false, false).map(|_| ()), None);
    }

    #[test]
    fn a_router_of_our_as_is_worth_less_than_one_of_another_and_more_than_any_tunnel() {
        let resources = full();
        let router = &resources.routers()[0];
        let setup = with_router(&resources, router, false).unwrap();
        assert!(setup.session.is_internal());
        assert_eq!(setup.routes.worth, worth::ROUTER);
        let other = VpcRouter { asn: gateway::Asn::from_number(65099).unwrap(), ..router.clone() };
        assert_eq!(with_router(&resources, &other, false).unwrap().routes.worth, worth::EXTERNAL_ROUTER);
        let ranks =
            [worth::PROPAGATED, worth::EXTERNAL_ROUTER, worth::ROUTER, worth::STATIC_CONNECTION, worth::EXTERNAL];
        assert!(ranks.map(|worth| (worth.preference, worth.distance)).is_sorted());
    }
}
