//! Peers that begin: which IKE_SA_INIT gets an SA, and how the others are told.
//!
//! Nothing of a first message is proved, so what it may cost is bounded: half-open SAs for each pair of addresses and in all,
//! key exchanges and answers by the peer's address ([`Allowances`](crate::allowance::Allowances)), and from half of that on
//! only those are listened to who show by a cookie that they receive where they say they are.

use std::time::Instant;

use crate::config::{Admin, TunnelId};
use crate::endpoint::{Context, Endpoint};
use crate::message::{Chain, ExchangeType, HEADER_BYTES, Header, Payloads, notify_kind};
use crate::sa::{Accepted, Env, IkeSa, Path, Verdict};
use crate::trace::TraceMark;

/// A first message that may begin an SA.
struct Admitted {
    /// It came with a cookie: its sender receives where it says it is.
    proven: bool,
}

impl Endpoint {
    /// A peer's first message.
    pub(crate) fn handle_init(
        &mut self,
        tunnel: TunnelId,
        header: Header,
        datagram: &[u8],
        path: Path,
        ctx: &mut Context<'_>,
    ) {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        if header.response || header.exchange != ExchangeType::IkeSaInit || header.message_id != 0 {
            known.counters.unexpected += 1;
            known.trace.mark(TraceMark::Unexpected);
            return;
        }
        if known.config.admin == Admin::Down {
            self.counters.admin_down += 1;
            known.trace.mark(TraceMark::Unexpected);
            return;
        }
        let bytes = datagram.get(HEADER_BYTES..).unwrap_or(&[]);
        let Ok(payloads) = Payloads::parse(header.next_payload, bytes) else {
            known.counters.malformed += 1;
            known.trace.mark(TraceMark::Malformed);
            return;
        };
        let peers = |sa: &&IkeSa| !sa.initiator && sa.peer_spi == header.initiator_spi;
        let known_sa = known.sas.iter().filter_map(|spi| self.sas.get(spi)).find(peers);
        if let Some(spi) = known_sa.map(|sa| sa.spi) {
            if self.may_answer(tunnel, ctx.now) {
                self.with_sa(spi, ctx, |sa, env| {
                    sa.repeat_answer(datagram, path, env);
                    Verdict::Continue
                });
            }
            return;
        }
        if self.redirect_init(tunnel, header, &payloads, path, ctx) {
            return;
        }
        let Some(Admitted { proven }) = self.admit(tunnel, header, &payloads, (path, datagram.len()), ctx) else {
            return;
        };
        let spi = self.fresh_spi(ctx);
        let event = self.event;
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.counters.received += 1;
        let alone = known.current.is_none();
        let crash_secret = self.crash_secret.as_ref();
        let (config, counters, trace) = (&known.config, &mut known.counters, &mut known.trace);
        let mut env =
            Env { config, counters, trace, ctx, event, alone, crash_secret, address_taken: false, out: Vec::new() };
        let accepted = IkeSa::respond(tunnel, spi, header, &payloads, datagram, path, &mut env);
        let out = env.out;
        match accepted {
            Accepted::Begun(sa) => {
                self.actions.extend(out);
                self.store(*sa);
            }
            Accepted::Refused { notify, data, reason } => {
                if let Some(reason) = reason {
                    known.counters.failed += 1;
                    if known.current.is_none() {
                        let action = known.go_down(tunnel, reason, ctx.now);
                        self.actions.extend(action);
                    }
                } else {
                    // It has cost nothing yet, and the peer comes again.
                    known.allowances.handshakes.give_back(1);
                }
                if proven || self.may_answer(tunnel, ctx.now) {
                    self.refuse_init(tunnel, header, (notify, &data), path, ctx.now);
                }
            }
        }
    }

    /// Whether there is room for another half-open SA, and the peer's address may begin one. Where many begin and none
    /// finishes, a cookie is asked for first; a tunnel that has all it may have loses its oldest, as a real peer
    /// finishes within a round trip and a forger does not finish at all.
    fn admit(
        &mut self,
        tunnel: TunnelId,
        header: Header,
        payloads: &Payloads<'_>,
        (path, length): (Path, usize),
        ctx: &mut Context<'_>,
    ) -> Option<Admitted> {
        let known = self.tunnels.get_mut(&tunnel)?;
        let mut waiting: Vec<(u64, u64)> = known
            .sas
            .iter()
            .filter_map(|spi| self.sas.get(spi))
            .filter(|sa| sa.is_half_open())
            .map(|sa| (sa.begun, sa.spi))
            .collect();
        waiting.sort_unstable();
        let pressed = waiting.len() >= COOKIE_THRESHOLD
            || self.half_open >= MAX_HALF_OPEN / 2
            || known.allowances.are_low(ctx.now);
        if pressed {
            let nonce = payloads.nonce.unwrap_or(&[]);
            let (address, spi) = (path.remote.ip(), header.initiator_spi);
            let given = payloads.notify(notify_kind::COOKIE).map(|n| n.data);
            if !given.is_some_and(|c| self.cookies.accepts(c, nonce, address, spi)) {
                // However many come, the answers are no longer than what they answer: there is nothing to amplify. So each is
                // answered, and the peer's own gets its cookie.
                if length < COOKIE_ANSWER_BYTES {
                    self.counters.answers_limited += 1;
                    self.mark(tunnel, TraceMark::TooMany);
                    return None;
                }
                self.counters.cookies_asked += 1;
                let cookie = self.cookies.bake(nonce, address, spi, ctx.now, ctx.rng);
                self.refuse_init(tunnel, header, (notify_kind::COOKIE, &cookie), path, ctx.now);
                return None;
            }
        }
        if !known.allowances.handshakes.take(ctx.now) {
            self.counters.handshakes_limited += 1;
            self.mark(tunnel, TraceMark::TooMany);
            return None;
        }
        if let Some((_, oldest)) = waiting.first().filter(|_| waiting.len() >= MAX_HALF_OPEN_PER_SOURCE) {
            self.counters.half_open_limit += 1;
            self.forget(*oldest, ctx);
        } else if self.half_open >= MAX_HALF_OPEN {
            self.counters.half_open_limit += 1;
            self.mark(tunnel, TraceMark::TooMany);
            return None;
        }
        self.make_room(tunnel, ctx);
        Some(Admitted { proven: pressed })
    }

    /// A peer that authenticates again and again does not fill our memory with what it leaves behind.
    fn make_room(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {
        let Some(known) = self.tunnels.get(&tunnel).filter(|known| known.sas.len() >= MAX_SAS_PER_TUNNEL) else {
            return;
        };
        let (current, attempt) = (known.current, known.attempt);
        let surplus = known.sas.iter().filter(|spi| Some(**spi) != current && Some(**spi) != attempt);
        let oldest = surplus.filter_map(|spi| self.sas.get(spi)).min_by_key(|sa| sa.begun).map(|sa| sa.spi);
        if let Some(oldest) = oldest {
            self.counters.surplus_sas += 1;
            self.forget(oldest, ctx);
        }
    }

    fn forget(&mut self, spi: u64, ctx: &mut Context<'_>) {
        self.with_sa(spi, ctx, |sa, env| {
            sa.discard(env);
            Verdict::Continue
        });
    }

    /// Whether something that anybody could have sent is answered.
    pub(crate) fn may_answer(&mut self, tunnel: TunnelId, now: Instant) -> bool {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return false };
        let may = known.allowances.answers.take(now);
        if !may {
            self.counters.answers_limited += 1;
            known.trace.mark(TraceMark::TooMany);
        }
        may
    }

    /// Answers IKE_SA_INIT with a notification and keeps nothing.
    pub(crate) fn refuse_init(
        &mut self,
        tunnel: TunnelId,
        header: Header,
        (notify, data): (u16, &[u8]),
        path: Path,
        now: Instant,
    ) {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        let mut chain = Chain::new();
        chain.push_notify(notify, data);
        let answer = chain.into_datagram(Header { from_initiator: false, response: true, ..header });
        known.counters.sent += 1;
        known.trace.sent(&answer, path, now);
        self.actions.push_back(path.transmit(&answer));
    }

    /// A message of another major version. A newer one is told which we speak; the one before has no answer that its
    /// sender would understand, but is a reason.
    pub(crate) fn handle_other_version(
        &mut self,
        tunnel: TunnelId,
        version: u8,
        path: Path,
        datagram: &[u8],
        now: Instant,
    ) {
        if version > 2 {
            if self.may_answer(tunnel, now) {
                self.refuse_version(path, datagram);
            }
        } else if version == 1
            && let Some(known) = self.tunnels.get_mut(&tunnel)
        {
            let action = known.heard_ikev1(tunnel, now);
            self.actions.extend(action);
        }
    }

    /// RFC 7296 §2.5: a request of a newer major version is told which one we speak.
    fn refuse_version(&mut self, path: Path, datagram: &[u8]) {
        let Some((spis, rest)) = datagram.split_first_chunk::<16>() else { return };
        let Some((&[_, _, exchange, flags, id @ ..], _)) = rest.split_first_chunk::<8>() else { return };
        if flags & 0x20 != 0 {
            return;
        }
        let mut first = Vec::with_capacity(HEADER_BYTES);
        first.extend_from_slice(spis);
        first.extend_from_slice(&[0, 0x20, exchange, flags]);
        first.extend_from_slice(&id);
        first.extend_from_slice(&(HEADER_BYTES as u32).to_be_bytes());
        let Ok(header) = Header::parse(&first) else { return };
        let mut chain = Chain::new();
        chain.push_notify(notify_kind::INVALID_MAJOR_VERSION, &[]);
        let answer = Header { from_initiator: !header.from_initiator, response: true, ..header };
        self.actions.push_back(path.transmit(&chain.into_datagram(answer)));
    }
}

/// Half-open SAs of all peers together.
const MAX_HALF_OPEN: usize = 1024;
/// Half-open SAs of one pair of addresses.
const MAX_HALF_OPEN_PER_SOURCE: usize = 8;
/// Half-open SAs of one pair of addresses from which on a cookie is asked for.
const COOKIE_THRESHOLD: usize = 4;
/// SAs of one tunnel, in whatever state.
const MAX_SAS_PER_TUNNEL: usize = 24;
/// A header and a notification with a cookie of ours.
const COOKIE_ANSWER_BYTES: usize = HEADER_BYTES + 8 + 32;
