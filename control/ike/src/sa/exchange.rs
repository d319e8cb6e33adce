//! The exchanges of an IKE SA: a window of one request each way, retransmission, protection (RFC 7296 §2.1 to §2.3).

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::create_child::ChildCreation;
use super::fragmentation::{Reassembled, seal};
use super::mobility::Cookie2;
use super::rekey::IkeRekey;
use super::{Env, IkeSa, Path, Phase, Verdict};
use crate::crypto::KeSecret;
use crate::message::{Chain, ExchangeType, HEADER_BYTES, Header, Payloads};
use crate::reason::{DownReason, Exchange};
use crate::trace::TraceMark;

/// Our request that is not answered yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u32,
    pub(super) wire: ExchangeType,
    pub(super) purpose: Purpose,
    /// One, or its fragments.
    pub(super) datagrams: Vec<Vec<u8>>,
    pub(super) sent: Instant,
    pub(super) again: Instant,
    interval: Duration,
}

/// What a request of ours is for, with what its answer has to be judged by.
#[derive(Debug)]
pub(super) enum Purpose {
    IkeSaInit,
    /// With the secret of the key exchange that it makes.
    IkeIntermediate(Box<KeSecret>),
    IkeAuth,
    /// An empty INFORMATIONAL: is the peer alive?
    Liveness,
    /// An INFORMATIONAL that tells something. Its answer says no more than that it came, or repeats a cookie.
    Notice(Option<Cookie2>),
    /// The last request: it deletes the IKE SA, or says why it ends.
    Close,
    /// Deletes the child that receives with this SPI.
    DeleteChild(u32),
    CreateChild(Box<ChildCreation>),
    RekeyIke(Box<IkeRekey>),
}

impl Purpose {
    /// As reasons name it.
    fn exchange(&self) -> Exchange {
        match self {
            Self::IkeSaInit => Exchange::IkeSaInit,
            Self::IkeIntermediate(_) => Exchange::IkeIntermediate,
            Self::IkeAuth => Exchange::IkeAuth,
            Self::Liveness => Exchange::Liveness,
            Self::Close | Self::DeleteChild(_) | Self::Notice(_) => Exchange::Informational,
            Self::CreateChild(creation) => creation.exchange(),
            Self::RekeyIke(rekey) => rekey.exchange(),
        }
    }
}

/// The answer to the peer's last request.
#[derive(Debug)]
pub(super) struct Answered {
    /// RFC 7296 §2.1: a retransmission is the same bytes, so their digest tells it from anything else. Of a request in
    /// fragments it is the first one's (RFC 7383 §2.6.1).
    pub(super) digest: [u8; 32],
    pub(super) datagrams: Vec<Vec<u8>>,
}

/// Why an SK payload stayed closed.
enum Closed {
    Malformed,
    BadIntegrity,
    Unprotected,
}

impl IkeSa {
    /// Sends the last answer again if this is the request it answered.
    pub(crate) fn repeat_answer(&mut self, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) {
        match &self.answered {
            Some(answered) if answered.digest == digest(datagram) => {
                env.counters.retransmitted += 1;
                env.trace.mark(TraceMark::Retransmission);
                env.trace.sent_again(&answered.datagrams, path, env.ctx.now);
                env.out.extend(answered.datagrams.iter().map(|datagram| path.transmit(datagram)));
                // The peer has not had our answer, so it cannot open yet what was agreed in it.
                self.postpone_use(env);
            }
            Some(_) | None => env.unexpected(),
        }
    }

    /// Sends our request again, or gives it up.
    pub(super) fn repeat_request(&mut self, env: &mut Env<'_, '_>) -> Option<Verdict> {
        let now = env.ctx.now;
        let request = self.request.as_mut()?;
        if now >= request.sent + env.config.retry.give_up {
            let silent = DownReason::PeerSilent {
                exchange: request.purpose.exchange(),
                remote: self.path.remote.ip(),
                seconds: now.saturating_duration_since(request.sent).as_secs(),
            };
            return Some(self.give_up(silent, env));
        }
        if now >= request.again {
            request.interval = (request.interval * 2).min(env.config.retry.retransmit_cap).max(SHORTEST);
            request.again = now + request.interval;
            self.last_sent = now;
            env.counters.retransmitted += 1;
            env.trace.sent_again(&request.datagrams, self.path, now);
            env.out.extend(request.datagrams.iter().map(|datagram| self.path.transmit(datagram)));
        }
        None
    }

    fn give_up(&mut self, silent: DownReason, env: &mut Env<'_, '_>) -> Verdict {
        self.forget_request(env);
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        self.drop_children(env);
        match phase {
            Phase::Opening(opening) => Verdict::Ended(opening.remembered.unwrap_or(silent)),
            Phase::Intermediate(_) | Phase::Authenticating(_) | Phase::Established => Verdict::Ended(silent),
            Phase::HalfOpen(_) | Phase::Closing | Phase::Closed | Phase::Over => Verdict::Continue,
        }
    }

    /// Drops our request, with what was set aside for its answer.
    pub(super) fn forget_request(&mut self, env: &mut Env<'_, '_>) {
        if let Some(Request { purpose: Purpose::CreateChild(creation), .. }) = self.request.take() {
            env.ctx.spis.release(self.tunnel, creation.inbound_spi);
        }
    }

    /// Sends a protected request.
    pub(super) fn send_request(&mut self, wire: ExchangeType, purpose: Purpose, chain: &Chain, env: &mut Env<'_, '_>) {
        let header = self.header(wire, false, self.next_id);
        let Some(secure) = &mut self.secure else { return };
        let datagrams = seal(&mut secure.protection, header, chain, self.fragmented, env.ctx.rng);
        env.trace.sealed(&datagrams, chain, self.path, env.ctx.now);
        self.send_datagrams(wire, purpose, datagrams, env);
    }

    pub(super) fn send_datagrams(
        &mut self,
        wire: ExchangeType,
        purpose: Purpose,
        datagrams: Vec<Vec<u8>>,
        env: &mut Env<'_, '_>,
    ) {
        let now = env.ctx.now;
        env.counters.sent += 1;
        env.out.extend(datagrams.iter().map(|datagram| self.path.transmit(datagram)));
        self.last_sent = now;
        let interval = env.config.retry.retransmit.max(SHORTEST);
        let id = self.next_id;
        self.request = Some(Request { id, wire, purpose, datagrams, sent: now, again: now + interval, interval });
        self.next_id = self.next_id.wrapping_add(1);
    }

    /// Answers a request, which is known by its digest, in protected form, and remembers the answer.
    pub(super) fn answer(
        &mut self,
        header: Header,
        request: [u8; 32],
        chain: &Chain,
        path: Path,
        env: &mut Env<'_, '_>,
    ) {
        let answer = self.header(header.exchange, true, header.message_id);
        let Some(secure) = &mut self.secure else { return };
        let datagrams = seal(&mut secure.protection, answer, chain, self.fragmented, env.ctx.rng);
        env.trace.sealed(&datagrams, chain, path, env.ctx.now);
        env.counters.sent += 1;
        // RFC 7296 §2.11: an answer goes back to where the request came from.
        env.out.extend(datagrams.iter().map(|datagram| path.transmit(datagram)));
        self.last_sent = env.ctx.now;
        self.expected_id = header.message_id.wrapping_add(1);
        self.answered = Some(Answered { digest: request, datagrams });
    }

    /// Answers with nothing but a notification.
    pub(super) fn answer_notify(
        &mut self,
        header: Header,
        request: [u8; 32],
        (notify, data): (u16, &[u8]),
        path: Path,
        env: &mut Env<'_, '_>,
    ) {
        let mut chain = Chain::new();
        chain.push_notify(notify, data);
        self.answer(header, request, &chain, path, env);
    }

    pub(super) fn header(&self, exchange: ExchangeType, response: bool, message_id: u32) -> Header {
        let (initiator_spi, responder_spi) = self.spis();
        Header {
            initiator_spi,
            responder_spi,
            next_payload: 0,
            exchange,
            from_initiator: self.initiator,
            response,
            message_id,
        }
    }

    /// The original initiator's, the original responder's.
    pub(super) fn spis(&self) -> (u64, u64) {
        if self.initiator { (self.spi, self.peer_spi) } else { (self.peer_spi, self.spi) }
    }

    /// Opens a protected message; `None` if that cannot be done, or fragments of it are missing.
    pub(super) fn open(&mut self, header: Header, datagram: &[u8], env: &mut Env<'_, '_>) -> Option<Opened> {
        // RFC 7296 §2.21.4: nothing is believed of a message that stays closed. It is counted.
        match self.try_open(header, datagram) {
            Ok(Some(opened)) => {
                env.trace.opened(opened.first, &opened.plain);
                return Some(opened);
            }
            Ok(None) => env.trace.mark(TraceMark::Protected),
            Err(Closed::Malformed) => {
                env.trace.mark(TraceMark::Malformed);
                env.counters.malformed += 1;
            }
            Err(Closed::BadIntegrity) => {
                env.trace.mark(TraceMark::NotOpened);
                env.counters.bad_integrity += 1;
            }
            Err(Closed::Unprotected) => env.counters.unprotected_errors += 1,
        }
        None
    }

    fn try_open(&mut self, header: Header, datagram: &[u8]) -> Result<Option<Opened>, Closed> {
        let bytes = datagram.get(HEADER_BYTES..).ok_or(Closed::Malformed)?;
        let outer = Payloads::parse(header.next_payload, bytes).map_err(|_| Closed::Malformed)?;
        let (Some(encrypted), Some(secure)) = (outer.encrypted, self.secure.as_ref()) else {
            return Err(Closed::Unprotected);
        };
        let plain = secure.protection.open(datagram, &encrypted).map_err(|_| Closed::BadIntegrity)?;
        let (first, digest) = (encrypted.first, digest(datagram));
        let Some(place) = encrypted.fragment else { return Ok(Some(Opened { first, plain, digest })) };
        Ok(match self.reassembly.take(header, first, place, plain, digest) {
            Reassembled::Waiting => None,
            Reassembled::Complete(first, plain, digest) => Some(Opened { first, plain, digest }),
        })
    }
}

/// A message that was authenticated.
pub(super) struct Opened {
    /// The first payload's type.
    pub(super) first: u8,
    /// The payloads.
    pub(super) plain: Zeroizing<Vec<u8>>,
    /// By which the same request is known again.
    pub(super) digest: [u8; 32],
}

/// Tells one request from another.
pub(super) fn digest(datagram: &[u8]) -> [u8; 32] {
    Sha256::digest(datagram).into()
}

/// No configuration makes us repeat a request faster.
const SHORTEST: Duration = Duration::from_millis(10);
