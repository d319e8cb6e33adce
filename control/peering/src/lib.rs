//! BGP over TCP and BFD over UDP, each on a thread that speaks it for all border gateways. [`bgp::Speaker`] and
//! [`bfd::Endpoint`] say what is to be done; this is where it is done, with sockets and a clock.
//!
//! [`Peering`] is the caller's end. What it wants goes to the thread as [`Peering::open`], [`Peering::configure`] and, for whatever
//! a speaker can be told or asked, [`Peering::with`]. What comes of it are [`Report`]s: routes in batches, and events. They wait in a
//! bounded queue; while it is full, nothing is read from peers.
//!
//! [`Peering::watch`] has a monitoring station told of a gateway's peers (RFC 7854).
//!
//! [`Detection`] is the same for BFD, whose thread runs before all others and does nothing else.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod connection;
mod detection;
mod gateway;
mod listener;
mod priority;
mod run;
mod station;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bgp::{
    Change, Context, CryptoRng, Event, Filter, NeighborConfig, NextHops, PeerConfig, SelectionId, SourceId, Speaker,
    Worth,
};
use mio::Waker;
use socket2::{Domain, Socket, Type};
use tcp_protection::Md5Key;

pub use detection::{Detection, StateChange};
pub use priority::be_first;
pub use station::{StationEvent, StationId, StationSetup};

/// A border gateway, as the caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub u32);

/// Opens a socket in the network namespace of an address of ours.
pub type OpenSocket = Box<dyn Fn(IpAddr, Type) -> io::Result<Socket> + Send>;

/// A gateway's BGP.
pub struct GatewaySetup {
    /// Where its sockets are.
    pub open_socket: OpenSocket,
    /// Its kinds of routes of its own.
    pub own: Vec<(SourceId, Worth)>,
    /// After a restart of ours: for how long its peers are waited for (RFC 4724 §4.1).
    pub deferral: Option<Duration>,
    /// The TCP port, of ours and of its peers.
    pub port: u16,
}

/// RFC 9687 §5: the send hold time is this, or twice the hold time if that is longer.
pub const SEND_HOLD: Duration = Duration::from_secs(480);

/// The port of BGP (RFC 4271 §8.2.1).
pub const PORT: u16 = 179;

/// One of its peers.
#[derive(Clone, Debug)]
pub struct PeerSetup {
    /// The session.
    pub session: NeighborConfig,
    /// Its routes.
    pub routes: PeerConfig,
    /// The key of its segments, if they are signed (RFC 2385).
    pub md5_key: Option<Md5Key>,
    /// The least time to live of its segments (RFC 5082); 255 where it is at the other end of a tunnel.
    pub least_ttl: Option<u8>,
    /// For how long it may not read what it is sent (RFC 9687): 8 minutes, or twice the hold time if that is longer.
    pub send_hold: Duration,
}

impl PeerSetup {
    /// A peer of which everything is taken and which is told everything, over connections that nothing protects.
    #[must_use]
    pub fn unrestricted(session: NeighborConfig, worth: Worth, next_hop: NextHops) -> Self {
        let routes = PeerConfig {
            worth,
            local_as: session.local_as,
            remote_as: session.remote_as,
            address: session.remote,
            next_hop,
            allow_own_as: 0,
            override_as: false,
            import: Some(Filter::ALL),
            export: Some(Filter::ALL),
            prefix_limit: None,
            drain: None,
        };
        Self { session, routes, md5_key: None, least_ttl: None, send_hold: SEND_HOLD }
    }
}

/// What has come of it.
#[derive(Debug)]
pub enum Report {
    /// Traffic takes other ways.
    Routes {
        /// Whose.
        gateway: GatewayId,
        /// Sets of sources that were not spoken of before.
        selections: Vec<(SelectionId, Vec<SourceId>)>,
        /// Which prefixes.
        changes: Vec<Change>,
    },
    /// Something has happened to a peer.
    Event {
        /// Whose.
        gateway: GatewayId,
        /// Which.
        peer: SourceId,
        /// What.
        event: Event,
    },
    /// Something has happened to the connection to a station.
    Station {
        /// Of which gateway.
        gateway: GatewayId,
        /// Which.
        station: StationId,
        /// What.
        event: StationEvent,
    },
}

/// Prefixes in a report, at most.
pub const BATCH: usize = 4096;
/// Reports that wait, at most.
const REPORTS: usize = 64;

type With = Box<dyn FnOnce(&mut Speaker, &mut Context<'_>) + Send>;

enum Command {
    Open(GatewayId, GatewaySetup),
    Close(GatewayId),
    Configure(GatewayId, SourceId, Box<PeerSetup>),
    Remove(GatewayId, SourceId, String),
    With(GatewayId, With),
    Watch(GatewayId, StationId, StationSetup),
    Unwatch(GatewayId, StationId),
    End,
}

/// The caller's end of the thread. When it is dropped, the thread ends and its connections are closed without a word: peers that
/// take part in graceful restart keep our routes (RFC 4724).
pub struct Peering {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

impl Peering {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(rng: impl CryptoRng + Send + 'static) -> io::Result<Self> {
        let (commands, wanted) = channel();
        let (reporter, reports) = sync_channel(REPORTS);
        let run = run::Run::new(Box::new(rng), wanted, reporter)?;
        let waker = run.waker();
        let thread = thread::Builder::new().name("bgp".to_owned()).spawn(move || run.run())?;
        Ok(Self { commands, waker, reports, thread: Some(thread) })
    }

    /// A gateway speaks BGP from now on; one that does so already begins anew, and so do the numbers of its selections.
    pub fn open(&self, gateway: GatewayId, setup: GatewaySetup) {
        self.command(Command::Open(gateway, setup));
    }

    /// A gateway speaks BGP no longer; its connections are closed without a word.
    pub fn close(&self, gateway: GatewayId) {
        self.command(Command::Close(gateway));
    }

    /// Adds a peer or gives it another configuration. What is not acceptable in it is logged.
    pub fn configure(&self, gateway: GatewayId, peer: SourceId, setup: PeerSetup) {
        self.command(Command::Configure(gateway, peer, Box::new(setup)));
    }

    /// Ends a peer's session, with these words to it, and forgets it.
    pub fn remove(&self, gateway: GatewayId, peer: SourceId, words: &str) {
        self.command(Command::Remove(gateway, peer, words.to_owned()));
    }

    /// Has the thread do something with a gateway's speaker, unless there is none.
    pub fn with(&self, gateway: GatewayId, call: impl FnOnce(&mut Speaker, &mut Context<'_>) + Send + 'static) {
        self.command(Command::With(gateway, Box::new(call)));
    }

    /// Has a station be told of a gateway's peers, from now on and whenever it can be reached; or gives it another setup, for which
    /// it begins anew.
    pub fn watch(&self, gateway: GatewayId, station: StationId, setup: StationSetup) {
        self.command(Command::Watch(gateway, station, setup));
    }

    /// Has a station be told nothing more.
    pub fn unwatch(&self, gateway: GatewayId, station: StationId) {
        self.command(Command::Unwatch(gateway, station));
    }

    /// The next report, if there is one.
    pub fn poll_report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    fn command(&self, command: Command) {
        // A thread that has ended takes nothing any more; that it has is seen where it is joined.
        let _ = self.commands.send(command);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "BGP's thread could not be woken");
        }
    }
}

impl Drop for Peering {
    fn drop(&mut self) {
        self.command(Command::End);
        // It may be waiting for room.
        while self.reports.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("BGP's thread has panicked");
        }
    }
}

/// The kind of socket for an address.
pub fn domain(address: IpAddr) -> Domain {
    match address {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    }
}
