//! What is allowed but probably not meant.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::draft::{
    AttachmentDraft, AuthenticationDraft, ConnectionDraft, Draft, KeyDraft, RouteDraft, StationDraft, TunnelDraft,
};
use crate::index::{AttachmentIndex, ConnectionIndex, GatewayIndex};
use crate::prefix::Prefix;
use crate::psk::Psk;
use crate::report::{At, Complaint, Report};
use crate::resource::RouteTarget;

/// Warns of everything doubtful; `shadowed` are the attached prefixes that lost against an earlier one.
pub(crate) fn warn(draft: &Draft, shadowed: &[Shadowed], report: &Report<'_>) {
    for loser in shadowed {
        let label = |attachment: AttachmentIndex| &draft.attachments[attachment.position()].head.label;
        let problem = format!("is not valid: it overlaps {} of {}", loser.winner, label(loser.winner_owner));
        let complaint = Complaint::new(problem).quoting(&loser.prefix.value.to_string());
        report.warn(label(loser.owner), "prefixes", loser.prefix.offset, complaint);
    }
    unused(draft, report);
    for connection in &draft.connections {
        unreachable_address(draft, report, connection);
    }
    for tunnel in &draft.tunnels {
        weak_key(report, tunnel);
        lonely_selectors(report, tunnel);
    }
    for route in &draft.routes {
        useless_route(draft, report, route);
    }
    for station in &draft.stations {
        useless_station(draft, report, station);
    }
}

/// An attached prefix that is not valid, and why.
pub(crate) struct Shadowed {
    pub(crate) owner: AttachmentIndex,
    pub(crate) prefix: At<Prefix>,
    pub(crate) winner_owner: AttachmentIndex,
    pub(crate) winner: Prefix,
}

/// The attached prefixes that overlap a valid one of an earlier attachment of the same gateway.
pub(crate) fn shadowed(draft: &Draft) -> Vec<Shadowed> {
    let mut losers = Vec::new();
    for gateway in (0..draft.gateways.len()).map(GatewayIndex::from_position) {
        let mut valid: Vec<(AttachmentIndex, Prefix)> = Vec::new();
        for (owner, prefix) in draft.attached(gateway) {
            // Within one attachment both lead to the same interface.
            let winner = valid.iter().find(|(other, p)| *other != owner && p.overlaps(&prefix.value));
            match winner {
                Some(&(winner_owner, winner)) => losers.push(Shadowed { owner, prefix, winner_owner, winner }),
                None => valid.push((owner, prefix.value)),
            }
        }
    }
    losers
}

fn unused(draft: &Draft, report: &Report<'_>) {
    if draft.gateways.is_empty() {
        report.warn("", "border_gateway", 0, Complaint::new("is missing: the file describes no border gateway"));
    }
    let attached: BTreeSet<_> = draft.attachments.iter().filter_map(|a| a.gateway.map(|at| at.value)).collect();
    let connected: BTreeSet<_> = draft.connections.iter().filter_map(|c| c.gateway.map(|at| at.value)).collect();
    let peers: BTreeSet<_> = draft.connections.iter().filter_map(|c| c.customer.map(|at| at.value)).collect();
    let tunnelled: BTreeSet<_> = draft.tunnels.iter().filter_map(|t| t.connection.map(|at| at.value)).collect();
    for (place, gateway) in draft.gateways.iter().enumerate() {
        let index = GatewayIndex::from_position(place);
        let lacks = if !attached.contains(&index) {
            "has no vpc_attachment"
        } else if !connected.contains(&index) {
            "has no vpn_connection"
        } else {
            continue;
        };
        report.warn(&gateway.head.label, "", gateway.head.offset, Complaint::new(lacks));
    }
    for (place, customer) in draft.customers.iter().enumerate() {
        if peers.iter().all(|peer| peer.position() != place) {
            let complaint = Complaint::new("is not used by any vpn_connection");
            report.warn(&customer.head.label, "", customer.head.offset, complaint);
        }
    }
    for (place, connection) in draft.connections.iter().enumerate() {
        if !tunnelled.contains(&ConnectionIndex::from_position(place)) {
            report.warn(&connection.head.label, "", connection.head.offset, Complaint::new("has no vpn_tunnel"));
        }
    }
}

fn unreachable_address(draft: &Draft, report: &Report<'_>, connection: &ConnectionDraft) {
    let Some(customer) = connection.customer.map(|at| &draft.customers[at.value.position()]) else { return };
    let (Some(ours), Some(theirs)) = (&connection.addresses, &customer.addresses) else { return };
    for address in &ours.value {
        if theirs.value.iter().all(|at| at.value.is_ipv4() != address.value.is_ipv4()) {
            let family = family(address.value);
            let complaint = Complaint::new(format!("is {family}, but {} has no such address", customer.head.label));
            report.warn(
                &connection.head.label,
                "addresses",
                address.offset,
                complaint.quoting(&address.value.to_string()),
            );
        }
    }
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

fn weak_key(report: &Report<'_>, tunnel: &TunnelDraft) {
    // RFC 7296 §2.15: a key that can be guessed lets a man in the middle try guesses off line.
    let Some(AuthenticationDraft::Psk { key, next }) = &tunnel.authentication else { return };
    for (field, key) in [("psk", Some(key)), ("psk_next", next.as_ref())] {
        if let Some(At { value: KeyDraft::Inline(psk), offset }) = key
            && psk.is_short()
        {
            let enough = Psk::ENOUGH;
            let complaint = Complaint::new(format!("is short: {enough} random characters or more resist guessing"));
            report.warn(&tunnel.head.label, field, *offset, complaint);
        }
    }
}

fn lonely_selectors(report: &Report<'_>, tunnel: &TunnelDraft) {
    let (Some(local), Some(remote)) = (&tunnel.local_prefixes, &tunnel.remote_prefixes) else { return };
    for (key, side, other, other_key) in
        [("local_prefixes", local, remote, "remote_prefixes"), ("remote_prefixes", remote, local, "local_prefixes")]
    {
        let lonely = side.value.iter().find(|p| other.value.iter().all(|o| o.is_ipv4() != p.is_ipv4()));
        if let Some(prefix) = lonely {
            let complaint = Complaint::new(format!("has no counterpart of its family in {other_key}"));
            report.warn(&tunnel.head.label, key, side.offset, complaint.quoting(&prefix.to_string()));
        }
    }
}

fn useless_route(draft: &Draft, report: &Report<'_>, route: &RouteDraft) {
    let (Some(gateway), Some(destination), Some(target)) = (route.gateway, route.destination, route.target) else {
        return;
    };
    let warn = |problem: String| {
        let complaint = Complaint::new(problem).quoting(&destination.value.to_string());
        report.warn(&route.head.label, "destination", destination.offset, complaint);
    };
    if !discards(target.value)
        && let Some(line) = discarded(draft, report, gateway.value, destination.value)
    {
        warn(format!("is never used: the route on line {line} discards what is for the same prefix"));
    }
    match target.value {
        RouteTarget::Blackhole | RouteTarget::Reject => {}
        RouteTarget::Connection(connection) => {
            if let Some((owner, _)) = draft.attached(gateway.value).find(|(_, p)| p.value == destination.value) {
                let label = &draft.attachments[owner.position()].head.label;
                warn(format!("is never used: {label} has the same prefix, and a VPC goes before a VPN"));
            }
            let mut tunnels = draft.tunnels.iter().filter(|t| t.connection.is_some_and(|at| at.value == connection));
            let misfit = tunnels.find_map(|tunnel| {
                let selectors = tunnel.remote_prefixes.as_ref()?;
                let fits = selectors.value.iter().any(|selector| selector.covers(&destination.value));
                (!fits).then_some(&tunnel.head.label)
            });
            if let Some(label) = misfit {
                let outside = "what lies outside them cannot be sent through it";
                warn(format!("is not within remote_prefixes of {label}: {outside}"));
            }
        }
        RouteTarget::Attachment(attachment) => {
            let AttachmentDraft { head, anti_spoofing, prefixes, .. } = &draft.attachments[attachment.position()];
            let mut behind = prefixes.iter().flat_map(|list| &list.value);
            if *anti_spoofing == Some(true) && !behind.any(|prefix| prefix.value.covers(&destination.value)) {
                warn(format!("is not within prefixes of {}: its anti_spoofing drops what comes back", head.label));
            }
        }
    }
}

fn useless_station(draft: &Draft, report: &Report<'_>, station: &StationDraft) {
    let Some(gateway) = station.gateway else { return };
    if !draft.speaks_bgp(gateway.value) {
        let owner = &draft.gateways[gateway.value.position()];
        let name = owner.name.as_ref().map_or("", |name| name.as_str());
        let complaint = Complaint::new("speaks no BGP: there is nothing that the station could be told");
        report.warn(&station.head.label, "border_gateway", gateway.offset, complaint.quoting(name));
    }
}

/// The line of the static route that discards what is for a destination.
fn discarded(draft: &Draft, report: &Report<'_>, gateway: GatewayIndex, destination: Prefix) -> Option<u32> {
    let found = draft.routes.iter().find(|route| {
        let table_and_destination = (route.gateway.map(|at| at.value), route.destination.map(|at| at.value));
        route.target.is_some_and(|at| discards(at.value)) && table_and_destination == (Some(gateway), Some(destination))
    });
    found.map(|route| report.line(route.head.offset))
}

fn discards(target: RouteTarget) -> bool {
    match target {
        RouteTarget::Blackhole | RouteTarget::Reject => true,
        RouteTarget::Connection(_) | RouteTarget::Attachment(_) => false,
    }
}
