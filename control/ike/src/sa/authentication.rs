//! Who the peer is, and how a failed IKE_AUTH is told (RFC 7296 §2.15, §2.21.2).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Env, IkeSa};
use crate::authentication::{Authentication, Certificate, HashSet, Psk, Signed, Trust};
use crate::config::TunnelConfig;
use crate::crypto::auth_proof;
use crate::identity::Identity;
use crate::message::{Chain, Notify, ParseError, Payloads, notify_kind};
use crate::reason::{CertificateFault, DownReason, End, Exchange, Protocol};
use crate::selector::list;

/// What a peer has said and shown about its authentication.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerAuthentication {
    /// The hash algorithms it accepts in signatures; `None` if it knows nothing of RFC 7427.
    pub(super) hashes: Option<HashSet>,
    /// It has asked for certificates of other authorities than ours.
    other_authorities: bool,
    /// It has proved that it knows the second of two pre-shared keys.
    uses_next_psk: bool,
    /// What it has proved itself with, for the case that we trust others later on.
    certificates: Vec<Box<[u8]>>,
}

impl PeerAuthentication {
    /// Takes what stands in a message: SIGNATURE_HASH_ALGORITHMS in IKE_SA_INIT, CERTREQ where it may stand.
    pub(super) fn hear(&mut self, payloads: &Payloads<'_>, config: &TunnelConfig) {
        if let Some(notify) = payloads.notify(notify_kind::SIGNATURE_HASH_ALGORITHMS) {
            self.hashes = Some(HashSet::from_wire(notify.data));
        }
        if let Authentication::Certificate { local, .. } = &config.authentication
            && !payloads.certificate_requests.is_empty()
        {
            let mut asked = payloads.certificate_requests.iter().map(|request| local.is_asked_for(request));
            self.other_authorities = asked.all(|asked| asked == Some(false));
        }
    }
}

impl IkeSa {
    /// Judges who the peer says it is, then its proof: a wrong identity has its own key, so the order
    /// decides which of the two reasons is named.
    pub(super) fn check_peer(
        &mut self,
        id_body: &[u8],
        payloads: &Payloads<'_>,
        signed: &[u8],
        env: &Env<'_, '_>,
    ) -> Result<(), Refusal> {
        let failed = |reason| Refusal { reason, tell: Tell::Notify(notify_kind::AUTHENTICATION_FAILED, Vec::new()) };
        let config = env.config;
        let (head, data) = id_body.split_at_checked(4).unwrap_or((id_body, &[]));
        let received = Identity::from_wire(head.first().copied().unwrap_or(0), data);
        if !received.is(&config.remote_id) {
            let expected = config.remote_id.clone();
            return Err(failed(DownReason::IdentityMismatch { expected, received }));
        }
        let unsupported = |method| {
            let expected = config.authentication.describe();
            failed(DownReason::UnsupportedAuthentication { method, expected })
        };
        let (method, proof) = payloads.auth.ok_or_else(|| unsupported(None))?;
        match (&config.authentication, method) {
            (Authentication::Psk { key, next }, AUTH_SHARED_KEY) => {
                let proves = |key: &Psk| {
                    self.proof(false, key, id_body, signed).is_some_and(|e| bool::from(e.as_slice().ct_eq(proof)))
                };
                // Both are tried whatever comes out, so that time does not tell which one it was.
                let (first, second) = (proves(key), next.as_ref().is_some_and(proves));
                if !first && !second {
                    return Err(failed(DownReason::WrongPsk { peer: received }));
                }
                self.peer.uses_next_psk = !first;
                Ok(())
            }
            (Authentication::Certificate { trust, .. }, method) if method != AUTH_SHARED_KEY => {
                let signature = Signed::from_wire(method, proof)
                    .map_err(|algorithm| failed(DownReason::UnsupportedSignature { algorithm }))?;
                let certificate = judge(&payloads.certificates, trust, env.ctx.unix_time).map_err(failed)?;
                if !certificate.is_of(&received) {
                    let found = certificate.identities();
                    return Err(failed(DownReason::CertificateIdentity { identity: received, found }));
                }
                self.check_signature(&certificate, &signature, id_body, signed, received).map_err(failed)?;
                self.peer.certificates = payloads.certificates.iter().map(|der| (*der).into()).collect();
                Ok(())
            }
            (Authentication::Psk { .. } | Authentication::Certificate { .. }, method) => Err(unsupported(Some(method))),
        }
    }

    fn check_signature(
        &self,
        certificate: &Certificate,
        signature: &Signed,
        id_body: &[u8],
        signed: &[u8],
        peer: Identity,
    ) -> Result<(), DownReason> {
        let subject = || certificate.subject().to_string();
        let key = certificate.public_key();
        let key = key
            .map_err(|key| DownReason::CertificateUnusable { subject: subject(), fault: CertificateFault::Key(key) })?;
        let Some((nonce, id)) = self.octets(false, id_body) else { return Err(DownReason::Connecting) };
        if key.verify_auth(signature, &[signed, nonce, &id, &self.rounds.octets()]) {
            Ok(())
        } else {
            Err(DownReason::WrongSignature { peer })
        }
    }

    /// Adds our proof, over our first message; in front of it our certificates, and the initiator's request for the
    /// peer's (RFC 7296 §1.2).
    ///
    /// # Errors
    /// The reason why there is none.
    pub(super) fn push_authentication(
        &mut self,
        chain: &mut Chain,
        signed: &[u8],
        env: &mut Env<'_, '_>,
    ) -> Result<(), DownReason> {
        let id_body = our_identity(env.config);
        match &env.config.authentication {
            Authentication::Psk { key, next } => {
                // A responder proves itself with the key that its peer has; an initiator with the first one, until
                // the peer has rejected it.
                let turn = if self.initiator { env.counters.rejected % 2 == 1 } else { self.peer.uses_next_psk };
                let key = next.as_ref().filter(|_| turn).unwrap_or(key);
                let proof = self.proof(true, key, &id_body, signed).ok_or(DownReason::Connecting)?;
                chain.push_auth(AUTH_SHARED_KEY, &proof);
            }
            Authentication::Certificate { local, .. } => {
                local.certificates().for_each(|der| chain.push_certificate(der));
                if self.initiator {
                    request_certificate(chain, env.config);
                }
                let (nonce, id) = self.octets(true, &id_body).ok_or(DownReason::Connecting)?;
                let made = local.sign(self.peer.hashes, &[signed, nonce, &id, &self.rounds.octets()], env.ctx.rng);
                let (method, data) = made.map_err(|key| DownReason::NoCommonSignature { key })?.to_wire();
                chain.push_auth(method, &data);
            }
        }
        Ok(())
    }

    /// The peer does not believe who we are.
    pub(super) fn rejected(&self, env: &mut Env<'_, '_>) -> DownReason {
        env.counters.rejected += 1;
        let local_id = env.config.local_id.clone();
        match &env.config.authentication {
            Authentication::Psk { .. } => DownReason::AuthenticationRejected { local_id },
            Authentication::Certificate { local, .. } => DownReason::CertificateRejected {
                local_id,
                subject: local.subject(),
                other_authorities: self.peer.other_authorities,
            },
        }
    }

    /// Why what the peer has proved under one configuration does not hold under another.
    pub(crate) fn doubt(&self, before: &TunnelConfig, after: &TunnelConfig, now: u64) -> Option<DownReason> {
        match (&before.authentication, &after.authentication) {
            (Authentication::Psk { key, next }, Authentication::Psk { key: first, next: second }) => {
                let used = next.as_ref().filter(|_| self.peer.uses_next_psk).unwrap_or(key);
                (used != first && Some(used) != second.as_ref()).then_some(DownReason::KeyReplaced)
            }
            (Authentication::Certificate { trust, .. }, Authentication::Certificate { trust: new, .. }) => {
                if trust == new {
                    return None;
                }
                let sent: Vec<&[u8]> = self.peer.certificates.iter().map(AsRef::as_ref).collect();
                judge(&sent, new, now).err()
            }
            (Authentication::Psk { .. }, Authentication::Certificate { .. })
            | (Authentication::Certificate { .. }, Authentication::Psk { .. }) => Some(DownReason::KeyReplaced),
        }
    }

    /// Whether the peer has proved that it knows the second of two pre-shared keys.
    pub(crate) fn uses_next_psk(&self) -> bool {
        self.peer.uses_next_psk
    }

    /// AUTH's data for a pre-shared key: ours or the peer's.
    fn proof(&self, ours: bool, key: &Psk, id_body: &[u8], signed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sk_p) = self.nonce_and_key(ours)?;
        let prf = self.secure.as_ref()?.suite.prf;
        Some(auth_proof(prf, key.as_bytes(), signed, nonce, sk_p, id_body, &self.rounds.octets()))
    }

    /// What is signed after the first message (RFC 7296 §2.15): the other end's nonce, and the identity under SK_p. What
    /// IKE_INTERMEDIATE adds comes behind (RFC 9242 §3.3.2).
    fn octets(&self, ours: bool, id_body: &[u8]) -> Option<(&[u8], Zeroizing<Vec<u8>>)> {
        let (nonce, sk_p) = self.nonce_and_key(ours)?;
        let id = self.secure.as_ref()?.suite.prf.compute(sk_p, &[id_body]);
        Some((nonce, id))
    }

    /// Of the end that proves itself: the other end's nonce, and its own SK_p.
    fn nonce_and_key(&self, ours: bool) -> Option<(&[u8], &[u8])> {
        let keys = &self.secure.as_ref()?.keys;
        let initiator = self.initiator == ours;
        Some(if initiator { (&self.nonces.1, &keys.pi) } else { (&self.nonces.0, &keys.pr) })
    }
}

/// The body of our ID payload.
pub(super) fn our_identity(config: &TunnelConfig) -> Vec<u8> {
    match &config.authentication {
        Authentication::Psk { .. } => config.local_id.to_payload(),
        Authentication::Certificate { local, .. } => local.written(&config.local_id).to_payload(),
    }
}

/// Tells in IKE_SA_INIT which hash algorithms we accept in signatures (RFC 7427 §4).
pub(super) fn announce(chain: &mut Chain, config: &TunnelConfig) {
    match &config.authentication {
        Authentication::Psk { .. } => {}
        Authentication::Certificate { .. } => {
            chain.push_notify(notify_kind::SIGNATURE_HASH_ALGORITHMS, &HashSet::ours().to_wire());
        }
    }
}

/// Asks for a certificate of our authorities (RFC 7296 §3.7).
pub(super) fn request_certificate(chain: &mut Chain, config: &TunnelConfig) {
    match &config.authentication {
        Authentication::Psk { .. } => {}
        Authentication::Certificate { trust, .. } => chain.push_certificate_request(&trust.request()),
    }
}

/// The peer's certificate, once a path leads from it to an authority of ours.
fn judge(sent: &[&[u8]], trust: &Trust, now: u64) -> Result<Certificate, DownReason> {
    let unreadable =
        || DownReason::CertificateUnusable { subject: "the peer".to_owned(), fault: CertificateFault::Malformed };
    let mut certificates = Vec::with_capacity(sent.len());
    for (place, der) in sent.iter().enumerate() {
        match Certificate::from_der(der) {
            Ok(certificate) => certificates.push(certificate),
            Err(_) if place == 0 => return Err(unreadable()),
            // It may be one that is not needed.
            Err(_) => {}
        }
    }
    trust.judge(&certificates, now)?;
    certificates.into_iter().next().ok_or(DownReason::CertificateMissing)
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
