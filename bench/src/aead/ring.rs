//! The crate `ring`: two of the AES-GCM suites and ChaCha20-Poly1305, packet by packet.

use std::time::Duration;

use ::aead::{AesKey, Integrity, Suite};
use ::ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::case::Case;
use super::frames::{Frames, Place};
use super::subject::{Subject, restore, time};
use super::traffic::{Traffic, prefix};
use crate::operation::Operation;

/// The keys.
///
/// It seals in place only. Where the others go from one frame to another it seals the destination in place, whatever is
/// there, without the copy that a user would need; it opens from one frame to the other like everybody.
pub struct Ring(Vec<LessSafeKey>);

impl Ring {
    /// `None` where it lacks the suite.
    pub fn new(traffic: &Traffic) -> Option<Self> {
        let algorithm = match traffic.suite {
            Suite::Aes128Gcm16 => &AES_128_GCM,
            Suite::Aes256Gcm16 => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Suite::Aes192Gcm16
            | Suite::AesCbc(
                AesKey::Aes128 | AesKey::Aes192 | AesKey::Aes256,
                Integrity::HmacSha1 | Integrity::HmacSha256 | Integrity::HmacSha384 | Integrity::HmacSha512,
            ) => return None,
        };
        let keys = traffic.keys.iter().map(|key| UnboundKey::new(algorithm, key).map(LessSafeKey::new));
        Some(Self(keys.collect::<Result<_, _>>().expect("a key of the suite's length")))
    }
}

impl Subject for Ring {
    fn implementation(&self) -> &'static str {
        "ring"
    }

    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration> {
        let prefix = prefix(case.suite);
        match (case.operation, case.in_place) {
            (Operation::Seal, _) => {
                let mut places = frames.places(case, traffic);
                time(passes, || {
                    for (place, packet) in places.iter_mut().zip(&traffic.packets) {
                        let (Place::Apart { destination: place, .. } | Place::InPlace(place)) = place;
                        let (text, tag) = place[prefix..].split_at_mut(packet.text.len());
                        let nonce = Nonce::assume_unique_for_key(packet.counter());
                        let made = self.0[packet.key].seal_in_place_separate_tag(nonce, Aad::from(packet.header), text);
                        tag.copy_from_slice(made.expect("a packet is short").as_ref());
                    }
                    true
                })
            }
            (Operation::Open, false) => time(passes, || {
                traffic.packets.iter().enumerate().all(|(index, packet)| {
                    let (slice, ciphertext) = frames.opening(index, packet);
                    let nonce = Nonce::assume_unique_for_key(packet.counter());
                    self.0[packet.key].open_within(nonce, Aad::from(packet.header), slice, ciphertext..).is_ok()
                })
            }),
            (Operation::Open, true) => {
                let mut places = frames.places(case, traffic);
                time(passes, || {
                    restore(case, traffic, &mut places);
                    places.iter_mut().zip(&traffic.packets).all(|(place, packet)| {
                        let Place::InPlace(place) = place else { return false };
                        let nonce = Nonce::assume_unique_for_key(packet.counter());
                        let slice = &mut place[prefix..];
                        self.0[packet.key].open_in_place(nonce, Aad::from(packet.header), slice).is_ok()
                    })
                })
            }
        }
    }
}
