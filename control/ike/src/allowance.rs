//! How much work a peer's address may make before anybody there has proved who it is (RFC 8019 §4).

use std::time::{Duration, Instant};

/// A token bucket, kept as the time at which it is full again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    full: Instant,
    interval: Duration,
}

impl Allowance {
    /// A full bucket that gets a token back every `interval`.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { full: now, interval }
    }

    /// Takes a token; whether there was one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full = self.full.max(now) + self.interval;
        let there = full.saturating_duration_since(now) <= self.interval * BURST;
        if there {
            self.full = full;
        }
        there
    }

    /// Gives tokens back that were taken for nothing bad.
    pub(crate) fn give_back(&mut self, tokens: u32) {
        self.full = self.full.checked_sub(self.interval * tokens).unwrap_or(self.full);
    }

    /// Takes tokens for what was done already; where they are not there, they are owed, up to as many as a full bucket has.
    pub(crate) fn charge(&mut self, tokens: u32, now: Instant) {
        let most = now + self.interval * (2 * BURST);
        self.full = (self.full.max(now) + self.interval * tokens).min(most);
    }

    /// Whether half of it is gone.
    pub(crate) fn is_low(&self, now: Instant) -> bool {
        self.full.saturating_duration_since(now) * 2 >= self.interval * BURST
    }
}

/// What one peer's address may make us do. It belongs to a tunnel, so there are as many as are configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowances {
    /// IKE SAs begun: each costs a key exchange. Whoever authenticates gets the token back, so that only those run out of
    /// them who do not.
    pub(crate) handshakes: Allowance,
    /// Answers to what anybody could have sent in the peer's name: to reflect them is of no use.
    pub(crate) answers: Allowance,
}

impl Allowances {
    pub(crate) fn new(now: Instant) -> Self {
        Self { handshakes: Allowance::new(HANDSHAKE, now), answers: Allowance::new(ANSWER, now) }
    }

    /// Somebody makes work in the peer's name: from now on whoever begins has to show that it receives at that address.
    pub(crate) fn are_low(&self, now: Instant) -> bool {
        self.handshakes.is_low(now) || self.answers.is_low(now)
    }
}

/// Tokens of a full bucket.
const BURST: u32 = 16;
const HANDSHAKE: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_millis(200);
/// What a failed authentication costs besides the token that the attempt took.
pub(crate) const FAILED_AUTHENTICATION: u32 = 3;

#[cfg(test)]
mod tests;
