//! All sessions of one routing instance, and which packet belongs to which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use crate::authentication::AuthenticationError;
use crate::config::{ConfigError, Distance, SessionConfig, SessionId};
use crate::packet::{Diagnostic, Packet, ParseError, State};
use crate::session::{Session, Transition};

/// A datagram that has arrived on [`Distance::port`].
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The address it was sent to.
    pub local: IpAddr,
    /// The address it came from.
    pub remote: IpAddr,
    /// The port it was sent to.
    pub port: u16,
    /// The IP header's time to live, or hop limit, as it arrived.
    pub ttl: u8,
    /// The UDP payload.
    pub payload: &'a [u8],
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a control packet from the session's local to its remote address, to its [`Distance::port`], from one and the same
    /// port from 49152 on (RFC 5881 §4), with a time to live of 255 (§5).
    Transmit {
        /// Whose.
        session: SessionId,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// The session has changed its state.
    StateChanged {
        /// Which.
        session: SessionId,
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        diagnostic: Diagnostic,
        /// Why the other end last went down, as it says.
        remote_diagnostic: Diagnostic,
    },
}

/// Why a datagram changes nothing (RFC 5880 §6.8.6, RFC 5881 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discard {
    /// It is no control packet.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// Its discriminator is not one of ours, or nobody is configured for its addresses.
    #[error("no session is for it")]
    NoSession,
    /// The session that it names is with somebody else.
    #[error("session {} is between other addresses", .0.0)]
    Addresses(SessionId),
    /// It has crossed more routers than it may.
    #[error("time to live {ttl}, where {least} is the least")]
    TimeToLive {
        /// The packet's.
        ttl: u8,
        /// What the session asks for.
        least: u8,
    },
    /// It is not authentic.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
}

/// What can be seen of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// Our end.
    pub state: State,
    /// Why it last went down.
    pub diagnostic: Diagnostic,
    /// Since when our end is in its state.
    pub since: Instant,
    /// The other end.
    pub remote_state: State,
    /// Why it last went down, as it says.
    pub remote_diagnostic: Diagnostic,
    /// Our discriminator.
    pub discriminator: u32,
    /// The other end's, or 0 if it is not heard.
    pub remote_discriminator: u32,
    /// The longest time between two packets of ours; `None` where none are sent.
    pub interval: Option<Duration>,
    /// After how long a silence the other end is taken to be down; zero before it was heard.
    pub detection_time: Duration,
    /// Packets sent.
    pub sent: u64,
    /// Packets accepted.
    pub received: u64,
    /// Packets that were the session's and were not accepted, and why the last one was not.
    pub discarded: u64,
    /// See `discarded`.
    pub last_discard: Option<Discard>,
    /// How many times it came up.
    pub times_up: u64,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    /// What is in `deadlines` for it.
    deadline: Option<Instant>,
    discarded: u64,
    last_discard: Option<Discard>,
}

/// The sessions of one routing instance.
///
/// `now` never runs backwards. After each method that takes it, [`Endpoint::poll_action`] gives what is to be done, until it
/// returns `None`; then [`Endpoint::next_timeout`] says when to call [`Endpoint::handle_timeout`].
#[derive(Debug, Default)]
pub struct Endpoint {
    sessions: BTreeMap<SessionId, Entry>,
    by_discriminator: BTreeMap<u32, SessionId>,
    /// By our address, the other end's, and the port.
    by_addresses: BTreeMap<(IpAddr, IpAddr, u16), SessionId>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    actions: VecDeque<Action>,
}

impl Endpoint {
    /// An endpoint without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session, or gives it another configuration. Other addresses or another distance make it another session, which
    /// begins anew; all else is changed while it stays up, its intervals as RFC 5880 §6.8.3 has it.
    ///
    /// # Errors
    /// [`ConfigError`] names what is not acceptable; nothing has changed then.
    pub fn configure(
        &mut self,
        id: SessionId,
        config: SessionConfig,
        now: Instant,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), ConfigError> {
        config.check()?;
        let key = (config.local, config.remote, config.distance.port());
        if let Some(by) = self.by_addresses.get(&key).filter(|by| **by != id) {
            return Err(ConfigError::AddressesTaken(*by));
        }
        match self.sessions.get_mut(&id) {
            Some(entry) if entry.session.config == config => return Ok(()),
            Some(entry) if addresses(&entry.session) == key => entry.session.reconfigure(config, now, rng),
            _ => {
                self.remove(id);
                let mut discriminator = rng.next_u32();
                while discriminator == 0 || self.by_discriminator.contains_key(&discriminator) {
                    discriminator = rng.next_u32();
                }
                let session = Session::new(config, discriminator, now, rng);
                self.by_discriminator.insert(discriminator, id);
                self.by_addresses.insert(key, id);
                self.sessions.insert(id, Entry { session, deadline: None, discarded: 0, last_discard: None });
            }
        }
        self.settle(id, None);
        Ok(())
    }

    /// Forgets a session. The other end finds out by its detection time, unless it was told by [`Endpoint::set_admin`].
    pub fn remove(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        self.by_discriminator.remove(&entry.session.discriminator);
        self.by_addresses.remove(&addresses(&entry.session));
        if let Some(at) = entry.deadline {
            self.deadlines.remove(&(at, id));
        }
    }

    /// Holds a session down, which the other end is told, or lets it come up again.
    pub fn set_admin(&mut self, id: SessionId, up: bool, now: Instant, rng: &mut dyn CryptoRng) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let transition = entry.session.set_admin(up, now, rng);
        self.settle(id, transition);
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// [`Discard`] says why it changes nothing.
    pub fn handle_datagram(
        &mut self,
        arrival: Arrival<'_>,
        now: Instant,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), Discard> {
        let packet = Packet::parse(arrival.payload)?;
        let key = (arrival.local, arrival.remote, arrival.port);
        // RFC 5880 §6.3: by our discriminator, once the other end knows it.
        let id = match packet.your_discriminator {
            0 => self.by_addresses.get(&key),
            ours => self.by_discriminator.get(&ours),
        };
        let id = *id.ok_or(Discard::NoSession)?;
        let entry = self.sessions.get_mut(&id).ok_or(Discard::NoSession)?;
        if addresses(&entry.session) != key {
            return Err(Discard::Addresses(id));
        }
        match accept(&entry.session, &packet, arrival.ttl, now) {
            Err(discard) => {
                entry.discarded += 1;
                entry.last_discard = Some(discard);
                Err(discard)
            }
            Ok(sequence) => {
                let (transition, answer) = entry.session.receive(&packet, sequence, now, rng);
                if answer {
                    let payload = entry.session.packet(true);
                    self.actions.push_back(Action::Transmit { session: id, payload });
                }
                self.settle(id, transition);
                Ok(())
            }
        }
    }

    /// Does what is due. To be called at [`Endpoint::next_timeout`]; earlier it does nothing, and each moment late makes a
    /// packet late or a failure go unnoticed for that long.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut dyn CryptoRng) {
        // A session's next deadline is later than now, so each has its turn once.
        let due: Vec<_> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        for id in due {
            let Some(entry) = self.sessions.get_mut(&id) else { continue };
            let (transition, send) = entry.session.handle_timeout(now, rng);
            if send {
                let payload = entry.session.packet(false);
                self.actions.push_back(Action::Transmit { session: id, payload });
            }
            self.settle(id, transition);
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// What can be seen of a session.
    pub fn status(&self, id: SessionId) -> Option<SessionStatus> {
        let Entry { session, discarded, last_discard, .. } = self.sessions.get(&id)?;
        Some(SessionStatus {
            state: session.state,
            diagnostic: session.diagnostic,
            since: session.since,
            remote_state: session.remote.state,
            remote_diagnostic: session.remote.diagnostic,
            discriminator: session.discriminator,
            remote_discriminator: session.remote.discriminator,
            interval: session.interval(),
            detection_time: session.detection_time(),
            sent: session.sent,
            received: session.received,
            discarded: *discarded,
            last_discard: *last_discard,
            times_up: session.times_up,
        })
    }

    /// Says what has changed, and moves the session's deadline.
    fn settle(&mut self, id: SessionId, transition: Option<Transition>) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        if let Some(Transition { from, to, diagnostic }) = transition {
            let remote_diagnostic = entry.session.remote.diagnostic;
            self.actions.push_back(Action::StateChanged { session: id, from, to, diagnostic, remote_diagnostic });
        }
        let deadline = entry.session.deadline();
        if deadline != entry.deadline {
            if let Some(before) = entry.deadline {
                self.deadlines.remove(&(before, id));
            }
            self.deadlines.extend(deadline.map(|at| (at, id)));
            entry.deadline = deadline;
        }
    }
}

fn addresses(session: &Session) -> (IpAddr, IpAddr, u16) {
    let SessionConfig { local, remote, distance, .. } = session.config;
    (local, remote, distance.port())
}

/// Whether a packet may have come from the session's other end. Gives its sequence number.
fn accept(session: &Session, packet: &Packet<'_>, ttl: u8, now: Instant) -> Result<Option<u32>, Discard> {
    let least = match (session.config.distance, &session.config.authentication) {
        // RFC 5881 §5: from elsewhere nothing arrives with 255; who is authentic may be anywhere.
        (Distance::SingleHop, None) => 255,
        (Distance::SingleHop, Some(_)) => 0,
        (Distance::MultiHop { minimum_ttl }, _) => minimum_ttl,
    };
    if ttl < least {
        return Err(Discard::TimeToLive { ttl, least });
    }
    match &session.config.authentication {
        Some(authentication) => Ok(authentication.open(packet, session.last_sequence(now))?),
        None if packet.authentication.is_some() => Err(AuthenticationError::Presence { received: true }.into()),
        None => Ok(None),
    }
}
