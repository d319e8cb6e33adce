//! What the kernel is asked to set up for an interface of ours, in the network namespace of the calling thread.

use std::io;
use std::net::IpAddr;

use gateway::InterfaceAddress;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{messages, send};

/// A socket whose requests are answered one by one.
pub struct Requests {
    socket: Socket,
    sequence: u32,
}

impl Requests {
    /// In the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn up(&mut self, interface: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = interface;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Gives an interface an address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_address(&mut self, interface: u32, own: InterfaceAddress) -> io::Result<()> {
        let mut address = AddressMessage::default();
        address.header.family = family(own.address());
        address.header.prefix_len = own.prefix().length();
        address.header.index = interface;
        // Nobody on a link of one host has it too.
        address.header.flags = AddressHeaderFlags::Nodad;
        address.attributes = vec![AddressAttribute::Local(own.address()), AddressAttribute::Address(own.address())];
        self.ask(RouteNetlinkMessage::NewAddress(address), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Leads everything of a family out of an interface, unless there is such a route already.
    ///
    /// # Errors
    /// The kernel's, among them [`io::ErrorKind::AlreadyExists`].
    pub fn add_default_route(&mut self, interface: u32, of: IpAddr) -> io::Result<()> {
        let mut route = RouteMessage::default();
        route.header.address_family = family(of);
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.protocol = RouteProtocol::Static;
        route.header.scope = RouteScope::Universe;
        route.header.kind = RouteType::Unicast;
        route.attributes.push(RouteAttribute::Oif(interface));
        self.ask(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL)
    }

    fn ask(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        send(&self.socket, request, NLM_F_REQUEST | NLM_F_ACK | flags, self.sequence)?;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for message in messages(&bytes) {
                if let NetlinkPayload::Error(answer) = &message.payload
                    && message.header.sequence_number == self.sequence
                {
                    return answer.code.map_or(Ok(()), |_| Err(answer.to_io()));
                }
            }
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
