//! The objects of the resource file, in the field's own words.

use std::net::IpAddr;

use crate::asn::Asn;
use crate::identity::Identity;
use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex};
use crate::interface::InterfaceName;
use crate::keyword::keywords;
use crate::name::Name;
use crate::parameters::{EspParameters, IkeParameters};
use crate::prefix::Prefix;
use crate::psk::PskSource;

/// A router with an ASN and a route table of its own: one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BorderGateway {
    /// Unlike that of any other border gateway.
    pub name: Name,
    /// Our side's number.
    pub asn: Asn,
}

/// A network behind a border gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcAttachment {
    /// Unlike that of any other attachment.
    pub name: Name,
    /// The gateway it is attached to.
    pub gateway: GatewayIndex,
    /// The host's interface towards the VPC.
    pub interface: InterfaceName,
    /// What lies behind it, at least one.
    pub prefixes: Vec<AttachedPrefix>,
}

/// A prefix that a VPC attachment propagates to its border gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachedPrefix {
    /// The prefix.
    pub prefix: Prefix,
    /// Whether routes are made of it. Of two attachments with overlapping prefixes the first in the file wins; the
    /// other's prefix, be it the longer one, is kept but not valid while the first stands.
    pub valid: bool,
}

/// The peer: its public addresses and its ASN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerGateway {
    /// Unlike that of any other customer gateway.
    pub name: Name,
    /// The peer's number.
    pub asn: Asn,
    /// 1, 2 or 4 addresses, each once.
    pub addresses: Vec<IpAddr>,
}

/// The tunnels between a border gateway and a customer gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnConnection {
    /// Unlike that of any other connection.
    pub name: Name,
    /// Our side.
    pub gateway: GatewayIndex,
    /// The peer.
    pub customer: CustomerIndex,
    /// How routes through all its tunnels come about.
    pub routing: Routing,
    /// Our 1 or 2 public addresses, each once.
    pub addresses: Vec<IpAddr>,
}

/// One of a connection's addresses joined to one of its customer gateway's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnTunnel {
    /// Unlike that of any other tunnel.
    pub name: Name,
    /// The connection it belongs to.
    pub connection: ConnectionIndex,
    /// The border gateway of that connection.
    pub gateway: GatewayIndex,
    /// One of the connection's addresses.
    pub local_address: IpAddr,
    /// One of the customer gateway's addresses, of the same family.
    pub remote_address: IpAddr,
    /// The secret both sides know.
    pub psk: PskSource,
    /// What we call ourselves.
    pub local_id: Identity,
    /// What the peer must call itself.
    pub remote_id: Identity,
    /// Whether the tunnel is wanted.
    pub admin: AdminState,
    /// Who begins.
    pub startup: Startup,
    /// Our traffic selectors, at least one.
    pub local_prefixes: Vec<Prefix>,
    /// The peer's traffic selectors, at least one.
    pub remote_prefixes: Vec<Prefix>,
    /// When ESP goes inside UDP.
    pub udp_encapsulation: UdpEncapsulation,
    /// How the IKE SA is negotiated and kept.
    pub ike: IkeParameters,
    /// How the ESP SAs are negotiated and kept.
    pub esp: EspParameters,
}

/// A route of a border gateway that the user wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticRoute {
    /// The gateway in whose table it stands.
    pub gateway: GatewayIndex,
    /// Where it leads to.
    pub destination: Prefix,
    /// Through what; an object of the same border gateway.
    pub target: RouteTarget,
}

/// What a route leads through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteTarget {
    /// The interface of a VPC attachment.
    Attachment(AttachmentIndex),
    /// All tunnels of a connection that are up.
    Connection(ConnectionIndex),
}

keywords! {
    /// How a connection's routes come about.
    Routing {
        /// By static routes.
        Static = "static",
    }
}

keywords! {
    /// What the user wants a tunnel to be.
    AdminState {
        /// Established and carrying traffic.
        Up = "up",
        /// Not established.
        Down = "down",
    }
}

keywords! {
    /// Who begins a tunnel.
    Startup {
        /// We do, again and again until it is up.
        Initiate = "initiate",
        /// The peer does.
        Respond = "respond",
    }
}

keywords! {
    /// When ESP travels inside UDP (RFC 3948).
    UdpEncapsulation {
        /// When a NAT was detected on the way (RFC 7296 §2.23).
        Auto = "auto",
        /// Always: the NAT detection is made to find one.
        Always = "always",
    }
}
