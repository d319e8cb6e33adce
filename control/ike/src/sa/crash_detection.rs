//! Quick crash detection, as the one whose peer has crashed (RFC 6290).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::exchange::Purpose;
use super::{Env, IkeSa, Phase, Verdict};
use crate::message::{Chain, ExchangeType, HEADER_BYTES, Header, Notify, Payloads, notify_kind, protocol};
use crate::reason::DownReason;

/// By which a peer shows that it has lost an SA: whoever has it can end that SA.
pub(super) struct CrashToken(Zeroizing<Vec<u8>>);

impl fmt::Debug for CrashToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashToken(redacted)")
    }
}

impl IkeSa {
    /// Adds the token by which the peer will know that we have lost this SA, if there is a secret for it.
    pub(super) fn push_token(&self, chain: &mut Chain, env: &Env<'_, '_>) {
        if let Some(secret) = env.crash_secret {
            // RFC 6290 §4.1: it is about the IKE SA, without an SPI.
            let token = secret.token(self.spis());
            chain.push_notify_about(protocol::IKE, &[], notify_kind::QUICK_CRASH_DETECTION, &token);
        }
    }

    /// RFC 6290 §4.3: who asked for the SA that takes another one's place tells its token in an exchange of its own.
    pub(super) fn send_token(&mut self, env: &mut Env<'_, '_>) {
        let mut chain = Chain::new();
        self.push_token(&mut chain, env);
        self.send_request(ExchangeType::Informational, Purpose::Notice(None), &chain, env);
    }

    /// Keeps the token in a message of the peer's that was authenticated. The last one counts.
    pub(super) fn keep_token(&mut self, payloads: &Payloads<'_>) {
        let fits = |notify: &&Notify<'_>| TOKEN_BYTES.contains(&notify.data.len());
        if let Some(token) = tokens(payloads).filter(fits).last() {
            self.peer_token = Some(CrashToken(Zeroizing::new(token.data.to_vec())));
        }
    }

    /// Whether this answer, which nothing protects, shows that the peer has lost this SA; `None` if it does not say so.
    pub(super) fn on_lost(&mut self, header: Header, datagram: &[u8], env: &mut Env<'_, '_>) -> Option<Verdict> {
        let closing = match &self.phase {
            Phase::Established => false,
            Phase::Closing => true,
            Phase::Opening(_)
            | Phase::Intermediate(_)
            | Phase::Authenticating(_)
            | Phase::HalfOpen(_)
            | Phase::Closed
            | Phase::Over => return None,
        };
        let CrashToken(known) = self.peer_token.as_ref()?;
        let payloads = Payloads::parse(header.next_payload, datagram.get(HEADER_BYTES..).unwrap_or(&[])).ok()?;
        payloads.notify(notify_kind::INVALID_IKE_SPI).filter(|_| payloads.encrypted.is_none())?;
        let mut shown = tokens(&payloads).peekable();
        shown.peek()?;
        if !shown.any(|token| bool::from(known.as_slice().ct_eq(token.data))) {
            env.counters.wrong_tokens += 1;
            return Some(Verdict::Continue);
        }
        // RFC 6290 §4.5: the SA goes with its children, without a word.
        self.discard(env);
        let restarted = DownReason::PeerRestarted { remote: self.path.remote.ip() };
        Some(if closing { Verdict::Continue } else { Verdict::Ended(restarted) })
    }
}

fn tokens<'p>(payloads: &'p Payloads<'p>) -> impl Iterator<Item = &'p Notify<'p>> {
    payloads.notifies.iter().filter(|notify| notify.kind == notify_kind::QUICK_CRASH_DETECTION)
}

/// RFC 6290 §4.1: how long a token is.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=128;
