//! What a tunnel's two phases are negotiated and kept by.

use std::fmt;
use std::time::Duration;

use crate::algorithm::{EspEncryption, IkeEncryption, Integrity, KeyExchange, Prf};
use crate::number::numbers;

/// Parameters of the IKE SA. Lists are in order of preference, not empty, and free of repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IkeParameters {
    /// Key exchange methods; the first is the one IKE_SA_INIT starts with.
    pub key_exchange: Vec<KeyExchange>,
    /// Rounds of key exchange behind the first one (RFC 9370), each with its methods; usually none.
    pub additional_key_exchange: Vec<Vec<KeyExchange>>,
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

impl IkeParameters {
    /// How many additional rounds of key exchange there may be (RFC 9370 §2.2.1).
    pub const MOST_ADDITIONAL_KEY_EXCHANGES: usize = 7;
}

impl Default for IkeParameters {
    fn default() -> Self {
        Self {
            key_exchange: vec![KeyExchange::X25519, KeyExchange::Ecp256],
            additional_key_exchange: Vec::new(),
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
    /// Integrity algorithms; they go with the CBC ciphers only.
    pub integrity: Vec<Integrity>,
    /// Methods of a key exchange for each ESP SA that replaces another one (perfect forward secrecy, RFC 7296 §1.3.1);
    /// without any, keys come from those of the IKE SA.
    pub key_exchange: Vec<KeyExchange>,
    /// Rounds of key exchange behind that one (RFC 9370), each with its methods; usually none.
    pub additional_key_exchange: Vec<Vec<KeyExchange>>,
    /// Whether 64-bit sequence numbers are offered (RFC 4303 §2.2.1).
    pub esn: bool,
    /// How many SAs for the same traffic are wanted, so that each core has one of its own (RFC 9611).
    pub child_sas: ChildSas,
    /// How far behind the newest packet an older one is still taken.
    pub replay_window: ReplayWindow,
    /// How long an SA may live before it is replaced. Of this and the next two the first that is reached counts.
    pub lifetime: Lifetime,
    /// How many packets an SA may carry before it is replaced.
    pub lifetime_packets: Volume,
    /// How many bytes an SA may carry before it is replaced.
    pub lifetime_bytes: Volume,
}

impl Default for EspParameters {
    fn default() -> Self {
        Self {
            encryption: vec![EspEncryption::Aes128Gcm16, EspEncryption::Aes256Gcm16],
            integrity: vec![Integrity::Sha256],
            key_exchange: Vec::new(),
            additional_key_exchange: Vec::new(),
            esn: true,
            child_sas: ChildSas(1),
            replay_window: ReplayWindow(1024),
            lifetime: Lifetime(3600),
            lifetime_packets: Volume(0),
            lifetime_bytes: Volume(0),
        }
    }
}

numbers! {
    /// How long an SA may live: 60 to 86400 seconds.
    Lifetime(u32): 60..=86400, from_seconds, seconds;

    /// How much an SA may carry (RFC 4301 §4.4.2.1), in packets or bytes as its field says: 0 (no limit) to 10^18,
    /// which is more than any line carries within the longest [`Lifetime`].
    Volume(u64): 0..=1_000_000_000_000_000_000, from_count, count;

    /// After how much silence the peer is probed (RFC 7296 §2.4): 0 (never) to 3600 seconds.
    Liveness(u32): 0..=3600, from_seconds, seconds;

    /// How many SAs carry the same traffic (RFC 9611): 1 to 16.
    ChildSas(u16): 1..=16, from_count, count;

    /// The size of the anti-replay window (RFC 4303 §3.4.3): 64 to 4096 packets.
    ReplayWindow(u32): 64..=4096, from_packets, packets;
}

impl Lifetime {
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

impl Volume {
    /// After how much to replace the SA; `None` when it may carry any amount.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        (self.0 != 0).then_some(self.0)
    }
}

impl Liveness {
    /// The silence after which to probe; `None` when the peer is never probed.
    #[must_use]
    pub fn interval(self) -> Option<Duration> {
        (self.0 != 0).then(|| Duration::from_secs(self.0.into()))
    }
}
