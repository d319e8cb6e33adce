//! UDP sockets at both of IKE's ports of many addresses, waited for together.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

/// RFC 7296 §2.23: over the second one, a marker tells IKE from ESP.
const PORTS: [u16; 2] = [500, NAT_T];
const NAT_T: u16 = 4500;
/// RFC 3948 §2.2.
const MARKER: [u8; 4] = [0; 4];
/// Bytes that wait in a socket.
const WAITING: usize = 1 << 20;
/// The longest datagram there is.
const LONGEST: usize = 65_535;

/// The sockets.
pub struct Sockets {
    epoll: OwnedFd,
    sockets: Vec<(SocketAddr, UdpSocket)>,
    by_address: BTreeMap<SocketAddr, usize>,
    ready: Vec<Event>,
    buffer: Vec<u8>,
}

impl Sockets {
    /// Opens two sockets at each address.
    ///
    /// # Errors
    /// Where somebody else has one of the ports, or the address is not there.
    pub fn open(addresses: impl Iterator<Item = IpAddr>) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut sockets = Vec::new();
        for address in addresses.flat_map(|address| PORTS.map(|port| SocketAddr::new(address, port))) {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
            set_socket_recv_buffer_size(&socket, WAITING)?;
            bind(&socket, &address).with_context(|| format!("opening a socket at {address}"))?;
            epoll::add(&epoll, &socket, EventData::new_u64(sockets.len() as u64), EventFlags::IN)?;
            sockets.push((address, UdpSocket::from(socket)));
        }
        let by_address = sockets.iter().enumerate().map(|(index, (address, _))| (*address, index)).collect();
        Ok(Self { epoll, sockets, by_address, ready: Vec::with_capacity(256), buffer: vec![0; LONGEST] })
    }

    /// Waits for at most so long, and hands over what has come: to which address, from which, and the message.
    pub fn receive(
        &mut self,
        patience: Duration,
        mut take: impl FnMut(&Self, SocketAddr, SocketAddr, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let patience = Timespec::try_from(patience)?;
        self.ready.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&patience))?;
        let (ready, mut buffer) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.buffer));
        for event in &ready {
            // Copied out, for an event is packed.
            let data = event.data;
            let Some((local, socket)) = self.sockets.get(data.u64() as usize) else { continue };
            loop {
                let (length, remote) = match socket.recv_from(&mut buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // A port that nobody listened at, as ICMP says of an earlier datagram.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                    Err(error) => return Err(error).context("receiving"),
                };
                let datagram = &buffer[..length];
                let message = if local.port() == NAT_T { datagram.strip_prefix(&MARKER) } else { Some(datagram) };
                if let Some(message) = message {
                    take(&*self, *local, remote, message)?;
                }
            }
        }
        (self.ready, self.buffer) = (ready, buffer);
        Ok(())
    }

    /// Sends a datagram, marked already where it has to be.
    pub fn send(&self, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) -> Result<()> {
        let index = self.by_address.get(&local).with_context(|| format!("no socket at {local}"))?;
        let (_, socket) = self.sockets.get(*index).context("a socket for each address")?;
        socket.send_to(datagram, remote).with_context(|| format!("sending from {local} to {remote}"))?;
        Ok(())
    }
}
