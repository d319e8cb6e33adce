//! The objects of the resource file, in the field's own words.

use std::net::{IpAddr, Ipv4Addr};

use crate::asn::Asn;
use crate::authentication::Authentication;
use crate::bgp::{BfdParameters, BgpParameters};
use crate::identity::Identity;
use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex};
use crate::interface_address::InterfaceAddress;
use crate::kernel_name::{InterfaceName, NamespaceName};
use crate::keyword::keywords;
use crate::name::Name;
use crate::number::numbers;
use crate::outer::OuterParameters;
use crate::parameters::{EspParameters, IkeParameters};
use crate::ppk::PostQuantumKey;
use crate::prefix::Prefix;
use crate::propagation::Propagation;

/// A router with an ASN and a route table of its own: one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BorderGateway {
    /// Unlike that of any other border gateway.
    pub name: Name,
    /// Our side's number.
    pub asn: Asn,
    /// Its BGP identifier (RFC 6286); `None`: see [`Resources::router_id`](crate::Resources::router_id).
    pub router_id: Option<Ipv4Addr>,
    /// What the tunnel of a flow is chosen by.
    pub flow_hash: FlowHash,
    /// Its own inner addresses, besides those of its tunnels.
    pub addresses: Vec<InterfaceAddress>,
    /// The network namespace of its TUN device, through which the host itself takes part in the tenant's network.
    /// Unlike that of any other border gateway.
    pub namespace: NamespaceName,
    /// The TUN device, which carries `addresses` and the `inner_address` of each tunnel.
    pub host_interface: InterfaceName,
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
    /// Which frames of the interface (IEEE 802.1Q); `None`: those without a tag. No two attachments have the same
    /// interface and VLAN.
    pub vlan: Option<Vlan>,
    /// Whether packets from the VPC are dropped whose source lies in none of `prefixes`, valid or not (RFC 2827).
    pub anti_spoofing: bool,
    /// What lies behind it, at least one.
    pub prefixes: Vec<AttachedPrefix>,
    /// Where it learns the ways to customers, if it does.
    pub propagation: Option<Propagation>,
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

/// A router of the network behind a VPC attachment, with which BGP is spoken on the attachment's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcRouter {
    /// Unlike that of any other VPC router and of any tunnel.
    pub name: Name,
    /// Behind which it is.
    pub attachment: AttachmentIndex,
    /// The border gateway of that attachment.
    pub gateway: GatewayIndex,
    /// Its number; that of the gateway, or of `bgp.local_asn`, where the file says nothing.
    pub asn: Asn,
    /// Our address on the attachment's link.
    pub local_address: IpAddr,
    /// Its address there, of the same family.
    pub address: IpAddr,
    /// The session.
    pub bgp: BgpParameters,
    /// What watches it, if anything does.
    pub bfd: Option<BfdParameters>,
}

/// Who is told what a border gateway's BGP peers say, as they say it (RFC 7854). It is reached from the host's own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BmpStation {
    /// Unlike that of any other station.
    pub name: Name,
    /// Whose peers; no other station of it has the same address and port.
    pub gateway: GatewayIndex,
    /// Its address.
    pub address: IpAddr,
    /// Where it listens.
    pub port: TcpPort,
    /// Our address towards it, of the same family; `None`: the kernel's choice.
    pub local_address: Option<IpAddr>,
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
    /// Its sessions; `None` with static routes alone.
    pub bgp: Option<BgpParameters>,
    /// What watches them, if anything does.
    pub bfd: Option<BfdParameters>,
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
    /// How both sides prove who they are.
    pub authentication: Authentication,
    /// A post-quantum key that is mixed in, if there is one (RFC 8784).
    pub ppk: Option<PostQuantumKey>,
    /// What we call ourselves.
    pub local_id: Identity,
    /// What the peer must call itself.
    pub remote_id: Identity,
    /// Whether the tunnel is wanted.
    pub admin: AdminState,
    /// Whether it is kept established but carries no traffic.
    pub paused: bool,
    /// Who begins.
    pub startup: Startup,
    /// Our traffic selectors, at least one.
    pub local_prefixes: Vec<Prefix>,
    /// The peer's traffic selectors, at least one.
    pub remote_prefixes: Vec<Prefix>,
    /// When ESP goes inside UDP.
    pub udp_encapsulation: UdpEncapsulation,
    /// Whether a peer that has begun may take its SAs along to another address than `remote_address` (RFC 4555). It is not
    /// unless it says so: a customer gateway is known by its address.
    pub mobike: bool,
    /// The most it carries in each direction; `None`: any amount.
    pub bandwidth: Option<Bandwidth>,
    /// Its share of the flows.
    pub weight: Weight,
    /// Our end inside the tunnel. Its prefix overlaps that of no other tunnel of the border gateway.
    pub inner_address: Option<InterfaceAddress>,
    /// The peer's end, another host of the prefix of `inner_address`.
    pub peer_inner_address: Option<IpAddr>,
    /// How packets are wrapped.
    pub outer: OuterParameters,
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
    /// Nothing: packets are dropped in silence.
    Blackhole,
    /// Nothing: packets are dropped and their sources told so (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
    Reject,
}

keywords! {
    /// How a connection's routes come about.
    Routing {
        /// By static routes.
        Static = "static",
        /// By what the peer says in BGP, beside static routes.
        Bgp = "bgp",
    }
}

keywords! {
    /// What the tunnel of a flow is chosen by, among those that share a route.
    FlowHash {
        /// Sources and destinations as they stand: the two directions of a flow may take different tunnels.
        Directed = "directed",
        /// Both ends without regard to their order: our choice for either direction is the same.
        Symmetric = "symmetric",
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

numbers! {
    /// A VLAN identifier (IEEE 802.1Q §9.6): 1 to 4094.
    Vlan(u16): 1..=4094, from_number, number;

    /// A port of TCP: 1 to 65535.
    TcpPort(u16): 1..=65535, from_number, number;

    /// A rate: 1 to 100000 Mbit/s.
    Bandwidth(u32): 1..=100_000, from_megabits_per_second, megabits_per_second;

    /// The share of a tunnel among the tunnels of a route: 0 to 255, in proportion to the others' weights. A tunnel of
    /// weight 0 is drained: it takes new flows only while no other tunnel of the route is up.
    Weight(u8): 0..=255, from_number, number;
}

impl Weight {
    /// What a tunnel has where its file says nothing.
    pub const DEFAULT: Self = Self(1);
}
