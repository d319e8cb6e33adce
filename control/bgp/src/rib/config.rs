//! What a peer's routes are worth, which of them are taken, and what it is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::policy::Filter;

/// What a source's routes are worth before BGP compares them: kind of next hop, then kind of route; the lower wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth {
    /// Of the kind of next hop.
    pub preference: u8,
    /// Of the kind of route.
    pub distance: u8,
}

/// A peer, as far as its routes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// What its routes are worth.
    pub worth: Worth,
    /// The AS number we show it.
    pub local_as: u32,
    /// Its AS number.
    pub remote_as: u32,
    /// Its address of the session, and what decides between equal routes.
    pub address: IpAddr,
    /// What it is told to send packets to, by the family of the address.
    pub next_hop: NextHops,
    /// How often our AS number may stand in its paths.
    pub allow_own_as: u8,
    /// Its own AS number is replaced by ours in paths that it is told.
    pub override_as: bool,
    /// Which of its routes are taken. `None` takes none from another AS (RFC 8212).
    pub import: Option<Filter>,
    /// Which routes it is told. `None` tells none to another AS (RFC 8212).
    pub export: Option<Filter>,
    /// How many prefixes it may announce of each family.
    pub prefix_limit: Option<PrefixLimit>,
    /// It is to send its traffic elsewhere: what is added to all that it is told.
    pub drain: Option<Drain>,
}

/// Our addresses on the way to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    /// Of IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// Of IPv6; also for IPv4 routes where there is no other and the peer agrees (RFC 8950).
    pub ipv6: Option<Ipv6Addr>,
}

/// How a peer is moved away from one of several ways to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// MULTI_EXIT_DISC instead of any other.
    pub med: Option<u32>,
    /// How often our AS number is put in front of paths beyond the usual once.
    pub prepend: u8,
}

/// How many prefixes of a family a peer may announce, and what happens beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimit {
    /// So many.
    pub most: u32,
    /// What happens beyond.
    pub excess: Excess,
}

impl PrefixLimit {
    /// Whether a peer is warned of that announces so many: four fifths.
    pub(crate) fn is_near(&self, announced: u32) -> bool {
        u64::from(announced) * 5 >= u64::from(self.most) * 4
    }
}

/// What happens to prefixes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Those beyond it are not taken.
    Discard,
    /// They are taken.
    Warn,
    /// The session ends, and begins anew after so long.
    Restart(Duration),
}

impl PeerConfig {
    /// Whether the peer is of our AS.
    pub(crate) fn is_internal(&self) -> bool {
        self.local_as == self.remote_as
    }
}
