//! Who the peer is, and how a failed IKE_AUTH is told (RFC 7296 §2.15, §2.21.2).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::IkeSa;
use crate::config::TunnelConfig;
use crate::crypto::auth_proof;
use crate::identity::Identity;
use crate::message::{Notify, ParseError, notify_kind};
use crate::reason::{DownReason, End, Exchange, Protocol};
use crate::selector::list;

impl IkeSa {
    /// Judges who the peer says it is, then its proof: a wrong identity has its own key, so the order
    /// decides which of the two reasons is named.
    pub(super) fn check_peer(
        &self,
        id_body: &[u8],
        auth: Option<(u8, &[u8])>,
        signed: &[u8],
        config: &TunnelConfig,
    ) -> Result<(), Refusal> {
        let failed = |reason| Refusal { reason, tell: Tell::Notify(notify_kind::AUTHENTICATION_FAILED, Vec::new()) };
        let (head, data) = id_body.split_at_checked(4).unwrap_or((id_body, &[]));
        let received = Identity::from_wire(head.first().copied().unwrap_or(0), data);
        if !received.is(&config.remote_id) {
            let expected = config.remote_id.clone();
            return Err(failed(DownReason::IdentityMismatch { expected, received }));
        }
        let (method, proof) = auth.ok_or(failed(DownReason::UnsupportedAuthentication { method: None }))?;
        if method != AUTH_SHARED_KEY {
            return Err(failed(DownReason::UnsupportedAuthentication { method: Some(method) }));
        }
        let secure = self.secure.as_ref().ok_or(Refusal::silent(DownReason::Connecting))?;
        let (nonce, sk_p) =
            if self.initiator { (&self.nonces.0, &secure.keys.pr) } else { (&self.nonces.1, &secure.keys.pi) };
        let expected =
            auth_proof(secure.suite.prf, config.psk.as_bytes(), signed, nonce, sk_p, id_body, &self.rounds.octets());
        if bool::from(expected.as_slice().ct_eq(proof)) {
            Ok(())
        } else {
            Err(failed(DownReason::WrongPsk { peer: received }))
        }
    }

    /// Our own AUTH data over our first message.
    pub(super) fn our_proof(&self, config: &TunnelConfig, signed: &[u8]) -> Zeroizing<Vec<u8>> {
        let Some(secure) = &self.secure else { return Zeroizing::default() };
        let (nonce, sk_p) =
            if self.initiator { (&self.nonces.1, &secure.keys.pi) } else { (&self.nonces.0, &secure.keys.pr) };
        let id = config.local_id.to_payload();
        auth_proof(secure.suite.prf, config.psk.as_bytes(), signed, nonce, sk_p, &id, &self.rounds.octets())
    }
}

/// Why IKE_AUTH fails, and what the peer is told.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: DownReason,
    pub(super) tell: Tell,
}

#[derive(Debug)]
pub(super) enum Tell {
    Nothing,
    Notify(u16, Vec<u8>),
    Delete,
}

impl Refusal {
    pub(super) fn silent(reason: DownReason) -> Self {
        Self { reason, tell: Tell::Nothing }
    }

    pub(super) fn delete(reason: DownReason) -> Self {
        Self { reason, tell: Tell::Delete }
    }

    pub(super) fn syntax(exchange: Exchange, error: ParseError) -> Self {
        Self {
            reason: DownReason::Malformed { exchange, error },
            tell: Tell::Notify(notify_kind::INVALID_SYNTAX, Vec::new()),
        }
    }
}

/// What a protected error notification in an answer means.
pub(super) fn refused(exchange: Exchange, error: &Notify<'_>, config: &TunnelConfig) -> DownReason {
    match error.kind {
        notify_kind::AUTHENTICATION_FAILED => DownReason::AuthenticationRejected { local_id: config.local_id.clone() },
        notify_kind::NO_PROPOSAL_CHOSEN => {
            DownReason::NoProposalChosen { protocol: Protocol::Esp, ours: config.esp.describe(), theirs: None }
        }
        notify_kind::TS_UNACCEPTABLE => DownReason::SelectorsRefused {
            local: list(&config.local_selectors),
            remote: list(&config.remote_selectors),
            theirs: None,
        },
        notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD => DownReason::UnsupportedCriticalPayload {
            from: End::Peer,
            payload: error.data.first().copied().unwrap_or(0),
        },
        notify => DownReason::PeerRefused { exchange, notify },
    }
}

/// RFC 7296 §3.8: Shared Key Message Integrity Code.
pub(super) const AUTH_SHARED_KEY: u8 = 2;
