//! What the kernel is asked to set up for an interface of ours, in the network namespace of the calling thread.

use std::io;
use std::net::IpAddr;

use gateway::InterfaceAddress;
use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
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

    /// Puts a route of ours into a table, in the place of one to the same destination that is ours as well.
    ///
    /// # Errors
    /// The kernel's.
    pub fn put_route(&mut self, table: u32, route: KernelRoute) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::NewRoute(route.message(table)), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Takes such a route out again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_route(&mut self, table: u32, route: KernelRoute) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::DelRoute(route.message(table)), 0)
    }

    /// The routes in a table that [`Requests::put_route`] has put there, be it of another process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn own_routes(&mut self, table: u32) -> io::Result<Vec<KernelRoute>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            self.sequence += 1;
            send(&self.socket, RouteNetlinkMessage::GetRoute(request), NLM_F_REQUEST | NLM_F_DUMP, self.sequence)?;
            'dump: loop {
                let (bytes, _) = self.socket.recv_from_full()?;
                for message in messages(&bytes) {
                    match &message.payload {
                        NetlinkPayload::Done(_) => break 'dump,
                        NetlinkPayload::Error(answer) if answer.code.is_some() => return Err(answer.to_io()),
                        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                            found.extend(KernelRoute::of(route, table));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(found)
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

/// Marks routes of ours: none of the numbers that routing daemons are known by (/etc/iproute2/rt_protos).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(66);

/// A route through a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRoute {
    /// Where it leads to.
    pub destination: IpNet,
    /// The router, of the same family.
    pub via: IpAddr,
    /// Among routes to the same destination, the lower is used; the kernel's choice if `None`.
    pub priority: Option<u32>,
}

impl KernelRoute {
    fn message(self, table: u32) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.header.address_family = family(self.via);
        route.header.destination_prefix_length = self.destination.prefix_len();
        route.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        route.header.protocol = PROTOCOL;
        route.header.scope = RouteScope::Universe;
        route.header.kind = RouteType::Unicast;
        let address = |address| match address {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        };
        route.attributes = vec![
            RouteAttribute::Destination(address(self.destination.network())),
            RouteAttribute::Gateway(address(self.via)),
            RouteAttribute::Table(table),
        ];
        route.attributes.extend(self.priority.map(RouteAttribute::Priority));
        route
    }

    /// A route of ours in that table.
    fn of(route: &RouteMessage, table: u32) -> Option<Self> {
        let address = |address: &RouteAddress| match address {
            RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
            RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
            _ => None,
        };
        let mut own_table = u32::from(route.header.table);
        let (mut destination, mut via, mut priority) = (None, None, None);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(found) => destination = address(found),
                RouteAttribute::Gateway(found) => via = address(found),
                RouteAttribute::Table(found) => own_table = *found,
                RouteAttribute::Priority(found) => priority = Some(*found),
                _ => {}
            }
        }
        let via = via.filter(|_| route.header.protocol == PROTOCOL && own_table == table)?;
        let any = match via {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        };
        let destination = IpNet::new(destination.unwrap_or(any), route.header.destination_prefix_length).ok()?;
        Some(Self { destination, via, priority })
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
