//! NAT detection and the move to port 4500 (RFC 7296 §2.23).

use std::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

use super::{IkeSa, Path};
use crate::action::Action;
use crate::child::UdpEncapsulation;
use crate::message::{Chain, Payloads, notify_kind};
use crate::sa::Env;

/// IKE begins on this port.
pub(crate) const IKE_PORT: u16 = 500;
/// IKE and ESP go over this port when there is a NAT.
pub(crate) const NAT_T_PORT: u16 = 4500;

/// What was found between the two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nat {
    /// We are behind a NAT.
    pub(super) ours: bool,
    /// The peer is behind a NAT, or says so to get encapsulation.
    pub(super) peers: bool,
    /// ESP goes over UDP.
    pub(super) encapsulate: bool,
}

impl Nat {
    /// Compares the peer's NAT_DETECTION payloads with the addresses on the datagram.
    pub(super) fn detect(payloads: &Payloads<'_>, spis: (u64, u64), path: Path, force: bool) -> Self {
        // RFC 7296 §2.23: there may be several source hashes; one match is enough.
        let matches = |kind, address| {
            let expected = hash(spis, address);
            let mut found = payloads.notifies.iter().filter(|n| n.kind == kind).peekable();
            found.peek().is_some().then(|| found.any(|n| n.data == expected))
        };
        let source = matches(notify_kind::NAT_DETECTION_SOURCE_IP, path.remote);
        let destination = matches(notify_kind::NAT_DETECTION_DESTINATION_IP, path.local);
        let (Some(source), Some(destination)) = (source, destination) else {
            return Self::default();
        };
        let (peers, ours) = (!source, !destination);
        Self { ours, peers, encapsulate: ours || peers || force }
    }
}

/// Adds our two NAT_DETECTION payloads. A forced encapsulation lies about the source, so that the
/// peer takes us to be behind a NAT.
pub(super) fn push_detection(chain: &mut Chain, spis: (u64, u64), path: Path, force: bool) {
    let mut source = hash(spis, path.local);
    if force {
        source.iter_mut().for_each(|b| *b = !*b);
    }
    chain.push_notify(notify_kind::NAT_DETECTION_SOURCE_IP, &source);
    chain.push_notify(notify_kind::NAT_DETECTION_DESTINATION_IP, &hash(spis, path.remote));
}

impl IkeSa {
    /// The outer ports of the child SA. A peer that stays on port 500 does not encapsulate.
    pub(super) fn encapsulation(&self, path: Path) -> Option<UdpEncapsulation> {
        (self.nat.encapsulate && path.local.port() == NAT_T_PORT)
            .then_some(UdpEncapsulation { local_port: path.local.port(), remote_port: path.remote.port() })
    }

    /// Follows a peer whose NAT has given it another port. RFC 7296 §2.23: only an authenticated
    /// message moves an SA, and only if the peer is behind a NAT.
    pub(super) fn follow(&mut self, path: Path, env: &mut Env<'_, '_>) {
        // To another address it moves only by RFC 4555, explicitly.
        let elsewhere = path.local != self.path.local || path.remote.ip() != self.path.remote.ip();
        if path == self.path || !self.nat.peers || elsewhere {
            return;
        }
        self.path = path;
        for child in &mut self.children {
            let Some(encapsulation) = &mut child.encapsulation else { continue };
            encapsulation.remote_port = path.remote.port();
            if child.installed {
                env.out.push(Action::MoveChild {
                    tunnel: self.tunnel,
                    inbound_spi: child.inbound_spi,
                    local: path.local.ip(),
                    remote: path.remote.ip(),
                    encapsulation: Some(*encapsulation),
                });
            }
        }
    }
}

/// What an end says about an address (RFC 7296 §2.23).
pub(crate) fn hash(spis: (u64, u64), address: SocketAddr) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    sha1.update(spis.0.to_be_bytes());
    sha1.update(spis.1.to_be_bytes());
    match address.ip() {
        IpAddr::V4(a) => sha1.update(a.octets()),
        IpAddr::V6(a) => sha1.update(a.octets()),
    }
    sha1.update(address.port().to_be_bytes());
    sha1.finalize().into()
}
