//! IKE_INTERMEDIATE: exchanges between IKE_SA_INIT and IKE_AUTH (RFC 9242), for additional key exchanges (RFC 9370).

use zeroize::Zeroizing;

use super::exchange::{Opened, Purpose};
use super::initiator::{Authenticating, violation};
use super::{Env, IkeSa, Path, Phase, Secure, Verdict};
use crate::algorithm::{IkeSuite, KeGroup};
use crate::crypto::{KeSecret, Protection, SaKeys};
use crate::message::{Chain, ExchangeType, HEADER_BYTES, Header, Payloads, kind, notify_kind};
use crate::reason::{DownReason, Exchange, Violation};

/// The additional key exchanges of one IKE SA, and what AUTH says of them.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Those to be made yet, the next one first.
    left: Vec<KeGroup>,
    /// How many are made.
    made: u32,
    /// RFC 9242 §3.3.2: IntAuth_i and IntAuth_r so far.
    initiators: Zeroizing<Vec<u8>>,
    responders: Zeroizing<Vec<u8>>,
}

impl Rounds {
    /// As negotiated.
    pub(super) fn of(suite: IkeSuite) -> Self {
        Self { left: suite.additional.into_iter().flatten().collect(), ..Self::default() }
    }

    /// Whether IKE_AUTH has to wait.
    pub(super) fn are_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// What the signed octets end with: IntAuth_iN | IntAuth_rN | IKE_AUTH_MID; nothing if there was no such exchange.
    pub(super) fn octets(&self) -> Vec<u8> {
        if self.made == 0 {
            return Vec::new();
        }
        [self.initiators.as_slice(), &self.responders, &(self.made + 1).to_be_bytes()].concat()
    }

    /// The message id of IKE_AUTH.
    pub(super) fn auth_id(&self) -> u32 {
        self.made + 1
    }

    /// Takes a message in: its header as it was or would be on the wire, the payloads inside.
    fn note(&mut self, from_initiator: bool, header: &[u8], first: u8, plain: &[u8], secure: &Secure) {
        let (chain, key) = if from_initiator {
            (&mut self.initiators, &secure.keys.pi)
        } else {
            (&mut self.responders, &secure.keys.pr)
        };
        // RFC 9242 §3.3.2: lengths as if nothing were encrypted, and the message as if it were whole.
        let payload = plain.len() + 4;
        let mut covered = header.to_vec();
        if let Some(next) = covered.get_mut(16) {
            *next = kind::ENCRYPTED;
        }
        if let Some(length) = covered.get_mut(24..HEADER_BYTES) {
            length.copy_from_slice(&((HEADER_BYTES + payload) as u32).to_be_bytes());
        }
        covered.extend_from_slice(&[first, 0]);
        covered.extend_from_slice(&(payload as u16).to_be_bytes());
        *chain = secure.suite.prf.compute(key, &[chain, &covered, plain]);
    }
}

impl IkeSa {
    /// The next additional key exchange.
    pub(super) fn send_intermediate(&mut self, kept: Authenticating, env: &mut Env<'_, '_>) -> Verdict {
        let Some(group) = self.rounds.left.first().copied() else { return Verdict::Continue };
        let secret = KeSecret::generate(group, env.ctx.rng);
        let mut chain = Chain::new();
        chain.push_key_exchange(group.id(), &secret.public());
        self.next_id = self.rounds.made + 1;
        self.note_sent(self.header(ExchangeType::IkeIntermediate, false, self.next_id), &chain);
        self.phase = Phase::Intermediate(Box::new(kept));
        let purpose = Purpose::IkeIntermediate(Box::new(secret));
        self.send_request(ExchangeType::IkeIntermediate, purpose, &chain, env);
        Verdict::Continue
    }

    pub(super) fn on_intermediate_response(
        &mut self,
        header: Header,
        datagram: &[u8],
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(Opened { first, plain, .. }) = self.open(header, datagram, env) else {
            return Verdict::Continue;
        };
        env.counters.received += 1;
        let Some(Purpose::IkeIntermediate(secret)) = self.request.take().map(|request| request.purpose) else {
            return Verdict::Continue;
        };
        let exchange = Exchange::IkeIntermediate;
        let judged = Payloads::parse(first, &plain)
            .map_err(|error| DownReason::Malformed { exchange, error })
            .and_then(|payloads| match (payloads.key_exchange, payloads.error()) {
                (Some((group, public)), _) => Some(public)
                    .filter(|_| group == secret.group().id())
                    .and_then(|public| secret.agree(public))
                    .ok_or(violation(exchange, Violation::KeyExchange)),
                (None, Some(error)) => Err(DownReason::PeerRefused { exchange, notify: error.kind }),
                (None, None) => Err(violation(exchange, Violation::Missing("KE"))),
            });
        match judged {
            Ok(shared) => {
                self.note_received(datagram, first, &plain);
                self.complete_round(&shared);
                let Phase::Intermediate(kept) = std::mem::replace(&mut self.phase, Phase::Over) else {
                    return Verdict::Continue;
                };
                if self.rounds.are_left() { self.send_intermediate(*kept, env) } else { self.send_auth(*kept, env) }
            }
            Err(reason) => {
                self.discard(env);
                Verdict::Ended(reason)
            }
        }
    }

    pub(super) fn on_intermediate_request(
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
        let made = Payloads::parse(first, &plain).ok().and_then(|payloads| {
            let (group, public) = payloads.key_exchange?;
            let wanted = self.rounds.left.first().copied().filter(|wanted| wanted.id() == group)?;
            Some((group, KeSecret::respond(wanted, public, env.ctx.rng)?))
        });
        let Some((group, (public, shared))) = made else {
            self.answer_notify(header, digest, (notify_kind::INVALID_SYNTAX, &[]), path, env);
            self.close_after_answer(env);
            return Verdict::Ended(violation(Exchange::IkeIntermediate, Violation::KeyExchange));
        };
        self.note_received(datagram, first, &plain);
        let mut chain = Chain::new();
        chain.push_key_exchange(group, &public);
        self.note_sent(self.header(header.exchange, true, header.message_id), &chain);
        self.path = path;
        self.answer(header, digest, &chain, path, env);
        self.complete_round(&shared);
        Verdict::Continue
    }

    fn note_sent(&mut self, header: Header, chain: &Chain) {
        let Some(secure) = &self.secure else { return };
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        header.write(0, &mut bytes);
        self.rounds.note(self.initiator, &bytes, chain.first(), chain.bytes(), secure);
    }

    fn note_received(&mut self, datagram: &[u8], first: u8, plain: &[u8]) {
        let Some(secure) = &self.secure else { return };
        let header = datagram.get(..HEADER_BYTES).unwrap_or_default();
        self.rounds.note(!self.initiator, header, first, plain, secure);
    }

    /// RFC 9370 §2.2.2: all keys anew, from the SK_d there is and the new shared secret.
    fn complete_round(&mut self, shared: &[u8]) {
        if !self.rounds.left.is_empty() {
            self.rounds.left.remove(0);
        }
        self.rounds.made += 1;
        let spis = self.spis();
        let Some(Secure { suite, keys, .. }) = &self.secure else { return };
        let (suite, nonces) = (*suite, (self.nonces.0.as_slice(), self.nonces.1.as_slice()));
        let keys = SaKeys::rekey(suite, suite.prf, &keys.d, (shared, &[]), nonces, spis);
        let protection = Protection::new(suite, &keys, self.initiator);
        self.secure = Some(Secure { suite, keys, protection });
    }
}
