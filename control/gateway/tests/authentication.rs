//! The fields by which the two ends of a tunnel know each other.

mod broken;

use std::sync::Arc;

use bordergate_gateway::*;
use broken::{edited, refused};

const PSK: &str = "psk = \"correct_horse_battery\"            # or psk_file = \"/etc/bordergate/tun-1.psk\"";
const FILES: &str = "certificate_file = \"c\"\nprivate_key_file = \"k\"\nca_files = [\"a\", \"b\"]";

fn parse(text: &str) -> Resources {
    Resources::parse("f", text).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

#[test]
fn either_a_key_or_certificates() {
    let needed = "certificate_file, private_key_file and ca_files together";
    let both = format!("{PSK}\ncertificate_file = \"/x\"");
    let alone = "certificate_file = \"/x\"\nca_files = [\"/y\"]";
    let next = format!("{FILES}\npsk_next = \"another_horse_battery\"");
    let twice = format!("{PSK}\npsk_next = \"another_horse_battery\"\npsk_next_file = \"/x\"");
    let line = broken::line("psk =");
    let head = broken::line("[[vpn_tunnel]]");
    for (written, at, problem) in [
        (
            both.as_str(),
            line + 1,
            "certificate_file is given beside psk; allowed: a pre-shared key or certificates, not both".to_owned(),
        ),
        (alone, head, format!("private_key_file is missing; allowed: {needed}")),
        (
            next.as_str(),
            line + 3,
            "psk_next is given without psk; allowed: psk and psk_next, or certificates".to_owned(),
        ),
        (
            twice.as_str(),
            line + 2,
            "psk_next_file is given beside psk_next; allowed: psk_next or psk_next_file, not both".to_owned(),
        ),
    ] {
        let found = broken::shown(&broken::errors(&edited(PSK, written, "")));
        assert_eq!(found, [format!("f:{at}: vpn_tunnel \"tun-1\": {problem}")], "{written}");
    }
    refused(&[(
        PSK,
        "certificate_file = \"c\"\nprivate_key_file = \"k\"\nca_files = []",
        &format!("f:{}: vpn_tunnel \"tun-1\": ca_files is an empty list; allowed: at least one entry", line + 2),
    )]);
}

#[test]
fn files_are_named_and_supplied() {
    let text = edited(PSK, &format!("{FILES}\ncrl_files = [\"l\"]\ncrl = \"strict\"\nrsa_padding = \"pkcs1\""), "");
    let mut resources = parse(&text);
    assert_eq!(resources.psk_files().count(), 0);
    let files = resources.certificate_files().next().unwrap().1.clone();
    let paths: Vec<_> = files.paths().map(|(file, path)| (file, path.to_str().unwrap())).collect();
    use CertificateFile::{Authority, Certificate, PrivateKey, RevocationList};
    let expected =
        [(Certificate, "c"), (PrivateKey, "k"), (Authority(0), "a"), (Authority(1), "b"), (RevocationList(0), "l")];
    assert_eq!(paths, expected);
    assert_eq!((files.revocation, files.rsa_padding), (Revocation::Strict, RsaPadding::Pkcs1));
    // What is wrong with a file is said where it is named.
    let field = Field::CertificateFile(TunnelIndex(0), Authority(1));
    let said = resources.diagnostic(field, "cannot be read", None).to_string();
    let line = broken::line("psk =") + 2;
    assert_eq!(said, format!("f:{line}: vpn_tunnel \"tun-1\": ca_files = \"b\" cannot be read"));

    let content = |key: &[u8]| {
        Arc::new(CertificateContent {
            certificate: b"certificate".to_vec(),
            private_key: key.to_vec().into(),
            authorities: vec![b"a".to_vec(), b"b".to_vec()],
            revocation_lists: vec![b"l".to_vec()],
        })
    };
    resources.supply_certificates(TunnelIndex(0), content(b"sesame"));
    assert!(!format!("{resources:?}").contains("sesame"), "a key is shown");
    let mut moved = parse(&text.replace("certificate_file = \"c\"", "certificate_file = \"d\""));
    moved.supply_certificates(TunnelIndex(0), content(b"sesame"));
    assert_eq!(difference(&resources, &moved), []);
    moved.supply_certificates(TunnelIndex(0), content(b"mellon"));
    let fields = vec![TunnelField::Authentication];
    let step = Step::Modify { old: TunnelIndex(0), new: TunnelIndex(0), fields };
    assert_eq!(step.effect(), Some(Effect::Authentication));
    assert_eq!(difference(&resources, &moved), [Change::VpnTunnel(step)]);
}

#[test]
fn a_second_key_may_come_and_go() {
    let one = parse(&edited(PSK, "psk = \"correct_horse_battery\"", ""));
    let two = parse(&edited(PSK, "psk = \"correct_horse_battery\"\npsk_next = \"0s/+8A/+8A/+8A/+8A\"", ""));
    let mut filed = parse(&edited(PSK, "psk = \"correct_horse_battery\"\npsk_next_file = \"/n\"", ""));
    assert_eq!(two.warnings(), []);
    let Authentication::Psk { next: Some(next), .. } = &two.tunnels()[0].authentication else { panic!("no key") };
    assert_eq!(next.psk().unwrap().secret(), [0xff, 0xef, 0x00].repeat(4));
    let changes = difference(&one, &two);
    assert!(matches!(&changes[..], [Change::VpnTunnel(step)] if step.effect() == Some(Effect::Authentication)));
    assert_eq!(difference(&two, &filed).len(), 1);
    let files: Vec<_> = filed.psk_files().map(|(field, path)| (field, path.to_owned())).collect();
    assert_eq!(files, [(Field::NextPskFile(TunnelIndex(0)), "/n".into())]);
    filed.supply_psk(files[0].0, b"0xffef00ffef00ffef00ffef00\n").unwrap();
    assert_eq!(difference(&two, &filed), []);
    let error = filed.supply_psk(files[0].0, b"0sx").unwrap_err().to_string();
    assert!(error.contains("psk_next_file = \"/n\" holds a key that begins with 0s"), "{error}");
}

#[test]
fn identities_of_every_kind() {
    for (written, identity) in [
        ("keyid:branch-7", Identity::KeyId(b"branch-7".to_vec())),
        ("keyid:0x00ff", Identity::KeyId(vec![0, 0xff])),
        ("CN=gw.example, O=Example", Identity::DistinguishedName("CN=gw.example, O=Example".parse().unwrap())),
        ("2001:db8::1", Identity::Ipv6("2001:db8::1".parse().unwrap())),
    ] {
        assert_eq!(written.parse(), Ok(identity.clone()));
        assert_eq!(identity.to_string(), written);
    }
    for text in ["keyid:", "keyid:a b", "keyid:0x0", "keyid:0xzz", "keyid:0x+f"] {
        assert_eq!(text.parse::<Identity>(), Err(IdentityError::KeyId), "{text}");
    }
}
