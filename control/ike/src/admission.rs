//! Peers that begin: which IKE_SA_INIT gets an SA, and how the others are told.

use crate::config::{Admin, TunnelId};
use crate::endpoint::{Context, Endpoint};
use crate::message::{Chain, ExchangeType, HEADER_BYTES, Header, Payloads, notify_kind};
use crate::sa::{Accepted, Env, IkeSa, Path, Verdict};

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
            return;
        }
        if known.config.admin == Admin::Down {
            self.counters.admin_down += 1;
            return;
        }
        let bytes = datagram.get(HEADER_BYTES..).unwrap_or(&[]);
        let Ok(payloads) = Payloads::parse(header.next_payload, bytes) else {
            known.counters.malformed += 1;
            return;
        };
        let peers = |sa: &&IkeSa| !sa.initiator && sa.peer_spi == header.initiator_spi;
        let known_sa = known.sas.iter().filter_map(|spi| self.sas.get(spi)).find(peers);
        if let Some(spi) = known_sa.map(|sa| sa.spi) {
            self.with_sa(spi, ctx, |sa, env| {
                sa.repeat_answer(datagram, path, env);
                Verdict::Continue
            });
            return;
        }
        if !self.admit(tunnel, header, &payloads, path, ctx) {
            return;
        }
        let spi = self.fresh_spi(ctx);
        let event = self.event;
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.counters.received += 1;
        let alone = known.current.is_none();
        let mut env = Env { config: &known.config, counters: &mut known.counters, ctx, event, alone, out: Vec::new() };
        let accepted = IkeSa::respond(tunnel, spi, header, &payloads, datagram, path, &mut env);
        let out = env.out;
        match accepted {
            Accepted::Begun(sa) => {
                self.actions.extend(out);
                self.store(*sa);
            }
            Accepted::Refused { notify, data, reason } => {
                known.counters.sent += 1;
                if let Some(reason) = reason {
                    known.counters.failed += 1;
                    if known.current.is_none() {
                        let action = known.go_down(tunnel, reason, ctx.now);
                        self.actions.extend(action);
                    }
                }
                self.refuse_init(header, notify, &data, path);
            }
        }
    }

    /// Whether there is room for another half-open SA. A tunnel that has many of them asks for a
    /// cookie first; one that has all it may have loses its oldest, as a real peer finishes within
    /// a round trip and a forger does not finish at all.
    fn admit(
        &mut self,
        tunnel: TunnelId,
        header: Header,
        payloads: &Payloads<'_>,
        path: Path,
        ctx: &mut Context<'_>,
    ) -> bool {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return false };
        let mut waiting: Vec<(u64, u64)> = known
            .sas
            .iter()
            .filter_map(|spi| self.sas.get(spi))
            .filter(|sa| sa.is_half_open())
            .map(|sa| (sa.begun, sa.spi))
            .collect();
        waiting.sort_unstable();
        if waiting.len() >= COOKIE_THRESHOLD || self.half_open >= MAX_HALF_OPEN / 2 {
            let nonce = payloads.nonce.unwrap_or(&[]);
            let (address, spi) = (path.remote.ip(), header.initiator_spi);
            let given = payloads.notify(notify_kind::COOKIE).map(|n| n.data);
            if !given.is_some_and(|c| self.cookies.accepts(c, nonce, address, spi)) {
                known.counters.sent += 1;
                let cookie = self.cookies.bake(nonce, address, spi, ctx.now, ctx.rng);
                self.refuse_init(header, notify_kind::COOKIE, &cookie, path);
                return false;
            }
        }
        if let Some((_, oldest)) = waiting.first().filter(|_| waiting.len() >= MAX_HALF_OPEN_PER_SOURCE) {
            self.counters.half_open_limit += 1;
            self.with_sa(*oldest, ctx, |sa, env| {
                sa.discard(env);
                Verdict::Continue
            });
        } else if self.half_open >= MAX_HALF_OPEN {
            self.counters.half_open_limit += 1;
            return false;
        }
        true
    }

    /// Answers IKE_SA_INIT with a notification and keeps nothing.
    fn refuse_init(&mut self, header: Header, notify: u16, data: &[u8], path: Path) {
        let mut chain = Chain::new();
        chain.push_notify(notify, data);
        let answer = Header { from_initiator: false, response: true, ..header };
        self.actions.push_back(path.transmit(&chain.into_datagram(answer)));
    }

    /// RFC 7296 §2.5: a request of a newer major version is told which one we speak.
    pub(crate) fn refuse_version(&mut self, path: Path, datagram: &[u8]) {
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
