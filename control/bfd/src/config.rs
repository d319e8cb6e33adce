//! What a session is to be like.

use std::net::IpAddr;
use std::time::Duration;

use crate::authentication::{Algorithm, Authentication};

/// A session, as its owner names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// How far away the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// On the same link (RFC 5881): what has crossed a router is refused, unless it is authenticated.
    SingleHop,
    /// Beyond routers (RFC 5883).
    MultiHop {
        /// The least time to live that is accepted; 255 less the number of routers between.
        minimum_ttl: u8,
    },
}

impl Distance {
    /// The UDP port of control packets (RFC 5881 §4, RFC 5883 §5).
    pub fn port(self) -> u16 {
        match self {
            Self::SingleHop => 3784,
            Self::MultiHop { .. } => 4784,
        }
    }
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionConfig {
    /// Our address.
    pub local: IpAddr,
    /// The other end's.
    pub remote: IpAddr,
    /// Single hop or multihop.
    pub distance: Distance,
    /// How often packets are sent at most: the less often of this and what the other end can take is what happens.
    pub desired_min_tx: Duration,
    /// How often packets are taken at most.
    pub required_min_rx: Duration,
    /// How many packets have to be missing until the other end takes us to be down, 1 to 255.
    pub detect_multiplier: u8,
    /// Wait until the other end has been heard (RFC 5880 §6.1).
    pub passive: bool,
    /// Whether and how packets are authenticated.
    pub authentication: Option<Authentication>,
}

/// The shortest and the longest interval that can be configured.
pub const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// What a configuration may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// One end IPv4, the other IPv6.
    #[error("local {local} and remote {remote} are of different families")]
    Families {
        /// Our address.
        local: IpAddr,
        /// The other end's.
        remote: IpAddr,
    },
    /// Too often or too seldom.
    #[error("{field} is {value:?}; allowed: 10 ms to 60 s")]
    Interval {
        /// Which of the two.
        field: &'static str,
        /// What it is.
        value: Duration,
    },
    /// No packet may be missing.
    #[error("detect_multiplier is 0; allowed: 1 to 255")]
    Multiplier,
    /// Nothing to authenticate with.
    #[error("authentication has no key; allowed: one or more")]
    NoKey,
    /// Two keys of one number.
    #[error("key {0} is there twice")]
    KeyTwice(u8),
    /// A secret that does not fit.
    #[error("the secret of key {id} has {length} bytes; allowed with {algorithm:?}: 1 to {}", .algorithm.longest_secret())]
    Secret {
        /// Whose.
        id: u8,
        /// Its bytes.
        length: usize,
        /// What it is for.
        algorithm: Algorithm,
    },
    /// Another session has these addresses and this distance.
    #[error("session {} has these addresses", .0.0)]
    AddressesTaken(SessionId),
}

impl SessionConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let (local, remote) = (self.local, self.remote);
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(ConfigError::Families { local, remote });
        }
        for (field, value) in [("desired_min_tx", self.desired_min_tx), ("required_min_rx", self.required_min_rx)] {
            if !INTERVALS.contains(&value) {
                return Err(ConfigError::Interval { field, value });
            }
        }
        if self.detect_multiplier == 0 {
            return Err(ConfigError::Multiplier);
        }
        let Some(Authentication { algorithm, keys }) = &self.authentication else { return Ok(()) };
        if keys.is_empty() {
            return Err(ConfigError::NoKey);
        }
        for (place, key) in keys.iter().enumerate() {
            if keys.iter().take(place).any(|other| other.id() == key.id()) {
                return Err(ConfigError::KeyTwice(key.id()));
            }
            if !(1..=algorithm.longest_secret()).contains(&key.length()) {
                return Err(ConfigError::Secret { id: key.id(), length: key.length(), algorithm: *algorithm });
            }
        }
        Ok(())
    }
}
