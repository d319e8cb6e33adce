//! Sending peers to another gateway, so that this one can be taken out of service (RFC 5685).

use std::net::IpAddr;
use std::time::Duration;

use crate::config::TunnelId;
use crate::endpoint::{Context, Endpoint};
use crate::message::{Header, Payloads, notify_kind};
use crate::sa::{Path, Verdict, gateway_identity};

impl Endpoint {
    /// Sends peers to the gateway at this address, as far as they understand that: those that have an SA are told, and lose it
    /// after a minute if they have not moved by then; those that begin are told in the answer. Others are served as before.
    /// `None` ends it.
    pub fn drain(&mut self, to: Option<IpAddr>, ctx: &mut Context<'_>) {
        self.draining = to;
        self.event += 1;
        for spi in self.sas.keys().copied().collect::<Vec<_>>() {
            self.with_sa(spi, ctx, |sa, env| {
                sa.drain(to.map(|to| (to, env.ctx.now + DRAIN_GRACE)));
                sa.pursue(env);
                Verdict::Continue
            });
        }
    }

    /// Where peers are sent, while they are.
    pub fn draining(&self) -> Option<IpAddr> {
        self.draining
    }

    /// Whether a first message is answered with nothing but where to go.
    pub(crate) fn redirect_init(
        &mut self,
        tunnel: TunnelId,
        header: Header,
        payloads: &Payloads<'_>,
        path: Path,
        ctx: &mut Context<'_>,
    ) -> bool {
        // Who is there already stays.
        let Some(to) = self.draining.filter(|to| *to != path.local.ip()) else { return false };
        let Some(nonce) = payloads.nonce.filter(|_| payloads.notify(notify_kind::REDIRECT_SUPPORTED).is_some()) else {
            return false;
        };
        if self.may_answer(tunnel, ctx.now) {
            // RFC 5685 §3: the nonce shows that whoever answers has seen the request.
            let data = [gateway_identity(to), nonce.to_vec()].concat();
            self.refuse_init(tunnel, header, (notify_kind::REDIRECT, &data), path, ctx.now);
        }
        true
    }
}

/// How long a peer that was told to go may stay.
const DRAIN_GRACE: Duration = Duration::from_secs(60);
