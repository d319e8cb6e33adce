//! The thread: it waits for sockets, commands and moments, and has the speakers say what follows.

mod stations;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::time::{Duration, Instant};

use bgp::bmp::Termination;
use bgp::{ConnectionId, Context, CryptoRng, SourceId, Speaker, SpeakerAction};
use mio::{Events, Poll, Token, Waker};
use socket2::Type;

use crate::connection::{Connection, Progress, Stage};
use crate::gateway::Gateway;
use crate::listener::Listener;
use crate::{Command, GatewayId, GatewaySetup, PeerSetup, Report, StationId};

const WAKER: usize = 0;
/// Bytes read at once.
const PIECE: usize = 64 * 1024;
/// Pieces of one connection in a turn; the others have theirs before it goes on.
const PIECES_PER_TURN: usize = 8;
/// How long to wait where the caller has to make room.
const FULL: Duration = Duration::from_millis(1);

pub(crate) struct Run {
    poll: Poll,
    waker: Arc<Waker>,
    commands: Receiver<Command>,
    reports: SyncSender<Report>,
    /// What the caller had no room for.
    backlog: VecDeque<Report>,
    rng: Box<dyn CryptoRng + Send>,
    gateways: BTreeMap<GatewayId, Gateway>,
    /// By token, as are the listeners and the connections to stations.
    connections: BTreeMap<usize, Connection>,
    listeners: BTreeMap<usize, (GatewayId, IpAddr)>,
    stations: BTreeMap<usize, (GatewayId, StationId)>,
    tokens: BTreeMap<(GatewayId, SourceId, ConnectionId), usize>,
    /// Those that may have something to be read.
    readable: BTreeSet<usize>,
    last_token: usize,
    piece: Vec<u8>,
}

impl Run {
    pub(crate) fn new(
        rng: Box<dyn CryptoRng + Send>,
        commands: Receiver<Command>,
        reports: SyncSender<Report>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(WAKER))?);
        Ok(Self {
            poll,
            waker,
            commands,
            reports,
            backlog: VecDeque::new(),
            rng,
            gateways: BTreeMap::new(),
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            stations: BTreeMap::new(),
            tokens: BTreeMap::new(),
            readable: BTreeSet::new(),
            last_token: WAKER,
            piece: vec![0; PIECE],
        })
    }

    pub(crate) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            if let Err(error) = self.poll.poll(&mut events, self.timeout())
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "BGP's thread cannot wait for its sockets");
                return;
            }
            loop {
                match self.commands.try_recv() {
                    Ok(Command::End) | Err(TryRecvError::Disconnected) => {
                        // Last words, if there are any.
                        self.act();
                        let ids: Vec<_> = self.gateways.keys().copied().collect();
                        ids.into_iter().for_each(|id| self.unwatch_all(id, Termination::Closed));
                        return;
                    }
                    Ok(command) => self.obey(command),
                    Err(TryRecvError::Empty) => break,
                }
            }
            for event in &events {
                let Token(token) = event.token();
                if self.listeners.contains_key(&token) {
                    self.accept(token);
                } else if self.connections.contains_key(&token) {
                    self.readable.insert(token);
                    self.advance(token);
                } else {
                    self.advance_station(token);
                }
            }
            self.deliver();
            if self.backlog.is_empty() {
                self.read_turn();
            }
            self.handle_timeouts();
            self.act();
            self.deliver();
        }
    }

    /// Until when there is nothing to do; `None` if for ever.
    fn timeout(&self) -> Option<Duration> {
        if !self.backlog.is_empty() {
            return Some(FULL);
        }
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let speakers = self.gateways.values().filter_map(|gateway| gateway.speaker.next_timeout());
        let connections = self.connections.values().filter_map(|connection| connection.deadline);
        let stations = self.station_deadlines();
        Some(speakers.chain(connections).chain(stations).min()?.saturating_duration_since(Instant::now()))
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(id, setup) => self.open(id, setup),
            Command::Close(id) => self.close(id),
            Command::Configure(gateway, peer, setup) => self.configure(gateway, peer, *setup),
            Command::Remove(id, peer, words) => {
                self.call(id, |speaker, ctx| speaker.remove(peer, &words, ctx));
                if let Some(gateway) = self.gateways.get_mut(&id)
                    && let Some(setup) = gateway.peers.remove(&peer)
                    && let Some((_, listener)) = gateway.listeners.get_mut(&setup.session.local)
                    && let Err(error) = listener.set_key(setup.session.remote, None)
                {
                    tracing::warn!(%error, peer = %setup.session.remote, "a TCP MD5 key could not be removed");
                }
                self.suit_listeners(id);
            }
            Command::With(id, call) => self.call(id, call),
            Command::Watch(id, station, setup) => self.watch(id, station, setup),
            Command::Unwatch(id, station) => self.unwatch(id, station, Termination::ClosedForGood),
            // The loop has ended before.
            Command::End => {}
        }
    }

    fn close(&mut self, id: GatewayId) {
        self.unwatch_all(id, Termination::Closed);
        self.gateways.remove(&id);
        self.listeners.retain(|_, (gateway, _)| *gateway != id);
        let of_gateway = self.connections.iter().filter(|(_, connection)| connection.gateway == id);
        let tokens: Vec<_> = of_gateway.map(|(token, _)| *token).collect();
        tokens.into_iter().for_each(|token| self.forget(token));
    }

    fn open(&mut self, id: GatewayId, setup: GatewaySetup) {
        self.close(id);
        let mut speaker = Speaker::new(self.rng.next_u64(), setup.deferral, Instant::now());
        setup.own.into_iter().for_each(|(source, worth)| speaker.add_own(source, worth));
        self.gateways.insert(id, Gateway::new(speaker, setup.open_socket, setup.port));
    }

    fn configure(&mut self, id: GatewayId, peer: SourceId, setup: PeerSetup) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let (local, remote) = (setup.session.local, setup.session.remote);
        if !gateway.listeners.contains_key(&local) {
            match Listener::open(&gateway.open_socket, local, gateway.port) {
                Ok(mut listener) => {
                    self.last_token += 1;
                    if let Err(error) = listener.register(self.poll.registry(), Token(self.last_token)) {
                        tracing::error!(%error, %local, "BGP's listening socket cannot be waited for");
                    }
                    self.listeners.insert(self.last_token, (id, local));
                    gateway.listeners.insert(local, (self.last_token, listener));
                }
                Err(error) => {
                    tracing::error!(%error, %local, "BGP cannot listen: peers cannot connect to this address")
                }
            }
        }
        if let Some((_, listener)) = gateway.listeners.get_mut(&local)
            && let Err(error) = listener.set_key(remote, setup.md5_key.as_ref())
        {
            tracing::error!(%error, peer = %remote, "the kernel does not take the peer's TCP MD5 key");
        }
        let (session, routes) = (setup.session.clone(), setup.routes.clone());
        gateway.peers.insert(peer, setup);
        self.suit_listeners(id);
        self.call(id, |speaker, ctx| {
            if let Err(error) = speaker.configure(peer, session, routes, ctx) {
                tracing::error!(%error, peer = %remote, "this BGP configuration is not acceptable");
            }
        });
    }

    /// Listens no more where no peer is expected, and takes segments from afar only where one may be.
    fn suit_listeners(&mut self, id: GatewayId) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let peers = &gateway.peers;
        gateway.listeners.retain(|local, (token, listener)| {
            let expected = peers.values().filter(|setup| setup.session.local == *local);
            let Some(least) = expected.map(|setup| setup.least_ttl.unwrap_or(0)).min() else {
                self.listeners.remove(token);
                return false;
            };
            if let Err(error) = listener.set_least_ttl(*local, least) {
                tracing::error!(%error, %local, "the kernel does not take a least time to live for BGP's listening socket");
            }
            true
        });
    }

    fn call(&mut self, id: GatewayId, call: impl FnOnce(&mut Speaker, &mut Context<'_>)) {
        if let Some(gateway) = self.gateways.get_mut(&id) {
            call(&mut gateway.speaker, &mut Context { now: Instant::now(), rng: &mut *self.rng });
            self.observe(id);
        }
    }

    fn accept(&mut self, token: usize) {
        let Some((id, local)) = self.listeners.get(&token).copied() else { return };
        loop {
            let Some(gateway) = self.gateways.get_mut(&id) else { return };
            let Some((_, listener)) = gateway.listeners.get(&local) else { return };
            let (stream, from) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of one connection, which is gone already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    tracing::warn!(%error, %local, "a connection could not be accepted");
                    return;
                }
            };
            let Some((peer, setup)) = gateway.peer(local, from.ip()) else { continue };
            let setup = setup.clone();
            let mut ctx = Context { now: Instant::now(), rng: &mut *self.rng };
            let Some(connection) = gateway.speaker.accepted(peer, &mut ctx) else { continue };
            match Connection::accepted((id, peer, connection), stream, &setup) {
                Ok(connection) => self.add(connection),
                Err(error) => {
                    tracing::warn!(%error, peer = %from, "a connection could not be set up");
                    self.call(id, |speaker, ctx| speaker.closed(peer, connection, ctx));
                }
            }
            self.call(id, |speaker, ctx| speaker.follow(peer, ctx));
        }
    }

    fn add(&mut self, mut connection: Connection) {
        self.last_token += 1;
        let token = self.last_token;
        if let Err(error) = connection.register(self.poll.registry(), Token(token)) {
            tracing::error!(%error, "a connection cannot be waited for");
        }
        self.tokens.insert((connection.gateway, connection.peer, connection.id), token);
        self.connections.insert(token, connection);
    }

    /// A connection may be open now, or take more.
    fn advance(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let (id, peer, name) = (connection.gateway, connection.peer, connection.id);
        if connection.stage == Stage::Opening {
            match connection.opened() {
                Ok(true) => self.call(id, |speaker, ctx| speaker.connected(peer, name, ctx)),
                Ok(false) => {}
                Err(_) => self.fail(token),
            }
        } else {
            self.write(token);
        }
    }

    fn write(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let (id, peer) = (connection.gateway, connection.peer);
        match connection.write(Instant::now()) {
            Progress::Bytes(bytes) if connection.stage == Stage::Open => {
                self.call(id, |speaker, _| speaker.written(peer, bytes));
            }
            Progress::Bytes(_) | Progress::Blocked => {}
            // What the peer has said last may still be there to be read.
            Progress::Gone => {
                self.readable.insert(token);
            }
        }
    }

    /// Every connection that may have something has its share read.
    fn read_turn(&mut self) {
        for token in std::mem::take(&mut self.readable) {
            for turn in 1.. {
                let Some(connection) = self.connections.get_mut(&token) else { break };
                if connection.stage == Stage::Opening {
                    break;
                }
                match connection.read(&mut self.piece) {
                    Progress::Bytes(bytes) => {
                        let (id, peer, name) = (connection.gateway, connection.peer, connection.id);
                        let piece = std::mem::take(&mut self.piece);
                        // What comes after the end is of no interest, but has to be read for our last words to stay.
                        if connection.stage == Stage::Open
                            && let Some(read) = piece.get(..bytes)
                        {
                            self.call(id, |speaker, ctx| speaker.received(peer, name, read, ctx));
                        }
                        self.piece = piece;
                        if turn == PIECES_PER_TURN {
                            self.readable.insert(token);
                            break;
                        }
                    }
                    Progress::Blocked => break,
                    Progress::Gone => {
                        self.fail(token);
                        break;
                    }
                }
            }
        }
    }

    /// A connection is closed or broken, or could not be opened.
    fn fail(&mut self, token: usize) {
        let Some(connection) = self.connections.get(&token) else { return };
        let (id, peer, name, stage) = (connection.gateway, connection.peer, connection.id, connection.stage);
        self.forget(token);
        match stage {
            Stage::Opening => self.call(id, |speaker, ctx| speaker.connect_failed(peer, name, ctx)),
            Stage::Open => self.call(id, |speaker, ctx| speaker.closed(peer, name, ctx)),
            Stage::Closing | Stage::Lingering => {}
        }
    }

    fn forget(&mut self, token: usize) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        if let Err(error) = connection.deregister(self.poll.registry()) {
            tracing::debug!(%error, "a connection was not waited for");
        }
        self.tokens.remove(&(connection.gateway, connection.peer, connection.id));
        self.readable.remove(&token);
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        let late = |connection: &Connection| connection.deadline.is_some_and(|at| at <= now);
        let late: Vec<_> = self.connections.iter().filter(|(_, c)| late(c)).map(|(token, _)| *token).collect();
        for token in late {
            match self.connections.get_mut(&token) {
                Some(connection) if connection.stage == Stage::Open => {
                    connection.deadline = None;
                    let (id, peer, name) = (connection.gateway, connection.peer, connection.id);
                    self.call(id, |speaker, ctx| speaker.stalled(peer, name, ctx));
                }
                Some(_) | None => self.fail(token),
            }
        }
        let due = |gateway: &Gateway| gateway.speaker.next_timeout().is_some_and(|at| at <= now);
        let due: Vec<_> = self.gateways.iter().filter(|(_, gateway)| due(gateway)).map(|(id, _)| *id).collect();
        for id in due {
            self.call(id, |speaker, ctx| speaker.handle_timeout(ctx));
        }
    }

    /// Does what the speakers want done, and takes from them which traffic moves, as long as there is room.
    fn act(&mut self) {
        let ids: Vec<_> = self.gateways.keys().copied().collect();
        for id in ids {
            while self.backlog.is_empty()
                && let Some(report) = self.gateways.get_mut(&id).and_then(|gateway| gateway.routes(id))
            {
                self.report(report);
            }
            while let Some(action) = self.gateways.get_mut(&id).and_then(|gateway| gateway.speaker.poll_action()) {
                match action {
                    SpeakerAction::Connect { peer, connection } => self.connect(id, peer, connection),
                    SpeakerAction::Transmit { peer, connection, bytes } => {
                        if let Some(token) = self.tokens.get(&(id, peer, connection)).copied()
                            && let Some(known) = self.connections.get_mut(&token)
                        {
                            known.push(bytes);
                            self.write(token);
                        }
                    }
                    SpeakerAction::Close { peer, connection } => {
                        if let Some(token) = self.tokens.get(&(id, peer, connection)).copied()
                            && let Some(known) = self.connections.get_mut(&token)
                        {
                            if known.stage == Stage::Opening {
                                self.forget(token);
                            } else {
                                known.close(Instant::now());
                                self.readable.insert(token);
                                self.write(token);
                            }
                        }
                    }
                    SpeakerAction::Event { peer, event } => self.report(Report::Event { gateway: id, peer, event }),
                }
            }
        }
        self.serve_stations();
    }

    fn connect(&mut self, id: GatewayId, peer: SourceId, name: ConnectionId) {
        let opened = self.gateways.get(&id).and_then(|gateway| {
            let setup = gateway.peers.get(&peer)?;
            let socket = (gateway.open_socket)(setup.session.local, Type::STREAM);
            Some(
                socket
                    .and_then(|socket| Connection::open((id, peer, name), socket, setup, gateway.port, Instant::now())),
            )
        });
        match opened {
            Some(Ok(connection)) => self.add(connection),
            // The address may not be there yet, or no route: it is tried again.
            Some(Err(error)) => {
                tracing::debug!(%error, "a BGP connection cannot be opened");
                self.call(id, |speaker, ctx| speaker.connect_failed(peer, name, ctx));
            }
            None => {}
        }
    }

    fn report(&mut self, report: Report) {
        self.backlog.push_back(report);
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some(report) = self.backlog.pop_front() {
            match self.reports.try_send(report) {
                Ok(()) => {}
                Err(TrySendError::Full(report)) => {
                    self.backlog.push_front(report);
                    return;
                }
                // Nobody is there to whom it matters.
                Err(TrySendError::Disconnected(_)) => self.backlog.clear(),
            }
        }
    }
}
