//! All that workers read.

use std::net::IpAddr;
use std::sync::Arc;

use esp::{InboundSa, OutboundSa, OuterHeader};
use wire::Address;

use crate::{Attachment, GatewayIndex, PortIndex, Route, RouteTable, SaSlot, Selectors, SlotTable, TunnelIndex};

/// All that workers read, immutable once published. What can change alone is shared with the snapshot before.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// What each port is for, by [`PortIndex`].
    pub ports: Arc<[PortRole]>,
    /// Inbound security associations, by [`SaSlot`].
    pub inbound: SlotTable<Inbound>,
    /// What seals the packets of each tunnel that is up, by [`TunnelIndex`].
    pub tunnels: SlotTable<Outbound>,
    /// Route tables, by [`GatewayIndex`].
    pub gateways: SlotTable<RouteTable>,
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

/// An inbound security association in its place: one cache line that says all about its packets but how to open them.
#[derive(Clone)]
#[repr(align(64))]
pub struct Inbound {
    /// Beside the association's own, so that a packet of another is refused without a look at it.
    spi: u32,
    /// The tunnel it belongs to.
    pub tunnel: TunnelIndex,
    /// The border gateway whose routes say where its packets go.
    pub gateway: GatewayIndex,
    /// Where its packets most likely go: they are opened straight into that port's frames.
    pub expected: PortIndex,
    /// The greatest TCP segments that fit the way back, by IPv4 and by IPv6, to which SYN segments are held; 0 for none.
    pub segments: [u16; 2],
    /// The association itself.
    pub sa: Arc<InboundSa>,
    /// What it was negotiated for.
    pub selectors: Selectors,
}

/// A tunnel's outbound security association in its place, and what goes in front of its packets: two cache lines.
#[derive(Clone)]
#[repr(align(64))]
pub struct Outbound {
    /// What goes in front of ESP, or the neighbour on the way to the peer that is not resolved.
    pub header: Result<OuterHeader, IpAddr>,
    /// Bytes of the longest inner packet that the way to the peer takes.
    pub longest: u16,
    /// The greatest TCP segments that fit, by IPv4 and by IPv6, to which SYN segments are held; 0 for none.
    pub segments: [u16; 2],
    /// Where it is counted.
    pub slot: SaSlot,
    /// The port that leads to the peer.
    pub port: PortIndex,
    /// The association itself.
    pub sa: Arc<OutboundSa>,
    /// What it was negotiated for.
    pub selectors: Selectors,
}

const _: () = assert!(size_of::<Option<Inbound>>() == 64 && size_of::<Option<Outbound>>() == 128);

impl Inbound {
    /// The entry of `sa`.
    #[must_use]
    pub fn new(
        sa: Arc<InboundSa>,
        tunnel: TunnelIndex,
        gateway: GatewayIndex,
        expected: PortIndex,
        selectors: Selectors,
    ) -> Self {
        Self { spi: sa.spi().value(), tunnel, gateway, expected, segments: [0; 2], sa, selectors }
    }
}

impl Snapshot {
    /// The inbound association with this index, all of its bits compared.
    #[must_use]
    #[inline(always)]
    pub fn inbound(&self, spi: u32) -> Option<(SaSlot, &Inbound)> {
        let slot = SaSlot::of(spi);
        let inbound = self.inbound.get(slot.position())?;
        (inbound.spi == spi).then_some((slot, inbound))
    }

    /// Has brought near what [`Snapshot::inbound`] reads, and does not wait for it.
    #[inline(always)]
    pub fn prefetch_inbound(&self, spi: u32) {
        self.inbound.prefetch(SaSlot::of(spi).position());
    }

    /// The route in a border gateway's table.
    #[must_use]
    #[inline(always)]
    pub fn route(&self, gateway: GatewayIndex, destination: impl Into<Address>) -> Option<&Route> {
        self.gateways.get(gateway.position())?.lookup(destination)
    }
}
