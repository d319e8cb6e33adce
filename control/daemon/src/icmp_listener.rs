//! What routers tell about our ESP packets. It reaches the kernel, which sent none of them and leaves it to us.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rustix::net::{RecvFlags, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::control::Control;
use crate::path_mtu::{Ignored, Sender, TooBig, lower};

/// Messages taken from one socket in a turn.
const MESSAGES_PER_TURN: usize = 16;
/// Bytes of the longest message that is read: RFC 1812 §4.3.2.3 and RFC 4443 §2.4(c) have them shorter.
const LONGEST: usize = 1500;

/// Opcodes of `linux/bpf_common.h`: the length of an IPv4 header into the index, the half word behind it or a byte into the
/// accumulator, a jump where that is not equal, and how many bytes to let through.
const HEADER_LENGTH: u16 = 0xb1;
const LOAD_HALF_WORD: u16 = 0x48;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// Destination unreachable, fragmentation needed (RFC 792), behind an IP header.
const FRAGMENTATION_NEEDED: u32 = 0x0304;
/// Packet too big (RFC 4443 §3.2).
const PACKET_TOO_BIG: u32 = 2;

/// Raw sockets that receive those errors and nothing else.
pub struct IcmpListener {
    v4: Socket,
    /// `None` where the kernel has no IPv6.
    v6: Option<Socket>,
    counts: BTreeMap<&'static str, u64>,
}

impl IcmpListener {
    /// Opens the sockets.
    ///
    /// # Errors
    /// Where the kernel refuses; it takes `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let needed = [
            SockFilter::new(HEADER_LENGTH, 0, 0, 0),
            SockFilter::new(LOAD_HALF_WORD, 0, 0, 0),
            SockFilter::new(JUMP_EQUAL, 0, 1, FRAGMENTATION_NEEDED),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
            SockFilter::new(RETURN, 0, 0, 0),
        ];
        let too_big = [
            SockFilter::new(LOAD_BYTE, 0, 0, 0),
            SockFilter::new(JUMP_EQUAL, 0, 1, PACKET_TOO_BIG),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
            SockFilter::new(RETURN, 0, 0, 0),
        ];
        Ok(Self {
            v4: socket(Domain::IPV4, Protocol::ICMPV4, &needed)?,
            v6: socket(Domain::IPV6, Protocol::ICMPV6, &too_big).ok(),
            counts: BTreeMap::new(),
        })
    }

    /// How many errors were believed, and how many were not, by name.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// The next error, and the router that it is from.
    fn receive<'a>(&self, is_v4: bool, buffer: &'a mut [u8; LONGEST]) -> Option<(IpAddr, Result<TooBig<'a>, Ignored>)> {
        let socket = if is_v4 { &self.v4 } else { self.v6.as_ref()? };
        let (length, _, router) = recvfrom(socket, &mut buffer[..], RecvFlags::empty()).ok()?;
        let router = SocketAddr::try_from(router?).ok()?.ip();
        let bytes = buffer.get(..length)?;
        Some((router, if is_v4 { TooBig::parse_v4(bytes) } else { TooBig::parse_v6(bytes) }))
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }
}

fn socket(domain: Domain, protocol: Protocol, filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
    socket.attach_filter(filter)?;
    Ok(socket)
}

impl Control {
    /// Lowers the path MTUs of tunnels whose packets were too long for a link.
    pub(crate) fn receive_errors(&mut self, now: Instant) {
        let mut buffer = [0; LONGEST];
        let mut changed = false;
        for is_v4 in [true, false] {
            for _ in 0..MESSAGES_PER_TURN {
                let Some((router, told)) = self.icmp.receive(is_v4, &mut buffer) else { break };
                match told.and_then(|told| self.heed(told, router, now)) {
                    Ok(()) => {
                        changed = true;
                        self.icmp.count("heeded");
                    }
                    Err(ignored) => {
                        tracing::debug!(%router, reason = ignored.name(), "an ICMP error about the path MTU is ignored");
                        self.icmp.count(ignored.name());
                    }
                }
            }
        }
        if changed {
            self.publish_paths();
        }
    }

    fn heed(&mut self, told: TooBig<'_>, router: IpAddr, now: Instant) -> Result<(), Ignored> {
        let senders = self.associations.children().iter().map(|child| Sender {
            tunnel: child.sa.tunnel,
            addresses: (child.sa.local, child.sa.remote),
            ports: child.sa.encapsulation.map(|ports| (ports.local_port, ports.remote_port)),
            spi: child.sa.outbound_spi,
            sealed: child.outbound.sealed(),
        });
        let tunnel = Sender::find(&told.quote, senders)?.tunnel;
        // Without a way to the peer nothing is in force.
        let was = self.picture().path_mtu(tunnel).ok_or(Ignored::NotLower)?;
        let mtu = lower(told.mtu, told.quote.length, was)?;
        self.associations.path_mtus.learn(tunnel, mtu, router, now);
        tracing::info!(
            tunnel = self.name(tunnel), %router, mtu, was, "path MTU lowered: a router says that its link takes no more"
        );
        Ok(())
    }

    /// Has longer packets tried again where the path may have changed (RFC 1191 §6.3).
    pub(crate) fn expire_path_mtus(&mut self, now: Instant) {
        let expired = self.associations.path_mtus.expire(now);
        for tunnel in &expired {
            let mtu = self.picture().path_mtu(*tunnel);
            tracing::info!(
                tunnel = self.name(*tunnel),
                mtu,
                "path MTU tried again: what was learned is 10 minutes old"
            );
        }
        if !expired.is_empty() {
            self.publish_paths();
        }
    }
}
