//! Being sent to another gateway, and sending a peer there (RFC 5685).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use super::children::Wanted;
use super::exchange::Purpose;
use super::initiator::violation;
use super::nat::IKE_PORT;
use super::{Env, IkeSa, Phase, Verdict};
use crate::algorithm::KeGroup;
use crate::crypto::KeSecret;
use crate::message::{Chain, ExchangeType, Payloads, notify_kind};
use crate::reason::{DownReason, Exchange, Protocol, Violation};

/// What an SA has to do with other gateways.
#[derive(Clone, Debug, Default)]
pub(super) struct Redirection {
    /// The peer, which has begun, understands that it is sent elsewhere.
    pub(super) understood: bool,
    /// Where it is sent, and when it has to be gone.
    leaving: Option<(IpAddr, Instant)>,
    /// Where the peer, with which we have begun, has sent us.
    sent_to: Option<IpAddr>,
}

impl IkeSa {
    /// Sends the peer elsewhere, if it understands that, or no longer does.
    pub(crate) fn drain(&mut self, to: Option<(IpAddr, Instant)>) {
        if !self.redirection.understood || !self.is_established() || self.replaced {
            return;
        }
        // Who is there already stays.
        let to = to.filter(|(to, _)| *to != self.path.local.ip());
        self.redirection.leaving = to;
        match to {
            Some(_) => self.want(Wanted::SendAway, None),
            None => self.tasks.retain(|task| task.what != Wanted::SendAway),
        }
    }

    /// When a peer that was sent away has to be gone.
    pub(super) fn leaves_at(&self) -> Option<Instant> {
        self.redirection.leaving.map(|(_, at)| at)
    }

    /// Whether the peer is sent away: then it is not ours to bring the tunnel back.
    pub(crate) fn is_leaving(&self) -> bool {
        self.redirection.leaving.is_some()
    }

    /// Why an SA is gone that the peer has deleted.
    pub(super) fn deleted_reason(&self) -> DownReason {
        match (self.redirection.leaving, self.redirection.sent_to) {
            (Some((to, _)), _) => DownReason::Drained { to },
            (None, Some(to)) => DownReason::Redirected { to },
            (None, None) => DownReason::PeerDeleted(Protocol::Ike),
        }
    }

    /// RFC 5685 §5: the peer is told in an exchange of its own.
    pub(super) fn send_away(&mut self, env: &mut Env<'_, '_>) {
        let Some((to, _)) = self.redirection.leaving else { return };
        let mut chain = Chain::new();
        chain.push_notify(notify_kind::REDIRECT, &gateway_identity(to));
        self.send_request(ExchangeType::Informational, Purpose::Notice(None), &chain, env);
    }

    /// The time of a peer that was sent away is over.
    pub(super) fn send_off(&mut self, env: &mut Env<'_, '_>) -> Verdict {
        let to = self.redirection.leaving.take().map_or(self.path.remote.ip(), |(to, _)| to);
        self.redirection.leaving = Some((to, env.ctx.now));
        self.delete(env);
        Verdict::Ended(DownReason::Drained { to })
    }

    /// Says that we let ourselves be sent elsewhere: only if there is an elsewhere, for otherwise we are better served here.
    pub(super) fn push_redirects(&self, from: Option<IpAddr>, chain: &mut Chain, env: &Env<'_, '_>) {
        // RFC 5685 §3, §4: who was redirected says by whom, and may be redirected again.
        if let Some(from) = from {
            chain.push_notify(notify_kind::REDIRECTED_FROM, &gateway_identity(from));
        }
        if from.is_some() || !env.config.redirects.is_empty() {
            chain.push_notify(notify_kind::REDIRECT_SUPPORTED, &[]);
        }
    }

    /// The peer's first answer sends us elsewhere: begins anew there, if that is where we may go.
    pub(super) fn on_init_redirect(&mut self, data: &[u8], env: &mut Env<'_, '_>) -> Verdict {
        let from = self.path.remote.ip();
        let Phase::Opening(opening) = &mut self.phase else { return Verdict::Continue };
        // RFC 5685 §3: without our nonce it is from somebody who has not seen our request.
        let read = read_identity(data).filter(|(_, nonce)| *nonce == self.nonces.0.as_slice());
        let Some((to, _)) = read else {
            env.counters.unprotected_errors += 1;
            return Verdict::Continue;
        };
        if opening.redirects == MAX_REDIRECTS {
            env.counters.unprotected_errors += 1;
            return self.remember(violation(Exchange::IkeSaInit, Violation::EndlessRetry));
        }
        if !env.config.redirects.contains(&to) && to != env.config.remote {
            env.counters.unprotected_errors += 1;
            return self.remember(DownReason::Redirected { to });
        }
        opening.redirects += 1;
        opening.redirected_from = Some(from);
        opening.cookie = None;
        let group = *env.config.ike.key_exchange.first().unwrap_or(&KeGroup::X25519);
        opening.tried = vec![group];
        opening.secret = KeSecret::generate(group, env.ctx.rng);
        self.nonces.0 = env.nonce();
        self.path.remote = SocketAddr::new(to, IKE_PORT);
        self.send_init(env);
        Verdict::Continue
    }

    /// A request of the peer's that was authenticated sends us elsewhere, where we set up another SA while this one goes on.
    pub(super) fn on_redirect(&mut self, payloads: &Payloads<'_>, env: &Env<'_, '_>) -> Option<Verdict> {
        let to = payloads.notify(notify_kind::REDIRECT).and_then(|notify| read_identity(notify.data))?.0;
        if !self.is_established() || self.redirection.understood {
            return None;
        }
        self.redirection.sent_to = Some(to);
        let from = self.path.remote.ip();
        (env.config.redirects.contains(&to) && to != from).then_some(Verdict::Redirected { to, from })
    }
}

/// RFC 5685 §7.2: how a gateway is named.
pub(crate) fn gateway_identity(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => [&[1, 4], address.octets().as_slice()].concat(),
        IpAddr::V6(address) => [&[2, 16], address.octets().as_slice()].concat(),
    }
}

/// The address, and what stands behind it. Names are not looked up here.
fn read_identity(data: &[u8]) -> Option<(IpAddr, &[u8])> {
    match data.split_first_chunk::<2>()? {
        (&[1, 4], rest) => rest.split_first_chunk::<4>().map(|(a, rest)| (IpAddr::V4(Ipv4Addr::from(*a)), rest)),
        (&[2, 16], rest) => rest.split_first_chunk::<16>().map(|(a, rest)| (IpAddr::V6(Ipv6Addr::from(*a)), rest)),
        _ => None,
    }
}

/// RFC 5685 §3: so often an attempt is sent on before it is taken to go round in circles.
const MAX_REDIRECTS: u8 = 5;
