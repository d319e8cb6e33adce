//! The rules between objects.

mod station;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::bgp::AddressFamily;
use crate::draft::{ConnectionDraft, Draft, GatewayDraft, RouteDraft, RouterDraft, TunnelDraft};
use crate::index::GatewayIndex;
use crate::interface_address::InterfaceAddress;
use crate::prefix::Prefix;
use crate::report::{At, Complaint, Report, quoted};
use crate::resource::{RouteTarget, Routing, Vlan};
use crate::section::Found;

/// Reports every broken rule.
pub(crate) fn check(draft: &Draft, report: &Report<'_>) {
    one_namespace_per_gateway(draft, report);
    one_attachment_per_vlan(draft, report);
    address_counts(draft, report);
    for connection in &draft.connections {
        different_asns(draft, report, connection);
        next_hops(draft, report, connection);
    }
    for tunnel in &draft.tunnels {
        tunnel_addresses(draft, report, tunnel);
        families(report, tunnel);
    }
    one_tunnel_per_pair(draft, report);
    sessions(draft, report);
    for router in &draft.routers {
        router_addresses(draft, report, router);
    }
    inner_addresses(draft, report);
    for route in &draft.routes {
        same_gateway(draft, report, route);
    }
    one_route_per_target(draft, report);
    station::check(draft, report);
}

/// In one namespace the host's own packets of two tenants would meet, whose addresses may be the same.
fn one_namespace_per_gateway(draft: &Draft, report: &Report<'_>) {
    let mut owners: BTreeMap<&str, &GatewayDraft> = BTreeMap::new();
    for gateway in &draft.gateways {
        let Some(namespace) = &gateway.namespace else { continue };
        let name = namespace.value.as_str();
        // Of two gateways with one name that is said already.
        if let Some(first) = owners.get(name).filter(|first| first.name != gateway.name) {
            let complaint = Complaint::new(format!("is already that of {}", first.head.label));
            let complaint = complaint.allowed("a namespace for each border gateway").quoting(name);
            report.error(&gateway.head.label, "namespace", namespace.offset, complaint);
        }
        owners.entry(name).or_insert(gateway);
    }
}

/// A frame's interface and VLAN tell the attachment, and so the border gateway: there is no other mark of a tenant.
fn one_attachment_per_vlan(draft: &Draft, report: &Report<'_>) {
    let mut owners: BTreeMap<(&str, Option<Vlan>), &str> = BTreeMap::new();
    for attachment in &draft.attachments {
        let (Some(interface), Some(vlan)) = (&attachment.interface, attachment.vlan.optional()) else { continue };
        let name = interface.value.as_str();
        let Some(first) = owners.get(&(name, vlan)) else {
            owners.insert((name, vlan), &attachment.head.label);
            continue;
        };
        let traffic = vlan.map_or("without a VLAN".to_owned(), |vlan| format!("with VLAN {}", vlan.number()));
        let complaint = Complaint::new(format!("is already used {traffic} by {first}"));
        let complaint = complaint.allowed("one vpc_attachment for an interface and a vlan").quoting(name);
        report.error(&attachment.head.label, "interface", interface.offset, complaint);
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
    let shown = connection.bgp.as_ref().and_then(|bgp| bgp.parameters.local_asn);
    if let (Some(ours), Some(theirs)) = (shown.or(gateway.asn), peer.asn)
        && ours == theirs.value
    {
        let name = peer.name.as_ref().map_or("", |name| name.as_str());
        let complaint = Complaint::new(format!("has ASN {ours}, as has {}", gateway.head.label));
        let complaint = complaint.allowed("different ASNs on the two sides").quoting(name);
        report.error(&connection.head.label, "customer_gateway", customer.offset, complaint);
    }
}

/// A BGP session runs between the two ends inside a tunnel, and a speaker is known by its identifier.
fn sessions(draft: &Draft, report: &Report<'_>) {
    let mut speakers = BTreeSet::new();
    for tunnel in &draft.tunnels {
        let Some(connection) = tunnel.connection.map(|at| &draft.connections[at.value.position()]) else { continue };
        if connection.routing != Some(Routing::Bgp) {
            continue;
        }
        speakers.extend(connection.gateway.map(|at| at.value));
        let ends = [
            ("inner_address", matches!(tunnel.inner_address, Found::Absent)),
            ("peer_inner_address", matches!(tunnel.peer_inner_address, Found::Absent)),
        ];
        for (key, _) in ends.iter().filter(|(_, missing)| *missing) {
            let complaint = Complaint::new(format!("is missing: BGP of {} runs between them", connection.head.label));
            let complaint = complaint.allowed("inner_address, such as 169.254.10.1/30, and peer_inner_address");
            report.error(&tunnel.head.label, key, tunnel.head.offset, complaint);
        }
    }
    let attached = draft.routers.iter().filter_map(|router| draft.gateway_of_attachment(router.attachment?.value));
    speakers.extend(attached);
    for (place, gateway) in draft.gateways.iter().enumerate() {
        let index = GatewayIndex::from_position(place);
        let of_gateway = draft
            .tunnels
            .iter()
            .filter(|tunnel| tunnel.connection.and_then(|at| draft.gateway_of(at.value)) == Some(index));
        let inner = of_gateway.filter_map(|tunnel| Some(tunnel.inner_address.good()?.value));
        if speakers.contains(&index)
            && matches!(gateway.router_id, Found::Absent)
            && !gateway.addresses.iter().flatten().copied().chain(inner).any(|address| address.address().is_ipv4())
        {
            let complaint = Complaint::new("is missing: it speaks BGP and has no inner IPv4 address to be known by");
            let complaint = complaint.allowed("four numbers as an IPv4 address has them");
            report.error(&gateway.head.label, "router_id", gateway.head.offset, complaint);
        }
    }
}

/// A VPC router is on a link of the host's own, and no tunnel's peer.
fn router_addresses(draft: &Draft, report: &Report<'_>, router: &RouterDraft) {
    let label = &router.head.label;
    if let (Some(local), Some(remote)) = (router.local_address, router.address)
        && local.value.is_ipv4() != remote.value.is_ipv4()
    {
        let complaint = Complaint::new(format!("is of another family than local_address {}", local.value));
        let complaint = complaint.allowed("both IPv4 or both IPv6").quoting(&remote.value.to_string());
        report.error(label, "address", remote.offset, complaint);
    }
    if let Some(name) = &router.name
        && let Some(tunnel) = draft.tunnels.iter().find(|tunnel| tunnel.name.as_ref() == Some(&name.value))
    {
        let complaint = Complaint::new(format!("is that of {}", tunnel.head.label));
        let complaint = complaint.allowed("a name of its own: both are BGP neighbours").quoting(name.value.as_str());
        report.error(label, "name", name.offset, complaint);
    }
    let Some(attachment) = router.attachment else { return };
    let behind = &draft.attachments[attachment.value.position()];
    if let Found::Good(vlan) = behind.vlan {
        let problem = format!("is in VLAN {}, where the host itself has no address", vlan.value.number());
        let name = behind.name.as_ref().map_or("", |name| name.as_str());
        let complaint = Complaint::new(problem).allowed("an attachment without vlan").quoting(name);
        report.error(label, "vpc_attachment", attachment.offset, complaint);
    }
    let (Some(local), Some(gateway)) = (router.local_address, behind.gateway) else { return };
    let owner = draft.gateways[gateway.value.position()].addresses.iter().flatten().copied();
    let of_gateway = draft
        .tunnels
        .iter()
        .filter(|tunnel| tunnel.connection.and_then(|at| draft.gateway_of(at.value)) == Some(gateway.value));
    let mut inner = owner.chain(of_gateway.filter_map(|tunnel| Some(tunnel.inner_address.good()?.value)));
    if inner.any(|address| address.address() == local.value) {
        let complaint = Complaint::new("is an address inside the tunnels");
        let complaint = complaint.allowed("our address on the attachment's link").quoting(&local.value.to_string());
        report.error(label, "local_address", local.offset, complaint);
    }
}

/// What a peer is told to send IPv6 to over a session of IPv4.
fn next_hops(draft: &Draft, report: &Report<'_>, connection: &ConnectionDraft) {
    let families = connection.bgp.as_ref().and_then(|bgp| bgp.parameters.families.as_ref());
    let (Some(families), Some(gateway)) = (families, connection.gateway) else { return };
    let owner = &draft.gateways[gateway.value.position()];
    let has_ipv6 = owner.addresses.iter().flatten().any(|address| address.address().is_ipv6());
    let over_ipv4 = draft.tunnels.iter().find(|tunnel| {
        let of_connection =
            tunnel.connection.is_some_and(|at| std::ptr::eq(&draft.connections[at.value.position()], connection));
        of_connection && tunnel.inner_address.good().is_some_and(|inner| inner.value.address().is_ipv4())
    });
    if let Some(tunnel) = over_ipv4.filter(|_| families.contains(&AddressFamily::Ipv6) && !has_ipv6) {
        let problem = format!(
            "has ipv6, but {} has an IPv4 inner_address and {} no IPv6 address to send it to",
            tunnel.head.label, owner.head.label
        );
        let complaint =
            Complaint::new(problem).allowed("an IPv6 address in addresses of the border_gateway, or ipv4 alone");
        report.error(&connection.head.label, "bgp.families", connection.head.offset, complaint);
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

/// Within a border gateway an inner address tells the tunnel.
fn inner_addresses(draft: &Draft, report: &Report<'_>) {
    let mut taken: Vec<(GatewayIndex, &TunnelDraft, InterfaceAddress)> = Vec::new();
    for tunnel in &draft.tunnels {
        let peer = tunnel.peer_inner_address.good();
        let inner = match (tunnel.inner_address, peer) {
            (Found::Good(inner), _) => inner,
            (Found::Absent, Some(peer)) => {
                let complaint = Complaint::new("is given without inner_address").allowed("inner_address beside it");
                report.error(&tunnel.head.label, "peer_inner_address", peer.offset, complaint);
                continue;
            }
            (Found::Absent, None) | (Found::Bad, _) => continue,
        };
        both_ends(report, tunnel, inner, peer);
        let Some(gateway) = tunnel.connection.and_then(|at| draft.gateway_of(at.value)) else { continue };
        let complain = |key: &str, offset: usize, value: String, problem: String| {
            let complaint = Complaint::new(problem).allowed("addresses of its own within a border gateway");
            report.error(&tunnel.head.label, key, offset, complaint.quoting(&value));
        };
        let overlaps = |other: &InterfaceAddress| other.prefix().overlaps(&inner.value.prefix());
        if let Some((_, other, address)) = taken.iter().find(|(of, _, other)| *of == gateway && overlaps(other)) {
            let problem = format!("overlaps {address} of {}", other.head.label);
            complain("inner_address", inner.offset, inner.value.to_string(), problem);
        }
        taken.push((gateway, tunnel, inner.value));
        let owner = &draft.gateways[gateway.position()];
        let is_owners = |address: IpAddr| owner.addresses.iter().flatten().any(|own| own.address() == address);
        let problem = || format!("is an address of {}", owner.head.label);
        if is_owners(inner.value.address()) {
            complain("inner_address", inner.offset, inner.value.to_string(), problem());
        }
        if let Some(peer) = peer.filter(|peer| is_owners(peer.value)) {
            complain("peer_inner_address", peer.offset, peer.value.to_string(), problem());
        }
    }
}

/// Our inner address leaves room for the peer's, which is another host's.
fn both_ends(report: &Report<'_>, tunnel: &TunnelDraft, inner: At<InterfaceAddress>, peer: Option<At<IpAddr>>) {
    let prefix = inner.value.prefix();
    if prefix.length() == prefix.bits() {
        let complaint = Complaint::new("leaves no room for the peer");
        let complaint = complaint.allowed(format!("a length of at most {}", prefix.bits() - 1));
        report.error(&tunnel.head.label, "inner_address", inner.offset, complaint.quoting(&inner.value.to_string()));
        return;
    }
    let Some(peer) = peer else { return };
    let is_host = prefix.contains(peer.value) && InterfaceAddress::new(peer.value, prefix.length()).is_ok();
    if !is_host || peer.value == inner.value.address() {
        let complaint = Complaint::new(format!("is no neighbour of inner_address {}", inner.value));
        let complaint = complaint.allowed(format!("another host of {prefix}")).quoting(&peer.value.to_string());
        report.error(&tunnel.head.label, "peer_inner_address", peer.offset, complaint);
    }
}

fn same_gateway(draft: &Draft, report: &Report<'_>, route: &RouteDraft) {
    let (Some(gateway), Some(target)) = (route.gateway, route.target) else { return };
    let owner = match target.value {
        RouteTarget::Connection(connection) => draft.gateway_of(connection),
        RouteTarget::Attachment(attachment) => draft.gateway_of_attachment(attachment),
        RouteTarget::Blackhole | RouteTarget::Reject => None,
    };
    if let Some(owner) = owner
        && owner != gateway.value
    {
        let (key, shown) = target_field(draft, target.value);
        let ours = &draft.gateways[gateway.value.position()].head.label;
        let complaint = Complaint::new(format!("belongs to {}", draft.gateways[owner.position()].head.label));
        let complaint = complaint.allowed(format!("a {key} of {ours}")).value(shown);
        report.error(&route.head.label, key, target.offset, complaint);
    }
}

/// The field that gives a route's target, and its value as it is shown.
fn target_field(draft: &Draft, target: RouteTarget) -> (&'static str, String) {
    let (key, name) = match target {
        RouteTarget::Connection(connection) => ("vpn_connection", &draft.connections[connection.position()].name),
        RouteTarget::Attachment(attachment) => ("vpc_attachment", &draft.attachments[attachment.position()].name),
        RouteTarget::Blackhole => return ("blackhole", "true".to_owned()),
        RouteTarget::Reject => return ("reject", "true".to_owned()),
    };
    (key, quoted(name.as_ref().map_or("", |name| name.as_str())))
}

/// A destination may be spread over connections, each of them once, but lies behind one attachment and is discarded in
/// one way at most.
fn one_route_per_target(draft: &Draft, report: &Report<'_>) {
    let mut seen: BTreeMap<(GatewayIndex, Prefix), Vec<(RouteTarget, usize)>> = BTreeMap::new();
    for route in &draft.routes {
        let (Some(gateway), Some(destination), Some(target)) = (route.gateway, route.destination, route.target) else {
            continue;
        };
        let earlier = seen.entry((gateway.value, destination.value)).or_default();
        if let Some(&(other, offset)) = earlier.iter().find(|(other, _)| excludes(*other, target.value)) {
            let (taken_key, taken) = target_field(draft, other);
            let line = report.line(offset);
            let problem =
                format!("is a second route to {}: that on line {line} has {taken_key} = {taken}", destination.value);
            let allowed = match target.value {
                RouteTarget::Connection(_) => "one route for a destination and a connection",
                RouteTarget::Attachment(_) => "one vpc_attachment for a destination",
                RouteTarget::Blackhole | RouteTarget::Reject => "blackhole or reject, once for a destination",
            };
            let (key, shown) = target_field(draft, target.value);
            report.error(&route.head.label, key, target.offset, Complaint::new(problem).allowed(allowed).value(shown));
        }
        earlier.push((target.value, route.head.offset));
    }
}

/// Whether two static routes to one destination cannot both be meant.
fn excludes(a: RouteTarget, b: RouteTarget) -> bool {
    use RouteTarget::{Attachment, Blackhole, Connection, Reject};
    match (a, b) {
        (Connection(a), Connection(b)) => a == b,
        (Attachment(_), Attachment(_)) | (Blackhole | Reject, Blackhole | Reject) => true,
        (Connection(_), Attachment(_) | Blackhole | Reject)
        | (Attachment(_), Connection(_) | Blackhole | Reject)
        | (Blackhole | Reject, Connection(_) | Attachment(_)) => false,
    }
}
