//! Packets that go straight on, as most do.

use esp::OuterHeader;
use tables::{Gateway, Outbound, Route, TunnelIndex};
use wire::{Address, Ipv4Header, Packet, Protocol, ip, tcp};

use super::{Led, Routed, Routing};
use crate::frame;
use crate::stage::Stopwatch;
use crate::turn::Turn;

/// What is done to a packet that goes straight on.
struct Straight<'s> {
    outbound: &'s Outbound,
    header: &'s OuterHeader,
    /// Where the packet starts in its frame, and its length.
    start: usize,
    length: usize,
    /// Whether its segment is held to a size.
    clamped: bool,
}

impl<'a, 's: 'a> Routing<'_, 'a, 's> {
    /// Takes a frame whose packet goes straight on: of IPv4 without options, from the VPC of the one before, into a tunnel that is
    /// remembered, and nothing is in its way. Any other one is given back, and nothing was done with it: it goes the general
    /// way, from the beginning. This one is short, for it is what a packet costs.
    #[inline(always)]
    pub(super) fn take_straight<'f: 'a, W: Stopwatch>(
        &mut self,
        (frame, known): Led<'f>,
        turn: &Turn<'s, W>,
    ) -> Result<(), Led<'f>> {
        let Some(Straight { outbound, header, start, length, clamped }) = self.straight(frame, known, turn) else {
            return Err((frame, known));
        };
        let inner = &mut frame[start..start + length];
        ip::decrement_hops_of::<false>(inner);
        if clamped {
            tcp::clamp_mss(&mut inner[Ipv4Header::LENGTH..], outbound.segments[0]);
        }
        self.batch.push(Routed { inner, outbound, header });
        Ok(())
    }

    /// The tunnel that a packet's route leads into, if it does.
    #[inline(always)]
    fn tunnel(&self, destination: Address, packet: &[u8]) -> Option<TunnelIndex> {
        let table = self.arrivals.table?;
        match table.routes.lookup(destination)? {
            Route::Tunnels(tunnels) => tunnels.tunnel(|| flow_hash(table, packet)),
            Route::Attachment(_) | Route::Host | Route::Blackhole | Route::Reject => None,
        }
    }

    #[inline(always)]
    fn straight<W: Stopwatch>(
        &mut self,
        frame: &[u8],
        known: Option<TunnelIndex>,
        turn: &Turn<'s, W>,
    ) -> Option<Straight<'s>> {
        let (vlan, start) = frame::v4(frame)?;
        let inner = Packet::parse_v4(frame.get(start..)?).ok()?;
        if inner.header_length != Ipv4Header::LENGTH || inner.hops <= 1 || !self.arrivals.goes_on(vlan, inner.source) {
            return None;
        }
        let tunnel = match known {
            Some(tunnel) => tunnel,
            None => self.tunnel(inner.destination, inner.bytes)?,
        };
        let outbound = self.outbound(tunnel, turn)?;
        let header = outbound.header.as_ref().ok()?;
        let length = inner.bytes.len();
        let free = length <= usize::from(outbound.longest)
            && !outbound.limited
            && outbound.selectors.allow_v4(inner.source, inner.destination);
        let clamped = inner.protocol == Protocol::TCP && !inner.fragment && outbound.segments[0] != 0;
        free.then_some(Straight { outbound, header, start, length, clamped })
    }
}

/// Apart, and the packet read anew: else what was read of it would have to be in memory for every packet.
#[inline(never)]
fn flow_hash(gateway: &Gateway, packet: &[u8]) -> u32 {
    Packet::parse(packet).map_or(0, |packet| gateway.flow_hash(&packet))
}
