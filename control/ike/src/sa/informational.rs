//! INFORMATIONAL exchanges of an established SA: deletes, errors, liveness (RFC 7296 §1.4).

use super::{Env, IkeSa, Path, Phase, Verdict};
use crate::message::{Chain, Delete, ExchangeType, Header, Payloads, notify_kind};
use crate::reason::{DownReason, Exchange, Protocol};

impl IkeSa {
    pub(super) fn on_request(&mut self, header: Header, datagram: &[u8], path: Path, env: &mut Env<'_, '_>) -> Verdict {
        let Some((first, plain)) = self.open(header, datagram, env.counters) else { return Verdict::Continue };
        self.heard(path, env);
        let payloads = match Payloads::parse(first, &plain) {
            Ok(payloads) => payloads,
            // RFC 7296 §2.21.3: a protected message that does not parse ends the SA on both sides.
            Err(error) => {
                self.answer_notify(header, datagram, (notify_kind::INVALID_SYNTAX, &[]), path, env);
                let closing = self.is_closing();
                self.close_after_answer(env);
                let exchange = Exchange::Informational;
                return ended(closing, DownReason::Malformed { exchange, error });
            }
        };
        if let Some(payload) = payloads.unknown_critical {
            let notify = (notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD, [payload]);
            self.answer_notify(header, datagram, (notify.0, &notify.1), path, env);
            return Verdict::Continue;
        }
        match header.exchange {
            ExchangeType::Informational => self.on_informational(header, datagram, &payloads, path, env),
            // GAP(RFC 7296 §1.3): rekeying and further children are later work.
            ExchangeType::CreateChildSa => {
                self.answer_notify(header, datagram, (notify_kind::NO_ADDITIONAL_SAS, &[]), path, env);
                Verdict::Continue
            }
            ExchangeType::IkeSaInit | ExchangeType::IkeAuth | ExchangeType::Other(_) => {
                self.answer_notify(header, datagram, (notify_kind::INVALID_SYNTAX, &[]), path, env);
                Verdict::Continue
            }
        }
    }

    fn on_informational(
        &mut self,
        header: Header,
        datagram: &[u8],
        payloads: &Payloads<'_>,
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let closing = self.is_closing();
        let failed = payloads.notify(notify_kind::AUTHENTICATION_FAILED).is_some();
        if failed || payloads.deletes.contains(&Delete::Ike) {
            // RFC 7296 §1.4.1: a deleted IKE SA takes its child with it, and is answered emptily.
            self.answer(header, datagram, &Chain::new(), path, env);
            self.close_after_answer(env);
            let reason = if failed {
                DownReason::AuthenticationRejected { local_id: env.config.local_id.clone() }
            } else {
                DownReason::PeerDeleted(Protocol::Ike)
            };
            return ended(closing, reason);
        }
        let child = self.child.filter(|child| {
            payloads.deletes.iter().any(|d| match d {
                Delete::Esp(spis) => spis.contains(&child.outbound_spi),
                Delete::Ike | Delete::Other => false,
            })
        });
        let mut chain = Chain::new();
        let Some(child) = child else {
            // A liveness check, a status, or a child that is gone already.
            self.answer(header, datagram, &chain, path, env);
            return Verdict::Continue;
        };
        // RFC 7296 §1.4.1: the other direction's SPI goes back.
        chain.push_delete_esp(child.inbound_spi);
        self.answer(header, datagram, &chain, path, env);
        // Without its only child the IKE SA is of no use.
        self.delete(env);
        ended(closing, DownReason::PeerDeleted(Protocol::Esp))
    }

    pub(super) fn on_response(
        &mut self,
        header: Header,
        datagram: &[u8],
        path: Path,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some((first, plain)) = self.open(header, datagram, env.counters) else { return Verdict::Continue };
        if Payloads::parse(first, &plain).is_err() {
            env.counters.malformed += 1;
        }
        self.heard(path, env);
        self.request = None;
        if self.is_closing() {
            self.discard(env);
        }
        Verdict::Continue
    }

    /// Whatever an authenticated message says, it shows that the peer is alive and where it is.
    fn heard(&mut self, path: Path, env: &mut Env<'_, '_>) {
        env.counters.received += 1;
        self.note_traffic(env.ctx.now);
        self.follow(path, env);
    }

    fn answer_notify(
        &mut self,
        header: Header,
        datagram: &[u8],
        (notify, data): (u16, &[u8]),
        path: Path,
        env: &mut Env<'_, '_>,
    ) {
        let mut chain = Chain::new();
        chain.push_notify(notify, data);
        self.answer(header, datagram, &chain, path, env);
    }

    fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }
}

/// An SA that we are already deleting has told its reason before.
fn ended(closing: bool, reason: DownReason) -> Verdict {
    if closing { Verdict::Continue } else { Verdict::Ended(reason) }
}
