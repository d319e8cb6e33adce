//! One TCP connection: what is still to be written to it, and how it ends.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use bgp::bmp::Ports;
use bgp::{ConnectionId, SourceId};
use bytes::{Buf, Bytes};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use socket2::{SockAddr, Socket};
use tcp_protection::{set_least_ttl, set_md5_key};

use crate::listener::FAR;
use crate::{GatewayId, PeerSetup};

/// For how long a connection is being opened.
const CONNECT: Duration = Duration::from_secs(5);
/// For how long the last words of a connection may take to be read: what closes at once may take them back.
const LINGER: Duration = Duration::from_secs(3);

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being opened by us.
    Opening,
    /// It is open.
    Open,
    /// Nothing of it counts any more, but what is to be written yet.
    Closing,
    /// All is written; the peer has not closed its side yet.
    Lingering,
}

/// What has come of trying to read or to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many bytes.
    Bytes(usize),
    /// Nothing more for now.
    Blocked,
    /// It is closed or broken.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) gateway: GatewayId,
    pub(crate) peer: SourceId,
    pub(crate) id: ConnectionId,
    pub(crate) stage: Stage,
    /// When what it is at has taken too long.
    pub(crate) deadline: Option<Instant>,
    stream: TcpStream,
    output: VecDeque<Bytes>,
    send_hold: Duration,
}

impl Connection {
    /// Begins to open one.
    pub(crate) fn open(
        (gateway, peer, id): (GatewayId, SourceId, ConnectionId),
        socket: Socket,
        setup: &PeerSetup,
        port: u16,
        now: Instant,
    ) -> io::Result<Self> {
        let (local, remote) = (setup.session.local, setup.session.remote);
        protect(&socket, setup)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(SocketAddr::new(local, 0)))?;
        let stream = connect(socket, SocketAddr::new(remote, port))?;
        let (stage, deadline, send_hold) = (Stage::Opening, Some(now + CONNECT), setup.send_hold);
        Ok(Self { gateway, peer, id, stage, deadline, stream, output: VecDeque::new(), send_hold })
    }

    /// One that a peer has opened.
    pub(crate) fn accepted(
        (gateway, peer, id): (GatewayId, SourceId, ConnectionId),
        stream: TcpStream,
        setup: &PeerSetup,
    ) -> io::Result<Self> {
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_nodelay(true)?;
        send_far(&socket, setup)?;
        let (stage, deadline, send_hold) = (Stage::Open, None, setup.send_hold);
        Ok(Self { gateway, peer, id, stage, deadline, stream, output: VecDeque::new(), send_hold })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    /// Whether it is open by now; an error if it has failed.
    pub(crate) fn opened(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.stream.set_nodelay(true)?;
                (self.stage, self.deadline) = (Stage::Open, None);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// 0 where it is closed.
    pub(crate) fn ports(&self) -> Ports {
        let port = |address: io::Result<SocketAddr>| address.map_or(0, |address| address.port());
        Ports { local: port(self.stream.local_addr()), remote: port(self.stream.peer_addr()) }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.output.push_back(bytes);
    }

    /// It is to be closed when all is written.
    pub(crate) fn close(&mut self, now: Instant) {
        (self.stage, self.deadline) = (Stage::Closing, Some(now + LINGER));
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Progress {
        progress(|| self.stream.read(buffer), true)
    }

    /// Writes as much as is taken. What is not is to be taken within the send hold time.
    pub(crate) fn write(&mut self, now: Instant) -> Progress {
        let mut written = 0;
        while let Some(bytes) = self.output.front_mut() {
            if bytes.is_empty() {
                self.output.pop_front();
                continue;
            }
            match progress(|| self.stream.write(bytes), false) {
                Progress::Bytes(some) => {
                    bytes.advance(some);
                    written += some;
                }
                Progress::Blocked => break,
                Progress::Gone => {
                    self.output.clear();
                    return Progress::Gone;
                }
            }
        }
        if self.output.is_empty() && self.stage == Stage::Closing {
            self.stage = Stage::Lingering;
            if self.stream.shutdown(Shutdown::Write).is_err() {
                return Progress::Gone;
            }
        }
        if self.stage == Stage::Open && (written > 0 || self.deadline.is_none()) {
            self.deadline = (!self.output.is_empty()).then(|| now + self.send_hold);
        }
        if written > 0 { Progress::Bytes(written) } else { Progress::Blocked }
    }
}

/// Begins to connect a socket that does not block.
pub(crate) fn connect(socket: Socket, to: SocketAddr) -> io::Result<TcpStream> {
    // Of this std's name is not stable yet.
    const IN_PROGRESS: Option<i32> = Some(Errno::EINPROGRESS as i32);
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() != IN_PROGRESS && error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}

/// What stands between a peer's socket and strangers.
fn protect(socket: &Socket, setup: &PeerSetup) -> io::Result<()> {
    if setup.md5_key.is_some() {
        set_md5_key(socket, setup.session.remote, setup.md5_key.as_ref())?;
    }
    send_far(socket, setup)
}

fn send_far(socket: &Socket, setup: &PeerSetup) -> io::Result<()> {
    if let Some(least) = setup.least_ttl {
        set_least_ttl(socket, setup.session.remote, least)?;
        // RFC 5082 §3: so that the peer can tell as well.
        match setup.session.remote {
            IpAddr::V4(_) => socket.set_ttl_v4(FAR)?,
            IpAddr::V6(_) => socket.set_unicast_hops_v6(FAR)?,
        }
    }
    Ok(())
}

pub(crate) fn progress(mut attempt: impl FnMut() -> io::Result<usize>, reading: bool) -> Progress {
    loop {
        return match attempt() {
            Ok(0) if reading => Progress::Gone,
            Ok(bytes) => Progress::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Blocked,
            Err(_) => Progress::Gone,
        };
    }
}
