//! All objects of a resource file together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::authentication::{Authentication, CertificateContent, CertificateFile, CertificateFiles};
use crate::diagnostic::{Diagnostic, Refusal};
use crate::index::{AttachmentIndex, ConnectionIndex, CustomerIndex, GatewayIndex, TunnelIndex};
use crate::interface_address::InterfaceAddress;
use crate::psk::{Psk, PskSource};
use crate::resource::{BorderGateway, CustomerGateway, StaticRoute, VpcAttachment, VpnConnection, VpnTunnel};

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
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) places: BTreeMap<Field, Diagnostic>,
}

/// A field about which only the host can tell whether it is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `vpc_attachment.interface`.
    Interface(AttachmentIndex),
    /// One of `vpn_connection.addresses`, by its place in the list.
    ConnectionAddress(ConnectionIndex, usize),
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
            Field::Interface(_) | Field::ConnectionAddress(..) | Field::CertificateFile(..) => None,
        };
        if let Some(PskSource::File { psk, .. }) = source {
            *psk = Some(key);
        }
        Ok(())
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

    /// The files whose content [`Resources::supply_psk`] waits for.
    pub fn psk_files(&self) -> impl Iterator<Item = (Field, &Path)> {
        self.tunnels_indexed().flat_map(|(index, tunnel)| {
            let (key, next) = match &tunnel.authentication {
                Authentication::Psk { key, next } => (key.path(), next.as_ref().and_then(PskSource::path)),
                Authentication::Certificate(_) => (None, None),
            };
            let ppk = tunnel.ppk.as_ref().and_then(|ppk| ppk.key.path());
            let files = [(Field::PskFile(index), key), (Field::NextPskFile(index), next), (Field::PpkFile(index), ppk)];
            files.into_iter().filter_map(|(field, path)| Some((field, path?)))
        })
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
    }
}

impl Eq for Resources {}
