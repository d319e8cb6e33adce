//! The rules between objects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::draft::{ConnectionDraft, Draft, RouteDraft, TunnelDraft};
use crate::index::GatewayIndex;
use crate::prefix::Prefix;
use crate::report::{At, Complaint, Report, quoted};
use crate::resource::RouteTarget;

/// Reports every broken rule.
pub(crate) fn check(draft: &Draft, report: &Report<'_>) {
    interfaces(draft, report);
    address_counts(draft, report);
    for connection in &draft.connections {
        different_asns(draft, report, connection);
    }
    for tunnel in &draft.tunnels {
        tunnel_addresses(draft, report, tunnel);
        families(report, tunnel);
    }
    one_tunnel_per_pair(draft, report);
    for route in &draft.routes {
        same_gateway(draft, report, route);
    }
    one_route_per_target(draft, report);
}

/// An interface brings packets to one border gateway: tenants are told apart by it.
fn interfaces(draft: &Draft, report: &Report<'_>) {
    let mut owners: BTreeMap<&str, (GatewayIndex, &str)> = BTreeMap::new();
    for attachment in &draft.attachments {
        let (Some(gateway), Some(interface)) = (attachment.gateway, &attachment.interface) else { continue };
        let name = interface.value.as_str();
        let &mut (owner, first) = owners.entry(name).or_insert((gateway.value, &attachment.head.label));
        if owner != gateway.value {
            let complaint = Complaint::new(format!("is already used by {first} of another border gateway"));
            let complaint = complaint.allowed("an interface belongs to one border gateway").quoting(name);
            report.error(&attachment.head.label, "interface", interface.offset, complaint);
        }
    }
}

fn address_counts(draft: &Draft, report: &Report<'_>) {
    let count = |label: &str, addresses: &Option<At<Vec<At<IpAddr>>>>, counts: &[usize], allowed: &str| {
        if let Some(list) = addresses
            && !counts.contains(&list.value.len())
        {
            let complaint = Complaint::new(format!("has {} entries", list.value.len())).allowed(allowed);
            report.error(label, "addresses", list.offset, complaint);
        }
    };
    for customer in &draft.customers {
        count(&customer.head.label, &customer.addresses, &[1, 2, 4], "1, 2 or 4 addresses");
    }
    for connection in &draft.connections {
        count(&connection.head.label, &connection.addresses, &[1, 2], "1 or 2 addresses");
    }
}

fn different_asns(draft: &Draft, report: &Report<'_>, connection: &ConnectionDraft) {
    let (Some(gateway), Some(customer)) = (connection.gateway, connection.customer) else { return };
    let gateway = &draft.gateways[gateway.value.position()];
    let peer = &draft.customers[customer.value.position()];
    if let (Some(ours), Some(theirs)) = (gateway.asn, peer.asn)
        && ours == theirs.value
    {
        let name = peer.name.as_ref().map_or("", |name| name.as_str());
        let complaint = Complaint::new(format!("has ASN {ours}, as has {}", gateway.head.label));
        let complaint = complaint.allowed("different ASNs on the two sides").quoting(name);
        report.error(&connection.head.label, "customer_gateway", customer.offset, complaint);
    }
}

fn tunnel_addresses(draft: &Draft, report: &Report<'_>, tunnel: &TunnelDraft) {
    let Some(connection) = tunnel.connection.map(|at| &draft.connections[at.value.position()]) else { return };
    let customer = connection.customer.map(|at| &draft.customers[at.value.position()]);
    belongs(report, tunnel, "local_address", tunnel.local_address, &connection.head.label, &connection.addresses);
    if let Some(customer) = customer {
        belongs(report, tunnel, "remote_address", tunnel.remote_address, &customer.head.label, &customer.addresses);
    }
}

fn belongs(
    report: &Report<'_>,
    tunnel: &TunnelDraft,
    key: &str,
    address: Option<At<IpAddr>>,
    owner: &str,
    addresses: &Option<At<Vec<At<IpAddr>>>>,
) {
    let (Some(address), Some(addresses)) = (address, addresses) else { return };
    if addresses.value.iter().all(|at| at.value != address.value) {
        let known: Vec<String> = addresses.value.iter().take(4).map(|at| at.value.to_string()).collect();
        let complaint = Complaint::new(format!("is not an address of {owner}")).allowed(known.join(", "));
        report.error(&tunnel.head.label, key, address.offset, complaint.quoting(&address.value.to_string()));
    }
}

fn families(report: &Report<'_>, tunnel: &TunnelDraft) {
    if let (Some(local), Some(remote)) = (tunnel.local_address, tunnel.remote_address)
        && local.value.is_ipv4() != remote.value.is_ipv4()
    {
        let complaint = Complaint::new(format!("is of another family than local_address {}", local.value));
        let complaint = complaint.allowed("both IPv4 or both IPv6").quoting(&remote.value.to_string());
        report.error(&tunnel.head.label, "remote_address", remote.offset, complaint);
    }
    if let (Some(local), Some(remote)) = (&tunnel.local_prefixes, &tunnel.remote_prefixes) {
        let has = |prefixes: &[Prefix], ipv4: bool| prefixes.iter().any(|prefix| prefix.is_ipv4() == ipv4);
        if ![true, false].into_iter().any(|family| has(&local.value, family) && has(&remote.value, family)) {
            let complaint = Complaint::new("has no prefix of the family of local_prefixes");
            let complaint = complaint.allowed("local and remote prefixes of one family");
            report.error(&tunnel.head.label, "remote_prefixes", remote.offset, complaint);
        }
    }
}

/// Packets from a pair of addresses must tell one tunnel: there is no other mark before the peer has shown who it is.
fn one_tunnel_per_pair(draft: &Draft, report: &Report<'_>) {
    let mut pairs: BTreeMap<(IpAddr, IpAddr), &TunnelDraft> = BTreeMap::new();
    for tunnel in &draft.tunnels {
        let (Some(local), Some(remote)) = (tunnel.local_address, tunnel.remote_address) else { continue };
        let Some(first) = pairs.get(&(local.value, remote.value)) else {
            pairs.insert((local.value, remote.value), tunnel);
            continue;
        };
        let line = report.line(first.head.offset);
        let problem = format!("is already joined to {} by {} on line {line}", local.value, first.head.label);
        let complaint = Complaint::new(problem).allowed("one tunnel for a pair of addresses");
        report.error(&tunnel.head.label, "remote_address", remote.offset, complaint.quoting(&remote.value.to_string()));
    }
}

fn same_gateway(draft: &Draft, report: &Report<'_>, route: &RouteDraft) {
    let (Some(gateway), Some(target)) = (route.gateway, route.target) else { return };
    let owner = match target.value {
        RouteTarget::Connection(connection) => draft.gateway_of(connection),
        RouteTarget::Attachment(attachment) => draft.gateway_of_attachment(attachment),
    };
    if let Some(owner) = owner
        && owner != gateway.value
    {
        let (key, name) = target_field(draft, target.value);
        let ours = &draft.gateways[gateway.value.position()].head.label;
        let complaint = Complaint::new(format!("belongs to {}", draft.gateways[owner.position()].head.label));
        let complaint = complaint.allowed(format!("a {key} of {ours}")).quoting(name);
        report.error(&route.head.label, key, target.offset, complaint);
    }
}

/// The field that gives a route's target, and the target's name.
fn target_field(draft: &Draft, target: RouteTarget) -> (&'static str, &str) {
    let (key, name) = match target {
        RouteTarget::Connection(connection) => ("vpn_connection", &draft.connections[connection.position()].name),
        RouteTarget::Attachment(attachment) => ("vpc_attachment", &draft.attachments[attachment.position()].name),
    };
    (key, name.as_ref().map_or("", |name| name.as_str()))
}

/// A destination may be spread over connections, each of them once, but lies behind one attachment at most.
fn one_route_per_target(draft: &Draft, report: &Report<'_>) {
    let mut seen: BTreeMap<(GatewayIndex, Prefix), Vec<(RouteTarget, usize)>> = BTreeMap::new();
    for route in &draft.routes {
        let (Some(gateway), Some(destination), Some(target)) = (route.gateway, route.destination, route.target) else {
            continue;
        };
        let earlier = seen.entry((gateway.value, destination.value)).or_default();
        let (key, name) = target_field(draft, target.value);
        let attachment = |target: RouteTarget| matches!(target, RouteTarget::Attachment(_));
        let clash = earlier
            .iter()
            .find(|(other, _)| *other == target.value || (attachment(*other) && attachment(target.value)));
        if let Some(&(other, offset)) = clash {
            let (_, taken) = target_field(draft, other);
            let line = report.line(offset);
            let problem = format!("is a second route to {}: line {line} leads to {}", destination.value, quoted(taken));
            let allowed = match target.value {
                RouteTarget::Connection(_) => "one route for a destination and a connection",
                RouteTarget::Attachment(_) => "one vpc_attachment for a destination",
            };
            report.error(&route.head.label, key, target.offset, Complaint::new(problem).allowed(allowed).quoting(name));
        }
        earlier.push((target.value, route.head.offset));
    }
}
