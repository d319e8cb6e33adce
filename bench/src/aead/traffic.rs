//! Packets as they are in clear and on the wire, and their keys: the same for every implementation.

use ::aead::{AssociatedData, Buffers, Kernel, Key, Nonce, Seal, Suite, Tail};

use super::case::Case;

/// Bytes in clear: security parameters index and sequence number.
pub const HEADER: usize = 8;
/// Bytes of an AEAD's tag.
pub const AEAD_TAG: usize = 16;

/// Keys and packets of one case, sealed by the portable kernel.
pub struct Traffic {
    pub suite: Suite,
    /// As many as the case has, [`Suite::key_length`] bytes each.
    pub keys: Vec<Vec<u8>>,
    pub packets: Vec<Packet>,
}

/// A packet.
pub struct Packet {
    /// Which of the keys.
    pub key: usize,
    /// The initialisation vector of CBC; of an AEAD the first twelve bytes, salt and initialisation vector.
    pub nonce: [u8; 16],
    pub header: [u8; HEADER],
    pub text: Vec<u8>,
    /// Header, initialisation vector, ciphertext and tag.
    pub sealed: Vec<u8>,
}

impl Traffic {
    /// The same bytes in every run.
    pub fn new(case: &Case) -> Self {
        let suite = case.suite;
        let mut bytes = Bytes(case.size as u64);
        let keys: Vec<_> = (0..case.keys).map(|_| bytes.take(suite.key_length())).collect();
        let salts: Vec<_> = (0..case.keys).map(|_| bytes.take(4)).collect();
        let expanded: Vec<_> = keys
            .iter()
            .map(|key| Key::for_kernel(Kernel::Portable, suite, key).expect("a key of the suite's length"))
            .collect();
        let packets = (0..case.batch).map(|number| {
            let key = number % case.keys;
            let text = bytes.take(case.size);
            let mut header = [0; HEADER];
            header[..4].copy_from_slice(&(key as u32 + 0x1000).to_be_bytes());
            header[4..].copy_from_slice(&(number as u32 + 1).to_be_bytes());
            let mut nonce = [0; 16];
            let iv = if is_cbc(suite) {
                nonce.copy_from_slice(&bytes.take(16));
                nonce.to_vec()
            } else {
                nonce[..4].copy_from_slice(&salts[key]);
                nonce[4..12].copy_from_slice(&(number as u64 + 1).to_be_bytes());
                nonce[4..12].to_vec()
            };
            let mut ciphertext = vec![0; text.len() + suite.tag_length()];
            ::aead::seal(&mut [Seal {
                key: &expanded[key],
                nonce: nonce_of(suite, nonce),
                associated_data: AssociatedData::short(header),
                buffers: Buffers::Apart { source: &text, destination: &mut ciphertext },
                tail: Tail::EMPTY,
            }]);
            let sealed = [&header[..], &iv, &ciphertext].concat();
            Packet { key, nonce, header, text, sealed }
        });
        let packets = packets.collect();
        Self { suite, keys, packets }
    }
}

impl Packet {
    /// The nonce of an AEAD.
    pub fn counter(&self) -> [u8; 12] {
        *self.nonce.first_chunk().expect("shorter")
    }
}

/// Bytes in front of the ciphertext.
pub fn prefix(suite: Suite) -> usize {
    HEADER + suite.iv_length()
}

/// The nonce as Bordergate takes it.
pub fn nonce_of(suite: Suite, nonce: [u8; 16]) -> Nonce {
    if is_cbc(suite) { Nonce::block(nonce) } else { Nonce::counter(*nonce.first_chunk().expect("shorter")) }
}

fn is_cbc(suite: Suite) -> bool {
    matches!(suite, Suite::AesCbc(..))
}

/// Bytes without a pattern (SplitMix64), the same for the same seed.
struct Bytes(u64);

impl Bytes {
    fn take(&mut self, count: usize) -> Vec<u8> {
        let words = (0..count.div_ceil(8)).flat_map(|_| {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31).to_le_bytes()
        });
        words.take(count).collect()
    }
}
