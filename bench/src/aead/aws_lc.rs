//! The crate `aws-lc-rs`: every suite, packet by packet.

use std::time::Duration;

use ::aead::{AesKey, Integrity, Suite};
use ::aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use ::aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use ::aws_lc_rs::constant_time::verify_slices_are_equal;
use ::aws_lc_rs::error::Unspecified;
use ::aws_lc_rs::hmac;
use ::aws_lc_rs::iv::FixedLength;

use super::case::Case;
use super::frames::{Frames, Place};
use super::subject::{Subject, restore, time};
use super::traffic::{AEAD_TAG, Packet, Traffic, prefix};
use crate::operation::Operation;

/// The keys.
///
/// Its AES-CBC works in place only. Where the others go from one frame to another, it encrypts and decrypts the
/// destination in place, whatever is there, without the copy that a user would need.
pub enum AwsLc {
    Aead(Vec<LessSafeKey>),
    Cbc(Vec<Cbc>),
}

/// AES-CBC without padding, and HMAC.
pub struct Cbc {
    encryption: EncryptingKey,
    decryption: DecryptingKey,
    authentication: hmac::Key,
    tag_length: usize,
}

impl AwsLc {
    /// It has all suites.
    pub fn new(traffic: &Traffic) -> Self {
        let algorithm = match traffic.suite {
            Suite::Aes128Gcm16 => &AES_128_GCM,
            Suite::Aes192Gcm16 => &AES_192_GCM,
            Suite::Aes256Gcm16 => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Suite::AesCbc(length, integrity) => {
                let keys = traffic.keys.iter().map(|key| Cbc::new(length, integrity, key));
                return Self::Cbc(keys.collect::<Result<_, _>>().expect("a key of the suite's length"));
            }
        };
        let keys = traffic.keys.iter().map(|key| UnboundKey::new(algorithm, key).map(LessSafeKey::new));
        Self::Aead(keys.collect::<Result<_, _>>().expect("a key of the suite's length"))
    }
}

impl Subject for AwsLc {
    fn implementation(&self) -> &'static str {
        "aws-lc-rs"
    }

    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration> {
        let mut places = frames.places(case, traffic);
        let prefix = prefix(case.suite);
        macro_rules! each {
            ($keys:ident, $work:expr) => {
                time(passes, || {
                    restore(case, traffic, &mut places);
                    places
                        .iter_mut()
                        .zip(&traffic.packets)
                        .all(|(place, packet)| $work(&$keys[packet.key], packet, place, prefix).is_ok())
                })
            };
        }
        match (self, case.operation) {
            (Self::Aead(keys), Operation::Seal) => each!(keys, seal),
            (Self::Aead(keys), Operation::Open) => each!(keys, open),
            (Self::Cbc(keys), Operation::Seal) => each!(keys, Cbc::seal),
            (Self::Cbc(keys), Operation::Open) => each!(keys, Cbc::open),
        }
    }
}

fn seal(key: &LessSafeKey, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> Result<(), Unspecified> {
    let (nonce, data) = (Nonce::assume_unique_for_key(packet.counter()), Aad::from(packet.header));
    match place {
        Place::Apart { source, destination } => {
            let (text, tag) = destination[prefix..].split_at_mut(source.len());
            key.seal_out_of_place_scatter(nonce, data, source, text, &[], tag)
        }
        Place::InPlace(place) => {
            let (text, tag) = place[prefix..].split_at_mut(packet.text.len());
            key.seal_in_place_scatter(nonce, data, text, &[], tag)
        }
    }
}

fn open(key: &LessSafeKey, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> Result<(), Unspecified> {
    let (nonce, data) = (Nonce::assume_unique_for_key(packet.counter()), Aad::from(packet.header));
    match place {
        Place::Apart { source, destination } => {
            let (text, tag) = source[prefix..].split_at(source.len() - prefix - AEAD_TAG);
            key.open_separate_gather(nonce, data, text, tag, destination)
        }
        Place::InPlace(place) => key.open_in_place(nonce, data, &mut place[prefix..]).map(drop),
    }
}

impl Cbc {
    fn new(length: AesKey, integrity: Integrity, key: &[u8]) -> Result<Self, Unspecified> {
        let (key, hash_key) = key.split_at(length.length());
        let algorithm = match length {
            AesKey::Aes128 => &AES_128,
            AesKey::Aes192 => &AES_192,
            AesKey::Aes256 => &AES_256,
        };
        let hash = match integrity {
            Integrity::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Integrity::HmacSha256 => hmac::HMAC_SHA256,
            Integrity::HmacSha384 => hmac::HMAC_SHA384,
            Integrity::HmacSha512 => hmac::HMAC_SHA512,
        };
        Ok(Self {
            encryption: EncryptingKey::cbc(UnboundCipherKey::new(algorithm, key)?)?,
            decryption: DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key)?)?,
            authentication: hmac::Key::new(hash, hash_key),
            tag_length: integrity.tag_length(),
        })
    }

    fn seal(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> Result<(), Unspecified> {
        let (Place::Apart { destination: place, .. } | Place::InPlace(place)) = place;
        let (covered, tag) = place.split_at_mut(prefix + packet.text.len());
        let context = EncryptionContext::Iv128(FixedLength::from(packet.nonce));
        self.encryption.less_safe_encrypt(&mut covered[prefix..], context)?;
        tag.copy_from_slice(&hmac::sign(&self.authentication, covered).as_ref()[..self.tag_length]);
        Ok(())
    }

    fn open(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> Result<(), Unspecified> {
        let verify = |place: &[u8]| {
            let (covered, tag) = place.split_at(prefix + packet.text.len());
            verify_slices_are_equal(&hmac::sign(&self.authentication, covered).as_ref()[..self.tag_length], tag)
        };
        let text = match place {
            Place::Apart { source, destination } => {
                verify(source)?;
                &mut **destination
            }
            Place::InPlace(place) => {
                verify(place)?;
                &mut place[prefix..][..packet.text.len()]
            }
        };
        let context = DecryptionContext::Iv128(FixedLength::from(packet.nonce));
        self.decryption.decrypt(text, context).map(drop)
    }
}
