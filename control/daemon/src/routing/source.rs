//! Where routes come from, each with the number that BGP's table knows it by.

use std::collections::BTreeMap;

use bgp::{SourceId, Worth};
use ike::TunnelId;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::setup::worth;

/// Where routes come from. Objects of the resource file by name, for their places change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKey {
    /// The peer at the other end of a tunnel.
    Peer(TunnelId),
    /// A router of an attachment's network.
    Router(String),
    /// Static routes to a connection.
    StaticConnection(String),
    /// Static routes to an attachment.
    StaticAttachment(String),
    /// Prefixes of an attachment.
    Propagated(String),
    /// Static routes that discard in silence.
    Blackhole,
    /// Static routes that discard and say so.
    Reject,
    /// Static routes to connections without a tunnel that is up: what is for them must not follow a shorter prefix.
    Unreachable,
}

impl SourceKey {
    /// The tunnel that its peer is in.
    pub fn tunnel(&self) -> Option<TunnelId> {
        match self {
            Self::Peer(tunnel) => Some(*tunnel),
            _ => None,
        }
    }

    /// What its routes are worth; `None` for a peer, whose setup says so.
    pub fn worth(&self) -> Option<Worth> {
        match self {
            Self::Peer(_) | Self::Router(_) => None,
            Self::StaticConnection(_) => Some(worth::STATIC_CONNECTION),
            Self::StaticAttachment(_) => Some(worth::STATIC_ATTACHMENT),
            Self::Propagated(_) => Some(worth::PROPAGATED),
            Self::Blackhole | Self::Reject => Some(worth::DISCARDING),
            Self::Unreachable => Some(worth::UNREACHABLE),
        }
    }
}

/// The numbers of a gateway's sources. One that is gone leaves its number to another.
#[derive(Debug, Default)]
pub struct Sources {
    by_key: BTreeMap<SourceKey, SourceId>,
    by_id: BTreeMap<SourceId, SourceKey>,
}

impl Sources {
    /// The number of a source, and whether it is new. `None` if there are no more numbers.
    pub fn number(&mut self, key: SourceKey) -> Option<(SourceId, bool)> {
        if let Some(known) = self.by_key.get(&key) {
            return Some((*known, false));
        }
        let id = (0..u16::MAX).map(SourceId).find(|id| !self.by_id.contains_key(id))?;
        self.by_key.insert(key.clone(), id);
        self.by_id.insert(id, key);
        Some((id, true))
    }

    /// The source of a number.
    pub fn key(&self, id: SourceId) -> Option<&SourceKey> {
        self.by_id.get(&id)
    }

    /// The number of a source that is there.
    pub fn id(&self, key: &SourceKey) -> Option<SourceId> {
        self.by_key.get(key).copied()
    }

    /// Every source with its number.
    pub fn all(&self) -> impl Iterator<Item = (SourceId, &SourceKey)> {
        self.by_id.iter().map(|(id, key)| (*id, key))
    }

    /// Lets go of a source.
    pub fn forget(&mut self, id: SourceId) {
        if let Some(key) = self.by_id.remove(&id) {
            self.by_key.remove(&key);
        }
    }
}

/// A prefix as the workers' tables have it.
pub fn network(prefix: bgp::Prefix) -> IpNet {
    match prefix {
        // Lengths were checked where the prefix was made.
        bgp::Prefix::V4(prefix) => Ipv4Net::new(prefix.addr, prefix.len).map_or(Ipv4Net::default().into(), IpNet::V4),
        bgp::Prefix::V6(prefix) => Ipv6Net::new(prefix.addr, prefix.len).map_or(Ipv6Net::default().into(), IpNet::V6),
    }
}
