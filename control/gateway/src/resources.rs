//! All objects of a resource file together.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use crate::authentication::{Authentication, CertificateContent, CertificateFile, CertificateFiles};
use crate::bgp::BgpParameters;
use crate::diagnostic::{Diagnostic, Refusal};
use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex, RouterIndex, TunnelIndex};
use crate::interface_address::InterfaceAddress;
use crate::psk::{Psk, PskSource};
use crate::resource::{
    BmpStation, BorderGateway, CustomerGateway, StaticRoute, VpcAttachment, VpcRouter, VpnConnection, VpnTunnel,
};
use crate::route_filter::RouteFilter;

/// The objects of one resource file, all rules between them checked. Equal when the objects are, wherever they
/// stand in their files.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    pub(crate) gateways: Vec<BorderGateway>,
    pub(crate) attachments: Vec<VpcAttachment>,
    pub(crate) customers: Vec<CustomerGateway>,
    pub(crate) connections: Vec<VpnConnection>,
    pub(crate) tunnels: Vec<VpnTunnel>,
    pub(crate) routes: Vec<StaticRoute>,
    pub(crate) filters: Vec<RouteFilter>,
    pub(crate) routers: Vec<VpcRouter>,
    pub(crate) stations: Vec<BmpStation>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) places: BTreeMap<Field, Diagnostic>,
}

/// What has BGP sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sessions {
    /// A connection, in its tunnels.
    Connection(ConnectionIndex),
    /// A VPC router.
    Router(RouterIndex),
}

/// A field about which only the host can tell whether it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `vpc_attachment.interface`.
    Interface(AttachmentIndex),
    /// One of `vpn_connection.addresses`, by its place in the list.
    ConnectionAddress(ConnectionIndex, usize),
    /// `bgp.md5_key_file`.
    Md5KeyFile(Sessions),
    /// `bfd.key_file`.
    BfdKeyFile(Sessions),
    /// `vpn_tunnel.psk_file`.
    PskFile(TunnelIndex),
    /// `vpn_tunnel.psk_next_file`.
    NextPskFile(TunnelIndex),
    /// `vpn_tunnel.ppk_file`.
    PpkFile(TunnelIndex),
    /// One of the files of a tunnel with certificates.
    CertificateFile(TunnelIndex, CertificateFile),
}

impl Resources {
    /// Gives a tunnel the content of its `psk_file`, `psk_next_file` or `ppk_file`, whichever the field is. Without effect on a
    /// tunnel whose key stands in the resource file, and for other fields.
    ///
    /// # Errors
    /// A diagnostic at that field when the content is no key. It shows nothing of the content.
    pub fn supply_psk(&mut self, field: Field, content: &[u8]) -> Result<(), Box<Diagnostic>> {
        let key = Psk::from_file_content(content).map_err(|e| {
            let problem = format!("holds a key that {e}");
            Box::new(self.diagnostic(field, &problem, Some(&e.allowed())))
        })?;
        let most = self.longest_key(field);
        if key.secret().len() > most {
            let allowed = format!("1 to {most} bytes");
            return Err(Box::new(self.diagnostic(field, "holds a key that is too long", Some(&allowed))));
        }
        let source = match field {
            Field::PskFile(tunnel) | Field::NextPskFile(tunnel) => {
                match (self.tunnels.get_mut(tunnel.position()).map(|t| &mut t.authentication), field) {
                    (Some(Authentication::Psk { key, .. }), Field::PskFile(_)) => Some(key),
                    (Some(Authentication::Psk { next, .. }), _) => next.as_mut(),
                    (Some(Authentication::Certificate(_)) | None, _) => None,
                }
            }
            Field::PpkFile(tunnel) => {
                let tunnel = self.tunnels.get_mut(tunnel.position());
                tunnel.and_then(|tunnel| tunnel.ppk.as_mut()).map(|ppk| &mut ppk.key)
            }
            Field::Md5KeyFile(Sessions::Connection(index)) => {
                self.connections.get_mut(index.position()).and_then(|known| known.bgp.as_mut()?.md5_key.as_mut())
            }
            Field::Md5KeyFile(Sessions::Router(index)) => {
                self.routers.get_mut(index.position()).and_then(|known| known.bgp.md5_key.as_mut())
            }
            Field::BfdKeyFile(sessions) => {
                let bfd = match sessions {
                    Sessions::Connection(index) => {
                        self.connections.get_mut(index.position()).and_then(|known| known.bfd.as_mut())
                    }
                    Sessions::Router(index) => {
                        self.routers.get_mut(index.position()).and_then(|known| known.bfd.as_mut())
                    }
                };
                bfd.and_then(|bfd| bfd.authentication.as_mut()).map(|(_, _, key)| key)
            }
            Field::Interface(_) | Field::ConnectionAddress(..) | Field::CertificateFile(..) => None,
        };
        if let Some(PskSource::File { psk, .. }) = source {
            *psk = Some(key);
        }
        Ok(())
    }

    /// Bytes of the longest key that a field may name the file of.
    fn longest_key(&self, field: Field) -> usize {
        match field {
            Field::Md5KeyFile(_) => BgpParameters::MAX_MD5_KEY,
            Field::BfdKeyFile(sessions) => {
                let bfd = match sessions {
                    Sessions::Connection(index) => {
                        self.connections.get(index.position()).and_then(|known| known.bfd.as_ref())
                    }
                    Sessions::Router(index) => self.routers.get(index.position()).and_then(|known| known.bfd.as_ref()),
                };
                let authentication = bfd.and_then(|bfd| bfd.authentication.as_ref());
                authentication.map_or(Psk::MAX_BYTES, |(authentication, _, _)| authentication.longest_key())
            }
            _ => Psk::MAX_BYTES,
        }
    }

    /// Gives a tunnel what its certificate files hold. Without effect on a tunnel that has none.
    pub fn supply_certificates(&mut self, tunnel: TunnelIndex, content: Arc<CertificateContent>) {
        if let Some(Authentication::Certificate(files)) =
            self.tunnels.get_mut(tunnel.position()).map(|t| &mut t.authentication)
        {
            files.content = Some(content);
        }
    }

    /// The border gateways, by [`GatewayIndex`].
    #[must_use]
    pub fn gateways(&self) -> &[BorderGateway] {
        &self.gateways
    }

    /// The VPC attachments, by [`AttachmentIndex`].
    #[must_use]
    pub fn attachments(&self) -> &[VpcAttachment] {
        &self.attachments
    }

    /// The customer gateways, by [`CustomerIndex`].
    #[must_use]
    pub fn customers(&self) -> &[CustomerGateway] {
        &self.customers
    }

    /// The VPN connections, by [`ConnectionIndex`].
    #[must_use]
    pub fn connections(&self) -> &[VpnConnection] {
        &self.connections
    }

    /// The VPN tunnels, by [`TunnelIndex`].
    #[must_use]
    pub fn tunnels(&self) -> &[VpnTunnel] {
        &self.tunnels
    }

    /// The static routes, by [`RouteIndex`](crate::RouteIndex).
    #[must_use]
    pub fn routes(&self) -> &[StaticRoute] {
        &self.routes
    }

    /// The VPC routers, by [`RouterIndex`].
    #[must_use]
    pub fn routers(&self) -> &[VpcRouter] {
        &self.routers
    }

    /// The route filters, by [`FilterIndex`](crate::FilterIndex).
    #[must_use]
    pub fn filters(&self) -> &[RouteFilter] {
        &self.filters
    }

    /// The monitoring stations, by [`StationIndex`](crate::StationIndex).
    #[must_use]
    pub fn stations(&self) -> &[BmpStation] {
        &self.stations
    }

    /// What is allowed but probably not meant, by line.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The border gateway of that index, which must come from these resources.
    #[must_use]
    pub fn gateway(&self, index: GatewayIndex) -> &BorderGateway {
        &self.gateways[index.position()]
    }

    /// The attachment of that index, which must come from these resources.
    #[must_use]
    pub fn attachment(&self, index: AttachmentIndex) -> &VpcAttachment {
        &self.attachments[index.position()]
    }

    /// The customer gateway of that index, which must come from these resources.
    #[must_use]
    pub fn customer(&self, index: CustomerIndex) -> &CustomerGateway {
        &self.customers[index.position()]
    }

    /// The connection of that index, which must come from these resources.
    #[must_use]
    pub fn connection(&self, index: ConnectionIndex) -> &VpnConnection {
        &self.connections[index.position()]
    }

    /// The tunnel of that index, which must come from these resources.
    #[must_use]
    pub fn tunnel(&self, index: TunnelIndex) -> &VpnTunnel {
        &self.tunnels[index.position()]
    }

    /// The tunnels with their indices.
    pub fn tunnels_indexed(&self) -> impl Iterator<Item = (TunnelIndex, &VpnTunnel)> {
        self.tunnels.iter().enumerate().map(|(i, tunnel)| (TunnelIndex::from_position(i), tunnel))
    }

    /// The addresses of a gateway's TUN device: its own, then those of its tunnels.
    pub fn inner_addresses(&self, gateway: GatewayIndex) -> impl Iterator<Item = InterfaceAddress> {
        let of_tunnels = self.tunnels.iter().filter(move |tunnel| tunnel.gateway == gateway);
        let own = self.gateway(gateway).addresses.iter().copied();
        own.chain(of_tunnels.filter_map(|tunnel| tunnel.inner_address))
    }

    /// A gateway's BGP identifier: its own, or else its first inner IPv4 address. Those that speak BGP have one.
    #[must_use]
    pub fn router_id(&self, gateway: GatewayIndex) -> Option<Ipv4Addr> {
        let first = || {
            self.inner_addresses(gateway).find_map(|address| match address.address() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
        };
        self.gateway(gateway).router_id.or_else(first)
    }

    /// The files whose content [`Resources::supply_psk`] waits for.
    pub fn psk_files(&self) -> impl Iterator<Item = (Field, &Path)> {
        let of_connections = self.connections.iter().enumerate().map(|(place, known)| {
            let sessions = Sessions::Connection(ConnectionIndex::from_position(place));
            (sessions, known.bgp.as_ref(), known.bfd.as_ref())
        });
        let of_routers = self.routers.iter().enumerate().map(|(place, known)| {
            let sessions = Sessions::Router(RouterIndex::from_position(place));
            (sessions, Some(&known.bgp), known.bfd.as_ref())
        });
        let of_sessions = of_connections.chain(of_routers).flat_map(|(sessions, bgp, bfd)| {
            let md5 = bgp.and_then(|bgp| bgp.md5_key.as_ref()?.path());
            let bfd = bfd.and_then(|bfd| bfd.authentication.as_ref()?.2.path());
            let files = [(Field::Md5KeyFile(sessions), md5), (Field::BfdKeyFile(sessions), bfd)];
            files.into_iter().filter_map(|(field, path)| Some((field, path?)))
        });
        let of_tunnels = self.tunnels_indexed().flat_map(|(index, tunnel)| {
            let (key, next) = match &tunnel.authentication {
                Authentication::Psk { key, next } => (key.path(), next.as_ref().and_then(PskSource::path)),
                Authentication::Certificate(_) => (None, None),
            };
            let ppk = tunnel.ppk.as_ref().and_then(|ppk| ppk.key.path());
            let files = [(Field::PskFile(index), key), (Field::NextPskFile(index), next), (Field::PpkFile(index), ppk)];
            files.into_iter().filter_map(|(field, path)| Some((field, path?)))
        });
        of_sessions.chain(of_tunnels)
    }

    /// The tunnels whose files' content [`Resources::supply_certificates`] waits for.
    pub fn certificate_files(&self) -> impl Iterator<Item = (TunnelIndex, &CertificateFiles)> {
        self.tunnels_indexed().filter_map(|(index, tunnel)| match &tunnel.authentication {
            Authentication::Psk { .. } => None,
            Authentication::Certificate(files) => Some((index, files)),
        })
    }

    /// A diagnostic at a field, for what only the host can tell: an interface that does not exist, an address that
    /// is not configured, a file that cannot be read. `problem` continues a sentence that begins with the field.
    #[must_use]
    pub fn diagnostic(&self, field: Field, problem: &str, allowed: Option<&str>) -> Diagnostic {
        let mut diagnostic = self.places.get(&field).cloned().unwrap_or_else(|| Diagnostic {
            file: String::new(),
            line: 0,
            column: 0,
            object: String::new(),
            field: format!("{field:?}"),
            value: None,
            problem: String::new(),
            allowed: None,
        });
        diagnostic.problem = problem.to_owned();
        diagnostic.allowed = allowed.map(str::to_owned);
        diagnostic
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.gateways == other.gateways
            && self.attachments == other.attachments
            && self.customers == other.customers
            && self.connections == other.connections
            && self.tunnels == other.tunnels
            && self.routes == other.routes
            && self.filters == other.filters
            && self.routers == other.routers
            && self.stations == other.stations
    }
}

impl Eq for Resources {}
