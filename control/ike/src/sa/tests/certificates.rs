//! What only a peer with a certificate, and with bad manners, can send.

use std::sync::Arc;

use super::*;
use crate::authentication::{Authentication, Authority, Credential, HashSet, RevocationPolicy, RsaPadding, Trust};
use crate::reason::CertificateFault;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/certificates/", $name)).as_slice()
    };
}

fn certificate(name: &str) -> Authentication {
    let (certificate, key) = match name {
        "rsa" => (file!("rsa.pem"), file!("rsa.key")),
        "p256" => (file!("p256.pem"), file!("p256.key")),
        "p384" => (file!("p384.pem"), file!("p384.key")),
        "p521" => (file!("p521.pem"), file!("p521.key")),
        "ed25519" => (file!("ed25519.pem"), file!("ed25519.key")),
        other => panic!("{other}"),
    };
    let roots = [file!("root.pem"), file!("rsa-root.pem"), file!("ed-root.pem")];
    let authorities = roots.iter().flat_map(|root| Authority::all_from_pem(root).unwrap()).collect();
    Authentication::Certificate {
        local: Arc::new(Credential::from_pem(certificate, key, RsaPadding::Pss).unwrap()),
        trust: Arc::new(Trust::new(authorities, Vec::new(), RevocationPolicy::Lenient).unwrap()),
    }
}

/// Both ends after IKE_SA_INIT, A with one key and B with another. A has not read the answer yet.
fn opened_with(a_name: &str, b_name: &str) -> (End, End, Vec<u8>) {
    let (mut a, mut b) = (End::new(A, B), End::new(B, A));
    (a.config.authentication, b.config.authentication) = (certificate(a_name), certificate(b_name));
    let (sa, mut sent) = a.with(|_, env| IkeSa::initiate(TunnelId(1), 0xa, None, env));
    a.sa = Some(Box::new(sa));
    let request = sent.remove(0);
    let header = Header::parse(&request).unwrap();
    let payloads = Payloads::parse(header.next_payload, &request[HEADER_BYTES..]).unwrap();
    let path = b.path;
    let (accepted, mut sent) =
        b.with(|_, env| IkeSa::respond(TunnelId(1), 0xb, header, &payloads, &request, path, env));
    let Accepted::Begun(sa) = accepted else { panic!("refused") };
    b.sa = Some(sa);
    (a, b, sent.remove(0))
}

fn opening_with(a_name: &str, b_name: &str) -> (End, End, Vec<u8>) {
    let (mut a, b, answer) = opened_with(a_name, b_name);
    let (_, mut sent) = a.hear(&answer);
    (a, b, sent.remove(0))
}

/// What becomes of A's IKE_AUTH once somebody with A's keys has changed it.
fn judged(change: impl FnOnce(&Payloads<'_>, &mut Chain)) -> DownReason {
    let (mut a, mut b, request) = opening_with("p256", "p384");
    let (first, plain) = b.opened(&request);
    let mut chain = Chain::new();
    let payloads = Payloads::parse(first, &plain).unwrap();
    chain.push(kind::ID_I, payloads.id_initiator.unwrap());
    change(&payloads, &mut chain);
    a.sa.as_mut().unwrap().next_id = 1;
    let request = a.ask(ExchangeType::IkeAuth, &chain);
    let (verdict, sent) = b.hear(&request);
    let (first, plain) = a.opened(&sent[0]);
    let told = Payloads::parse(first, &plain).unwrap();
    assert_eq!(told.notifies[0].kind, notify_kind::AUTHENTICATION_FAILED);
    assert!(told.auth.is_none() && told.certificates.is_empty());
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    reason
}

#[test]
fn a_peer_without_a_certificate_is_told_apart() {
    let reason = judged(|payloads, chain| {
        let (method, data) = payloads.auth.unwrap();
        chain.push_auth(method, data);
    });
    assert_eq!(reason, DownReason::CertificateMissing);
}

#[test]
fn a_signature_of_something_else_is_wrong() {
    let reason = judged(|payloads, chain| {
        payloads.certificates.iter().for_each(|der| chain.push_certificate(der));
        let (method, data) = payloads.auth.unwrap();
        let mut data = data.to_vec();
        *data.last_mut().unwrap() ^= 1;
        chain.push_auth(method, &data);
    });
    assert_eq!(reason, DownReason::WrongSignature { peer: Identity::from_text(A) });
    // Somebody else's good certificate, without its key.
    let reason = judged(|payloads, chain| {
        let (label, other) =
            x509_cert::der::pem::decode_vec(include_bytes!("../../../tests/certificates/rsa.pem")).unwrap();
        assert_eq!(label, "CERTIFICATE");
        chain.push_certificate(&other);
        let (method, data) = payloads.auth.unwrap();
        chain.push_auth(method, data);
    });
    assert_eq!(reason, DownReason::WrongSignature { peer: Identity::from_text(A) });
}

#[test]
fn signatures_that_are_not_accepted_are_named() {
    let with = |method: u8, data: &'static [u8]| {
        judged(move |payloads, chain| {
            payloads.certificates.iter().for_each(|der| chain.push_certificate(der));
            chain.push_auth(method, data);
        })
    };
    let unsupported = |algorithm: &str| DownReason::UnsupportedSignature { algorithm: algorithm.into() };
    // RFC 7427 appendix A.1.1: sha1WithRSAEncryption.
    let sha1 = b"\x0f\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00xxx";
    assert_eq!(with(14, sha1), unsupported("RSA with SHA-1"));
    assert_eq!(with(14, b""), unsupported("an algorithm that cannot be read"));
    assert_eq!(with(14, b"\x20\x30"), unsupported("an algorithm that cannot be read"));
    assert_eq!(with(3, b"x"), unsupported("method 3"));
    assert_eq!(with(9, b""), DownReason::WrongSignature { peer: Identity::from_text(A) });
}

#[test]
fn a_certificate_that_cannot_be_read() {
    let reason = judged(|payloads, chain| {
        chain.push_certificate(&[0x30, 0x82]);
        let (method, data) = payloads.auth.unwrap();
        chain.push_auth(method, data);
    });
    let fault = CertificateFault::Malformed;
    assert_eq!(reason, DownReason::CertificateUnusable { subject: "the peer".into(), fault });
}

#[test]
fn an_identity_that_is_not_in_the_certificate() {
    let (mut a, mut b, answer) = opened_with("p256", "p384");
    a.config.local_id = Identity::from_text("someone.example");
    b.config.remote_id = Identity::from_text("someone.example");
    let (_, sent) = a.hear(&answer);
    let (verdict, _) = b.hear(&sent[0]);
    let Verdict::Ended(DownReason::CertificateIdentity { identity, found }) = verdict else { panic!("{verdict:?}") };
    assert_eq!(identity, Identity::from_text("someone.example"));
    assert_eq!(
        found,
        "\"C=CH, O=Bordergate Test, CN=p256.example\", \"p256.example\", \"p256@example.com\", \"192.0.2.1\", \
         \"198.51.100.2\", \"2001:db8::1\""
    );
}

/// As if neither end had announced hash algorithms: methods 1 and 9 to 11 (RFC 7296 §3.8, RFC 4754).
#[test]
fn ends_without_rfc_7427_sign_as_of_old() {
    for (name, method) in [("rsa", 1), ("p256", 9), ("p384", 10), ("p521", 11)] {
        let (mut a, mut b, request) = {
            let (mut a, mut b, answer) = opened_with(name, "p256");
            b.sa.as_mut().unwrap().peer.hashes = None;
            // A reads the answer without the notification, which is as if it did not know what it means.
            let heard = a.sa.as_mut().unwrap();
            heard.peer.hashes = None;
            let at = answer.windows(2).position(|kind| kind == 16431u16.to_be_bytes()).unwrap();
            let mut changed = answer.clone();
            changed[at..at + 2].copy_from_slice(&50_000u16.to_be_bytes());
            // Nor of fragments: certificates are large, and one message is easier to hand over.
            let at = answer.windows(2).position(|kind| kind == 16430u16.to_be_bytes()).unwrap();
            changed[at..at + 2].copy_from_slice(&50_001u16.to_be_bytes());
            b.sa.as_mut().unwrap().fragmented = false;
            // Then B has to have sent it so.
            if let Phase::HalfOpen(half_open) = &mut b.sa.as_mut().unwrap().phase {
                half_open.init_response = changed.clone();
            }
            let (_, mut sent) = a.hear(&changed);
            (a, b, sent.remove(0))
        };
        let (first, plain) = b.opened(&request);
        assert_eq!(Payloads::parse(first, &plain).unwrap().auth.unwrap().0, method);
        let (verdict, sent) = b.hear(&request);
        assert!(matches!(verdict, Verdict::Established { .. }), "{name}: {verdict:?}");
        let (verdict, _) = a.hear(&sent[0]);
        assert!(matches!(verdict, Verdict::Established { .. }), "{name}: {verdict:?}");
    }
}

#[test]
fn a_key_that_the_peer_cannot_verify_says_so() {
    let (mut a, b, answer) = opened_with("ed25519", "p384");
    // It has announced SHA-1 alone.
    let at = answer.windows(2).position(|kind| kind == 16431u16.to_be_bytes()).unwrap();
    let mut changed = answer.clone();
    changed[at + 2..at + 10].copy_from_slice(&[0, 1, 0, 1, 0, 1, 0, 1]);
    let (verdict, sent) = a.hear(&changed);
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reason, DownReason::NoCommonSignature { key: "Ed25519" });
    assert!(sent.is_empty() && a.sa.as_ref().unwrap().is_over());
    // And a responder answers that it has failed.
    let (mut a, mut b2, answer) = opened_with("p256", "ed25519");
    let (_, sent) = a.hear(&answer);
    b2.sa.as_mut().unwrap().peer.hashes = Some(HashSet::from_wire(&[0, 2]));
    let (verdict, sent) = b2.hear(&sent[0]);
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reason, DownReason::NoCommonSignature { key: "Ed25519" });
    let (first, plain) = a.opened(&sent[0]);
    let told = Payloads::parse(first, &plain).unwrap();
    assert_eq!(told.notifies[0].kind, notify_kind::AUTHENTICATION_FAILED);
    drop(b);
}

#[test]
fn authorities_are_asked_for_and_ours_may_not_be() {
    let (a, mut b, request) = opening_with("p256", "p384");
    let (first, plain) = b.opened(&request);
    let payloads = Payloads::parse(first, &plain).unwrap();
    // openssl x509 -in root.pem -pubkey -noout | openssl pkey -pubin -outform DER | sha1sum
    let root = crate::hex::hex(include_str!("../../../tests/certificates/root-key.sha1"));
    assert_eq!(payloads.certificate_requests.len(), 1);
    assert_eq!(payloads.certificate_requests[0].len(), 3 * 20);
    assert_eq!(payloads.certificate_requests[0][..20], root);
    drop(a);
}
