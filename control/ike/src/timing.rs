//! Who wants to be woken when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::config::TunnelId;

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The IKE SA with this SPI of ours.
    Sa(u64),
    /// A tunnel that is to be tried again.
    Tunnel(TunnelId),
}

/// At most one deadline for each owner, ordered by time.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    order: BTreeSet<(Instant, Owner)>,
    of: BTreeMap<Owner, Instant>,
}

impl Deadlines {
    /// Sets, moves or clears an owner's deadline.
    pub(crate) fn set(&mut self, owner: Owner, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.of.insert(owner, at),
            None => self.of.remove(&owner),
        };
        if let Some(before) = before {
            self.order.remove(&(before, owner));
        }
        if let Some(at) = at {
            self.order.insert((at, owner));
        }
    }

    /// Everyone whose time has come, earliest first.
    pub(crate) fn due(&self, now: Instant) -> Vec<Owner> {
        self.order.iter().take_while(|(at, _)| *at <= now).map(|(_, owner)| *owner).collect()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}
