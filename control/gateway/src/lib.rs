//! The resource model of a border gateway.
//!
//! A resource file in TOML becomes [`Resources`]: border gateways, VPC attachments, customer gateways, VPN
//! connections, VPN tunnels and static routes, in types that cannot hold an illegal value. Everything wrong with a
//! file is said at once, each as a [`Diagnostic`] with file, line, field, value and what is allowed.
//! [`valid_routes`] computes what each gateway forwards by, and [`difference`] what has to change between two
//! versions of the resources.
//!
//! The crate is pure: it opens no file or socket and sees neither clock nor randomness.

#![forbid(unsafe_code)]

mod algorithm;
mod asn;
mod diagnostic;
mod doubts;
mod draft;
mod file;
mod identity;
mod index;
mod interface;
mod keyword;
mod name;
mod names;
mod parameters;
mod prefix;
mod psk;
mod reader;
mod reconcile;
mod report;
mod resource;
mod resources;
mod route;
mod rules;
mod scalar;
mod section;
mod suggestion;

pub use algorithm::{EspEncryption, IkeEncryption, Integrity, KeyExchange, Prf};
pub use asn::Asn;
pub use diagnostic::{Diagnostic, OutOfRange, Refusal};
pub use identity::{Identity, IdentityError};
pub use index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex, RouteIndex, TunnelIndex};
pub use interface::{InterfaceName, InterfaceNameError};
pub use keyword::{Keyword, UnknownKeyword};
pub use name::{Name, NameError};
pub use parameters::{EspParameters, IkeParameters, Lifetime, Liveness, ReplayWindow};
pub use prefix::{Prefix, PrefixError};
pub use psk::{Psk, PskError, PskSource};
pub use reconcile::{
    AttachmentField, Change, ConnectionField, CustomerField, Effect, GatewayField, NoField, Step, TunnelField,
    difference,
};
pub use resource::{
    AdminState, AttachedPrefix, BorderGateway, CustomerGateway, RouteTarget, Routing, Startup, StaticRoute,
    UdpEncapsulation, VpcAttachment, VpnConnection, VpnTunnel,
};
pub use resources::{Field, Resources};
pub use route::{NextHop, Route, RouteOrigin, ValidRoute, propagated_routes, static_routes, valid_routes};
