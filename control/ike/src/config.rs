//! What a tunnel is configured to be.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use crate::algorithm::{ADDITIONAL_KEY_EXCHANGES, EspCipher, IkeCipher, Integrity, KeGroup, PrfAlgorithm};
use crate::authentication::{Authentication, Ppk};
use crate::identity::Identity;
use crate::selector::TrafficSelector;

/// The most selectors one side of a tunnel may have.
pub const MAX_SELECTORS: usize = 32;
/// The most child SAs with the same selectors, whoever asks for them.
pub const MAX_RESOURCES: u16 = 16;

/// A tunnel's dense index, chosen by the caller and echoed in every [`crate::Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub u32);

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tunnel {}", self.0)
    }
}

/// One tunnel: who the two ends are, and what they may agree on.
#[derive(Clone, Debug, PartialEq)]
pub struct TunnelConfig {
    /// Our public address.
    pub local: IpAddr,
    /// The peer's public address. One tunnel per pair of addresses.
    pub remote: IpAddr,
    /// Who we say we are.
    pub local_id: Identity,
    /// Who the peer has to be.
    pub remote_id: Identity,
    /// How both ends prove who they are.
    pub authentication: Authentication,
    /// A post-quantum key that is mixed in, if there is one (RFC 8784).
    pub ppk: Option<Ppk>,
    /// Whether the tunnel is wanted at all.
    pub admin: Admin,
    /// Who speaks first.
    pub startup: Startup,
    /// What the IKE SA may use, most wanted first.
    pub ike: IkeProposal,
    /// What the child SA may use, most wanted first.
    pub esp: EspProposal,
    /// What lies behind us; at most [`MAX_SELECTORS`].
    pub local_selectors: Vec<TrafficSelector>,
    /// What lies behind the peer; at most [`MAX_SELECTORS`].
    pub remote_selectors: Vec<TrafficSelector>,
    /// How many child SAs with the same selectors are wanted, so that each core has one of its own (RFC 9611): 1 to
    /// [`MAX_RESOURCES`]. The end that begins asks for them; the other one takes what it is asked for.
    pub resources: u16,
    /// Pretend to be behind a NAT, so that ESP goes over UDP (RFC 3948).
    pub force_encapsulation: bool,
    /// Let a peer that has begun move its SAs to other addresses than `remote` (RFC 4555).
    pub mobike: bool,
    /// Where a peer with which we begin may send us instead (RFC 5685), other than to `remote`. No other tunnel has them.
    pub redirects: Vec<IpAddr>,
    /// Probe a peer that has been silent for so long; `None` never probes.
    pub liveness: Option<Duration>,
    /// How long the IKE SA lives before it is deleted and set up anew.
    pub ike_lifetime: Duration,
    /// How long the child SA lives before it is deleted and set up anew.
    pub child_lifetime: Duration,
    /// How often requests are sent again, and when failed tunnels are tried again.
    pub retry: Retry,
}

impl TunnelConfig {
    /// Checks what the types alone cannot rule out.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let cbc = self.ike.encryption.iter().any(|c| !c.is_aead());
        let esp_rounds = self.esp.additional_key_exchange.len();
        let esp_cbc = self.esp.encryption.iter().any(|c| !c.is_aead());
        let empty = [
            ("psk", self.authentication.is_empty()),
            ("ike.key_exchange", self.ike.key_exchange.is_empty()),
            ("ike.additional_key_exchange", self.ike.additional_key_exchange.iter().any(Vec::is_empty)),
            ("ike.encryption", self.ike.encryption.is_empty()),
            ("ike.prf", self.ike.prf.is_empty()),
            ("ike.integrity", cbc && self.ike.integrity.is_empty()),
            ("esp.encryption", self.esp.encryption.is_empty()),
            ("esp.key_exchange", esp_rounds > 0 && self.esp.key_exchange.is_empty()),
            ("esp.additional_key_exchange", self.esp.additional_key_exchange.iter().any(Vec::is_empty)),
            ("esp.integrity", esp_cbc && self.esp.integrity.is_empty()),
            ("local_selectors", self.local_selectors.is_empty()),
            ("remote_selectors", self.remote_selectors.is_empty()),
        ];
        if let Some((field, _)) = empty.into_iter().find(|(_, bad)| *bad) {
            return Err(ConfigError::Empty(field));
        }
        for (whose, rounds) in [("ike", self.ike.additional_key_exchange.len()), ("esp", esp_rounds)] {
            if rounds > ADDITIONAL_KEY_EXCHANGES {
                return Err(ConfigError::TooManyKeyExchanges(whose));
            }
        }
        if self.local_selectors.len() > MAX_SELECTORS || self.remote_selectors.len() > MAX_SELECTORS {
            return Err(ConfigError::TooManySelectors);
        }
        if !(1..=MAX_RESOURCES).contains(&self.resources) {
            return Err(ConfigError::Resources(self.resources));
        }
        if let Authentication::Certificate { local, .. } = &self.authentication
            && !local.is_of(&self.local_id)
        {
            let (local_id, found) = (self.local_id.clone(), local.identities());
            return Err(ConfigError::CertificateIdentity { local_id, found });
        }
        if self.local.is_ipv4() != self.remote.is_ipv4() {
            return Err(ConfigError::AddressFamilies { local: self.local, remote: self.remote });
        }
        Ok(())
    }
}

/// Whether a tunnel is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Neither started nor answered.
    Down,
    /// Kept up.
    Up,
}

/// Who speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// We set the tunnel up and set it up again after every failure.
    Initiate,
    /// We wait for the peer.
    Respond,
}

/// What the IKE SA may use. AEAD and CBC ciphers go into separate proposals (RFC 5282 §8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeProposal {
    /// Key exchange groups; the first one's public value goes into the first message.
    pub key_exchange: Vec<KeGroup>,
    /// What each additional key exchange may use, in the order in which they are made (RFC 9370); at most
    /// [`ADDITIONAL_KEY_EXCHANGES`]. The peer has to agree to each of them.
    pub additional_key_exchange: Vec<Vec<KeGroup>>,
    /// Ciphers.
    pub encryption: Vec<IkeCipher>,
    /// Integrity algorithms, used with CBC ciphers only.
    pub integrity: Vec<Integrity>,
    /// Pseudo-random functions.
    pub prf: Vec<PrfAlgorithm>,
}

/// What the child SA may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspProposal {
    /// Ciphers.
    pub encryption: Vec<EspCipher>,
    /// Integrity algorithms, used with CBC ciphers only.
    pub integrity: Vec<Integrity>,
    /// Groups for a key exchange of each child SA that is not the IKE SA's first (RFC 7296 §1.3.1); empty: none.
    pub key_exchange: Vec<KeGroup>,
    /// What each additional key exchange behind that one may use, in the order in which they are made (RFC 9370); at most
    /// [`ADDITIONAL_KEY_EXCHANGES`].
    pub additional_key_exchange: Vec<Vec<KeGroup>>,
    /// Offer and prefer extended sequence numbers; plain ones stay acceptable, as many peers have no others.
    pub esn: bool,
}

/// Retransmission and reconnection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The wait before a request is sent a second time; it doubles each time.
    pub retransmit: Duration,
    /// The longest wait between two copies of a request.
    pub retransmit_cap: Duration,
    /// How long a request may stay unanswered.
    pub give_up: Duration,
    /// The wait before a failed tunnel is tried again; it doubles with each failure in a row.
    pub reconnect: Duration,
    /// The longest wait before a failed tunnel is tried again.
    pub reconnect_cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retransmit: Duration::from_secs(1),
            retransmit_cap: Duration::from_secs(8),
            give_up: Duration::from_secs(30),
            reconnect: Duration::from_secs(1),
            reconnect_cap: Duration::from_secs(60),
        }
    }
}

/// Why a tunnel could not be configured.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// One tunnel per pair of addresses, as the first message names nothing else.
    #[error("{local} to {remote} already belongs to {by}")]
    AddressesTaken {
        /// Our address.
        local: IpAddr,
        /// The peer's address.
        remote: IpAddr,
        /// The tunnel that has them.
        by: TunnelId,
    },
    /// More than [`ADDITIONAL_KEY_EXCHANGES`].
    #[error("{0}.additional_key_exchange has more than {ADDITIONAL_KEY_EXCHANGES} rounds")]
    TooManyKeyExchanges(&'static str),
    /// The two addresses are of different families.
    #[error("{local} and {remote} are not of one address family")]
    AddressFamilies {
        /// Our address.
        local: IpAddr,
        /// The peer's address.
        remote: IpAddr,
    },
    /// Our certificate does not say that we are who we are to be, so no peer would believe it.
    #[error("local_id {local_id} is not in our certificate, which is for {found}")]
    CertificateIdentity {
        /// Who we are to be.
        local_id: Identity,
        /// Who we could be.
        found: String,
    },
    /// A list or the key is empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// None, or more than [`MAX_RESOURCES`].
    #[error("{0} child SAs with the same selectors; allowed: 1 to {MAX_RESOURCES}")]
    Resources(u16),
    /// More than [`MAX_SELECTORS`] on one side.
    #[error("at most 32 traffic selectors on each side")]
    TooManySelectors,
}
