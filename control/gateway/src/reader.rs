//! From the tables of a resource file to drafts of its objects.

mod authentication;
mod bgp;
mod propagation;
mod route;
mod route_filter;
mod station;
mod tunnel;

use std::net::Ipv4Addr;

use bgp::{bfd, bgp};
use propagation::propagation;
use route::route;
use route_filter::route_filter;
use station::station;
use toml::de::{DeTable, DeValue};
use tunnel::tunnel;

use crate::asn::Asn;
use crate::draft::{AttachmentDraft, ConnectionDraft, CustomerDraft, Draft, GatewayDraft, Head, RouterDraft};
use crate::index::{AttachmentIndex, CustomerIndex, GatewayIndex};
use crate::interface_address::InterfaceAddress;
use crate::kernel_name::{InterfaceName, NamespaceName};
use crate::name::Name;
use crate::names::Names;
use crate::prefix::Prefix;
use crate::report::{At, Complaint, Report, quoted};
use crate::resource::{FlowHash, Routing, Vlan};
use crate::scalar;
use crate::section::{Found, Section};

const A_NAME: &str = "1 to 32 letters, digits, _ and -";

/// Reads every object, reporting what is wrong within each.
pub(crate) fn read(report: &Report<'_>, root: DeTable<'_>) -> Draft {
    let mut root = Section::new(report, String::new(), 0, root);
    let (gateways, gateway_names) = named(&mut root, "border_gateway");
    let (attachments, attachment_names) = named(&mut root, "vpc_attachment");
    let (customers, customer_names) = named(&mut root, "customer_gateway");
    let (connections, connection_names) = named(&mut root, "vpn_connection");
    let (tunnels, _) = named(&mut root, "vpn_tunnel");
    let (routers, _) = named(&mut root, "vpc_router");
    let (filters, filter_names) = named(&mut root, "route_filter");
    let (stations, _) = named(&mut root, "bmp_station");
    let routes = root.objects("static_route").good().map_or_else(Vec::new, |list| list.value);
    root.finish();

    let read_route = |(place, table)| route(report, place, table, &gateway_names, &connection_names, &attachment_names);
    Draft {
        gateways: gateways.into_iter().map(gateway).collect(),
        attachments: attachments.into_iter().map(|section| attachment(section, &gateway_names)).collect(),
        customers: customers.into_iter().map(customer).collect(),
        connections: connections
            .into_iter()
            .map(|section| connection(section, &gateway_names, &customer_names, &filter_names))
            .collect(),
        tunnels: tunnels.into_iter().map(|section| tunnel(section, &connection_names)).collect(),
        routes: routes.into_iter().enumerate().map(read_route).collect(),
        filters: filters.into_iter().map(route_filter).collect(),
        routers: routers.into_iter().map(|section| router(section, &attachment_names, &filter_names)).collect(),
        stations: stations.into_iter().map(|section| station(section, &gateway_names)).collect(),
    }
}

/// The objects of a kind that has names, and those names: declared first, so that any object may refer to any other.
fn named<'r, 'i>(root: &mut Section<'r, 'i>, kind: &'static str) -> (Vec<Section<'r, 'i>>, Names) {
    let report = root.report;
    let mut names = Names::new(kind);
    let tables = match root.objects(kind) {
        Found::Absent => Vec::new(),
        Found::Bad => {
            names.incomplete();
            Vec::new()
        }
        Found::Good(tables) => tables.value,
    };
    let sections = tables.into_iter().enumerate().map(|(place, At { value: table, offset })| {
        let name = table.get("name").and_then(|name| Some((name.get_ref().as_str()?, name.span().start)));
        let label = match name {
            Some((name, _)) => format!("{kind} {}", quoted(name)),
            None => format!("{kind} #{}", place + 1),
        };
        let name = name.filter(|(name, _)| !name.is_empty());
        if name.is_none() {
            names.incomplete();
        }
        if let Some((name, offset)) = name
            && let Some(earlier) = names.declare(name, place, offset)
        {
            let line = report.line(earlier);
            let complaint = Complaint::new(format!("is used twice, first on line {line}"));
            report.error(&label, "name", offset, complaint.allowed("a name of its own").quoting(name));
        }
        Section::new(report, label, offset, table)
    });
    (sections.collect(), names)
}

fn gateway(mut section: Section<'_, '_>) -> GatewayDraft {
    let name = name(&mut section);
    let asn = section.defaulted("asn", Asn::GATEWAY_DEFAULT, scalar::asn);
    let router_id = section.field("router_id", router_id);
    let flow_hash = section.defaulted("flow_hash", FlowHash::Directed, scalar::word);
    let addresses = section.defaulted_list("addresses", Vec::new(), scalar::text::<InterfaceAddress>);
    let offset = section.offset;
    let default = name.as_ref().map(|name| At { value: NamespaceName::of_gateway(name), offset });
    let namespace = section.field("namespace", scalar::text).or(default);
    let default = name.as_ref().map(|name| At { value: InterfaceName::of_gateway(name), offset });
    let host_interface = section.field("host_interface", scalar::text).or(default).map(|at| at.value);
    GatewayDraft { head: close(section), name, asn, router_id, flow_hash, addresses, namespace, host_interface }
}

fn attachment(mut section: Section<'_, '_>, gateways: &Names) -> AttachmentDraft {
    let name = name(&mut section);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let interface =
        section.required("interface", "the host's interface towards the VPC", scalar::text::<InterfaceName>);
    let vlan = section.field("vlan", scalar::number(Vlan::from_number));
    let anti_spoofing = section.defaulted("anti_spoofing", true, scalar::boolean);
    let prefixes = section.required_list("prefixes", "the prefixes behind it", scalar::text::<Prefix>);
    let propagation = propagation(section.table("propagation"));
    AttachmentDraft { head: close(section), name, gateway, interface, vlan, anti_spoofing, prefixes, propagation }
}

fn customer(mut section: Section<'_, '_>) -> CustomerDraft {
    let name = name(&mut section);
    let asn = section.required("asn", Asn::ALLOWED, scalar::asn);
    let addresses = section.required_list("addresses", "1, 2 or 4 addresses", scalar::address);
    CustomerDraft { head: close(section), name, asn, addresses }
}

fn router(mut section: Section<'_, '_>, attachments: &Names, filters: &Names) -> RouterDraft {
    let name = section.required("name", A_NAME, scalar::text::<Name>);
    let attachment = attachments.reference(&mut section).map(|at| at.map(AttachmentIndex::from_position));
    let asn = section.field("asn", scalar::asn);
    let local_address = section.required("local_address", "our address on the attachment's link", scalar::address);
    let address = section.required("address", "its address there", scalar::address);
    let (bgp, bfd) = (bgp(section.table("bgp"), filters), bfd(section.table("bfd")));
    RouterDraft { head: close(section), name, attachment, asn, local_address, address, bgp, bfd }
}

/// One of a router: no address of the whole world, of nobody or of many (RFC 6286 §2.1 asks for no more than not 0).
fn router_id(value: &DeValue<'_>) -> Result<Ipv4Addr, Complaint> {
    const ALLOWED: &str = "four numbers as an IPv4 address has them, other than 0.0.0.0";
    let text = scalar::string(value)?;
    match text.parse::<Ipv4Addr>() {
        Ok(id) if !id.is_unspecified() => Ok(id),
        _ => Err(Complaint::new("is no router's identifier").allowed(ALLOWED).quoting(text)),
    }
}

fn connection(mut section: Section<'_, '_>, gateways: &Names, customers: &Names, filters: &Names) -> ConnectionDraft {
    let name = name(&mut section);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let customer = customers.reference(&mut section).map(|at| at.map(CustomerIndex::from_position));
    let routing = section.required("routing", "static, bgp", scalar::word::<Routing>).map(|at| at.value);
    let addresses = section.required_list("addresses", "1 or 2 addresses of this host", scalar::address);
    let tables = ["bgp", "bfd"].map(|key| section.table(key));
    if routing == Some(Routing::Static) {
        for (key, table) in ["bgp", "bfd"].into_iter().zip(&tables).filter(|(_, table)| !table.is_empty()) {
            let complaint = Complaint::new("is given, but routes are static").allowed("routing = \"bgp\" beside it");
            section.error(key, table.offset, complaint);
        }
    }
    let [bgp_table, bfd_table] = tables;
    let (bgp, bfd) = (bgp(bgp_table, filters), bfd(bfd_table));
    ConnectionDraft { head: close(section), name, gateway, customer, routing, bgp, bfd, addresses }
}

fn name(section: &mut Section<'_, '_>) -> Option<Name> {
    section.required("name", A_NAME, scalar::text::<Name>).map(|at| at.value)
}

/// Reports the fields nothing asked for; what is left of an object is its head.
fn close(mut section: Section<'_, '_>) -> Head {
    let head = Head { label: std::mem::take(&mut section.object), offset: section.offset };
    section.object.clone_from(&head.label);
    section.finish();
    head
}
