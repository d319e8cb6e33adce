//! What has to change so that one version of the resources becomes another.

use std::collections::BTreeMap;
use std::fmt;

use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex, RouteIndex, TunnelIndex};
use crate::name::Name;
use crate::prefix::Prefix;
use crate::resource::{RouteTarget, VpnTunnel};
use crate::resources::Resources;

/// One step from the old resources to the new. Objects are the same when their names are; routes when they are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Of a border gateway.
    BorderGateway(Step<GatewayIndex, GatewayField>),
    /// Of a VPC attachment.
    VpcAttachment(Step<AttachmentIndex, AttachmentField>),
    /// Of a customer gateway.
    CustomerGateway(Step<CustomerIndex, CustomerField>),
    /// Of a VPN connection.
    VpnConnection(Step<ConnectionIndex, ConnectionField>),
    /// Of a VPN tunnel.
    VpnTunnel(Step<TunnelIndex, TunnelField>),
    /// Of a static route.
    StaticRoute(Step<RouteIndex, NoField>),
}

/// What happens to one object. `old` indices are those of the old resources, `new` ones those of the new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<Index, Field> {
    /// It is gone.
    Remove {
        /// What it was.
        old: Index,
    },
    /// It has come.
    Add {
        /// What it is.
        new: Index,
    },
    /// Some of it is different; its index may be too.
    Modify {
        /// What it was.
        old: Index,
        /// What it is.
        new: Index,
        /// Which fields differ, in the order of the resource file; never empty.
        fields: Vec<Field>,
    },
    /// It is the same under another index.
    Renumber {
        /// What it was.
        old: Index,
        /// What it is.
        new: Index,
    },
}

/// What a change costs the traffic of the tunnel concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It takes hold while the tunnel goes on.
    Hot,
    /// The tunnel is torn down and established anew. Two tunnels may have exchanged their addresses, so every
    /// tunnel of this effect is to be torn down before the first is established.
    Reestablish,
}

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
    GatewayField { Asn = "asn" }

    /// A field of a VPC attachment that may differ.
    AttachmentField { BorderGateway = "border_gateway", Interface = "interface", Prefixes = "prefixes" }

    /// A field of a customer gateway that may differ.
    CustomerField { Asn = "asn", Addresses = "addresses" }

    /// A field of a VPN connection that may differ.
    ConnectionField {
        BorderGateway = "border_gateway",
        CustomerGateway = "customer_gateway",
        Routing = "routing",
        Addresses = "addresses",
    }

    /// A field of a VPN tunnel that may differ. `BorderGateway` is that of its connection.
    TunnelField {
        Connection = "vpn_connection",
        BorderGateway = "border_gateway",
        LocalAddress = "local_address",
        RemoteAddress = "remote_address",
        Psk = "psk",
        LocalId = "local_id",
        RemoteId = "remote_id",
        Admin = "admin",
        Startup = "startup",
        LocalPrefixes = "local_prefixes",
        RemotePrefixes = "remote_prefixes",
        UdpEncapsulation = "udp_encapsulation",
        KeyExchange = "ike.key_exchange",
        IkeEncryption = "ike.encryption",
        Integrity = "ike.integrity",
        Prf = "ike.prf",
        Liveness = "ike.liveness_seconds",
        IkeLifetime = "ike.lifetime_seconds",
        EspEncryption = "esp.encryption",
        Esn = "esp.esn",
        ReplayWindow = "esp.replay_window",
        EspLifetime = "esp.lifetime_seconds",
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
            // Nothing that was negotiated depends on these. `admin` is carried out as an order of its own.
            Self::Connection | Self::Admin | Self::Startup | Self::Liveness | Self::IkeLifetime | Self::EspLifetime => {
                Effect::Hot
            }
            // The peer agreed to these, proved its identity by them, or the SAs were made with them. A new key is
            // proved at once: who replaces one wants holders of the old one out.
            Self::BorderGateway
            | Self::LocalAddress
            | Self::RemoteAddress
            | Self::Psk
            | Self::LocalId
            | Self::RemoteId
            | Self::LocalPrefixes
            | Self::RemotePrefixes
            | Self::UdpEncapsulation
            | Self::KeyExchange
            | Self::IkeEncryption
            | Self::Integrity
            | Self::Prf
            | Self::EspEncryption
            | Self::Esn
            | Self::ReplayWindow => Effect::Reestablish,
        }
    }
}

impl Step<TunnelIndex, TunnelField> {
    /// What the step costs the tunnel, where it stands before and after.
    #[must_use]
    pub fn effect(&self) -> Option<Effect> {
        match self {
            Self::Remove { .. } | Self::Add { .. } => None,
            Self::Modify { fields, .. } => fields.iter().map(|field| field.effect()).max(),
            Self::Renumber { .. } => Some(Effect::Hot),
        }
    }
}

/// The changes from `old` to `new`, in an order in which they can be carried out: first what goes, dependents before
/// what they depend on and by old index, then what comes, changes or moves, in the opposite order and by new index.
#[must_use]
pub fn difference(old: &Resources, new: &Resources) -> Vec<Change> {
    let gateways = steps(
        (&old.gateways, &new.gateways),
        |_, gateway| gateway.name.as_str(),
        GatewayIndex::from_position,
        |a, b| differing(&[(GatewayField::Asn, a.asn == b.asn)]),
    );
    let attachments = steps(
        (&old.attachments, &new.attachments),
        |_, attachment| attachment.name.as_str(),
        AttachmentIndex::from_position,
        |a, b| {
            differing(&[
                (AttachmentField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
                (AttachmentField::Interface, a.interface == b.interface),
                (AttachmentField::Prefixes, a.prefixes == b.prefixes),
            ])
        },
    );
    let customers = steps(
        (&old.customers, &new.customers),
        |_, customer| customer.name.as_str(),
        CustomerIndex::from_position,
        |a, b| {
            differing(&[(CustomerField::Asn, a.asn == b.asn), (CustomerField::Addresses, a.addresses == b.addresses)])
        },
    );
    let connections = steps(
        (&old.connections, &new.connections),
        |_, connection| connection.name.as_str(),
        ConnectionIndex::from_position,
        |a, b| {
            let same_customer = old.customer(a.customer).name == new.customer(b.customer).name;
            differing(&[
                (ConnectionField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
                (ConnectionField::CustomerGateway, same_customer),
                (ConnectionField::Routing, a.routing == b.routing),
                (ConnectionField::Addresses, a.addresses == b.addresses),
            ])
        },
    );
    let tunnels = steps(
        (&old.tunnels, &new.tunnels),
        |_, tunnel| tunnel.name.as_str(),
        TunnelIndex::from_position,
        |a, b| tunnel_fields((old, a), (new, b)),
    );
    let routes = steps(
        (&old.routes, &new.routes),
        |side, route| route_key(if side == Side::Old { old } else { new }, route),
        RouteIndex::from_position,
        |_, _| Vec::new(),
    );

    let mut changes = Vec::new();
    changes.extend(routes.gone.into_iter().map(Change::StaticRoute));
    changes.extend(tunnels.gone.into_iter().map(Change::VpnTunnel));
    changes.extend(connections.gone.into_iter().map(Change::VpnConnection));
    changes.extend(customers.gone.into_iter().map(Change::CustomerGateway));
    changes.extend(attachments.gone.into_iter().map(Change::VpcAttachment));
    changes.extend(gateways.gone.into_iter().map(Change::BorderGateway));
    changes.extend(gateways.rest.into_iter().map(Change::BorderGateway));
    changes.extend(attachments.rest.into_iter().map(Change::VpcAttachment));
    changes.extend(customers.rest.into_iter().map(Change::CustomerGateway));
    changes.extend(connections.rest.into_iter().map(Change::VpnConnection));
    changes.extend(tunnels.rest.into_iter().map(Change::VpnTunnel));
    changes.extend(routes.rest.into_iter().map(Change::StaticRoute));
    changes
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// The steps of one kind of object: the removals, and the rest.
struct Steps<Index, Field> {
    gone: Vec<Step<Index, Field>>,
    rest: Vec<Step<Index, Field>>,
}

fn steps<'a, T, Key: Ord, Index: Copy + PartialEq, Field>(
    (old, new): (&'a [T], &'a [T]),
    key: impl Fn(Side, &'a T) -> Key,
    index: impl Fn(usize) -> Index,
    fields: impl Fn(&T, &T) -> Vec<Field>,
) -> Steps<Index, Field> {
    let mut before: BTreeMap<Key, usize> =
        old.iter().enumerate().map(|(place, object)| (key(Side::Old, object), place)).collect();
    let mut rest = Vec::new();
    for (place, object) in new.iter().enumerate() {
        let Some(was) = before.remove(&key(Side::New, object)) else {
            rest.push(Step::Add { new: index(place) });
            continue;
        };
        let fields = fields(&old[was], object);
        if !fields.is_empty() {
            rest.push(Step::Modify { old: index(was), new: index(place), fields });
        } else if was != place {
            rest.push(Step::Renumber { old: index(was), new: index(place) });
        }
    }
    let mut gone: Vec<usize> = before.into_values().collect();
    gone.sort_unstable();
    Steps { gone: gone.into_iter().map(|was| Step::Remove { old: index(was) }).collect(), rest }
}

fn differing<Field: Copy>(fields: &[(Field, bool)]) -> Vec<Field> {
    fields.iter().filter(|(_, same)| !same).map(|&(field, _)| field).collect()
}

fn gateway(resources: &Resources, index: GatewayIndex) -> &Name {
    &resources.gateway(index).name
}

fn tunnel_fields((old, a): (&Resources, &VpnTunnel), (new, b): (&Resources, &VpnTunnel)) -> Vec<TunnelField> {
    let same_connection = old.connection(a.connection).name == new.connection(b.connection).name;
    differing(&[
        (TunnelField::Connection, same_connection),
        (TunnelField::BorderGateway, gateway(old, a.gateway) == gateway(new, b.gateway)),
        (TunnelField::LocalAddress, a.local_address == b.local_address),
        (TunnelField::RemoteAddress, a.remote_address == b.remote_address),
        // Moving a key from one place to another changes nothing while the key is the same.
        (TunnelField::Psk, a.psk == b.psk || (a.psk.psk().is_some() && a.psk.psk() == b.psk.psk())),
        (TunnelField::LocalId, a.local_id == b.local_id),
        (TunnelField::RemoteId, a.remote_id == b.remote_id),
        (TunnelField::Admin, a.admin == b.admin),
        (TunnelField::Startup, a.startup == b.startup),
        (TunnelField::LocalPrefixes, a.local_prefixes == b.local_prefixes),
        (TunnelField::RemotePrefixes, a.remote_prefixes == b.remote_prefixes),
        (TunnelField::UdpEncapsulation, a.udp_encapsulation == b.udp_encapsulation),
        (TunnelField::KeyExchange, a.ike.key_exchange == b.ike.key_exchange),
        (TunnelField::IkeEncryption, a.ike.encryption == b.ike.encryption),
        (TunnelField::Integrity, a.ike.integrity == b.ike.integrity),
        (TunnelField::Prf, a.ike.prf == b.ike.prf),
        (TunnelField::Liveness, a.ike.liveness == b.ike.liveness),
        (TunnelField::IkeLifetime, a.ike.lifetime == b.ike.lifetime),
        (TunnelField::EspEncryption, a.esp.encryption == b.esp.encryption),
        (TunnelField::Esn, a.esp.esn == b.esp.esn),
        (TunnelField::ReplayWindow, a.esp.replay_window == b.esp.replay_window),
        (TunnelField::EspLifetime, a.esp.lifetime == b.esp.lifetime),
    ])
}

/// What makes a route this route, across renumbering: its gateway, its destination, and the kind and name of its target.
fn route_key<'a>(resources: &'a Resources, route: &crate::resource::StaticRoute) -> (&'a Name, Prefix, bool, &'a Name) {
    let (through_vpn, target) = match route.target {
        RouteTarget::Attachment(attachment) => (false, &resources.attachment(attachment).name),
        RouteTarget::Connection(connection) => (true, &resources.connection(connection).name),
    };
    (gateway(resources, route.gateway), route.destination, through_vpn, target)
}
