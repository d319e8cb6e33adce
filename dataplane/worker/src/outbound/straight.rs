//! Packets that go straight on, as most do.

use tables::{Gateway, Route, TunnelIndex};
use wire::{Address, Packet};

use super::{Led, Routing, Way};
use crate::stage::Stopwatch;
use crate::turn::Turn;
use crate::{frame, segment};

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
        let Some(way) = self.straight::<V6, W>(frame, known, turn) else { return Err((frame, known)) };
        self.push::<V6>(frame, way);
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
    ) -> Option<Way<'s>> {
        let (vlan, start) = frame::of::<V6>(frame)?;
        let inner = Packet::parse_of::<V6>(frame.get(start..)?).ok()?;
        if inner.hops <= 1 || !self.arrivals.goes_on(vlan, frame, inner.source) {
            return None;
        }
        let tunnel = match known {
            Some(tunnel) => tunnel,
            None => self.tunnel(inner.destination, inner.bytes)?,
        };
        let outbound = self.outbound(tunnel, turn)?;
        let length = inner.bytes.len();
        let fits = length <= usize::from(outbound.longest);
        let free = fits && outbound.header.is_ok() && outbound.selectors.allow_outbound(&inner);
        let segment = segment::start(&inner, outbound.segments);
        free.then_some(Way { tunnel, outbound, start, length, segment, fits })
    }
}

/// Apart, and the packet read anew: else what was read of it would have to be in memory for every packet.
#[inline(never)]
fn flow_hash(gateway: &Gateway, packet: &[u8]) -> u32 {
    Packet::parse(packet).map_or(0, |packet| gateway.flow_hash(&packet))
}
