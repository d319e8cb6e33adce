//! What BIRD and FRR say on a session (tests/oracle/record.py), and what is made of it.

#[allow(dead_code)]
mod pair;

use std::collections::BTreeMap;
use std::time::Instant;

use bordergate_bgp::{
    Action, ConnectionId, Context, ExtendedCommunity, Families, Family, LargeCommunity, Negotiated, Neighbor,
    NeighborConfig, PathAttribute, Prefix,
};
use pair::config;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

struct Said {
    negotiated: Negotiated,
    /// By prefix: next hop, AS path, and the other attributes.
    routes: BTreeMap<String, (String, Vec<u32>, Vec<PathAttribute>)>,
    ends: Vec<Family>,
}

fn heard(recorded: &str, remote_as: u32) -> Said {
    let now = Instant::now();
    let config = NeighborConfig { remote_as, graceful_restart: Some(RESTART), ..config(0) };
    let mut neighbor = Neighbor::new(config, now).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut ctx = Context { now, rng: &mut rng };
    neighbor.start(&mut ctx);
    let Some(Action::Connect(id)) = neighbor.poll_action() else { panic!("it begins by connecting") };
    neighbor.connected(id, &mut ctx);
    let (mut negotiated, mut routes, mut ends) = (None, BTreeMap::new(), Vec::new());
    for line in recorded.lines().filter(|line| !line.starts_with('#')) {
        let bytes: Vec<u8> =
            (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        neighbor.received(id, &bytes, &mut ctx);
        while let Some(action) = neighbor.poll_action() {
            match action {
                Action::Up(agreed) => negotiated = Some((*agreed).clone()),
                Action::Update(update) => {
                    assert!(update.faults.is_empty() && update.withdrawn.is_empty(), "{update:?}");
                    ends.extend(update.end_of_rib);
                    for announcement in update.announced {
                        for prefix in announcement.prefixes {
                            let attributes = update.attributes.clone();
                            let (paths, others): (Vec<_>, Vec<_>) =
                                attributes.into_iter().partition(|a| matches!(a, PathAttribute::AsPath(_)));
                            let [PathAttribute::AsPath(path)] = &paths[..] else { panic!("one AS path") };
                            let route = (announcement.next_hop.to_string(), path.asns().collect(), others);
                            routes.insert(written(prefix), route);
                        }
                    }
                }
                Action::Transmit { connection: ConnectionId(_), .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    Said { negotiated: negotiated.expect("up"), routes, ends }
}

const RESTART: bordergate_bgp::GracefulRestart =
    bordergate_bgp::GracefulRestart { restart_time: 60, long_lived_stale_time: 0, restarting: false };

fn written(prefix: Prefix) -> String {
    match prefix {
        Prefix::V4(prefix) => format!("{}/{}", prefix.addr, prefix.len),
        Prefix::V6(prefix) => format!("{}/{}", prefix.addr, prefix.len),
    }
}

const BOTH: Families = Families { ipv4: true, ipv6: true };
const COMMUNITY: u32 = 65010 << 16 | 1;
const LARGE: LargeCommunity = LargeCommunity { global_admin: 65010, local_data1: 2, local_data2: 3 };

#[test]
fn routes_of_bird_are_what_bird_was_told() {
    let said = heard(include_str!("vectors/bird.txt"), 4_200_000_010);
    assert_eq!((said.negotiated.peer_as, said.negotiated.peer_identifier), (4_200_000_010, [10, 9, 0, 1].into()));
    assert_eq!((said.negotiated.families, said.negotiated.hold_time), (BOTH, 90));
    assert!(said.negotiated.four_octet_as && said.negotiated.enhanced_route_refresh);
    let restart = said.negotiated.restart.unwrap();
    assert_eq!((restart.time, restart.families, restart.forwarding), (120, BOTH, Families::default()));
    assert!(!restart.restarting && !restart.notification);
    assert_eq!(said.ends, [Family::Ipv4, Family::Ipv6]);
    let igp = PathAttribute::Origin(bordergate_bgp::Origin::Igp);
    let incomplete = PathAttribute::Origin(bordergate_bgp::Origin::Incomplete);
    let target = PathAttribute::ExtendedCommunities(vec![ExtendedCommunity::new(0x0002_fdf2_0000_0007)]);
    let (four, six) = ("169.254.9.2".to_owned(), "2001:db8:9::2".to_owned());
    let own = vec![4_200_000_010];
    let communities = PathAttribute::Communities(vec![COMMUNITY]);
    let large = PathAttribute::LargeCommunities(vec![LARGE]);
    let expected = [
        ("10.1.0.0/16", (four.clone(), own.clone(), vec![igp.clone(), communities.clone(), large])),
        ("10.2.3.0/24", (four.clone(), own.clone(), vec![igp.clone(), target])),
        ("192.0.2.128/25", (four, vec![4_200_000_010, 65011], vec![incomplete])),
        ("2001:db8:1::/48", (six, own, vec![igp, communities])),
    ];
    assert_eq!(said.routes, expected.map(|(prefix, route)| (prefix.to_owned(), route)).into());
}

#[test]
fn routes_of_frr_are_what_frr_was_told() {
    let said = heard(include_str!("vectors/frr.txt"), 65010);
    assert_eq!((said.negotiated.peer_as, said.negotiated.peer_identifier), (65010, [10, 9, 0, 1].into()));
    assert_eq!((said.negotiated.families, said.negotiated.hold_time), (BOTH, 90));
    assert_eq!(said.negotiated.longest_message, 65535);
    let restart = said.negotiated.restart.unwrap();
    // It begins as one that has restarted, and takes part in RFC 8538.
    assert!(restart.restarting && restart.notification);
    assert_eq!((restart.time, restart.families), (120, BOTH));
    assert_eq!(said.ends, [Family::Ipv4, Family::Ipv6]);
    let igp = PathAttribute::Origin(bordergate_bgp::Origin::Igp);
    let target = PathAttribute::ExtendedCommunities(vec![ExtendedCommunity::new(0x0002_fdf2_0000_0007)]);
    let communities = PathAttribute::Communities(vec![COMMUNITY]);
    let large = PathAttribute::LargeCommunities(vec![LARGE]);
    let med = PathAttribute::Med;
    let (four, six) = ("169.254.9.2".to_owned(), "2001:db8:9::2".to_owned());
    let tagged = vec![igp.clone(), med(0), communities, large];
    let expected = [
        ("10.1.0.0/16", (four.clone(), tagged.clone())),
        ("10.2.3.0/24", (four.clone(), vec![igp.clone(), med(50), target])),
        ("192.0.2.128/25", (four, vec![igp, med(0)])),
        ("2001:db8:1::/48", (six, tagged)),
    ];
    let expected = expected.map(|(prefix, (hop, others))| (prefix.to_owned(), (hop, vec![65010], others)));
    assert_eq!(said.routes, expected.into());
}
