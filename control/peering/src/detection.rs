//! The thread of BFD: it does nothing but wait for the next packet or the next moment.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bfd::{Action, Arrival, CryptoRng, Diagnostic, Endpoint, SessionConfig, SessionId, State};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{SockAddr, Socket, Type};

use crate::listener::FAR;
use crate::priority::be_first;
use crate::{GatewayId, OpenSocket};

/// A session has changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose.
    pub gateway: GatewayId,
    /// Which.
    pub session: SessionId,
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub diagnostic: Diagnostic,
    /// Why the other end is in its state, as it says.
    pub remote_diagnostic: Diagnostic,
}

type With = Box<dyn FnOnce(&mut Endpoint, Instant, &mut dyn CryptoRng) + Send>;

enum Command {
    Open(GatewayId, OpenSocket),
    Close(GatewayId),
    Configure(GatewayId, SessionId, Box<SessionConfig>),
    Remove(GatewayId, SessionId),
    With(GatewayId, With),
    End,
}

/// What is wanted of the thread. Behind a lock, at which the thread sleeps: at its priority it must not spin for a caller that it has
/// interrupted on the same core, as it would in a channel.
#[derive(Default)]
struct Commands(Mutex<VecDeque<Command>>);

impl Commands {
    fn put(&self, command: Command) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
    }

    fn take(&self) -> Option<Command> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The caller's end of the thread, which ends when this is dropped; the other ends of its sessions find out by their detection
/// times.
pub struct Detection {
    commands: Arc<Commands>,
    waker: Arc<EventFd>,
    changes: Receiver<StateChange>,
    thread: Option<JoinHandle<()>>,
}

impl Detection {
    /// Starts the thread, at a real-time priority if that is permitted.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(rng: impl CryptoRng + Send + 'static) -> io::Result<Self> {
        let commands = Arc::new(Commands::default());
        let (reporter, changes) = channel();
        let waker = Arc::new(EventFd::from_flags(nix::sys::eventfd::EfdFlags::EFD_NONBLOCK)?);
        let run = Run {
            waker: waker.clone(),
            commands: Arc::clone(&commands),
            changes: reporter,
            rng: Box::new(rng),
            gateways: BTreeMap::new(),
        };
        let thread = thread::Builder::new().name("bfd".to_owned()).spawn(move || run.run())?;
        Ok(Self { commands, waker, changes, thread: Some(thread) })
    }

    /// A gateway speaks BFD from now on; one that does so already begins anew.
    pub fn open(&self, gateway: GatewayId, open_socket: OpenSocket) {
        self.command(Command::Open(gateway, open_socket));
    }

    /// A gateway speaks BFD no longer.
    pub fn close(&self, gateway: GatewayId) {
        self.command(Command::Close(gateway));
    }

    /// Adds a session or gives it another configuration. What is not acceptable in it is logged.
    pub fn configure(&self, gateway: GatewayId, session: SessionId, config: SessionConfig) {
        self.command(Command::Configure(gateway, session, Box::new(config)));
    }

    /// Forgets a session.
    pub fn remove(&self, gateway: GatewayId, session: SessionId) {
        self.command(Command::Remove(gateway, session));
    }

    /// Has the thread do something with a gateway's sessions, unless there is no such gateway.
    pub fn with(
        &self,
        gateway: GatewayId,
        call: impl FnOnce(&mut Endpoint, Instant, &mut dyn CryptoRng) + Send + 'static,
    ) {
        self.command(Command::With(gateway, Box::new(call)));
    }

    /// The next change, if there is one.
    pub fn poll_change(&self) -> Option<StateChange> {
        self.changes.try_recv().ok()
    }

    fn command(&self, command: Command) {
        self.commands.put(command);
        if let Err(error) = self.waker.write(1) {
            tracing::error!(%error, "BFD's thread could not be woken");
        }
    }
}

impl Drop for Detection {
    fn drop(&mut self) {
        self.command(Command::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("BFD's thread has panicked");
        }
    }
}

/// Sockets of one of our addresses, for sessions of one kind.
struct Sockets {
    /// Where packets of the kind arrive.
    receiving: Socket,
    /// RFC 5881 §4: packets come from another port.
    sending: Socket,
}

struct Gateway {
    endpoint: Endpoint,
    open_socket: OpenSocket,
    configs: BTreeMap<SessionId, SessionConfig>,
    /// By our address and the port of the kind.
    sockets: BTreeMap<(IpAddr, u16), Sockets>,
}

struct Run {
    waker: Arc<EventFd>,
    commands: Arc<Commands>,
    changes: Sender<StateChange>,
    rng: Box<dyn CryptoRng + Send>,
    gateways: BTreeMap<GatewayId, Gateway>,
}

/// Datagrams of one socket in a turn.
const PER_TURN: usize = 64;
/// RFC 5881 §4: the least of the ports that packets come from.
const FIRST_PORT: u16 = 49152;

impl Run {
    fn run(mut self) {
        be_first("BFD");
        while self.obey() {
            let readable = self.wait();
            // What has arrived counts before what is due: being late ourselves is no silence of the other end.
            readable.into_iter().for_each(|(gateway, socket)| self.receive(gateway, socket));
            let now = Instant::now();
            for gateway in self.gateways.values_mut() {
                if gateway.endpoint.next_timeout().is_some_and(|at| at <= now) {
                    gateway.endpoint.handle_timeout(now, &mut *self.rng);
                }
            }
            self.act();
        }
    }

    /// Until something arrives, is wanted or is due. Gives where something has arrived.
    fn wait(&self) -> Vec<(GatewayId, (IpAddr, u16))> {
        let due = self.gateways.values().filter_map(|gateway| gateway.endpoint.next_timeout()).min();
        let timeout = due.map(|at| TimeSpec::from_duration(at.saturating_duration_since(Instant::now())));
        let mut all = vec![PollFd::new(self.waker.as_fd(), PollFlags::POLLIN)];
        let mut places = Vec::new();
        for (id, gateway) in &self.gateways {
            for (place, sockets) in &gateway.sockets {
                all.push(PollFd::new(sockets.receiving.as_fd(), PollFlags::POLLIN));
                places.push((*id, *place));
            }
        }
        match ppoll(&mut all, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "BFD's thread cannot wait for its sockets");
                thread::sleep(Duration::from_millis(10));
            }
        }
        // Whatever it says: all commands are looked at next.
        let _ = self.waker.read();
        let ready = all.iter().skip(1).map(|socket| socket.any().unwrap_or(false));
        places.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(place, _)| place).collect()
    }

    fn obey(&mut self) -> bool {
        while let Some(command) = self.commands.take() {
            match command {
                Command::End => return false,
                Command::Open(id, open_socket) => {
                    let (endpoint, configs, sockets) = (Endpoint::new(), BTreeMap::new(), BTreeMap::new());
                    self.gateways.insert(id, Gateway { endpoint, open_socket, configs, sockets });
                }
                Command::Close(id) => drop(self.gateways.remove(&id)),
                Command::Configure(id, session, config) => {
                    if let Some(gateway) = self.gateways.get_mut(&id) {
                        gateway.configure(session, *config, &mut *self.rng);
                    }
                }
                Command::Remove(id, session) => {
                    if let Some(gateway) = self.gateways.get_mut(&id) {
                        gateway.endpoint.remove(session);
                        gateway.configs.remove(&session);
                        gateway.close_unused_sockets();
                    }
                }
                Command::With(id, call) => {
                    if let Some(gateway) = self.gateways.get_mut(&id) {
                        call(&mut gateway.endpoint, Instant::now(), &mut *self.rng);
                    }
                }
            }
            self.act();
        }
        true
    }

    fn receive(&mut self, gateway: GatewayId, (local, port): (IpAddr, u16)) {
        let Some(gateway) = self.gateways.get_mut(&gateway) else { return };
        let Some(sockets) = gateway.sockets.get(&(local, port)) else { return };
        let mut payload = [0; 128];
        for _ in 0..PER_TURN {
            let Some((length, remote, ttl)) = receive_from(&sockets.receiving, &mut payload) else { break };
            let arrival = Arrival { local, remote, port, ttl, payload: payload.get(..length).unwrap_or_default() };
            // Why it changes nothing is in the session's status, if there is a session.
            let _ = gateway.endpoint.handle_datagram(arrival, Instant::now(), &mut *self.rng);
        }
    }

    fn act(&mut self) {
        for (id, gateway) in &mut self.gateways {
            while let Some(action) = gateway.endpoint.poll_action() {
                match action {
                    Action::Transmit { session, payload } => {
                        let Some(config) = gateway.configs.get(&session) else { continue };
                        let port = config.distance.port();
                        let to = SockAddr::from(SocketAddr::new(config.remote, port));
                        if let Some(sockets) = gateway.sockets.get(&(config.local, port)) {
                            // What cannot be sent is as good as lost on the way, which is what this is to find out.
                            let _ = sockets.sending.send_to(&payload, &to);
                        }
                    }
                    Action::StateChanged { session, from, to, diagnostic, remote_diagnostic } => {
                        let change = StateChange { gateway: *id, session, from, to, diagnostic, remote_diagnostic };
                        let _ = self.changes.send(change);
                    }
                }
            }
        }
    }
}

impl Gateway {
    fn configure(&mut self, session: SessionId, config: SessionConfig, rng: &mut dyn CryptoRng) {
        let (local, remote, port) = (config.local, config.remote, config.distance.port());
        if let Err(error) = self.endpoint.configure(session, config.clone(), Instant::now(), rng) {
            tracing::error!(%error, peer = %remote, "this BFD configuration is not acceptable");
            return;
        }
        self.configs.insert(session, config);
        self.close_unused_sockets();
        if !self.sockets.contains_key(&(local, port)) {
            match Sockets::open(&self.open_socket, local, port) {
                Ok(sockets) => drop(self.sockets.insert((local, port), sockets)),
                Err(error) => tracing::error!(%error, %local, port, "BFD cannot listen: its sessions stay down"),
            }
        }
    }

    /// Where no session is any more.
    fn close_unused_sockets(&mut self) {
        let configs = &self.configs;
        let used =
            |place: &(IpAddr, u16)| configs.values().any(|config| (config.local, config.distance.port()) == *place);
        self.sockets.retain(|place, _| used(place));
    }
}

impl Sockets {
    fn open(open_socket: &OpenSocket, local: IpAddr, port: u16) -> io::Result<Self> {
        let [receiving, sending] = [(); 2].map(|()| open_socket(local, Type::DGRAM));
        let (receiving, sending) = (receiving?, sending?);
        match local {
            IpAddr::V4(_) => {
                receiving.set_freebind_v4(true)?;
                sending.set_freebind_v4(true)?;
                // RFC 5881 §5.
                sending.set_ttl_v4(FAR)?;
                setsockopt(&receiving, sockopt::Ipv4RecvTtl, &true)?;
            }
            IpAddr::V6(_) => {
                receiving.set_freebind_v6(true)?;
                sending.set_freebind_v6(true)?;
                sending.set_unicast_hops_v6(FAR)?;
                setsockopt(&receiving, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        receiving.set_nonblocking(true)?;
        sending.set_nonblocking(true)?;
        receiving.bind(&SockAddr::from(SocketAddr::new(local, port)))?;
        let free = (FIRST_PORT..=u16::MAX).find_map(|port| {
            match sending.bind(&SockAddr::from(SocketAddr::new(local, port))) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
                other => Some(other),
            }
        });
        free.unwrap_or(Err(io::ErrorKind::AddrInUse.into()))?;
        Ok(Self { receiving, sending })
    }
}

/// A datagram's length, where it came from, and its time to live.
fn receive_from(socket: &Socket, payload: &mut [u8]) -> Option<(usize, IpAddr, u8)> {
    let mut space = nix::cmsg_space!(i32);
    let mut pieces = [IoSliceMut::new(payload)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut space), flags).ok()?;
    let ttl = message.cmsgs().ok()?.find_map(|beside| match beside {
        ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => u8::try_from(ttl).ok(),
        _ => None,
    })?;
    let from = message.address?;
    let v4 = from.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
    let from = v4.or_else(|| from.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip())))?;
    Some((message.bytes, from, ttl))
}
