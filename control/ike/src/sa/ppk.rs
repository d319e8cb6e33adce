//! Post-quantum pre-shared keys mixed into the IKE SA's keys (RFC 8784).

use zeroize::Zeroizing;

use super::authentication::{Refusal, Tell};
use super::{Env, IkeSa};
use crate::authentication::Ppk;
use crate::config::TunnelConfig;
use crate::message::{Chain, Payloads, notify_kind};
use crate::reason::DownReason;

/// Whether and how a post-quantum key takes part.
#[derive(Debug, Default)]
pub(super) struct PpkUse {
    /// Both ends have said in IKE_SA_INIT that they have one.
    agreed: bool,
    /// SK_d, SK_pi and SK_pr from before it was mixed in.
    plain: Option<[Zeroizing<Vec<u8>>; 3]>,
}

impl IkeSa {
    /// Says in IKE_SA_INIT that we have one; a responder says so only to a peer that has.
    pub(super) fn announce_ppk(&self, chain: &mut Chain, config: &TunnelConfig) {
        if config.ppk.is_some() && (self.initiator || self.ppk.agreed) {
            chain.push_notify(notify_kind::USE_PPK, &[]);
        }
    }

    /// Takes in whether the peer has one.
    pub(super) fn hear_ppk(&mut self, payloads: &Payloads<'_>, config: &TunnelConfig) {
        self.ppk.agreed = config.ppk.is_some() && payloads.notify(notify_kind::USE_PPK).is_some();
    }

    /// Whether we may go on without one where the peer has none.
    pub(super) fn lacks_ppk(&self, config: &TunnelConfig) -> bool {
        !self.ppk.agreed && config.ppk.as_ref().is_some_and(|ppk| ppk.required)
    }

    /// As initiator: mixes it in, and says which one it is. Where we would do without, the proof is added that holds for
    /// a responder that does not know it (RFC 8784 §3).
    pub(super) fn begin_ppk(
        &mut self,
        chain: &mut Chain,
        signed: &[u8],
        env: &mut Env<'_, '_>,
    ) -> Result<(), DownReason> {
        let Some(ppk) = env.config.ppk.as_ref().filter(|_| self.ppk.agreed) else { return Ok(()) };
        chain.push_notify(notify_kind::PPK_IDENTITY, &ppk.identity());
        if !ppk.required {
            let mut without = Chain::new();
            self.push_authentication(&mut without, signed, env)?;
            let payloads = Payloads::parse(without.first(), without.bytes());
            if let Some((_, proof)) = payloads.ok().and_then(|payloads| payloads.auth) {
                chain.push_notify(notify_kind::NO_PPK_AUTH, proof);
            }
        }
        self.mix_ppk(ppk);
        Ok(())
    }

    /// As initiator, of the peer's answer: whether it knows the key.
    pub(super) fn end_ppk(&mut self, payloads: &Payloads<'_>, config: &TunnelConfig) -> Result<(), Refusal> {
        if !self.ppk.agreed || payloads.notify(notify_kind::PPK_IDENTITY).is_some() {
            return Ok(());
        }
        if config.ppk.as_ref().is_some_and(|ppk| ppk.required) {
            return Err(Refusal { reason: DownReason::PpkMissing, tell: authentication_failed() });
        }
        self.unmix_ppk();
        Ok(())
    }

    /// As responder: mixes the key in that the initiator names, and checks its proof; where we do not know it and need not,
    /// the other proof.
    pub(super) fn check_initiator(
        &mut self,
        id_body: &[u8],
        payloads: &Payloads<'_>,
        signed: &[u8],
        env: &Env<'_, '_>,
    ) -> Result<(), Refusal> {
        let missing = || Refusal { reason: DownReason::PpkMissing, tell: authentication_failed() };
        if self.lacks_ppk(env.config) {
            return Err(missing());
        }
        let Some(ppk) = env.config.ppk.as_ref().filter(|_| self.ppk.agreed) else {
            return self.check_peer(id_body, payloads, signed, env);
        };
        let named = payloads.notify(notify_kind::PPK_IDENTITY).map(|notify| notify.data);
        let without = payloads.notify(notify_kind::NO_PPK_AUTH).map(|notify| notify.data);
        let plainly = |sa: &mut Self, proof: &[u8]| {
            let auth = payloads.auth.map(|(method, _)| (method, proof));
            sa.check_peer(id_body, &Payloads { auth, ..payloads.clone() }, signed, env)
        };
        if named == Some(ppk.identity().as_slice()) {
            self.mix_ppk(ppk);
            return self.check_peer(id_body, payloads, signed, env).map_err(|refusal| {
                self.unmix_ppk();
                match without.map(|proof| plainly(self, proof)) {
                    Some(Ok(())) => Refusal { reason: DownReason::WrongPpk, tell: authentication_failed() },
                    Some(Err(_)) | None => refusal,
                }
            });
        }
        match (named, without) {
            // It has mixed nothing in.
            (None, None) if !ppk.required => self.check_peer(id_body, payloads, signed, env),
            (_, Some(proof)) if !ppk.required => plainly(self, proof),
            (_, _) => Err(missing()),
        }
    }

    /// As responder: says that we know the key.
    pub(super) fn confirm_ppk(&self, chain: &mut Chain) {
        if self.ppk.plain.is_some() {
            chain.push_notify(notify_kind::PPK_IDENTITY, &[]);
        }
    }

    /// Whether a post-quantum key is part of the keys.
    pub(crate) fn uses_ppk(&self) -> bool {
        self.ppk.plain.is_some()
    }

    /// RFC 8784 §3: SK_d, SK_pi and SK_pr are prf+(PPK, what they were).
    fn mix_ppk(&mut self, ppk: &Ppk) {
        let Some(secure) = &mut self.secure else { return };
        let (prf, keys) = (secure.suite.prf, &mut secure.keys);
        let plain = [&mut keys.d, &mut keys.pi, &mut keys.pr].map(|key| {
            let mixed = prf.expand(ppk.key.as_bytes(), &[key], key.len());
            std::mem::replace(key, mixed)
        });
        self.ppk.plain = Some(plain);
    }

    fn unmix_ppk(&mut self) {
        if let (Some(secure), Some([d, pi, pr])) = (&mut self.secure, self.ppk.plain.take()) {
            (secure.keys.d, secure.keys.pi, secure.keys.pr) = (d, pi, pr);
        }
    }
}

fn authentication_failed() -> Tell {
    Tell::Notify(notify_kind::AUTHENTICATION_FAILED, Vec::new())
}
