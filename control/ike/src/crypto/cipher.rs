//! Sealing and opening the SK payload (RFC 7296 §3.14, RFC 5282).

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use aes_gcm::{AesGcm, KeyInit};
use cbc::cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    KeyInit as CipherKeyInit,
};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::keys::SaKeys;
use crate::algorithm::{IkeCipher, IkeSuite, Integrity};
use crate::message::{Chain, Encrypted, HEADER_BYTES, Header, kind};

/// Both directions of an IKE SA's protection.
pub(crate) struct Protection {
    cipher: IkeCipher,
    integrity: Option<Integrity>,
    seal: Direction,
    open: Direction,
    /// The next explicit IV of an AEAD: a counter never repeats (RFC 5282 §3.1).
    next_iv: u64,
}

struct Direction {
    /// The cipher key, followed by the salt of an AEAD.
    encryption: Zeroizing<Vec<u8>>,
    integrity: Zeroizing<Vec<u8>>,
}

/// The check value does not match, or what is inside is not padded as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntegrityError;

impl Protection {
    /// The initiator seals with the `i` keys, the responder with the `r` keys.
    pub(crate) fn new(suite: IkeSuite, keys: &SaKeys, initiator: bool) -> Self {
        let i = Direction { encryption: keys.ei.clone(), integrity: keys.ai.clone() };
        let r = Direction { encryption: keys.er.clone(), integrity: keys.ar.clone() };
        let (seal, open) = if initiator { (i, r) } else { (r, i) };
        Self { cipher: suite.encryption, integrity: suite.integrity, seal, open, next_iv: 0 }
    }

    /// A whole message with `chain` inside an SK payload.
    pub(crate) fn seal(&mut self, header: Header, chain: &Chain, rng: &mut dyn CryptoRng) -> Vec<u8> {
        self.seal_part(header, chain.first(), chain.bytes(), None, rng)
    }

    /// A whole message, or one fragment of it with its number and their count (RFC 7383 §2.5).
    pub(crate) fn seal_part(
        &mut self,
        mut header: Header,
        first: u8,
        plain: &[u8],
        fragment: Option<(u16, u16)>,
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        let (iv_bytes, icv_bytes) = (self.iv_bytes(), self.icv_bytes());
        let pad = match self.integrity {
            None => 0,
            Some(_) => (BLOCK - (plain.len() + 1) % BLOCK) % BLOCK,
        };
        let body = iv_bytes + plain.len() + pad + 1 + icv_bytes;
        let payload = body + if fragment.is_some() { 8 } else { 4 };
        let length = HEADER_BYTES + payload;
        header.next_payload = if fragment.is_some() { kind::ENCRYPTED_FRAGMENT } else { kind::ENCRYPTED };
        let mut out = Vec::with_capacity(length);
        header.write(length, &mut out);
        out.extend_from_slice(&[first, 0]);
        out.extend_from_slice(&(payload as u16).to_be_bytes());
        if let Some((number, count)) = fragment {
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
        }
        let aad = out.clone();
        let mut content = Zeroizing::new(plain.to_vec());
        content.resize(plain.len() + pad, 0);
        content.push(pad as u8);
        match self.integrity {
            None => {
                let iv = self.next_iv.to_be_bytes();
                self.next_iv += 1;
                out.extend_from_slice(&iv);
                let tag = gcm(self.cipher, &self.seal.encryption, iv, &aad, &mut content, None);
                out.extend_from_slice(&content);
                out.extend_from_slice(&tag.unwrap_or_default());
            }
            Some(integrity) => {
                // RFC 3602 §3: an IV that cannot be predicted.
                let mut iv = [0u8; BLOCK];
                rng.fill_bytes(&mut iv);
                out.extend_from_slice(&iv);
                cbc_encrypt(self.cipher, &self.seal.encryption, iv, &mut content);
                out.extend_from_slice(&content);
                let icv = icv(integrity, &self.seal.integrity, &out);
                out.extend_from_slice(&icv);
            }
        }
        out
    }

    /// The payloads inside the SK payload at the end of `datagram`.
    pub(crate) fn open(
        &self,
        datagram: &[u8],
        encrypted: &Encrypted<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, IntegrityError> {
        let (iv_bytes, icv_bytes) = (self.iv_bytes(), self.icv_bytes());
        let (iv, rest) = encrypted.body.split_at_checked(iv_bytes).ok_or(IntegrityError)?;
        let cut = rest.len().checked_sub(icv_bytes).ok_or(IntegrityError)?;
        let (ciphertext, icv_received) = rest.split_at_checked(cut).ok_or(IntegrityError)?;
        let mut content = Zeroizing::new(ciphertext.to_vec());
        match self.integrity {
            None => {
                let iv = <[u8; 8]>::try_from(iv).map_err(|_| IntegrityError)?;
                let tag = <[u8; GCM_TAG]>::try_from(icv_received).map_err(|_| IntegrityError)?;
                let aad = datagram
                    .len()
                    .checked_sub(encrypted.body.len())
                    .and_then(|end| datagram.get(..end))
                    .ok_or(IntegrityError)?;
                gcm(self.cipher, &self.open.encryption, iv, aad, &mut content, Some(tag)).ok_or(IntegrityError)?;
            }
            Some(integrity) => {
                let covered =
                    datagram.len().checked_sub(icv_bytes).and_then(|end| datagram.get(..end)).ok_or(IntegrityError)?;
                let expected = icv(integrity, &self.open.integrity, covered);
                if !bool::from(expected.as_slice().ct_eq(icv_received)) {
                    return Err(IntegrityError);
                }
                let iv = <[u8; BLOCK]>::try_from(iv).map_err(|_| IntegrityError)?;
                if content.is_empty() || content.len() % BLOCK != 0 {
                    return Err(IntegrityError);
                }
                cbc_decrypt(self.cipher, &self.open.encryption, iv, &mut content);
            }
        }
        // RFC 7296 §3.14: the content of the padding is not checked, its length is.
        let pad = usize::from(*content.last().ok_or(IntegrityError)?);
        let length = content.len().checked_sub(pad + 1).ok_or(IntegrityError)?;
        content.truncate(length);
        Ok(content)
    }

    fn iv_bytes(&self) -> usize {
        if self.integrity.is_none() { 8 } else { BLOCK }
    }

    fn icv_bytes(&self) -> usize {
        self.integrity.map_or(GCM_TAG, Integrity::icv_bytes)
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protection({}, redacted)", self.cipher)
    }
}

const BLOCK: usize = 16;
const GCM_TAG: usize = 16;

/// Seals (`tag` is `None`) or opens in place; gives the tag, or `None` if it does not match.
fn gcm(
    cipher: IkeCipher,
    material: &[u8],
    iv: [u8; 8],
    aad: &[u8],
    content: &mut [u8],
    tag: Option<[u8; GCM_TAG]>,
) -> Option<[u8; GCM_TAG]> {
    let (key, salt) = material.split_last_chunk::<4>()?;
    // RFC 5282 §4: salt, then the explicit IV.
    let mut nonce = [0u8; 12];
    nonce.iter_mut().zip(salt.iter().chain(&iv)).for_each(|(to, from)| *to = *from);
    match cipher.key_bytes() {
        16 => gcm_with::<AesGcm<Aes128, U12>>(key, nonce, aad, content, tag),
        24 => gcm_with::<AesGcm<Aes192, U12>>(key, nonce, aad, content, tag),
        _ => gcm_with::<AesGcm<Aes256, U12>>(key, nonce, aad, content, tag),
    }
}

fn gcm_with<A: AeadInOut + KeyInit>(
    key: &[u8],
    nonce: [u8; 12],
    aad: &[u8],
    content: &mut [u8],
    tag: Option<[u8; GCM_TAG]>,
) -> Option<[u8; GCM_TAG]> {
    let aead = A::new_from_slice(key).ok()?;
    let nonce = Nonce::<A>::try_from(nonce.as_slice()).ok()?;
    match tag {
        None => {
            let made = aead.encrypt_inout_detached(&nonce, aad, content.into()).ok()?;
            <[u8; GCM_TAG]>::try_from(made.as_slice()).ok()
        }
        Some(tag) => {
            let given = Tag::<A>::try_from(tag.as_slice()).ok()?;
            aead.decrypt_inout_detached(&nonce, aad, content.into(), &given).ok()?;
            Some(tag)
        }
    }
}

fn icv(integrity: Integrity, key: &[u8], covered: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut icv = integrity.hash().compute(key, &[covered]);
    icv.truncate(integrity.icv_bytes());
    icv
}

fn cbc_encrypt(cipher: IkeCipher, key: &[u8], iv: [u8; BLOCK], content: &mut [u8]) {
    match cipher.key_bytes() {
        16 => cbc_encrypt_with::<Aes128>(key, iv, content),
        24 => cbc_encrypt_with::<Aes192>(key, iv, content),
        _ => cbc_encrypt_with::<Aes256>(key, iv, content),
    }
}

fn cbc_decrypt(cipher: IkeCipher, key: &[u8], iv: [u8; BLOCK], content: &mut [u8]) {
    match cipher.key_bytes() {
        16 => cbc_decrypt_with::<Aes128>(key, iv, content),
        24 => cbc_decrypt_with::<Aes192>(key, iv, content),
        _ => cbc_decrypt_with::<Aes256>(key, iv, content),
    }
}

fn cbc_encrypt_with<C>(key: &[u8], iv: [u8; BLOCK], content: &mut [u8])
where
    C: BlockCipherEncrypt + CipherKeyInit,
{
    let cipher = C::new_from_slice(key).expect("key lengths come from the cipher");
    let iv = cbc::cipher::Iv::<cbc::Encryptor<C>>::try_from(iv.as_slice()).expect("AES has 16-byte blocks");
    let mut mode = cbc::Encryptor::<C>::inner_iv_init(cipher, &iv);
    for chunk in content.chunks_exact_mut(BLOCK) {
        let block: &mut Block<C> = chunk.try_into().expect("AES has 16-byte blocks");
        mode.encrypt_block(block);
    }
}

fn cbc_decrypt_with<C>(key: &[u8], iv: [u8; BLOCK], content: &mut [u8])
where
    C: BlockCipherDecrypt + CipherKeyInit,
{
    let cipher = C::new_from_slice(key).expect("key lengths come from the cipher");
    let iv = cbc::cipher::Iv::<cbc::Decryptor<C>>::try_from(iv.as_slice()).expect("AES has 16-byte blocks");
    let mut mode = cbc::Decryptor::<C>::inner_iv_init(cipher, &iv);
    for chunk in content.chunks_exact_mut(BLOCK) {
        let block: &mut Block<C> = chunk.try_into().expect("AES has 16-byte blocks");
        mode.decrypt_block(block);
    }
}
