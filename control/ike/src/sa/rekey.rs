//! Rekeying the IKE SA itself (RFC 7296 §1.3.2, §2.8, §2.18, §2.25.2).

use super::children::Wanted;
use super::create_child::{Refused, another_group};
use super::exchange::{Opened, Purpose};
use super::followup::{Grant, Secrets};
use super::initiator::violation;
use super::{Env, IkeSa, Path, Phase, Secure, Verdict};
use crate::algorithm::{IkeSuite, KeGroup};
use crate::config::IkeProposal;
use crate::crypto::{KeSecret, Protection, SaKeys};
use crate::message::{Chain, ExchangeType, Header, Payloads, kind, notify_kind};
use crate::reason::{DownReason, Exchange, Violation};

/// What we keep between our request for another IKE SA and its answer.
#[derive(Debug)]
pub(super) struct IkeRekey {
    /// Ours, of the new SA.
    spi: u64,
    proposal: IkeProposal,
    nonce: Vec<u8>,
    /// Of the key exchange that is under way.
    pub(super) secret: KeSecret,
    tried: Vec<KeGroup>,
    /// What is agreed on, once additional key exchanges are under way.
    pub(super) agreement: Option<IkeAgreement>,
    /// The peer has replaced this SA meanwhile, or is about to.
    pub(super) rival: Option<IkeRival>,
}

/// What both ends agreed on.
#[derive(Debug)]
pub(super) struct IkeAgreement {
    suite: IkeSuite,
    /// Ours, the peer's; of the new SA.
    pub(super) spis: (u64, u64),
    pub(super) secrets: Secrets,
}

/// What the peer made in a collision.
#[derive(Debug)]
pub(super) struct IkeRival {
    /// Ours, of the SA that the peer made or is about to make.
    pub(super) spi: u64,
    /// The lower one of its exchange's two nonces.
    nonce: Vec<u8>,
}

impl IkeSa {
    /// Whether our request for another IKE SA is under way.
    pub(super) fn is_rekeying(&self) -> bool {
        matches!(self.request.as_ref().map(|request| &request.purpose), Some(Purpose::RekeyIke(_)))
    }

    /// Wants this SA replaced, unless that is under way.
    pub(crate) fn rekey(&mut self) {
        if !self.is_rekeying() && !self.replaced {
            self.want(Wanted::RekeyIke, None);
        }
    }

    /// Asks for an IKE SA in the place of this one.
    pub(super) fn begin_ike_rekey(&mut self, env: &mut Env<'_, '_>) {
        let Some(secure) = &self.secure else { return };
        // The suite stays what it was.
        let proposal = env.config.ike.only(secure.suite);
        let group = secure.suite.key_exchange;
        let nonce = env.nonce();
        let secret = KeSecret::generate(group, env.ctx.rng);
        let (spi, tried) = (env.fresh_spi(), vec![group]);
        let rekey = IkeRekey { spi, proposal, nonce, secret, tried, agreement: None, rival: None };
        self.send_ike_rekey(rekey, env);
    }

    fn send_ike_rekey(&mut self, rekey: IkeRekey, env: &mut Env<'_, '_>) {
        let mut chain = Chain::new();
        chain.push_proposals(&rekey.proposal.offer(Some(rekey.spi)));
        chain.push(kind::NONCE, &rekey.nonce);
        chain.push_key_exchange(rekey.secret.group().id(), &rekey.secret.public());
        self.send_request(ExchangeType::CreateChildSa, Purpose::RekeyIke(Box::new(rekey)), &chain, env);
    }

    /// The peer's answer to our request for another IKE SA, or to a further key exchange for it.
    pub(super) fn on_ike_rekey_response(
        &mut self,
        mut rekey: IkeRekey,
        payloads: &Payloads<'_>,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        if payloads.key_exchange.is_none()
            && let Some(error) = payloads.error()
        {
            if let Some(group) = another_group(error, &env.config.ike.key_exchange, &rekey.tried) {
                rekey.tried.push(group);
                rekey.proposal.key_exchange = vec![group];
                rekey.secret = KeSecret::generate(group, env.ctx.rng);
                self.send_ike_rekey(rekey, env);
                return Verdict::Continue;
            }
            return self.on_ike_rekey_refused(rekey, error.kind, env);
        }
        let exchange = rekey.exchange();
        match rekey.advance(payloads) {
            Ok(agreement) => match agreement.secrets.next() {
                None => self.complete_ike_rekey(rekey, &agreement, payloads, env),
                Some(group) => {
                    let purpose =
                        |secret| Purpose::RekeyIke(Box::new(IkeRekey { secret, agreement: Some(agreement), ..rekey }));
                    let sent = self.send_followup(group, payloads, purpose, env);
                    sent.map_or_else(|broken| Verdict::Renew(violation(exchange, broken)), |()| Verdict::Continue)
                }
            },
            Err(broken) => Verdict::Renew(violation(exchange, broken)),
        }
    }

    fn on_ike_rekey_refused(&mut self, rekey: IkeRekey, notify: u16, env: &mut Env<'_, '_>) -> Verdict {
        match notify {
            // The peer is about to replace this SA itself, and did not know of ours when it began.
            _ if self.awaits(rekey.rival.as_ref()) => Verdict::Continue,
            // It has done so.
            _ if let Some(rival) = rekey.rival => self.yield_to(rival.spi, None, env),
            notify_kind::TEMPORARY_FAILURE | notify_kind::STATE_NOT_FOUND => {
                self.want(Wanted::RekeyIke, Some(env.ctx.now + env.retry_after()));
                Verdict::Continue
            }
            notify => {
                self.rekey_at = self.lives_until.and_then(|end| env.halfway(end));
                Verdict::Renew(DownReason::PeerRefused { exchange: rekey.exchange(), notify })
            }
        }
    }

    fn complete_ike_rekey(
        &mut self,
        rekey: IkeRekey,
        agreement: &IkeAgreement,
        payloads: &Payloads<'_>,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(mut successor) = self.successor(true, agreement, env) else { return Verdict::Continue };
        successor.keep_token(payloads);
        match rekey.rival {
            // RFC 7296 §2.8.2: the SA of the exchange with the lowest of four nonces goes.
            Some(rival) if agreement.secrets.lowest_nonce() < rival.nonce.as_slice() => {
                successor.delete(env);
                if self.awaits(Some(&rival)) {
                    return Verdict::Spare(successor);
                }
                self.yield_to(rival.spi, Some(successor), env)
            }
            Some(_) | None => {
                successor.inherit(self.bequeath(env));
                if env.crash_secret.is_some() {
                    successor.want(Wanted::TellToken, None);
                }
                self.delete(env);
                Verdict::Rekeyed(successor)
            }
        }
    }

    /// Whether this is what the peer has still to make additional key exchanges for.
    fn awaits(&self, rival: Option<&IkeRival>) -> bool {
        match (rival, self.pending.as_ref().map(|pending| &pending.grant)) {
            (Some(rival), Some(Grant::Ike(agreement))) => rival.spi == agreement.spis.0,
            (Some(_), Some(Grant::Child(_)) | None) | (None, _) => false,
        }
    }

    /// The answer to a request that this SA's Delete has followed: what the peer has made for it is deleted, too.
    pub(super) fn on_unfinished_rekey_response(
        &mut self,
        mut rekey: IkeRekey,
        header: Header,
        datagram: &[u8],
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(Opened { first, plain, .. }) = self.open(header, datagram, env) else {
            self.unfinished = Some((header.message_id, Box::new(rekey)));
            return Verdict::Continue;
        };
        self.heard(path, env);
        let Ok(payloads) = Payloads::parse(first, &plain) else { return Verdict::Continue };
        // Of one for which key exchanges are missing the peer has made nothing yet.
        let agreement = rekey.advance(&payloads).ok().filter(|agreement| agreement.secrets.next().is_none());
        let successor = agreement.and_then(|agreement| self.successor(true, &agreement, env));
        successor.map_or(Verdict::Continue, |mut successor| {
            successor.delete(env);
            Verdict::Spare(successor)
        })
    }

    /// The SA that the peer made is the one that stays; the peer deletes this one.
    pub(super) fn yield_to(&mut self, spi: u64, loser: Option<Box<Self>>, env: &mut Env<'_, '_>) -> Verdict {
        self.await_deletion(env);
        Verdict::Yielded { to: spi, estate: self.bequeath(env), loser }
    }

    /// The peer asks for an IKE SA in the place of this one.
    pub(super) fn on_ike_rekey_request(
        &mut self,
        header: Header,
        digest: [u8; 32],
        payloads: &Payloads<'_>,
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        match self.rekey_for_peer(payloads, env) {
            Ok((mut chain, agreement)) => {
                // What the peer has not gone on with it has given up.
                self.forget_pending(env);
                if let Some(Purpose::RekeyIke(ours)) = self.request.as_mut().map(|request| &mut request.purpose) {
                    ours.rival =
                        Some(IkeRival { spi: agreement.spis.0, nonce: agreement.secrets.lowest_nonce().to_vec() });
                }
                if agreement.secrets.next().is_some() {
                    self.await_followup(Grant::Ike(agreement), &mut chain, env);
                    self.answer(header, digest, &chain, path, env);
                    return Verdict::Continue;
                }
                self.grant_successor(&agreement, chain, (header, digest), path, env)
            }
            Err((notify, data)) => {
                self.answer_notify(header, digest, (notify, &data), path, env);
                Verdict::Continue
            }
        }
    }

    /// Makes the SA that the peer has asked for, and answers with this chain.
    pub(super) fn grant_successor(
        &mut self,
        agreement: &IkeAgreement,
        mut chain: Chain,
        (header, digest): (Header, [u8; 32]),
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(mut successor) = self.successor(false, agreement, env) else { return Verdict::Continue };
        successor.push_token(&mut chain, env);
        self.answer(header, digest, &chain, path, env);
        if self.is_rekeying() {
            // Which of the two stays is known when ours is answered.
            successor.await_deletion(env);
            successor.spare = true;
            return Verdict::Spare(successor);
        }
        // RFC 7296 §2.8: the initiator deletes this one.
        successor.inherit(self.bequeath(env));
        self.await_deletion(env);
        Verdict::Rekeyed(successor)
    }

    fn rekey_for_peer(
        &mut self,
        payloads: &Payloads<'_>,
        env: &mut Env<'_, '_>,
    ) -> Result<(Chain, IkeAgreement), Refused> {
        // RFC 7296 §2.25.2: not while we create, replace or close a child, nor when this SA is on its way out.
        let rivalled = match self.request.as_ref().map(|request| &request.purpose) {
            Some(Purpose::CreateChild(_) | Purpose::DeleteChild(_)) => true,
            // What it has not gone on with it may begin anew.
            Some(Purpose::RekeyIke(ours)) => ours.rival.is_some() && !self.awaits(ours.rival.as_ref()),
            Some(
                Purpose::Liveness
                | Purpose::Notice(_)
                | Purpose::Close
                | Purpose::IkeSaInit
                | Purpose::IkeIntermediate(_)
                | Purpose::IkeAuth,
            )
            | None => false,
        };
        if rivalled || self.replaced || !self.is_established() {
            return Err((notify_kind::TEMPORARY_FAILURE, Vec::new()));
        }
        let syntax = (notify_kind::INVALID_SYNTAX, Vec::new());
        let offered = payloads.proposals.as_ref().ok_or_else(|| syntax.clone())?;
        let theirs = payloads.nonce.ok_or_else(|| syntax.clone())?;
        let (sent, public) = payloads.key_exchange.ok_or_else(|| syntax.clone())?;
        let same = self.secure.as_ref().map(|secure| env.config.ike.only(secure.suite));
        let (suite, mut chosen, peer_spi) = same
            .and_then(|same| same.choose(offered, sent))
            .or_else(|| env.config.ike.choose(offered, sent))
            .ok_or((notify_kind::NO_PROPOSAL_CHOSEN, Vec::new()))?;
        let peer_spi = peer_spi.filter(|spi| *spi != 0).ok_or_else(|| syntax.clone())?;
        if suite.key_exchange.id() != sent {
            return Err((notify_kind::INVALID_KE_PAYLOAD, suite.key_exchange.id().to_be_bytes().to_vec()));
        }
        let (ours_public, shared) =
            KeSecret::respond(suite.key_exchange, public, env.ctx.rng).ok_or_else(|| syntax.clone())?;
        let ours = env.nonce();
        let spi = env.fresh_spi();
        let mut chain = Chain::new();
        chosen.spi = spi.to_be_bytes().to_vec();
        chain.push_proposals(&[chosen]);
        chain.push(kind::NONCE, &ours);
        chain.push_key_exchange(suite.key_exchange.id(), &ours_public);
        let secrets = Secrets::new((theirs, &ours), shared, suite.additional);
        Ok((chain, IkeAgreement { suite, spis: (spi, peer_spi), secrets }))
    }

    /// The IKE SA that takes this one's place, as yet without children.
    fn successor(&self, initiator: bool, agreement: &IkeAgreement, env: &mut Env<'_, '_>) -> Option<Box<Self>> {
        let IkeAgreement { suite, spis: (spi, peer_spi), secrets: Secrets { nonces, first, more, .. } } = agreement;
        let (suite, spi, peer_spi) = (*suite, *spi, *peer_spi);
        let old = self.secure.as_ref()?;
        let mut new = Self::new(self.tunnel, initiator, spi, self.path, Phase::Established, env);
        new.peer_spi = peer_spi;
        new.nat = self.nat;
        new.fragmented = self.fragmented;
        new.mobile = self.mobile;
        new.authenticated = self.authenticated;
        new.redirection = self.redirection.clone();
        new.begun = self.begun;
        new.established = Some(env.event);
        new.set_lifetime(env);
        let spis = new.spis();
        let keys = SaKeys::rekey(suite, old.suite.prf, &old.keys.d, (first, more), (&nonces.0, &nonces.1), spis);
        let protection = Protection::new(suite, &keys, initiator);
        new.secure = Some(Secure { suite, keys, protection });
        Some(Box::new(new))
    }
}

impl IkeRekey {
    /// As reasons name it.
    pub(super) fn exchange(&self) -> Exchange {
        if self.agreement.is_some() { Exchange::IkeFollowupKe } else { Exchange::CreateChildSa }
    }

    /// What is agreed on with the peer's answer.
    fn advance(&mut self, payloads: &Payloads<'_>) -> Result<IkeAgreement, Violation> {
        let sent = payloads.key_exchange.ok_or(Violation::Missing("KE"))?;
        if let Some(mut agreement) = self.agreement.take() {
            agreement.secrets.go_on(&self.secret, sent)?;
            return Ok(agreement);
        }
        let proposals = payloads.proposals.as_ref().ok_or(Violation::Missing("SA"))?;
        let nonce = payloads.nonce.ok_or(Violation::Missing("Nonce"))?;
        let (suite, peer_spi) = self.proposal.chosen(proposals).ok_or(Violation::Proposal)?;
        let peer_spi = peer_spi.filter(|spi| *spi != 0).ok_or(Violation::Spi)?;
        if suite.key_exchange != self.secret.group() || sent.0 != suite.key_exchange.id() {
            return Err(Violation::KeyExchange);
        }
        let shared = self.secret.agree(sent.1).ok_or(Violation::KeyExchange)?;
        let secrets = Secrets::new((&self.nonce, nonce), shared, suite.additional);
        Ok(IkeAgreement { suite, spis: (self.spi, peer_spi), secrets })
    }
}
