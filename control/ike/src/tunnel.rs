//! One tunnel: its configuration and its observed state.

use std::time::{Duration, Instant};

use crate::action::Action;
use crate::allowance::Allowances;
use crate::config::{Admin, TunnelConfig, TunnelId};
use crate::endpoint::Spis;
use crate::reason::DownReason;
use crate::status::{TunnelCounters, TunnelState};
use crate::trace::Trace;

/// A tunnel and the SAs it has.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) config: TunnelConfig,
    pub(crate) counters: TunnelCounters,
    pub(crate) trace: Trace,
    /// What may be done for whoever sends from the peer's address.
    pub(crate) allowances: Allowances,
    /// All SAs, by our SPI.
    pub(crate) sas: Spis,
    /// The SA whose child carries the traffic.
    pub(crate) current: Option<u64>,
    /// The SA we are setting up.
    pub(crate) attempt: Option<u64>,
    pub(crate) retry_at: Option<Instant>,
    /// Attempts that failed in a row.
    pub(crate) failures: u32,
    pub(crate) reason: DownReason,
    pub(crate) since: Instant,
    up: bool,
    /// When IKEv1 was last heard from the peer's address.
    ikev1: Option<Instant>,
}

impl Tunnel {
    pub(crate) fn new(config: TunnelConfig, now: Instant) -> Self {
        let reason = match config.admin {
            Admin::Down => DownReason::AdminDown,
            Admin::Up => DownReason::Connecting,
        };
        Self {
            config,
            counters: TunnelCounters::default(),
            trace: Trace::default(),
            allowances: Allowances::new(now),
            sas: Spis::new(),
            current: None,
            attempt: None,
            retry_at: None,
            failures: 0,
            reason,
            since: now,
            up: false,
            ikev1: None,
        }
    }

    /// Makes the tunnel wanted.
    pub(crate) fn enable(&mut self, now: Instant) {
        if self.config.admin == Admin::Down {
            self.config.admin = Admin::Up;
            self.reason = DownReason::Connecting;
            self.since = now;
            self.failures = 0;
        }
    }

    pub(crate) fn go_up(&mut self, now: Instant) {
        self.up = true;
        self.since = now;
    }

    /// Whether it has a child that carries traffic.
    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    /// The tunnel is down for this reason; gives the action if that is news.
    pub(crate) fn go_down(&mut self, tunnel: TunnelId, reason: DownReason, now: Instant) -> Option<Action> {
        // That it does not answer says less than why.
        if !self.up
            && matches!(reason, DownReason::PeerSilent { .. })
            && matches!(self.reason, DownReason::PeerSpeaksIkeV1 { .. })
            && self.ikev1.is_some_and(|heard| now < heard + IKEV1_REMEMBERED)
        {
            return None;
        }
        let was_up = std::mem::replace(&mut self.up, false);
        if was_up {
            self.since = now;
        } else if self.reason == reason {
            return None;
        }
        self.reason = reason.clone();
        Some(Action::Down { tunnel, reason })
    }

    /// An IKEv1 message came from the peer's address: that may be why the tunnel does not come up. Anyone can send one, so it
    /// hides no better reason.
    pub(crate) fn heard_ikev1(&mut self, tunnel: TunnelId, now: Instant) -> Option<Action> {
        self.ikev1 = Some(now);
        let vague = matches!(self.reason, DownReason::Connecting | DownReason::PeerSilent { .. });
        let reason = DownReason::PeerSpeaksIkeV1 { remote: self.config.remote };
        (self.current.is_none() && vague).then(|| self.go_down(tunnel, reason, now)).flatten()
    }

    /// The wait before the next attempt, doubled for each failure in a row.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let retry = &self.config.retry;
        let delay = retry.reconnect.saturating_mul(1 << self.failures.min(16)).min(retry.reconnect_cap).max(SHORTEST);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    pub(crate) fn state(&self) -> TunnelState {
        if self.config.admin == Admin::Down {
            TunnelState::AdminDown
        } else if self.up && self.current.is_some() {
            TunnelState::Up
        } else if self.attempt.is_some() || self.current.is_some() {
            TunnelState::Connecting
        } else {
            TunnelState::Down
        }
    }
}

/// No configuration makes us try again faster.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long an IKEv1 message explains that the peer is silent.
const IKEV1_REMEMBERED: Duration = Duration::from_secs(60);
