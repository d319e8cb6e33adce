//! Certificates through both machines: every kind of key, every refusal, and what changes while a tunnel is up.
//! What they are made of stands in `certificates/`, beside the program that made it.

mod pair;

use std::sync::Arc;
use std::time::Duration;

use bordergate_ike::*;
use pair::*;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/certificates/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn credential(certificates: &str, key: &str, padding: RsaPadding) -> Arc<Credential> {
    Arc::new(Credential::from_pem(&file(certificates), &file(key), padding).unwrap())
}

fn trust(authorities: &[&str], lists: &[&str], policy: RevocationPolicy) -> Arc<Trust> {
    let authorities = authorities.iter().flat_map(|name| Authority::all_from_pem(&file(name)).unwrap()).collect();
    let lists = lists.iter().flat_map(|name| RevocationList::all_from_pem(&file(name)).unwrap()).collect();
    Arc::new(Trust::new(authorities, lists, policy).unwrap())
}

const ROOTS: [&str; 3] = ["root.pem", "rsa-root.pem", "ed-root.pem"];

/// A is `FILE.example` with that certificate; B is p384.example and judges it with `trust`.
fn judged_by(trust: Arc<Trust>, name: &str, certificates: &str) -> Pair {
    let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    let (ours, theirs) = (Identity::Name(format!("{name}.example")), Identity::Name("p384.example".into()));
    (a.local_id, a.remote_id) = (ours.clone(), theirs.clone());
    (b.local_id, b.remote_id) = (theirs, ours);
    let local = credential(certificates, &format!("{name}.key"), RsaPadding::Pss);
    a.authentication =
        Authentication::Certificate { local, trust: self::trust(&ROOTS, &[], RevocationPolicy::Lenient) };
    let local = credential("p384.pem", "p384.key", RsaPadding::Pss);
    b.authentication = Authentication::Certificate { local, trust };
    let mut pair = Pair::configured(1, a, b);
    pair.run_for(Duration::from_millis(500));
    pair
}

fn judged(name: &str) -> Pair {
    judged_by(trust(&ROOTS, &[], RevocationPolicy::Lenient), name, &format!("{name}.pem"))
}

fn subject(name: &str) -> String {
    format!("C=CH, O=Bordergate Test, CN={name}")
}

/// B's reason, after A was told no more than that it failed.
fn refused(pair: &Pair) -> DownReason {
    assert!(!pair.a.is_up() && pair.a.installed.is_empty() && pair.b.installed.is_empty());
    assert_eq!(pair.a.reason().code(), "certificate_rejected", "{:?}", pair.b.reason());
    pair.b.reason()
}

#[test]
fn every_kind_of_key_comes_up() {
    for name in ["rsa", "pss", "p256", "p384", "p521", "ed25519"] {
        judged(name).assert_joined();
    }
    // Both ways round, and with the padding of old.
    for (initiator, responder) in [("ed25519", "rsa"), ("rsa", "p521"), ("p521", "ed25519")] {
        for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
            let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
            for (end, name) in [(&mut a, initiator), (&mut b, responder)] {
                let local = credential(&format!("{name}.pem"), &format!("{name}.key"), padding);
                let trust = trust(&ROOTS, &[], RevocationPolicy::Lenient);
                end.authentication = Authentication::Certificate { local, trust };
            }
            // The certificates have the addresses, too.
            let mut pair = Pair::configured(2, a, b);
            pair.run(1);
            pair.assert_joined();
        }
    }
}

#[test]
fn a_chain_leads_over_an_intermediate_authority() {
    let root = || trust(&["root.pem"], &[], RevocationPolicy::Lenient);
    let pair = judged_by(root(), "branch", "branch-chain.pem");
    pair.assert_joined();
    // Without it in between, nobody knows who Branches is.
    let expected = DownReason::CertificateUntrusted { subject: subject("branch.example"), issuer: subject("Branches") };
    assert_eq!(refused(&judged_by(root(), "branch", "branch.pem")), expected);
    // Unless it is trusted itself; or the peer's own certificate is.
    let branches = trust(&["branches.pem"], &[], RevocationPolicy::Lenient);
    judged_by(branches, "branch", "branch.pem").assert_joined();
    let own = trust(&["branch.pem"], &[], RevocationPolicy::Lenient);
    judged_by(own, "branch", "branch.pem").assert_joined();
}

#[test]
fn certificates_have_their_time() {
    let expired =
        DownReason::CertificateExpired { subject: subject("expired.example"), since: "2025-01-01T00:00:00Z".into() };
    assert_eq!(refused(&judged("expired")), expired);
    assert_eq!(
        expired.to_string(),
        "the certificate of C=CH, O=Bordergate Test, CN=expired.example expired on 2025-01-01T00:00:00Z"
    );
    let future =
        DownReason::CertificateNotYetValid { subject: subject("future.example"), from: "2040-01-01T00:00:00Z".into() };
    assert_eq!(refused(&judged("future")), future);
}

#[test]
fn certificates_with_a_fault_are_refused() {
    let unusable = |name: &str, fault| DownReason::CertificateUnusable { subject: subject(name), fault };
    use CertificateFault::{Extension, KeyUsage, NoAuthority, PathLength, Signature};
    assert_eq!(refused(&judged("encipherment")), unusable("encipherment.example", KeyUsage));
    let unknown = Extension("1.3.6.1.4.1.99999.1".into());
    assert_eq!(refused(&judged("critical")), unusable("critical.example", unknown));
    assert_eq!(refused(&judged("forged")), unusable("forged.example", Signature));
    let below = |name: &str| {
        let trust = trust(&["root.pem"], &[], RevocationPolicy::Lenient);
        refused(&judged_by(trust, name, &format!("{name}-chain.pem")))
    };
    assert_eq!(below("below-end"), unusable("End Authority", NoAuthority));
    assert_eq!(below("below-usage"), unusable("Usage Authority", KeyUsage));
    assert_eq!(below("below-critical"), unusable("Critical Authority", Extension("2.5.29.30".into())));
    // Branches may have nobody below it, and Root one.
    assert!(matches!(below("below-deep"), DownReason::CertificateUnusable { fault: PathLength, .. }));
    let stranger =
        DownReason::CertificateUntrusted { subject: subject("strange.example"), issuer: subject("Stranger") };
    assert_eq!(refused(&judged("strange")), stranger);
}

#[test]
fn what_is_revoked_is_refused() {
    let by = |list: &str, policy| trust(&["root.pem"], &[list], policy);
    use RevocationPolicy::{Lenient, Strict};
    let revoked = |pair: &Pair| match refused(pair) {
        DownReason::CertificateRevoked { subject, issuer, .. } => (subject, issuer),
        other => panic!("{other:?}"),
    };
    let expected = (subject("revoked.example"), subject("Root"));
    assert_eq!(revoked(&judged_by(by("root-crl.pem", Strict), "revoked", "revoked.pem")), expected);
    // A list that is out of date still revokes.
    assert_eq!(revoked(&judged_by(by("root-crl-old.pem", Lenient), "revoked", "revoked.pem")), expected);
    judged_by(by("root-crl.pem", Strict), "p256", "p256.pem").assert_joined();
    judged_by(by("root-crl-old.pem", Lenient), "p256", "p256.pem").assert_joined();
    let unknown = DownReason::RevocationUnknown { subject: subject("p256.example"), issuer: subject("Root") };
    assert_eq!(refused(&judged_by(by("root-crl-old.pem", Strict), "p256", "p256.pem")), unknown);
    // An intermediate authority may be revoked, and revoke.
    let pair = judged_by(by("root-crl-branches.pem", Lenient), "branch", "branch-chain.pem");
    assert_eq!(revoked(&pair), (subject("Branches"), subject("Root")));
    let both = trust(&["root.pem"], &["root-crl-none.pem", "branches-crl.pem"], Strict);
    let pair = judged_by(both, "branch", "branch-chain.pem");
    assert_eq!(revoked(&pair), (subject("branch.example"), subject("Branches")));
}

#[test]
fn lists_that_prove_nothing_are_not_taken() {
    let authorities = || Authority::all_from_pem(&file("root.pem")).unwrap();
    let forged = RevocationList::all_from_pem(&file("root-crl-forged.pem")).unwrap();
    let error = Trust::new(authorities(), forged, RevocationPolicy::Lenient).unwrap_err();
    assert_eq!(error, TrustError::ForgedList { nth: 0, issuer: subject("Root") });
    let what = PemError::Malformed("certificate revocation list");
    assert_eq!(RevocationList::all_from_pem(&file("root-crl-delta.pem")).unwrap_err(), what);
    assert_eq!(
        RevocationList::all_from_pem(&file("root.pem")).unwrap_err(),
        PemError::Missing("certificate revocation list")
    );
    assert_eq!(Trust::new(Vec::new(), Vec::new(), RevocationPolicy::Lenient), Err(TrustError::NoAuthority));
}

#[test]
fn a_certificate_speaks_for_its_own_identities_only() {
    let shown = |identity: Identity| {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        let trust = || trust(&ROOTS, &[], RevocationPolicy::Lenient);
        let local = credential("p256.pem", "p256.key", RsaPadding::Pss);
        a.authentication = Authentication::Certificate { local, trust: trust() };
        let local = credential("p384.pem", "p384.key", RsaPadding::Pss);
        b.authentication = Authentication::Certificate { local, trust: trust() };
        (a.local_id, b.remote_id) = (identity.clone(), identity);
        (a, b)
    };
    let name = |list: &[(&'static str, &'static str)]| {
        Identity::DistinguishedName(DistinguishedName::from_attributes(list.iter().copied()).unwrap())
    };
    for identity in [
        Identity::from_text("P256.Example"),
        Identity::from_text("p256@example.com"),
        Identity::from_text(A),
        Identity::from_text("2001:db8::1"),
        name(&[("C", "CH"), ("O", "Bordergate Test"), ("CN", "p256.example")]),
        name(&[("CN", "p256.example"), ("O", "BORDERGATE test"), ("C", "CH")]),
    ] {
        let (a, b) = shown(identity);
        let mut pair = Pair::configured(4, a, b);
        pair.run(1);
        pair.assert_joined();
    }
    for identity in [
        Identity::from_text("p384.example"),
        Identity::from_text("sub.p256.example"),
        Identity::from_text("p384@example.com"),
        Identity::from_text("192.0.2.9"),
        Identity::KeyId(b"p256.example".to_vec()),
        name(&[("CN", "p256.example")]),
    ] {
        // Our own configuration is not taken; the error says what would be.
        let (a, _) = shown(identity.clone());
        let mut pair = Pair::new(5);
        let error = pair.on_a(|e, ctx| e.configure(TUNNEL, a, ctx)).unwrap_err();
        let ConfigError::CertificateIdentity { local_id, found } = error else { panic!("{error:?}") };
        assert_eq!(local_id, identity);
        assert!(found.contains("\"p256.example\"") && found.contains("\"192.0.2.1\""), "{found}");
    }
}

#[test]
fn what_we_could_not_use_is_refused_when_it_is_read() {
    let read =
        |certificate: &str, key: &str| Credential::from_pem(&file(certificate), &file(key), RsaPadding::Pss).err();
    let mismatch = CredentialError::Mismatch(subject("p256.example"));
    assert_eq!(read("p256.pem", "p384.key"), Some(mismatch.clone()));
    assert_eq!(read("p256.pem", "revoked.key"), Some(mismatch));
    assert_eq!(
        read("p256.pem", "p256.pem"),
        Some(CredentialError::PrivateKey(PemError::Missing("private key in PEM")))
    );
    assert_eq!(read("p256.key", "p256.key"), Some(CredentialError::Certificates(PemError::Missing("certificate"))));
    let key = CredentialError::UnsupportedKey("an RSA key of 1024 bits, which is too short".into());
    assert_eq!(read("short-key.pem", "short-key.key"), Some(key));
    let curve = "an ECDSA key on another curve than P-256, P-384 and P-521".into();
    assert_eq!(read("unknown-curve.pem", "p256.key"), Some(CredentialError::UnsupportedKey(curve)));
    assert!(!format!("{:?}", credential("rsa.pem", "rsa.key", RsaPadding::Pss)).contains("PRIVATE"));
    assert!(format!("{:?}", credential("rsa.pem", "rsa.key", RsaPadding::Pss)).contains("PrivateKey(redacted)"));
}

#[test]
fn methods_do_not_mix() {
    let (mut a, b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    let local = credential("p256.pem", "p256.key", RsaPadding::Pss);
    let trust = trust(&ROOTS, &[], RevocationPolicy::Lenient);
    a.authentication = Authentication::Certificate { local, trust };
    let mut pair = Pair::configured(6, a.clone(), b.clone());
    pair.run_for(Duration::from_millis(500));
    let expected = DownReason::UnsupportedAuthentication { method: Some(9), expected: "a pre-shared key" };
    // B has announced no hashes, so A signs as of old.
    assert_eq!(pair.b.reason(), expected);
    assert_eq!(
        expected.to_string(),
        "the peer wants to authenticate with an ECDSA signature, we accept a pre-shared key only"
    );
    let (mut a, mut b) = (b, a);
    (a.local, a.remote, b.local, b.remote) = (address(A), address(B), address(B), address(A));
    (a.startup, b.startup) = (Startup::Initiate, Startup::Respond);
    (a.local_id, a.remote_id) = (Identity::from_text(A), Identity::from_text(B));
    (b.local_id, b.remote_id) = (Identity::from_text(B), Identity::from_text(A));
    let mut pair = Pair::configured(7, a, b);
    pair.run_for(Duration::from_millis(500));
    let expected = DownReason::UnsupportedAuthentication { method: Some(2), expected: "a certificate" };
    assert_eq!(pair.b.reason(), expected);
}

#[test]
fn a_certificate_that_is_revoked_while_the_tunnel_is_up_ends_it() {
    let none = trust(&["root.pem"], &["root-crl-none.pem"], RevocationPolicy::Strict);
    let mut pair = judged_by(none, "revoked", "revoked.pem");
    pair.assert_joined();
    let anew = |pair: &mut Pair, list: &str| {
        let local = credential("p384.pem", "p384.key", RsaPadding::Pss);
        let trust = trust(&["root.pem"], &[list], RevocationPolicy::Strict);
        let authentication = Authentication::Certificate { local, trust };
        pair.on_b(|e, ctx| e.set_authentication(TUNNEL, authentication, ctx)).unwrap();
        pair.run_for(Duration::from_millis(500));
    };
    // A newer list that says nothing about it changes nothing.
    anew(&mut pair, "root-crl-branches.pem");
    pair.assert_joined();
    assert_eq!(pair.b.status().counters.established, 1);
    anew(&mut pair, "root-crl.pem");
    assert_eq!(pair.b.reason().code(), "certificate_revoked");
    assert_eq!(pair.a.reason().code(), "peer_deleted");
    pair.run(5);
    assert!(!pair.a.is_up() && !pair.b.is_up());
}

#[test]
fn two_keys_are_good_while_one_replaces_the_other() {
    let psk = |key: &str, next: Option<&str>| Authentication::Psk { key: Psk::new(key), next: next.map(Psk::new) };
    // The peer has the new key already: what we send first fails, then the other one comes up.
    for (a_key, b_key) in [
        (psk("old", Some("new")), psk("new", None)),
        (psk("new", None), psk("old", Some("new"))),
        (psk("new", Some("old")), psk("old", Some("new"))),
        (psk("old", None), psk("old", Some("new"))),
    ] {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        (a.authentication, b.authentication) = (a_key.clone(), b_key.clone());
        let mut pair = Pair::configured(8, a, b);
        pair.run(5);
        pair.assert_joined();
        let uses_next = (pair.a.status().uses_next_psk, pair.b.status().uses_next_psk);
        let next = |own: &Authentication, word: &str| *own == psk("old", Some("new")) && word == "new";
        let word = if a_key == psk("old", None) { "old" } else { "new" };
        assert_eq!(uses_next, (next(&a_key, word), next(&b_key, word)), "{a_key:?}");
    }
    // Rotation without an interruption: the second key is added, the peer changes to it, the first one goes.
    let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    (a.authentication, b.authentication) = (psk("old", None), psk("old", None));
    let mut pair = Pair::configured(9, a, b);
    pair.run(1);
    pair.on_b(|e, ctx| e.set_authentication(TUNNEL, psk("old", Some("new")), ctx)).unwrap();
    pair.run(1);
    assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
    pair.on_a(|e, ctx| e.set_authentication(TUNNEL, psk("new", None), ctx)).unwrap();
    assert_eq!(pair.a.reason(), DownReason::KeyReplaced);
    pair.run(5);
    pair.assert_joined();
    assert!(pair.b.status().uses_next_psk);
    pair.on_b(|e, ctx| e.set_authentication(TUNNEL, psk("new", None), ctx)).unwrap();
    pair.run(5);
    pair.assert_joined();
    assert_eq!(pair.b.ups(), 2);
    // A third key is a stranger's.
    let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    (a.authentication, b.authentication) = (psk("third", None), psk("old", Some("new")));
    let mut pair = Pair::configured(10, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.b.reason().code(), "wrong_psk");
}
