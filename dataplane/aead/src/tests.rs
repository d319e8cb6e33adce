use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Test cases of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: those with associated data
/// are not of ESP's lengths, so these are the cases without, one for each key length.
const VECTORS: [(Suite, &str, &str, &str, &str, &str); 3] = [
    (
        Suite::Aes128Gcm16,
        "feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
        "4d5c2af327cd64a62cf35abd2ba6fab4",
    ),
    (
        Suite::Aes192Gcm16,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710acade256",
        "9924a7c8587336bfb118024db8674a14",
    ),
    (
        Suite::Aes256Gcm16,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
        "b094dac5d93471bdec1a502270e3cc6c",
    ),
];

#[test]
fn published_vectors_through_every_kernel() {
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.available()) {
        for (suite, key, nonce, text, sealed, tag) in VECTORS {
            let key = Key::for_kernel(kernel, suite, &hex(key)).unwrap();
            let nonce: [u8; NONCE] = hex(nonce).try_into().unwrap();
            let mut made = vec![0; text.len() / 2 + TAG];
            key.seal(&nonce, &[], &hex(text), &[], &mut made);
            assert_eq!(made, [hex(sealed), hex(tag)].concat(), "{suite} by {}", kernel.name());
            let mut opened = vec![0; text.len() / 2];
            assert!(key.open(&nonce, &[], &hex(sealed), &hex(tag).try_into().unwrap(), &mut opened));
            assert_eq!(opened, hex(text), "{suite} by {}", kernel.name());
        }
    }
}

#[test]
fn wrong_key_length_is_named() {
    let error = Key::new(Suite::Aes192Gcm16, &[0; 16]).unwrap_err();
    assert_eq!(error.to_string(), "a key of 16 bytes for aes-192-gcm; it takes 24");
}

#[test]
fn debug_shows_no_key() {
    let key = Key::new(Suite::Aes128Gcm16, &[0xab; 16]).unwrap();
    assert_eq!(format!("{key:?}"), "Key(aes-128-gcm, redacted)");
}

fn suite() -> impl Strategy<Value = Suite> {
    prop_oneof![Just(Suite::Aes128Gcm16), Just(Suite::Aes192Gcm16), Just(Suite::Aes256Gcm16)]
}

fn associated_data() -> impl Strategy<Value = AssociatedData> {
    prop_oneof![any::<[u8; 8]>().prop_map(AssociatedData::Short), any::<[u8; 12]>().prop_map(AssociatedData::Extended)]
}

fn tail(bytes: &[u8]) -> Tail {
    let mut tail = [0; MOST_TAIL];
    tail[..bytes.len()].copy_from_slice(bytes);
    Tail::new(tail, bytes.len())
}

/// All lengths around the kernels' chunks, and the longest frames there are.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..600, 1000_usize..1600, 9000_usize..9217]
}

proptest! {
    /// Every kernel makes what `aes-gcm` makes, whatever the lengths, and opens it; a forgery leaves no plaintext.
    #[test]
    fn kernels_agree(
        suite in suite(), key in any::<[u8; 32]>(), nonce in any::<[u8; NONCE]>(), data in associated_data(),
        source in length().prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length)),
        tail in proptest::collection::vec(any::<u8>(), 0..=MOST_TAIL),
        bit in any::<prop::sample::Index>(), offset in 0_usize..64,
    ) {
        let key = &key[..suite.key_length()];
        let length = source.len() + tail.len();
        let mut expected = vec![0; length + TAG];
        let oracle = Key::for_kernel(Kernel::Portable, suite, key).unwrap();
        oracle.seal(&nonce, data.bytes(), &source, &tail, &mut expected);
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.available()) {
            let key = Key::for_kernel(kernel, suite, key).unwrap();
            // At any alignment.
            let mut made = vec![0xee; offset + length + TAG];
            key.seal(&nonce, data.bytes(), &source, &tail, &mut made[offset..]);
            prop_assert!(made[offset..] == expected, "{} seals otherwise", kernel.name());
            let (text, tag) = expected.split_last_chunk::<TAG>().unwrap();
            let mut opened = vec![0xee; offset + length];
            prop_assert!(key.open(&nonce, data.bytes(), text, tag, &mut opened[offset..]));
            prop_assert!(opened[offset..] == [source.as_slice(), &tail].concat());
            let mut forged = expected.clone();
            let bit = bit.index(forged.len() * 8);
            forged[bit / 8] ^= 1 << (bit % 8);
            let (text, tag) = forged.split_last_chunk::<TAG>().unwrap();
            opened.fill(0xee);
            prop_assert!(!key.open(&nonce, data.bytes(), text, tag, &mut opened[offset..]));
            prop_assert!(opened[offset..] == *text || opened[offset..].iter().all(|byte| *byte == 0));
        }
    }

    /// A batch of mixed suites and sizes opens to what was sealed, and with any one bit flipped it does not.
    #[test]
    fn batches_open_to_what_was_sealed(
        packets in proptest::collection::vec(
            (suite(), any::<[u8; 32]>(), any::<[u8; NONCE]>(), associated_data(),
             proptest::collection::vec(any::<u8>(), 0..300), proptest::collection::vec(any::<u8>(), 0..MOST_TAIL),
             any::<prop::sample::Index>()),
            1..70),
    ) {
        let keys: Vec<Key> = packets.iter().map(|p| Key::new(p.0, &p.1[..p.0.key_length()]).unwrap()).collect();
        let mut sealed: Vec<Vec<u8>> = packets.iter().map(|p| vec![0; p.4.len() + p.5.len() + TAG]).collect();
        let mut batch: Vec<Seal> = packets.iter().zip(&keys).zip(&mut sealed).map(|((p, key), destination)| Seal {
            key, nonce: p.2, associated_data: p.3, source: &p.4,
            tail: tail(&p.5), destination,
        }).collect();
        seal(&mut batch);
        for flip in [false, true] {
            if flip {
                for (bytes, p) in sealed.iter_mut().zip(&packets) {
                    let bit = p.6.index(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            let mut opened: Vec<Vec<u8>> = packets.iter().map(|p| vec![0; p.4.len() + p.5.len()]).collect();
            let mut batch: Vec<Open> = packets.iter().zip(&keys).zip(&sealed).zip(&mut opened)
                .map(|(((p, key), source), destination)| Open {
                    key, nonce: p.2, associated_data: p.3, source, destination, authentic: flip,
                }).collect();
            open(&mut batch);
            prop_assert!(batch.iter().all(|packet| packet.authentic != flip));
            if !flip {
                for (bytes, p) in opened.iter().zip(&packets) {
                    prop_assert_eq!(bytes, &[p.4.as_slice(), &p.5].concat());
                }
            }
        }
    }
}
