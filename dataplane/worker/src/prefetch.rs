//! Ways of packets from VPCs, looked up ahead of the packets' turn.

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{Gateway, Route, RouteEntry, RouteIndex, Snapshot, TunnelIndex, Vlans};
use wire::{Address, ip};

use crate::frame::{self, packet};
use crate::outbound::{Arrivals, Entrance};

/// The tunnels that the packets of a batch are led into, in their order, as far as they are known ahead.
pub(crate) type Known = [Option<TunnelIndex>; BATCH];

/// Looks up the routes of a batch's packets, notes in `known` where they lead, and has the tunnels brought near.
///
/// Of many destinations each takes a chain of reads that are not cached: the block of the trie, its entry, the route, the
/// tunnel. A link of all chains at a time, the whole batch waits as long as one packet would. The rest of the chain is asked for
/// stage by stage: see [`Turn::scattered`](crate::turn::Turn::scattered).
#[inline(never)]
pub(crate) fn ways<'f>(
    known: &mut Known,
    frames: impl Iterator<Item = &'f mut [u8]>,
    vlans: &Vlans,
    snapshot: &Snapshot,
) {
    let mut arrivals = Arrivals::new(snapshot, Entrance::Vpc(vlans));
    let mut packets: ArrayVec<Ahead<'_>, BATCH> = ArrayVec::new();
    for (frame, known) in frames.zip(known) {
        let Some((gateway, destination)) = read(&mut arrivals, frame) else { continue };
        gateway.routes.prefetch(destination);
        packets.push(Ahead { frame, known, gateway, destination, entry: None, route: None });
    }
    for Ahead { gateway, destination, entry, .. } in &mut packets {
        *entry = gateway.routes.prefetch_entry(*destination);
    }
    for Ahead { gateway, destination, entry, route, .. } in &mut packets {
        *route = gateway.routes.find_at(*entry, *destination);
        if let Some(route) = route {
            gateway.routes.prefetch_route(*route);
        }
    }
    let mut near = None;
    for Ahead { frame, known, gateway, route, .. } in &mut packets {
        **known = route.and_then(|route| tunnel(gateway, route, frame));
        if let Some(tunnel) = **known
            && near != Some(tunnel)
        {
            snapshot.tunnels.prefetch(tunnel.position());
            near = Some(tunnel);
        }
    }
}

/// The same where all that is read is near, and which tunnel is next cannot be foreseen: a look-up by itself is so short that the
/// processor begins with the ones after it before it has come to the end.
#[inline(never)]
pub(crate) fn near_ways<'f>(
    known: &mut Known,
    frames: impl Iterator<Item = &'f mut [u8]>,
    vlans: &Vlans,
    snapshot: &Snapshot,
) {
    let mut arrivals = Arrivals::new(snapshot, Entrance::Vpc(vlans));
    for (frame, known) in frames.zip(known) {
        let Some((gateway, destination)) = read(&mut arrivals, frame) else { continue };
        *known = gateway.routes.find(destination).and_then(|route| tunnel(gateway, route, frame));
    }
}

/// The tunnel that a route leads a packet into.
#[inline(always)]
fn tunnel(gateway: &Gateway, route: RouteIndex, frame: &[u8]) -> Option<TunnelIndex> {
    let Some(Route::Tunnels(group)) = gateway.routes.route(route) else { return None };
    group.tunnel(|| packet(frame).map_or(0, |(_, inner)| gateway.flow_hash(&inner)))
}

/// The gateway of a frame, and the destination of its packet. What is wrong with one is found when it is its turn.
#[inline(always)]
fn read<'a>(arrivals: &mut Arrivals<'a>, frame: &[u8]) -> Option<(&'a Gateway, Address)> {
    let (vlan, destination) = read_of::<false>(frame).or_else(|| read_of::<true>(frame))?;
    Some((arrivals.turn_to(vlan)?, destination))
}

/// The VLAN of a frame and the destination of its packet of this version.
#[inline(always)]
fn read_of<const V6: bool>(frame: &[u8]) -> Option<(u16, Address)> {
    let (vlan, start) = frame::of::<V6>(frame)?;
    Some((vlan, ip::destination_of::<V6>(frame.get(start..)?)?))
}

/// A packet whose turn comes later.
struct Ahead<'a> {
    frame: &'a [u8],
    /// Where it is led.
    known: &'a mut Option<TunnelIndex>,
    gateway: &'a Gateway,
    destination: Address,
    /// Where its route is read, once that is known, and the route itself.
    entry: Option<RouteEntry<'a>>,
    route: Option<RouteIndex>,
}
