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
    /// A certificate's time is over.
    #[error("the certificate of {subject} expired on {since}")]
    CertificateExpired {
        /// Whose certificate.
        subject: String,
        /// Its last second.
        since: String,
    },
    /// The peer's certificate is somebody else's.
    #[error("the peer says it is {identity}, but its certificate is for {found}")]
    CertificateIdentity {
        /// As the peer says.
        identity: Identity,
        /// What its certificate says.
        found: String,
    },
    /// The peer proves itself by a signature, and there is nothing to check it with.
    #[error("the peer sent no certificate")]
    CertificateMissing,
    /// A certificate's time has not come.
    #[error("the certificate of {subject} is not valid before {from}")]
    CertificateNotYetValid {
        /// Whose certificate.
        subject: String,
        /// Its first second.
        from: String,
    },
    /// The peer answered AUTHENTICATION_FAILED to our certificate.
    #[error(
        "the peer rejected our authentication as {local_id} with the certificate of {subject}{}",
        if *.other_authorities { ", which comes from an authority that it does not ask for" } else { "" }
    )]
    CertificateRejected {
        /// The identity we sent.
        local_id: Identity,
        /// Our certificate's subject.
        subject: String,
        /// Whether the peer has said which authorities it trusts, and ours is none of them.
        other_authorities: bool,
    },
    /// An authority has revoked a certificate.
    #[error("the certificate of {subject} (serial number {serial}) was revoked by {issuer}")]
    CertificateRevoked {
        /// Whose certificate.
        subject: String,
        /// Its serial number, in hexadecimal.
        serial: String,
        /// Who revoked it.
        issuer: String,
    },
    /// No path leads from the peer's certificate to an authority of ours.
    #[error(
        "the certificate of {subject} comes from nobody we trust: {issuer} is not among our certificate authorities"
    )]
    CertificateUntrusted {
        /// Whose certificate.
        subject: String,
        /// Where the path ends.
        issuer: String,
    },
    /// A certificate on the way to an authority does not do.
    #[error("the certificate of {subject} cannot be used: {fault}")]
    CertificateUnusable {
        /// Whose certificate.
        subject: String,
        /// Why not.
        fault: CertificateFault,
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
    /// What the peer had proved is not asked for any more.
    #[error("the tunnel was proved by a key that has been replaced since")]
    KeyReplaced,
    /// The lifetime is over; an initiator sets the tunnel up anew at once.
    #[error("the {lifetime} reached its lifetime of {seconds} s")]
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
    /// This gateway is being taken out of service, and has sent the peer to another one (RFC 5685).
    #[error("this gateway is being drained: the peer was sent to {to}")]
    Drained {
        /// Where the peer is sent.
        to: IpAddr,
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
    /// The peer accepts no signature that our key makes.
    #[error("the peer accepts no signature of our {key} key: it has not announced a hash algorithm for it")]
    NoCommonSignature {
        /// The kind of our key.
        key: &'static str,
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
    /// The peer has shown that it knows nothing of the SA (RFC 6290); an initiator sets the tunnel up anew at once.
    #[error("the peer {remote} has restarted and lost the IKE SA")]
    PeerRestarted {
        /// Who has shown it.
        remote: IpAddr,
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
    /// The peer has sent us to another gateway (RFC 5685).
    #[error("the peer sends us to {to}")]
    Redirected {
        /// Where we are sent.
        to: IpAddr,
    },
    /// An operator had the tunnel set up anew.
    #[error("the tunnel was reset by an operator")]
    Reset,
    /// Nobody says whether a certificate has been revoked, and the configuration wants to know.
    #[error("whether the certificate of {subject} was revoked is not known: there is no current list of {issuer}")]
    RevocationUnknown {
        /// Whose certificate.
        subject: String,
        /// Who should say.
        issuer: String,
    },
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
    /// The peer authenticates otherwise than the configuration says.
    #[error(
        "the peer wants to authenticate with {}, we accept {expected} only",
        .method.map_or("EAP", authentication_method)
    )]
    UnsupportedAuthentication {
        /// The AUTH method; `None` if there was no AUTH payload, which asks for EAP.
        method: Option<u8>,
        /// What the configuration says.
        expected: &'static str,
    },
    /// The peer signed with an algorithm that we do not accept.
    #[error("the peer signs with {algorithm}, which is not accepted")]
    UnsupportedSignature {
        /// Which one.
        algorithm: String,
    },
    /// We need a post-quantum key, and the peer has none or does not know ours.
    #[error("the peer does not have the post-quantum key that we require")]
    PpkMissing,
    /// The peer's proof holds without the post-quantum key, and not with it.
    #[error("the post-quantum key is wrong: the peer has another one of the same name")]
    WrongPpk,
    /// We checked the peer's AUTH and it was wrong.
    #[error("the pre-shared key is wrong: {peer} is who it should be but its proof does not match our key")]
    WrongPsk {
        /// The peer's identity, which did match.
        peer: Identity,
    },
    /// We checked the peer's signature and it was wrong.
    #[error("the signature is wrong: {peer} has a certificate that we trust but has not signed with its key")]
    WrongSignature {
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
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CertificateIdentity { .. } => "certificate_identity",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
            Self::CertificateRejected { .. } => "certificate_rejected",
            Self::CertificateRevoked { .. } => "certificate_revoked",
            Self::CertificateUntrusted { .. } => "certificate_untrusted",
            Self::CertificateUnusable { .. } => "certificate_unusable",
            Self::Connecting => "connecting",
            Self::Drained { .. } => "drained",
            Self::IdentityMismatch { .. } => "identity_mismatch",
            Self::InvalidKeyExchange { .. } => "invalid_key_exchange",
            Self::KeyReplaced => "key_replaced",
            Self::LifetimeExpired { .. } => "lifetime_expired",
            Self::LocalIdentityMismatch { .. } => "local_identity_mismatch",
            Self::LocalResources => "local_resources",
            Self::Malformed { .. } => "malformed",
            Self::NoCommonSignature { .. } => "no_common_signature",
            Self::NoProposalChosen { .. } => "no_proposal_chosen",
            Self::PeerDeleted(_) => "peer_deleted",
            Self::PeerProtocolViolation { .. } => "peer_protocol_violation",
            Self::PeerRefused { .. } => "peer_refused",
            Self::PeerRestarted { .. } => "peer_restarted",
            Self::PeerSilent { .. } => "peer_silent",
            Self::PpkMissing => "ppk_missing",
            Self::PeerSpeaksIkeV1 { .. } => "peer_speaks_ikev1",
            Self::Redirected { .. } => "redirected",
            Self::Reset => "reset",
            Self::RevocationUnknown { .. } => "revocation_unknown",
            Self::SelectorsRefused { .. } => "selectors_refused",
            Self::Shutdown => "shutdown",
            Self::UnsupportedAuthentication { .. } => "unsupported_authentication",
            Self::UnsupportedCriticalPayload { .. } => "unsupported_critical_payload",
            Self::UnsupportedSignature { .. } => "unsupported_signature",
            Self::WrongPpk => "wrong_ppk",
            Self::WrongPsk { .. } => "wrong_psk",
            Self::WrongSignature { .. } => "wrong_signature",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::AdminDown => "set admin = \"up\" to start the tunnel",
            Self::AuthenticationRejected { .. } => {
                "compare psk and local_id with what the customer's device has; its log says which of the two it was"
            }
            Self::CertificateExpired { .. } => {
                "renew that certificate; if it is still good, set the clock of this host"
            }
            Self::CertificateIdentity { .. } => {
                "have the peer send an identity that is in its certificate (a subjectAltName, or the subject), or \
                 issue a certificate that has it"
            }
            Self::CertificateMissing => "have the peer send its certificate, always or when asked",
            Self::CertificateNotYetValid { .. } => "set the clock of this host, or of the one that issued it",
            Self::CertificateRejected { .. } => {
                "have the peer trust the authority of certificate_file and accept local_id; its log says which it was"
            }
            Self::CertificateRevoked { .. } => "issue the peer a new certificate, if it should still be let in",
            Self::CertificateUntrusted { .. } => {
                "add that authority to ca_files, or have the peer send the certificates that lead to one of them"
            }
            Self::CertificateUnusable { .. } => "issue a certificate that is free of this fault",
            Self::Connecting => "wait, or look at the counters for messages sent and received",
            Self::Drained { .. } => "end it with `bordergate drain --off` once this gateway is to serve again",
            Self::IdentityMismatch { .. } => "set remote_id to what the peer says, or change the identity on the peer",
            Self::InvalidKeyExchange { .. } => {
                "add the group the peer asks for to ike.key_exchange, or one of ours on the peer"
            }
            Self::KeyReplaced => {
                "set the new key on the peer; to replace one without an interruption, let both be good for a while (psk_next)"
            }
            Self::LifetimeExpired { .. } => "nothing, unless the tunnel does not come back",
            Self::LocalIdentityMismatch { .. } => "set local_id to what the peer wants, or change its remote identity",
            Self::LocalResources => "raise `run --associations`, or remove tunnels",
            Self::Malformed { .. } | Self::PeerProtocolViolation { .. } => {
                "capture the exchange and report it to the peer's vendor, or to us"
            }
            Self::NoCommonSignature { .. } => {
                "have the peer support RFC 7427 signatures with SHA-2, or use a certificate with an RSA or ECDSA key"
            }
            Self::NoProposalChosen { protocol: Protocol::Ike, .. } => {
                "make ike.encryption, ike.integrity, ike.prf and ike.key_exchange overlap with the peer's"
            }
            Self::NoProposalChosen { protocol: Protocol::Esp, .. } => {
                "make esp.encryption and esp.esn overlap with the peer's"
            }
            Self::PeerDeleted(_) => "look at the peer's log for why; we try again if startup = \"initiate\"",
            Self::PeerRefused { .. } => "look at the peer's log for why it refused",
            Self::PeerRestarted { .. } => {
                "nothing, unless the tunnel does not come back; the peer's log says why it stopped"
            }
            Self::PeerSilent { .. } => {
                "check that UDP 500 and 4500 pass in both directions and that the peer is configured for our address"
            }
            Self::PeerSpeaksIkeV1 { .. } => "set the connection to IKEv2 on the peer; both ends must speak it",
            Self::Redirected { .. } => {
                "if we may go there, add the address to the customer gateway's addresses, or set up a tunnel to it"
            }
            Self::Reset => "nothing, unless the tunnel does not come back",
            Self::RevocationUnknown { .. } => {
                "give a current list of that authority in crl_files, or set crl = \"lenient\""
            }
            Self::SelectorsRefused { .. } => "make local_prefixes and remote_prefixes mirror the peer's",
            Self::Shutdown => "start the gateway",
            Self::UnsupportedAuthentication { .. } => {
                "set the peer to what is accepted, or configure the tunnel with psk or with certificate_file"
            }
            Self::UnsupportedSignature { .. } => {
                "have the peer sign with RSA (2048 bits or more), ECDSA P-256, P-384 or P-521, or Ed25519, with SHA-2"
            }
            Self::UnsupportedCriticalPayload { .. } => "switch the extension off on the end that sends it",
            Self::PpkMissing => "give the peer the same ppk under the same ppk_id, or set ppk_required = false",
            Self::WrongPpk => "set the same ppk on both ends",
            Self::WrongPsk { .. } => "set the same psk on both ends",
            Self::WrongSignature { .. } => "check that the peer's private key is that of its certificate",
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CertificateFault {
    /// It is signed with an algorithm that is not accepted.
    #[error("it is signed with {0}, which is not accepted")]
    Algorithm(String),
    /// An extension is critical and not understood (RFC 5280 §4.2).
    #[error("its extension {0} is critical and not understood here")]
    Extension(String),
    /// Its key is of no kind or size that can be used.
    #[error("it has {0}")]
    Key(String),
    /// Its key is certified for something else (RFC 5280 §4.2.1.3).
    #[error("its key usage does not allow what it is used for")]
    KeyUsage,
    /// It does not parse.
    #[error("it cannot be read")]
    Malformed,
    /// It stands where an authority's should, and is none (RFC 5280 §4.2.1.9).
    #[error("it has signed another certificate but is not that of a certificate authority")]
    NoAuthority,
    /// It has more certificates below it than it may have (RFC 5280 §4.2.1.9).
    #[error("more authorities stand below it than its path length allows")]
    PathLength,
    /// It was not signed by the one it names.
    #[error("its issuer has not signed it")]
    Signature,
}

/// An AUTH method in words (RFC 7296 §3.8).
fn authentication_method(method: u8) -> &'static str {
    match method {
        1 => "an RSA signature",
        2 => "a pre-shared key",
        3 => "a DSS signature",
        9..=11 => "an ECDSA signature",
        12 => "a secure password",
        13 => "NULL authentication",
        14 => "a digital signature",
        _ => "a method that is not known",
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
    /// IKE_FOLLOWUP_KE (RFC 9370).
    IkeFollowupKe,
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
            Self::IkeFollowupKe => "IKE_FOLLOWUP_KE",
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
    /// Of what we have shown to be, which the peer sets (RFC 4478).
    Authentication,
    /// The child SA's.
    Child,
    /// The IKE SA's.
    Ike,
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication => "authentication",
            Self::Child => "child SA",
            Self::Ike => "IKE SA",
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
    /// From its new address it did not repeat what it was to repeat (RFC 4555).
    #[error("it did not repeat our COOKIE2 from the address that it has moved to")]
    Cookie2,
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
