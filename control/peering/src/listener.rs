//! Where peers connect to.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{SockAddr, Type};
use tcp_protection::{Md5Key, set_least_ttl, set_md5_key};

use crate::OpenSocket;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// RFC 5082 §3: the time to live of our answers to peers, some of which may ask for it.
pub(crate) const FAR: u32 = 255;

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    /// Whose segments are signed.
    signed: BTreeSet<IpAddr>,
    /// With which time to live segments are taken, or with a greater one.
    least_ttl: u8,
}

impl Listener {
    pub(crate) fn open(open_socket: &OpenSocket, address: IpAddr, port: u16) -> io::Result<Self> {
        let socket = open_socket(address, Type::STREAM)?;
        socket.set_reuse_address(true)?;
        // The address may come later than we do.
        match address {
            IpAddr::V4(_) => {
                socket.set_freebind_v4(true)?;
                socket.set_ttl_v4(FAR)?;
            }
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_freebind_v6(true)?;
                socket.set_unicast_hops_v6(FAR)?;
            }
        }
        socket.bind(&SockAddr::from(SocketAddr::new(address, port)))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpListener::from_std(socket.into()), signed: BTreeSet::new(), least_ttl: 0 })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The key of a peer, or that it has none.
    pub(crate) fn set_key(&mut self, peer: IpAddr, key: Option<&Md5Key>) -> io::Result<()> {
        if key.is_some() {
            self.signed.insert(peer);
        } else if !self.signed.remove(&peer) {
            return Ok(());
        }
        set_md5_key(&self.socket, peer, key)
    }

    /// Connections begin with this, and what a peer says in them at once is held to it before anybody has accepted them.
    pub(crate) fn set_least_ttl(&mut self, address: IpAddr, least: u8) -> io::Result<()> {
        if least != self.least_ttl {
            set_least_ttl(&self.socket, address, least)?;
            self.least_ttl = least;
        }
        Ok(())
    }

    pub(crate) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept()
    }
}
