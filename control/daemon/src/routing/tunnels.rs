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
