//! Quick crash detection, as the one that has crashed (RFC 6290): tokens that only we can make, and to whom they are shown.

use std::fmt;

use zeroize::Zeroizing;

use crate::algorithm::PrfAlgorithm;
use crate::config::{Admin, TunnelId};
use crate::endpoint::{Context, Endpoint};
use crate::message::{Chain, HEADER_BYTES, Header, Payloads, notify_kind, protocol};
use crate::sa::Path;

/// What tokens are made with. It outlives the process, so that a token that is made anew is the one the peer has.
pub(crate) struct CrashSecret(Zeroizing<[u8; 32]>);

impl CrashSecret {
    /// The token of the IKE SA with these SPIs, the original initiator's first (RFC 6290 §5.1).
    pub(crate) fn token(&self, spis: (u64, u64)) -> Zeroizing<Vec<u8>> {
        PrfAlgorithm::HmacSha256.compute(self.0.as_slice(), &[&spis.0.to_be_bytes(), &spis.1.to_be_bytes()])
    }
}

impl fmt::Debug for CrashSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrashSecret(redacted)")
    }
}

impl Endpoint {
    /// Has peers be told by a token, while IKE SAs are set up, how to know that we have lost them (RFC 6290). The secret
    /// has to be random, nobody else's, and the same after a restart; without one nothing is announced.
    pub fn set_crash_secret(&mut self, secret: [u8; 32]) {
        self.crash_secret = Some(CrashSecret(Zeroizing::new(secret)));
    }

    /// A peer still uses an IKE SA that we do not have. It is shown the token that it has been given for it: so it need not
    /// wait until we have been silent for long enough.
    pub(crate) fn show_token(
        &mut self,
        tunnel: TunnelId,
        header: Header,
        datagram: &[u8],
        path: Path,
        ctx: &mut Context<'_>,
    ) {
        let Some(secret) = &self.crash_secret else { return };
        let spis = (header.initiator_spi, header.responder_spi);
        // RFC 6290 §4.5: for an SA that there is, a token in the clear would be everybody's means to end it. Whoever asks may
        // have turned the roles around, so neither of the SPIs may be one of ours. RFC 7296 §2.21.4: answers are not answered.
        let lives = |spi: u64| spi == 0 || self.sas.contains_key(&spi);
        if header.response || lives(spis.0) || lives(spis.1) {
            return;
        }
        let payloads = Payloads::parse(header.next_payload, datagram.get(HEADER_BYTES..).unwrap_or(&[]));
        // Of a message in fragments the first one is enough.
        let protected = payloads.is_ok_and(|p| p.encrypted.is_some_and(|e| e.fragment.is_none_or(|(n, _)| n == 1)));
        let wanted = self.tunnels.get(&tunnel).is_some_and(|known| known.config.admin == Admin::Up);
        let token = secret.token(spis);
        if !protected || !wanted || !self.may_answer(tunnel, ctx.now) {
            return;
        }
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        let mut chain = Chain::new();
        chain.push_notify(notify_kind::INVALID_IKE_SPI, &[]);
        chain.push_notify_about(protocol::IKE, &[], notify_kind::QUICK_CRASH_DETECTION, &token);
        let answer = Header { from_initiator: !header.from_initiator, response: true, ..header };
        let answer = chain.into_datagram(answer);
        known.counters.sent += 1;
        known.trace.sent(&answer, path, ctx.now);
        self.actions.push_back(path.transmit(&answer));
    }
}
