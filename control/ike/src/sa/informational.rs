//! What an established SA is asked and answered: CREATE_CHILD_SA, deletes, errors, liveness (RFC 7296 §1.3, §1.4).

use super::children::{ChildState, Wanted};
use super::exchange::{Opened, Purpose, Request};
use super::{Env, IkeSa, Path, Phase, Verdict};
use crate::message::{Chain, Delete, ExchangeType, Header, Payloads, notify_kind, protocol};
use crate::reason::{DownReason, Exchange, Protocol};

impl IkeSa {
    pub(super) fn on_request(&mut self, header: Header, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) -> Verdict {
        let Some(Opened { first, plain, digest }) = self.open(header, datagram, env) else {
            return Verdict::Continue;
        };
        self.heard(path, env);
        let payloads = match Payloads::parse(first, &plain) {
            Ok(payloads) => payloads,
            // RFC 7296 §2.21.3: a protected message that does not parse ends the SA on both sides.
            Err(error) => {
                self.answer_notify(header, digest, (notify_kind::INVALID_SYNTAX, &[]), path, env);
                let closing = self.is_closing();
                self.close_after_answer(env);
                let exchange = Exchange::Informational;
                return ended(closing, DownReason::Malformed { exchange, error });
            }
        };
        // What is asked of it is about children that it has not got yet. The peer asks again.
        if self.spare && !payloads.deletes.contains(&Delete::Ike) {
            return Verdict::Continue;
        }
        if let Some(payload) = payloads.unknown_critical {
            let notify = (notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD, [payload]);
            self.answer_notify(header, digest, (notify.0, &notify.1), path, env);
            return Verdict::Continue;
        }
        // With a window of one, another request shows that the peer has our last answer.
        let waiting = self.waiting();
        let verdict = match header.exchange {
            ExchangeType::Informational => self.on_informational(header, digest, &payloads, path, env),
            ExchangeType::CreateChildSa => {
                let for_ike = payloads.proposals.iter().flatten().any(|p| p.protocol == protocol::IKE);
                if for_ike {
                    self.on_ike_rekey_request(header, digest, &payloads, path, env)
                } else {
                    self.on_creation_request(header, digest, &payloads, path, env)
                }
            }
            ExchangeType::IkeFollowupKe => self.on_followup_request(header, digest, &payloads, path, env),
            ExchangeType::IkeSaInit
            | ExchangeType::IkeIntermediate
            | ExchangeType::IkeAuth
            | ExchangeType::Other(_) => {
                self.answer_notify(header, digest, (notify_kind::INVALID_SYNTAX, &[]), path, env);
                Verdict::Continue
            }
        };
        self.confirm(&waiting, env);
        verdict
    }

    fn on_informational(
        &mut self,
        header: Header,
        digest: [u8; 32],
        payloads: &Payloads<'_>,
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let failed = payloads.notify(notify_kind::AUTHENTICATION_FAILED).is_some();
        if failed || payloads.deletes.contains(&Delete::Ike) {
            // RFC 7296 §1.4.1: a deleted IKE SA takes its children with it, and is answered emptily.
            self.answer(header, digest, &Chain::new(), path, env);
            return self.on_deleted(failed, env);
        }
        if let Some(redirected) = self.on_redirect(payloads, env) {
            self.answer(header, digest, &Chain::new(), path, env);
            return redirected;
        }
        self.keep_token(payloads);
        self.note_authentication(payloads, env);
        let closing = self.is_closing();
        let named = payloads.deletes.iter().flat_map(|delete| match delete {
            Delete::Esp(spis) => spis.as_slice(),
            Delete::Ike | Delete::Other => &[],
        });
        // A peer has no more children than we have; what it repeats or makes up is skipped.
        let mut chain = Chain::new();
        self.on_mobility(payloads, path, &mut chain, env);
        let mut deleted = false;
        for outbound_spi in named {
            let Some((inbound_spi, state)) = self.child_of_peer(*outbound_spi).map(|c| (c.inbound_spi, c.state)) else {
                continue;
            };
            // RFC 7296 §1.4.1, §2.25.1: the other direction's SPI goes back, unless our own Delete names it.
            if state != ChildState::Deleting {
                chain.push_delete_esp(inbound_spi);
            }
            deleted |= self.on_child_deleted(inbound_spi, state, env);
        }
        self.answer(header, digest, &chain, path, env);
        if deleted && !self.has_children() && self.creation().is_none() {
            // Without a child the IKE SA is of no use.
            self.delete(env);
            return ended(closing, DownReason::PeerDeleted(Protocol::Esp));
        }
        Verdict::Continue
    }

    /// The peer has deleted a child: true if nothing has taken its place.
    fn on_child_deleted(&mut self, inbound_spi: u32, state: ChildState, env: &mut Env<'_, '_>) -> bool {
        self.tasks.retain(|task| task.what != Wanted::RekeyChild(inbound_spi));
        let successor = match state {
            ChildState::Replaced { by } => Some(by),
            ChildState::Live | ChildState::Redundant { .. } | ChildState::Deleting | ChildState::Lingering { .. } => {
                None
            }
        };
        if let Some(successor) = successor.filter(|by| self.child(*by).is_some_and(|c| c.state == ChildState::Live)) {
            self.use_child(successor, Some(inbound_spi), env);
        }
        self.let_linger(inbound_spi, env);
        state == ChildState::Live
    }

    /// The peer has deleted this SA, and has its answer.
    fn on_deleted(&mut self, failed: bool, env: &mut Env<'_, '_>) -> Verdict {
        let closing = self.is_closing();
        // RFC 7296 §2.25.2: we forget that we were replacing it; what the peer has made in its place stays.
        if let Some(Purpose::RekeyIke(ours)) = self.request.as_ref().map(|request| &request.purpose)
            && let Some(rival) = ours.rival.as_ref().filter(|_| !failed)
        {
            let to = rival.spi;
            let estate = self.bequeath(env);
            self.close_after_answer(env);
            return Verdict::Yielded { to, estate, loser: None };
        }
        self.close_after_answer(env);
        let reason = if failed { self.rejected(env) } else { self.deleted_reason() };
        ended(closing, reason)
    }

    pub(super) fn on_response(
        &mut self,
        header: Header,
        datagram: &[u8],
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(Opened { first, plain, .. }) = self.open(header, datagram, env) else {
            return Verdict::Continue;
        };
        self.heard(path, env);
        let Some(Request { purpose, .. }) = self.request.take() else { return Verdict::Continue };
        let payloads = match Payloads::parse(first, &plain) {
            Ok(payloads) => payloads,
            Err(error) => {
                env.counters.malformed += 1;
                return self.on_broken_response(purpose, error, env);
            }
        };
        match purpose {
            Purpose::Liveness | Purpose::IkeSaInit | Purpose::IkeIntermediate(_) | Purpose::IkeAuth => {
                Verdict::Continue
            }
            Purpose::Close => {
                self.discard(env);
                Verdict::Continue
            }
            Purpose::Notice(cookie) => self.on_notice_response(cookie, &payloads, env),
            Purpose::DeleteChild(inbound_spi) => {
                self.let_linger(inbound_spi, env);
                Verdict::Continue
            }
            Purpose::CreateChild(creation) => self.on_creation_response(*creation, &payloads, env),
            Purpose::RekeyIke(rekey) => self.on_ike_rekey_response(*rekey, &payloads, env),
        }
    }

    /// An answer that nothing can be done with.
    fn on_broken_response(
        &mut self,
        purpose: Purpose,
        error: crate::message::ParseError,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        match purpose {
            Purpose::Close => self.discard(env),
            Purpose::DeleteChild(inbound_spi) => self.let_linger(inbound_spi, env),
            Purpose::Liveness
            | Purpose::Notice(_)
            | Purpose::IkeSaInit
            | Purpose::IkeIntermediate(_)
            | Purpose::IkeAuth => {}
            Purpose::CreateChild(creation) => {
                env.ctx.spis.release(self.tunnel, creation.inbound_spi);
                return Verdict::Renew(DownReason::Malformed { exchange: Exchange::CreateChildSa, error });
            }
            Purpose::RekeyIke(_) => {
                return Verdict::Renew(DownReason::Malformed { exchange: Exchange::CreateChildSa, error });
            }
        }
        Verdict::Continue
    }

    /// Whatever an authenticated message says, it shows that the peer is alive and where it is.
    pub(super) fn heard(&mut self, path: Path, env: &mut Env<'_, '_>) {
        env.counters.received += 1;
        self.note_traffic(env.ctx.now);
        self.follow(path, env);
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }
}

/// An SA that we are already deleting has told its reason before.
fn ended(closing: bool, reason: DownReason) -> Verdict {
    if closing { Verdict::Continue } else { Verdict::Ended(reason) }
}
