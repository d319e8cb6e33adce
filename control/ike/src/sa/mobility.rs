//! A peer that moves to another address and takes its SAs along: MOBIKE, as responder (RFC 4555).

use std::net::IpAddr;

use super::children::Wanted;
use super::exchange::Purpose;
use super::nat::{Nat, push_detection};
use super::{Env, IkeSa, Path, Verdict};
use crate::action::Action;
use crate::config::TunnelConfig;
use crate::message::{Chain, ExchangeType, Payloads, notify_kind};
use crate::reason::{DownReason, Exchange, Violation};

/// What we have the peer repeat from where it says it is (RFC 4555 §3.7).
pub(super) type Cookie2 = [u8; 16];

impl IkeSa {
    /// RFC 4555 §3.1: the peer, which has begun, may move this SA if both ends say so in IKE_AUTH.
    pub(super) fn allow_moves(&mut self, payloads: &Payloads<'_>, config: &TunnelConfig) {
        self.mobile = config.mobike && payloads.notify(notify_kind::MOBIKE_SUPPORTED).is_some();
    }

    /// Says so, if it may.
    pub(super) fn push_mobility(&self, chain: &mut Chain) {
        if self.mobile {
            chain.push_notify(notify_kind::MOBIKE_SUPPORTED, &[]);
        }
    }

    /// Whether its peer may send from an address that we do not know.
    pub(crate) fn is_mobile(&self) -> bool {
        self.mobile && self.is_established()
    }

    /// What an INFORMATIONAL of a peer that may move asks for; what is to be answered goes into the chain.
    pub(super) fn on_mobility(
        &mut self,
        payloads: &Payloads<'_>,
        path: Path,
        chain: &mut Chain,
        env: &mut Env<'_, '_>,
    ) {
        // RFC 4555 §3.7: repeated as it is, whoever asks.
        if let Some(cookie) = payloads.notify(notify_kind::COOKIE2).filter(|n| (8..=64).contains(&n.data.len())) {
            chain.push_notify(notify_kind::COOKIE2, cookie.data);
        }
        if !self.is_mobile() {
            return;
        }
        let detection = payloads.notify(notify_kind::NAT_DETECTION_SOURCE_IP).is_some();
        let refusal = payloads.notify(notify_kind::UPDATE_SA_ADDRESSES).and_then(|_| {
            let refusal = unacceptable(payloads, path, env);
            if refusal.is_none() {
                let nat = detection.then(|| Nat::detect(payloads, self.spis(), path, env.config.force_encapsulation));
                self.move_to(path, nat, env);
            }
            refusal
        });
        match refusal {
            Some(refusal) => chain.push_notify(refusal, &[]),
            // RFC 4555 §3.8: so that the peer, too, sees what a NAT makes of addresses.
            None if detection => push_detection(chain, self.spis(), path, env.config.force_encapsulation),
            None => {}
        }
    }

    /// Sends to the peer there from now on, IKE and ESP alike. `nat` is what was found on the way, if that was looked for.
    fn move_to(&mut self, path: Path, nat: Option<Nat>, env: &mut Env<'_, '_>) {
        let moved = path != self.path;
        self.path = path;
        self.nat = nat.unwrap_or(self.nat);
        let encapsulation = self.encapsulation(path);
        for child in &mut self.children {
            if !moved && child.encapsulation == encapsulation {
                continue;
            }
            child.encapsulation = encapsulation;
            if child.installed {
                env.out.push(Action::MoveChild {
                    tunnel: self.tunnel,
                    inbound_spi: child.inbound_spi,
                    local: path.local.ip(),
                    remote: path.remote.ip(),
                    encapsulation,
                });
            }
        }
        if moved {
            // RFC 4555 §3.7: the address was in nothing that is protected. Traffic does not wait for the answer.
            self.want(Wanted::CheckPath, None);
        }
    }

    /// Has the peer show that it receives where we send.
    pub(super) fn check_path(&mut self, env: &mut Env<'_, '_>) {
        let mut cookie = Cookie2::default();
        env.ctx.rng.fill_bytes(&mut cookie);
        let mut chain = Chain::new();
        chain.push_notify(notify_kind::COOKIE2, &cookie);
        self.send_request(ExchangeType::Informational, Purpose::Notice(Some(cookie)), &chain, env);
    }

    /// The answer to a notice. RFC 4555 §3.7: with another cookie than ours, the SA is closed.
    pub(super) fn on_notice_response(
        &mut self,
        cookie: Option<Cookie2>,
        payloads: &Payloads<'_>,
        env: &mut Env<'_, '_>,
    ) -> Verdict {
        let Some(cookie) = cookie else { return Verdict::Continue };
        if payloads.notify(notify_kind::COOKIE2).is_some_and(|n| n.data == cookie) {
            return Verdict::Continue;
        }
        let closing = self.is_closing();
        self.delete(env);
        if closing {
            return Verdict::Continue;
        }
        let (exchange, violation) = (Exchange::Informational, Violation::Cookie2);
        Verdict::Ended(DownReason::PeerProtocolViolation { exchange, violation })
    }
}

/// RFC 4555 §3.5: the notification that says why the peer may not move there.
fn unacceptable(payloads: &Payloads<'_>, path: Path, env: &Env<'_, '_>) -> Option<u16> {
    let (local, remote) = (path.local.ip(), path.remote.ip());
    let nowhere = remote.is_unspecified() || remote.is_loopback() || remote.is_multicast();
    if env.address_taken || nowhere || local != env.config.local {
        return Some(notify_kind::UNACCEPTABLE_ADDRESSES);
    }
    // RFC 4555 §3.9: the addresses as the peer sees them, its own first.
    let forbids = payloads.notify(notify_kind::NO_NATS_ALLOWED)?;
    let seen = [octets(remote), octets(local)].concat();
    let ports = [path.remote.port().to_be_bytes(), path.local.port().to_be_bytes()].concat();
    (forbids.data != [seen, ports].concat()).then_some(notify_kind::UNEXPECTED_NAT_DETECTED)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
