//! Sealing and opening the SK payload (RFC 7296 §3.14; AEADs: RFC 5282, RFC 7634).

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use aes_gcm::{AesGcm, KeyInit};
use cbc::cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    KeyInit as CipherKeyInit,
};
use chacha20poly1305::ChaCha20Poly1305;
use des::TdesEde3;
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
            Some(_) => (plain.len() + 1).next_multiple_of(iv_bytes) - (plain.len() + 1),
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
                let tag = aead(self.cipher, &self.seal.encryption, iv, &aad, &mut content, None);
                out.extend_from_slice(&content);
                out.extend_from_slice(&tag.unwrap_or_default());
            }
            Some(integrity) => {
                // RFC 3602 §3: an IV that cannot be predicted.
                let mut iv = vec![0u8; iv_bytes];
                rng.fill_bytes(&mut iv);
                out.extend_from_slice(&iv);
                cbc(self.cipher, &self.seal.encryption, &iv, &mut content, Way::Encrypt);
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
                let tag = <[u8; TAG]>::try_from(icv_received).map_err(|_| IntegrityError)?;
                let aad = datagram
                    .len()
                    .checked_sub(encrypted.body.len())
                    .and_then(|end| datagram.get(..end))
                    .ok_or(IntegrityError)?;
                aead(self.cipher, &self.open.encryption, iv, aad, &mut content, Some(tag)).ok_or(IntegrityError)?;
            }
            Some(integrity) => {
                let covered =
                    datagram.len().checked_sub(icv_bytes).and_then(|end| datagram.get(..end)).ok_or(IntegrityError)?;
                let expected = icv(integrity, &self.open.integrity, covered);
                if !bool::from(expected.as_slice().ct_eq(icv_received)) {
                    return Err(IntegrityError);
                }
                if content.is_empty() || !content.len().is_multiple_of(iv_bytes) {
                    return Err(IntegrityError);
                }
                cbc(self.cipher, &self.open.encryption, iv, &mut content, Way::Decrypt);
            }
        }
        // RFC 7296 §3.14: the content of the padding is not checked, its length is.
        let pad = usize::from(*content.last().ok_or(IntegrityError)?);
        let length = content.len().checked_sub(pad + 1).ok_or(IntegrityError)?;
        content.truncate(length);
        Ok(content)
    }

    /// Bytes of the IV; with CBC those of a block, too.
    fn iv_bytes(&self) -> usize {
        match self.cipher {
            // RFC 2451 §3 and RFC 3602 §3: as long as a block.
            IkeCipher::TripleDes => 8,
            IkeCipher::Aes128Cbc | IkeCipher::Aes192Cbc | IkeCipher::Aes256Cbc => 16,
            // RFC 5282 §3.1, RFC 7634 §2.
            IkeCipher::Aes128Gcm16 | IkeCipher::Aes192Gcm16 | IkeCipher::Aes256Gcm16 | IkeCipher::ChaCha20Poly1305 => 8,
        }
    }

    fn icv_bytes(&self) -> usize {
        self.integrity.map_or(TAG, Integrity::icv_bytes)
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protection({}, redacted)", self.cipher)
    }
}

/// Bytes of the tag of an AEAD; the other lengths are not to be used in IKE (RFC 5282 §3, RFC 7634 §2).
const TAG: usize = 16;

/// Seals (`tag` is `None`) or opens in place; gives the tag, or `None` if it does not match.
fn aead(
    cipher: IkeCipher,
    material: &[u8],
    iv: [u8; 8],
    aad: &[u8],
    content: &mut [u8],
    tag: Option<[u8; TAG]>,
) -> Option<[u8; TAG]> {
    let (key, salt) = material.split_last_chunk::<4>()?;
    // RFC 5282 §4, RFC 7634 §2: salt, then the explicit IV.
    let mut nonce = [0u8; 12];
    nonce.iter_mut().zip(salt.iter().chain(&iv)).for_each(|(to, from)| *to = *from);
    match cipher {
        IkeCipher::Aes128Gcm16 => aead_with::<AesGcm<Aes128, U12>>(key, nonce, aad, content, tag),
        IkeCipher::Aes192Gcm16 => aead_with::<AesGcm<Aes192, U12>>(key, nonce, aad, content, tag),
        IkeCipher::Aes256Gcm16 => aead_with::<AesGcm<Aes256, U12>>(key, nonce, aad, content, tag),
        IkeCipher::ChaCha20Poly1305 => aead_with::<ChaCha20Poly1305>(key, nonce, aad, content, tag),
        IkeCipher::TripleDes | IkeCipher::Aes128Cbc | IkeCipher::Aes192Cbc | IkeCipher::Aes256Cbc => None,
    }
}

fn aead_with<A: AeadInOut + KeyInit>(
    key: &[u8],
    nonce: [u8; 12],
    aad: &[u8],
    content: &mut [u8],
    tag: Option<[u8; TAG]>,
) -> Option<[u8; TAG]> {
    let aead = A::new_from_slice(key).ok()?;
    let nonce = Nonce::<A>::try_from(nonce.as_slice()).ok()?;
    match tag {
        None => {
            let made = aead.encrypt_inout_detached(&nonce, aad, content.into()).ok()?;
            <[u8; TAG]>::try_from(made.as_slice()).ok()
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

#[derive(Clone, Copy)]
enum Way {
    Encrypt,
    Decrypt,
}

/// Whole blocks, in place. An AEAD never comes here: it goes without an integrity algorithm.
fn cbc(cipher: IkeCipher, key: &[u8], iv: &[u8], content: &mut [u8], way: Way) {
    match cipher {
        IkeCipher::TripleDes => cbc_with::<TdesEde3>(key, iv, content, way),
        IkeCipher::Aes128Cbc => cbc_with::<Aes128>(key, iv, content, way),
        IkeCipher::Aes192Cbc => cbc_with::<Aes192>(key, iv, content, way),
        IkeCipher::Aes256Cbc => cbc_with::<Aes256>(key, iv, content, way),
        IkeCipher::Aes128Gcm16 | IkeCipher::Aes192Gcm16 | IkeCipher::Aes256Gcm16 | IkeCipher::ChaCha20Poly1305 => {}
    }
}

fn cbc_with<C>(key: &[u8], iv: &[u8], content: &mut [u8], way: Way)
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + CipherKeyInit,
{
    let cipher = C::new_from_slice(key).expect("key lengths come from the cipher");
    let blocks = content
        .chunks_exact_mut(iv.len())
        .map(|chunk| -> &mut Block<C> { chunk.try_into().expect("an IV is as long as a block") });
    match way {
        Way::Encrypt => {
            let iv = cbc::cipher::Iv::<cbc::Encryptor<C>>::try_from(iv).expect("an IV is as long as a block");
            let mut mode = cbc::Encryptor::<C>::inner_iv_init(cipher, &iv);
            blocks.for_each(|block| mode.encrypt_block(block));
        }
        Way::Decrypt => {
            let iv = cbc::cipher::Iv::<cbc::Decryptor<C>>::try_from(iv).expect("an IV is as long as a block");
            let mut mode = cbc::Decryptor::<C>::inner_iv_init(cipher, &iv);
            blocks.for_each(|block| mode.decrypt_block(block));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::algorithm::{ADDITIONAL_KEY_EXCHANGES, KeGroup, PrfAlgorithm};
    use crate::hex::hex;
    use crate::message::Payloads;

    /// What opens with these keys of the responder's; it seals with them the other way round.
    fn protection(
        encryption: IkeCipher,
        integrity: Option<Integrity>,
        e: &[u8],
        a: &[u8],
        initiator: bool,
    ) -> Protection {
        let (prf, key_exchange) = (PrfAlgorithm::HmacSha256, KeGroup::X25519);
        let suite = IkeSuite { encryption, integrity, prf, key_exchange, additional: [None; ADDITIONAL_KEY_EXCHANGES] };
        let key = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let (er, ar) = (key(e), key(a));
        let keys = SaKeys { d: key(&[]), ai: key(&[]), ar, ei: key(&[]), er, pi: key(&[]), pr: key(&[]) };
        Protection::new(suite, &keys, initiator)
    }

    fn open(protection: &Protection, datagram: &[u8]) -> Result<(u8, Vec<u8>), IntegrityError> {
        let header = Header::parse(datagram).unwrap();
        let outer = Payloads::parse(header.next_payload, &datagram[HEADER_BYTES..]).unwrap();
        let encrypted = outer.encrypted.unwrap();
        protection.open(datagram, &encrypted).map(|plain| (encrypted.first, plain.to_vec()))
    }

    // RFC 7634 appendix B.
    #[test]
    fn rfc7634() {
        let message = hex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029101112131415161761039470\
             1f8d017f7c129248896b71bfe25236efd7cdc67066906315b2");
        let key: Vec<u8> = (0x80..0xa4).collect();
        let mut chain = Chain::new();
        // SET_WINDOW_SIZE of ten.
        chain.push_notify(16385, &[0, 0, 0, 10]);
        let opened = open(&protection(IkeCipher::ChaCha20Poly1305, None, &key, &[], true), &message);
        assert_eq!(opened, Ok((chain.first(), chain.bytes().to_vec())));
        let mut sealing = protection(IkeCipher::ChaCha20Poly1305, None, &key, &[], false);
        sealing.next_iv = 0x1011_1213_1415_1617;
        let sealed = sealing.seal(Header::parse(&message).unwrap(), &chain, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(sealed, message);
    }

    // By pyca/cryptography, a message for each cipher and integrity algorithm: tests/oracle/generate.py.
    #[test]
    fn what_others_seal_is_opened() {
        let lines: Vec<&str> = include_str!("../../tests/vectors/sealed.txt").lines().collect();
        let mut seen = Vec::new();
        for line in lines {
            let [cipher, integrity, e, a, message, plain] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let encryption = IkeCipher::ALL.into_iter().find(|c| c.to_string() == cipher).unwrap();
            let integrity = Integrity::ALL.into_iter().find(|i| i.to_string() == integrity);
            let mut message = hex(message);
            let keys = (hex(e), if a == "-" { Vec::new() } else { hex(a) });
            let opening = protection(encryption, integrity, &keys.0, &keys.1, true);
            assert_eq!(open(&opening, &message), Ok((41, hex(plain))), "{line}");
            // And the other way, by our own opening, which the line above has shown to be right.
            let mut chain = Chain::new();
            chain.push_notify(16385, &[0, 0, 0, 10]);
            let header = Header::parse(&message).unwrap();
            let mut sealing = protection(encryption, integrity, &keys.0, &keys.1, false);
            let sealed = sealing.seal(header, &chain, &mut ChaCha8Rng::seed_from_u64(1));
            assert_eq!(open(&opening, &sealed), Ok((41, chain.bytes().to_vec())), "{line}");
            for at in [HEADER_BYTES + 4, message.len() / 2, message.len() - 1] {
                message[at] ^= 1;
                assert_eq!(open(&opening, &message), Err(IntegrityError), "{cipher}: byte {at}");
                message[at] ^= 1;
            }
            seen.push((encryption, integrity));
        }
        for cipher in IkeCipher::ALL {
            let wanted = if cipher.is_aead() { vec![None] } else { Integrity::ALL.map(Some).to_vec() };
            assert!(wanted.into_iter().all(|integrity| seen.contains(&(cipher, integrity))), "{cipher}");
        }
    }
}
