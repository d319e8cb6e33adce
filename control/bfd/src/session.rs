//! One session: its state machine and its timers (RFC 5880 §6.8).

use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use crate::config::SessionConfig;
use crate::packet::{Diagnostic, Microseconds, Packet, State};

/// RFC 5880 §6.8.3: at most one packet a second by our own choice, until the session is up.
const SLOW: Duration = Duration::from_secs(1);

/// What the other end has last said of itself, or what is assumed of an end that is silent (RFC 5880 §6.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) discriminator: u32,
    pub(crate) state: State,
    pub(crate) diagnostic: Diagnostic,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    multiplier: u8,
    demand: bool,
}

impl Remote {
    const SILENT: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::None,
        desired_min_tx: Duration::ZERO,
        required_min_rx: Duration::from_micros(1),
        multiplier: 0,
        demand: false,
    };
}

/// A change of state, for whoever acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) diagnostic: Diagnostic,
}

/// One end of a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: SessionConfig,
    pub(crate) discriminator: u32,
    pub(crate) state: State,
    pub(crate) diagnostic: Diagnostic,
    pub(crate) remote: Remote,
    pub(crate) since: Instant,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) times_up: u64,
    /// The interval between our packets that is in use; what is announced may be longer until the other end knows of it.
    min_tx: Duration,
    /// The interval between the other end's packets that is counted on; what is announced may be shorter.
    min_rx: Duration,
    /// We have asked whether the other end knows our intervals (§6.5).
    polling: bool,
    last_sent: Option<Instant>,
    next_send: Option<Instant>,
    /// The interval for which `next_send` stands.
    scheduled: Option<Duration>,
    last_received: Option<Instant>,
    expires: Option<Instant>,
    /// The number of the last packet of ours that was authenticated.
    sequence: u32,
    /// The other end's last number, and until when it counts (§6.8.1, bfd.AuthSeqKnown).
    last_sequence: Option<(u32, Instant)>,
}

impl Session {
    pub(crate) fn new(config: SessionConfig, discriminator: u32, now: Instant, rng: &mut dyn CryptoRng) -> Self {
        let min_rx = config.required_min_rx;
        let mut session = Self {
            config,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::None,
            remote: Remote::SILENT,
            since: now,
            sent: 0,
            received: 0,
            times_up: 0,
            min_tx: SLOW,
            min_rx,
            polling: false,
            last_sent: None,
            next_send: None,
            scheduled: None,
            last_received: None,
            expires: None,
            sequence: rng.next_u32(),
            last_sequence: None,
        };
        session.min_tx = session.announced_min_tx();
        session.schedule(now, rng);
        session
    }

    /// A packet of the other end's, which is authentic. `sequence` is its number, if it has one. Gives the change of state it
    /// makes, and whether to answer at once.
    pub(crate) fn receive(
        &mut self,
        packet: &Packet<'_>,
        sequence: Option<u32>,
        now: Instant,
        rng: &mut dyn CryptoRng,
    ) -> (Option<Transition>, bool) {
        self.received += 1;
        self.last_received = Some(now);
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            desired_min_tx: packet.desired_min_tx.into(),
            required_min_rx: packet.required_min_rx.into(),
            multiplier: packet.multiplier,
            demand: packet.demand,
        };
        if self.polling && packet.fin {
            self.polling = false;
            self.min_tx = self.announced_min_tx();
            self.min_rx = self.config.required_min_rx;
        }
        let transition = match (self.state, packet.state) {
            // RFC 5880 §6.8.6: what an end that is held down receives changes nothing.
            (State::AdminDown, _) => None,
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                Some(self.enter(State::Down, Diagnostic::NeighborSignaledDown, now))
            }
            (State::Down, State::Down) => Some(self.enter(State::Init, Diagnostic::None, now)),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                Some(self.enter(State::Up, Diagnostic::None, now))
            }
            (State::Down, State::AdminDown | State::Up) | (State::Init, State::Down) => None,
            (State::Up, State::Init | State::Up) => None,
        };
        self.expires = Some(now + self.detection_time());
        self.last_sequence = sequence.map(|number| (number, now + 2 * self.detection_time()));
        self.schedule(now, rng);
        (transition, packet.poll && self.state != State::AdminDown)
    }

    /// The time that [`Session::deadline`] gave has come. Gives the change of state, and whether a packet is to be sent.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut dyn CryptoRng) -> (Option<Transition>, bool) {
        let mut transition = None;
        if self.expires.is_some_and(|at| at <= now) {
            self.expires = None;
            // RFC 5880 §6.8.1: an end that is silent for so long has no discriminator any more; nor is what it wanted known.
            self.remote = Remote::SILENT;
            if matches!(self.state, State::Init | State::Up) {
                transition = Some(self.enter(State::Down, Diagnostic::DetectionTimeExpired, now));
            }
            self.schedule(now, rng);
        }
        let send = self.next_send.is_some_and(|at| at <= now);
        if send {
            self.last_sent = Some(now);
            self.next_send = self.scheduled.map(|interval| now + self.jittered(interval, rng));
        }
        (transition, send)
    }

    /// The next packet; `fin` answers a poll (RFC 5880 §6.5).
    pub(crate) fn packet(&mut self, fin: bool) -> Vec<u8> {
        self.sent += 1;
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling && !fin,
            fin,
            // The process that speaks BFD is the one that forwards.
            control_plane_independent: false,
            demand: false,
            multiplier: self.config.detect_multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: microseconds(self.announced_min_tx()),
            required_min_rx: microseconds(self.config.required_min_rx),
            required_min_echo_rx: Microseconds(0),
            authentication: None,
            bytes: &[],
        };
        match &self.config.authentication {
            None => packet.mandatory(0),
            Some(authentication) => {
                // No two packets share a number: where the algorithm does not ask for it, it does no harm.
                self.sequence = self.sequence.wrapping_add(1);
                let mut bytes = packet.mandatory(authentication.section());
                authentication.seal(&mut bytes, self.sequence);
                bytes
            }
        }
    }

    /// Another configuration of the same session (RFC 5880 §6.8.3).
    pub(crate) fn reconfigure(&mut self, config: SessionConfig, now: Instant, rng: &mut dyn CryptoRng) {
        let before = (self.config.desired_min_tx, self.config.required_min_rx);
        self.config = config;
        if self.state == State::Up {
            // Less often than the other end counts on only when it says that it knows; so with what is counted on from it.
            self.min_tx = self.min_tx.min(self.config.desired_min_tx);
            self.min_rx = self.min_rx.max(self.config.required_min_rx);
            self.polling |= before != (self.config.desired_min_tx, self.config.required_min_rx);
        } else {
            self.min_tx = self.announced_min_tx();
            self.min_rx = self.config.required_min_rx;
        }
        if self.expires.is_some() {
            self.expires = self.last_received.map(|at| at + self.detection_time());
        }
        self.schedule(now, rng);
    }

    /// Holds the session down, or lets it come up again (RFC 5880 §6.8.16).
    pub(crate) fn set_admin(&mut self, up: bool, now: Instant, rng: &mut dyn CryptoRng) -> Option<Transition> {
        let transition = match (up, self.state) {
            (true, State::AdminDown) => self.enter(State::Down, Diagnostic::None, now),
            (false, State::Down | State::Init | State::Up) => {
                self.enter(State::AdminDown, Diagnostic::AdministrativelyDown, now)
            }
            (true, State::Down | State::Init | State::Up) | (false, State::AdminDown) => return None,
        };
        self.schedule(now, rng);
        Some(transition)
    }

    /// When [`Session::handle_timeout`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.next_send, self.expires].into_iter().flatten().min()
    }

    /// The last accepted sequence number, unless there was silence for twice the detection time since.
    pub(crate) fn last_sequence(&self, now: Instant) -> Option<u32> {
        self.last_sequence.filter(|(_, until)| now < *until).map(|(number, _)| number)
    }

    /// For how long the other end may be silent (RFC 5880 §6.8.4).
    pub(crate) fn detection_time(&self) -> Duration {
        self.min_rx.max(self.remote.desired_min_tx) * u32::from(self.remote.multiplier)
    }

    /// Whether nothing may be sent, as a passive end has to hear of the other first (RFC 5880 §6.8.7).
    fn unheard(&self) -> bool {
        self.config.passive && self.remote.discriminator == 0
    }

    /// The interval between our packets, jitter left out; `None` if there are none (RFC 5880 §6.8.7).
    pub(crate) fn interval(&self) -> Option<Duration> {
        let unwanted = self.remote.required_min_rx.is_zero();
        let demanded = self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        (!self.unheard() && !unwanted && (!demanded || self.polling))
            .then(|| self.min_tx.max(self.remote.required_min_rx))
    }

    /// What our packets say about how often we send.
    fn announced_min_tx(&self) -> Duration {
        match self.state {
            State::Up => self.config.desired_min_tx,
            State::AdminDown | State::Down | State::Init => self.config.desired_min_tx.max(SLOW),
        }
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, now: Instant) -> Transition {
        let transition = Transition { from: self.state, to: state, diagnostic };
        let announced = self.announced_min_tx();
        self.state = state;
        self.diagnostic = diagnostic;
        self.since = now;
        self.times_up += u64::from(state == State::Up);
        self.min_tx = self.announced_min_tx();
        self.min_rx = self.config.required_min_rx;
        // RFC 5880 §6.8.3: the other end has to know that we send more often from now on.
        self.polling = state == State::Up && announced != self.min_tx;
        // RFC 5880 §6.8.7: what is new is said at once, unless nothing may be said at all.
        self.next_send = (!self.unheard()).then_some(now);
        self.scheduled = self.interval();
        transition
    }

    /// Moves the next packet where the interval has become another one.
    fn schedule(&mut self, now: Instant, rng: &mut dyn CryptoRng) {
        let interval = self.interval();
        if interval == self.scheduled {
            return;
        }
        self.scheduled = interval;
        let urgent = self.next_send.filter(|at| *at <= now);
        let next = interval.map(|interval| self.last_sent.map_or(now, |at| at + self.jittered(interval, rng)));
        self.next_send = urgent.or(next.map(|at| at.max(now)));
    }

    /// RFC 5880 §6.8.7: shorter by up to a quarter, and by a tenth at least where one missing packet counts.
    fn jittered(&self, interval: Duration, rng: &mut dyn CryptoRng) -> Duration {
        let most = if self.config.detect_multiplier == 1 { 90 } else { 100 };
        let thousandths = 750 + rng.next_u32() % (most * 10 - 750 + 1);
        interval * thousandths / 1000
    }
}

/// Configured intervals fit 32 bits of microseconds.
fn microseconds(interval: Duration) -> Microseconds {
    Microseconds(u32::try_from(interval.as_micros()).unwrap_or(u32::MAX))
}
