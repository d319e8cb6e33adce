//! What both ends of a session have agreed on.

use std::net::Ipv4Addr;

use rustbgpd_fsm::NegotiatedSession;
use rustbgpd_wire::{EXTENDED_MAX_MESSAGE_LEN, MAX_MESSAGE_LEN};

use crate::family::{Families, Family};

/// What both ends have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's AS number.
    pub peer_as: u32,
    /// The peer's BGP identifier.
    pub peer_identifier: Ipv4Addr,
    /// For how long either end may be silent, in seconds; 0 for ever.
    pub hold_time: u16,
    /// What is exchanged.
    pub families: Families,
    /// AS paths have four octets a number (RFC 6793).
    pub four_octet_as: bool,
    /// The peer can be asked for its routes again (RFC 2918).
    pub route_refresh: bool,
    /// It says when it begins and ends to send them (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// The longest message that both take (RFC 8654).
    pub longest_message: u16,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Whether, and how, our routes at the peer and its routes here outlive a session.
    pub restart: Option<PeerRestart>,
}

/// What the peer says of restarts (RFC 4724 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRestart {
    /// It has just restarted.
    pub restarting: bool,
    /// For how long its routes may be kept, in seconds.
    pub time: u16,
    /// Whose routes may be kept.
    pub families: Families,
    /// Of which it still forwards.
    pub forwarding: Families,
    /// A NOTIFICATION that is no Hard Reset leaves them, too (RFC 8538).
    pub notification: bool,
    /// For how long after that they may serve as a last resort, in seconds, by family (RFC 9494).
    pub long_lived: Vec<(Family, u32)>,
}

impl Negotiated {
    pub(crate) fn of(agreed: &NegotiatedSession) -> Self {
        let family = |code| Family::from_code(code);
        let restart = agreed.peer_gr_capable.then(|| PeerRestart {
            restarting: agreed.peer_restart_state,
            time: agreed.peer_restart_time,
            families: agreed.peer_gr_families.iter().filter_map(|entry| family((entry.afi, entry.safi))).collect(),
            forwarding: agreed
                .peer_gr_families
                .iter()
                .filter(|entry| entry.forwarding_preserved)
                .filter_map(|entry| family((entry.afi, entry.safi)))
                .collect(),
            notification: agreed.peer_notification_gr,
            long_lived: agreed
                .peer_llgr_families
                .iter()
                .filter_map(|entry| Some((family((entry.afi, entry.safi))?, entry.stale_time)))
                .collect(),
        });
        Negotiated {
            peer_as: agreed.peer_asn,
            peer_identifier: agreed.peer_router_id,
            hold_time: agreed.hold_time,
            families: agreed.negotiated_families.iter().filter_map(|code| family(*code)).collect(),
            four_octet_as: agreed.four_octet_as,
            route_refresh: agreed.peer_route_refresh,
            enhanced_route_refresh: agreed.peer_enhanced_route_refresh,
            longest_message: if agreed.peer_extended_message { EXTENDED_MAX_MESSAGE_LEN } else { MAX_MESSAGE_LEN },
            extended_next_hop: agreed.extended_nexthop_families.contains_key(&Family::Ipv4.code()),
            restart,
        }
    }
}
