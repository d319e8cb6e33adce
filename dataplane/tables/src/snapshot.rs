//! All that workers read.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;

use esp::{InboundSa, OutboundSa, OuterHeader};
use wire::{Address, Link, Packet};

use crate::{
    Attachment, Capture, GatewayIndex, PortIndex, PortRole, Route, RouteTable, SaSlot, Selectors, SlotTable,
    TunnelIndex, TunnelLimits,
};

/// All that workers read, immutable once published. What can change alone is shared with the snapshot before.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// What each port is for, by [`PortIndex`].
    pub ports: Arc<[PortRole]>,
    /// Inbound security associations, by [`SaSlot`].
    pub inbound: SlotTable<Inbound>,
    /// What seals the packets of each tunnel that is up, by [`TunnelIndex`].
    pub tunnels: SlotTable<Outbound>,
    /// The other associations of those tunnels that have more than one, by [`TunnelIndex`]: first those with the selectors of
    /// the tunnel's first one, then those for others (RFC 7296 §2.9), each behind the first one with its selectors.
    pub further: SlotTable<Arc<[Outbound]>>,
    /// How much each tunnel that is limited may carry, by [`TunnelIndex`].
    pub limits: SlotTable<Arc<TunnelLimits>>,
    /// Border gateways, by [`GatewayIndex`].
    pub gateways: SlotTable<Gateway>,
    /// Attachments, by [`AttachmentIndex`].
    pub attachments: Arc<[Attachment]>,
    /// What packets are copied for a person to look at, while somebody looks.
    pub capture: Option<Arc<Capture>>,
}

/// A border gateway as workers see it.
#[derive(Clone, Default)]
pub struct Gateway {
    /// Its routes.
    pub routes: RouteTable,
    /// Whether both directions of a flow have one hash, so that our choice of a tunnel is the same for either.
    pub symmetric: bool,
}

impl Gateway {
    /// What chooses among the tunnels of a packet's route.
    #[must_use]
    #[inline(always)]
    pub fn flow_hash(&self, packet: &Packet<'_>) -> u32 {
        if self.symmetric { packet.symmetric_flow_hash() } else { packet.flow_hash() }
    }
}

impl From<RouteTable> for Gateway {
    fn from(routes: RouteTable) -> Self {
        Self { routes, symmetric: false }
    }
}

/// What a tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Any amount.
    Free,
    /// As much as its [`TunnelLimits`] admit.
    Limited,
    /// None: it is kept established all the same.
    Paused,
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
    /// Whether the frames there most likely bear a VLAN's tag.
    pub tagged: bool,
    /// The greatest TCP segments that fit the way back, by IPv4 and by IPv6, to which SYN segments are held; 0 for none.
    pub segments: [u16; 2],
    /// What it may carry.
    pub traffic: Traffic,
    /// Whether packets are dropped whose source the gateway's routes lead to an attachment or to the host (after
    /// RFC 3704 §2.4: of feasible paths only our own side is none).
    pub reverse_path: bool,
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
    /// Whether there is a limit to what it carries. A paused tunnel is in no route.
    pub limited: bool,
    /// Of the first one with these selectors: how many there are, so that each worker has its own (RFC 9611).
    pub alike: NonZeroU8,
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
        let (spi, tagged, segments, traffic, reverse_path) = (sa.spi().value(), false, [0; 2], Traffic::Free, false);
        Self { spi, tunnel, gateway, expected, tagged, segments, traffic, reverse_path, sa, selectors }
    }

    /// Where in a frame its packets are opened to: behind the link header that most likely goes in front of them.
    #[must_use]
    #[inline(always)]
    pub fn content_start(&self) -> usize {
        if self.tagged { Link::TAGGED } else { Link::UNTAGGED }
    }
}

impl Outbound {
    /// Which one of those with the same selectors is a worker's: this one is the first, number 0.
    fn of(&self, worker: usize) -> usize {
        worker % NonZeroUsize::from(self.alike)
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

    /// A worker's association of a tunnel.
    #[must_use]
    #[inline(always)]
    pub fn outbound(&self, tunnel: TunnelIndex, worker: usize) -> Option<&Outbound> {
        let first = self.tunnels.get(tunnel.position())?;
        Some(if first.alike == NonZeroU8::MIN { first } else { self.own(first, tunnel, worker) })
    }

    #[inline(never)]
    fn own<'a>(&'a self, first: &'a Outbound, tunnel: TunnelIndex, worker: usize) -> &'a Outbound {
        let others = self.further.get(tunnel.position());
        let own = first.of(worker).checked_sub(1).and_then(|number| others?.get(number));
        own.unwrap_or(first)
    }

    /// A worker's other association of a tunnel, whose selectors hold a packet that those of its first one do not.
    #[must_use]
    #[cold]
    pub fn further(&self, tunnel: TunnelIndex, packet: Packet<'_>, worker: usize) -> Option<&Outbound> {
        let others = self.further.get(tunnel.position())?;
        let first = others.iter().position(|outbound| outbound.selectors.allow_outbound(&packet))?;
        others.get(first + others[first].of(worker))
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
        self.gateways.get(gateway.position())?.routes.lookup(destination)
    }
}
