//! The fields of the resource file that may differ between two versions of an object.

use std::fmt;

use super::Effect;
use crate::authentication::Authentication;
use crate::bgp::{BfdParameters, BgpParameters, Policy};
use crate::index::GatewayIndex;
use crate::name::Name;
use crate::ppk::PostQuantumKey;
use crate::resource::{BmpStation, BorderGateway, CustomerGateway, VpcAttachment, VpcRouter, VpnConnection, VpnTunnel};
use crate::resources::Resources;
use crate::route_filter::RouteFilter;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each variant is the field of the resource file that its `Display` shows")]
        pub enum $name { $($variant),* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self { $(Self::$variant => f.write_str($word)),* }
            }
        }
    )*};
}

fields! {
    /// A field of a border gateway that may differ.
    GatewayField {
        Asn = "asn",
        RouterId = "router_id",
        FlowHash = "flow_hash",
        Addresses = "addresses",
        Namespace = "namespace",
        HostInterface = "host_interface",
    }

    /// A field of a VPC attachment that may differ.
    AttachmentField {
        BorderGateway = "border_gateway",
        Interface = "interface",
        Vlan = "vlan",
        AntiSpoofing = "anti_spoofing",
        Prefixes = "prefixes",
        Propagation = "propagation",
    }

    /// A field of a customer gateway that may differ.
    CustomerField { Asn = "asn", Addresses = "addresses" }

    /// A field of a VPN connection that may differ.
    ConnectionField {
        BorderGateway = "border_gateway",
        CustomerGateway = "customer_gateway",
        Routing = "routing",
        Bgp = "bgp",
        Bfd = "bfd",
        Addresses = "addresses",
    }

    /// A field of a VPN tunnel that may differ. `BorderGateway` is that of its connection.
    TunnelField {
        Connection = "vpn_connection",
        BorderGateway = "border_gateway",
        LocalAddress = "local_address",
        RemoteAddress = "remote_address",
        Authentication = "authentication",
        Ppk = "ppk",
        LocalId = "local_id",
        RemoteId = "remote_id",
        Admin = "admin",
        Paused = "paused",
        Startup = "startup",
        LocalPrefixes = "local_prefixes",
        RemotePrefixes = "remote_prefixes",
        UdpEncapsulation = "udp_encapsulation",
        Mobike = "mobike",
        Bandwidth = "bandwidth_mbps",
        Weight = "weight",
        InnerAddress = "inner_address",
        PeerInnerAddress = "peer_inner_address",
        Dscp = "outer.dscp",
        Ecn = "outer.ecn",
        Df = "outer.df",
        HopLimit = "outer.hop_limit",
        PathMtu = "outer.path_mtu",
        MssClamp = "outer.mss_clamp",
        KeyExchange = "ike.key_exchange",
        AdditionalKeyExchange = "ike.additional_key_exchange",
        IkeEncryption = "ike.encryption",
        Integrity = "ike.integrity",
        Prf = "ike.prf",
        Liveness = "ike.liveness_seconds",
        IkeLifetime = "ike.lifetime_seconds",
        EspEncryption = "esp.encryption",
        EspIntegrity = "esp.integrity",
        EspKeyExchange = "esp.key_exchange",
        EspAdditionalKeyExchange = "esp.additional_key_exchange",
        Esn = "esp.esn",
        ChildSas = "esp.child_sas",
        ReplayWindow = "esp.replay_window",
        EspLifetime = "esp.lifetime_seconds",
        LifetimePackets = "esp.lifetime_packets",
        LifetimeBytes = "esp.lifetime_bytes",
    }
}

fields! {
    /// A field of a VPC router that may differ.
    RouterField {
        Attachment = "vpc_attachment",
        Asn = "asn",
        LocalAddress = "local_address",
        Address = "address",
        Bgp = "bgp",
        Bfd = "bfd",
    }
}

fields! {
    /// A field of a route filter that may differ.
    FilterField { Otherwise = "otherwise", Rules = "rule" }
}

fields! {
    /// A field of a monitoring station that may differ.
    StationField {
        BorderGateway = "border_gateway",
        Address = "address",
        Port = "port",
        LocalAddress = "local_address",
    }
}

/// Routes have no fields of their own: a different route is another route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoField {}

impl TunnelField {
    /// What a difference in this field costs the tunnel.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::Connection
            | Self::Paused
            | Self::Bandwidth
            | Self::Weight
            | Self::InnerAddress
            | Self::PeerInnerAddress
            | Self::Dscp
            | Self::Ecn
            | Self::Df
            | Self::HopLimit
            | Self::PathMtu
            | Self::MssClamp => Effect::Forwarding,
            // Nothing that was negotiated depends on these. `admin` is carried out as an order of its own.
            Self::Admin
            | Self::Startup
            | Self::Liveness
            | Self::IkeLifetime
            | Self::EspLifetime
            | Self::LifetimePackets
            | Self::LifetimeBytes => Effect::Hot,
            // Who replaces a key wants holders of the old one out, but two keys may be good for a while.
            Self::Authentication => Effect::Authentication,
            // The peer agreed to these, proved its identity by them, or the SAs were made with them.
            Self::BorderGateway
            | Self::LocalAddress
            | Self::RemoteAddress
            | Self::LocalId
            | Self::RemoteId
            | Self::LocalPrefixes
            | Self::RemotePrefixes
            | Self::UdpEncapsulation
            | Self::Mobike
            | Self::KeyExchange
            | Self::AdditionalKeyExchange
            | Self::Ppk
            | Self::IkeEncryption
            | Self::Integrity
            | Self::Prf
            | Self::EspEncryption
            | Self::EspIntegrity
            | Self::EspKeyExchange
            | Self::EspAdditionalKeyExchange
            | Self::Esn
            | Self::ChildSas
            | Self::ReplayWindow => Effect::Reestablish,
        }
    }
}

pub(super) fn of_gateway(a: &BorderGateway, b: &BorderGateway) -> Vec<GatewayField> {
    differing(&[
        (GatewayField::Asn, a.asn == b.asn),
        (GatewayField::RouterId, a.router_id == b.router_id),
        (GatewayField::FlowHash, a.flow_hash == b.flow_hash),
        (GatewayField::Addresses, a.addresses == b.addresses),
        (GatewayField::Namespace, a.namespace == b.namespace),
        (GatewayField::HostInterface, a.host_interface == b.host_interface),
    ])
}

pub(super) fn of_attachment(
    (old, a): (&Resources, &VpcAttachment),
    (new, b): (&Resources, &VpcAttachment),
) -> Vec<AttachmentField> {
    differing(&[
        (AttachmentField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
        (AttachmentField::Interface, a.interface == b.interface),
        (AttachmentField::Vlan, a.vlan == b.vlan),
        (AttachmentField::AntiSpoofing, a.anti_spoofing == b.anti_spoofing),
        (AttachmentField::Prefixes, a.prefixes == b.prefixes),
        (AttachmentField::Propagation, a.propagation == b.propagation),
    ])
}

pub(super) fn of_customer(a: &CustomerGateway, b: &CustomerGateway) -> Vec<CustomerField> {
    differing(&[(CustomerField::Asn, a.asn == b.asn), (CustomerField::Addresses, a.addresses == b.addresses)])
}

pub(super) fn of_connection(
    (old, a): (&Resources, &VpnConnection),
    (new, b): (&Resources, &VpnConnection),
) -> Vec<ConnectionField> {
    let same_customer = old.customer(a.customer).name == new.customer(b.customer).name;
    differing(&[
        (ConnectionField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
        (ConnectionField::CustomerGateway, same_customer),
        (ConnectionField::Routing, a.routing == b.routing),
        (ConnectionField::Bgp, same_bgp((old, a.bgp.as_ref()), (new, b.bgp.as_ref()))),
        (ConnectionField::Bfd, same_bfd(a.bfd.as_ref(), b.bfd.as_ref())),
        (ConnectionField::Addresses, a.addresses == b.addresses),
    ])
}

pub(super) fn of_router((old, a): (&Resources, &VpcRouter), (new, b): (&Resources, &VpcRouter)) -> Vec<RouterField> {
    let same_attachment = old.attachment(a.attachment).name == new.attachment(b.attachment).name;
    differing(&[
        (RouterField::Attachment, same_attachment),
        (RouterField::Asn, a.asn == b.asn),
        (RouterField::LocalAddress, a.local_address == b.local_address),
        (RouterField::Address, a.address == b.address),
        (RouterField::Bgp, same_bgp((old, Some(&a.bgp)), (new, Some(&b.bgp)))),
        (RouterField::Bfd, same_bfd(a.bfd.as_ref(), b.bfd.as_ref())),
    ])
}

pub(super) fn of_filter(a: &RouteFilter, b: &RouteFilter) -> Vec<FilterField> {
    differing(&[(FilterField::Otherwise, a.otherwise == b.otherwise), (FilterField::Rules, a.rules == b.rules)])
}

pub(super) fn of_station(
    (old, a): (&Resources, &BmpStation),
    (new, b): (&Resources, &BmpStation),
) -> Vec<StationField> {
    differing(&[
        (StationField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
        (StationField::Address, a.address == b.address),
        (StationField::Port, a.port == b.port),
        (StationField::LocalAddress, a.local_address == b.local_address),
    ])
}

/// A filter is the same under another index.
fn same_bgp((old, a): (&Resources, Option<&BgpParameters>), (new, b): (&Resources, Option<&BgpParameters>)) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let same_policy = |a: Policy, b: Policy| match (a, b) {
        (Policy::Filter(a), Policy::Filter(b)) => old.filters()[a.position()].name == new.filters()[b.position()].name,
        (a, b) => a == b,
    };
    let same_key = match (&a.md5_key, &b.md5_key) {
        (Some(a), Some(b)) => a.is_same_key(b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let (import, export, md5_key) = (a.import, a.export, a.md5_key.clone());
    same_policy(a.import, b.import)
        && same_policy(a.export, b.export)
        && same_key
        && *a == BgpParameters { import, export, md5_key, ..b.clone() }
}

fn same_bfd(a: Option<&BfdParameters>, b: Option<&BfdParameters>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let same_key = match (&a.authentication, &b.authentication) {
        (Some((kind, id, key)), Some((other_kind, other_id, other))) => {
            (kind, id) == (other_kind, other_id) && key.is_same_key(other)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_key && *a == BfdParameters { authentication: a.authentication.clone(), ..b.clone() }
}

pub(super) fn of_tunnel((old, a): (&Resources, &VpnTunnel), (new, b): (&Resources, &VpnTunnel)) -> Vec<TunnelField> {
    let same_connection = old.connection(a.connection).name == new.connection(b.connection).name;
    differing(&[
        (TunnelField::Connection, same_connection),
        (TunnelField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
        (TunnelField::LocalAddress, a.local_address == b.local_address),
        (TunnelField::RemoteAddress, a.remote_address == b.remote_address),
        (TunnelField::Authentication, same_authentication(&a.authentication, &b.authentication)),
        (TunnelField::Ppk, same_ppk(a.ppk.as_ref(), b.ppk.as_ref())),
        (TunnelField::LocalId, a.local_id == b.local_id),
        (TunnelField::RemoteId, a.remote_id == b.remote_id),
        (TunnelField::Admin, a.admin == b.admin),
        (TunnelField::Paused, a.paused == b.paused),
        (TunnelField::Startup, a.startup == b.startup),
        (TunnelField::LocalPrefixes, a.local_prefixes == b.local_prefixes),
        (TunnelField::RemotePrefixes, a.remote_prefixes == b.remote_prefixes),
        (TunnelField::UdpEncapsulation, a.udp_encapsulation == b.udp_encapsulation),
        (TunnelField::Mobike, a.mobike == b.mobike),
        (TunnelField::Bandwidth, a.bandwidth == b.bandwidth),
        (TunnelField::Weight, a.weight == b.weight),
        (TunnelField::InnerAddress, a.inner_address == b.inner_address),
        (TunnelField::PeerInnerAddress, a.peer_inner_address == b.peer_inner_address),
        (TunnelField::Dscp, a.outer.dscp == b.outer.dscp),
        (TunnelField::Ecn, a.outer.ecn == b.outer.ecn),
        (TunnelField::Df, a.outer.df == b.outer.df),
        (TunnelField::HopLimit, a.outer.hop_limit == b.outer.hop_limit),
        (TunnelField::PathMtu, a.outer.path_mtu == b.outer.path_mtu),
        (TunnelField::MssClamp, a.outer.mss_clamp == b.outer.mss_clamp),
        (TunnelField::KeyExchange, a.ike.key_exchange == b.ike.key_exchange),
        (TunnelField::AdditionalKeyExchange, a.ike.additional_key_exchange == b.ike.additional_key_exchange),
        (TunnelField::IkeEncryption, a.ike.encryption == b.ike.encryption),
        (TunnelField::Integrity, a.ike.integrity == b.ike.integrity),
        (TunnelField::Prf, a.ike.prf == b.ike.prf),
        (TunnelField::Liveness, a.ike.liveness == b.ike.liveness),
        (TunnelField::IkeLifetime, a.ike.lifetime == b.ike.lifetime),
        (TunnelField::EspEncryption, a.esp.encryption == b.esp.encryption),
        (TunnelField::EspIntegrity, a.esp.integrity == b.esp.integrity),
        (TunnelField::EspKeyExchange, a.esp.key_exchange == b.esp.key_exchange),
        (TunnelField::EspAdditionalKeyExchange, a.esp.additional_key_exchange == b.esp.additional_key_exchange),
        (TunnelField::Esn, a.esp.esn == b.esp.esn),
        (TunnelField::ChildSas, a.esp.child_sas == b.esp.child_sas),
        (TunnelField::ReplayWindow, a.esp.replay_window == b.esp.replay_window),
        (TunnelField::EspLifetime, a.esp.lifetime == b.esp.lifetime),
        (TunnelField::LifetimePackets, a.esp.lifetime_packets == b.esp.lifetime_packets),
        (TunnelField::LifetimeBytes, a.esp.lifetime_bytes == b.esp.lifetime_bytes),
    ])
}

/// Moving a key from one place to another changes nothing while the key is the same.
fn same_authentication(a: &Authentication, b: &Authentication) -> bool {
    match (a, b) {
        (Authentication::Psk { key: a, next: next_a }, Authentication::Psk { key: b, next: next_b }) => {
            let next = match (next_a, next_b) {
                (Some(a), Some(b)) => a.is_same_key(b),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            next && a.is_same_key(b)
        }
        (Authentication::Certificate(a), Authentication::Certificate(b)) => a == b,
        (Authentication::Psk { .. }, Authentication::Certificate(_))
        | (Authentication::Certificate(_), Authentication::Psk { .. }) => false,
    }
}

fn same_ppk(a: Option<&PostQuantumKey>, b: Option<&PostQuantumKey>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (&a.id, a.required) == (&b.id, b.required) && a.key.is_same_key(&b.key),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn differing<Field: Copy>(fields: &[(Field, bool)]) -> Vec<Field> {
    fields.iter().filter(|(_, same)| !same).map(|&(field, _)| field).collect()
}

fn gateway(resources: &Resources, index: GatewayIndex) -> &Name {
    &resources.gateway(index).name
}
