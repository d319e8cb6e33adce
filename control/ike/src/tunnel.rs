//! One tunnel: its configuration and its observed state.

use std::time::{Duration, Instant};

use crate::action::Action;
use crate::config::{Admin, TunnelConfig, TunnelId};
use crate::endpoint::Spis;
use crate::reason::DownReason;
use crate::status::{TunnelCounters, TunnelState};

/// A tunnel and the SAs it has.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) config: TunnelConfig,
    pub(crate) counters: TunnelCounters,
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
            sas: Spis::new(),
            current: None,
            attempt: None,
            retry_at: None,
            failures: 0,
            reason,
            since: now,
            up: false,
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

    /// The tunnel is down for this reason; gives the action if that is news.
    pub(crate) fn go_down(&mut self, tunnel: TunnelId, reason: DownReason, now: Instant) -> Option<Action> {
        let was_up = std::mem::replace(&mut self.up, false);
        if was_up {
            self.since = now;
        } else if self.reason == reason {
            return None;
        }
        self.reason = reason.clone();
        Some(Action::Down { tunnel, reason })
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
        } else if self.current.is_some() {
            TunnelState::Up
        } else if self.attempt.is_some() {
            TunnelState::Connecting
        } else {
            TunnelState::Down
        }
    }
}

/// No configuration makes us try again faster.
const SHORTEST: Duration = Duration::from_millis(100);
