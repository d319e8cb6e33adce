//! IKE_FOLLOWUP_KE: the additional key exchanges of an IKE SA that takes another one's place (RFC 9370 §2.2.4).

use std::time::Instant;

use zeroize::Zeroizing;

use super::create_child::Refused;
use super::exchange::Purpose;
use super::rekey::IkeRekey;
use super::{Env, IkeSa, Path, Verdict};
use crate::algorithm::{IkeSuite, KeGroup};
use crate::crypto::KeSecret;
use crate::message::{Chain, ExchangeType, Header, Payloads, notify_kind};

/// What an exchange of CREATE_CHILD_SA agreed on, and the shared secrets so far.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) suite: IkeSuite,
    /// Ours, the peer's; of the new SA.
    pub(super) spis: (u64, u64),
    /// Of the exchange's initiator, of its responder.
    pub(super) nonces: (Vec<u8>, Vec<u8>),
    /// Of the first key exchange.
    pub(super) first: Zeroizing<Vec<u8>>,
    /// Of the additional ones, one after the other.
    pub(super) more: Zeroizing<Vec<u8>>,
    /// Those to be made yet, the next one first.
    left: Vec<KeGroup>,
}

/// What we keep as the responder until the peer has made the additional key exchanges.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) agreement: Agreement,
    /// What the peer's next request has to repeat.
    link: [u8; LINK_BYTES],
    /// When it is forgotten.
    pub(super) until: Instant,
}

impl Agreement {
    pub(super) fn new(suite: IkeSuite, spis: (u64, u64), nonces: (&[u8], &[u8]), first: Zeroizing<Vec<u8>>) -> Self {
        let left = suite.additional.into_iter().flatten().collect();
        let nonces = (nonces.0.to_vec(), nonces.1.to_vec());
        Self { suite, spis, nonces, first, more: Zeroizing::default(), left }
    }

    /// Whether the new SA has to wait.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.left.is_empty()
    }

    /// The lower one of the two nonces.
    pub(super) fn lowest_nonce(&self) -> &[u8] {
        self.nonces.0.as_slice().min(&self.nonces.1)
    }

    /// The next key exchange is made.
    pub(super) fn take_in(&mut self, shared: &[u8]) {
        self.left.remove(0);
        self.more.extend_from_slice(shared);
    }
}

impl IkeSa {
    /// Asks for the next additional key exchange. `link` is the peer's.
    pub(super) fn send_followup(
        &mut self,
        mut rekey: IkeRekey,
        agreement: Agreement,
        link: &[u8],
        env: &mut Env<'_, '_>,
    ) {
        let Some(group) = agreement.left.first().copied() else { return };
        rekey.secret = KeSecret::generate(group, env.ctx.rng);
        rekey.agreement = Some(agreement);
        let mut chain = Chain::new();
        chain.push_key_exchange(group.id(), &rekey.secret.public());
        chain.push_notify(notify_kind::ADDITIONAL_KEY_EXCHANGE, link);
        self.send_request(ExchangeType::IkeFollowupKe, Purpose::RekeyIke(Box::new(rekey)), &chain, env);
    }

    /// The peer is to make additional key exchanges before there is the SA that it asks for.
    pub(super) fn await_followup(&mut self, agreement: Agreement, chain: &mut Chain, env: &mut Env<'_, '_>) {
        let mut link = [0; LINK_BYTES];
        env.ctx.rng.fill_bytes(&mut link);
        chain.push_notify(notify_kind::ADDITIONAL_KEY_EXCHANGE, &link);
        self.pending = Some(Box::new(Pending { agreement, link, until: env.ctx.now + env.config.retry.give_up }));
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
            Ok((mut chain, agreement)) if agreement.is_incomplete() => {
                self.await_followup(agreement, &mut chain, env);
                self.answer(header, digest, &chain, path, env);
                Verdict::Continue
            }
            Ok((chain, agreement)) => self.grant_successor(&agreement, chain, (header, digest), path, env),
            Err((notify, data)) => {
                self.answer_notify(header, digest, (notify, &data), path, env);
                Verdict::Continue
            }
        }
    }

    fn follow_up(&mut self, payloads: &Payloads<'_>, env: &mut Env<'_, '_>) -> Result<(Chain, Agreement), Refused> {
        let link = payloads.notify(notify_kind::ADDITIONAL_KEY_EXCHANGE).map(|notify| notify.data);
        let pending = self.pending.take_if(|pending| link == Some(pending.link.as_slice()));
        let Some(Pending { mut agreement, .. }) = pending.map(|pending| *pending) else {
            return Err((notify_kind::STATE_NOT_FOUND, Vec::new()));
        };
        let syntax = || (notify_kind::INVALID_SYNTAX, Vec::new());
        let wanted = agreement.left.first().copied().ok_or_else(syntax)?;
        let (_, public) = payloads.key_exchange.filter(|(sent, _)| *sent == wanted.id()).ok_or_else(syntax)?;
        let (ours, shared) = KeSecret::respond(wanted, public, env.ctx.rng).ok_or_else(syntax)?;
        agreement.take_in(&shared);
        let mut chain = Chain::new();
        chain.push_key_exchange(wanted.id(), &ours);
        Ok((chain, agreement))
    }

    /// Forgets what the peer has not gone on with for too long.
    pub(super) fn tend_pending(&mut self, now: Instant) {
        let Some(late) = self.pending.take_if(|pending| pending.until <= now) else { return };
        if let Some(Purpose::RekeyIke(ours)) = self.request.as_mut().map(|request| &mut request.purpose) {
            ours.rival.take_if(|rival| rival.spi == late.agreement.spis.0);
        }
    }
}

/// Of what the peer's next request repeats; nobody can guess it, and it says nothing.
const LINK_BYTES: usize = 8;
