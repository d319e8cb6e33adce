//! Every suite by RustCrypto's crates, packet by packet: for every processor, and the oracle of the other kernels.

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12, inout::InOutBuf};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use cbc::cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::{AesKey, AssociatedData, Integrity, Kernel, MOST_TAG, NONCE, Packet, Suite, TAG};

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// An expanded key, wiped when dropped.
// The schedules stand inline: one key is one stretch of memory, read without a pointer to follow.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Key {
    Aes128(Aes128Gcm),
    Aes192(AesGcm<Aes192, U12>),
    Aes256(Aes256Gcm),
    ChaCha20(ChaCha20Poly1305),
    Cbc(Cipher, Authentication),
}

/// A block cipher.
#[allow(clippy::large_enum_variant)]
pub enum Cipher {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

/// A hash that has taken its key in already.
#[allow(clippy::large_enum_variant)]
pub enum Authentication {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

/// Seals every packet.
pub(crate) fn seal(_: Kernel, packets: &mut [Packet<'_, Key>]) {
    packets.iter_mut().for_each(seal_packet);
}

/// Opens every packet, and says of each whether it was authentic.
pub(crate) fn open(_: Kernel, packets: &mut [Packet<'_, Key>]) {
    packets.iter_mut().for_each(|packet| packet.authentic = open_packet(packet).is_some());
}

fn seal_packet(packet: &mut Packet<'_, Key>) {
    let (key, iv, data) = (packet.key, *packet.nonce, packet.data);
    if let Key::Cbc(cipher, authentication) = key {
        let length = authentication.tag_length();
        let text = packet.text(length);
        let (text, made) = text.split_at_mut(text.len() - length);
        cipher.encrypt(iv, text);
        made.copy_from_slice(&authentication.tag(data, &iv, text)[..length]);
        return;
    }
    let text = packet.text(TAG);
    let (text, made) = text.split_at_mut(text.len() - TAG);
    let (nonce, data) = (iv.first_chunk::<NONCE>().expect("shorter").into(), data.bytes());
    let text = InOutBuf::from(text);
    let tag = match key {
        Key::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
        Key::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
        Key::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
        Key::ChaCha20(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
        Key::Cbc(..) => unreachable!("sealed above"),
    };
    made.copy_from_slice(&tag.expect("a packet is far shorter than the 64 GiB that GCM takes"));
}

/// `None` where the tag is wrong.
fn open_packet(packet: &mut Packet<'_, Key>) -> Option<()> {
    let (key, iv, data) = (packet.key, *packet.nonce, packet.data);
    if let Key::Cbc(cipher, authentication) = key {
        // No whole number of blocks: nobody sealed that.
        if !packet.length.is_multiple_of(BLOCK) {
            return None;
        }
        let (length, sent) = (authentication.tag_length(), authentication.sent(packet));
        let text = packet.text(0);
        let made = authentication.tag(data, &iv, text);
        if !bool::from(made[..length].ct_eq(&sent[..length])) {
            return None;
        }
        cipher.decrypt(iv, text);
        return Some(());
    }
    let tag = packet.tag::<TAG>();
    let text = InOutBuf::from(packet.text(0));
    let (nonce, data, tag) = (iv.first_chunk::<NONCE>().expect("shorter").into(), data.bytes(), (&tag).into());
    match key {
        Key::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
        Key::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
        Key::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
        Key::ChaCha20(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
        Key::Cbc(..) => unreachable!("opened above"),
    }
    .ok()
}

impl Key {
    /// `None` where `key` is not as long as the suite wants it.
    pub fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        Some(match suite {
            Suite::Aes128Gcm16 => Self::Aes128(KeyInit::new_from_slice(key).ok()?),
            Suite::Aes192Gcm16 => Self::Aes192(KeyInit::new_from_slice(key).ok()?),
            Suite::Aes256Gcm16 => Self::Aes256(KeyInit::new_from_slice(key).ok()?),
            Suite::ChaCha20Poly1305 => Self::ChaCha20(KeyInit::new_from_slice(key).ok()?),
            Suite::AesCbc(length, integrity) => {
                let (cipher, authentication) = key.split_at_checked(length.length())?;
                Self::Cbc(Cipher::new(length, cipher)?, Authentication::new(integrity, authentication)?)
            }
        })
    }
}

impl Cipher {
    /// `None` where `key` is not as long as it says.
    pub fn new(length: AesKey, key: &[u8]) -> Option<Self> {
        Some(match length {
            AesKey::Aes128 => Self::Aes128(KeyInit::new_from_slice(key).ok()?),
            AesKey::Aes192 => Self::Aes192(KeyInit::new_from_slice(key).ok()?),
            AesKey::Aes256 => Self::Aes256(KeyInit::new_from_slice(key).ok()?),
        })
    }

    /// One block, in place.
    pub fn encrypt_block(&self, block: &mut [u8; BLOCK]) {
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(block.into()),
            Self::Aes192(cipher) => cipher.encrypt_block(block.into()),
            Self::Aes256(cipher) => cipher.encrypt_block(block.into()),
        }
    }

    fn encrypt(&self, iv: [u8; BLOCK], text: &mut [u8]) {
        let blocks = whole_blocks(text);
        let iv = &iv.into();
        match self {
            Self::Aes128(cipher) => cbc::Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks),
            Self::Aes192(cipher) => cbc::Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks),
            Self::Aes256(cipher) => cbc::Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks),
        }
    }

    fn decrypt(&self, iv: [u8; BLOCK], text: &mut [u8]) {
        let blocks = whole_blocks(text);
        let iv = &iv.into();
        match self {
            Self::Aes128(cipher) => cbc::Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks),
            Self::Aes192(cipher) => cbc::Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks),
            Self::Aes256(cipher) => cbc::Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks),
        }
    }
}

/// CBC's blocks.
fn whole_blocks(text: &mut [u8]) -> &mut [cbc::cipher::Block<Aes128>] {
    assert!(text.len().is_multiple_of(BLOCK), "a CBC text of {} bytes", text.len());
    let (blocks, _) = text.as_chunks_mut::<BLOCK>();
    cbc::cipher::array::Array::cast_slice_from_core_mut(blocks)
}

impl Authentication {
    /// `None` where `key` is of no length that the hash takes.
    pub fn new(integrity: Integrity, key: &[u8]) -> Option<Self> {
        Some(match integrity {
            Integrity::HmacSha1 => Self::Sha1(KeyInit::new_from_slice(key).ok()?),
            Integrity::HmacSha256 => Self::Sha256(KeyInit::new_from_slice(key).ok()?),
            Integrity::HmacSha384 => Self::Sha384(KeyInit::new_from_slice(key).ok()?),
            Integrity::HmacSha512 => Self::Sha512(KeyInit::new_from_slice(key).ok()?),
        })
    }

    fn tag_length(&self) -> usize {
        match self {
            Self::Sha1(_) => Integrity::HmacSha1,
            Self::Sha256(_) => Integrity::HmacSha256,
            Self::Sha384(_) => Integrity::HmacSha384,
            Self::Sha512(_) => Integrity::HmacSha512,
        }
        .tag_length()
    }

    /// The tag that came with a packet, zeros behind it.
    fn sent(&self, packet: &Packet<'_, Key>) -> [u8; MOST_TAG] {
        let mut tag = [0; MOST_TAG];
        match self {
            Self::Sha1(_) => tag[..12].copy_from_slice(&packet.tag::<12>()),
            Self::Sha256(_) => tag[..16].copy_from_slice(&packet.tag::<16>()),
            Self::Sha384(_) => tag[..24].copy_from_slice(&packet.tag::<24>()),
            Self::Sha512(_) => tag.copy_from_slice(&packet.tag::<32>()),
        }
        tag
    }

    /// RFC 4303 §3.3.4, §2.2.1: over index, lower half of the number, initialisation vector and ciphertext; and over the
    /// upper half where it is extended.
    fn tag(&self, data: &AssociatedData, iv: &[u8; BLOCK], text: &[u8]) -> [u8; MOST_TAG] {
        let (before, after) = data.around();
        let parts: [&[u8]; 4] = [&before, iv, text, after];
        let mut tag = [0; MOST_TAG];
        fn hash<M: Mac + Clone>(mac: &M, parts: [&[u8]; 4], tag: &mut [u8; MOST_TAG]) {
            let mut mac = mac.clone();
            parts.into_iter().for_each(|part| mac.update(part));
            let full = mac.finalize().into_bytes();
            let length = full.len().min(MOST_TAG);
            tag[..length].copy_from_slice(&full[..length]);
        }
        match self {
            Self::Sha1(mac) => hash(mac, parts, &mut tag),
            Self::Sha256(mac) => hash(mac, parts, &mut tag),
            Self::Sha384(mac) => hash(mac, parts, &mut tag),
            Self::Sha512(mac) => hash(mac, parts, &mut tag),
        }
        tag
    }
}
