//! RustCrypto's crates: every suite, packet by packet, as a user of these crates would write it.

use std::time::Duration;

use ::aead::{AesKey, Integrity, Suite};
use ::aes::{Aes128, Aes192, Aes256};
use ::aes_gcm::aead::{AeadInOut, KeyInit, consts::U12, inout::InOutBuf};
use ::aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use ::cbc::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use ::chacha20poly1305::ChaCha20Poly1305;
use ::hmac::{Hmac, Mac};
use ::sha1::Sha1;
use ::sha2::{Sha256, Sha384, Sha512};

use super::case::Case;
use super::frames::{Frames, Place};
use super::subject::{Subject, restore, time};
use super::traffic::{AEAD_TAG, Packet, Traffic, prefix};
use crate::operation::Operation;

/// A key of one suite, types and all: nothing is decided per packet.
trait Cipher: Sized {
    fn seal(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize);
    fn open(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> bool;
}

/// A keyed AEAD.
struct Aead<A>(A);

/// A keyed block cipher and an HMAC that has taken its key in.
struct Cbc<C, M> {
    cipher: C,
    authentication: M,
}

/// The keys.
struct RustCrypto<C> {
    implementation: &'static str,
    keys: Vec<C>,
}

/// The subject for the traffic's suite.
pub fn subject(traffic: &Traffic) -> Box<dyn Subject> {
    match traffic.suite {
        Suite::Aes128Gcm16 => aead::<Aes128Gcm>("aes-gcm", traffic),
        Suite::Aes192Gcm16 => aead::<AesGcm<Aes192, U12>>("aes-gcm", traffic),
        Suite::Aes256Gcm16 => aead::<Aes256Gcm>("aes-gcm", traffic),
        Suite::ChaCha20Poly1305 => aead::<ChaCha20Poly1305>("chacha20poly1305", traffic),
        Suite::AesCbc(AesKey::Aes128, integrity) => cbc_of::<Aes128>(integrity, traffic),
        Suite::AesCbc(AesKey::Aes192, integrity) => cbc_of::<Aes192>(integrity, traffic),
        Suite::AesCbc(AesKey::Aes256, integrity) => cbc_of::<Aes256>(integrity, traffic),
    }
}

fn aead<A: AeadInOut<NonceSize = U12> + KeyInit + 'static>(
    implementation: &'static str,
    traffic: &Traffic,
) -> Box<dyn Subject> {
    let keys = traffic.keys.iter().map(|key| Aead(A::new_from_slice(key).expect("a key of the suite's length")));
    Box::new(RustCrypto { implementation, keys: keys.collect() })
}

fn cbc_of<C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit + 'static>(
    integrity: Integrity,
    traffic: &Traffic,
) -> Box<dyn Subject> {
    match integrity {
        Integrity::HmacSha1 => cbc_with::<C, Hmac<Sha1>>(traffic),
        Integrity::HmacSha256 => cbc_with::<C, Hmac<Sha256>>(traffic),
        Integrity::HmacSha384 => cbc_with::<C, Hmac<Sha384>>(traffic),
        Integrity::HmacSha512 => cbc_with::<C, Hmac<Sha512>>(traffic),
    }
}

fn cbc_with<C, M>(traffic: &Traffic) -> Box<dyn Subject>
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit + 'static,
    M: Mac + KeyInit + Clone + 'static,
{
    let keys = traffic.keys.iter().map(|key| {
        let (key, hash_key) = key.split_at(C::key_size());
        Cbc {
            cipher: C::new_from_slice(key).expect("a key of the suite's length"),
            authentication: <M as KeyInit>::new_from_slice(hash_key).expect("an HMAC takes any key"),
        }
    });
    Box::new(RustCrypto { implementation: "rustcrypto", keys: keys.collect() })
}

impl<C: Cipher> Subject for RustCrypto<C> {
    fn implementation(&self) -> &'static str {
        self.implementation
    }

    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration> {
        let mut places = frames.places(case, traffic);
        let prefix = prefix(case.suite);
        match case.operation {
            Operation::Seal => time(passes, || {
                for (place, packet) in places.iter_mut().zip(&traffic.packets) {
                    self.keys[packet.key].seal(packet, place, prefix);
                }
                true
            }),
            Operation::Open => time(passes, || {
                restore(case, traffic, &mut places);
                let mut batch = places.iter_mut().zip(&traffic.packets);
                batch.all(|(place, packet)| self.keys[packet.key].open(packet, place, prefix))
            }),
        }
    }
}

impl<A: AeadInOut<NonceSize = U12>> Cipher for Aead<A> {
    fn seal(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) {
        let (text, tag) = match place {
            Place::Apart { source, destination } => {
                let (text, tag) = destination[prefix..].split_at_mut(source.len());
                (InOutBuf::new(source, text).expect("of one length"), tag)
            }
            Place::InPlace(place) => {
                let (text, tag) = place[prefix..].split_at_mut(packet.text.len());
                (text.into(), tag)
            }
        };
        let made = self.0.encrypt_inout_detached(&packet.counter().into(), &packet.header, text);
        tag.copy_from_slice(&made.expect("a packet is short"));
    }

    fn open(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> bool {
        let (text, tag) = match place {
            Place::Apart { source, destination } => {
                let (text, tag) = source[prefix..].split_at(destination.len());
                (InOutBuf::new(text, destination).expect("of one length"), tag)
            }
            Place::InPlace(place) => {
                let (text, tag) = place[prefix..].split_at_mut(packet.text.len());
                (text.into(), &*tag)
            }
        };
        debug_assert_eq!(tag.len(), AEAD_TAG);
        let Ok(tag) = tag.try_into() else { return false };
        self.0.decrypt_inout_detached(&packet.counter().into(), &packet.header, text, tag).is_ok()
    }
}

impl<C: BlockCipherEncrypt + BlockCipherDecrypt, M: Mac + Clone> Cipher for Cbc<C, M> {
    fn seal(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) {
        let iv = (&packet.nonce[..]).try_into().expect("a block");
        let mut mode = ::cbc::Encryptor::inner_iv_init(&self.cipher, iv);
        let place = match place {
            Place::Apart { source, destination } => {
                let text = &mut destination[prefix..][..source.len()];
                mode.encrypt_blocks_b2b(blocks::<C>(source), blocks_mut::<C>(text)).expect("of one length");
                &mut **destination
            }
            Place::InPlace(place) => {
                mode.encrypt_blocks(blocks_mut::<C>(&mut place[prefix..][..packet.text.len()]));
                &mut **place
            }
        };
        let (covered, tag) = place.split_at_mut(prefix + packet.text.len());
        let made = self.authentication.clone().chain_update(covered).finalize().into_bytes();
        tag.copy_from_slice(&made[..tag.len()]);
    }

    fn open(&self, packet: &Packet, place: &mut Place<'_>, prefix: usize) -> bool {
        let verified = |place: &[u8]| {
            let (covered, tag) = place.split_at(prefix + packet.text.len());
            self.authentication.clone().chain_update(covered).verify_truncated_left(tag).is_ok()
        };
        let iv = (&packet.nonce[..]).try_into().expect("a block");
        let mut mode = ::cbc::Decryptor::inner_iv_init(&self.cipher, iv);
        match place {
            Place::Apart { source, destination } => {
                let text = &source[prefix..][..destination.len()];
                verified(source) && mode.decrypt_blocks_b2b(blocks::<C>(text), blocks_mut::<C>(destination)).is_ok()
            }
            Place::InPlace(place) => {
                let authentic = verified(place);
                if authentic {
                    mode.decrypt_blocks(blocks_mut::<C>(&mut place[prefix..][..packet.text.len()]));
                }
                authentic
            }
        }
    }
}

fn blocks<C: BlockCipherEncrypt>(text: &[u8]) -> &[Block<C>] {
    Block::<C>::slice_as_chunks(text).0
}

fn blocks_mut<C: BlockCipherEncrypt>(text: &mut [u8]) -> &mut [Block<C>] {
    Block::<C>::slice_as_chunks_mut(text).0
}
