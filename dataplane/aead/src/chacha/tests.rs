use std::arch::x86_64::{__m256i, __m512i};

use super::*;
use crate::{AssociatedData, Buffers, MOST_TAIL, Nonce, Open, Seal, Suite, Tail};
use ::poly1305::universal_hash::{KeyInit, UniversalHash};
use proptest::prelude::*;

fn kernels() -> impl Iterator<Item = Kernel> {
    Kernel::available().filter(|kernel| matches!(kernel, Kernel::Vaes256 | Kernel::Vaes512))
}

fn hex<const N: usize>(digits: &str) -> [u8; N] {
    let digits: Vec<u8> =
        digits.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

/// Counting from 0: the key of several of the RFC's examples.
fn counting<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|i| from.wrapping_add(i as u8))
}

/// A sealed packet: text, then tag.
fn sealed(key: &crate::Key, nonce: [u8; 12], data: AssociatedData, text: &[u8], tail: usize) -> Vec<u8> {
    let (source, end) = text.split_at(text.len() - tail);
    let mut bytes = [0; MOST_TAIL];
    bytes[..tail].copy_from_slice(end);
    let mut destination = vec![0; text.len() + TAG];
    crate::seal(&mut [Seal {
        key,
        nonce: Nonce::counter(nonce),
        associated_data: data,
        buffers: Buffers::Apart { source, destination: &mut destination },
        tail: Tail::new(bytes, tail),
    }]);
    destination
}

fn opened(key: &crate::Key, nonce: [u8; 12], data: AssociatedData, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut destination = vec![0xee; sealed.len() - TAG];
    let mut batch = [Open {
        key,
        nonce: Nonce::counter(nonce),
        associated_data: data,
        buffers: Buffers::Apart { source: sealed, destination: &mut destination },
        authentic: false,
    }];
    crate::open(&mut batch);
    let authentic = batch[0].authentic;
    if !authentic {
        assert!(destination.iter().all(|&byte| byte == 0), "something is left of what was not authentic");
    }
    authentic.then_some(destination)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
fn keystream_512(packets: &[Packet<'_, Key>]) -> Vec<[u8; BLOCK]> {
    let mut keystream = Keystream([[0; BLOCK]; 16]);
    // SAFETY: this function has the instructions.
    unsafe { Set::new(packets).keystream::<__m512i>(packets, &mut keystream) };
    keystream.0.to_vec()
}

#[target_feature(enable = "avx2,bmi2")]
fn keystream_256(packets: &[Packet<'_, Key>]) -> Vec<[u8; BLOCK]> {
    let mut keystream = Keystream([[0; BLOCK]; 8]);
    // SAFETY: this function has the instructions.
    unsafe { Set::new(packets).keystream::<__m256i>(packets, &mut keystream) };
    keystream.0.to_vec()
}

/// Tags of messages, as many as lanes at most, first side by side, then one by one.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
fn tags_512(messages: &[Message<'_>]) -> [Vec<[u8; TAG]>; 2] {
    let together = std::array::from_fn(|i| &messages[i % messages.len()]);
    // SAFETY: this function has the instructions.
    let made =
        unsafe { [poly1305::across::<Radix44, 8, 3>(&together), poly1305::along::<Radix44, 8, 3>(&together, 8)] };
    made.map(|tags| tags[..messages.len()].to_vec())
}

/// The same.
#[target_feature(enable = "avx2,bmi2")]
fn tags_256(messages: &[Message<'_>]) -> [Vec<[u8; TAG]>; 2] {
    let together = std::array::from_fn(|i| &messages[i % messages.len()]);
    // SAFETY: this function has the instructions.
    let made =
        unsafe { [poly1305::across::<Radix26, 4, 5>(&together), poly1305::along::<Radix26, 4, 5>(&together, 4)] };
    made.map(|tags| tags[..messages.len()].to_vec())
}

fn tags_of(kernel: Kernel, messages: &[Message<'_>]) -> [Vec<[u8; TAG]>; 2] {
    match kernel {
        // SAFETY: only available kernels are tested.
        Kernel::Vaes512 => unsafe { tags_512(messages) },
        // SAFETY: the same.
        Kernel::Vaes256 => unsafe { tags_256(messages) },
        Kernel::Portable | Kernel::AesNi => unreachable!("no kernels of ours"),
    }
}

/// One-time key and message as the kernels take them. RFC 8439 §2.8 pads to whole blocks, and the last block is that of
/// the lengths; here it is the message's own.
fn message<'a>(key: &'a [u8; BLOCK], blocks: &'a [[u8; 16]]) -> Message<'a> {
    let (last, text) = blocks.split_last().unwrap();
    Message {
        key,
        data: [0; 16],
        text: text.as_ptr().cast(),
        length: text.as_flattened().len(),
        lengths: *last,
        first: 1,
        inside: text.len() as isize + 1,
        last: text.len() as isize + 1,
    }
}

/// Bytes `r` and `s` where the kernels look for them; what follows does not matter.
fn one_time_key(r_and_s: [u8; 32]) -> [u8; BLOCK] {
    let mut key = [0xee; BLOCK];
    key[..32].copy_from_slice(&r_and_s);
    key
}

fn padded(text: &[u8]) -> Vec<[u8; 16]> {
    text.chunks(16)
        .map(|chunk| {
            let mut block = [0; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            block
        })
        .collect()
}

/// By the portable implementation.
fn oracle(key: [u8; 32], blocks: &[[u8; 16]]) -> [u8; TAG] {
    let mut oracle = ::poly1305::Poly1305::new(&key.into());
    oracle.update_padded(blocks.as_flattened());
    oracle.finalize().into()
}

fn check_poly1305(key: [u8; 32], blocks: &[[u8; 16]], expected: [u8; TAG]) {
    let own = one_time_key(key);
    for kernel in kernels() {
        for tags in tags_of(kernel, &[message(&own, blocks)]) {
            assert_eq!(tags, [expected], "{kernel}: {blocks:02x?}");
        }
    }
}

/// RFC 8439 §2.3.2.
#[test]
fn block_of_rfc_8439() {
    let key = Key::new(&counting::<32>(0)).unwrap();
    let suite = crate::Key::for_kernel(Kernel::Portable, Suite::ChaCha20Poly1305, &[0; 32]).unwrap();
    let mut buffer = [0; BLOCK + TAG];
    let mut seal = Seal {
        key: &suite,
        nonce: Nonce::counter(hex("000000090000004a00000000")),
        associated_data: AssociatedData::short([0; 8]),
        buffers: Buffers::InPlace(&mut buffer),
        tail: Tail::EMPTY,
    };
    let packets = [Packet::new(&key, &mut seal)];
    let expected = hex::<64>(
        "10f1e7e4d13b5915500fdd1fa32071c4 c7d1f4c733c068030422aa9ac3d46c4e
         d2826446079faa0914c2d705d98b02a2 b5129cd1de164eb9cbd083e8a2503c4e",
    );
    for kernel in kernels() {
        // SAFETY: only available kernels are tested.
        let keystream =
            unsafe { if kernel == Kernel::Vaes512 { keystream_512(&packets) } else { keystream_256(&packets) } };
        // Counter 0 makes the authentication key, 1 is that of the example.
        assert_eq!(keystream[1], expected, "{kernel}");
    }
}

/// RFC 8439 §2.5.2 and appendix A.3, those of whole blocks: what the kernels are made for.
#[test]
fn whole_blocks_of_rfc_8439() {
    let r = |r: &str| {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&hex::<16>(r));
        key
    };
    let zero = [0; 16];
    let (one, two) = (r("01000000000000000000000000000000"), r("02000000000000000000000000000000"));
    let ones = [0xff; 16];
    // 1.
    check_poly1305([0; 32], &[zero; 4], zero);
    // 5.
    check_poly1305(two, &[ones], hex("03000000000000000000000000000000"));
    // 6.
    let mut key = two;
    key[16..].fill(0xff);
    check_poly1305(key, &[hex("02000000000000000000000000000000")], hex("03000000000000000000000000000000"));
    // 7.
    let blocks = [ones, hex("f0ffffffffffffffffffffffffffffff"), hex("11000000000000000000000000000000")];
    check_poly1305(one, &blocks, hex("05000000000000000000000000000000"));
    // 8.
    check_poly1305(one, &[ones, hex("fbfefefefefefefefefefefefefefefe"), [1; 16]], zero);
    // 9.
    let text = hex("fdffffffffffffffffffffffffffffff");
    check_poly1305(two, &[text], hex("faffffffffffffffffffffffffffffff"));
    // 10 and 11.
    let key = r("01000000000000000400000000000000");
    let blocks = [
        hex("e33594d7505e43b90000000000000000"),
        hex("3394d7505e4379cd0100000000000000"),
        zero,
        hex("01000000000000000000000000000000"),
    ];
    check_poly1305(key, &blocks, hex("14000000000000005500000000000000"));
    check_poly1305(key, &blocks[..3], hex("13000000000000000000000000000000"));
}

/// RFC 8439 §2.5.2 and appendix A.3, those with a part of a block at their end, which the kernels never see: the oracle
/// gives the RFC's tag for the text, and the kernels the oracle's for the same text, padded.
#[test]
fn parts_of_blocks_of_rfc_8439() {
    let ietf = "Any submission to the IETF intended by the Contributor for publication as all or part of an IETF \
        Internet-Draft or RFC and any statement made within the context of an IETF activity is considered an \"IETF \
        Contribution\". Such statements include oral statements in IETF sessions, as well as written and electronic \
        communications made at any time or place, which are addressed to";
    let wabe = "'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe:\nAll mimsy were the borogoves,\n\
        And the mome raths outgrabe.";
    for (key, text, tag) in [
        (
            "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
            "Cryptographic Forum Research Group",
            "a8061dc1305136c6c22b8baf0c0127a9",
        ),
        // 2, 3 and 4.
        ("0000000000000000000000000000000036e5f6b5c5e06070f0efca96227a863e", ietf, "36e5f6b5c5e06070f0efca96227a863e"),
        ("36e5f6b5c5e06070f0efca96227a863e00000000000000000000000000000000", ietf, "f3477e7cd95417af89a6b8794c310cf0"),
        ("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", wabe, "4541669a7eaaee61e708dc7cbcc5eb62"),
    ] {
        let key = hex::<32>(key);
        let made: [u8; TAG] = ::poly1305::Poly1305::new(&key.into()).compute_unpadded(text.as_bytes()).into();
        assert_eq!(made, hex(tag));
        let blocks = padded(text.as_bytes());
        check_poly1305(key, &blocks, oracle(key, &blocks));
    }
}

/// Carries at their longest: all ones, and sums beside multiples of 2^130 - 5.
#[test]
fn edges_of_the_modulus() {
    let edges: [[u8; 16]; 8] = [
        [0; 16],
        [0xff; 16],
        hex("fbffffffffffffffffffffffffffffff"),
        hex("faffffffffffffffffffffffffffffff"),
        hex("fcffffffffffffffffffffffffffffff"),
        hex("01000000000000000000000000000000"),
        hex("00000000000000000000000000000080"),
        hex("ffffffffff0fffffffffff00ffffffff"),
    ];
    for r in [
        [0xff; 16],
        edges[5],
        edges[7],
        hex("02000000000000000000000000000000"),
        hex("fcffff0ffcffff0f0000000000000000"),
    ] {
        for s in [[0; 16], [0xff; 16], edges[2]] {
            let mut key = [0; 32];
            key[..16].copy_from_slice(&r);
            key[16..].copy_from_slice(&s);
            for length in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33, 64, 92, 200] {
                for edge in edges {
                    check_poly1305(key, &vec![edge; length], oracle(key, &vec![edge; length]));
                }
                let mixed: Vec<_> = (0..length).map(|i| edges[(i * 5 + length) % 8]).collect();
                check_poly1305(key, &mixed, oracle(key, &mixed));
            }
        }
    }
}

/// Messages of different lengths, side by side and one by one.
#[test]
fn every_message_in_its_lane() {
    for kernel in kernels() {
        let lanes = if kernel == Kernel::Vaes512 { 8 } else { 4 };
        for shift in 0..40 {
            let lengths: Vec<usize> = (0..lanes).map(|i| 1 + (i * 13 + shift * 7) % 45).collect();
            let keys: Vec<[u8; 32]> = (0..lanes).map(|i| counting((i * 29 + shift) as u8)).collect();
            let blocks: Vec<Vec<[u8; 16]>> =
                lengths.iter().map(|&n| (0..n).map(|i| counting((i * 17 + n) as u8)).collect()).collect();
            let own: Vec<_> = keys.iter().map(|&key| one_time_key(key)).collect();
            let messages: Vec<_> = own.iter().zip(&blocks).map(|(key, blocks)| message(key, blocks)).collect();
            let expected: Vec<_> = keys.iter().zip(&blocks).map(|(&key, blocks)| oracle(key, blocks)).collect();
            for tags in tags_of(kernel, &messages) {
                assert_eq!(tags, expected, "{kernel}: {lengths:?}");
            }
        }
    }
}

/// RFC 8439 §2.8.2.
#[test]
fn sunscreen_of_rfc_8439() {
    let text =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen \
        would be it.";
    let expected = hex::<130>(
        "d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6 3dbea45e8ca9671282fafb69da92728b
         1a71de0a9e060b2905d6a5b67ecd3b36 92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
         3ff4def08e4b7a9de576d26586cec64b 6116 1ae10b594f09e26a7e902ecbd0600691",
    );
    let (nonce, data) =
        (hex("070000004041424344454647"), AssociatedData::new(&hex::<12>("50515253c0c1c2c3c4c5c6c7")).unwrap());
    for kernel in kernels() {
        let key = crate::Key::for_kernel(kernel, Suite::ChaCha20Poly1305, &counting::<32>(0x80)).unwrap();
        assert_eq!(key.kernel(), kernel);
        assert_eq!(sealed(&key, nonce, data, text, 0), expected, "{kernel}");
        assert_eq!(opened(&key, nonce, data, &expected).as_deref(), Some(&text[..]), "{kernel}");
    }
}

/// RFC 7634 appendix A; padding, its length and the next header as the tail.
#[test]
fn packet_of_rfc_7634() {
    let text = hex::<88>(
        "45000054a6f200004001e778c6336405 c000020508005b7a3a080000553bec10 0007362708090a0b0c0d0e0f10111213
         1415161718191a1b1c1d1e1f20212223 2425262728292a2b2c2d2e2f30313233 3435363701020204",
    );
    let expected = hex::<104>(
        "24039428b97f417e3c13753a4f05087b 67c352e6a7fab1b982d466ef407ae5c6 14ee8099d52844eb61aa95dfab4c02f7
         2aa71e7c4c4f64c9befe2facc638e8f3 cbec163fac469b502773f6fb94e664da 9165b82829f641e0
         76aaa8266b7fb0f7b11b369907e1ad43",
    );
    let (nonce, data) = (hex("a0a1a2a31011121314151617"), AssociatedData::short(hex("0102030400000005")));
    for kernel in kernels() {
        let key = crate::Key::for_kernel(kernel, Suite::ChaCha20Poly1305, &counting::<32>(0x80)).unwrap();
        for tail in [0, 4, 20] {
            assert_eq!(sealed(&key, nonce, data, &text, tail), expected, "{kernel}");
        }
        assert_eq!(opened(&key, nonce, data, &expected).as_deref(), Some(&text[..]), "{kernel}");
    }
}

/// Nothing to authenticate in clear, nothing to encipher, or neither.
#[test]
fn empty_parts() {
    let portable = crate::Key::for_kernel(Kernel::Portable, Suite::ChaCha20Poly1305, &counting::<32>(3)).unwrap();
    for kernel in kernels() {
        let key = crate::Key::for_kernel(kernel, Suite::ChaCha20Poly1305, &counting::<32>(3)).unwrap();
        for data in [0, 1, 8, 15, 16] {
            for length in [0, 1, 15, 16, 17, 64, 500, 3000] {
                let (data, text) = (AssociatedData::new(&counting::<16>(7)[..data]).unwrap(), vec![0xa5; length]);
                let made = sealed(&key, [9; 12], data, &text, 0);
                assert_eq!(made, sealed(&portable, [9; 12], data, &text, 0), "{kernel}: {data:?}, {length}");
                assert_eq!(opened(&key, [9; 12], data, &made), Some(text), "{kernel}");
            }
        }
    }
}

#[test]
fn a_tag_with_one_bit_flipped_is_refused() {
    for kernel in kernels() {
        let key = crate::Key::for_kernel(kernel, Suite::ChaCha20Poly1305, &counting::<32>(1)).unwrap();
        let data = AssociatedData::short([5; 8]);
        for length in [0, 60, 300, 1440] {
            let right = sealed(&key, [4; 12], data, &vec![0x3c; length], 0);
            let mut packets: Vec<Vec<u8>> = vec![right; 129];
            for (bit, packet) in packets[1..].iter_mut().enumerate() {
                packet[length + bit / 8] ^= 1 << (bit % 8);
            }
            let mut batch: Vec<Open<'_>> = packets
                .iter_mut()
                .map(|packet| Open {
                    key: &key,
                    nonce: Nonce::counter([4; 12]),
                    associated_data: data,
                    buffers: Buffers::InPlace(packet),
                    authentic: false,
                })
                .collect();
            crate::open(&mut batch);
            let authentic: Vec<usize> = (0..129).filter(|&i| batch[i].authentic).collect();
            assert_eq!(authentic, [0], "{kernel}: {length} bytes");
            assert!(packets[1..].iter().all(|packet| packet[..length].iter().all(|&byte| byte == 0)));
            assert!(packets[0][..length].iter().all(|&byte| byte == 0x3c));
        }
    }
}

/// What a random packet is made of.
#[derive(Debug, Clone)]
struct Case {
    length: usize,
    tail: usize,
    key: usize,
    extended: bool,
    in_place: bool,
    seed: u8,
}

fn case() -> impl Strategy<Value = Case> {
    let around = (prop::sample::select(vec![16_usize, 64, 128, 256, 512, 1024, 2048]), 1_usize..5, 0_usize..7)
        .prop_map(|(unit, times, off)| (unit * times + 3).saturating_sub(off));
    let length = prop_oneof![4 => 0_usize..300, 3 => around, 1 => 0_usize..9217];
    (length, 0..=MOST_TAIL, 0_usize..3, any::<bool>(), any::<bool>(), any::<u8>())
        .prop_map(|(length, tail, key, extended, in_place, seed)| Case { length, tail, key, extended, in_place, seed })
}

impl Case {
    fn nonce(&self) -> Nonce {
        Nonce::counter(counting(self.seed))
    }

    fn data(&self) -> AssociatedData {
        if self.extended {
            AssociatedData::extended(counting(self.seed))
        } else {
            AssociatedData::short([self.seed; 8])
        }
    }

    fn text(&self) -> Vec<u8> {
        (0..self.length).map(|i| (i * 7 + i / 251) as u8 ^ self.seed).collect()
    }
}

/// Bytes beside the destination that must stay.
const MARGIN: usize = 64;

fn seal_all(cases: &[Case], keys: &[crate::Key]) -> Vec<Vec<u8>> {
    let sources: Vec<Vec<u8>> = cases.iter().map(Case::text).collect();
    let mut rooms: Vec<Vec<u8>> = Vec::new();
    for (case, source) in cases.iter().zip(&sources) {
        let mut room = vec![0x5a; MARGIN + case.length + case.tail + TAG + MARGIN];
        if case.in_place {
            room[MARGIN..][..case.length].copy_from_slice(source);
        }
        rooms.push(room);
    }
    let mut batch: Vec<Seal<'_>> = cases
        .iter()
        .zip(&sources)
        .zip(&mut rooms)
        .map(|((case, source), room)| {
            let room = &mut room[MARGIN..][..case.length + case.tail + TAG];
            Seal {
                key: &keys[case.key],
                nonce: case.nonce(),
                associated_data: case.data(),
                buffers: if case.in_place {
                    Buffers::InPlace(room)
                } else {
                    Buffers::Apart { source, destination: room }
                },
                tail: Tail::new(counting(case.seed), case.tail),
            }
        })
        .collect();
    crate::seal(&mut batch);
    rooms
}

/// What is left in the rooms, and which were authentic.
fn open_all(cases: &[Case], keys: &[crate::Key], sealed: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<bool>) {
    let mut rooms: Vec<Vec<u8>> = sealed
        .iter()
        .zip(cases)
        .map(|(sealed, case)| if case.in_place { sealed.clone() } else { vec![0x5a; sealed.len() - TAG] })
        .collect();
    let mut batch: Vec<Open<'_>> = cases
        .iter()
        .zip(sealed)
        .zip(&mut rooms)
        .map(|((case, sealed), room)| {
            let end = room.len() - MARGIN;
            let room = &mut room[MARGIN..end];
            Open {
                key: &keys[case.key],
                nonce: case.nonce(),
                associated_data: case.data(),
                buffers: if case.in_place {
                    Buffers::InPlace(room)
                } else {
                    Buffers::Apart { source: &sealed[MARGIN..sealed.len() - MARGIN], destination: room }
                },
                authentic: false,
            }
        })
        .collect();
    crate::open(&mut batch);
    let authentic = batch.iter().map(|packet| packet.authentic).collect();
    (rooms, authentic)
}

/// Whole rooms are compared, margins included.
fn check_batch(cases: &[Case], wrong: u64) -> Result<(), TestCaseError> {
    let keys = |kernel| -> Vec<crate::Key> {
        let key = |i| crate::Key::for_kernel(kernel, Suite::ChaCha20Poly1305, &counting::<32>(i)).unwrap();
        vec![key(0), key(100), key(200)]
    };
    let portable = keys(Kernel::Portable);
    let expected = seal_all(cases, &portable);
    // Some that someone has changed.
    let mut arrived = expected.clone();
    for (i, (packet, case)) in arrived.iter_mut().zip(cases).enumerate() {
        if wrong & 1 << (i % 64) != 0 {
            let at = usize::from(case.seed) * 41 % (packet.len() - 2 * MARGIN);
            packet[MARGIN + at] ^= 0x10;
        }
    }
    let (texts, authentic) = open_all(cases, &portable, &arrived);
    for kernel in kernels() {
        let keys = keys(kernel);
        let made = seal_all(cases, &keys);
        for (i, (made, expected)) in made.iter().zip(&expected).enumerate() {
            prop_assert!(made == expected, "{}: packet {} differs: {:?}", kernel, i, cases[i]);
        }
        let (own_texts, own_authentic) = open_all(cases, &keys, &arrived);
        prop_assert_eq!(&own_authentic, &authentic);
        for (i, (made, expected)) in own_texts.iter().zip(&texts).enumerate() {
            prop_assert!(made == expected, "{}: opened packet {} differs: {:?}", kernel, i, cases[i]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_agree_with_the_portable_kernel(cases in prop::collection::vec(case(), 1..70), wrong in any::<u64>()) {
        check_batch(&cases, wrong)?;
    }
}

/// A batch of packets that are long enough to be authenticated beside the rounds of others, some of them partly in a tail,
/// of one key or of several.
#[derive(Debug, Clone)]
struct Long {
    cases: Vec<Case>,
}

fn long() -> impl Strategy<Value = Long> {
    (LONG..1600, 0..64_usize, 1..4_usize, prop::collection::vec(case(), 9..70)).prop_map(
        |(length, spread, keys, mut cases)| {
            for (i, case) in cases.iter_mut().enumerate() {
                case.length = length + i * 37 % (spread + 1);
                case.key %= keys;
            }
            Long { cases }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn long_batches_agree_with_the_portable_kernel(long in long(), wrong in any::<u64>()) {
        check_batch(&long.cases, wrong)?;
    }
}
