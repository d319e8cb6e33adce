//! One configured peer: when to connect, which connection stays, and what comes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rand_core::CryptoRng;
use rustbgpd_fsm::SessionState;
use rustbgpd_wire::RouteRefreshSubtype;
use rustbgpd_wire::notification::{cease_subcode, encode_shutdown_communication};

use crate::config::{ConfigError, NeighborConfig};
use crate::connection::{Connection, ConnectionId, Opener, Outcome};
use crate::family::{Families, Family};
use crate::negotiated::Negotiated;
use crate::observation::{Ending, Observation, Session};
use crate::reason::DownReason;
use crate::rib::retold;
use crate::update::Update;

/// What every event brings along.
pub struct Context<'a> {
    /// The current time; it never runs backwards.
    pub now: Instant,
    /// The random source.
    pub rng: &'a mut dyn CryptoRng,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a TCP connection from the local address to port 179 of the remote one, and say what came of it by
    /// [`Neighbor::connected`] or [`Neighbor::connect_failed`].
    Connect(ConnectionId),
    /// Write to a connection.
    Transmit {
        /// Which.
        connection: ConnectionId,
        /// One or more messages.
        bytes: Bytes,
    },
    /// Close a connection once all that was transmitted on it is written, or give up opening it. Nothing of it is to be
    /// reported any more.
    Close(ConnectionId),
    /// The session is up.
    Up(Arc<Negotiated>),
    /// The peer announces or withdraws routes.
    Update(Update),
    /// The peer wants all routes of a family again (RFC 2918).
    Refresh(Family),
    /// The peer sends all its routes of a family again from here on (RFC 7313 §4); until it does not, the others stay.
    RefreshBegins(Family),
    /// It has sent them all.
    RefreshEnds(Family),
    /// A connection has ended before the session was up, for another reason than the last one.
    NotUp(DownReason),
    /// The session is down.
    Down {
        /// Why.
        reason: DownReason,
        /// The families whose routes may outlive it, for as long as the peer has asked (RFC 4724 §4.2); the others go with it.
        retain: Families,
    },
    /// What whoever watches is told, while somebody does ([`Neighbor::observe`]), before what follows from it.
    Observed(Observation),
}

/// The states of RFC 4271 §8.2.2, of that connection which is furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Stopped, or waiting after a failure.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// Waiting for the peer to open one.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// The peer's has come.
    OpenConfirm,
    /// Up.
    Established,
}

/// What can be seen of a neighbour.
#[derive(Clone, Debug, PartialEq)]
pub struct NeighborStatus {
    /// How far it is.
    pub state: State,
    /// Since when it has been up, or down.
    pub since: Instant,
    /// What was agreed on, while it is up.
    pub negotiated: Option<Arc<Negotiated>>,
    /// Why it last ended or did not come up, and when.
    pub last_reason: Option<(Instant, DownReason)>,
    /// Why it last ended after it was up, and when, whatever was tried in vain since.
    pub last_down: Option<(Instant, DownReason)>,
    /// How many times it came up.
    pub times_up: u64,
}

/// A session that has been up for so long has not failed.
const STABLE: Duration = Duration::from_secs(30);
/// The time to the second attempt to connect; it doubles from one to the next.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// One configured peer.
///
/// After each method that takes a [`Context`], [`Neighbor::poll_action`] gives what is to be done, until it returns `None`;
/// then [`Neighbor::next_timeout`] says when to call [`Neighbor::handle_timeout`].
#[derive(Debug)]
pub struct Neighbor {
    config: NeighborConfig,
    started: bool,
    path_up: bool,
    connections: Vec<Connection>,
    /// A TCP connection that is being opened.
    attempt: Option<ConnectionId>,
    /// When to open the next one.
    retry_at: Option<Instant>,
    /// Until when the peer's connections are refused.
    refuse_until: Option<Instant>,
    /// How often in a row it has failed.
    failures: u32,
    up: Option<(ConnectionId, Arc<Negotiated>)>,
    /// The NOTIFICATION that has ended the connection of the session, until the session is seen to be down.
    ending: Option<Ending>,
    /// Somebody watches.
    observed: bool,
    since: Instant,
    last_reason: Option<(Instant, DownReason)>,
    last_down: Option<(Instant, DownReason)>,
    times_up: u64,
    connections_made: u64,
    actions: VecDeque<Action>,
}

impl Neighbor {
    /// A neighbour that is not started.
    ///
    /// # Errors
    /// [`ConfigError`] names what is not acceptable.
    pub fn new(config: NeighborConfig, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            started: false,
            path_up: true,
            connections: Vec::new(),
            attempt: None,
            retry_at: None,
            refuse_until: None,
            failures: 0,
            up: None,
            ending: None,
            observed: false,
            since: now,
            last_reason: None,
            last_down: None,
            times_up: 0,
            connections_made: 0,
            actions: VecDeque::new(),
        })
    }

    /// Has it come up.
    pub fn start(&mut self, ctx: &mut Context<'_>) {
        if !self.started {
            self.started = true;
            self.begin_now(ctx);
        }
    }

    /// Ends the session until it is started again. The peer is told with these words, 128 bytes of them (RFC 9003), and that our
    /// routes go with it.
    pub fn stop(&mut self, words: &str, ctx: &mut Context<'_>) {
        self.started = false;
        let data = encode_shutdown_communication(words);
        self.end_all(cease_subcode::ADMINISTRATIVE_SHUTDOWN, &data, DownReason::Stopped(words.to_owned()), ctx);
    }

    /// Ends the session and begins anew.
    pub fn reset(&mut self, words: &str, ctx: &mut Context<'_>) {
        let data = encode_shutdown_communication(words);
        self.end_all(cease_subcode::ADMINISTRATIVE_RESET, &data, DownReason::Reset(words.to_owned()), ctx);
        self.begin_now(ctx);
    }

    /// Another configuration. What an OPEN says begins the session anew; how often to connect does not.
    ///
    /// # Errors
    /// [`ConfigError`] names what is not acceptable; nothing has changed then.
    pub fn reconfigure(&mut self, mut config: NeighborConfig, ctx: &mut Context<'_>) -> Result<(), ConfigError> {
        config.check()?;
        // Whether we have restarted is known since we began, and over when it is over.
        if let (Some(restart), Some(known)) = (&mut config.graceful_restart, self.config.graceful_restart) {
            restart.restarting = known.restarting;
        }
        let NeighborConfig { connect_retry, passive, .. } = config;
        let same = NeighborConfig { connect_retry, passive, ..self.config.clone() } == config;
        self.config = config;
        if !same {
            let subcode = cease_subcode::OTHER_CONFIGURATION_CHANGE;
            self.end_all(subcode, &Bytes::new(), DownReason::ConfigurationChanged, ctx);
        }
        if !same || self.up.is_none() {
            self.begin_now(ctx);
        }
        Ok(())
    }

    /// We have restarted, and it is over: what is said in an OPEN from now on.
    pub fn end_restart(&mut self) {
        self.config.graceful_restart.iter_mut().for_each(|restart| restart.restarting = false);
    }

    /// Whether there is a way to the peer, as BFD or the tunnel has it. Without one the session ends at once, and is not tried.
    pub fn set_path(&mut self, up: bool, ctx: &mut Context<'_>) {
        if up == self.path_up {
            return;
        }
        self.path_up = up;
        if up {
            self.begin_now(ctx);
        } else {
            // RFC 9384 §2.
            self.end_all(cease_subcode::BFD_DOWN, &Bytes::new(), DownReason::PathLost, ctx);
        }
    }

    /// The peer announces more prefixes of a family than it may (RFC 4486 §4). The session ends, and begins anew after a while, or
    /// when it is started again.
    pub fn exceed_prefix_limit(
        &mut self,
        family: Family,
        limit: u32,
        restart_after: Option<Duration>,
        ctx: &mut Context<'_>,
    ) {
        let (afi, safi) = family.code();
        let mut data = BytesMut::new();
        data.put_u16(afi as u16);
        data.put_u8(safi as u8);
        data.put_u32(limit);
        self.end_all(cease_subcode::MAX_PREFIXES, &data.freeze(), DownReason::PrefixLimit(limit), ctx);
        match restart_after {
            Some(time) => {
                self.refuse_until = Some(ctx.now + time);
                self.retry_at = Some(ctx.now + time);
            }
            None => self.started = false,
        }
    }

    /// TCP is up, as [`Action::Connect`] has asked.
    pub fn connected(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        if self.attempt == Some(id) {
            self.attempt = None;
            self.open(id, Opener::Us, ctx);
        }
    }

    /// TCP has not come up.
    pub fn connect_failed(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        if self.attempt == Some(id) {
            self.attempt = None;
            if self.connections.is_empty() {
                self.last_reason = Some((ctx.now, DownReason::Unreachable));
            }
            self.retry_later(ctx);
        }
    }

    /// The peer has opened a TCP connection. `None` if it is not wanted and to be closed.
    pub fn accepted(&mut self, ctx: &mut Context<'_>) -> Option<ConnectionId> {
        if !self.started || !self.path_up || self.refuse_until.is_some_and(|until| ctx.now < until) {
            return None;
        }
        // One that it has opened before and left is of no use to it.
        let left = |known: &Connection| known.opener == Opener::Peer && known.state() != SessionState::Established;
        let left: Vec<_> = self.connections.iter().filter(|known| left(known)).map(|known| known.id).collect();
        for id in left {
            self.close_collided(id);
        }
        let id = self.next_id();
        self.open(id, Opener::Peer, ctx);
        Some(id)
    }

    /// Bytes have arrived on a connection.
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], ctx: &mut Context<'_>) {
        let Some(connection) = self.connection_mut(id) else { return };
        let outcomes = connection.receive(bytes, ctx);
        self.follow(id, outcomes, ctx);
    }

    /// A connection is closed or broken.
    pub fn closed(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        let Some(connection) = self.connection_mut(id) else { return };
        connection.closed();
        self.follow(id, vec![Outcome::Ended(DownReason::ConnectionClosed)], ctx);
    }

    /// The peer has not read what it was sent on a connection for the send hold time (RFC 9687).
    pub fn stalled(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        let Some(connection) = self.connection_mut(id) else { return };
        connection.give_up();
        self.follow(id, vec![Outcome::Ended(DownReason::NotReading)], ctx);
    }

    /// Asks the peer for all its routes of a family (RFC 2918). False if it cannot be asked.
    pub fn ask_refresh(&mut self, family: Family) -> bool {
        let Some(connection) = self.current() else { return false };
        let asked = connection.ask_refresh(family);
        let id = connection.id;
        self.flush(id);
        asked
    }

    /// Whether somebody watches, from now on.
    pub fn observe(&mut self, on: bool) {
        self.observed = on;
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        let due = |connection: &&Connection| connection.deadline().is_some_and(|at| at <= ctx.now);
        let due: Vec<_> = self.connections.iter().filter(due).map(|connection| connection.id).collect();
        for id in due {
            let Some(connection) = self.connection_mut(id) else { continue };
            let outcomes = connection.handle_timeout(ctx);
            self.follow(id, outcomes, ctx);
        }
        if self.retry_at.is_some_and(|at| at <= ctx.now) {
            self.begin_now(ctx);
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.connections.iter().filter_map(Connection::deadline).chain(self.retry_at).min()
    }

    /// The connection of the session, while it is up.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.up.as_ref().map(|(id, _)| *id)
    }

    /// The session, while it is up.
    pub fn session(&self) -> Option<Session> {
        let (id, negotiated) = self.up.as_ref()?;
        let connection = self.connections.iter().find(|known| known.id == *id)?;
        Some(Session {
            local: self.config.local,
            remote: self.config.remote,
            connection: *id,
            since: self.since,
            negotiated: negotiated.clone(),
            opens: connection.opens.clone(),
        })
    }

    /// What it is configured to be.
    pub fn config(&self) -> &NeighborConfig {
        &self.config
    }

    /// What can be seen of it.
    pub fn status(&self) -> NeighborStatus {
        let furthest = self.connections.iter().map(|connection| match connection.state() {
            SessionState::Established => State::Established,
            SessionState::OpenConfirm => State::OpenConfirm,
            SessionState::OpenSent | SessionState::Connect | SessionState::Active | SessionState::Idle => {
                State::OpenSent
            }
        });
        let waiting = match (self.started && self.path_up, self.attempt) {
            (false, _) => State::Idle,
            (true, Some(_)) => State::Connect,
            (true, None) if self.refuse_until.is_some() && self.retry_at.is_some() => State::Idle,
            (true, None) => State::Active,
        };
        NeighborStatus {
            state: furthest.max().unwrap_or(waiting),
            since: self.since,
            negotiated: self.up.as_ref().map(|(_, negotiated)| negotiated.clone()),
            last_reason: self.last_reason.clone(),
            last_down: self.last_down.clone(),
            times_up: self.times_up,
        }
    }

    fn current(&mut self) -> Option<&mut Connection> {
        let (id, _) = self.up.as_ref()?;
        self.connections.iter_mut().find(|known| known.id == *id)
    }

    fn open(&mut self, id: ConnectionId, opener: Opener, ctx: &mut Context<'_>) {
        self.connections.push(Connection::new(id, opener, &self.config, ctx));
        self.flush(id);
    }

    fn follow(&mut self, id: ConnectionId, outcomes: Vec<Outcome>, ctx: &mut Context<'_>) {
        self.flush(id);
        for outcome in outcomes {
            // What came before it may have ended it.
            if self.connections.iter().all(|known| known.id != id) {
                return;
            }
            let is_up = self.up.as_ref().is_some_and(|(up, _)| *up == id);
            match outcome {
                Outcome::Opened => {
                    self.settle_collision(id, ctx);
                    self.confirm(id, ctx);
                }
                Outcome::Established => self.on_established(id, ctx),
                Outcome::Update(update, message) if is_up => {
                    self.observe_update(&update, message);
                    self.actions.push_back(Action::Update(update));
                }
                Outcome::Refresh(family, subtype) if is_up => self.actions.extend(match subtype {
                    RouteRefreshSubtype::Normal => Some(Action::Refresh(family)),
                    RouteRefreshSubtype::BoRR => Some(Action::RefreshBegins(family)),
                    RouteRefreshSubtype::EoRR => Some(Action::RefreshEnds(family)),
                    // RFC 7313 §5: any other is ignored.
                    _ => None,
                }),
                Outcome::Update(..) | Outcome::Refresh(..) => {}
                Outcome::Ended(reason) => self.on_ended(id, reason, ctx),
            }
        }
    }

    /// RFC 4271 §6.8: the peer has said on a connection who it is; only one may stay.
    fn settle_collision(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        if let Some((up, negotiated)) = self.up.clone() {
            if negotiated.restart.is_some() {
                // RFC 4724 §4.2: the peer has lost the one that is up, and is not to be told.
                self.forget(up);
                self.go_down(DownReason::Restarted, ctx.now);
            } else {
                self.close_collided(id);
            }
            return;
        }
        let Some(this) = self.connections.iter().find(|known| known.id == id) else { return };
        let (opener, Some(theirs)) = (this.opener, this.peer_identifier) else { return };
        // The other may not have said who is at its end, but it is the same peer, of whom that is known now.
        let Some(other) = self.connections.iter().find(|known| known.id != id) else { return };
        // RFC 6286 §2.3: where identifiers are the same, AS numbers decide.
        let ours = (u32::from(self.config.router_id), self.config.local_as);
        let stays = if ours < (u32::from(theirs), self.config.remote_as) { Opener::Peer } else { Opener::Us };
        let loser = if opener == stays { other.id } else { id };
        self.close_collided(loser);
    }

    /// A connection that stays goes on, and no other is opened.
    fn confirm(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        let Some(connection) = self.connection_mut(id) else { return };
        let outcomes = connection.confirm(ctx);
        self.actions.extend(self.attempt.take().map(Action::Close));
        self.follow(id, outcomes, ctx);
    }

    fn on_established(&mut self, id: ConnectionId, ctx: &mut Context<'_>) {
        let Some(agreed) = self.connections.iter().find(|known| known.id == id).and_then(Connection::negotiated) else {
            return;
        };
        let others: Vec<_> = self.connections.iter().map(|known| known.id).filter(|other| *other != id).collect();
        others.into_iter().for_each(|other| self.close_collided(other));
        (self.retry_at, self.refuse_until) = (None, None);
        let negotiated = Arc::new(Negotiated::of(&agreed));
        self.up = Some((id, negotiated.clone()));
        self.since = ctx.now;
        self.times_up += 1;
        let session = self.session().filter(|_| self.observed);
        self.actions.extend(session.map(|session| Action::Observed(Observation::Up(session))));
        self.actions.push_back(Action::Up(negotiated));
    }

    fn on_ended(&mut self, id: ConnectionId, reason: DownReason, ctx: &mut Context<'_>) {
        let was_up = self.up.as_ref().is_some_and(|(up, _)| *up == id);
        self.forget(id);
        // What is wrong with the peer is so again at once; a connection that is lost may be back at once.
        let complaint = reason.is_complaint();
        if was_up {
            if ctx.now - self.since >= STABLE {
                self.failures = 0;
            }
            self.go_down(reason, ctx.now);
        } else if self.up.is_none() {
            // Of two connections one goes. And tried again and again, it would be told again and again.
            let new = self.last_reason.as_ref().is_none_or(|(_, last)| *last != reason);
            if new && self.connections.is_empty() {
                self.actions.push_back(Action::NotUp(reason.clone()));
            }
            self.last_reason = Some((ctx.now, reason));
        }
        if self.up.is_none() && self.connections.is_empty() && self.attempt.is_none() {
            self.retry_later(ctx);
            self.refuse_until = self.retry_at.filter(|_| complaint);
        }
    }

    /// Ends all connections with a Cease.
    fn end_all(&mut self, subcode: u8, data: &Bytes, reason: DownReason, ctx: &mut Context<'_>) {
        while let Some(connection) = self.connections.first_mut() {
            connection.cease(subcode, data.clone(), true);
            let id = connection.id;
            self.flush(id);
            self.forget(id);
        }
        self.actions.extend(self.attempt.take().map(Action::Close));
        (self.retry_at, self.refuse_until, self.failures) = (None, None, 0);
        if self.up.is_some() {
            self.go_down(reason, ctx.now);
        } else {
            self.last_reason = Some((ctx.now, reason));
        }
    }

    fn go_down(&mut self, reason: DownReason, now: Instant) {
        let Some((_, negotiated)) = self.up.take() else { return };
        let ending = self.ending.take().unwrap_or_else(|| Ending::without_notification(&reason));
        self.actions.extend(self.observed.then_some(Action::Observed(Observation::Down(ending))));
        let retain = negotiated.restart.as_ref().filter(|restart| reason.leaves_routes(restart.notification));
        let retain = retain.map(|restart| restart.families).unwrap_or_default();
        self.since = now;
        self.last_reason = Some((now, reason.clone()));
        self.last_down = self.last_reason.clone();
        self.actions.push_back(Action::Down { reason, retain });
    }

    fn close_collided(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection_mut(id) {
            connection.cease(cease_subcode::CONNECTION_COLLISION_RESOLUTION, Bytes::new(), false);
            self.flush(id);
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        let of_session = self.up.as_ref().is_some_and(|(up, _)| *up == id);
        if let Some(connection) = self.connection_mut(id).filter(|_| of_session) {
            self.ending = connection.ending.take();
        }
        self.connections.retain(|known| known.id != id);
        self.actions.push_back(Action::Close(id));
    }

    /// RFC 7854 §5 has an UPDATE told as it came. What was wrong with one is not: who reads that has no more use for it than we.
    fn observe_update(&mut self, update: &Update, message: Bytes) {
        let Some((_, negotiated)) = self.up.as_ref().filter(|_| self.observed) else { return };
        let messages = if update.faults.is_empty() { vec![message] } else { retold(update, negotiated) };
        self.actions.extend(messages.into_iter().map(|message| Action::Observed(Observation::Update(message))));
    }

    fn begin_now(&mut self, ctx: &mut Context<'_>) {
        self.retry_at = None;
        self.refuse_until = self.refuse_until.filter(|until| ctx.now < *until);
        let wanted = self.started && self.path_up && !self.config.passive;
        if wanted && self.connections.is_empty() && self.attempt.is_none() {
            let id = self.next_id();
            self.attempt = Some(id);
            self.actions.push_back(Action::Connect(id));
        }
    }

    fn retry_later(&mut self, ctx: &mut Context<'_>) {
        if !self.started || !self.path_up || !self.connections.is_empty() {
            return;
        }
        let doubled = FIRST_RETRY * 2u32.pow(self.failures.min(11));
        let most = doubled.min(self.config.connect_retry);
        self.failures = self.failures.saturating_add(1);
        // RFC 4271 §10: up to a quarter earlier.
        self.retry_at = Some(ctx.now + most * (750 + ctx.rng.next_u32() % 251) / 1000);
    }

    fn next_id(&mut self) -> ConnectionId {
        self.connections_made += 1;
        ConnectionId(self.connections_made)
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|known| known.id == id)
    }

    /// Takes what a connection has to say.
    fn flush(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.iter_mut().find(|known| known.id == id) {
            let output = connection.output.drain(..).map(|bytes| Action::Transmit { connection: id, bytes });
            self.actions.extend(output);
        }
    }
}
