//! Which tunnels may carry traffic, and how much of it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;

use gateway::{AdminState, ConnectionIndex, TunnelIndex, VpnTunnel};
use ike::TunnelId;

use super::World;

/// A tunnel as workers know it, and its weight; 0 if peers are to leave it.
pub type Member = (tables::TunnelIndex, u8);

/// The tunnels that may carry traffic.
#[derive(Debug, Default)]
pub struct Tunnels {
    members: BTreeMap<TunnelId, Member>,
    of_connections: BTreeMap<ConnectionIndex, Vec<Member>>,
    usable: BTreeSet<TunnelIndex>,
}

/// Established and carrying traffic, if it were for the resources alone.
fn is_wanted(tunnel: &VpnTunnel) -> bool {
    tunnel.admin == AdminState::Up && !tunnel.paused
}

impl Tunnels {
    /// Those that are up and wanted, and of which nothing else says that they carry nothing.
    pub fn new(world: World<'_>, drained: &BTreeSet<TunnelId>, lost: &BTreeSet<TunnelId>) -> Self {
        let mut tunnels = Self::default();
        for ((index, tunnel), id) in world.resources.tunnels_indexed().zip(world.ids.all()) {
            if is_wanted(tunnel) && world.up.contains(id) && !lost.contains(id) {
                let weight = if drained.contains(id) { 0 } else { tunnel.weight.number() };
                let member = (tables::TunnelIndex(id.0), weight);
                tunnels.members.insert(*id, member);
                tunnels.of_connections.entry(tunnel.connection).or_default().push(member);
                tunnels.usable.insert(index);
            }
        }
        tunnels
    }

    /// One of them.
    pub fn member(&self, tunnel: TunnelId) -> Option<Member> {
        self.members.get(&tunnel).copied()
    }

    /// Those of a connection.
    pub fn of_connection(&self, connection: ConnectionIndex) -> &[Member] {
        self.of_connections.get(&connection).map(Vec::as_slice).unwrap_or_default()
    }

    /// All of them, by place in the resources.
    pub fn usable(&self) -> &BTreeSet<TunnelIndex> {
        &self.usable
    }
}

/// How traffic is shared: by weight, and equally where no tunnel has any: better a drained tunnel than none.
pub fn shares(mut members: Vec<Member>) -> Vec<(tables::TunnelIndex, NonZeroU8)> {
    members.sort_unstable();
    members.dedup_by_key(|(tunnel, _)| *tunnel);
    let weighted: Vec<_> =
        members.iter().filter_map(|(tunnel, weight)| Some((*tunnel, NonZeroU8::new(*weight)?))).collect();
    if weighted.is_empty() {
        members.into_iter().map(|(tunnel, _)| (tunnel, NonZeroU8::MIN)).collect()
    } else {
        weighted
    }
}

#[cfg(test)]
mod tests {
    use gateway::Resources;

    use super::*;
    use crate::tunnel_ids::TunnelIds;

    const BGP: &str = include_str!("../../../../examples/bgp.toml");

    #[test]
    fn what_is_down_drained_paused_or_lost_takes_no_share() {
        let resources = Resources::parse("", BGP).unwrap();
        let paused = Resources::parse("", &BGP.replacen("psk =", "paused = true\npsk =", 1)).unwrap();
        let ids = TunnelIds::default().renumber(&Resources::default(), &resources);
        let [first, second] = [0, 1].map(TunnelId);
        let (none, both) = (BTreeSet::new(), BTreeSet::from([first, second]));
        let members = |resources: &Resources, up: &BTreeSet<TunnelId>, drained: &BTreeSet<_>, lost: &BTreeSet<_>| {
            let tunnels = Tunnels::new(World { resources, ids: &ids, up }, drained, lost);
            assert_eq!(
                tunnels.member(first),
                tunnels.of_connection(ConnectionIndex(0)).first().copied().filter(|m| m.0.0 == 0)
            );
            shares(tunnels.of_connection(ConnectionIndex(0)).to_vec())
                .into_iter()
                .map(|(tunnel, weight)| (tunnel.0, weight.get()))
                .collect::<Vec<_>>()
        };
        let only = |id| BTreeSet::from([id]);
        assert_eq!(members(&resources, &both, &none, &none), [(0, 1), (1, 1)]);
        assert_eq!(members(&resources, &only(second), &none, &none), [(1, 1)]);
        assert_eq!(members(&resources, &both, &only(first), &none), [(1, 1)]);
        assert_eq!(members(&resources, &both, &none, &only(second)), [(0, 1)]);
        assert_eq!(members(&paused, &both, &none, &none), [(1, 1)]);
        // Better a drained tunnel than none.
        assert_eq!(members(&resources, &both, &both, &none), [(0, 1), (1, 1)]);
        assert_eq!(members(&resources, &none, &none, &none), []);
    }
}
