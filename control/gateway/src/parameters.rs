//! What a tunnel's two phases are negotiated and kept by.

use std::fmt;
use std::time::Duration;

use crate::algorithm::{EspEncryption, IkeEncryption, Integrity, KeyExchange, Prf};
use crate::diagnostic::OutOfRange;

/// Parameters of the IKE SA. Lists are in order of preference, not empty, and free of repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IkeParameters {
    /// Key exchange methods; the first is the one IKE_SA_INIT starts with.
    pub key_exchange: Vec<KeyExchange>,
    /// Ciphers.
    pub encryption: Vec<IkeEncryption>,
    /// Integrity algorithms; they go with the CBC ciphers only.
    pub integrity: Vec<Integrity>,
    /// Pseudo-random functions.
    pub prf: Vec<Prf>,
    /// When a silent peer is probed.
    pub liveness: Liveness,
    /// How long the SA may live before it is replaced.
    pub lifetime: Lifetime,
}

impl Default for IkeParameters {
    fn default() -> Self {
        Self {
            key_exchange: vec![KeyExchange::X25519, KeyExchange::Ecp256],
            encryption: vec![IkeEncryption::Aes128Gcm16, IkeEncryption::Aes256Gcm16],
            integrity: vec![Integrity::Sha256],
            prf: vec![Prf::Sha256],
            liveness: Liveness(10),
            lifetime: Lifetime(14400),
        }
    }
}

/// Parameters of the ESP SAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EspParameters {
    /// Ciphers, in order of preference, not empty, and free of repetitions.
    pub encryption: Vec<EspEncryption>,
    /// Whether 64-bit sequence numbers are offered (RFC 4303 §2.2.1).
    pub esn: bool,
    /// How far behind the newest packet an older one is still taken.
    pub replay_window: ReplayWindow,
    /// How long an SA may live before it is replaced.
    pub lifetime: Lifetime,
}

impl Default for EspParameters {
    fn default() -> Self {
        Self {
            encryption: vec![EspEncryption::Aes128Gcm16, EspEncryption::Aes256Gcm16],
            esn: true,
            replay_window: ReplayWindow(1024),
            lifetime: Lifetime(3600),
        }
    }
}

/// How long an SA may live: 60 to 86400 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(u32);

impl Lifetime {
    /// The lifetime of so many seconds.
    ///
    /// # Errors
    /// [`OutOfRange`] below 60 and above 86400.
    pub fn from_seconds(seconds: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(seconds, 60, 86400).map(Self)
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

/// After how much silence the peer is probed (RFC 7296 §2.4): 0 (never) to 3600 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Liveness(u32);

impl Liveness {
    /// A probe after so many seconds; never for 0.
    ///
    /// # Errors
    /// [`OutOfRange`] above 3600.
    pub fn from_seconds(seconds: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(seconds, 0, 3600).map(Self)
    }

    /// The silence after which to probe; `None` when the peer is never probed.
    #[must_use]
    pub fn interval(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_secs(self.0.into()))
    }
}

/// The size of the anti-replay window (RFC 4303 §3.4.3): 64 to 4096 packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayWindow(u32);

impl ReplayWindow {
    /// A window of so many packets.
    ///
    /// # Errors
    /// [`OutOfRange`] below 64 and above 4096.
    pub fn from_packets(packets: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(packets, 64, 4096).map(Self)
    }

    /// In packets.
    #[must_use]
    pub fn packets(self) -> u32 {
        self.0
    }
}
