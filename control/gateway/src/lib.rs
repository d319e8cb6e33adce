//! The resource model of a border gateway.
//!
//! A resource file in TOML becomes [`Resources`]: border gateways, VPC attachments, customer gateways, VPN
//! connections, VPN tunnels, routes and what goes with BGP, in types that cannot hold an illegal value. Everything wrong with a
//! file is said at once, each as a [`Diagnostic`] with file, line, field, value and what is allowed.
//! [`valid_routes`] computes what each gateway forwards by, and [`difference`] what has to change between two
//! versions of the resources.
//!
//! The crate is pure: it opens no file or socket and sees neither clock nor randomness.

#![forbid(unsafe_code)]

mod algorithm;
mod asn;
mod authentication;
mod bgp;
mod diagnostic;
mod distinguished_name;
mod doubts;
mod draft;
mod file;
mod identity;
mod index;
mod interface_address;
mod kernel_name;
mod keyword;
mod name;
mod names;
mod number;
mod outer;
mod parameters;
mod ppk;
mod prefix;
mod propagation;
mod psk;
mod reader;
mod reconcile;
mod report;
mod resource;
mod resources;
mod route;
mod route_filter;
mod rules;
mod scalar;
mod section;
mod suggestion;

pub use algorithm::{EspEncryption, IkeEncryption, Integrity, KeyExchange, Prf};
pub use asn::Asn;
pub use authentication::{
    Authentication, CertificateContent, CertificateFile, CertificateFiles, Revocation, RsaPadding,
};
pub use bgp::{
    AddressFamily, BfdAuthentication, BfdInterval, BfdKeyId, BfdMultiplier, BfdParameters, BgpParameters, ConnectRetry,
    HoldTime, OwnAsnCount, Policy, PrefixCount, PrefixExcess, PrependCount, RestartTime, StaleTime,
};
pub use diagnostic::{Diagnostic, OutOfRange, Refusal};
pub use distinguished_name::{DistinguishedName, DistinguishedNameError};
pub use identity::{Identity, IdentityError};
pub use index::{
    AttachmentIndex, ConnectionIndex, CustomerIndex, FilterIndex, GatewayIndex, RouteIndex, RouterIndex, StationIndex,
    TunnelIndex,
};
pub use interface_address::{InterfaceAddress, InterfaceAddressError};
pub use kernel_name::{InterfaceName, KernelNameError, KernelNameProblem, NamespaceName};
pub use keyword::{Keyword, UnknownKeyword};
pub use name::{Name, NameError};
pub use outer::{DontFragment, Dscp, HopLimit, Mss, MssClamp, OuterDscp, OuterParameters, PathMtu};
pub use parameters::{ChildSas, EspParameters, IkeParameters, Lifetime, Liveness, ReplayWindow, Volume};
pub use ppk::{PostQuantumKey, PpkId};
pub use prefix::{Prefix, PrefixError};
pub use propagation::Propagation;
pub use psk::{Psk, PskError, PskSource};
pub use reconcile::{
    AttachmentField, Change, ConnectionField, CustomerField, Effect, FilterField, GatewayField, NoField, RouterField,
    StationField, Step, TunnelField, difference,
};
pub use resource::{
    AdminState, AttachedPrefix, Bandwidth, BmpStation, BorderGateway, CustomerGateway, FlowHash, RouteTarget, Routing,
    Startup, StaticRoute, TcpPort, UdpEncapsulation, Vlan, VpcAttachment, VpcRouter, VpnConnection, VpnTunnel, Weight,
};
pub use resources::{Field, Resources, Sessions};
pub use route::{
    NextHop, Route, RouteOrigin, ValidRoute, WeightedTunnel, propagated_routes, static_routes, valid_routes,
};
pub use route_filter::{
    Community, FilterAction, FilterRule, FilterVerdict, LargeCommunity, PrefixRange, PrefixRangeError, RouteFilter,
};
