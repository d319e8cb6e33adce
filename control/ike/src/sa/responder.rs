//! The responder's half of IKE_SA_INIT and IKE_AUTH (RFC 7296 §1.2).

use super::authentication::{Refusal, Tell, announce, our_identity, request_certificate};
use super::childless::is_childless;
use super::children::Agreed;
use super::create_child::{agree_selectors, agree_suite};
use super::exchange::{Answered, Opened, digest};
use super::intermediate::Rounds;
use super::nat::{Nat, push_detection};
use super::{Env, IkeSa, Path, Phase, Secure, Verdict};
use crate::algorithm::IkeSuite;
use crate::config::{TunnelConfig, TunnelId};
use crate::crypto::{KeSecret, Protection, SaKeys};
use crate::identity::Identity;
use crate::message::{Chain, Header, Payloads, Proposal, kind, notify_kind, selectors_body};
use crate::negotiation::describe;
use crate::reason::{DownReason, End, Exchange, Protocol, Violation};

/// What the responder keeps between IKE_SA_INIT and IKE_AUTH.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// The peer's first message, which its AUTH covers.
    init_request: Vec<u8>,
    /// Our answer, which our AUTH covers.
    pub(super) init_response: Vec<u8>,
}

/// What became of a peer's IKE_SA_INIT.
pub(crate) enum Accepted {
    /// It is answered; the SA waits for IKE_AUTH.
    Begun(Box<IkeSa>),
    /// It is refused without keeping state: the notification to answer with, and the reason if the
    /// tunnel cannot come up this way.
    Refused {
        /// The notify message type.
        notify: u16,
        /// Its data.
        data: Vec<u8>,
        /// `None` if the peer only has to ask differently.
        reason: Option<DownReason>,
    },
}

impl IkeSa {
    /// Answers a peer's IKE_SA_INIT. The SPI is a fresh one of ours.
    pub(crate) fn respond(
        tunnel: TunnelId,
        spi: u64,
        header: Header,
        payloads: &Payloads<'_>,
        datagram: &[u8],
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Accepted {
        let (suite, chosen, public, nonce) = match judge_init(payloads, env.config) {
            Ok(judged) => judged,
            Err(refused) => return *refused,
        };
        let Some((answer, shared)) = KeSecret::respond(suite.key_exchange, public, env.ctx.rng) else {
            return syntax(Violation::KeyExchange);
        };
        let placeholder = HalfOpen { init_request: datagram.to_vec(), init_response: Vec::new() };
        let phase = Phase::HalfOpen(Box::new(placeholder));
        let mut sa = Self::new(tunnel, false, spi, path, phase, env);
        sa.peer_spi = header.initiator_spi;
        // RFC 7296 §2.23: the initiator hashed with the SPIs of its own message, the responder's being 0.
        let force = env.config.force_encapsulation;
        sa.nat = Nat::detect(payloads, (header.initiator_spi, header.responder_spi), path, force);
        let ours = env.nonce();
        sa.nonces = (nonce.to_vec(), ours);
        let keys = SaKeys::derive(suite, &shared, (&sa.nonces.0, &sa.nonces.1), sa.spis());
        let protection = Protection::new(suite, &keys, false);
        sa.secure = Some(Secure { suite, keys, protection });

        let mut chain = Chain::new();
        chain.push_proposals(&[chosen]);
        chain.push_key_exchange(suite.key_exchange.id(), &answer);
        chain.push(kind::NONCE, &sa.nonces.1);
        push_detection(&mut chain, sa.spis(), path, force);
        sa.redirection.understood = payloads.notify(notify_kind::REDIRECT_SUPPORTED).is_some();
        sa.fragmented = payloads.notify(notify_kind::FRAGMENTATION_SUPPORTED).is_some();
        if sa.fragmented {
            chain.push_notify(notify_kind::FRAGMENTATION_SUPPORTED, &[]);
        }
        sa.rounds = Rounds::of(suite);
        if sa.rounds.are_left() {
            chain.push_notify(notify_kind::INTERMEDIATE_EXCHANGE_SUPPORTED, &[]);
        }
        sa.peer.hear(payloads, env.config);
        announce(&mut chain, env.config);
        sa.hear_ppk(payloads, env.config);
        sa.announce_ppk(&mut chain, env.config);
        request_certificate(&mut chain, env.config);
        chain.push_notify(notify_kind::CHILDLESS_IKEV2_SUPPORTED, &[]);
        let answer = chain.into_datagram(sa.header(header.exchange, true, 0));
        env.counters.sent += 1;
        env.trace.sent(&answer, path, env.ctx.now);
        env.out.push(path.transmit(&answer));
        if let Phase::HalfOpen(half_open) = &mut sa.phase {
            half_open.init_response = answer.clone();
        }
        sa.answered = Some(Answered { digest: digest(datagram), datagrams: vec![answer] });
        sa.expected_id = 1;
        sa.expires = Some(env.ctx.now + env.config.retry.give_up);
        Accepted::Begun(Box::new(sa))
    }

    pub(super) fn on_auth_request(
        &mut self,
        header: Header,
        datagram: &[u8],
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(Opened { first, plain, digest }) = self.open(header, datagram, env) else {
            return Verdict::Continue;
        };
        env.counters.received += 1;
        let outcome = Payloads::parse(first, &plain)
            .map_err(|error| Refusal::syntax(Exchange::IkeAuth, error))
            .and_then(|payloads| {
                let agreed = self.authenticate_initiator(&payloads, env)?;
                self.keep_token(&payloads);
                self.allow_moves(&payloads, env.config);
                Ok((agreed, payloads.notify(notify_kind::INITIAL_CONTACT).is_some()))
            });
        let (init_response, (child, initial_contact)) = match (&mut self.phase, outcome) {
            (Phase::HalfOpen(half_open), Ok(outcome)) => (std::mem::take(&mut half_open.init_response), outcome),
            (_, Ok(_)) => return Verdict::Continue,
            (_, Err(refusal)) => {
                let mut chain = Chain::new();
                if let Tell::Notify(notify, data) = &refusal.tell {
                    chain.push_notify(*notify, data);
                }
                self.answer(header, digest, &chain, path, env);
                self.close_after_answer(env);
                return Verdict::Ended(refusal.reason);
            }
        };
        // RFC 7296 §2.23: the initiator may have moved to port 4500, whatever was detected.
        self.path = path;
        let mut chain = Chain::new();
        chain.push(kind::ID_R, &our_identity(env.config));
        if let Err(reason) = self.push_authentication(&mut chain, &init_response, env) {
            let mut chain = Chain::new();
            chain.push_notify(notify_kind::AUTHENTICATION_FAILED, &[]);
            self.answer(header, digest, &chain, path, env);
            self.close_after_answer(env);
            return Verdict::Ended(reason);
        }
        match child {
            Ok(None) => {
                self.confirm_ppk(&mut chain);
                self.push_token(&mut chain, env);
                self.push_mobility(&mut chain);
                self.answer(header, digest, &chain, path, env);
                self.establish_childless(env);
                Verdict::Established { child: None, initial_contact }
            }
            Ok(Some((mut answer, agreed))) => {
                self.confirm_ppk(&mut chain);
                let inbound_spi = self.reserved.unwrap_or_default();
                answer.spi = inbound_spi.to_be_bytes().to_vec();
                chain.push_proposals(&[answer]);
                // TSi is the initiator's side, which is the peer's.
                chain.push(kind::TS_I, &selectors_body(&agreed.selectors.1));
                chain.push(kind::TS_R, &selectors_body(&agreed.selectors.0));
                self.push_token(&mut chain, env);
                self.push_mobility(&mut chain);
                self.answer(header, digest, &chain, path, env);
                Verdict::Established { child: Some(self.establish(agreed, env)), initial_contact }
            }
            // RFC 7296 §1.2: the IKE SA comes up without its child. It is of no use to us, so we
            // delete it once the initiator has been told why.
            Err((notify, reason)) => {
                chain.push_notify(notify, &[]);
                self.answer(header, digest, &chain, path, env);
                self.expires = None;
                self.delete(env);
                Verdict::Ended(reason)
            }
        }
    }

    /// Checks who the initiator is; then the child, whose failure does not concern the IKE SA.
    fn authenticate_initiator(
        &mut self,
        payloads: &Payloads<'_>,
        env: &mut Env<'_, '_>,
    ) -> Result<AgreedChild, Refusal> {
        let missing = |name| Refusal {
            reason: super::initiator::violation(Exchange::IkeAuth, Violation::Missing(name)),
            tell: Tell::Notify(notify_kind::INVALID_SYNTAX, Vec::new()),
        };
        if let Some(payload) = payloads.unknown_critical {
            return Err(Refusal {
                reason: DownReason::UnsupportedCriticalPayload { from: End::Us, payload },
                tell: Tell::Notify(notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD, vec![payload]),
            });
        }
        let Phase::HalfOpen(half_open) = &mut self.phase else { return Err(missing("SA")) };
        let init_request = std::mem::take(&mut half_open.init_request);
        let id_body = payloads.id_initiator.ok_or_else(|| missing("IDi"))?;
        self.check_initiator(id_body, payloads, &init_request, env)?;
        if let Some(body) = payloads.id_responder {
            let (head, data) = body.split_at_checked(4).unwrap_or((body, &[]));
            let asked = Identity::from_wire(head.first().copied().unwrap_or(0), data);
            if !asked.is(&env.config.local_id) {
                let local_id = env.config.local_id.clone();
                return Err(Refusal {
                    reason: DownReason::LocalIdentityMismatch { asked, local_id },
                    tell: Tell::Notify(notify_kind::AUTHENTICATION_FAILED, Vec::new()),
                });
            }
        }
        if is_childless(payloads) {
            return Ok(Ok(None));
        }
        let child = agree_child(payloads, env.config).and_then(|agreed| {
            let spi = env
                .ctx
                .spis
                .allocate(self.tunnel)
                .ok_or((notify_kind::TEMPORARY_FAILURE, DownReason::LocalResources))?;
            self.reserved = Some(spi);
            Ok(Some(agreed))
        });
        Ok(child)
    }
}

/// What to answer and what was agreed on, `None` where no child was asked for, or the notification that says why not.
type AgreedChild = Result<Option<(Proposal, Agreed)>, (u16, DownReason)>;

type Judged<'a> = (IkeSuite, Proposal, &'a [u8], &'a [u8]);

fn judge_init<'a>(payloads: &Payloads<'a>, config: &TunnelConfig) -> Result<Judged<'a>, Box<Accepted>> {
    if let Some(payload) = payloads.unknown_critical {
        return Err(Box::new(Accepted::Refused {
            notify: notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD,
            data: vec![payload],
            reason: Some(DownReason::UnsupportedCriticalPayload { from: End::Us, payload }),
        }));
    }
    let missing = |name| Box::new(syntax(Violation::Missing(name)));
    let proposals = payloads.proposals.as_ref().ok_or_else(|| missing("SA"))?;
    let (group, public) = payloads.key_exchange.ok_or_else(|| missing("KE"))?;
    let nonce = payloads.nonce.ok_or_else(|| missing("Nonce"))?;
    let Some((suite, chosen, _)) = config.ike.choose(proposals, group) else {
        return Err(Box::new(Accepted::Refused {
            notify: notify_kind::NO_PROPOSAL_CHOSEN,
            data: Vec::new(),
            reason: Some(DownReason::NoProposalChosen {
                protocol: Protocol::Ike,
                ours: config.ike.describe(),
                theirs: Some(describe(proposals)),
            }),
        }));
    };
    if suite.key_exchange.id() != group {
        // RFC 7296 §1.3: name the group we want instead.
        return Err(Box::new(Accepted::Refused {
            notify: notify_kind::INVALID_KE_PAYLOAD,
            data: suite.key_exchange.id().to_be_bytes().to_vec(),
            reason: None,
        }));
    }
    // RFC 9370 §2.2.1: additional key exchanges are made in IKE_INTERMEDIATE.
    let intermediate = payloads.notify(notify_kind::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some();
    if suite.additional.iter().any(Option::is_some) && !intermediate {
        return Err(missing("INTERMEDIATE_EXCHANGE_SUPPORTED"));
    }
    Ok((suite, chosen, public, nonce))
}

fn agree_child(payloads: &Payloads<'_>, config: &TunnelConfig) -> Result<(Proposal, Agreed), (u16, DownReason)> {
    let (suite, answer, outbound_spi) = agree_suite(payloads, config)?;
    let selectors = agree_selectors(payloads, config)?;
    Ok((answer, Agreed { suite, outbound_spi, selectors, resource: 0 }))
}

fn syntax(violation: Violation) -> Accepted {
    Accepted::Refused {
        notify: notify_kind::INVALID_SYNTAX,
        data: Vec::new(),
        reason: Some(super::initiator::violation(Exchange::IkeSaInit, violation)),
    }
}
