//! IKE_FOLLOWUP_KE: the additional key exchanges of SAs that CREATE_CHILD_SA makes (RFC 9370 §2.2.4).

use std::time::Instant;

use zeroize::Zeroizing;

use super::create_child::{ChildGrant, Refused};
use super::exchange::Purpose;
use super::rekey::IkeAgreement;
use super::{Env, IkeSa, Path, Verdict};
use crate::algorithm::{ADDITIONAL_KEY_EXCHANGES, KeGroup};
use crate::crypto::KeSecret;
use crate::message::{Chain, ExchangeType, Header, Payloads, notify_kind};
use crate::reason::Violation;

/// What an SA's keys come from, but for SK_d.
#[derive(Debug)]
pub(super) struct Secrets {
    /// Of the exchange's initiator, of its responder.
    pub(super) nonces: (Vec<u8>, Vec<u8>),
    /// Of the first key exchange; empty where there is none.
    pub(super) first: Zeroizing<Vec<u8>>,
    /// Of the additional ones, one after the other.
    pub(super) more: Zeroizing<Vec<u8>>,
    /// Those to be made yet, the next one first.
    left: Vec<KeGroup>,
}

/// What we keep as the responder until the peer has made the additional key exchanges.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) grant: Grant,
    /// What the peer's next request has to repeat.
    link: [u8; LINK_BYTES],
    /// When it is forgotten.
    pub(super) until: Instant,
}

/// What the peer is to have.
#[derive(Debug)]
pub(super) enum Grant {
    Ike(IkeAgreement),
    Child(ChildGrant),
}

impl Secrets {
    pub(super) fn new(
        nonces: (&[u8], &[u8]),
        first: Zeroizing<Vec<u8>>,
        additional: [Option<KeGroup>; ADDITIONAL_KEY_EXCHANGES],
    ) -> Self {
        let left = additional.into_iter().flatten().collect();
        Self { nonces: (nonces.0.to_vec(), nonces.1.to_vec()), first, more: Zeroizing::default(), left }
    }

    /// The key exchange that the SA has to wait for.
    pub(super) fn next(&self) -> Option<KeGroup> {
        self.left.first().copied()
    }

    /// The lower one of the two nonces: in a collision it decides.
    pub(super) fn lowest_nonce(&self) -> &[u8] {
        self.nonces.0.as_slice().min(&self.nonces.1)
    }

    /// The next key exchange is made.
    pub(super) fn take_in(&mut self, shared: &[u8]) {
        self.left.remove(0);
        self.more.extend_from_slice(shared);
    }

    /// As initiator, with the peer's value.
    pub(super) fn go_on(&mut self, secret: &KeSecret, (group, public): (u16, &[u8])) -> Result<(), Violation> {
        let shared = secret.agree(public).filter(|_| group == secret.group().id()).ok_or(Violation::KeyExchange)?;
        self.take_in(&shared);
        Ok(())
    }
}

impl Grant {
    pub(super) fn secrets(&self) -> &Secrets {
        match self {
            Self::Ike(agreement) => &agreement.secrets,
            Self::Child(grant) => &grant.secrets,
        }
    }

    fn secrets_mut(&mut self) -> &mut Secrets {
        match self {
            Self::Ike(agreement) => &mut agreement.secrets,
            Self::Child(grant) => &mut grant.secrets,
        }
    }
}

impl IkeSa {
    /// Asks for the next additional key exchange, which the peer's last answer has a link for. `purpose` keeps its secret.
    pub(super) fn send_followup(
        &mut self,
        group: KeGroup,
        payloads: &Payloads<'_>,
        purpose: impl FnOnce(KeSecret) -> Purpose,
        env: &mut Env<'_, '_>,
    ) -> Result<(), Violation> {
        let missing = Violation::Missing("ADDITIONAL_KEY_EXCHANGE");
        let link = payloads.notify(notify_kind::ADDITIONAL_KEY_EXCHANGE).ok_or(missing)?;
        let secret = KeSecret::generate(group, env.ctx.rng);
        let mut chain = Chain::new();
        chain.push_key_exchange(group.id(), &secret.public());
        chain.push_notify(notify_kind::ADDITIONAL_KEY_EXCHANGE, link.data);
        self.send_request(ExchangeType::IkeFollowupKe, purpose(secret), &chain, env);
        Ok(())
    }

    /// The peer is to make additional key exchanges before there is the SA that it asks for.
    pub(super) fn await_followup(&mut self, grant: Grant, chain: &mut Chain, env: &mut Env<'_, '_>) {
        let mut link = [0; LINK_BYTES];
        env.ctx.rng.fill_bytes(&mut link);
        chain.push_notify(notify_kind::ADDITIONAL_KEY_EXCHANGE, &link);
        self.pending = Some(Box::new(Pending { grant, link, until: env.ctx.now + env.config.retry.give_up }));
    }

    /// The peer makes one.
    pub(super) fn on_followup_request(
        &mut self,
        header: Header,
        digest: [u8; 32],
        payloads: &Payloads<'_>,
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        match self.follow_up(payloads, env) {
            Ok((mut chain, grant)) if grant.secrets().next().is_some() => {
                self.await_followup(grant, &mut chain, env);
                self.answer(header, digest, &chain, path, env);
                Verdict::Continue
            }
            Ok((chain, Grant::Ike(agreement))) => self.grant_successor(&agreement, chain, (header, digest), path, env),
            Ok((chain, Grant::Child(grant))) => self.grant_child(grant, &chain, (header, digest), path, env),
            Err((notify, data)) => {
                self.answer_notify(header, digest, (notify, &data), path, env);
                Verdict::Continue
            }
        }
    }

    fn follow_up(&mut self, payloads: &Payloads<'_>, env: &mut Env<'_, '_>) -> Result<(Chain, Grant), Refused> {
        let link = payloads.notify(notify_kind::ADDITIONAL_KEY_EXCHANGE).map(|notify| notify.data);
        let pending = self.pending.as_mut().filter(|pending| link == Some(pending.link.as_slice()));
        let pending = pending.ok_or((notify_kind::STATE_NOT_FOUND, Vec::new()))?;
        let syntax = || (notify_kind::INVALID_SYNTAX, Vec::new());
        let secrets = pending.grant.secrets_mut();
        let wanted = secrets.next().ok_or_else(syntax)?;
        let (_, public) = payloads.key_exchange.filter(|(sent, _)| *sent == wanted.id()).ok_or_else(syntax)?;
        let (ours, shared) = KeSecret::respond(wanted, public, env.ctx.rng).ok_or_else(syntax)?;
        secrets.take_in(&shared);
        let mut chain = Chain::new();
        chain.push_key_exchange(wanted.id(), &ours);
        self.pending.take().map(|pending| (chain, pending.grant)).ok_or_else(syntax)
    }

    /// Forgets what the peer has not gone on with for too long.
    pub(super) fn tend_pending(&mut self, env: &mut Env<'_, '_>) {
        if self.pending.as_ref().is_some_and(|pending| pending.until <= env.ctx.now)
            && let Some(old) = self.forget_pending(env)
        {
            // Somebody has to replace it.
            self.rekey_child(old);
        }
    }

    /// What the peer was to have comes to nothing: gives the child in whose place it would have been, if any.
    pub(super) fn forget_pending(&mut self, env: &mut Env<'_, '_>) -> Option<u32> {
        match (self.pending.take()?.grant, self.request.as_mut().map(|request| &mut request.purpose)) {
            (Grant::Ike(agreement), Some(Purpose::RekeyIke(ours))) => {
                ours.rival.take_if(|rival| rival.spi == agreement.spis.0);
                None
            }
            (Grant::Ike(_), _) => None,
            (Grant::Child(grant), purpose) => {
                if let Some(Purpose::CreateChild(ours)) = purpose {
                    ours.rival.take_if(|rival| rival.inbound_spi == grant.inbound_spi);
                }
                env.ctx.spis.release(self.tunnel, grant.inbound_spi);
                grant.replaces
            }
        }
    }
}

/// Of what the peer's next request repeats; nobody can guess it, and it says nothing.
const LINK_BYTES: usize = 8;
