//! The netlink socket that a [`KernelView`] is fed from.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

use super::KernelView;

/// `RTNLGRP_*` of `linux/rtnetlink.h`: link, neigh, ipv4 ifaddr, ipv4 route, ipv6 ifaddr, ipv6 route.
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];
/// Bytes of notifications that may wait; the kernel doubles it.
const BUFFER: usize = 2 << 20;
/// Bytes of a message header, which begins with the message's length.
const HEADER: usize = 16;
/// How often a dump that the kernel's state changed under is taken again.
const DUMP_RETRIES: usize = 5;

/// Notifications and requests, in the kernel's order. Belongs to the network namespace it was opened in.
#[derive(Debug)]
pub struct Netlink {
    socket: AsyncFd<Socket>,
    sequence: u32,
}

impl Netlink {
    /// Subscribes, then reads everything there is: nothing falls in between.
    ///
    /// # Errors
    /// The kernel's. Blocks for as long as the kernel takes to tell its tables.
    pub fn open() -> io::Result<(Self, KernelView)> {
        for _ in 0..DUMP_RETRIES {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.set_rx_buf_sz(BUFFER)?;
            for group in GROUPS {
                socket.add_membership(group)?;
            }
            let mut view = KernelView::default();
            let requests = [
                RouteNetlinkMessage::GetLink(LinkMessage::default()),
                RouteNetlinkMessage::GetAddress(AddressMessage::default()),
                RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
                RouteNetlinkMessage::GetRoute(RouteMessage::default()),
            ];
            let mut sequence = 0;
            let mut whole = true;
            for request in requests {
                sequence += 1;
                whole &= dump(&socket, request, sequence, &mut view)?;
            }
            if whole {
                socket.set_non_blocking(true)?;
                // Deprecated for types that might give out another descriptor than they own; a netlink socket owns its
                // one until it is dropped, and what is to be used instead is an unsafe function.
                #[allow(deprecated)]
                return Ok((Self { socket: AsyncFd::new(socket)?, sequence }, view));
            }
        }
        Err(io::Error::other("the kernel's tables change too fast to be read"))
    }

    /// Waits until there is something to take in.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(|mut guard| guard.clear_ready())
    }

    /// Takes in what has come; returns whether packets may go another way now.
    ///
    /// # Errors
    /// The kernel's, among them `ENOBUFS`: notifications were lost, and everything has to be read anew.
    pub fn drain(&mut self, view: &mut KernelView) -> io::Result<bool> {
        let mut changed = false;
        loop {
            match self.socket.get_ref().recv_from_full() {
                Ok((bytes, _)) => {
                    for message in messages(&bytes) {
                        changed |= take(&message, view);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changed),
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the kernel resolve a neighbour, or probe one it has not heard of for a while, as if it had a packet for it.
    pub fn probe(&mut self, interface: u32, address: IpAddr) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut neighbour = NeighbourMessage::default();
        let (family, destination) = match address {
            IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
            IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
        };
        neighbour.header.family = family;
        neighbour.header.ifindex = interface;
        neighbour.header.state = NeighbourState::None;
        neighbour.header.flags = NeighbourFlags::Use;
        neighbour.attributes.push(NeighbourAttribute::Destination(destination));
        let request = RouteNetlinkMessage::NewNeighbour(neighbour);
        send(self.socket.get_ref(), request, NLM_F_REQUEST | NLM_F_CREATE, self.sequence)
    }
}

/// Sends a request and feeds the answers into the view; `false` where the tables changed under the dump.
fn dump(socket: &Socket, request: RouteNetlinkMessage, sequence: u32, view: &mut KernelView) -> io::Result<bool> {
    send(socket, request, NLM_F_REQUEST | NLM_F_DUMP, sequence)?;
    let mut whole = true;
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        for message in messages(&bytes) {
            let ours = message.header.sequence_number == sequence;
            whole &= !ours || message.header.flags & NLM_F_DUMP_INTR == 0;
            match &message.payload {
                NetlinkPayload::Done(_) if ours => return Ok(whole),
                NetlinkPayload::Error(error) if ours => return Err(error.to_io()),
                _ => {
                    take(&message, view);
                }
            }
        }
    }
}

pub(super) fn send(socket: &Socket, request: RouteNetlinkMessage, flags: u16, sequence: u32) -> io::Result<()> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map(|_| ())
}

/// The messages of one datagram; one that cannot be read is passed over.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, _) = rest.split_first_chunk::<4>()?;
        let length = u32::from_ne_bytes(*length) as usize;
        if length < HEADER || length > rest.len() {
            return None;
        }
        let (message, behind) = rest.split_at(length);
        rest = behind.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        Some(NetlinkMessage::deserialize(message))
    })
    .filter_map(Result::ok)
}

fn take(message: &NetlinkMessage<RouteNetlinkMessage>, view: &mut KernelView) -> bool {
    match &message.payload {
        NetlinkPayload::InnerMessage(inner) => view.apply(inner, message.header.flags & NLM_F_REPLACE != 0),
        NetlinkPayload::Error(error) if error.code.is_some() => {
            tracing::debug!(error = %error.to_io(), "the kernel refused a request");
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_message_ends_the_datagram_without_harm() {
        let mut bytes = vec![0; 64];
        assert_eq!(messages(&bytes).count(), 0);
        bytes[..4].copy_from_slice(&100_u32.to_ne_bytes());
        assert_eq!(messages(&bytes).count(), 0);
        bytes[..4].copy_from_slice(&20_u32.to_ne_bytes());
        bytes[20..24].copy_from_slice(&15_u32.to_ne_bytes());
        assert!(messages(&bytes).count() <= 1);
    }

    #[tokio::test]
    async fn the_kernels_own_tables_can_be_read() {
        let (mut netlink, mut view) = Netlink::open().unwrap();
        assert!(view.links.named("lo").is_some());
        netlink.drain(&mut view).unwrap();
    }
}
