//! All of a border gateway's BGP: its neighbours, its routes, and the times between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustbgpd_wire::Prefix;

use crate::attributes::Attributes;
use crate::bmp::Statistics;
use crate::config::{ConfigError, NeighborConfig};
use crate::connection::ConnectionId;
use crate::family::{Families, Family};
use crate::negotiated::Negotiated;
use crate::neighbor::{Action as Step, Context, Neighbor, NeighborStatus};
use crate::observation::{Observation, Session};
use crate::reason::DownReason;
use crate::rib::{Change, Excess, Notice, PeerConfig, PrefixLimit, Rib, SourceId, Worth};
use crate::update::Fault;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a TCP connection to a peer, and say what came of it by [`Speaker::connected`] or [`Speaker::connect_failed`].
    Connect {
        /// Whose.
        peer: SourceId,
        /// Its name.
        connection: ConnectionId,
    },
    /// Write to a connection, and say by [`Speaker::written`] when that is done.
    Transmit {
        /// Whose.
        peer: SourceId,
        /// Which.
        connection: ConnectionId,
        /// One or more messages.
        bytes: Bytes,
    },
    /// Close a connection once all that was transmitted on it is written, or give up opening it.
    Close {
        /// Whose.
        peer: SourceId,
        /// Which.
        connection: ConnectionId,
    },
    /// Something for whoever watches.
    Event {
        /// Whose.
        peer: SourceId,
        /// What.
        event: Event,
    },
}

/// Something that has happened to a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Its session is up.
    Up(Arc<Negotiated>),
    /// Its session does not come up, for this reason, which is another one than before.
    NotUp(DownReason),
    /// Its session is down.
    Down {
        /// Why.
        reason: DownReason,
        /// The families whose routes stay for now.
        retain: Families,
    },
    /// It has announced all that it has of a family.
    EndOfRib(Family),
    /// The routes of a family that outlived its session are gone; so many.
    StaleDropped(Family, usize),
    /// They are kept as a last resort (RFC 9494).
    LastResort(Family),
    /// It announces four fifths of the prefixes that it may, or more.
    PrefixWarning(Family, u32),
    /// It announces more prefixes than it may.
    PrefixLimit(Family, PrefixLimit),
    /// There was something wrong with an UPDATE (RFC 7606).
    Fault(Fault),
}

/// Bytes that are under way to a peer, at most.
const WINDOW: usize = 256 * 1024;
/// How long a peer that is back may take to announce all its routes again (RFC 4724 §4.2 leaves it open).
const STALE_PATHS: Duration = Duration::from_secs(360);

#[derive(Debug)]
struct Peer {
    neighbor: Neighbor,
    routes: PeerConfig,
    under_way: usize,
    /// The times of the last session, which say how long what is left of it stays.
    last: Option<Arc<Negotiated>>,
    /// By family: until when routes of the last session stay, and as what.
    stale: [Option<(Instant, Stage)>; 2],
    /// Those of the families that it has said all of since it came up.
    complete: Families,
    /// How many of its UPDATEs were taken as withdrawals.
    withdrawing: u32,
}

/// How routes are kept that outlive a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// As if nothing had happened.
    Retained,
    /// As a last resort.
    LastResort,
}

/// All of a border gateway's BGP.
///
/// After each of its methods [`Speaker::poll_action`] gives what is to be done, until it returns `None`, and
/// [`Speaker::poll_route`] which traffic takes another way; then [`Speaker::next_timeout`] says when to call
/// [`Speaker::handle_timeout`].
#[derive(Debug)]
pub struct Speaker {
    peers: BTreeMap<SourceId, Peer>,
    rib: Rib,
    /// Until when nothing is told, for we have restarted and do not know all routes yet. Traffic is not held up: no older way
    /// of it is left that would be better than what is known.
    deferred_until: Option<Instant>,
    actions: VecDeque<Action>,
    /// Somebody watches, and has not been told of these yet.
    observed: bool,
    observations: VecDeque<(SourceId, Observation)>,
}

impl Speaker {
    /// Without peers. After a restart of ours nothing is told until all peers have announced what they have, for as long as `deferral` at most (RFC 4724 §4.1). Whoever does not know the seed cannot make routes that collide.
    pub fn new(seed: u64, deferral: Option<Duration>, now: Instant) -> Self {
        Self {
            peers: BTreeMap::new(),
            rib: Rib::new(seed),
            deferred_until: deferral.map(|time| now + time),
            actions: VecDeque::new(),
            observed: false,
            observations: VecDeque::new(),
        }
    }

    /// Adds a kind of route of our own.
    pub fn add_own(&mut self, id: SourceId, worth: Worth) {
        self.rib.add_own(id, worth);
    }

    /// Adds a peer and has it come up, or gives it another configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names what is not acceptable; nothing has changed then.
    pub fn configure(
        &mut self,
        id: SourceId,
        session: NeighborConfig,
        routes: PeerConfig,
        ctx: &mut Context<'_>,
    ) -> Result<(), ConfigError> {
        match self.peers.get_mut(&id) {
            Some(peer) => {
                peer.neighbor.reconfigure(session, ctx)?;
                if peer.routes != routes {
                    peer.routes = routes.clone();
                    self.rib.reconfigure(id, routes);
                    self.act_on_notices(ctx);
                }
            }
            None => {
                let mut neighbor = Neighbor::new(session, ctx.now)?;
                neighbor.observe(self.observed);
                neighbor.start(ctx);
                self.rib.add_peer(id, routes.clone());
                let (last, stale, complete) = (None, [None; 2], Families::default());
                let peer = Peer { neighbor, routes, under_way: 0, last, stale, complete, withdrawing: 0 };
                self.peers.insert(id, peer);
            }
        }
        self.settle(id, ctx);
        Ok(())
    }

    /// Forgets a peer, which is told so with these words, and its routes.
    pub fn remove(&mut self, id: SourceId, words: &str, ctx: &mut Context<'_>) {
        self.stop(id, words, ctx);
        self.rib.remove(id);
        self.peers.remove(&id);
    }

    /// Has a peer that was stopped come up.
    pub fn start(&mut self, id: SourceId, ctx: &mut Context<'_>) {
        self.on(id, ctx, Neighbor::start);
    }

    /// Ends a peer's session until it is started again (RFC 9003).
    pub fn stop(&mut self, id: SourceId, words: &str, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.stop(words, ctx));
    }

    /// Ends a peer's session and begins anew.
    pub fn reset(&mut self, id: SourceId, words: &str, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.reset(words, ctx));
    }

    /// Whether there is a way to a peer. Without one its routes go at once.
    pub fn set_path(&mut self, id: SourceId, up: bool, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.set_path(up, ctx));
    }

    /// Asks a peer for all its routes of a family again. False if it cannot be asked.
    pub fn ask_refresh(&mut self, id: SourceId, family: Family, ctx: &mut Context<'_>) -> bool {
        let mut asked = false;
        self.on(id, ctx, |neighbor, _| asked = neighbor.ask_refresh(family));
        asked
    }

    /// A route of our own begins, or changes.
    pub fn originate(&mut self, source: SourceId, prefix: Prefix, attributes: Attributes) {
        self.rib.originate(source, prefix, attributes);
    }

    /// A route of our own ends.
    pub fn retract(&mut self, source: SourceId, prefix: &Prefix) {
        self.rib.retract(source, prefix);
    }

    /// TCP to a peer is up, as [`Action::Connect`] has asked.
    pub fn connected(&mut self, id: SourceId, connection: ConnectionId, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.connected(connection, ctx));
    }

    /// TCP to a peer has not come up.
    pub fn connect_failed(&mut self, id: SourceId, connection: ConnectionId, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.connect_failed(connection, ctx));
    }

    /// A peer has opened a TCP connection. `None` if it is not wanted and to be closed. Call [`Speaker::follow`] once its name is
    /// known to whoever writes to it.
    pub fn accepted(&mut self, id: SourceId, ctx: &mut Context<'_>) -> Option<ConnectionId> {
        self.peers.get_mut(&id)?.neighbor.accepted(ctx)
    }

    /// What follows from [`Speaker::accepted`].
    pub fn follow(&mut self, id: SourceId, ctx: &mut Context<'_>) {
        self.settle(id, ctx);
    }

    /// Bytes of a peer's have arrived.
    pub fn received(&mut self, id: SourceId, connection: ConnectionId, bytes: &[u8], ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.received(connection, bytes, ctx));
    }

    /// A connection is closed or broken.
    pub fn closed(&mut self, id: SourceId, connection: ConnectionId, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.closed(connection, ctx));
    }

    /// A peer has not read what it was sent on a connection for the send hold time (RFC 9687).
    pub fn stalled(&mut self, id: SourceId, connection: ConnectionId, ctx: &mut Context<'_>) {
        self.on(id, ctx, |neighbor, ctx| neighbor.stalled(connection, ctx));
    }

    /// So many bytes of what was transmitted to a peer are written.
    pub fn written(&mut self, id: SourceId, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.under_way = peer.under_way.saturating_sub(bytes);
        }
    }

    /// Whether somebody watches: then [`Speaker::poll_observation`] says what there is to be seen from now on, and wants to be asked
    /// after each call, for messages are kept until it was.
    pub fn observe(&mut self, on: bool) {
        self.observed = on;
        self.observations.clear();
        self.peers.values_mut().for_each(|peer| peer.neighbor.observe(on));
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in ids {
            let due = |peer: &Peer| peer.neighbor.next_timeout().is_some_and(|at| at <= ctx.now);
            if self.peers.get(&id).is_some_and(due) {
                self.on(id, ctx, Neighbor::handle_timeout);
            }
            for family in Family::ALL {
                self.expire_stale(id, family, ctx);
            }
        }
        if self.deferred_until.is_some_and(|at| at <= ctx.now) {
            self.end_deferral();
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            // Last, so that what has changed since it was asked for last is told in as few messages as hold it.
            self.tell();
        }
        self.actions.pop_front()
    }

    /// The next prefix whose traffic takes another way; [`Rib::sources`] says which. They wait for as long as they have to.
    pub fn poll_route(&mut self) -> Option<Change> {
        self.rib.poll_change()
    }

    /// The next thing that was seen of a peer.
    pub fn poll_observation(&mut self) -> Option<(SourceId, Observation)> {
        self.observations.pop_front()
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        let peers = self.peers.values();
        let stale = peers.clone().flat_map(|peer| peer.stale.iter().flatten().map(|(at, _)| *at));
        peers.filter_map(|peer| peer.neighbor.next_timeout()).chain(stale).chain(self.deferred_until).min()
    }

    /// All prefixes that traffic has a way to are given by [`Speaker::poll_route`] again.
    pub fn repeat_routes(&mut self) {
        self.rib.repeat_changes();
    }

    /// What can be seen of a peer's session.
    pub fn status(&self, id: SourceId) -> Option<NeighborStatus> {
        Some(self.peers.get(&id)?.neighbor.status())
    }

    /// A peer's session, while it is up.
    pub fn session(&self, id: SourceId) -> Option<Session> {
        self.peers.get(&id)?.neighbor.session()
    }

    /// The peers whose sessions are up.
    pub fn established(&self) -> impl Iterator<Item = SourceId> {
        self.peers.iter().filter(|(_, peer)| peer.neighbor.connection().is_some()).map(|(id, _)| *id)
    }

    /// How much there is of a peer's, of what its session is about; `None` while that is down.
    pub fn statistics(&self, id: SourceId) -> Option<Statistics> {
        let peer = self.peers.get(&id)?;
        let families = peer.neighbor.status().negotiated?.families;
        let (received, told) = self.rib.peer_prefixes(id);
        let refused = self.rib.refused(id);
        let both = Family::ALL.into_iter().zip(received.into_iter().zip(told));
        let of_each = both.filter(|(family, _)| families.contains(*family));
        Some(Statistics {
            refused_prefixes: refused.prefixes,
            looped_updates: refused.looped,
            withdrawing_updates: peer.withdrawing,
            received: of_each.clone().map(|(family, (received, _))| (family, received.into())).collect(),
            told: of_each.map(|(family, (_, told))| (family, told as u64)).collect(),
        })
    }

    /// The routes.
    pub fn rib(&self) -> &Rib {
        &self.rib
    }

    fn on(&mut self, id: SourceId, ctx: &mut Context<'_>, call: impl FnOnce(&mut Neighbor, &mut Context<'_>)) {
        if let Some(peer) = self.peers.get_mut(&id) {
            call(&mut peer.neighbor, ctx);
            self.settle(id, ctx);
        }
    }

    /// Does what a neighbour wants done.
    fn settle(&mut self, id: SourceId, ctx: &mut Context<'_>) {
        while let Some(peer) = self.peers.get_mut(&id)
            && let Some(step) = peer.neighbor.poll_action()
        {
            match step {
                Step::Connect(connection) => self.actions.push_back(Action::Connect { peer: id, connection }),
                Step::Transmit { connection, bytes } => {
                    peer.under_way += bytes.len();
                    self.actions.push_back(Action::Transmit { peer: id, connection, bytes });
                }
                Step::Close(connection) => {
                    // What was under way there is not spoken of any more.
                    if peer.neighbor.connection().is_none() {
                        peer.under_way = 0;
                    }
                    self.actions.push_back(Action::Close { peer: id, connection });
                }
                Step::Up(negotiated) => self.on_up(id, negotiated, ctx),
                Step::NotUp(reason) => self.actions.push_back(event(id, Event::NotUp(reason))),
                Step::Down { reason, retain } => self.on_down(id, reason, retain, ctx),
                Step::Update(mut update) => {
                    let faults = std::mem::take(&mut update.faults);
                    let withdraws = faults.iter().any(|fault| fault.withdraws);
                    peer.withdrawing = peer.withdrawing.wrapping_add(withdraws.into());
                    self.actions.extend(faults.into_iter().map(|fault| event(id, Event::Fault(fault))));
                    let ends = update.end_of_rib;
                    ends.into_iter().for_each(|family| self.observe_stale(id, family));
                    self.rib.update(id, update);
                    ends.into_iter().for_each(|family| self.on_end_of_rib(id, family));
                    self.act_on_notices(ctx);
                }
                Step::Refresh(family) => {
                    let first = self.rib.tell_again(id, family);
                    self.say(id, first.unwrap_or_default());
                }
                Step::RefreshBegins(family) => self.rib.refresh_begins(id, family),
                Step::RefreshEnds(family) => {
                    self.observe_stale(id, family);
                    self.rib.refresh_ends(id, family);
                }
                Step::Observed(observation) => self.observations.push_back((id, observation)),
            }
        }
    }

    fn on_up(&mut self, id: SourceId, negotiated: Arc<Negotiated>, ctx: &mut Context<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.complete = Families::default();
        // Routes of the session before that are still there have so long to come again.
        for stale in peer.stale.iter_mut().filter(|stale| stale.is_some()) {
            *stale = Some((ctx.now + STALE_PATHS, Stage::LastResort));
        }
        self.rib.peer_up(id, &negotiated);
        peer.last = Some(negotiated.clone());
        self.actions.push_back(event(id, Event::Up(negotiated)));
        self.end_deferral_if_complete();
    }

    fn on_down(&mut self, id: SourceId, reason: DownReason, retain: Families, ctx: &mut Context<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let time = peer.last.as_ref().and_then(|last| Some(last.restart.as_ref()?.time)).unwrap_or_default();
        let until = ctx.now + Duration::from_secs(time.into());
        for family in Family::ALL {
            *of_mut(&mut peer.stale, family) = retain.contains(family).then_some((until, Stage::Retained));
        }
        self.rib.peer_down(id, retain);
        self.actions.push_back(event(id, Event::Down { reason, retain }));
    }

    fn on_end_of_rib(&mut self, id: SourceId, family: Family) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        *of_mut(&mut peer.stale, family) = None;
        peer.complete = peer.complete.iter().chain([family]).collect();
        self.actions.push_back(event(id, Event::EndOfRib(family)));
        self.end_deferral_if_complete();
    }

    /// RFC 4724 §4.1: all peers have said all that they have, but for those that do not say so or have restarted as well. Who is
    /// not up yet is waited for.
    fn end_deferral_if_complete(&mut self) {
        let complete = |peer: &Peer| match peer.neighbor.status().negotiated {
            Some(negotiated) => {
                negotiated.restart.as_ref().is_none_or(|restart| restart.restarting)
                    || negotiated.families.iter().all(|family| peer.complete.contains(family))
            }
            None => false,
        };
        if self.deferred_until.is_some() && self.peers.values().all(complete) {
            self.end_deferral();
        }
    }

    fn end_deferral(&mut self) {
        self.deferred_until = None;
        self.peers.values_mut().for_each(|peer| peer.neighbor.end_restart());
    }

    fn expire_stale(&mut self, id: SourceId, family: Family, ctx: &mut Context<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some((_, stage)) = of_mut(&mut peer.stale, family).filter(|(at, _)| *at <= ctx.now) else { return };
        let restart = peer.last.as_ref().and_then(|last| last.restart.as_ref());
        let long_lived = restart.and_then(|restart| restart.long_lived.iter().find(|(of, _)| *of == family));
        match long_lived {
            Some((_, seconds)) if stage == Stage::Retained && *seconds > 0 => {
                let until = ctx.now + Duration::from_secs((*seconds).into());
                *of_mut(&mut peer.stale, family) = Some((until, Stage::LastResort));
                self.rib.keep_as_last_resort(id, family);
                self.actions.push_back(event(id, Event::LastResort(family)));
            }
            _ => {
                *of_mut(&mut peer.stale, family) = None;
                self.observe_stale(id, family);
                let dropped = self.rib.drop_stale(id, family);
                if dropped > 0 {
                    self.actions.push_back(event(id, Event::StaleDropped(family, dropped)));
                }
            }
        }
    }

    /// Stale routes are about to go.
    fn observe_stale(&mut self, id: SourceId, family: Family) {
        if self.observed {
            let messages = self.rib.withdrawals_of_stale(id, family).into_iter();
            self.observations.extend(messages.map(|message| (id, Observation::Update(message))));
        }
    }

    fn act_on_notices(&mut self, ctx: &mut Context<'_>) {
        while let Some(notice) = self.rib.poll_notice() {
            match notice {
                Notice::PrefixWarning { peer, family, most } => {
                    self.actions.push_back(event(peer, Event::PrefixWarning(family, most)));
                }
                Notice::PrefixLimit { peer: id, family, limit } => {
                    self.actions.push_back(event(id, Event::PrefixLimit(family, limit)));
                    if let (Excess::Restart(after), Some(peer)) = (limit.excess, self.peers.get_mut(&id)) {
                        peer.neighbor.exceed_prefix_limit(family, limit.most, Some(after), ctx);
                    }
                }
            }
        }
    }

    /// Tells every peer what it does not know yet, as much as may be under way.
    fn tell(&mut self) {
        if self.deferred_until.is_some() {
            return;
        }
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in ids {
            while let Some(peer) = self.peers.get(&id).filter(|peer| peer.under_way < WINDOW)
                && self.rib.has_messages(id)
            {
                let messages = self.rib.messages(id, WINDOW - peer.under_way);
                self.say(id, messages);
            }
        }
    }

    fn say(&mut self, id: SourceId, bytes: Bytes) {
        if let Some(peer) = self.peers.get_mut(&id)
            && let Some(connection) = peer.neighbor.connection().filter(|_| !bytes.is_empty())
        {
            peer.under_way += bytes.len();
            self.actions.push_back(Action::Transmit { peer: id, connection, bytes });
        }
    }
}

fn event(peer: SourceId, event: Event) -> Action {
    Action::Event { peer, event }
}

fn of_mut<T>(of_each: &mut [T; 2], family: Family) -> &mut T {
    let [ipv4, ipv6] = of_each;
    match family {
        Family::Ipv4 => ipv4,
        Family::Ipv6 => ipv6,
    }
}
