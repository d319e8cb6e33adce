//! A peer that wants to be shown anew who we are (RFC 4478).

use std::time::{Duration, Instant};

use super::{Env, IkeSa, Verdict};
use crate::message::{Payloads, notify_kind};
use crate::reason::{DownReason, Lifetime};

/// How long the peer takes us to be who we have shown to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authenticated {
    /// When to begin another SA; rekeying this one does not help.
    again_at: Instant,
    /// As the peer has said.
    seconds: u32,
}

impl IkeSa {
    /// Takes in how long our authentication is good for; what was said last counts.
    pub(super) fn note_authentication(&mut self, payloads: &Payloads<'_>, env: &mut Env<'_, '_>) {
        let said = payloads.notify(notify_kind::AUTH_LIFETIME).and_then(|notify| notify.data.first_chunk::<4>());
        let Some(seconds) = said.map(|bytes| u32::from_be_bytes(*bytes)).filter(|seconds| *seconds > 0) else { return };
        let again_at = env.ctx.now + env.rekey_after(Duration::from_secs(seconds.into()));
        self.authenticated = Some(Authenticated { again_at, seconds });
    }

    /// When another SA has to be begun, and until then.
    pub(super) fn authenticates_at(&self) -> Option<Instant> {
        self.authenticated.map(|authenticated| authenticated.again_at)
    }

    /// Has another SA set up while this one goes on, and once more if that does not come to anything.
    pub(super) fn authenticate_again(&mut self, env: &Env<'_, '_>) -> Verdict {
        let Some(authenticated) = &mut self.authenticated else { return Verdict::Continue };
        authenticated.again_at = env.ctx.now + env.config.retry.give_up;
        Verdict::Renew(DownReason::LifetimeExpired {
            lifetime: Lifetime::Authentication,
            seconds: authenticated.seconds.into(),
        })
    }
}
