//! The initiator's half of IKE_SA_INIT and IKE_AUTH (RFC 7296 §1.2).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::authentication::{PeerAuthentication, Refusal, Tell, announce, our_identity, refused};
use super::children::Agreed;
use super::create_child::accepted_selectors;
use super::exchange::{Opened, Purpose};
use super::fragmentation::Reassembly;
use super::intermediate::Rounds;
use super::nat::{IKE_PORT, NAT_T_PORT, Nat, push_detection};
use super::ppk::PpkUse;
use super::redirect::Redirection;
use super::{Env, IkeSa, Path, Phase, Secure, Verdict};
use crate::algorithm::KeGroup;
use crate::child::ChildSa;
use crate::config::{TunnelConfig, TunnelId};
use crate::crypto::{KeSecret, Protection, SaKeys, child_keys};
use crate::message::{Chain, ExchangeType, HEADER_BYTES, Header, Notify, Payloads, kind, notify_kind, selectors_body};
use crate::reason::{DownReason, End, Exchange, Protocol, Violation};
use crate::trace::TraceMark;

/// What the initiator keeps between IKE_SA_INIT and its answer.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) secret: KeSecret,
    pub(super) tried: Vec<KeGroup>,
    pub(super) cookie: Option<Vec<u8>>,
    cookies: u8,
    /// Who has sent us here, and how often we were sent on (RFC 5685).
    pub(super) redirected_from: Option<IpAddr>,
    pub(super) redirects: u8,
    /// What an unprotected answer said. RFC 7296 §2.21.1: it may be forged, so we go on asking, and
    /// name it only if nothing better comes.
    pub(super) remembered: Option<DownReason>,
}

/// What the initiator keeps until IKE_AUTH is answered.
#[derive(Debug)]
pub(super) struct Authenticating {
    /// The answer to IKE_SA_INIT, which the peer's AUTH covers.
    pub(super) init_response: Vec<u8>,
    /// Our first message, which our AUTH covers.
    pub(super) init_request: Vec<u8>,
}

impl IkeSa {
    /// Begins an IKE SA: with the peer, or with another gateway where that has sent us, which comes before who it was.
    pub(crate) fn initiate(
        tunnel: TunnelId,
        spi: u64,
        redirect: Option<(IpAddr, IpAddr)>,
        env: &mut Env<'_, '_>,
    ) -> Self {
        let remote = redirect.map_or(env.config.remote, |(to, _)| to);
        let path =
            Path { local: SocketAddr::new(env.config.local, IKE_PORT), remote: SocketAddr::new(remote, IKE_PORT) };
        let group = *env.config.ike.key_exchange.first().unwrap_or(&KeGroup::X25519);
        let opening = Opening {
            secret: KeSecret::generate(group, env.ctx.rng),
            tried: vec![group],
            cookie: None,
            cookies: 0,
            redirected_from: redirect.map(|(_, from)| from),
            redirects: redirect.is_some().into(),
            remembered: None,
        };
        let nonce = env.nonce();
        let mut sa = Self::new(tunnel, true, spi, path, Phase::Opening(Box::new(opening)), env);
        sa.nonces.0 = nonce;
        sa.send_init(env);
        sa
    }

    pub(super) fn new(
        tunnel: TunnelId,
        initiator: bool,
        spi: u64,
        path: Path,
        phase: Phase,
        env: &Env<'_, '_>,
    ) -> Self {
        Self {
            tunnel,
            initiator,
            spi,
            peer_spi: 0,
            path,
            begun: env.event,
            established: None,
            retire_at: None,
            phase,
            nat: Nat::default(),
            nonces: (Vec::new(), Vec::new()),
            secure: None,
            peer_token: None,
            rounds: Rounds::default(),
            ppk: PpkUse::default(),
            reserved: None,
            children: Vec::new(),
            sending: None,
            asks_for_resources: false,
            tasks: VecDeque::new(),
            replaced: false,
            spare: false,
            peer: PeerAuthentication::default(),
            request: None,
            unfinished: None,
            pending: None,
            next_id: 0,
            expected_id: 0,
            answered: None,
            redirection: Redirection::default(),
            authenticated: None,
            mobile: false,
            fragmented: false,
            reassembly: Reassembly::default(),
            rekey_at: None,
            lives_until: None,
            expires: None,
            last_heard: env.ctx.now,
            last_sent: env.ctx.now,
        }
    }

    /// Sends IKE_SA_INIT. After a cookie or another group the SPI, the nonce and message id 0 stay
    /// the same (RFC 7296 §2.6).
    pub(super) fn send_init(&mut self, env: &mut Env<'_, '_>) {
        let Phase::Opening(opening) = &self.phase else { return };
        let mut chain = Chain::new();
        if let Some(cookie) = &opening.cookie {
            chain.push_notify(notify_kind::COOKIE, cookie);
        }
        chain.push_proposals(&env.config.ike.offer(None));
        chain.push_key_exchange(opening.secret.group().id(), &opening.secret.public());
        chain.push(kind::NONCE, &self.nonces.0);
        push_detection(&mut chain, (self.spi, 0), self.path, env.config.force_encapsulation);
        chain.push_notify(notify_kind::FRAGMENTATION_SUPPORTED, &[]);
        if env.config.ike.additional_key_exchange.iter().any(|groups| !groups.is_empty()) {
            chain.push_notify(notify_kind::INTERMEDIATE_EXCHANGE_SUPPORTED, &[]);
        }
        announce(&mut chain, env.config);
        self.announce_ppk(&mut chain, env.config);
        self.push_redirects(opening.redirected_from, &mut chain, env);
        self.next_id = 0;
        let datagram = chain.into_datagram(self.header(ExchangeType::IkeSaInit, false, 0));
        env.trace.sent(&datagram, self.path, env.ctx.now);
        self.send_datagrams(ExchangeType::IkeSaInit, Purpose::IkeSaInit, vec![datagram], env);
    }

    pub(super) fn on_init_response(&mut self, header: Header, datagram: &[u8], env: &mut Env<'_, '_>) -> Verdict {
        let payloads = match Payloads::parse(header.next_payload, datagram.get(HEADER_BYTES..).unwrap_or(&[])) {
            Ok(payloads) => payloads,
            Err(error) => {
                env.counters.malformed += 1;
                env.trace.mark(TraceMark::Malformed);
                return self.remember(DownReason::Malformed { exchange: Exchange::IkeSaInit, error });
            }
        };
        if payloads.proposals.is_none() {
            if let Some(cookie) = payloads.notify(notify_kind::COOKIE) {
                return self.on_cookie(cookie.data, env);
            }
            if let Some(redirect) = payloads.notify(notify_kind::REDIRECT) {
                return self.on_init_redirect(redirect.data, env);
            }
            if let Some(error) = payloads.error() {
                return self.on_init_error(error, env);
            }
        }
        match self.accept_init(header, &payloads, env.config) {
            Ok(()) => self.on_init_accepted(header, &payloads, datagram, env),
            Err(reason) => {
                env.counters.unprotected_errors += 1;
                self.remember(reason)
            }
        }
    }

    /// RFC 7296 §2.6: the same request again, with the cookie in front.
    fn on_cookie(&mut self, cookie: &[u8], env: &mut Env<'_, '_>) -> Verdict {
        let Phase::Opening(opening) = &mut self.phase else { return Verdict::Continue };
        if cookie.is_empty() || cookie.len() > 64 || opening.cookies == MAX_COOKIES {
            env.counters.unprotected_errors += 1;
            return self.remember(violation(Exchange::IkeSaInit, Violation::EndlessRetry));
        }
        opening.cookies += 1;
        opening.cookie = Some(cookie.to_vec());
        self.send_init(env);
        Verdict::Continue
    }

    fn on_init_error(&mut self, error: &Notify<'_>, env: &mut Env<'_, '_>) -> Verdict {
        let Phase::Opening(opening) = &mut self.phase else { return Verdict::Continue };
        match (error.kind, error.data) {
            // Two errors are believed at once, unprotected as they are: nothing else can ever be said
            // in these cases, a forger has to know our SPI, and all it gains is one wait for the next try.
            (notify_kind::NO_PROPOSAL_CHOSEN, _) => {
                self.phase = Phase::Over;
                Verdict::Ended(DownReason::NoProposalChosen {
                    protocol: Protocol::Ike,
                    ours: env.config.ike.describe(),
                    theirs: None,
                })
            }
            (notify_kind::INVALID_KE_PAYLOAD, &[high, low]) => {
                let asked = u16::from_be_bytes([high, low]);
                let group = KeGroup::from_id(asked).filter(|g| env.config.ike.key_exchange.contains(g));
                let Some(group) = group else {
                    self.phase = Phase::Over;
                    return Verdict::Ended(DownReason::InvalidKeyExchange {
                        offered: env.config.ike.key_exchange.clone(),
                        asked,
                    });
                };
                if opening.tried.contains(&group) {
                    env.counters.unprotected_errors += 1;
                    return self.remember(violation(Exchange::IkeSaInit, Violation::EndlessRetry));
                }
                opening.tried.push(group);
                opening.secret = KeSecret::generate(group, env.ctx.rng);
                self.send_init(env);
                Verdict::Continue
            }
            (notify, _) => {
                env.counters.unprotected_errors += 1;
                self.remember(DownReason::PeerRefused { exchange: Exchange::IkeSaInit, notify })
            }
        }
    }

    pub(super) fn remember(&mut self, reason: DownReason) -> Verdict {
        if let Phase::Opening(opening) = &mut self.phase {
            opening.remembered = Some(reason);
        }
        Verdict::Continue
    }

    /// Checks the answer and derives the keys.
    fn accept_init(
        &mut self,
        header: Header,
        payloads: &Payloads<'_>,
        config: &TunnelConfig,
    ) -> Result<(), DownReason> {
        let broken = |v| violation(Exchange::IkeSaInit, v);
        let Phase::Opening(opening) = &self.phase else { return Err(DownReason::Connecting) };
        if let Some(payload) = payloads.unknown_critical {
            return Err(DownReason::UnsupportedCriticalPayload { from: End::Us, payload });
        }
        let proposals = payloads.proposals.as_ref().ok_or(broken(Violation::Missing("SA")))?;
        let (group, public) = payloads.key_exchange.ok_or(broken(Violation::Missing("KE")))?;
        let nonce = payloads.nonce.ok_or(broken(Violation::Missing("Nonce")))?;
        // RFC 7296 §3.3.1: only a rekey's proposal carries an SPI.
        let Some((suite, None)) = config.ike.chosen(proposals) else { return Err(broken(Violation::Proposal)) };
        if suite.key_exchange != opening.secret.group() || group != suite.key_exchange.id() {
            return Err(broken(Violation::KeyExchange));
        }
        if header.responder_spi == 0 {
            return Err(broken(Violation::Spi));
        }
        let shared = opening.secret.agree(public).ok_or(broken(Violation::KeyExchange))?;
        self.peer_spi = header.responder_spi;
        self.peer.hear(payloads, config);
        self.nonces.1 = nonce.to_vec();
        let keys = SaKeys::derive(suite, &shared, (&self.nonces.0, nonce), self.spis());
        let protection = Protection::new(suite, &keys, true);
        self.secure = Some(Secure { suite, keys, protection });
        self.hear_ppk(payloads, config);
        if self.lacks_ppk(config) {
            return Err(DownReason::PpkMissing);
        }
        self.rounds = Rounds::of(suite);
        if self.rounds.are_left() && payloads.notify(notify_kind::INTERMEDIATE_EXCHANGE_SUPPORTED).is_none() {
            return Err(broken(Violation::Missing("INTERMEDIATE_EXCHANGE_SUPPORTED")));
        }
        Ok(())
    }

    fn on_init_accepted(
        &mut self,
        header: Header,
        payloads: &Payloads<'_>,
        init_response: &[u8],
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let spis = (header.initiator_spi, header.responder_spi);
        self.nat = Nat::detect(payloads, spis, self.path, env.config.force_encapsulation);
        self.fragmented = payloads.notify(notify_kind::FRAGMENTATION_SUPPORTED).is_some();
        if self.nat.encapsulate {
            self.path.local.set_port(NAT_T_PORT);
            self.path.remote.set_port(NAT_T_PORT);
        }
        let init_request = self.request.take().and_then(|r| r.datagrams.into_iter().next()).unwrap_or_default();
        let kept = Authenticating { init_response: init_response.to_vec(), init_request };
        if self.rounds.are_left() { self.send_intermediate(kept, env) } else { self.send_auth(kept, env) }
    }

    pub(super) fn send_auth(&mut self, kept: Authenticating, env: &mut Env<'_, '_>) -> Verdict {
        let config = env.config;
        let Some(spi) = env.ctx.spis.allocate(self.tunnel) else {
            self.phase = Phase::Over;
            return Verdict::Ended(DownReason::LocalResources);
        };
        self.reserved = Some(spi);
        // There is no IDr: it would only ask the peer to be someone. Without it the peer says who it
        // is, and an identity mismatch can be told from a wrong key.
        let mut chain = Chain::new();
        chain.push(kind::ID_I, &our_identity(config));
        if env.alone {
            chain.push_notify(notify_kind::INITIAL_CONTACT, &[]);
        }
        let begun = self.begin_ppk(&mut chain, &kept.init_request, env);
        if let Err(reason) = begun.and_then(|()| self.push_authentication(&mut chain, &kept.init_request, env)) {
            self.discard(env);
            return Verdict::Ended(reason);
        }
        chain.push_proposals(&config.esp.offer(spi, false));
        chain.push(kind::TS_I, &selectors_body(&config.local_selectors));
        chain.push(kind::TS_R, &selectors_body(&config.remote_selectors));
        self.push_token(&mut chain, env);
        self.phase = Phase::Authenticating(Box::new(kept));
        self.next_id = self.rounds.auth_id();
        self.send_request(ExchangeType::IkeAuth, Purpose::IkeAuth, &chain, env);
        Verdict::Continue
    }

    pub(super) fn on_auth_response(
        &mut self,
        header: Header,
        datagram: &[u8],
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(Opened { first, plain, .. }) = self.open(header, datagram, env) else {
            return Verdict::Continue;
        };
        env.counters.received += 1;
        self.request = None;
        let outcome = Payloads::parse(first, &plain)
            .map_err(|error| Refusal::syntax(Exchange::IkeAuth, error))
            .and_then(|payloads| {
                self.authenticate_responder(&payloads, env)?;
                self.keep_token(&payloads);
                self.note_authentication(&payloads, env);
                self.agree_child_as_initiator(&payloads, env.config)
            });
        match outcome {
            Ok(agreed) => {
                self.follow(path, env);
                let child = self.establish(agreed, env);
                self.asks_for_resources = true;
                self.want_more_children(env.config);
                Verdict::Established { child: Some(child), initial_contact: false }
            }
            Err(refusal) => {
                match refusal.tell {
                    Tell::Nothing => self.discard(env),
                    // RFC 7296 §2.21.2: the responder thinks the SA is up, so it is told in an
                    // exchange of its own; the notification deletes the SA by itself.
                    Tell::Notify(notify, data) => {
                        let mut chain = Chain::new();
                        chain.push_notify(notify, &data);
                        self.close_with(&chain, env);
                    }
                    Tell::Delete => self.delete(env),
                }
                Verdict::Ended(refusal.reason)
            }
        }
    }

    fn authenticate_responder(&mut self, payloads: &Payloads<'_>, env: &mut Env<'_, '_>) -> Result<(), Refusal> {
        let Phase::Authenticating(authenticating) = &mut self.phase else {
            return Err(Refusal::silent(DownReason::Connecting));
        };
        let init_response = std::mem::take(&mut authenticating.init_response);
        if let Some(payload) = payloads.unknown_critical {
            return Err(Refusal::delete(DownReason::UnsupportedCriticalPayload { from: End::Us, payload }));
        }
        if payloads.auth.is_none()
            && let Some(error) = payloads.error()
        {
            return Err(Refusal::silent(match error.kind {
                notify_kind::AUTHENTICATION_FAILED => self.rejected(env),
                _ => refused(Exchange::IkeAuth, error, env.config),
            }));
        }
        let id_body = payloads
            .id_responder
            .ok_or_else(|| Refusal::delete(violation(Exchange::IkeAuth, Violation::Missing("IDr"))))?;
        self.end_ppk(payloads, env.config)?;
        self.check_peer(id_body, payloads, &init_response, env)
    }

    fn agree_child_as_initiator(&self, payloads: &Payloads<'_>, config: &TunnelConfig) -> Result<Agreed, Refusal> {
        let broken = |v| Refusal::delete(violation(Exchange::IkeAuth, v));
        if payloads.proposals.is_none()
            && let Some(error) = payloads.error()
        {
            return Err(Refusal::delete(refused(Exchange::IkeAuth, error, config)));
        }
        let proposals = payloads.proposals.as_ref().ok_or(broken(Violation::Missing("SA")))?;
        let (suite, outbound_spi) = config.esp.chosen(proposals, false).ok_or(broken(Violation::Proposal))?;
        if outbound_spi < 256 {
            return Err(broken(Violation::Spi));
        }
        let proposed = (config.local_selectors.clone(), config.remote_selectors.clone());
        let selectors = accepted_selectors(payloads, &proposed).map_err(broken)?;
        Ok(Agreed { suite, outbound_spi, selectors, resource: 0 })
    }

    /// Both ends are authenticated and agree on the child.
    pub(super) fn establish(&mut self, agreed: Agreed, env: &mut Env<'_, '_>) -> Box<ChildSa> {
        self.become_established(env);
        let keys = self
            .secure
            .as_ref()
            .map(|s| child_keys(s.suite.prf, &s.keys.d, (&[], &[]), (&self.nonces.0, &self.nonces.1), agreed.suite));
        let (to_responder, to_initiator) = keys.expect("an SA is established only after its keys are derived");
        let keys = if self.initiator { (to_initiator, to_responder) } else { (to_responder, to_initiator) };
        let inbound_spi = self.reserved.take().unwrap_or_default();
        let (child, sa) = self.make_child(inbound_spi, agreed, keys, env);
        self.children.push(child);
        Box::new(sa)
    }
}

pub(super) fn violation(exchange: Exchange, violation: Violation) -> DownReason {
    DownReason::PeerProtocolViolation { exchange, violation }
}

const MAX_COOKIES: u8 = 4;
