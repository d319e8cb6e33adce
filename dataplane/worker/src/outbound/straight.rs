//! Packets that go straight on, as most do.

use esp::OuterHeader;
use tables::{Gateway, Outbound, Route, Selectors, TunnelIndex};
use wire::{Address, Packet, Protocol, ip, tcp};

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
    /// Where TCP starts in the packet, if its segments are to be held to a size; else 0.
    segment: usize,
}

impl<'a, 's: 'a> Routing<'_, 'a, 's> {
    /// Takes a frame whose packet goes straight on: from the VPC of the one before, into a tunnel, and nothing is in its way. Any
    /// other one is given back, and nothing was done with it: it goes the general way, from the beginning. This one is
    /// short, for it is what a packet costs.
    #[inline(always)]
    pub(super) fn take_straight<'f: 'a, W: Stopwatch>(
        &mut self,
        led: Led<'f>,
        turn: &Turn<'s, W>,
    ) -> Result<(), Led<'f>> {
        self.take_straight_of::<false, W>(led, turn).or_else(|led| self.take_straight_v6(led, turn))
    }

    /// Apart, so that the code for IPv4 has no numbers of 128 bits to carry along.
    #[inline(never)]
    fn take_straight_v6<'f: 'a, W: Stopwatch>(&mut self, led: Led<'f>, turn: &Turn<'s, W>) -> Result<(), Led<'f>> {
        self.take_straight_of::<true, W>(led, turn)
    }

    #[inline(always)]
    fn take_straight_of<'f: 'a, const V6: bool, W: Stopwatch>(
        &mut self,
        (frame, known): Led<'f>,
        turn: &Turn<'s, W>,
    ) -> Result<(), Led<'f>> {
        let Some(straight) = self.straight::<V6, W>(frame, known, turn) else { return Err((frame, known)) };
        let Straight { outbound, header, start, length, segment } = straight;
        let inner = &mut frame[start..start + length];
        ip::decrement_hops_of::<V6>(inner);
        if segment != 0 {
            tcp::clamp_mss(&mut inner[segment..], outbound.segments[usize::from(V6)]);
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
    fn straight<const V6: bool, W: Stopwatch>(
        &mut self,
        frame: &[u8],
        known: Option<TunnelIndex>,
        turn: &Turn<'s, W>,
    ) -> Option<Straight<'s>> {
        let (vlan, start) = frame::of::<V6>(frame)?;
        let packet = frame.get(start..)?;
        let inner = if V6 { Packet::parse_v6(packet) } else { Packet::parse_v4(packet) }.ok()?;
        if V6 && !ip::is_v6(packet) || inner.hops <= 1 || !self.arrivals.goes_on(vlan, inner.source) {
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
            && (outbound.selectors.allow_at_once(inner.source, inner.destination)
                || allow(&outbound.selectors, inner.bytes));
        let is_tcp = inner.protocol == Protocol::TCP && !inner.fragment && outbound.segments[0] != 0;
        let segment = if is_tcp { inner.header_length } else { 0 };
        free.then_some(Straight { outbound, header, start, length, segment })
    }
}

/// Apart, and the packet read anew: else what was read of it would have to be in memory for every packet.
#[inline(never)]
fn allow(selectors: &Selectors, packet: &[u8]) -> bool {
    Packet::parse(packet).is_ok_and(|packet| selectors.allow_outbound(&packet))
}

/// Apart as well.
#[inline(never)]
fn flow_hash(gateway: &Gateway, packet: &[u8]) -> u32 {
    Packet::parse(packet).map_or(0, |packet| gateway.flow_hash(&packet))
}
