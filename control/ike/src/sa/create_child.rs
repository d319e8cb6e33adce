//! CREATE_CHILD_SA for child SAs: a further one, or one in another's place (RFC 7296 §1.3.1, §1.3.3, §2.8.1, §2.25.1).

use zeroize::Zeroizing;

use super::children::{Agreed, ChildState, MAX_CHILDREN, Selectors, Wanted};
use super::exchange::Purpose;
use super::followup::{Grant, Secrets};
use super::initiator::violation;
use super::{Env, IkeSa, Path, Verdict};
use crate::algorithm::{EspSuite, KeGroup};
use crate::child::EspKey;
use crate::config::{EspProposal, TunnelConfig};
use crate::crypto::{KeSecret, child_keys};
use crate::message::{
    Chain, ExchangeType, Header, Notify, Payloads, Proposal, kind, notify_kind, protocol, selectors_body,
};
use crate::negotiation::describe;
use crate::reason::{DownReason, Exchange, Protocol, Violation};
use crate::selector::{TrafficSelector, list, narrow};

/// What we keep between our request for a child and its answer.
#[derive(Debug)]
pub(super) struct ChildCreation {
    /// The inbound SPI of the child that the new one takes the place of.
    pub(super) replaces: Option<u32>,
    pub(super) inbound_spi: u32,
    selectors: Selectors,
    /// Of the children with the same selectors, as [`crate::ChildSa::resource`] has it.
    resource: u16,
    proposal: EspProposal,
    nonce: Vec<u8>,
    secret: Option<KeSecret>,
    tried: Vec<KeGroup>,
    /// What is agreed on, once additional key exchanges are under way.
    agreement: Option<(Agreed, Secrets)>,
    /// The peer has replaced the same child meanwhile, or is about to.
    pub(super) rival: Option<Rival>,
}

/// What the peer made in a collision.
#[derive(Debug)]
pub(super) struct Rival {
    /// Of the child, as we receive it.
    pub(super) inbound_spi: u32,
    /// The lower one of its exchange's two nonces.
    pub(super) nonce: Vec<u8>,
}

/// A child that the peer has asked for.
#[derive(Debug)]
pub(super) struct ChildGrant {
    /// The inbound SPI of the child that it takes the place of.
    pub(super) replaces: Option<u32>,
    pub(super) inbound_spi: u32,
    agreed: Agreed,
    pub(super) secrets: Secrets,
    /// It has lost a collision before it is there.
    lost: bool,
}

/// A refusal: the notification, and its data.
pub(super) type Refused = (u16, Vec<u8>);

impl IkeSa {
    /// Our request for a child, if one is under way.
    pub(super) fn creation(&self) -> Option<&ChildCreation> {
        match &self.request.as_ref()?.purpose {
            Purpose::CreateChild(creation) => Some(creation),
            Purpose::IkeSaInit
            | Purpose::IkeIntermediate(_)
            | Purpose::IkeAuth
            | Purpose::Liveness
            | Purpose::Notice(_)
            | Purpose::Close
            | Purpose::DeleteChild(_)
            | Purpose::RekeyIke(_) => None,
        }
    }

    fn creation_mut(&mut self) -> Option<&mut ChildCreation> {
        match &mut self.request.as_mut()?.purpose {
            Purpose::CreateChild(creation) => Some(creation),
            Purpose::IkeSaInit
            | Purpose::IkeIntermediate(_)
            | Purpose::IkeAuth
            | Purpose::Liveness
            | Purpose::Notice(_)
            | Purpose::Close
            | Purpose::DeleteChild(_)
            | Purpose::RekeyIke(_) => None,
        }
    }

    /// Asks for a child in the place of another.
    pub(super) fn begin_child_rekey(&mut self, inbound_spi: u32, env: &mut Env<'_, '_>) {
        let Some(child) = self.child(inbound_spi).filter(|child| child.state == ChildState::Live) else { return };
        // RFC 7296 §2.9.2: not narrower than before. The suite stays what it was.
        let (suite, selectors, resource) = (child.suite(), child.agreed.selectors.clone(), child.agreed.resource);
        self.begin_creation(Some(inbound_spi), env.config.esp.only(suite), selectors, resource, env);
    }

    /// Asks for a child with selectors that none has yet.
    pub(super) fn begin_further_child(&mut self, env: &mut Env<'_, '_>) {
        let Some(selectors) = self.first_selectors(env.config).or_else(|| self.missing_selectors(env.config)) else {
            return;
        };
        self.begin_creation(None, env.config.esp.clone(), selectors, 0, env);
    }

    pub(super) fn begin_creation(
        &mut self,
        replaces: Option<u32>,
        proposal: EspProposal,
        selectors: Selectors,
        resource: u16,
        env: &mut Env<'_, '_>,
    ) {
        let Some(inbound_spi) = env.ctx.spis.allocate(self.tunnel) else {
            // There may be room later; the child's end of life comes in any case.
            if let Some(old) = replaces {
                self.want(Wanted::RekeyChild(old), Some(env.ctx.now + env.retry_after()));
            }
            return;
        };
        let nonce = env.nonce();
        let group = proposal.key_exchange.first().copied();
        let secret = group.map(|group| KeSecret::generate(group, env.ctx.rng));
        let tried = group.into_iter().collect();
        self.send_creation(
            ChildCreation {
                replaces,
                inbound_spi,
                selectors,
                resource,
                proposal,
                nonce,
                secret,
                tried,
                agreement: None,
                rival: None,
            },
            env,
        );
    }

    fn send_creation(&mut self, creation: ChildCreation, env: &mut Env<'_, '_>) {
        let mut chain = Chain::new();
        if let Some(old) = creation.replaces {
            // RFC 7296 §1.3.3: the SPI that we receive with.
            chain.push_notify_about(protocol::ESP, &old.to_be_bytes(), notify_kind::REKEY_SA, &[]);
        } else if creation.resource > 0 {
            // Which of our cores it is for is nothing to the peer.
            chain.push_notify(notify_kind::SA_RESOURCE_INFO, &[]);
        }
        chain.push_proposals(&creation.proposal.offer(creation.inbound_spi, true));
        chain.push(kind::NONCE, &creation.nonce);
        if let Some(secret) = &creation.secret {
            chain.push_key_exchange(secret.group().id(), &secret.public());
        }
        chain.push(kind::TS_I, &selectors_body(&creation.selectors.0));
        chain.push(kind::TS_R, &selectors_body(&creation.selectors.1));
        self.send_request(ExchangeType::CreateChildSa, Purpose::CreateChild(Box::new(creation)), &chain, env);
    }

    /// The peer's answer to our request for a child, or to a further key exchange for it.
    pub(super) fn on_creation_response(
        &mut self,
        mut creation: ChildCreation,
        payloads: &Payloads<'_>,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        if payloads.proposals.is_none()
            && payloads.key_exchange.is_none()
            && let Some(error) = payloads.error()
        {
            if let Some(group) = another_group(error, &creation.proposal.key_exchange, &creation.tried) {
                creation.tried.push(group);
                creation.secret = Some(KeSecret::generate(group, env.ctx.rng));
                self.send_creation(creation, env);
                return Verdict::Continue;
            }
            return self.on_creation_refused(&creation, error.kind, env);
        }
        let (exchange, inbound_spi) = (creation.exchange(), creation.inbound_spi);
        let sent = match creation.advance(payloads) {
            Ok((agreed, secrets)) => match secrets.next() {
                None => return self.complete_creation(&creation, agreed, &secrets, env),
                Some(group) => {
                    let purpose = |secret| {
                        let (secret, agreement) = (Some(secret), Some((agreed, secrets)));
                        Purpose::CreateChild(Box::new(ChildCreation { secret, agreement, ..creation }))
                    };
                    self.send_followup(group, payloads, purpose, env)
                }
            },
            Err(broken) => Err(broken),
        };
        let Err(broken) = sent else { return Verdict::Continue };
        env.ctx.spis.release(self.tunnel, inbound_spi);
        // The peer has installed what we cannot use.
        Verdict::Renew(violation(exchange, broken))
    }

    fn complete_creation(
        &mut self,
        creation: &ChildCreation,
        agreed: Agreed,
        secrets: &Secrets,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let ours = creation.inbound_spi;
        let Some((to_peer, from_peer)) = self.keys_of_child(secrets, agreed.suite) else { return Verdict::Continue };
        // RFC 7296 §2.8.1: the child of the exchange with the lowest of four nonces goes.
        if creation.rival.as_ref().is_some_and(|rival| secrets.lowest_nonce() < rival.nonce.as_slice()) {
            // Until then it receives: some peers send on what they have agreed to at once.
            self.install_child(ours, agreed, (from_peer, to_peer), env);
            self.want_child_deleted(ours);
            return Verdict::Continue;
        }
        // Of others than were asked for there would never be enough.
        self.asks_for_resources &= creation.resource == 0 || agreed.selectors == creation.selectors;
        self.install_child(ours, agreed, (from_peer, to_peer), env);
        if let Some(rival) = &creation.rival {
            self.make_redundant(rival.inbound_spi, env);
        }
        if let Some(Grant::Child(grant)) = self.pending.as_mut().map(|pending| &mut pending.grant)
            && creation.replaces.is_some()
        {
            grant.lost |= grant.replaces == creation.replaces;
        }
        // The peer has installed it before it answered.
        self.use_child(ours, creation.replaces, env);
        if let Some(old) = creation.replaces
            && self.child(old).is_some_and(|old| !old.lingers())
        {
            self.want_child_deleted(old);
        }
        if creation.replaces.is_none() {
            self.want_more_children(env.config);
        }
        Verdict::Continue
    }

    fn on_creation_refused(&mut self, creation: &ChildCreation, notify: u16, env: &mut Env<'_, '_>) -> Verdict {
        env.ctx.spis.release(self.tunnel, creation.inbound_spi);
        let refused = DownReason::PeerRefused { exchange: creation.exchange(), notify };
        let Some(old) = creation.replaces else {
            if self.has_children() {
                // The peer has enough of them; those there are go on.
                match (creation.resource, notify) {
                    (0, _) => self.want_resource(env.config),
                    (_, notify_kind::TEMPORARY_FAILURE | notify_kind::STATE_NOT_FOUND) => {
                        self.want(Wanted::CreateResource, Some(env.ctx.now + env.retry_after()));
                    }
                    (_, _) => self.asks_for_resources = false,
                }
                return Verdict::Continue;
            }
            self.delete(env);
            return Verdict::Ended(refused);
        };
        if creation.rival.is_some() {
            // The peer's own replacement is the one that stays.
            return Verdict::Continue;
        }
        let there = self.child(old).is_some_and(|child| !child.lingers());
        match notify {
            // RFC 7296 §2.25: the peer is at something that ours would disturb.
            notify_kind::TEMPORARY_FAILURE | notify_kind::STATE_NOT_FOUND if there => {
                self.want(Wanted::RekeyChild(old), Some(env.ctx.now + env.retry_after()));
                Verdict::Continue
            }
            notify_kind::TEMPORARY_FAILURE | notify_kind::STATE_NOT_FOUND | notify_kind::CHILD_SA_NOT_FOUND => {
                self.remove_child(old, env);
                if self.has_children() {
                    self.want_resource(env.config);
                    return Verdict::Continue;
                }
                // RFC 7296 §2.25: then it is to be made from scratch.
                self.begin_creation(None, env.config.esp.clone(), creation.selectors.clone(), creation.resource, env);
                Verdict::Continue
            }
            // A peer that does not rekey: NO_ADDITIONAL_SAS, or that no longer accepts what it did.
            _ => {
                self.rekey_child_later(old, env);
                Verdict::Renew(refused)
            }
        }
    }

    /// The peer asks for a child.
    pub(super) fn on_creation_request(
        &mut self,
        header: Header,
        digest: [u8; 32],
        payloads: &Payloads<'_>,
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        // What the peer has not gone on with it has given up.
        self.forget_pending(env);
        let replaced = payloads.notify(notify_kind::REKEY_SA).map(|notify| (notify.protocol, notify.spi));
        let granted = self.may_be_created(replaced).and_then(|old| self.create_for_peer(payloads, old, env));
        match granted {
            Ok((mut chain, grant)) => {
                if let Some(old) = grant.replaces {
                    if let Some(creation) = self.creation_mut().filter(|creation| creation.replaces == Some(old)) {
                        let nonce = grant.secrets.lowest_nonce().to_vec();
                        creation.rival = Some(Rival { inbound_spi: grant.inbound_spi, nonce });
                    }
                    self.tasks.retain(|task| task.what != Wanted::RekeyChild(old));
                }
                if grant.secrets.next().is_none() {
                    return self.grant_child(grant, &chain, (header, digest), path, env);
                }
                self.await_followup(Grant::Child(grant), &mut chain, env);
                self.answer(header, digest, &chain, path, env);
            }
            Err((notify, data)) => {
                let mut chain = Chain::new();
                match (notify, replaced) {
                    // RFC 7296 §3.10.1: it names the SPI that was asked for.
                    (notify_kind::CHILD_SA_NOT_FOUND, Some((protocol, spi))) => {
                        chain.push_notify_about(protocol, spi, notify, &data);
                    }
                    _ => chain.push_notify(notify, &data),
                }
                self.answer(header, digest, &chain, path, env);
            }
        }
        Verdict::Continue
    }

    /// Installs a child that the peer has asked for, and answers with this chain.
    pub(super) fn grant_child(
        &mut self,
        grant: ChildGrant,
        chain: &Chain,
        (header, digest): (Header, [u8; 32]),
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let ChildGrant { replaces, inbound_spi, agreed, secrets, lost } = grant;
        let Some((from_peer, to_peer)) = self.keys_of_child(&secrets, agreed.suite) else {
            env.ctx.spis.release(self.tunnel, inbound_spi);
            return Verdict::Continue;
        };
        self.install_child(inbound_spi, agreed, (from_peer, to_peer), env);
        self.answer(header, digest, chain, path, env);
        if lost {
            self.make_redundant(inbound_spi, env);
            return Verdict::Continue;
        }
        if let Some(old) = replaces.and_then(|old| self.child_mut(old)).filter(|old| old.state == ChildState::Live) {
            old.state = ChildState::Replaced { by: inbound_spi };
        }
        match self.sending() {
            Some(_) => self.use_child_later(inbound_spi, env.ctx.now),
            // As in IKE_AUTH: until now there is none to send on.
            None => self.use_child(inbound_spi, None, env),
        }
        self.await_confirmation(inbound_spi, env);
        Verdict::Continue
    }

    /// RFC 7296 §2.25: whether this is the time for it; the child to be replaced.
    fn may_be_created(&self, replaced: Option<(u8, &[u8])>) -> Result<Option<u32>, Refused> {
        let busy = || (notify_kind::TEMPORARY_FAILURE, Vec::new());
        if self.replaced || !self.is_established() || self.is_rekeying() {
            return Err(busy());
        }
        if self.children.len() >= MAX_CHILDREN {
            return Err((notify_kind::NO_ADDITIONAL_SAS, Vec::new()));
        }
        let Some((protocol, spi)) = replaced else { return Ok(None) };
        let spi = <[u8; 4]>::try_from(spi).ok().filter(|_| protocol == protocol::ESP).map(u32::from_be_bytes);
        let Some(old) = spi.and_then(|spi| self.child_of_peer(spi)) else {
            return Err((notify_kind::CHILD_SA_NOT_FOUND, Vec::new()));
        };
        match old.state {
            ChildState::Live => Ok(Some(old.inbound_spi)),
            ChildState::Replaced { .. } | ChildState::Redundant { .. } | ChildState::Deleting => Err(busy()),
            ChildState::Lingering { .. } => Err((notify_kind::CHILD_SA_NOT_FOUND, Vec::new())),
        }
    }

    /// Agrees on a child: the answer, and what the peer is to have.
    fn create_for_peer(
        &mut self,
        payloads: &Payloads<'_>,
        replaced: Option<u32>,
        env: &mut Env<'_, '_>,
    ) -> Result<(Chain, ChildGrant), Refused> {
        let syntax = (notify_kind::INVALID_SYNTAX, Vec::new());
        let offered = payloads.proposals.as_ref().ok_or_else(|| syntax.clone())?;
        let theirs = payloads.nonce.ok_or_else(|| syntax.clone())?;
        let sent_group = payloads.key_exchange.map_or(0, |(group, _)| group);
        // The suite stays what it was, if the peer still offers it.
        let same = replaced.and_then(|old| self.child(old)).map(|old| env.config.esp.only(old.suite()));
        let (suite, mut answer, outbound_spi) = same
            .and_then(|same| same.choose(offered, Some(sent_group)))
            .or_else(|| env.config.esp.choose(offered, Some(sent_group)))
            .ok_or((notify_kind::NO_PROPOSAL_CHOSEN, Vec::new()))?;
        let selectors = agree_selectors(payloads, env.config).map_err(|(notify, _)| (notify, Vec::new()))?;
        if outbound_spi < 256 {
            return Err(syntax);
        }
        let for_resource = payloads.notify(notify_kind::SA_RESOURCE_INFO).is_some();
        let resource = match replaced.and_then(|old| self.child(old)) {
            Some(old) => old.agreed.resource,
            None if for_resource => {
                self.resource_for_peer(&selectors).ok_or((notify_kind::TS_MAX_QUEUE, Vec::new()))?
            }
            None => 0,
        };
        let exchanged = match (suite.key_exchange, payloads.key_exchange) {
            (None, _) => None,
            // RFC 7296 §1.3: name the group we want instead.
            (Some(group), sent) if sent.is_none_or(|(sent, _)| sent != group.id()) => {
                return Err((notify_kind::INVALID_KE_PAYLOAD, group.id().to_be_bytes().to_vec()));
            }
            (Some(group), sent) => {
                let public = sent.map_or(&[][..], |(_, public)| public);
                Some((group, KeSecret::respond(group, public, env.ctx.rng).ok_or_else(|| syntax.clone())?))
            }
        };
        let inbound_spi = env.ctx.spis.allocate(self.tunnel).ok_or((notify_kind::NO_ADDITIONAL_SAS, Vec::new()))?;
        let ours = env.nonce();
        let mut chain = Chain::new();
        if for_resource {
            chain.push_notify(notify_kind::SA_RESOURCE_INFO, &[]);
        }
        answer.spi = inbound_spi.to_be_bytes().to_vec();
        chain.push_proposals(&[answer]);
        chain.push(kind::NONCE, &ours);
        if let Some((group, (public, _))) = &exchanged {
            chain.push_key_exchange(group.id(), public);
        }
        // TSi is the initiator's side, which is the peer's.
        chain.push(kind::TS_I, &selectors_body(&selectors.1));
        chain.push(kind::TS_R, &selectors_body(&selectors.0));
        let agreed = Agreed { suite, outbound_spi, selectors, resource };
        let shared = exchanged.map(|(_, (_, shared))| shared).unwrap_or_default();
        let secrets = Secrets::new((theirs, &ours), shared, suite.additional);
        Ok((chain, ChildGrant { replaces: replaced, inbound_spi, agreed, secrets, lost: false }))
    }

    /// The keys of a child of this IKE SA: from the one who asked for it to the other, and back.
    fn keys_of_child(&self, secrets: &Secrets, suite: EspSuite) -> Option<(EspKey, EspKey)> {
        let Secrets { nonces, first, more, .. } = secrets;
        let secure = self.secure.as_ref()?;
        Some(child_keys(secure.suite.prf, &secure.keys.d, (first, more), (&nonces.0, &nonces.1), suite))
    }

    /// Selectors of ours that no child has anything of: what peers leave out that take one pair a child
    /// (RFC 7296 §2.9).
    pub(super) fn missing_selectors(
        &self,
        config: &TunnelConfig,
    ) -> Option<(Vec<TrafficSelector>, Vec<TrafficSelector>)> {
        if self.children.len() >= MAX_CHILDREN {
            return None;
        }
        let meets = |one: &[TrafficSelector], other: &TrafficSelector| {
            one.iter().any(|selector| selector.intersection(other).is_some())
        };
        let pairs = config.local_selectors.iter().flat_map(|l| config.remote_selectors.iter().map(move |r| (l, r)));
        pairs
            .filter(|(local, remote)| local.start().is_ipv4() == remote.start().is_ipv4())
            .find(|(local, remote)| {
                !self
                    .children
                    .iter()
                    .any(|child| meets(&child.agreed.selectors.0, local) && meets(&child.agreed.selectors.1, remote))
            })
            .map(|(local, remote)| (vec![*local], vec![*remote]))
    }
}

impl ChildCreation {
    /// As reasons name it.
    pub(super) fn exchange(&self) -> Exchange {
        if self.agreement.is_some() { Exchange::IkeFollowupKe } else { Exchange::CreateChildSa }
    }

    /// What is agreed on with the peer's answer.
    fn advance(&mut self, payloads: &Payloads<'_>) -> Result<(Agreed, Secrets), Violation> {
        if let Some((agreed, mut secrets)) = self.agreement.take() {
            let sent = payloads.key_exchange.ok_or(Violation::Missing("KE"))?;
            secrets.go_on(self.secret.as_ref().ok_or(Violation::KeyExchange)?, sent)?;
            return Ok((agreed, secrets));
        }
        let proposals = payloads.proposals.as_ref().ok_or(Violation::Missing("SA"))?;
        let nonce = payloads.nonce.ok_or(Violation::Missing("Nonce"))?;
        let (suite, outbound_spi) = self.proposal.chosen(proposals, true).ok_or(Violation::Proposal)?;
        if outbound_spi < 256 {
            return Err(Violation::Spi);
        }
        let shared = match suite.key_exchange {
            None => Zeroizing::default(),
            Some(group) => {
                let (sent, public) = payloads.key_exchange.ok_or(Violation::Missing("KE"))?;
                let secret = self.secret.as_ref().filter(|secret| secret.group() == group && sent == group.id());
                secret.and_then(|secret| secret.agree(public)).ok_or(Violation::KeyExchange)?
            }
        };
        let selectors = accepted_selectors(payloads, &self.selectors)?;
        let agreed = Agreed { suite, outbound_spi, selectors, resource: self.resource };
        Ok((agreed, Secrets::new((&self.nonce, nonce), shared, suite.additional)))
    }
}

/// The group that an error asks for instead (RFC 7296 §1.3), if we have it and have not tried it.
pub(super) fn another_group(error: &Notify<'_>, ours: &[KeGroup], tried: &[KeGroup]) -> Option<KeGroup> {
    let (notify_kind::INVALID_KE_PAYLOAD, &[high, low]) = (error.kind, error.data) else { return None };
    let group = KeGroup::from_id(u16::from_be_bytes([high, low]))?;
    (ours.contains(&group) && !tried.contains(&group)).then_some(group)
}

/// As responder: narrows what the peer proposes, to what lies behind us and what lies behind it (RFC 7296 §2.9).
pub(super) fn agree_selectors(
    payloads: &Payloads<'_>,
    config: &TunnelConfig,
) -> Result<(Vec<TrafficSelector>, Vec<TrafficSelector>), (u16, DownReason)> {
    let missing = |name| (notify_kind::INVALID_SYNTAX, violation(Exchange::IkeAuth, Violation::Missing(name)));
    let theirs = payloads.selectors_initiator.as_ref().ok_or_else(|| missing("TSi"))?;
    let ours = payloads.selectors_responder.as_ref().ok_or_else(|| missing("TSr"))?;
    let remote = narrow(theirs, &config.remote_selectors);
    let local = narrow(ours, &config.local_selectors);
    if remote.is_empty() || local.is_empty() {
        let wanted = format!("{} behind us and {} behind itself", list(ours), list(theirs));
        let reason = DownReason::SelectorsRefused {
            local: list(&config.local_selectors),
            remote: list(&config.remote_selectors),
            theirs: Some(wanted),
        };
        return Err((notify_kind::TS_UNACCEPTABLE, reason));
    }
    Ok((local, remote))
}

/// As initiator: what the peer made of our proposal has to lie within it.
pub(super) fn accepted_selectors(
    payloads: &Payloads<'_>,
    proposed: &(Vec<TrafficSelector>, Vec<TrafficSelector>),
) -> Result<(Vec<TrafficSelector>, Vec<TrafficSelector>), Violation> {
    let local = payloads.selectors_initiator.clone().ok_or(Violation::Missing("TSi"))?;
    let remote = payloads.selectors_responder.clone().ok_or(Violation::Missing("TSr"))?;
    let within = |theirs: &[TrafficSelector], ours: &[TrafficSelector]| {
        !theirs.is_empty() && theirs.iter().all(|t| ours.iter().any(|o| o.contains(t)))
    };
    if within(&local, &proposed.0) && within(&remote, &proposed.1) {
        Ok((local, remote))
    } else {
        Err(Violation::Selectors)
    }
}

/// As responder: the suite, what to answer, and the peer's SPI out of an offer in IKE_AUTH.
pub(super) fn agree_suite(
    payloads: &Payloads<'_>,
    config: &TunnelConfig,
) -> Result<(EspSuite, Proposal, u32), (u16, DownReason)> {
    let broken = |v| (notify_kind::INVALID_SYNTAX, violation(Exchange::IkeAuth, v));
    let offered = payloads.proposals.as_ref().ok_or_else(|| broken(Violation::Missing("SA")))?;
    let (suite, answer, outbound_spi) = config.esp.choose(offered, None).ok_or_else(|| {
        let reason = DownReason::NoProposalChosen {
            protocol: Protocol::Esp,
            ours: config.esp.describe(),
            theirs: Some(describe(offered)),
        };
        (notify_kind::NO_PROPOSAL_CHOSEN, reason)
    })?;
    if outbound_spi < 256 {
        return Err(broken(Violation::Spi));
    }
    Ok((suite, answer, outbound_spi))
}
