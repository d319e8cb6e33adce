//! What has to change so that one version of the resources becomes another.

mod field;

use std::collections::BTreeMap;

pub use field::{
    AttachmentField, ConnectionField, CustomerField, FilterField, GatewayField, NoField, RouterField, StationField,
    TunnelField,
};

use crate::index::{
    AttachmentIndex, ConnectionIndex, CustomerIndex, FilterIndex, GatewayIndex, RouteIndex, RouterIndex, StationIndex,
    TunnelIndex,
};
use crate::name::Name;
use crate::prefix::Prefix;
use crate::resource::{RouteTarget, StaticRoute};
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
    /// Of a VPC router.
    VpcRouter(Step<RouterIndex, RouterField>),
    /// Of a route filter.
    RouteFilter(Step<FilterIndex, FilterField>),
    /// Of a monitoring station.
    BmpStation(Step<StationIndex, StationField>),
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
    /// It takes hold at once: only forwarding depends on it, and IKE does not know of it.
    Forwarding,
    /// It takes hold while the tunnel goes on, when IKE next does what it is about.
    Hot,
    /// The tunnel goes on as long as what its two ends have proved still holds.
    Authentication,
    /// The tunnel is torn down and established anew. Two tunnels may have exchanged their addresses, so every
    /// tunnel of this effect is to be torn down before the first is established.
    Reestablish,
}

impl Step<TunnelIndex, TunnelField> {
    /// What the step costs the tunnel, where it stands before and after.
    #[must_use]
    pub fn effect(&self) -> Option<Effect> {
        match self {
            Self::Remove { .. } | Self::Add { .. } => None,
            Self::Modify { fields, .. } => fields.iter().map(|field| field.effect()).max(),
            Self::Renumber { .. } => Some(Effect::Forwarding),
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
        field::of_gateway,
    );
    let attachments = steps(
        (&old.attachments, &new.attachments),
        |_, attachment| attachment.name.as_str(),
        AttachmentIndex::from_position,
        |a, b| field::of_attachment((old, a), (new, b)),
    );
    let customers = steps(
        (&old.customers, &new.customers),
        |_, customer| customer.name.as_str(),
        CustomerIndex::from_position,
        field::of_customer,
    );
    let connections = steps(
        (&old.connections, &new.connections),
        |_, connection| connection.name.as_str(),
        ConnectionIndex::from_position,
        |a, b| field::of_connection((old, a), (new, b)),
    );
    let tunnels = steps(
        (&old.tunnels, &new.tunnels),
        |_, tunnel| tunnel.name.as_str(),
        TunnelIndex::from_position,
        |a, b| field::of_tunnel((old, a), (new, b)),
    );
    let routers = steps(
        (&old.routers, &new.routers),
        |_, router| router.name.as_str(),
        RouterIndex::from_position,
        |a, b| field::of_router((old, a), (new, b)),
    );
    let filters = steps(
        (&old.filters, &new.filters),
        |_, filter| filter.name.as_str(),
        FilterIndex::from_position,
        field::of_filter,
    );
    let stations = steps(
        (&old.stations, &new.stations),
        |_, station| station.name.as_str(),
        StationIndex::from_position,
        |a, b| field::of_station((old, a), (new, b)),
    );
    let routes = steps(
        (&old.routes, &new.routes),
        |side, route| route_key(if side == Side::Old { old } else { new }, route),
        RouteIndex::from_position,
        |_, _| Vec::new(),
    );

    let mut changes = Vec::new();
    changes.extend(routes.gone.into_iter().map(Change::StaticRoute));
    changes.extend(stations.gone.into_iter().map(Change::BmpStation));
    changes.extend(tunnels.gone.into_iter().map(Change::VpnTunnel));
    changes.extend(connections.gone.into_iter().map(Change::VpnConnection));
    changes.extend(routers.gone.into_iter().map(Change::VpcRouter));
    changes.extend(filters.gone.into_iter().map(Change::RouteFilter));
    changes.extend(customers.gone.into_iter().map(Change::CustomerGateway));
    changes.extend(attachments.gone.into_iter().map(Change::VpcAttachment));
    changes.extend(gateways.gone.into_iter().map(Change::BorderGateway));
    changes.extend(gateways.rest.into_iter().map(Change::BorderGateway));
    changes.extend(attachments.rest.into_iter().map(Change::VpcAttachment));
    changes.extend(customers.rest.into_iter().map(Change::CustomerGateway));
    changes.extend(filters.rest.into_iter().map(Change::RouteFilter));
    changes.extend(routers.rest.into_iter().map(Change::VpcRouter));
    changes.extend(connections.rest.into_iter().map(Change::VpnConnection));
    changes.extend(tunnels.rest.into_iter().map(Change::VpnTunnel));
    changes.extend(stations.rest.into_iter().map(Change::BmpStation));
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

/// What makes a route this route, across renumbering: its gateway, its destination, and the kind and name of its target.
fn route_key<'a>(resources: &'a Resources, route: &StaticRoute) -> (&'a Name, Prefix, Target<'a>) {
    let target = match route.target {
        RouteTarget::Attachment(attachment) => Target::Attachment(&resources.attachment(attachment).name),
        RouteTarget::Connection(connection) => Target::Connection(&resources.connection(connection).name),
        RouteTarget::Blackhole => Target::Blackhole,
        RouteTarget::Reject => Target::Reject,
    };
    (&resources.gateway(route.gateway).name, route.destination, target)
}

/// A route's target by name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Target<'a> {
    Attachment(&'a Name),
    Connection(&'a Name),
    Blackhole,
    Reject,
}
