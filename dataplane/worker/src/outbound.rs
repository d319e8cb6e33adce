//! From a VPC to a peer: classify, route, choose the tunnel, number, seal.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;
use esp::Sealing;
use port::{BATCH, Receive, Transmit};
use tables::{GatewayIndex, LinkHeader, Outbound, PortIndex, Route, Snapshot, Unresolved};
use wire::{EtherType, Link, Packet};

use crate::DropReason;
use crate::tally::Tally;

/// A packet whose way is known.
pub(crate) struct Routed<'a> {
    inner: Packet<'a>,
    outbound: &'a Outbound,
    link: &'a LinkHeader,
}

pub(crate) type Batch<'a> = ArrayVec<Routed<'a>, BATCH>;

/// Finds the way of every packet received from a VPC of `gateway`; what has none is dropped.
pub(crate) fn route<'a>(
    rx: &'a impl Receive,
    count: usize,
    gateway: GatewayIndex,
    snapshot: &'a Snapshot,
    unresolved: &ArrayQueue<Unresolved>,
    tally: &mut Tally<'_>,
) -> Batch<'a> {
    let mut batch = Batch::new();
    let mut routes = Routes { snapshot, gateway, last: None };
    for position in 0..count {
        match route_packet(rx.frame(position), &mut routes, snapshot, unresolved) {
            Ok(routed) => batch.push(routed),
            Err((None, reason)) => tally.drop(reason),
            Err((Some(outbound), reason)) => tally.drop_of(outbound.slot, reason),
        }
    }
    batch
}

fn route_packet<'a>(
    frame: &'a [u8],
    routes: &mut Routes<'a>,
    snapshot: &'a Snapshot,
    unresolved: &ArrayQueue<Unresolved>,
) -> Result<Routed<'a>, (Option<&'a Outbound>, DropReason)> {
    let inner = packet(frame).map_err(|reason| (None, reason))?;
    let tunnels = match routes.lookup(inner.destination) {
        Some(Route::Tunnels(tunnels)) => tunnels,
        Some(Route::Attachment(_)) => return Err((None, DropReason::Transit)),
        Some(Route::Blackhole | Route::Reject) | None => return Err((None, DropReason::NoRoute)),
    };
    let outbound = tunnels
        .tunnel(inner.flow_hash())
        .and_then(|tunnel| snapshot.tunnels.get(tunnel.position()))
        .ok_or((None, DropReason::NoTunnelUp))?;
    if !outbound.selectors.allow_outbound(&inner) {
        return Err((Some(outbound), DropReason::OutsideSelectors));
    }
    if outbound.sa.sealed_length(inner.bytes.len()) > usize::from(outbound.mtu) {
        return Err((Some(outbound), DropReason::TooLong));
    }
    let link = outbound.link.as_ref().map_err(|address| {
        // A full queue holds enough to ask for; the packet's sender will try again.
        let _ = unresolved.push(Unresolved { port: outbound.port, address: *address });
        (Some(outbound), DropReason::NeighbourUnresolved)
    })?;
    Ok(Routed { inner, outbound, link })
}

/// A gateway's routes during one batch: packets of one flow come in runs, and a run is looked up once.
pub(crate) struct Routes<'a> {
    snapshot: &'a Snapshot,
    gateway: GatewayIndex,
    last: Option<(IpAddr, Option<&'a Route>)>,
}

impl<'a> Routes<'a> {
    fn lookup(&mut self, destination: IpAddr) -> Option<&'a Route> {
        if let Some((last, route)) = self.last
            && last == destination
        {
            return route;
        }
        let route = self.snapshot.route(self.gateway, destination);
        self.last = Some((destination, route));
        route
    }
}

/// The IP packet in a frame.
pub(crate) fn packet(frame: &[u8]) -> Result<Packet<'_>, DropReason> {
    let link = Link::parse(frame).map_err(|_| DropReason::MalformedEthernet)?;
    if link.ether_type != EtherType::IPV4 && link.ether_type != EtherType::IPV6 {
        return Err(DropReason::NotIp);
    }
    Packet::parse(frame.get(link.length..).unwrap_or_default()).map_err(|_| DropReason::MalformedIp)
}

/// Seals those packets of the batch that leave through `port` into its frames, and hands them over.
pub(crate) fn seal<'a>(batch: &'a Batch<'a>, port: PortIndex, tx: &mut impl Transmit, tally: &mut Tally<'_>) {
    let wanted = batch.iter().filter(|routed| routed.outbound.port == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let capacity = tx.capacity();
    let mut lengths = [0; BATCH];
    let mut sealing = Sealing::default();
    let mut frames = tx.frames().zip(&mut lengths).take(reserved);
    let runs = batch.chunk_by(|one, next| std::ptr::eq(one.outbound, next.outbound));
    for run in runs.filter(|run| run.iter().all(|routed| routed.outbound.port == port)) {
        let Some(outbound) = run.first().map(|routed| routed.outbound) else { continue };
        // Numbers are taken once for the run. Those of packets that then find no frame are left out, which is allowed.
        let Ok(first) = outbound.sa.take_sequence(run.len()) else {
            run.iter().for_each(|_| tally.drop_of(outbound.slot, DropReason::SequenceExhausted));
            continue;
        };
        let (mut packets, mut bytes) = (0, 0);
        for (routed, number) in run.iter().zip(first..) {
            let length = Link::UNTAGGED + outbound.sa.sealed_length(routed.inner.bytes.len());
            if length > capacity {
                tally.drop_of(outbound.slot, DropReason::TooLong);
                continue;
            }
            let Some((frame, sent)) = frames.next() else {
                tally.drop_of(outbound.slot, DropReason::TransmitRingFull);
                continue;
            };
            let (header, packet) = frame.split_at_mut(Link::UNTAGGED);
            header.copy_from_slice(&routed.link.0);
            sealing.push(&outbound.sa, number, &routed.inner, packet);
            *sent = length as u16;
            tally.transmit();
            (packets, bytes) = (packets + 1, bytes + routed.inner.bytes.len() as u64);
        }
        tally.protect(outbound.slot, packets, bytes);
    }
    drop(frames);
    sealing.finish();
    tx.commit(&lengths[..reserved]);
}
