//! One IKE SA: its exchanges, its window of one message, its timers.

mod authentication;
mod informational;
mod initiator;
mod nat;
mod responder;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::action::Action;
use crate::algorithm::{EspSuite, IkeSuite};
use crate::child::{ChildSa, UdpEncapsulation};
use crate::config::{TunnelConfig, TunnelId};
use crate::crypto::{Protection, SaKeys};
use crate::endpoint::Context;
use crate::message::{Chain, Encrypted, ExchangeType, Header, Payloads};
use crate::reason::{DownReason, Exchange, Lifetime};
use crate::status::TunnelCounters;
use initiator::{Authenticating, Opening};
use nat::Nat;
use responder::HalfOpen;

pub(crate) use nat::NAT_T_PORT;
pub(crate) use responder::Accepted;

/// An IKE SA, from its first message to the last copy of its last answer.
#[derive(Debug)]
pub(crate) struct IkeSa {
    pub(crate) tunnel: TunnelId,
    /// Whether we began it.
    pub(crate) initiator: bool,
    /// Our SPI; never 0.
    pub(crate) spi: u64,
    /// The peer's SPI; 0 until its first answer.
    pub(crate) peer_spi: u64,
    pub(crate) path: Path,
    /// The endpoint's event number at which it began; orders SAs of one tunnel.
    pub(crate) begun: u64,
    /// The endpoint's event number at which it was authenticated.
    pub(crate) established: Option<u64>,
    /// When it is to be deleted because another one has taken its place.
    pub(crate) retire_at: Option<Instant>,
    phase: Phase,
    nat: Nat,
    /// The initiator's nonce, the responder's nonce.
    nonces: (Vec<u8>, Vec<u8>),
    secure: Option<Secure>,
    child: Option<Child>,
    request: Option<Request>,
    /// The next request of ours.
    next_id: u32,
    /// The next request of the peer's.
    expected_id: u32,
    answered: Option<Answered>,
    lifetimes: Option<(Instant, Instant)>,
    /// When an SA that is not established goes away by itself.
    expires: Option<Instant>,
    last_heard: Instant,
    last_sent: Instant,
}

/// Where messages come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Path {
    pub(crate) fn transmit(self, datagram: &[u8]) -> Action {
        let marker: &[u8] = if self.local.port() == NAT_T_PORT { &[0; 4] } else { &[] };
        let datagram = [marker, datagram].concat();
        Action::Transmit { local: self.local, remote: self.remote, datagram }
    }
}

/// What an SA may see and change while it handles an event.
pub(crate) struct Env<'a, 'c> {
    pub(crate) config: &'a TunnelConfig,
    pub(crate) counters: &'a mut TunnelCounters,
    pub(crate) ctx: &'a mut Context<'c>,
    /// The endpoint's event number.
    pub(crate) event: u64,
    /// Whether the tunnel has no established SA.
    pub(crate) alone: bool,
    pub(crate) out: Vec<Action>,
}

/// What an event means for the tunnel.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Continue,
    /// Both ends are authenticated and the child SA is agreed upon. Its installation is up to the
    /// endpoint, and comes before what the SA has put into `Env::out`.
    Established {
        child: Box<ChildSa>,
        /// The peer says that it has no other SA with us.
        initial_contact: bool,
    },
    /// It is over, or as good as over.
    Ended(DownReason),
    /// A half-open SA was never completed.
    Abandoned(DownReason),
}

#[derive(Debug)]
enum Phase {
    /// IKE_SA_INIT is sent.
    Opening(Box<Opening>),
    /// IKE_AUTH is sent.
    Authenticating(Box<Authenticating>),
    /// IKE_SA_INIT is answered.
    HalfOpen(Box<HalfOpen>),
    Established,
    /// Our Delete is sent.
    Closing,
    /// Only repeats its last answer.
    Closed,
    /// To be forgotten at once.
    Over,
}

/// The keys once there are any.
#[derive(Debug)]
struct Secure {
    suite: IkeSuite,
    keys: SaKeys,
    protection: Protection,
}

/// The child SA, as far as its end needs it.
#[derive(Clone, Copy, Debug)]
struct Child {
    inbound_spi: u32,
    /// 0 until agreed.
    outbound_spi: u32,
    suite: Option<EspSuite>,
    encapsulation: Option<UdpEncapsulation>,
    installed: bool,
}

/// Our request that is not answered yet.
#[derive(Debug)]
struct Request {
    id: u32,
    wire: ExchangeType,
    exchange: Exchange,
    datagram: Vec<u8>,
    sent: Instant,
    again: Instant,
    interval: Duration,
}

/// The answer to the peer's last request.
#[derive(Debug)]
struct Answered {
    /// RFC 7296 §2.1: a retransmission is the same bytes, so their digest tells it from anything else.
    digest: [u8; 32],
    datagram: Vec<u8>,
}

/// Why an SK payload stayed closed.
enum Closed {
    Malformed,
    BadIntegrity,
    Unprotected,
}

impl IkeSa {
    /// Takes a message for this SA.
    pub(crate) fn handle(&mut self, header: Header, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) -> Verdict {
        let fits_spis = if self.initiator {
            matches!(self.phase, Phase::Opening(_)) || header.responder_spi == self.peer_spi
        } else {
            header.initiator_spi == self.peer_spi
        };
        if header.from_initiator == self.initiator || !fits_spis {
            env.counters.unexpected += 1;
            return Verdict::Continue;
        }
        if header.response {
            self.handle_response(header, datagram, path, env)
        } else {
            self.handle_request(header, datagram, path, env)
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, env: &mut Env<'_, '_>) -> Verdict {
        let now = env.ctx.now;
        if self.expires.is_some_and(|at| at <= now) {
            return self.expire(env);
        }
        if let Some(verdict) = self.repeat_request(env) {
            return verdict;
        }
        if !self.is_established() {
            return Verdict::Continue;
        }
        if self.retire_at.is_some_and(|at| at <= now) {
            self.delete(env);
            return Verdict::Continue;
        }
        if let Some((ike, child)) = self.lifetimes
            && now >= ike.min(child)
        {
            let (lifetime, length) = if child <= ike {
                (Lifetime::Child, env.config.child_lifetime)
            } else {
                (Lifetime::Ike, env.config.ike_lifetime)
            };
            self.delete(env);
            return Verdict::Ended(DownReason::LifetimeExpired { lifetime, seconds: length.as_secs() });
        }
        if self.liveness_due(env.config).is_some_and(|at| at <= now) {
            self.send_request(ExchangeType::Informational, Exchange::Liveness, &Chain::new(), env);
        }
        if self.keepalive_due().is_some_and(|at| at <= now) {
            self.last_sent = now;
            // RFC 3948 §2.3: one byte 0xff, without a marker.
            env.out.push(Action::Transmit { local: self.path.local, remote: self.path.remote, datagram: vec![0xff] });
        }
        Verdict::Continue
    }

    /// Deletes an established SA and says so to the peer.
    pub(crate) fn delete(&mut self, env: &mut Env<'_, '_>) {
        let mut chain = Chain::new();
        chain.push_delete_ike();
        self.close_with(&chain, env);
    }

    /// Forgets the SA without a word.
    pub(crate) fn discard(&mut self, env: &mut Env<'_, '_>) {
        self.drop_child(env);
        self.phase = Phase::Over;
    }

    /// Ends the child SA: an installed one is removed, another one gives its SPI back.
    pub(crate) fn drop_child(&mut self, env: &mut Env<'_, '_>) {
        let Some(child) = self.child.take() else { return };
        if child.installed {
            env.out.push(Action::RemoveChild { tunnel: self.tunnel, inbound_spi: child.inbound_spi });
        } else {
            env.ctx.spis.release(self.tunnel, child.inbound_spi);
        }
    }

    /// The endpoint has emitted the child's installation.
    pub(crate) fn child_installed(&mut self) {
        if let Some(child) = &mut self.child {
            child.installed = true;
        }
    }

    /// Authenticated traffic of the peer's was seen.
    pub(crate) fn note_traffic(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    /// Sends the last answer again if this is the request it answered.
    pub(crate) fn repeat_answer(&self, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) {
        match &self.answered {
            Some(answered) if answered.digest == digest(datagram) => {
                env.counters.retransmitted += 1;
                env.out.push(path.transmit(&answered.datagram));
            }
            Some(_) | None => env.counters.unexpected += 1,
        }
    }

    /// When [`IkeSa::handle_timeout`] has something to do.
    pub(crate) fn deadline(&self, config: &TunnelConfig) -> Option<Instant> {
        let request = self.request.as_ref().map(|r| r.again.min(r.sent + config.retry.give_up));
        let established = if self.is_established() {
            [
                self.retire_at,
                self.lifetimes.map(|(ike, child)| ike.min(child)),
                self.liveness_due(config),
                self.keepalive_due(),
            ]
        } else {
            [None; 4]
        };
        established.into_iter().chain([request, self.expires]).flatten().min()
    }

    pub(crate) fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening(_))
    }

    /// On its way to being established.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Opening(_) | Phase::Authenticating(_) | Phase::HalfOpen(_))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Begun by a peer that is not authenticated, or kept only to repeat an answer.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.phase, Phase::HalfOpen(_) | Phase::Closed)
    }

    pub(crate) fn suites(&self) -> Option<(IkeSuite, EspSuite)> {
        Some((self.secure.as_ref()?.suite, self.child?.suite?))
    }

    pub(crate) fn encapsulated(&self) -> bool {
        self.child.is_some_and(|c| c.encapsulation.is_some())
    }

    /// The SPI of the end that began the SA; both ends know it.
    pub(crate) fn initiator_spi(&self) -> u64 {
        if self.initiator { self.spi } else { self.peer_spi }
    }

    fn handle_response(&mut self, header: Header, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) -> Verdict {
        let expected = self.request.as_ref().is_some_and(|r| r.id == header.message_id && r.wire == header.exchange);
        match (&self.phase, expected) {
            (Phase::Opening(_), true) => self.on_init_response(header, datagram, env),
            (Phase::Authenticating(_), true) => self.on_auth_response(header, datagram, path, env),
            (Phase::Established | Phase::Closing, true) => self.on_response(header, datagram, path, env),
            (Phase::HalfOpen(_) | Phase::Closed | Phase::Over, true) | (_, false) => {
                env.counters.unexpected += 1;
                Verdict::Continue
            }
        }
    }

    fn handle_request(&mut self, header: Header, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) -> Verdict {
        // RFC 7296 §2.2, §2.3: a window of one. The last request again gets the last answer again;
        // anything else out of turn is dropped.
        if header.message_id.checked_add(1) == Some(self.expected_id) {
            self.repeat_answer(datagram, path, env);
            return Verdict::Continue;
        }
        match (&self.phase, header.exchange) {
            _ if header.message_id != self.expected_id => {}
            (Phase::HalfOpen(_), ExchangeType::IkeAuth) => {
                return self.on_auth_request(header, datagram, path, env);
            }
            (Phase::Established | Phase::Closing, _) => {
                return self.on_request(header, datagram, path, env);
            }
            (Phase::Opening(_) | Phase::Authenticating(_) | Phase::HalfOpen(_) | Phase::Closed | Phase::Over, _) => {}
        }
        env.counters.unexpected += 1;
        Verdict::Continue
    }

    /// Sends our request again, or gives it up.
    fn repeat_request(&mut self, env: &mut Env<'_, '_>) -> Option<Verdict> {
        let now = env.ctx.now;
        let request = self.request.as_mut()?;
        if now >= request.sent + env.config.retry.give_up {
            let silent = DownReason::PeerSilent {
                exchange: request.exchange,
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
            env.out.push(self.path.transmit(&request.datagram));
        }
        None
    }

    fn give_up(&mut self, silent: DownReason, env: &mut Env<'_, '_>) -> Verdict {
        self.request = None;
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        self.drop_child(env);
        match phase {
            Phase::Opening(opening) => Verdict::Ended(opening.remembered.unwrap_or(silent)),
            Phase::Authenticating(_) | Phase::Established => Verdict::Ended(silent),
            Phase::HalfOpen(_) | Phase::Closing | Phase::Closed | Phase::Over => Verdict::Continue,
        }
    }

    fn expire(&mut self, env: &mut Env<'_, '_>) -> Verdict {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        self.drop_child(env);
        match phase {
            Phase::HalfOpen(_) => Verdict::Abandoned(DownReason::PeerSilent {
                exchange: Exchange::IkeAuth,
                remote: self.path.remote.ip(),
                seconds: env.config.retry.give_up.as_secs(),
            }),
            Phase::Opening(_)
            | Phase::Authenticating(_)
            | Phase::Established
            | Phase::Closing
            | Phase::Closed
            | Phase::Over => Verdict::Continue,
        }
    }

    /// Ends the SA with a last request of ours.
    fn close_with(&mut self, chain: &Chain, env: &mut Env<'_, '_>) {
        self.drop_child(env);
        self.request = None;
        self.phase = Phase::Closing;
        self.send_request(ExchangeType::Informational, Exchange::Informational, chain, env);
    }

    /// Ends the SA, keeping the last answer for a peer that has not got it.
    fn close_after_answer(&mut self, env: &mut Env<'_, '_>) {
        self.drop_child(env);
        self.request = None;
        self.phase = Phase::Closed;
        self.expires = Some(env.ctx.now + env.config.retry.give_up);
    }

    /// Sends a protected request.
    fn send_request(&mut self, wire: ExchangeType, exchange: Exchange, chain: &Chain, env: &mut Env<'_, '_>) {
        let header = self.header(wire, false, self.next_id);
        let Some(secure) = &mut self.secure else { return };
        let datagram = secure.protection.seal(header, chain, env.ctx.rng);
        self.send_datagram(wire, exchange, datagram, env);
    }

    fn send_datagram(&mut self, wire: ExchangeType, exchange: Exchange, datagram: Vec<u8>, env: &mut Env<'_, '_>) {
        let now = env.ctx.now;
        env.counters.sent += 1;
        env.out.push(self.path.transmit(&datagram));
        self.last_sent = now;
        let interval = env.config.retry.retransmit.max(SHORTEST);
        let id = self.next_id;
        self.request = Some(Request { id, wire, exchange, datagram, sent: now, again: now + interval, interval });
        self.next_id = self.next_id.wrapping_add(1);
    }

    /// Answers a request in protected form and remembers the answer.
    fn answer(&mut self, header: Header, request: &[u8], chain: &Chain, path: Path, env: &mut Env<'_, '_>) {
        let answer = self.header(header.exchange, true, header.message_id);
        let Some(secure) = &mut self.secure else { return };
        let datagram = secure.protection.seal(answer, chain, env.ctx.rng);
        env.counters.sent += 1;
        // RFC 7296 §2.11: an answer goes back to where the request came from.
        env.out.push(path.transmit(&datagram));
        self.last_sent = env.ctx.now;
        self.expected_id = header.message_id.wrapping_add(1);
        self.answered = Some(Answered { digest: digest(request), datagram });
    }

    fn header(&self, exchange: ExchangeType, response: bool, message_id: u32) -> Header {
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

    fn spis(&self) -> (u64, u64) {
        if self.initiator { (self.spi, self.peer_spi) } else { (self.peer_spi, self.spi) }
    }

    /// Opens a protected message: the first payload's type and the payloads.
    fn open(&self, header: Header, datagram: &[u8], counters: &mut TunnelCounters) -> Option<(u8, Zeroizing<Vec<u8>>)> {
        // RFC 7296 §2.21.4: nothing is believed of a message that stays closed. It is counted.
        match self.try_open(header, datagram) {
            Ok(opened) => return Some(opened),
            Err(Closed::Malformed) => counters.malformed += 1,
            Err(Closed::BadIntegrity) => counters.bad_integrity += 1,
            Err(Closed::Unprotected) => counters.unprotected_errors += 1,
        }
        None
    }

    fn try_open(&self, header: Header, datagram: &[u8]) -> Result<(u8, Zeroizing<Vec<u8>>), Closed> {
        let bytes = datagram.get(crate::message::HEADER_BYTES..).ok_or(Closed::Malformed)?;
        let outer = Payloads::parse(header.next_payload, bytes).map_err(|_| Closed::Malformed)?;
        let (Some(encrypted), Some(secure)) = (outer.encrypted, self.secure.as_ref()) else {
            return Err(Closed::Unprotected);
        };
        let Encrypted { first, .. } = encrypted;
        let plain = secure.protection.open(datagram, &encrypted).map_err(|_| Closed::BadIntegrity)?;
        Ok((first, plain))
    }

    fn liveness_due(&self, config: &TunnelConfig) -> Option<Instant> {
        let interval = config.liveness.filter(|i| !i.is_zero())?;
        self.request.is_none().then(|| self.last_heard + interval)
    }

    fn keepalive_due(&self) -> Option<Instant> {
        (self.nat.ours && self.path.local.port() == NAT_T_PORT).then(|| self.last_sent + NAT_KEEPALIVE)
    }
}

fn digest(datagram: &[u8]) -> [u8; 32] {
    Sha256::digest(datagram).into()
}

/// RFC 3948 §4: the keepalive interval.
const NAT_KEEPALIVE: Duration = Duration::from_secs(20);
/// No configuration makes us repeat a request faster.
const SHORTEST: Duration = Duration::from_millis(10);
