//! Why routes are not taken.

use std::fmt;
use std::net::IpAddr;

use crate::attributes::Attributes;
use crate::rib::config::PeerConfig;

/// Why a route is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Our AS number stands in its path: it has been here before.
    OwnAs,
    /// Its path does not begin with the peer's AS number.
    FirstAs,
    /// Its next hop is none that this peer can offer (RFC 4271 §6.3).
    NextHop,
    /// No policy says that routes of another AS are taken (RFC 8212).
    NoPolicy,
    /// A rule of the import filter refuses it, the first being 0; 255 stands for those behind.
    Rule(u8),
    /// No rule of the import filter takes it.
    Filter,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAs => f.write_str("our AS number is in its path"),
            Self::FirstAs => f.write_str("its path does not begin with the peer's AS number"),
            Self::NextHop => f.write_str("its next hop is none that this peer can offer"),
            Self::NoPolicy => f.write_str("no import policy is configured (RFC 8212)"),
            Self::Rule(rule) => write!(f, "rule {} of the import filter refuses it", u16::from(*rule) + 1),
            Self::Filter => f.write_str("no rule of the import filter takes it"),
        }
    }
}

/// What refuses a route of a peer's before any policy.
pub(crate) fn refusal(config: &PeerConfig, attributes: &Attributes) -> Option<Refusal> {
    // RFC 4271 §9.1.2: what has been here before is not taken again.
    let own = attributes.as_numbers().filter(|number| *number == config.local_as).count();
    if own > usize::from(config.allow_own_as) {
        return Some(Refusal::OwnAs);
    }
    if config.is_internal() {
        return None;
    }
    // RFC 4271 §6.3.
    if attributes.as_numbers().next() != Some(config.remote_as) {
        return Some(Refusal::FirstAs);
    }
    let ours = match attributes.next_hop() {
        IpAddr::V4(address) => config.next_hop.ipv4 == Some(address),
        IpAddr::V6(address) => config.next_hop.ipv6 == Some(address),
    };
    // RFC 4271 §6.3: at the other end of a tunnel there is nobody but the peer. What addresses of the other family it has,
    // nobody has said.
    let foreign =
        attributes.next_hop().is_ipv4() == config.address.is_ipv4() && attributes.next_hop() != config.address;
    (ours || foreign).then_some(Refusal::NextHop)
}
