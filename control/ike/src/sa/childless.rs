//! An IKE SA that comes up without a child, which follows in CREATE_CHILD_SA (RFC 6023).

use super::children::Wanted;
use super::{Env, IkeSa, Phase};
use crate::config::{Startup, TunnelConfig};
use crate::message::Payloads;
use crate::selector::TrafficSelector;

/// RFC 6023 §3: whether this IKE_AUTH leaves out all that is about a child.
pub(super) fn is_childless(payloads: &Payloads<'_>) -> bool {
    payloads.proposals.is_none() && payloads.selectors_initiator.is_none() && payloads.selectors_responder.is_none()
}

impl IkeSa {
    /// Both ends are authenticated.
    pub(super) fn become_established(&mut self, env: &mut Env<'_, '_>) {
        self.phase = Phase::Established;
        self.expires = None;
        self.established = Some(env.event);
        self.last_heard = env.ctx.now;
        self.set_lifetime(env);
    }

    /// Both ends are authenticated, and there is no child yet.
    pub(super) fn establish_childless(&mut self, env: &mut Env<'_, '_>) {
        self.become_established(env);
        if env.config.startup == Startup::Initiate {
            // The peer most likely asks for one by itself.
            self.want(Wanted::CreateChild, Some(env.ctx.now + env.retry_after()));
        }
    }

    /// What the first child is to be for, as long as there is none.
    pub(super) fn first_selectors(
        &self,
        config: &TunnelConfig,
    ) -> Option<(Vec<TrafficSelector>, Vec<TrafficSelector>)> {
        self.children.is_empty().then(|| (config.local_selectors.clone(), config.remote_selectors.clone()))
    }
}
