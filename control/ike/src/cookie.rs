//! Cookies for peers that begin many SAs and finish none (RFC 7296 §2.6).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::algorithm::PrfAlgorithm;

/// The secret behind the cookies and the one before it, so that no state is kept for a peer.
#[derive(Default)]
pub(crate) struct CookieJar {
    secrets: Option<Secrets>,
}

struct Secrets {
    current: Zeroizing<[u8; 32]>,
    previous: Zeroizing<[u8; 32]>,
    since: Instant,
}

impl CookieJar {
    /// The cookie for a peer's nonce, address and SPI.
    pub(crate) fn bake(
        &mut self,
        nonce: &[u8],
        address: IpAddr,
        spi: u64,
        now: Instant,
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        self.rotate(now, rng);
        self.secrets.as_ref().map_or_else(Vec::new, |s| cookie(&s.current, nonce, address, spi))
    }

    /// Whether the cookie is one of ours, for exactly this nonce, address and SPI.
    pub(crate) fn accepts(&self, given: &[u8], nonce: &[u8], address: IpAddr, spi: u64) -> bool {
        self.secrets.as_ref().is_some_and(|secrets| {
            [&secrets.current, &secrets.previous]
                .into_iter()
                .any(|s| bool::from(cookie(s, nonce, address, spi).as_slice().ct_eq(given)))
        })
    }

    fn rotate(&mut self, now: Instant, rng: &mut dyn CryptoRng) {
        let fresh = |rng: &mut dyn CryptoRng| {
            let mut secret = Zeroizing::new([0; 32]);
            rng.fill_bytes(secret.as_mut());
            secret
        };
        match &mut self.secrets {
            Some(secrets) if now.saturating_duration_since(secrets.since) < LIFETIME => {}
            Some(secrets) => {
                secrets.previous = std::mem::replace(&mut secrets.current, fresh(rng));
                secrets.since = now;
            }
            None => {
                let (current, previous) = (fresh(rng), fresh(rng));
                self.secrets = Some(Secrets { current, previous, since: now });
            }
        }
    }
}

fn cookie(secret: &[u8; 32], nonce: &[u8], address: IpAddr, spi: u64) -> Vec<u8> {
    let address = match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    PrfAlgorithm::HmacSha256.compute(secret, &[nonce, &address, &spi.to_be_bytes()]).to_vec()
}

const LIFETIME: Duration = Duration::from_secs(60);
