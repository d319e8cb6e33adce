//! Ways of packets from VPCs, looked up ahead of the packets' turn.

use std::convert::Infallible;

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{Gateway, GatewayIndex, Route, RouteIndex, Snapshot, TunnelIndex, Vlans};
use wire::{Address, Link, ip};

use crate::frame::{packet, vlan};
use crate::last::Last;
use crate::recent::Foresight;
use crate::stage::Stopwatch;
use crate::turn::{Leads, Turn};

/// Where the packets of a batch are led, in their order, as far as it is known ahead.
pub(crate) type Known = ArrayVec<Option<Leads>, BATCH>;

/// Looks up the routes of those packets of a batch that `foresight` says, and has brought near what all of them will read on
/// their ways when it is their turn.
///
/// Of many destinations each takes a chain of reads that are not cached: the block of the trie, its entry, the route, the
/// tunnel, the association with its key. A link of all chains at a time, the whole batch waits as long as one packet would.
pub(crate) fn ways<'f, W: Stopwatch>(
    frames: impl Iterator<Item = &'f mut [u8]>,
    vlans: &Vlans,
    foresight: Foresight,
    turn: &mut Turn<'_, W>,
) -> Known {
    match foresight {
        Foresight::None => Known::new(),
        Foresight::Unremembered => look_up::<true, W>(frames, vlans, turn),
        Foresight::All => look_up::<false, W>(frames, vlans, turn),
    }
}

/// The same, of all packets or of those whose ways are not remembered.
#[inline(never)]
fn look_up<'f, const REMEMBER: bool, W: Stopwatch>(
    frames: impl Iterator<Item = &'f mut [u8]>,
    vlans: &Vlans,
    turn: &mut Turn<'_, W>,
) -> Known {
    let snapshot = turn.snapshot;
    let mut known = Known::new();
    let (mut last, mut led) = (Last::new(), Last::new());
    let mut packets: ArrayVec<Ahead<'_>, BATCH> = ArrayVec::new();
    let mut tunnels = Tunnels { snapshot, near: ArrayVec::new() };
    for (position, frame) in frames.enumerate() {
        known.push(None);
        let Ok(link) = Link::parse(frame) else { continue };
        // What is wrong with a packet is found when it is its turn.
        let Some(destination) = frame.get(link.length..).and_then(ip::destination) else { continue };
        let number = vlan(frame, link);
        let gateway = last.find(number, || {
            let attachment = vlans.attachment(number).and_then(|index| snapshot.attachments.get(index.position()));
            let index = attachment.map(|attachment| attachment.gateway).ok_or(())?;
            snapshot.gateways.get(index.position()).map(|gateway| (index, gateway)).ok_or(())
        });
        let Ok((index, gateway)) = gateway else { continue };
        if REMEMBER && let Some(Leads::Into(tunnel)) = turn.routes.find(index, destination) {
            known[position] = Some(Leads::Into(*tunnel));
            tunnels.prefetch(*tunnel);
        } else {
            gateway.routes.prefetch(destination);
            packets.push(Ahead { frame, position, index, gateway, destination, route: None });
        }
    }
    for Ahead { gateway, destination, .. } in &packets {
        gateway.routes.prefetch_entry(*destination);
    }
    let mut before = None;
    for Ahead { index, gateway, destination, route, .. } in &mut packets {
        *route = gateway.routes.find(*destination);
        if let Some(route) = *route
            && before != Some((*index, route))
        {
            gateway.routes.prefetch_route(route);
            before = Some((*index, route));
        }
    }
    for Ahead { frame, position, index, gateway, destination, route } in &packets {
        let Some(route) = *route else { continue };
        let Ok(leads) = led.find((*index, route), || Ok::<_, Infallible>(Leads::of(gateway, route)));
        known[*position] = Some(leads);
        if REMEMBER {
            turn.routes.remember(*index, *destination, leads);
        }
        let tunnel = match leads {
            Leads::Into(tunnel) => Some(tunnel),
            Leads::By(route) => match gateway.routes.route(route) {
                Some(Route::Tunnels(group)) => {
                    group.tunnel(|| packet(frame).map_or(0, |(_, inner)| gateway.flow_hash(&inner)))
                }
                Some(Route::Attachment(_) | Route::Host | Route::Blackhole | Route::Reject) | None => None,
            },
        };
        if let Some(tunnel) = tunnel {
            tunnels.prefetch(tunnel);
        }
    }
    for tunnel in tunnels.near {
        if let Some(outbound) = snapshot.outbound(tunnel, turn.worker) {
            outbound.sa.prefetch();
            turn.tally.prefetch(outbound.slot);
        }
    }
    known
}

/// Tunnels that packets will go into.
struct Tunnels<'a> {
    snapshot: &'a Snapshot,
    /// Those whose entries were asked for, each once in a row.
    near: ArrayVec<TunnelIndex, BATCH>,
}

impl Tunnels<'_> {
    #[inline(always)]
    fn prefetch(&mut self, tunnel: TunnelIndex) {
        if self.near.last() != Some(&tunnel) {
            self.snapshot.tunnels.prefetch(tunnel.position());
            self.near.push(tunnel);
        }
    }
}

/// A packet whose turn comes later.
struct Ahead<'a> {
    frame: &'a [u8],
    /// In the batch.
    position: usize,
    index: GatewayIndex,
    gateway: &'a Gateway,
    destination: Address,
    route: Option<RouteIndex>,
}
