//! All that workers read.

use std::net::IpAddr;
use std::sync::Arc;

use esp::{InboundSa, OutboundSa, OuterHeader};

use crate::{Attachment, AttachmentIndex, GatewayIndex, PortIndex, Route, RouteTable, SaSlot, Selectors, TunnelIndex};

/// All that workers read, immutable once published. What can change alone is shared with the snapshot before.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// What each port is for, by [`PortIndex`].
    pub ports: Arc<[PortRole]>,
    /// Inbound security associations, by [`SaSlot`].
    pub inbound: Arc<[Option<Inbound>]>,
    /// Tunnels, by [`TunnelIndex`].
    pub tunnels: Arc<[Tunnel]>,
    /// Route tables, by [`GatewayIndex`].
    pub gateways: Arc<[RouteTable]>,
    /// Attachments, by [`AttachmentIndex`].
    pub attachments: Arc<[Attachment]>,
}

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRole {
    /// Towards the peers: ESP and IKE.
    Wan,
    /// Towards a VPC: clear traffic of this border gateway.
    Vpc(GatewayIndex),
}

/// An inbound security association in its place.
#[derive(Clone)]
pub struct Inbound {
    /// The association itself.
    pub sa: Arc<InboundSa>,
    /// The tunnel it belongs to.
    pub tunnel: TunnelIndex,
    /// The border gateway whose routes say where its packets go.
    pub gateway: GatewayIndex,
    /// What it was negotiated for.
    pub selectors: Arc<Selectors>,
    /// Where its packets most likely go: they are opened straight into that port's frames.
    pub expected: AttachmentIndex,
}

/// A tunnel as workers see it.
#[derive(Clone, Default)]
pub struct Tunnel {
    /// What seals its packets; `None` while it is down.
    pub outbound: Option<Outbound>,
}

/// An outbound security association in its place.
#[derive(Clone)]
pub struct Outbound {
    /// The association itself.
    pub sa: Arc<OutboundSa>,
    /// Where it is counted.
    pub slot: SaSlot,
    /// What it was negotiated for.
    pub selectors: Arc<Selectors>,
    /// The port that leads to the peer.
    pub port: PortIndex,
    /// Bytes of the longest inner packet that the way to the peer takes.
    pub longest: u16,
    /// What goes in front of ESP; `None` while the neighbour on the way to the peer is not resolved.
    pub header: Option<OuterHeader>,
    /// That neighbour.
    pub next_hop: IpAddr,
}

impl Snapshot {
    /// The inbound association with this index, all of its bits compared.
    #[must_use]
    pub fn inbound(&self, spi: u32) -> Option<(SaSlot, &Inbound)> {
        let slot = SaSlot::of(spi);
        let inbound = self.inbound.get(slot.position())?.as_ref()?;
        (inbound.sa.spi().value() == spi).then_some((slot, inbound))
    }

    /// The route in a border gateway's table.
    #[must_use]
    pub fn route(&self, gateway: GatewayIndex, destination: IpAddr) -> Option<&Route> {
        self.gateways.get(gateway.position())?.lookup(destination)
    }
}
