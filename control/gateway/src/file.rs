//! From the text of a resource file to [`Resources`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::de::DeTable;

use crate::asn::Asn;
use crate::authentication::{Authentication, CertificateFile, CertificateFiles};
use crate::bgp::{BfdParameters, BgpParameters};
use crate::diagnostic::Diagnostic;
use crate::doubts;
use crate::draft::{
    AttachmentDraft, AuthenticationDraft, BfdDraft, BgpDraft, ConnectionDraft, CustomerDraft, Draft, FilterDraft,
    GatewayDraft, KeyDraft, PpkDraft, RouteDraft, RouterDraft, StationDraft, TunnelDraft,
};
use crate::index::{AttachmentIndex, ConnectionIndex, GatewayIndex, RouterIndex, TunnelIndex};
use crate::ppk::PostQuantumKey;
use crate::prefix::Prefix;
use crate::psk::PskSource;
use crate::reader;
use crate::report::{At, Complaint, Report};
use crate::resource::{
    AttachedPrefix, BmpStation, BorderGateway, CustomerGateway, Routing, StaticRoute, VpcAttachment, VpcRouter,
    VpnConnection, VpnTunnel,
};
use crate::resources::{Field, Resources, Sessions};
use crate::route_filter::RouteFilter;
use crate::rules;
use crate::section::Found;

impl Resources {
    /// Reads the text of a resource file; `file_name` is what diagnostics call it.
    ///
    /// # Errors
    /// Every problem of the file, by line. A file that is not TOML has only its syntax errors reported, since what
    /// the rest of it means is not certain.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let report = Report::new(file_name, text);
        let (root, syntax_errors) = DeTable::parse_recoverable(text);
        for error in &syntax_errors {
            // The message says what the parser expected and quotes nothing of the text, which may be a key.
            let message = error.message().replace('\n', ", ");
            let offset = error.span().map_or(0, |span| span.start);
            report.error("", "", offset, Complaint::new(format!("syntax error: {message}")));
        }
        if report.has_errors() {
            return report.finish().map(|_| Self::default());
        }
        let draft = reader::read(&report, root.into_inner());
        rules::check(&draft, &report);
        let shadowed = doubts::shadowed(&draft);
        doubts::warn(&draft, &shadowed, &report);
        let places = places(&draft, &report);
        let invalid = shadowed.iter().map(|loser| (loser.owner, loser.prefix.value)).collect();
        let complete = complete(draft, &invalid);
        if complete.is_none() && !report.has_errors() {
            // Whoever leaves a field out has reported it; should that ever fail, the file is refused all the same.
            report.error("", "", 0, Complaint::new("cannot be read, for a reason that was not recorded"));
        }
        let warnings = report.finish()?;
        Ok(Self { warnings, places, ..complete.unwrap_or_default() })
    }
}

/// Where the fields stand about which the host has the last word.
fn places(draft: &Draft, report: &Report<'_>) -> BTreeMap<Field, Diagnostic> {
    let mut places = BTreeMap::new();
    let mut note = |field: Field, label: &str, key: &str, offset: usize, value: &str| {
        places.insert(field, report.diagnostic(label, key, offset, Complaint::default().quoting(value)));
    };
    for (place, attachment) in draft.attachments.iter().enumerate() {
        if let Some(interface) = &attachment.interface {
            let field = Field::Interface(AttachmentIndex::from_position(place));
            note(field, &attachment.head.label, "interface", interface.offset, interface.value.as_str());
        }
    }
    for (place, connection) in draft.connections.iter().enumerate() {
        for (nth, address) in connection.addresses.iter().flat_map(|list| list.value.iter()).enumerate() {
            let field = Field::ConnectionAddress(ConnectionIndex::from_position(place), nth);
            note(field, &connection.head.label, "addresses", address.offset, &address.value.to_string());
        }
    }
    let of_connections = draft.connections.iter().enumerate().map(|(place, known)| {
        let sessions = Sessions::Connection(ConnectionIndex::from_position(place));
        (sessions, &known.head.label, &known.bgp, &known.bfd)
    });
    let of_routers = draft.routers.iter().enumerate().map(|(place, known)| {
        (Sessions::Router(RouterIndex::from_position(place)), &known.head.label, &known.bgp, &known.bfd)
    });
    for (sessions, label, bgp, bfd) in of_connections.chain(of_routers) {
        let mut file = |field: Field, key: &str, draft: &At<KeyDraft>| {
            if let KeyDraft::File(path) = &draft.value {
                note(field, label, key, draft.offset, &path.to_string_lossy());
            }
        };
        if let Some(key) = bgp.as_ref().and_then(|bgp| bgp.md5_key.as_ref()) {
            file(Field::Md5KeyFile(sessions), "bgp.md5_key_file", key);
        }
        if let Found::Good(At { value: BfdDraft { authentication: Some((_, _, key)), .. }, .. }) = bfd {
            file(Field::BfdKeyFile(sessions), "bfd.key_file", key);
        }
    }
    for (place, tunnel) in draft.tunnels.iter().enumerate() {
        let index = TunnelIndex::from_position(place);
        let mut file = |field: Field, key: &str, path: &At<PathBuf>| {
            note(field, &tunnel.head.label, key, path.offset, &path.value.to_string_lossy());
        };
        match &tunnel.authentication {
            Some(AuthenticationDraft::Psk { key, next }) => {
                if let At { value: KeyDraft::File(path), offset } = key {
                    file(Field::PskFile(index), "psk_file", &At { value: path.clone(), offset: *offset });
                }
                if let Some(At { value: KeyDraft::File(path), offset }) = next {
                    file(Field::NextPskFile(index), "psk_next_file", &At { value: path.clone(), offset: *offset });
                }
            }
            Some(AuthenticationDraft::Certificate(files)) => {
                let field = |file| Field::CertificateFile(index, file);
                file(field(CertificateFile::Certificate), "certificate_file", &files.certificate);
                file(field(CertificateFile::PrivateKey), "private_key_file", &files.private_key);
                for (nth, path) in files.authorities.iter().enumerate() {
                    file(field(CertificateFile::Authority(nth)), "ca_files", path);
                }
                for (nth, path) in files.revocation_lists.iter().enumerate() {
                    file(field(CertificateFile::RevocationList(nth)), "crl_files", path);
                }
            }
            None => {}
        }
        if let Found::Good(At { value: PpkDraft { key: At { value: KeyDraft::File(path), offset }, .. }, .. }) =
            &tunnel.ppk
        {
            file(Field::PpkFile(index), "ppk_file", &At { value: path.clone(), offset: *offset });
        }
    }
    places
}

/// The resources, if nothing is missing in any draft.
fn complete(draft: Draft, invalid: &BTreeSet<(AttachmentIndex, Prefix)>) -> Option<Resources> {
    let tunnels = draft.tunnels;
    let gateways = draft.connections.iter().map(|c| c.gateway.map(|at| at.value)).collect::<Vec<_>>();
    let tunnel = |t: TunnelDraft| {
        let gateway = t.connection.and_then(|at| gateways.get(at.value.position()).copied().flatten());
        Some((t, gateway?))
    };
    let tunnels = tunnels.into_iter().map(tunnel).collect::<Option<Vec<_>>>()?;
    let owner = |attachment: &AttachmentDraft| {
        let gateway = attachment.gateway?.value;
        Some((gateway, draft.gateways.get(gateway.position())?.asn?))
    };
    let owners: Vec<_> = draft.attachments.iter().map(owner).collect();
    Some(Resources {
        routers: draft.routers.into_iter().map(|r| router(r, &owners)).collect::<Option<_>>()?,
        gateways: draft.gateways.into_iter().map(gateway).collect::<Option<_>>()?,
        attachments: draft
            .attachments
            .into_iter()
            .enumerate()
            .map(|(place, a)| attachment(a, AttachmentIndex::from_position(place), invalid))
            .collect::<Option<_>>()?,
        customers: draft.customers.into_iter().map(customer).collect::<Option<_>>()?,
        connections: draft.connections.into_iter().map(connection).collect::<Option<_>>()?,
        tunnels: tunnels.into_iter().map(|(t, gateway)| self::tunnel(t, gateway)).collect::<Option<_>>()?,
        routes: draft.routes.into_iter().map(route).collect::<Option<_>>()?,
        filters: draft.filters.into_iter().map(filter).collect::<Option<_>>()?,
        stations: draft.stations.into_iter().map(station).collect::<Option<_>>()?,
        warnings: Vec::new(),
        places: BTreeMap::new(),
    })
}

fn gateway(draft: GatewayDraft) -> Option<BorderGateway> {
    Some(BorderGateway {
        name: draft.name?,
        asn: draft.asn?,
        router_id: draft.router_id.optional()?,
        flow_hash: draft.flow_hash?,
        addresses: draft.addresses?,
        namespace: draft.namespace?.value,
        host_interface: draft.host_interface?,
    })
}

fn attachment(
    draft: AttachmentDraft,
    index: AttachmentIndex,
    invalid: &BTreeSet<(AttachmentIndex, Prefix)>,
) -> Option<VpcAttachment> {
    let attached = |prefix: Prefix| AttachedPrefix { prefix, valid: !invalid.contains(&(index, prefix)) };
    Some(VpcAttachment {
        name: draft.name?,
        gateway: draft.gateway?.value,
        interface: draft.interface?.value,
        vlan: draft.vlan.optional()?,
        anti_spoofing: draft.anti_spoofing?,
        prefixes: draft.prefixes?.value.into_iter().map(|at| attached(at.value)).collect(),
        propagation: draft.propagation.optional()?,
    })
}

fn customer(draft: CustomerDraft) -> Option<CustomerGateway> {
    Some(CustomerGateway {
        name: draft.name?,
        asn: draft.asn?.value,
        addresses: draft.addresses?.value.into_iter().map(|at| at.value).collect(),
    })
}

fn connection(draft: ConnectionDraft) -> Option<VpnConnection> {
    Some(VpnConnection {
        name: draft.name?,
        gateway: draft.gateway?.value,
        customer: draft.customer?.value,
        routing: draft.routing?,
        bgp: match (draft.routing?, draft.bgp?) {
            (Routing::Static, _) => None,
            (Routing::Bgp, draft) => Some(bgp(draft)),
        },
        bfd: draft.bfd.optional()?.map(bfd),
        addresses: draft.addresses?.value.into_iter().map(|at| at.value).collect(),
    })
}

fn tunnel(draft: TunnelDraft, gateway: GatewayIndex) -> Option<VpnTunnel> {
    Some(VpnTunnel {
        name: draft.name?,
        connection: draft.connection?.value,
        gateway,
        local_address: draft.local_address?.value,
        remote_address: draft.remote_address?.value,
        authentication: match draft.authentication? {
            AuthenticationDraft::Psk { key, next } => {
                Authentication::Psk { key: source(key.value), next: next.map(|next| source(next.value)) }
            }
            AuthenticationDraft::Certificate(files) => Authentication::Certificate(CertificateFiles {
                certificate: files.certificate.value,
                private_key: files.private_key.value,
                authorities: files.authorities.into_iter().map(|file| file.value).collect(),
                revocation_lists: files.revocation_lists.into_iter().map(|file| file.value).collect(),
                revocation: files.revocation,
                rsa_padding: files.rsa_padding,
                content: None,
            }),
        },
        ppk: draft.ppk.optional()?.map(|ppk| PostQuantumKey {
            id: ppk.id,
            key: source(ppk.key.value),
            required: ppk.required,
        }),
        local_id: draft.local_id?,
        remote_id: draft.remote_id?,
        admin: draft.admin?,
        paused: draft.paused?,
        startup: draft.startup?,
        local_prefixes: draft.local_prefixes?.value,
        remote_prefixes: draft.remote_prefixes?.value,
        udp_encapsulation: draft.udp_encapsulation?,
        mobike: draft.mobike?,
        bandwidth: draft.bandwidth.optional()?,
        weight: draft.weight?,
        inner_address: draft.inner_address.optional()?,
        peer_inner_address: draft.peer_inner_address.optional()?,
        outer: draft.outer?,
        ike: draft.ike?,
        esp: draft.esp?,
    })
}

fn source(draft: KeyDraft) -> PskSource {
    match draft {
        KeyDraft::Inline(psk) => PskSource::Inline(psk),
        KeyDraft::File(path) => PskSource::File { path, psk: None },
    }
}

fn bgp(draft: BgpDraft) -> BgpParameters {
    BgpParameters { md5_key: draft.md5_key.map(|key| source(key.value)), ..draft.parameters }
}

fn bfd(draft: BfdDraft) -> BfdParameters {
    BfdParameters {
        interval: draft.interval,
        multiplier: draft.multiplier,
        multihop: draft.multihop,
        authentication: draft.authentication.map(|(kind, id, key)| (kind, id, source(key.value))),
    }
}

/// `owners`: the gateway of each attachment, and the number of each gateway.
fn router(draft: RouterDraft, owners: &[Option<(GatewayIndex, Asn)>]) -> Option<VpcRouter> {
    let attachment = draft.attachment?.value;
    let (gateway, own) = (*owners.get(attachment.position())?)?;
    let bgp = bgp(draft.bgp?);
    Some(VpcRouter {
        name: draft.name?.value,
        attachment,
        gateway,
        asn: draft.asn.optional()?.or(bgp.local_asn).unwrap_or(own),
        local_address: draft.local_address?.value,
        address: draft.address?.value,
        bgp,
        bfd: draft.bfd.optional()?.map(bfd),
    })
}

fn filter(draft: FilterDraft) -> Option<RouteFilter> {
    Some(RouteFilter { name: draft.name?, rules: draft.rules?, otherwise: draft.otherwise? })
}

fn station(draft: StationDraft) -> Option<BmpStation> {
    Some(BmpStation {
        name: draft.name?,
        gateway: draft.gateway?.value,
        address: draft.address?.value,
        port: draft.port?.value,
        local_address: draft.local_address.optional()?,
    })
}

fn route(draft: RouteDraft) -> Option<StaticRoute> {
    Some(StaticRoute {
        gateway: draft.gateway?.value,
        destination: draft.destination?.value,
        target: draft.target?.value,
    })
}
