//! One IKE SA: what it is, what it does when a message comes or its time has come.

mod authentication;
mod childless;
mod children;
mod crash_detection;
mod create_child;
mod exchange;
mod followup;
#[cfg(feature = "fuzz")]
mod forgery;
mod fragmentation;
mod informational;
mod initiator;
mod intermediate;
mod mobility;
mod nat;
mod ppk;
mod reauthentication;
mod redirect;
mod rekey;
mod resources;
mod responder;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::algorithm::{EspSuite, IkeSuite};
use crate::child::ChildSa;
use crate::config::{TunnelConfig, TunnelId};
use crate::crash_secret::CrashSecret;
use crate::crypto::{Protection, SaKeys};
use crate::endpoint::Context;
use crate::message::{Chain, ExchangeType, Header};
use crate::reason::{DownReason, Exchange, Lifetime};
use crate::status::TunnelCounters;
use crate::trace::{Trace, TraceMark};
use authentication::PeerAuthentication;
use children::{Child, Task, Wanted};
use crash_detection::CrashToken;
use exchange::{Answered, Purpose, Request};
use followup::Pending;
use fragmentation::Reassembly;
use initiator::{Authenticating, Opening};
use intermediate::Rounds;
use nat::Nat;
use ppk::PpkUse;
use reauthentication::Authenticated;
use redirect::Redirection;
use rekey::IkeRekey;
use responder::HalfOpen;

pub(crate) use children::Estate;
pub(crate) use nat::{NAT_T_PORT, hash as nat_detection_hash};
pub(crate) use redirect::gateway_identity;
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
    /// By which the peer will show that it has lost this SA (RFC 6290).
    peer_token: Option<CrashToken>,
    rounds: Rounds,
    ppk: PpkUse,
    /// The inbound SPI of the first child, until that is agreed on.
    reserved: Option<u32>,
    children: Vec<Child>,
    /// The inbound SPI of the child we send on.
    sending: Option<u32>,
    /// We began, and the peer has not refused one more child with the same selectors (RFC 9611).
    asks_for_resources: bool,
    /// What to ask the peer for when the window is open.
    tasks: VecDeque<Task>,
    /// The peer has another SA in this one's place, and deletes this one.
    replaced: bool,
    /// Made by the peer in a collision that is not decided: it has no children yet.
    spare: bool,
    /// What the peer has said and shown about its authentication.
    peer: PeerAuthentication,
    request: Option<Request>,
    /// Asked for before our Delete and not answered then, with its request's number: the peer may have made it.
    unfinished: Option<(u32, Box<IkeRekey>)>,
    /// What the peer asked for and is to make additional key exchanges for.
    pending: Option<Box<Pending>>,
    /// The next request of ours.
    next_id: u32,
    /// The next request of the peer's.
    expected_id: u32,
    answered: Option<Answered>,
    redirection: Redirection,
    /// Until when the peer believes who we are, if it has said so.
    authenticated: Option<Authenticated>,
    /// The peer may move it to other addresses (RFC 4555).
    mobile: bool,
    /// Both ends take messages in fragments.
    fragmented: bool,
    reassembly: Reassembly,
    /// When it is to be replaced, once, and when it may not be used any longer.
    rekey_at: Option<Instant>,
    lives_until: Option<Instant>,
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
    pub(crate) trace: &'a mut Trace,
    pub(crate) ctx: &'a mut Context<'c>,
    /// The endpoint's event number.
    pub(crate) event: u64,
    /// Whether the tunnel has no established SA.
    pub(crate) alone: bool,
    /// What makes our tokens, if there are to be any.
    pub(crate) crash_secret: Option<&'a CrashSecret>,
    /// Whether the message being handled came from where another tunnel's peer is.
    pub(crate) address_taken: bool,
    pub(crate) out: Vec<Action>,
}

impl Env<'_, '_> {
    /// The message being handled is not one that fits here: it is counted and ignored.
    fn unexpected(&mut self) {
        self.counters.unexpected += 1;
        self.trace.mark(TraceMark::Unexpected);
    }
}

/// What an event means for the tunnel.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Continue,
    /// Both ends are authenticated and the child SA is agreed upon. Its installation is up to the
    /// endpoint, and comes before what the SA has put into `Env::out`.
    Established {
        /// `None` if it is to come later (RFC 6023).
        child: Option<Box<ChildSa>>,
        /// The peer says that it has no other SA with us.
        initial_contact: bool,
    },
    /// Another SA takes its place and has its children.
    Rekeyed(Box<IkeSa>),
    /// The peer has made another SA in its place, and so do we: which of the two stays is not known yet.
    Spare(Box<IkeSa>),
    /// The SA that the peer has made in its place stays.
    Yielded {
        /// Ours.
        to: u64,
        /// What that takes over.
        estate: Estate,
        /// The one that we have made, if there is one: it is being deleted.
        loser: Option<Box<IkeSa>>,
    },
    /// It goes on, but the peer sends us to another gateway.
    Redirected { to: IpAddr, from: IpAddr },
    /// It goes on, but cannot be rekeyed: another one has to be set up before its life is over.
    Renew(DownReason),
    /// It is over, or as good as over.
    Ended(DownReason),
    /// A half-open SA was never completed.
    Abandoned(DownReason),
}

#[derive(Debug)]
enum Phase {
    /// IKE_SA_INIT is sent.
    Opening(Box<Opening>),
    /// IKE_INTERMEDIATE is sent.
    Intermediate(Box<Authenticating>),
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

impl Env<'_, '_> {
    /// A fresh SPI for an IKE SA. Of 2^64 a second one like it does not come up.
    fn fresh_spi(&mut self) -> u64 {
        loop {
            let spi = self.ctx.rng.next_u64();
            if spi != 0 {
                return spi;
            }
        }
    }

    /// A fresh nonce.
    fn nonce(&mut self) -> Vec<u8> {
        let mut nonce = vec![0; NONCE_BYTES];
        self.ctx.rng.fill_bytes(&mut nonce);
        nonce
    }

    /// When to replace what lives so long: before its end by a margin and, so that the two ends do not do so at once, by
    /// up to another one (RFC 7296 §2.8).
    fn rekey_after(&mut self, lifetime: Duration) -> Duration {
        let margin = (lifetime / 10).min(LONGEST_MARGIN);
        lifetime - margin - self.part_of(margin)
    }

    /// How long to wait before what the peer had no time for is asked again.
    fn retry_after(&mut self) -> Duration {
        let interval = self.config.retry.retransmit;
        interval + self.part_of(interval)
    }

    /// When to try once more what was refused and has to be done before this: `None` if there is no time for it.
    fn halfway(&self, end: Instant) -> Option<Instant> {
        let half = end.saturating_duration_since(self.ctx.now) / 2;
        (half > self.config.retry.give_up).then(|| self.ctx.now + half)
    }

    /// A random part of it.
    fn part_of(&mut self, time: Duration) -> Duration {
        time.mul_f64(f64::from(self.ctx.rng.next_u32()) / f64::from(u32::MAX))
    }
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
            env.unexpected();
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
        let verdict = self.do_what_is_due(env);
        self.pursue(env);
        verdict
    }

    fn do_what_is_due(&mut self, env: &mut Env<'_, '_>) -> Verdict {
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
        self.tend_pending(env);
        if self.retire_at.is_some_and(|at| at <= now) {
            self.delete(env);
            return Verdict::Continue;
        }
        if self.authenticates_at().is_some_and(|at| at <= now) {
            return self.authenticate_again(env);
        }
        if self.leaves_at().is_some_and(|at| at <= now) {
            return self.send_off(env);
        }
        if self.lives_until.is_some_and(|at| at <= now) {
            self.delete(env);
            let seconds = env.config.ike_lifetime.as_secs();
            return Verdict::Ended(DownReason::LifetimeExpired { lifetime: Lifetime::Ike, seconds });
        }
        let over = self.tend_children(env);
        if !over.is_empty() {
            over.into_iter().for_each(|inbound_spi| self.want_child_deleted(inbound_spi));
            if !self.has_children() {
                self.delete(env);
                let seconds = env.config.child_lifetime.as_secs();
                return Verdict::Ended(DownReason::LifetimeExpired { lifetime: Lifetime::Child, seconds });
            }
        }
        if self.rekey_at.take_if(|at| *at <= now).is_some() {
            self.rekey();
        }
        if self.liveness_due(env.config).is_some_and(|at| at <= now) {
            self.send_request(ExchangeType::Informational, Purpose::Liveness, &Chain::new(), env);
        }
        if self.keepalive_due().is_some_and(|at| at <= now) {
            self.last_sent = now;
            // RFC 3948 §2.3: one byte 0xff, without a marker.
            env.out.push(Action::Transmit { local: self.path.local, remote: self.path.remote, datagram: vec![0xff] });
        }
        Verdict::Continue
    }

    /// Asks the peer for what is on the list, one thing at a time.
    pub(crate) fn pursue(&mut self, env: &mut Env<'_, '_>) {
        // While the peer is about to replace this SA, nothing is begun that would have to move along.
        while self.is_established() && !self.replaced && self.request.is_none() && self.pending.is_none() {
            let due = |task: &Task| task.not_before.is_none_or(|at| at <= env.ctx.now);
            let Some(at) = self.tasks.iter().position(due) else { return };
            match self.tasks.remove(at).map(|task| task.what) {
                Some(Wanted::RekeyIke) => self.begin_ike_rekey(env),
                Some(Wanted::RekeyChild(inbound_spi)) => self.begin_child_rekey(inbound_spi, env),
                Some(Wanted::CreateChild) => self.begin_further_child(env),
                Some(Wanted::CreateResource) => self.begin_resource(env),
                Some(Wanted::TellToken) => self.send_token(env),
                Some(Wanted::CheckPath) => self.check_path(env),
                Some(Wanted::SendAway) => self.send_away(env),
                Some(Wanted::DeleteChild(inbound_spi)) => {
                    self.hand_on(inbound_spi, env);
                    let mut chain = Chain::new();
                    chain.push_delete_esp(inbound_spi);
                    let purpose = Purpose::DeleteChild(inbound_spi);
                    self.send_request(ExchangeType::Informational, purpose, &chain, env);
                }
                None => return,
            }
        }
    }

    /// Deletes an established SA and says so to the peer.
    pub(crate) fn delete(&mut self, env: &mut Env<'_, '_>) {
        let mut chain = Chain::new();
        chain.push_delete_ike();
        self.close_with(&chain, env);
    }

    /// Forgets the SA without a word.
    pub(crate) fn discard(&mut self, env: &mut Env<'_, '_>) {
        self.forget_request(env);
        self.drop_children(env);
        self.phase = Phase::Over;
    }

    /// Authenticated traffic of the peer's was seen.
    pub(crate) fn note_traffic(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    /// When [`IkeSa::handle_timeout`] has something to do.
    pub(crate) fn deadline(&self, config: &TunnelConfig) -> Option<Instant> {
        let request = self.request.as_ref().map(|r| r.again.min(r.sent + config.retry.give_up));
        let tasks = || self.tasks.iter().filter_map(|task| task.not_before).min();
        let established = if self.is_established() {
            [
                self.retire_at,
                self.rekey_at,
                self.lives_until,
                self.leaves_at(),
                self.authenticates_at(),
                self.liveness_due(config),
                self.keepalive_due(),
                self.children_deadline(),
                (self.request.is_none() && self.pending.is_none()).then(tasks).flatten(),
                self.pending.as_ref().map(|pending| pending.until),
            ]
        } else {
            [None; 10]
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
        matches!(self.phase, Phase::Opening(_) | Phase::Intermediate(_) | Phase::Authenticating(_) | Phase::HalfOpen(_))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Begun by a peer that is not authenticated, or kept only to repeat to it that it is not.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.phase, Phase::HalfOpen(_) | Phase::Closed) && self.established.is_none()
    }

    pub(crate) fn suites(&self) -> Option<(IkeSuite, EspSuite)> {
        Some((self.secure.as_ref()?.suite, self.sending_child().or(self.children.last())?.suite()))
    }

    pub(crate) fn encapsulated(&self) -> bool {
        self.sending_child().is_some_and(Child::encapsulated)
    }

    /// The SPI of the end that began the SA; both ends know it.
    pub(crate) fn initiator_spi(&self) -> u64 {
        if self.initiator { self.spi } else { self.peer_spi }
    }

    fn handle_response(&mut self, header: Header, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) -> Verdict {
        if let Some(verdict) = self.on_lost(header, datagram, env) {
            return verdict;
        }
        if matches!(self.phase, Phase::Closing)
            && matches!(header.exchange, ExchangeType::CreateChildSa | ExchangeType::IkeFollowupKe)
            && let Some((_, rekey)) = self.unfinished.take_if(|(id, _)| *id == header.message_id)
        {
            return self.on_unfinished_rekey_response(*rekey, header, datagram, path, env);
        }
        let expected = self.request.as_ref().is_some_and(|r| r.id == header.message_id && r.wire == header.exchange);
        match (&self.phase, expected) {
            (Phase::Opening(_), true) => self.on_init_response(header, datagram, env),
            (Phase::Intermediate(_), true) => self.on_intermediate_response(header, datagram, env),
            (Phase::Authenticating(_), true) => self.on_auth_response(header, datagram, path, env),
            (Phase::Established | Phase::Closing, true) => {
                let verdict = self.on_response(header, datagram, path, env);
                self.pursue(env);
                verdict
            }
            (Phase::HalfOpen(_) | Phase::Closed | Phase::Over, true) | (_, false) => {
                env.unexpected();
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
            (Phase::HalfOpen(_), ExchangeType::IkeIntermediate) if self.rounds.are_left() => {
                return self.on_intermediate_request(header, datagram, path, env);
            }
            (Phase::HalfOpen(_), ExchangeType::IkeAuth) if !self.rounds.are_left() => {
                return self.on_auth_request(header, datagram, path, env);
            }
            (Phase::Established | Phase::Closing, _) => {
                let verdict = self.on_request(header, datagram, path, env);
                self.pursue(env);
                return verdict;
            }
            (
                Phase::Opening(_)
                | Phase::Intermediate(_)
                | Phase::Authenticating(_)
                | Phase::HalfOpen(_)
                | Phase::Closed
                | Phase::Over,
                _,
            ) => {}
        }
        env.unexpected();
        Verdict::Continue
    }

    fn expire(&mut self, env: &mut Env<'_, '_>) -> Verdict {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        self.drop_children(env);
        match phase {
            Phase::HalfOpen(_) => Verdict::Abandoned(DownReason::PeerSilent {
                exchange: Exchange::IkeAuth,
                remote: self.path.remote.ip(),
                seconds: env.config.retry.give_up.as_secs(),
            }),
            Phase::Opening(_)
            | Phase::Intermediate(_)
            | Phase::Authenticating(_)
            | Phase::Established
            | Phase::Closing
            | Phase::Closed
            | Phase::Over => Verdict::Continue,
        }
    }

    /// Ends the SA with a last request of ours.
    fn close_with(&mut self, chain: &Chain, env: &mut Env<'_, '_>) {
        // RFC 7296 §2.3: a peer takes requests in their order, so one that it may not have goes in front of this one
        // each time.
        let unanswered = self.request.as_ref().map(|request| request.datagrams.clone()).unwrap_or_default();
        env.out.extend(unanswered.iter().map(|datagram| self.path.transmit(datagram)));
        match self.request.take() {
            Some(Request { id, purpose: Purpose::RekeyIke(rekey), .. }) => self.unfinished = Some((id, rekey)),
            other => self.request = other,
        }
        self.forget_request(env);
        self.drop_children(env);
        self.phase = Phase::Closing;
        self.send_request(ExchangeType::Informational, Purpose::Close, chain, env);
        if let Some(request) = &mut self.request {
            request.datagrams.splice(0..0, unanswered);
        }
    }

    /// Ends the SA, keeping the last answer for a peer that has not got it.
    fn close_after_answer(&mut self, env: &mut Env<'_, '_>) {
        self.forget_request(env);
        self.drop_children(env);
        self.phase = Phase::Closed;
        self.expires = Some(env.ctx.now + env.config.retry.give_up);
    }

    /// Another SA is in this one's place, and the peer is to delete this one.
    fn await_deletion(&mut self, env: &mut Env<'_, '_>) {
        self.replaced = true;
        self.retire_at = Some(env.ctx.now + env.config.retry.give_up);
    }

    /// Its life begins.
    fn set_lifetime(&mut self, env: &mut Env<'_, '_>) {
        let lifetime = env.config.ike_lifetime;
        self.rekey_at = Some(env.ctx.now + env.rekey_after(lifetime));
        self.lives_until = Some(env.ctx.now + lifetime);
    }

    fn liveness_due(&self, config: &TunnelConfig) -> Option<Instant> {
        let interval = config.liveness.filter(|i| !i.is_zero())?;
        (self.request.is_none() && !self.replaced).then(|| self.last_heard + interval)
    }

    fn keepalive_due(&self) -> Option<Instant> {
        (self.nat.ours && self.path.local.port() == NAT_T_PORT).then(|| self.last_sent + NAT_KEEPALIVE)
    }
}

/// RFC 7296 §2.10: at least half the PRF's key; half of SHA-512's is 32 bytes.
const NONCE_BYTES: usize = 32;
/// RFC 3948 §4: the keepalive interval.
const NAT_KEEPALIVE: Duration = Duration::from_secs(20);
/// The longest margin between the replacement of an SA and its end.
const LONGEST_MARGIN: Duration = Duration::from_secs(540);
