//! Why a tunnel is down, in words a network engineer can act on.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::algorithm::KeGroup;
use crate::identity::Identity;
use crate::message::ParseError;

/// Why a tunnel is down. `Display` is one sentence; [`DownReason::hint`] says what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DownReason {
    /// The configuration says so.
    #[error("the tunnel is administratively down")]
    AdminDown,
    /// The peer answered AUTHENTICATION_FAILED.
    #[error(
        "the peer rejected our authentication: either its pre-shared key differs from ours or it \
         does not accept our identity {local_id}"
    )]
    AuthenticationRejected {
        /// The identity we sent.
        local_id: Identity,
    },
    /// No attempt has ended yet.
    #[error("connecting: nothing has failed yet")]
    Connecting,
    /// The peer is someone else than configured.
    #[error("identity mismatch: expected the peer to be {expected}, it says it is {received}")]
    IdentityMismatch {
        /// As configured.
        expected: Identity,
        /// As received.
        received: Identity,
    },
    /// The peer wants none of the key exchange groups we have.
    #[error("the peer asks for key exchange group {asked}, we have {}", join(.offered))]
    InvalidKeyExchange {
        /// What we have.
        offered: Vec<KeGroup>,
        /// What the peer asked for: an IANA number, e.g. 14 for modp2048.
        asked: u16,
    },
    /// The lifetime is over; an initiator sets the tunnel up anew at once.
    #[error("the {lifetime} SA reached its lifetime of {seconds} s")]
    LifetimeExpired {
        /// Whose lifetime.
        lifetime: Lifetime,
        /// How long it was.
        seconds: u64,
    },
    /// The peer calls us by another name than we are configured to have.
    #[error("identity mismatch: the peer wants us to be {asked}, we are {local_id}")]
    LocalIdentityMismatch {
        /// What the peer asked for.
        asked: Identity,
        /// What we are.
        local_id: Identity,
    },
    /// We could not get an SPI for the child SA.
    #[error("no local resources: there is no room for another security association")]
    LocalResources,
    /// An authenticated or decrypted message did not parse.
    #[error("the peer sent a malformed {exchange} message: {error}")]
    Malformed {
        /// In which exchange.
        exchange: Exchange,
        /// What was wrong.
        error: ParseError,
    },
    /// No common proposal.
    #[error(
        "no {protocol} proposal chosen: we have {ours}; the peer has {}",
        .theirs.as_deref().unwrap_or("none of these (it does not say what it has)")
    )]
    NoProposalChosen {
        /// For the IKE SA or for ESP.
        protocol: Protocol,
        /// What we have.
        ours: String,
        /// What the peer offered, if it was the one to offer.
        theirs: Option<String>,
    },
    /// The peer deleted the tunnel.
    #[error("the peer deleted the {0} SA")]
    PeerDeleted(Protocol),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol in {exchange}: {violation}")]
    PeerProtocolViolation {
        /// In which exchange.
        exchange: Exchange,
        /// How.
        violation: Violation,
    },
    /// The peer answered with an error that has no reason of its own.
    #[error("the peer refused {exchange} with error {notify} ({})", crate::message::notify_name(*.notify))]
    PeerRefused {
        /// Which exchange.
        exchange: Exchange,
        /// The notify message type.
        notify: u16,
    },
    /// The peer does not answer.
    #[error("the peer {remote} has not answered {exchange} for {seconds} s")]
    PeerSilent {
        /// What was not answered.
        exchange: Exchange,
        /// Whom we asked, or who stopped talking to us.
        remote: IpAddr,
        /// For how long.
        seconds: u64,
    },
    /// The peer is configured for the version of IKE before ours.
    #[error("the peer {remote} speaks IKEv1, which is not spoken here")]
    PeerSpeaksIkeV1 {
        /// Who sent it.
        remote: IpAddr,
    },
    /// An operator had the tunnel set up anew.
    #[error("the tunnel was reset by an operator")]
    Reset,
    /// The selectors have nothing in common.
    #[error(
        "traffic selectors refused: ours are {local} behind us and {remote} behind the peer; {}",
        .theirs.as_deref().map_or_else(
            || "the peer does not say what it wants".to_owned(),
            |t| format!("the peer wants {t}")
        )
    )]
    SelectorsRefused {
        /// Ours, behind us.
        local: String,
        /// Ours, behind the peer.
        remote: String,
        /// What the peer proposed, if it was the one to propose.
        theirs: Option<String>,
    },
    /// We are going away.
    #[error("the gateway is shutting down")]
    Shutdown,
    /// A payload we do not know is marked critical.
    #[error("{from} does not support critical payload {payload}")]
    UnsupportedCriticalPayload {
        /// Who does not know it.
        from: End,
        /// The payload type.
        payload: u8,
    },
    /// The peer authenticates otherwise than with a pre-shared key.
    #[error(
        "the peer wants to authenticate with {}, we accept a pre-shared key only",
        .method.map_or_else(|| "EAP".to_owned(), |m| format!("method {m}"))
    )]
    UnsupportedAuthentication {
        /// The AUTH method; `None` if there was no AUTH payload, which asks for EAP.
        method: Option<u8>,
    },
    /// We checked the peer's AUTH and it was wrong.
    #[error("the pre-shared key is wrong: {peer} is who it should be but its proof does not match our key")]
    WrongPsk {
        /// The peer's identity, which did match.
        peer: Identity,
    },
}

impl DownReason {
    /// A stable name in snake_case, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AdminDown => "admin_down",
            Self::AuthenticationRejected { .. } => "authentication_rejected",
            Self::Connecting => "connecting",
            Self::IdentityMismatch { .. } => "identity_mismatch",
            Self::InvalidKeyExchange { .. } => "invalid_key_exchange",
            Self::LifetimeExpired { .. } => "lifetime_expired",
            Self::LocalIdentityMismatch { .. } => "local_identity_mismatch",
            Self::LocalResources => "local_resources",
            Self::Malformed { .. } => "malformed",
            Self::NoProposalChosen { .. } => "no_proposal_chosen",
            Self::PeerDeleted(_) => "peer_deleted",
            Self::PeerProtocolViolation { .. } => "peer_protocol_violation",
            Self::PeerRefused { .. } => "peer_refused",
            Self::PeerSilent { .. } => "peer_silent",
            Self::PeerSpeaksIkeV1 { .. } => "peer_speaks_ikev1",
            Self::Reset => "reset",
            Self::SelectorsRefused { .. } => "selectors_refused",
            Self::Shutdown => "shutdown",
            Self::UnsupportedAuthentication { .. } => "unsupported_authentication",
            Self::UnsupportedCriticalPayload { .. } => "unsupported_critical_payload",
            Self::WrongPsk { .. } => "wrong_psk",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::AdminDown => "set admin = \"up\" to start the tunnel",
            Self::AuthenticationRejected { .. } => {
                "compare psk and local_id with what the customer's device has; its log says which of the two it was"
            }
            Self::Connecting => "wait, or look at the counters for messages sent and received",
            Self::IdentityMismatch { .. } => "set remote_id to what the peer says, or change the identity on the peer",
            Self::InvalidKeyExchange { .. } => {
                "add the group the peer asks for to ike.key_exchange, or one of ours on the peer"
            }
            Self::LifetimeExpired { .. } => "nothing, unless the tunnel does not come back",
            Self::LocalIdentityMismatch { .. } => "set local_id to what the peer wants, or change its remote identity",
            Self::LocalResources => "raise `run --associations`, or remove tunnels",
            Self::Malformed { .. } | Self::PeerProtocolViolation { .. } => {
                "capture the exchange and report it to the peer's vendor, or to us"
            }
            Self::NoProposalChosen { protocol: Protocol::Ike, .. } => {
                "make ike.encryption, ike.integrity, ike.prf and ike.key_exchange overlap with the peer's"
            }
            Self::NoProposalChosen { protocol: Protocol::Esp, .. } => {
                "make esp.encryption and esp.esn overlap with the peer's"
            }
            Self::PeerDeleted(_) => "look at the peer's log for why; we try again if startup = \"initiate\"",
            Self::PeerRefused { .. } => "look at the peer's log for why it refused",
            Self::PeerSilent { .. } => {
                "check that UDP 500 and 4500 pass in both directions and that the peer is configured for our address"
            }
            Self::PeerSpeaksIkeV1 { .. } => "set the connection to IKEv2 on the peer; both ends must speak it",
            Self::Reset => "nothing, unless the tunnel does not come back",
            Self::SelectorsRefused { .. } => "make local_prefixes and remote_prefixes mirror the peer's",
            Self::Shutdown => "start the gateway",
            Self::UnsupportedAuthentication { .. } => "set the peer to pre-shared key authentication",
            Self::UnsupportedCriticalPayload { .. } => "switch the extension off on the end that sends it",
            Self::WrongPsk { .. } => "set the same psk on both ends",
        }
    }
}

/// An exchange, as far as reasons name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Another child SA, or a rekey.
    CreateChildSa,
    /// The second pair of messages.
    IkeAuth,
    /// Additional key exchanges between the first and the second pair.
    IkeIntermediate,
    /// The first pair of messages.
    IkeSaInit,
    /// Deletes and errors.
    Informational,
    /// The empty INFORMATIONAL that asks whether the peer is alive.
    Liveness,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateChildSa => "CREATE_CHILD_SA",
            Self::IkeAuth => "IKE_AUTH",
            Self::IkeIntermediate => "IKE_INTERMEDIATE",
            Self::IkeSaInit => "IKE_SA_INIT",
            Self::Informational => "INFORMATIONAL",
            Self::Liveness => "a liveness check",
        })
    }
}

/// The IKE SA or its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The child SA.
    Esp,
    /// The IKE SA.
    Ike,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Esp => "ESP",
            Self::Ike => "IKE",
        })
    }
}

/// Whose lifetime ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The child SA's.
    Child,
    /// The IKE SA's.
    Ike,
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Child => "child",
            Self::Ike => "IKE",
        })
    }
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other one.
    Peer,
    /// This gateway.
    Us,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "the peer",
            Self::Us => "this gateway",
        })
    }
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// It asked for a group we have already tried, or for a cookie again and again.
    #[error("it keeps asking for another key exchange group or cookie")]
    EndlessRetry,
    /// Its public value is not on the curve, or has the wrong length.
    #[error("its key exchange value is not valid for the group")]
    KeyExchange,
    /// A payload that has to be there is not.
    #[error("the {0} payload is missing")]
    Missing(&'static str),
    /// Its nonce is shorter than 16 or longer than 256 bytes.
    #[error("its nonce is not of 16 to 256 bytes")]
    Nonce,
    /// It chose what we had not offered.
    #[error("it chose a proposal we had not offered")]
    Proposal,
    /// Its selectors go beyond what we had proposed.
    #[error("its traffic selectors go beyond what we had proposed")]
    Selectors,
    /// It gave an ESP SPI below 256.
    #[error("its ESP SPI is reserved")]
    Spi,
}

fn join(groups: &[KeGroup]) -> String {
    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_values() {
        let silent = DownReason::PeerSilent {
            exchange: Exchange::IkeSaInit,
            remote: "198.51.100.2".parse().unwrap(),
            seconds: 30,
        };
        assert_eq!(silent.to_string(), "the peer 198.51.100.2 has not answered IKE_SA_INIT for 30 s");
        let group = DownReason::InvalidKeyExchange { offered: vec![KeGroup::X25519, KeGroup::Ecp256], asked: 14 };
        assert_eq!(group.to_string(), "the peer asks for key exchange group 14, we have x25519, ecp256");
        let refused = DownReason::PeerRefused { exchange: Exchange::IkeAuth, notify: 36 };
        assert_eq!(refused.to_string(), "the peer refused IKE_AUTH with error 36 (INTERNAL_ADDRESS_FAILURE)");
    }
}
