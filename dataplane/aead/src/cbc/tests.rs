use proptest::prelude::*;

use super::hash::{Hash, Lanes, Word};
use super::*;
use crate::{AssociatedData, Buffers, Nonce, Open, Seal, Suite, Tail};

/// Bytes from hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Those that have the CBC of this module.
fn kernels() -> impl Iterator<Item = Kernel> {
    Kernel::available().filter(|kernel| *kernel >= Kernel::AesNi)
}

/// Key, initialisation vector, plaintext, ciphertext.
fn cbc_vectors() -> Vec<[Vec<u8>; 4]> {
    let block_text = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
        30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";
    let block_iv = "000102030405060708090a0b0c0d0e0f";
    vec![
        // RFC 3602 §4 case 1.
        [
            bytes("06a9214036b8a15b512e03d534120006"),
            bytes("3dafba429d9eb430b422da802c9fac41"),
            b"Single block msg".to_vec(),
            bytes("e353779c1079aeb82708942dbe77181a"),
        ],
        // RFC 3602 §4 case 2.
        [
            bytes("c286696d887c9aa0611bbb3e2025a45a"),
            bytes("562e17996d093d28ddb3ba695a2e6f58"),
            (0..0x20).collect(),
            bytes("d296cd94c2cccf8a3a863028b5e1dc0a 7586602d253cfff91b8266bea6d61ab1"),
        ],
        // RFC 3602 §4 case 3.
        [
            bytes("6c3ea0477630ce21a2ce334aa746c2cd"),
            bytes("c782dc4c098c66cbd9cd27d825682c81"),
            b"This is a 48-byte message (exactly 3 AES blocks)".to_vec(),
            bytes(
                "d0a02b3836451753d493665d33f0e886 2dea54cdb293abc7506939276772f8d5
                 021c19216bad525c8579695d83ba2684",
            ),
        ],
        // RFC 3602 §4 case 4.
        [
            bytes("56e47a38c5598974bc46903dba290349"),
            bytes("8ce82eefbea0da3c44699ed7db51b7d9"),
            (0xa0..0xe0).collect(),
            bytes(
                "c30e32ffedc0774e6aff6af0869f71aa 0f3af07a9a31a9c684db207eb0ef8e4e
                 35907aa632c3ffdf868bb7b29d3d46ad 83ce9f9a102ee99d49a53e87f4c3da55",
            ),
        ],
        // NIST SP 800-38A F.2.3.
        [
            bytes("8e73b0f7da0e6452c810f32b809079e5 62f8ead2522c6b7b"),
            bytes(block_iv),
            bytes(block_text),
            bytes(
                "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a
                 571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
            ),
        ],
        // NIST SP 800-38A F.2.5.
        [
            bytes("603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4"),
            bytes(block_iv),
            bytes(block_text),
            bytes(
                "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
                 39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
            ),
        ],
    ]
}

#[test]
fn cipher_meets_published_vectors_in_every_lane() {
    for kernel in kernels() {
        for [key, iv, plain, cipher] in cbc_vectors() {
            // SAFETY: the kernel is available.
            let keys = [(); 3].map(|()| unsafe { RoundKeys::new(&key) });
            for count in 1..=40 {
                for many_keys in [false, true] {
                    let mut buffers = vec![plain.clone(); count];
                    let texts: Vec<Text<'_>> = buffers
                        .iter_mut()
                        .enumerate()
                        .map(|(number, buffer)| Text {
                            keys: &keys[if many_keys { number % 3 } else { 0 }],
                            iv: iv.clone().try_into().unwrap(),
                            source: buffer.as_ptr(),
                            destination: buffer.as_mut_ptr(),
                            length: buffer.len(),
                            tail: &Tail::EMPTY,
                        })
                        .collect();
                    cipher::encrypt(kernel, texts.iter().copied());
                    assert!(buffers.iter().all(|buffer| *buffer == cipher), "{kernel}, {count} texts");
                    texts.iter().for_each(|text| cipher::decrypt(kernel, text));
                    assert!(buffers.iter().all(|buffer| *buffer == plain), "{kernel}, {count} texts");
                }
            }
        }
    }
}

/// Everything that hashes on this processor, and what would on others.
fn engines() -> Vec<Engine> {
    let all = Engine::of(Kernel::Vaes512);
    let none = Engine { avx512: false, avx2: false, sha: false };
    let one = [
        Engine { avx512: all.avx512, ..none },
        Engine { avx512: all.avx512, sha: all.sha, ..none },
        Engine { sha: all.sha, ..none },
        Engine { avx2: all.avx2, ..none },
    ];
    one.into_iter().chain([none]).collect()
}

/// The hash of each message, from a chaining value that has taken `taken` bytes in, by as many lanes.
fn hash<H: Hash<L>, const L: usize>(
    engine: Engine,
    start: [u64; 8],
    taken: usize,
    messages: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let padded: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| {
            let mut padded = message.clone();
            padded.push(0x80);
            padded.resize((padded.len() + H::BLOCK / 8).next_multiple_of(H::BLOCK) - 8, 0);
            padded.extend((8 * (taken + message.len()) as u64).to_be_bytes());
            padded
        })
        .collect();
    let mut lanes = Lanes::<H::Word, L>::new();
    lanes.active = messages.len();
    for (lane, padded) in padded.iter().enumerate() {
        lanes.set_state(lane, start.map(H::Word::truncated));
        lanes.next[lane] = padded.as_ptr();
    }
    H::compress(engine, &mut lanes, padded[0].len() / H::BLOCK);
    let word = H::BLOCK / 16;
    let bytes = |lane| lanes.state(lane).into_iter().flat_map(|state| state.bytes()[..word].to_vec()).collect();
    (0..messages.len()).map(bytes).collect()
}

/// The same for the hash of an integrity transform.
fn hash_of(integrity: Integrity, engine: Engine, start: [u64; 8], taken: usize, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut digests = match integrity {
        Integrity::HmacSha1 => hash::<Sha1, 16>(engine, start, taken, messages),
        Integrity::HmacSha256 => hash::<Sha256, 16>(engine, start, taken, messages),
        Integrity::HmacSha384 | Integrity::HmacSha512 => hash::<Sha512, 8>(engine, start, taken, messages),
    };
    digests.iter_mut().for_each(|digest| digest.truncate(integrity.key_length()));
    digests
}

/// Lanes of a hash, and bytes of its block.
fn shape(integrity: Integrity) -> (usize, usize) {
    match integrity {
        Integrity::HmacSha1 | Integrity::HmacSha256 => (16, 64),
        Integrity::HmacSha384 | Integrity::HmacSha512 => (8, 128),
    }
}

#[test]
fn hashes_meet_published_examples_in_every_lane() {
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let two_wide_blocks = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno\
        ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    // The examples that FIPS 180 links to: one block, and two.
    let examples: [(Integrity, &[u8], &str); 8] = [
        (Integrity::HmacSha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Integrity::HmacSha1, two_blocks, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (Integrity::HmacSha256, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (Integrity::HmacSha256, two_blocks, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (
            Integrity::HmacSha384,
            b"abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Integrity::HmacSha384,
            two_wide_blocks,
            "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039",
        ),
        (
            Integrity::HmacSha512,
            b"abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            Integrity::HmacSha512,
            two_wide_blocks,
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018
             501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
        ),
    ];
    for engine in engines() {
        for (integrity, message, digest) in examples {
            for lanes in 1..=shape(integrity).0 {
                let digests = hash_of(integrity, engine, hmac::start(integrity), 0, &vec![message.to_vec(); lanes]);
                assert!(
                    digests.iter().all(|made| *made == bytes(digest)),
                    "{integrity:?} by {engine:?}, {lanes} lanes"
                );
            }
        }
    }
}

/// HMAC from the key's chaining values, by every lane.
fn hmac_of(integrity: Integrity, engine: Engine, key: &[u8], message: &[u8]) -> Vec<Vec<u8>> {
    let chaining = Chaining::new(integrity, key);
    let (lanes, block) = shape(integrity);
    let inner = hash_of(integrity, engine, chaining.inner, block, &vec![message.to_vec(); lanes]);
    hash_of(integrity, engine, chaining.outer, block, &inner)
}

#[test]
fn hmac_meets_published_vectors() {
    let what = b"what do ya want for nothing?".as_slice();
    let vectors: [(Integrity, &[u8], &[u8], &str); 12] = [
        // RFC 2202 §3 cases 1 to 3.
        (Integrity::HmacSha1, &[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (Integrity::HmacSha1, b"Jefe", what, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (Integrity::HmacSha1, &[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        // RFC 4231 §4.2, §4.3.
        (
            Integrity::HmacSha256,
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (Integrity::HmacSha256, b"Jefe", what, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            Integrity::HmacSha384,
            &[0x0b; 20],
            b"Hi There",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
        ),
        (
            Integrity::HmacSha384,
            b"Jefe",
            what,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            Integrity::HmacSha512,
            &[0x0b; 20],
            b"Hi There",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            Integrity::HmacSha512,
            b"Jefe",
            what,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        // RFC 4868 §2.7.2: AUTH256-1, AUTH384-1, AUTH512-1.
        (
            Integrity::HmacSha256,
            &[0x0b; 32],
            b"Hi There",
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7",
        ),
        (
            Integrity::HmacSha384,
            &[0x0b; 48],
            b"Hi There",
            "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee9737a959796489bddbc4c5df61d5b3297b4fb68dab9f1b582c2",
        ),
        (
            Integrity::HmacSha512,
            &[0x0b; 64],
            b"Hi There",
            "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8
             ac2878ebd5803f6f0b61dbce5e251ff8789a4722c1be65aea45fd464e89f8f5b",
        ),
    ];
    for engine in engines() {
        for (integrity, key, message, code) in vectors {
            let codes = hmac_of(integrity, engine, key, message);
            assert!(codes.iter().all(|made| *made == bytes(code)), "{integrity:?} by {engine:?}");
        }
    }
}

/// A packet of a random batch.
#[derive(Debug, Clone)]
struct Drawn {
    suite: Suite,
    /// Which of a few keys.
    key: u8,
    /// Blocks of the text, its tail included.
    blocks: usize,
    tail: usize,
    in_place: bool,
    extended: bool,
    seed: u8,
}

impl Drawn {
    fn tail(&self) -> usize {
        self.tail.min(16 * self.blocks)
    }

    fn source(&self) -> Vec<u8> {
        (0..16 * self.blocks - self.tail()).map(|i| (i as u8).wrapping_mul(167) ^ self.seed).collect()
    }

    fn key(&self, kernel: Kernel) -> crate::Key {
        let bytes: Vec<u8> = (0..self.suite.key_length()).map(|i| (i as u8).wrapping_mul(self.key | 1)).collect();
        crate::Key::for_kernel(kernel, self.suite, &bytes).unwrap()
    }

    fn nonce(&self) -> Nonce {
        Nonce::block(std::array::from_fn(|i| (i as u8) ^ self.seed))
    }

    fn data(&self) -> AssociatedData {
        if self.extended {
            AssociatedData::extended(std::array::from_fn(|i| self.seed.wrapping_add(i as u8)))
        } else {
            AssociatedData::short([self.seed; 8])
        }
    }
}

fn drawn(suite: impl Strategy<Value = Suite>) -> impl Strategy<Value = Drawn> {
    let blocks = prop_oneof![6 => 0..12usize, 3 => 0..96usize, 1 => 0..=576usize];
    (suite, 0..3u8, blocks, 0..=20usize, any::<bool>(), any::<bool>(), any::<u8>()).prop_map(
        |(suite, key, blocks, tail, in_place, extended, seed)| Drawn {
            suite,
            key,
            blocks,
            tail,
            in_place,
            extended,
            seed,
        },
    )
}

fn any_suite() -> impl Strategy<Value = Suite> {
    (4..16usize).prop_map(|number| Suite::ALL[number])
}

/// Of all suites, or of one.
fn batch() -> impl Strategy<Value = Vec<Drawn>> {
    prop_oneof![
        prop::collection::vec(drawn(any_suite()), 1..70),
        any_suite().prop_flat_map(|suite| prop::collection::vec(drawn(Just(suite)), 1..70)),
    ]
}

fn seal_drawn(keys: &[crate::Key], batch: &[Drawn]) -> Vec<Vec<u8>> {
    let sources: Vec<Vec<u8>> = batch.iter().map(Drawn::source).collect();
    let mut rooms: Vec<Vec<u8>> = batch
        .iter()
        .zip(&sources)
        .map(|(drawn, source)| {
            let mut room = if drawn.in_place { source.clone() } else { vec![] };
            room.resize(16 * drawn.blocks + drawn.suite.tag_length(), 0xee);
            room
        })
        .collect();
    let mut packets: Vec<Seal<'_>> = batch
        .iter()
        .zip(keys)
        .zip(sources.iter().zip(&mut rooms))
        .map(|((drawn, key), (source, room))| Seal {
            key,
            nonce: drawn.nonce(),
            associated_data: drawn.data(),
            buffers: if drawn.in_place { Buffers::InPlace(room) } else { Buffers::Apart { source, destination: room } },
            tail: Tail::new([drawn.seed ^ 0x55; 20], drawn.tail()),
        })
        .collect();
    crate::seal(&mut packets);
    rooms
}

/// What was opened, where it was authentic.
fn open_drawn(keys: &[crate::Key], batch: &[Drawn], sealed: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let mut rooms: Vec<Vec<u8>> = batch
        .iter()
        .zip(sealed)
        .map(|(drawn, sealed)| if drawn.in_place { sealed.clone() } else { vec![0xee; 16 * drawn.blocks] })
        .collect();
    let mut packets: Vec<Open<'_>> = batch
        .iter()
        .zip(keys)
        .zip(sealed.iter().zip(&mut rooms))
        .map(|((drawn, key), (source, room))| Open {
            key,
            nonce: drawn.nonce(),
            associated_data: drawn.data(),
            buffers: if drawn.in_place { Buffers::InPlace(room) } else { Buffers::Apart { source, destination: room } },
            authentic: false,
        })
        .collect();
    crate::open(&mut packets);
    let authentic: Vec<bool> = packets.iter().map(|packet| packet.authentic).collect();
    let opened = rooms.into_iter().zip(batch).zip(authentic);
    opened
        .map(|((mut room, drawn), authentic)| {
            room.truncate(16 * drawn.blocks);
            assert!(authentic || room.iter().all(|byte| *byte == 0), "zeros are left of what is not authentic");
            authentic.then_some(room)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_the_portable_kernel(batch in batch(), flipped: u16) {
        let expand = |kernel| -> Vec<crate::Key> { batch.iter().map(|drawn| drawn.key(kernel)).collect() };
        let expected = seal_drawn(&expand(Kernel::Portable), &batch);
        for kernel in kernels() {
            let keys = expand(kernel);
            let sealed = seal_drawn(&keys, &batch);
            prop_assert!(sealed == expected, "sealed by {}", kernel);
            for (drawn, opened) in batch.iter().zip(open_drawn(&keys, &batch, &sealed)) {
                let mut plain = drawn.source();
                plain.resize(16 * drawn.blocks, drawn.seed ^ 0x55);
                prop_assert!(opened == Some(plain), "opened by {}", kernel);
            }
            // A bit of each packet's tag.
            let mut forged = sealed;
            for (drawn, packet) in batch.iter().zip(&mut forged) {
                let bit = usize::from(flipped) % (8 * drawn.suite.tag_length());
                packet[16 * drawn.blocks + bit / 8] ^= 1 << (bit % 8);
            }
            prop_assert!(open_drawn(&keys, &batch, &forged).iter().all(Option::is_none), "forged, by {}", kernel);
        }
    }

    #[test]
    fn agrees_with_the_portable_kernel_under_one_key(
        drawn in any_suite().prop_flat_map(|suite| prop::collection::vec(drawn(Just(suite)), 1..70)),
    ) {
        let portable = drawn[0].key(Kernel::Portable);
        for kernel in kernels() {
            let key = drawn[0].key(kernel);
            for drawn in drawn.chunks(7).chain([&drawn[..]]) {
                prop_assert!(seal_shared(&key, drawn) == seal_shared(&portable, drawn), "sealed by {}", kernel);
            }
        }
    }
}

/// All apart, without tails, under one key.
fn seal_shared(key: &crate::Key, batch: &[Drawn]) -> Vec<Vec<u8>> {
    let sources: Vec<Vec<u8>> = batch.iter().map(|drawn| vec![drawn.seed; 16 * drawn.blocks]).collect();
    let room = |source: &Vec<u8>| vec![0; source.len() + key.suite().tag_length()];
    let mut rooms: Vec<Vec<u8>> = sources.iter().map(room).collect();
    let mut packets: Vec<Seal<'_>> = batch
        .iter()
        .zip(sources.iter().zip(&mut rooms))
        .map(|(drawn, (source, destination))| Seal {
            key,
            nonce: drawn.nonce(),
            associated_data: drawn.data(),
            buffers: Buffers::Apart { source, destination },
            tail: Tail::EMPTY,
        })
        .collect();
    crate::seal(&mut packets);
    rooms
}

#[test]
fn packets_of_one_length_agree_with_the_portable_kernel() {
    for suite in &Suite::ALL[4..] {
        for count in [2, 9, 13, 16, 50] {
            for blocks in [0, 1, 6, 7, 90] {
                let drawn = |seed: usize| Drawn {
                    suite: *suite,
                    key: (seed % 3) as u8,
                    blocks,
                    tail: 0,
                    in_place: false,
                    extended: seed.is_multiple_of(2),
                    seed: seed as u8,
                };
                let batch: Vec<Drawn> = (0..count).map(drawn).collect();
                let expand = |kernel| -> Vec<crate::Key> { batch.iter().map(|drawn| drawn.key(kernel)).collect() };
                let expected = seal_drawn(&expand(Kernel::Portable), &batch);
                for kernel in kernels() {
                    let keys = expand(kernel);
                    assert!(seal_drawn(&keys, &batch) == expected, "{count} of {blocks} blocks, {suite} by {kernel}");
                    let opened = open_drawn(&keys, &batch, &expected);
                    let plain = batch.iter().map(|drawn| Some(drawn.source()));
                    assert!(plain.eq(opened), "{count} of {blocks} blocks, {suite} by {kernel}");
                }
            }
        }
    }
}

#[test]
fn refuses_every_flipped_bit_of_a_tag() {
    for kernel in Kernel::available() {
        for suite in &Suite::ALL[4..] {
            let bits = 8 * suite.tag_length();
            let drawn = Drawn { suite: *suite, key: 1, blocks: 3, tail: 5, in_place: false, extended: true, seed: 7 };
            let batch = vec![drawn.clone(); bits + 1];
            let keys: Vec<crate::Key> = batch.iter().map(|drawn| drawn.key(kernel)).collect();
            let mut sealed = seal_drawn(&keys, &batch);
            for (bit, packet) in sealed.iter_mut().take(bits).enumerate() {
                packet[16 * drawn.blocks + bit / 8] ^= 1 << (bit % 8);
            }
            let authentic: Vec<bool> = open_drawn(&keys, &batch, &sealed).iter().map(Option::is_some).collect();
            assert_eq!(authentic.iter().position(|authentic| *authentic), Some(bits), "{suite} by {kernel}");
        }
    }
}

#[test]
fn what_is_no_whole_number_of_blocks_is_not_authentic() {
    for kernel in Kernel::available() {
        for suite in &Suite::ALL[4..] {
            let key = crate::Key::for_kernel(kernel, *suite, &vec![3; suite.key_length()]).unwrap();
            for length in 0..40 {
                let mut packet = vec![9; length + suite.tag_length()];
                let mut packets = [Open {
                    key: &key,
                    nonce: Nonce::block([1; 16]),
                    associated_data: AssociatedData::short([2; 8]),
                    buffers: Buffers::InPlace(&mut packet),
                    authentic: true,
                }];
                crate::open(&mut packets);
                assert!(!packets[0].authentic, "{length} bytes, {suite} by {kernel}");
            }
        }
    }
}

#[test]
fn initialisation_vectors_are_enciphered_numbers() {
    for kernel in Kernel::available() {
        for suite in Suite::ALL {
            let key = crate::Key::for_kernel(kernel, suite, &vec![3; suite.key_length()]).unwrap();
            let Suite::AesCbc(length, _) = suite else {
                assert_eq!(key.initialisation_vector(1), None, "{suite} by {kernel}");
                continue;
            };
            let mut block = *b"\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08";
            crate::portable::Cipher::new(length, &vec![3; length.length()]).unwrap().encrypt_block(&mut block);
            assert_eq!(key.initialisation_vector(0x0102_0304_0506_0708), Some(block), "{suite} by {kernel}");
        }
    }
}
