//! From a gateway's own host: what its TUN device sends, and what control says in its name.

use std::iter;

use port::Port;
use tables::{Attachment, Direction, GatewayIndex, PortIndex, Route, Snapshot, Unresolved};
use wire::icmp::Report;
use wire::{EtherType, Link, MacAddress, Packet, ip};

use crate::DropReason;
use crate::handle::{HostPacket, MOST_BYTES, Shared};
use crate::outbound::Entrance;
use crate::stage::Stopwatch;
use crate::turn::{Memory, Origin, Refused, Turn};
use crate::worker::{self, FRAMES_PER_TURN, Transmitters, copy};

/// Room for a packet of the host, behind the longest link header that goes in front of one.
pub(crate) struct Frame([u8; Link::TAGGED + MOST_BYTES]);

impl Default for Frame {
    fn default() -> Self {
        Self([0; Link::TAGGED + MOST_BYTES])
    }
}

impl Frame {
    /// The frame of `packet` behind the link header `link`.
    fn put(&mut self, link: &[u8], packet: &[u8]) -> &mut [u8] {
        let start = Link::TAGGED - link.len();
        let frame = &mut self.0[start..Link::TAGGED + packet.len()];
        let (front, rest) = frame.split_at_mut(link.len());
        front.copy_from_slice(link);
        rest.copy_from_slice(packet);
        frame
    }
}

/// Sends packets of hosts where their gateways' routes lead; returns how many there were.
pub(crate) fn send<P: Port, W: Stopwatch>(
    ports: &mut [P],
    (frame, room, memory): (&mut Frame, &mut [u8], &mut Memory),
    (snapshot, shared): (&Snapshot, &Shared),
    watch: &mut W,
) -> usize {
    let mut taken = 0;
    while taken < FRAMES_PER_TURN
        && let Some(HostPacket { gateway, packet }) = shared.from_host.pop().or_else(|| shared.from_control.pop())
    {
        taken += 1;
        let mut turn = Turn::new((snapshot, shared), (memory, Direction::ToPeer), 1, watch);
        let all = ports.iter_mut().enumerate();
        let mut all: Transmitters<'_, P> =
            all.map(|(position, port)| (PortIndex(position as u32), port.split().1)).collect();
        match attachment(snapshot, gateway, &packet) {
            Some((attachment, leaving)) => match deliver::<P, W>(attachment, &leaving, frame, &mut all, &turn) {
                Ok(()) => turn.tally.transmit(1),
                Err(refused) => turn.refuse(refused, gateway, Origin::Host, &packet),
            },
            None => {
                let ether_type = if ip::is_v6(&packet) { EtherType::IPV6 } else { EtherType::IPV4 };
                // Nobody looks at its addresses.
                let link = Link::untagged(MacAddress::default(), MacAddress::default(), ether_type);
                let frame = frame.put(&link, &packet);
                worker::send::<P, W>(iter::once((frame, None)), Entrance::Host(gateway), &mut all, room, &mut turn);
            }
        }
        turn.tally.finish_originated();
    }
    taken
}

/// The attachment that a packet leaves through, and the packet; `None` where it is for a tunnel, or for nothing.
fn attachment<'a, 'p>(
    snapshot: &'a Snapshot,
    gateway: GatewayIndex,
    packet: &'p [u8],
) -> Option<(&'a Attachment, Packet<'p>)> {
    let packet = Packet::parse(packet).ok()?;
    match snapshot.route(gateway, packet.destination)? {
        Route::Attachment(index) => Some((snapshot.attachments.get(index.position())?, packet)),
        Route::Tunnels(_) | Route::Host | Route::Blackhole | Route::Reject => None,
    }
}

fn deliver<P: Port, W: Stopwatch>(
    attachment: &Attachment,
    packet: &Packet<'_>,
    frame: &mut Frame,
    all: &mut Transmitters<'_, P>,
    turn: &Turn<'_, W>,
) -> Result<(), Refused> {
    let port = attachment.port;
    let link = match attachment.link(packet.destination) {
        Some(Ok(link)) => link,
        Some(Err(address)) => {
            turn.ask_for(Unresolved { port, address });
            return Err(DropReason::NeighbourUnresolved.into());
        }
        None => return Err(Refused::from(DropReason::NoKernelRoute).told(Report::NoRoute)),
    };
    let (_, tx) = all.iter_mut().find(|(other, _)| *other == port).ok_or(DropReason::NoKernelRoute)?;
    Ok(copy(*tx, frame.put(link.bytes(), packet.bytes))?)
}
