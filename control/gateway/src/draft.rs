//! The objects of a file as far as they could be read: the rules between objects are checked on these, so that one
//! wrong field does not hide what is wrong elsewhere.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::asn::Asn;
use crate::authentication::{Revocation, RsaPadding};
use crate::bgp::{BfdAuthentication, BfdInterval, BfdKeyId, BfdMultiplier, BgpParameters};
use crate::identity::Identity;
use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex};
use crate::interface_address::InterfaceAddress;
use crate::kernel_name::{InterfaceName, NamespaceName};
use crate::name::Name;
use crate::outer::OuterParameters;
use crate::parameters::{EspParameters, IkeParameters};
use crate::ppk::PpkId;
use crate::prefix::Prefix;
use crate::propagation::Propagation;
use crate::psk::Psk;
use crate::report::At;
use crate::resource::{
    AdminState, Bandwidth, FlowHash, RouteTarget, Routing, Startup, TcpPort, UdpEncapsulation, Vlan, Weight,
};
use crate::route_filter::{FilterRule, FilterVerdict};
use crate::section::Found;

/// All of a file. A position in each list is the object's index.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) gateways: Vec<GatewayDraft>,
    pub(crate) attachments: Vec<AttachmentDraft>,
    pub(crate) customers: Vec<CustomerDraft>,
    pub(crate) connections: Vec<ConnectionDraft>,
    pub(crate) tunnels: Vec<TunnelDraft>,
    pub(crate) routes: Vec<RouteDraft>,
    pub(crate) filters: Vec<FilterDraft>,
    pub(crate) routers: Vec<RouterDraft>,
    pub(crate) stations: Vec<StationDraft>,
}

/// What every object has: how it is called in diagnostics and where it begins.
pub(crate) struct Head {
    pub(crate) label: String,
    pub(crate) offset: usize,
}

pub(crate) struct GatewayDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<Name>,
    pub(crate) asn: Option<Asn>,
    pub(crate) router_id: Found<Ipv4Addr>,
    pub(crate) flow_hash: Option<FlowHash>,
    pub(crate) addresses: Option<Vec<InterfaceAddress>>,
    pub(crate) namespace: Option<At<NamespaceName>>,
    pub(crate) host_interface: Option<InterfaceName>,
}

pub(crate) struct AttachmentDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<Name>,
    pub(crate) gateway: Option<At<GatewayIndex>>,
    pub(crate) interface: Option<At<InterfaceName>>,
    pub(crate) vlan: Found<Vlan>,
    pub(crate) anti_spoofing: Option<bool>,
    pub(crate) prefixes: Option<At<Vec<At<Prefix>>>>,
    pub(crate) propagation: Found<Propagation>,
}

pub(crate) struct RouterDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<At<Name>>,
    pub(crate) attachment: Option<At<AttachmentIndex>>,
    pub(crate) asn: Found<Asn>,
    pub(crate) local_address: Option<At<IpAddr>>,
    pub(crate) address: Option<At<IpAddr>>,
    pub(crate) bgp: Option<BgpDraft>,
    pub(crate) bfd: Found<BfdDraft>,
}

pub(crate) struct StationDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<Name>,
    pub(crate) gateway: Option<At<GatewayIndex>>,
    pub(crate) address: Option<At<IpAddr>>,
    pub(crate) port: Option<At<TcpPort>>,
    pub(crate) local_address: Found<IpAddr>,
}

pub(crate) struct CustomerDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<Name>,
    pub(crate) asn: Option<At<Asn>>,
    pub(crate) addresses: Option<At<Vec<At<IpAddr>>>>,
}

/// The `bgp` table of a connection; the key is apart, for it may stand in a file.
pub(crate) struct BgpDraft {
    pub(crate) parameters: BgpParameters,
    pub(crate) md5_key: Option<At<KeyDraft>>,
}

/// The `bfd` table of a connection.
pub(crate) struct BfdDraft {
    pub(crate) interval: BfdInterval,
    pub(crate) multiplier: BfdMultiplier,
    pub(crate) multihop: bool,
    pub(crate) authentication: Option<(BfdAuthentication, BfdKeyId, At<KeyDraft>)>,
}

pub(crate) struct FilterDraft {
    pub(crate) name: Option<Name>,
    pub(crate) rules: Option<Vec<FilterRule>>,
    pub(crate) otherwise: Option<FilterVerdict>,
}

pub(crate) struct ConnectionDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<Name>,
    pub(crate) gateway: Option<At<GatewayIndex>>,
    pub(crate) customer: Option<At<CustomerIndex>>,
    pub(crate) routing: Option<Routing>,
    pub(crate) bgp: Option<BgpDraft>,
    pub(crate) bfd: Found<BfdDraft>,
    pub(crate) addresses: Option<At<Vec<At<IpAddr>>>>,
}

pub(crate) struct TunnelDraft {
    pub(crate) head: Head,
    pub(crate) name: Option<Name>,
    pub(crate) connection: Option<At<ConnectionIndex>>,
    pub(crate) local_address: Option<At<IpAddr>>,
    pub(crate) remote_address: Option<At<IpAddr>>,
    pub(crate) authentication: Option<AuthenticationDraft>,
    pub(crate) ppk: Found<PpkDraft>,
    pub(crate) local_id: Option<Identity>,
    pub(crate) remote_id: Option<Identity>,
    pub(crate) admin: Option<AdminState>,
    pub(crate) paused: Option<bool>,
    pub(crate) startup: Option<Startup>,
    pub(crate) local_prefixes: Option<At<Vec<Prefix>>>,
    pub(crate) remote_prefixes: Option<At<Vec<Prefix>>>,
    pub(crate) udp_encapsulation: Option<UdpEncapsulation>,
    pub(crate) mobike: Option<bool>,
    pub(crate) bandwidth: Found<Bandwidth>,
    pub(crate) weight: Option<Weight>,
    pub(crate) inner_address: Found<InterfaceAddress>,
    pub(crate) peer_inner_address: Found<IpAddr>,
    pub(crate) outer: Option<OuterParameters>,
    pub(crate) ike: Option<IkeParameters>,
    pub(crate) esp: Option<EspParameters>,
}

/// By what the two ends know each other.
pub(crate) enum AuthenticationDraft {
    Psk { key: At<KeyDraft>, next: Option<At<KeyDraft>> },
    Certificate(Box<CertificateDraft>),
}

/// The files of a tunnel with certificates.
pub(crate) struct CertificateDraft {
    pub(crate) certificate: At<PathBuf>,
    pub(crate) private_key: At<PathBuf>,
    pub(crate) authorities: Vec<At<PathBuf>>,
    pub(crate) revocation_lists: Vec<At<PathBuf>>,
    pub(crate) revocation: Revocation,
    pub(crate) rsa_padding: RsaPadding,
}

/// A post-quantum key.
pub(crate) struct PpkDraft {
    pub(crate) id: PpkId,
    pub(crate) key: At<KeyDraft>,
    pub(crate) required: bool,
}

/// Where a pre-shared key comes from, by the two fields that can say so.
pub(crate) enum KeyDraft {
    Inline(Psk),
    File(PathBuf),
}

pub(crate) struct RouteDraft {
    pub(crate) head: Head,
    pub(crate) gateway: Option<At<GatewayIndex>>,
    pub(crate) destination: Option<At<Prefix>>,
    pub(crate) target: Option<At<RouteTarget>>,
}

impl Draft {
    /// The gateway a connection belongs to.
    pub(crate) fn gateway_of(&self, connection: ConnectionIndex) -> Option<GatewayIndex> {
        self.connections.get(connection.position())?.gateway.map(|gateway| gateway.value)
    }

    /// The gateway an attachment belongs to.
    pub(crate) fn gateway_of_attachment(&self, attachment: AttachmentIndex) -> Option<GatewayIndex> {
        self.attachments.get(attachment.position())?.gateway.map(|gateway| gateway.value)
    }

    /// Whether a gateway speaks BGP with anybody, as far as is known.
    pub(crate) fn speaks_bgp(&self, gateway: GatewayIndex) -> bool {
        let is_owner = |owner: Option<GatewayIndex>| owner == Some(gateway);
        let mut connections = self.connections.iter().filter(|known| known.routing == Some(Routing::Bgp));
        let mut attachments = self.routers.iter().filter_map(|router| router.attachment);
        connections.any(|known| is_owner(known.gateway.map(|at| at.value)))
            || attachments.any(|at| is_owner(self.gateway_of_attachment(at.value)))
    }

    /// The prefixes of a gateway's attachments in file order, with the attachment each belongs to.
    pub(crate) fn attached(&self, gateway: GatewayIndex) -> impl Iterator<Item = (AttachmentIndex, At<Prefix>)> {
        self.attachments
            .iter()
            .enumerate()
            .filter(move |(_, attachment)| attachment.gateway.is_some_and(|found| found.value == gateway))
            .flat_map(|(index, attachment)| {
                let prefixes = attachment.prefixes.iter().flat_map(|list| list.value.iter());
                prefixes.map(move |&prefix| (AttachmentIndex::from_position(index), prefix))
            })
    }
}
