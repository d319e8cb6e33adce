//! From the tables of a resource file to drafts of its objects.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::asn::Asn;
use crate::draft::{
    AttachmentDraft, ConnectionDraft, CustomerDraft, Draft, GatewayDraft, Head, KeyDraft, RouteDraft, TunnelDraft,
};
use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex};
use crate::interface::InterfaceName;
use crate::name::Name;
use crate::names::Names;
use crate::parameters::{EspParameters, IkeParameters, Lifetime, Liveness, ReplayWindow};
use crate::prefix::Prefix;
use crate::psk::Psk;
use crate::report::{At, Complaint, Report, quoted};
use crate::resource::{AdminState, RouteTarget, Routing, Startup, UdpEncapsulation};
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
    let routes = root.objects("static_route").good().map_or_else(Vec::new, |list| list.value);
    root.finish();

    let read_route = |(place, table)| route(report, place, table, &gateway_names, &connection_names, &attachment_names);
    Draft {
        gateways: gateways.into_iter().map(gateway).collect(),
        attachments: attachments.into_iter().map(|section| attachment(section, &gateway_names)).collect(),
        customers: customers.into_iter().map(customer).collect(),
        connections: connections
            .into_iter()
            .map(|section| connection(section, &gateway_names, &customer_names))
            .collect(),
        tunnels: tunnels.into_iter().map(|section| tunnel(section, &connection_names)).collect(),
        routes: routes.into_iter().enumerate().map(read_route).collect(),
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
    let asn = section.defaulted("asn", Asn::GATEWAY_DEFAULT, scalar::number(Asn::of_gateway));
    GatewayDraft { head: close(section), name, asn }
}

fn attachment(mut section: Section<'_, '_>, gateways: &Names) -> AttachmentDraft {
    let name = name(&mut section);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let interface =
        section.required("interface", "the host's interface towards the VPC", scalar::text::<InterfaceName>);
    let prefixes = section.required_list("prefixes", "the prefixes behind it", scalar::text::<Prefix>);
    AttachmentDraft { head: close(section), name, gateway, interface, prefixes }
}

fn customer(mut section: Section<'_, '_>) -> CustomerDraft {
    let name = name(&mut section);
    let asn = section.required("asn", "65001 to 65499", scalar::number(Asn::of_customer));
    let addresses = section.required_list("addresses", "1, 2 or 4 addresses", scalar::address);
    CustomerDraft { head: close(section), name, asn, addresses }
}

fn connection(mut section: Section<'_, '_>, gateways: &Names, customers: &Names) -> ConnectionDraft {
    let name = name(&mut section);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let customer = customers.reference(&mut section).map(|at| at.map(CustomerIndex::from_position));
    let routing = section.required("routing", "static", routing).map(|at| at.value);
    let addresses = section.required_list("addresses", "1 or 2 addresses of this host", scalar::address);
    ConnectionDraft { head: close(section), name, gateway, customer, routing, addresses }
}

fn routing(value: &DeValue<'_>) -> Result<Routing, Complaint> {
    match value.as_str() {
        Some("bgp") => Err(Complaint::new("is not built yet").allowed("static").quoting("bgp")),
        Some(_) | None => scalar::word(value),
    }
}

fn tunnel(mut section: Section<'_, '_>, connections: &Names) -> TunnelDraft {
    let name = name(&mut section);
    let connection = connections.reference(&mut section).map(|at| at.map(ConnectionIndex::from_position));
    let local_address = section.required("local_address", "one of the connection's addresses", scalar::address);
    let remote_address = section.required("remote_address", "one of the customer gateway's addresses", scalar::address);
    let key = key(&mut section);
    let default_id = |address: Option<At<std::net::IpAddr>>| address.map(|at| at.value.into());
    let local_id = identity(&mut section, "local_id", default_id(local_address));
    let remote_id = identity(&mut section, "remote_id", default_id(remote_address));
    let admin = section.defaulted("admin", AdminState::Up, scalar::word);
    let startup = section.defaulted("startup", Startup::Initiate, scalar::word);
    let local_prefixes = selectors(&mut section, "local_prefixes");
    let remote_prefixes = selectors(&mut section, "remote_prefixes");
    let udp_encapsulation = section.defaulted("udp_encapsulation", UdpEncapsulation::Auto, scalar::word);
    let ike = ike(section.table("ike"));
    let esp = esp(section.table("esp"));
    TunnelDraft {
        head: close(section),
        name,
        connection,
        local_address,
        remote_address,
        key,
        local_id,
        remote_id,
        admin,
        startup,
        local_prefixes,
        remote_prefixes,
        udp_encapsulation,
        ike,
        esp,
    }
}

fn key(section: &mut Section<'_, '_>) -> Option<At<KeyDraft>> {
    let psk = section.secret("psk", |text| Psk::new(text.as_bytes()).map_err(|e| Complaint::refused(&e)));
    let file = section.field("psk_file", |value| match scalar::string(value)? {
        "" => Err(Complaint::new("is empty").allowed("the path of a file").quoting("")),
        text if text.contains('\0') => Err(Complaint::new("contains a NUL").allowed("the path of a file")),
        text => Ok(PathBuf::from(text)),
    });
    match (psk, file) {
        (Found::Absent, Found::Absent) => {
            section.missing("psk", "psk or psk_file");
            None
        }
        (Found::Good(_) | Found::Bad, Found::Good(At { offset, .. })) => {
            let complaint = Complaint::new("is given beside psk").allowed("psk or psk_file, not both");
            section.error("psk_file", offset, complaint);
            None
        }
        (Found::Good(psk), Found::Absent) => Some(psk.map(KeyDraft::Inline)),
        (Found::Absent, Found::Good(file)) => Some(file.map(KeyDraft::File)),
        (Found::Bad, Found::Absent) | (_, Found::Bad) => None,
    }
}

fn identity(
    section: &mut Section<'_, '_>,
    key: &'static str,
    default: Option<crate::identity::Identity>,
) -> Option<crate::identity::Identity> {
    match section.field(key, scalar::text) {
        Found::Absent => default,
        Found::Bad => None,
        Found::Good(identity) => Some(identity.value),
    }
}

fn selectors(section: &mut Section<'_, '_>, key: &'static str) -> Option<At<Vec<Prefix>>> {
    match section.list(key, scalar::text::<Prefix>) {
        Found::Absent => Some(At { value: vec![Prefix::ALL_IPV4], offset: section.offset }),
        Found::Bad => None,
        Found::Good(list) => Some(list.map(|prefixes| prefixes.into_iter().map(|at| at.value).collect())),
    }
}

fn ike(mut section: Section<'_, '_>) -> Option<IkeParameters> {
    let default = IkeParameters::default();
    // The version is no choice, but who writes it down should be told what holds.
    let version = section.defaulted("version", (), |value| match scalar::string(value)? {
        "v2" => Ok(()),
        "v1" => Err(Complaint::new("is not offered: IKEv1 is deprecated by RFC 9395").allowed("v2").quoting("v1")),
        other => Err(Complaint::new("is not known").allowed("v2").quoting(other)),
    });
    let key_exchange = section.defaulted_list("key_exchange", default.key_exchange, scalar::word);
    let encryption = section.defaulted_list("encryption", default.encryption, scalar::word);
    let integrity = section.list("integrity", scalar::word);
    let prf = section.defaulted_list("prf", default.prf, scalar::word);
    let liveness = section.defaulted("liveness_seconds", default.liveness, scalar::number(Liveness::from_seconds));
    let lifetime = section.defaulted("lifetime_seconds", default.lifetime, scalar::number(Lifetime::from_seconds));
    if let (Some(encryption), Found::Good(At { offset, .. })) = (&encryption, &integrity)
        && encryption.iter().all(|cipher| cipher.is_aead())
    {
        let complaint = Complaint::new("has no effect: every cipher in encryption authenticates by itself");
        let complaint = complaint.allowed("integrity with aes128, aes192 or aes256");
        section.report.warn(&section.object, "ike.integrity", *offset, complaint);
    }
    let integrity = match integrity {
        Found::Absent => Some(default.integrity),
        Found::Bad => None,
        Found::Good(list) => Some(list.value.into_iter().map(|at| at.value).collect()),
    };
    section.finish();
    version?;
    Some(IkeParameters {
        key_exchange: key_exchange?,
        encryption: encryption?,
        integrity: integrity?,
        prf: prf?,
        liveness: liveness?,
        lifetime: lifetime?,
    })
}

fn esp(mut section: Section<'_, '_>) -> Option<EspParameters> {
    let default = EspParameters::default();
    let encryption = section.defaulted_list("encryption", default.encryption, scalar::word);
    let esn = section.defaulted("esn", default.esn, scalar::boolean);
    let replay_window =
        section.defaulted("replay_window", default.replay_window, scalar::number(ReplayWindow::from_packets));
    let lifetime = section.defaulted("lifetime_seconds", default.lifetime, scalar::number(Lifetime::from_seconds));
    section.finish();
    Some(EspParameters { encryption: encryption?, esn: esn?, replay_window: replay_window?, lifetime: lifetime? })
}

fn route<'i>(
    report: &Report<'i>,
    place: usize,
    At { value: table, offset }: At<DeTable<'i>>,
    gateways: &Names,
    connections: &Names,
    attachments: &Names,
) -> RouteDraft {
    let label = match table.get("destination").and_then(|destination| destination.get_ref().as_str()) {
        Some(destination) => format!("static_route {}", quoted(destination)),
        None => format!("static_route #{}", place + 1),
    };
    let mut section = Section::new(report, label, offset, table);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let destination = section.required("destination", "a prefix, such as 10.2.0.0/16", scalar::text::<Prefix>);
    let connection = connections.field(&mut section);
    let attachment = attachments.field(&mut section);
    let target = match (connection, attachment) {
        (Found::Absent, Found::Absent) => {
            section.missing("vpn_connection", "vpn_connection or vpc_attachment");
            None
        }
        (Found::Good(_) | Found::Bad, Found::Good(At { offset, .. })) => {
            let complaint = Complaint::new("is given beside vpn_connection");
            section.error("vpc_attachment", offset, complaint.allowed("vpn_connection or vpc_attachment, not both"));
            None
        }
        (Found::Good(at), Found::Absent) => {
            Some(at.map(|place| RouteTarget::Connection(ConnectionIndex::from_position(place))))
        }
        (Found::Absent, Found::Good(at)) => {
            Some(at.map(|place| RouteTarget::Attachment(AttachmentIndex::from_position(place))))
        }
        (Found::Bad, Found::Absent) | (_, Found::Bad) => None,
    };
    RouteDraft { head: close(section), gateway, destination, target }
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
