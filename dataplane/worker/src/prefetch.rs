//! Ways of packets from VPCs, looked up ahead of the packets' turn.

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{GatewayIndex, Route};

use crate::outbound::packet;
use crate::stage::Stopwatch;
use crate::turn::Turn;

/// Looks up the routes of a batch, and has brought near what the packets' turn will read on their ways.
///
/// Of many destinations each takes a chain of reads that are not cached: the block of the trie, its entry, the route, the
/// tunnel, the association with its key. A link of all chains at a time, the whole batch waits as long as one packet would.
pub(crate) fn ways<'f, W: Stopwatch>(
    frames: impl Iterator<Item = &'f mut [u8]>,
    gateway: GatewayIndex,
    turn: &mut Turn<'_, W>,
) {
    let Some(table) = turn.snapshot.gateways.get(gateway.position()) else { return };
    let mut packets: ArrayVec<(&[u8], _), BATCH> = ArrayVec::new();
    for frame in frames {
        if let Ok((_, inner)) = packet(frame) {
            table.prefetch(inner.destination);
            packets.push((&*frame, inner.destination));
        }
    }
    for (_, destination) in &packets {
        table.prefetch_entry(*destination);
    }
    let mut routes: ArrayVec<(&[u8], _), BATCH> = ArrayVec::new();
    for (frame, destination) in packets {
        if let Ok(route) = turn.routes.find(gateway, destination, || table.find(destination).ok_or(())) {
            table.prefetch_route(*route);
            routes.push((frame, *route));
        }
    }
    let mut tunnels: ArrayVec<_, BATCH> = ArrayVec::new();
    for (frame, route) in routes {
        if let Some(Route::Tunnels(group)) = table.route(route)
            && let Some(tunnel) = group.tunnel(|| packet(frame).map_or(0, |(_, inner)| inner.flow_hash()))
        {
            turn.snapshot.tunnels.prefetch(tunnel.position());
            tunnels.push(tunnel);
        }
    }
    for tunnel in tunnels {
        if let Some(outbound) = turn.snapshot.tunnels.get(tunnel.position()) {
            outbound.sa.prefetch();
            turn.tally.prefetch(outbound.slot);
        }
    }
}
