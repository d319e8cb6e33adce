//! HMAC (RFC 2104) from the states that its key leaves the hash in.

use zeroize::Zeroize;

use crate::Integrity;

/// The chaining values after the padded key, inner and outer (RFC 2104 §2): the key itself is needed no more.
///
/// Words of 32 bits stand in the lower halves.
pub struct Chaining {
    pub(super) inner: [u64; 8],
    pub(super) outer: [u64; 8],
    /// Bytes of the hash, of which the tag is the start.
    pub(super) digest: usize,
}

/// FIPS 180-4 §5.3.1.
const START_1: [u32; 5] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
/// FIPS 180-4 §5.3.3.
const START_256: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
/// FIPS 180-4 §5.3.4.
const START_384: [u64; 8] = [
    0xcbbb9d5d_c1059ed8,
    0x629a292a_367cd507,
    0x9159015a_3070dd17,
    0x152fecd8_f70e5939,
    0x67332667_ffc00b31,
    0x8eb44a87_68581511,
    0xdb0c2e0d_64f98fa7,
    0x47b5481d_befa4fa4,
];
/// FIPS 180-4 §5.3.5.
const START_512: [u64; 8] = [
    0x6a09e667_f3bcc908,
    0xbb67ae85_84caa73b,
    0x3c6ef372_fe94f82b,
    0xa54ff53a_5f1d36f1,
    0x510e527f_ade682d1,
    0x9b05688c_2b3e6c1f,
    0x1f83d9ab_fb41bd6b,
    0x5be0cd19_137e2179,
];

impl Chaining {
    /// From a key no longer than the hash's block: those of ESP are shorter (RFC 2404 §3, RFC 4868 §2.1.1).
    pub fn new(integrity: Integrity, key: &[u8]) -> Self {
        let digest = integrity.key_length();
        let [inner, outer] = [0x36, 0x5c].map(|pad| match integrity {
            Integrity::HmacSha1 => {
                let mut state = START_1;
                absorb::<64>(key, pad, |block| ::sha1::block_api::compress(&mut state, block));
                let [a, b, c, d, e] = state.map(u64::from);
                state.zeroize();
                [a, b, c, d, e, 0, 0, 0]
            }
            Integrity::HmacSha256 => {
                let mut state = START_256;
                absorb::<64>(key, pad, |block| ::sha2::block_api::compress256(&mut state, block));
                let words = state.map(u64::from);
                state.zeroize();
                words
            }
            Integrity::HmacSha384 | Integrity::HmacSha512 => {
                let mut state = if integrity == Integrity::HmacSha384 { START_384 } else { START_512 };
                absorb::<128>(key, pad, |block| ::sha2::block_api::compress512(&mut state, block));
                state
            }
        });
        Self { inner, outer, digest }
    }
}

/// Where the hash starts, for its examples.
#[cfg(test)]
pub fn start(integrity: Integrity) -> [u64; 8] {
    match integrity {
        Integrity::HmacSha1 => std::array::from_fn(|i| START_1.get(i).copied().map_or(0, u64::from)),
        Integrity::HmacSha256 => START_256.map(u64::from),
        Integrity::HmacSha384 => START_384,
        Integrity::HmacSha512 => START_512,
    }
}

/// The padded key's block.
fn absorb<const BLOCK: usize>(key: &[u8], pad: u8, compress: impl FnOnce(&[[u8; BLOCK]])) {
    let mut block = [[pad; BLOCK]];
    for (byte, key) in block[0].iter_mut().zip(key) {
        *byte ^= key;
    }
    compress(&block);
    block[0].zeroize();
}

impl Drop for Chaining {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}
