use super::*;
use crate::algorithm::EspCipher;
use crate::config::{EspProposal, IkeProposal};
use crate::message::protocol;

const SPI: u32 = 0xc0ff_ee01;

fn esp(key_exchange: &[KeGroup]) -> EspProposal {
    EspProposal {
        encryption: vec![EspCipher::Aes128Gcm16, EspCipher::Aes256Cbc, EspCipher::ChaCha20Poly1305],
        integrity: vec![Integrity::HmacSha256],
        key_exchange: key_exchange.to_vec(),
        additional_key_exchange: Vec::new(),
        esn: true,
    }
}

fn ike(additional: &[&[KeGroup]]) -> IkeProposal {
    IkeProposal {
        key_exchange: vec![KeGroup::X25519],
        additional_key_exchange: additional.iter().map(|groups| groups.to_vec()).collect(),
        encryption: vec![IkeCipher::Aes128Gcm16],
        integrity: Vec::new(),
        prf: vec![PrfAlgorithm::HmacSha256],
    }
}

fn offered(protocol: u8, spi: &[u8], transforms: &[Transform]) -> Proposal {
    Proposal { number: 7, protocol, spi: spi.to_vec(), transforms: transforms.to_vec() }
}

/// AES-128-GCM for ESP without ESN, and these groups.
fn gcm(groups: &[u16]) -> Vec<Proposal> {
    let mut transforms = vec![Transform::cipher(20, Some(128)), Transform::plain(ESN, 0)];
    transforms.extend(groups.iter().map(|id| Transform::plain(KE, *id)));
    vec![offered(protocol::ESP, &SPI.to_be_bytes(), &transforms)]
}

#[test]
fn esp_ciphers_with_and_without_integrity_stand_apart() {
    let offer = esp(&[KeGroup::Ecp256]).offer(SPI, true);
    let ke = Transform::plain(KE, 19);
    let (esn, noesn) = (Transform::plain(ESN, 1), Transform::plain(ESN, 0));
    assert_eq!(
        offer[0].transforms,
        [Transform::cipher(20, Some(128)), Transform::cipher(28, None), ke, esn, noesn],
        "RFC 7634 §4: ChaCha20 has no key length attribute"
    );
    assert_eq!(offer[1].transforms, [Transform::cipher(12, Some(256)), Transform::plain(INTEG, 12), ke, esn, noesn]);
    assert_eq!((offer.len(), offer[0].number, offer[1].number), (2, 1, 2));
    assert!(offer.iter().all(|p| p.spi == SPI.to_be_bytes()));
    let without = esp(&[KeGroup::Ecp256]).offer(SPI, false);
    assert!(without.iter().all(|p| p.transforms.iter().all(|t| t.kind != KE)), "RFC 7296 §1.2");
}

#[test]
fn cbc_wants_integrity_and_aead_none() {
    let esp = esp(&[]);
    let choose = |transforms: &[Transform]| {
        let proposal = offered(protocol::ESP, &SPI.to_be_bytes(), transforms);
        esp.choose(&[proposal], None).map(|(suite, ..)| suite.to_string())
    };
    let (cbc, gcm, noesn) =
        (Transform::cipher(12, Some(256)), Transform::cipher(20, Some(128)), Transform::plain(ESN, 0));
    let (none, sha256, sha1) = (Transform::plain(INTEG, 0), Transform::plain(INTEG, 12), Transform::plain(INTEG, 2));
    assert_eq!(choose(&[cbc, sha1, sha256, noesn]).as_deref(), Some("aes256-sha256-noesn"));
    assert_eq!(choose(&[cbc, noesn]), None);
    assert_eq!(choose(&[cbc, sha1, noesn]), None);
    assert_eq!(choose(&[gcm, none, noesn]).as_deref(), Some("aes128gcm16-noesn"));
    assert_eq!(choose(&[gcm, sha256, noesn]), None);
    assert_eq!(choose(&[gcm, cbc, sha256, noesn]).as_deref(), Some("aes256-sha256-noesn"));
    assert_eq!(choose(&[Transform::cipher(28, Some(256)), noesn]), None);
    assert_eq!(choose(&[Transform::cipher(28, None), noesn]).as_deref(), Some("chacha20poly1305-noesn"));
}

#[test]
fn a_child_has_a_key_exchange_if_one_of_the_two_asks_for_it() {
    let choose = |ours: &[KeGroup], theirs: &[u16], sent| {
        esp(ours).choose(&gcm(theirs), sent).map(|(suite, answer, spi)| {
            assert_eq!((answer.number, spi), (7, SPI));
            suite.key_exchange
        })
    };
    let (p256, x25519) = (Some(Some(KeGroup::Ecp256)), Some(Some(KeGroup::X25519)));
    let ours = [KeGroup::X25519, KeGroup::Ecp256];
    // IKE_AUTH.
    assert_eq!(choose(&ours, &[], None), Some(None));
    assert_eq!(choose(&ours, &[14], None), Some(None));
    // CREATE_CHILD_SA; the group that was sent goes before our order.
    assert_eq!(choose(&ours, &[19, 31], Some(19)), p256);
    assert_eq!(choose(&ours, &[19, 31], Some(14)), x25519);
    assert_eq!(choose(&ours, &[0, 19], Some(0)), p256);
    assert_eq!(choose(&ours, &[14], Some(14)), None);
    assert_eq!(choose(&ours, &[0], Some(0)), None);
    assert_eq!(choose(&ours, &[], Some(0)), None);
    // Where we do not ask.
    assert_eq!(choose(&[], &[], Some(0)), Some(None));
    assert_eq!(choose(&[], &[0, 19], Some(19)), Some(None));
    assert_eq!(choose(&[], &[19, 31], Some(19)), p256);
    assert_eq!(choose(&[], &[2], Some(2)), None, "MODP-1024 is for those who ask for it");
}

#[test]
fn additional_key_exchanges_of_a_child_follow_its_first_one() {
    let wants = |ours: &[KeGroup], rounds: &[&[KeGroup]]| EspProposal {
        additional_key_exchange: rounds.iter().map(|groups| groups.to_vec()).collect(),
        ..esp(ours)
    };
    let further = |kind: u8, groups: &[u16]| {
        let mut proposals = gcm(&[31]);
        proposals[0].transforms.extend(groups.iter().map(|id| Transform::plain(kind, *id)));
        proposals
    };
    let choose = |ours: &EspProposal, theirs: &[Proposal]| {
        let (suite, answer, _) = ours.choose(theirs, Some(31))?;
        let answered: Vec<_> = answer.transforms.iter().filter(|t| t.kind >= ADDITIONAL_KE).map(|t| t.id).collect();
        Some((suite.additional[0], suite.additional[1], answered))
    };
    let (x25519, kem, p256) = (KeGroup::X25519, KeGroup::MlKem768, KeGroup::Ecp256);
    let both = wants(&[x25519], &[&[p256, kem]]);
    assert_eq!(choose(&both, &further(6, &[36])), Some((Some(kem), None, vec![36])));
    assert_eq!(choose(&both, &further(6, &[0, 36, 19])), Some((Some(p256), None, vec![19])));
    assert_eq!(choose(&both, &further(6, &[35])), None);
    assert_eq!(choose(&both, &gcm(&[31])), None, "ours is a condition");
    // What we do not ask for, the peer may have, but not twice the same.
    let plain = wants(&[x25519], &[]);
    assert_eq!(choose(&plain, &gcm(&[31])), Some((None, None, vec![])));
    assert_eq!(choose(&plain, &further(7, &[36])), Some((None, Some(kem), vec![36])));
    assert_eq!(choose(&plain, &further(7, &[0, 36])), Some((None, None, vec![0])));
    assert_eq!(choose(&plain, &further(6, &[31])), None);
    // In IKE_AUTH it has no meaning, and there is nothing to answer.
    let (suite, answer, _) = both.choose(&further(6, &[36]), None).unwrap();
    assert_eq!((suite.key_exchange, suite.additional[0], answer.transforms.len()), (None, None, 2));
    // As initiator.
    let chosen = |groups: &[u16]| {
        let mut answer = further(6, groups);
        answer[0].number = 1;
        both.chosen(&answer, true).map(|(suite, _)| suite.additional[0])
    };
    assert_eq!(chosen(&[36]), Some(Some(kem)));
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&[36, 19]), None);
}

#[test]
fn an_answer_has_to_fit_the_offer() {
    let chosen = |ours: &[KeGroup], groups: &[u16], key_exchange| {
        let mut answer = gcm(groups);
        answer[0].number = 1;
        esp(ours).chosen(&answer, key_exchange).map(|(suite, _)| suite.key_exchange)
    };
    assert_eq!(chosen(&[KeGroup::X25519], &[31], true), Some(Some(KeGroup::X25519)));
    assert_eq!(chosen(&[KeGroup::X25519], &[], true), None);
    assert_eq!(chosen(&[KeGroup::X25519], &[0], true), None);
    assert_eq!(chosen(&[KeGroup::X25519], &[31, 31], true), None);
    assert_eq!(chosen(&[KeGroup::X25519], &[19], true), None);
    assert_eq!(chosen(&[KeGroup::X25519], &[], false), Some(None));
    assert_eq!(chosen(&[KeGroup::X25519], &[31], false), None);
    assert_eq!(chosen(&[], &[], true), Some(None));
    assert_eq!(chosen(&[], &[31], true), None);
    let mut wrong_number = gcm(&[]);
    wrong_number[0].number = 2;
    assert_eq!(esp(&[]).chosen(&wrong_number, false), None, "proposal 2 is the one with CBC");
}

#[test]
fn a_rekey_of_the_ike_sa_carries_spis() {
    let ours = ike(&[]);
    assert_eq!(ours.offer(Some(0x0102_0304_0506_0708))[0].spi, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(ours.offer(None)[0].spi.is_empty());
    let transforms = [Transform::cipher(20, Some(128)), Transform::plain(PRF, 5), Transform::plain(KE, 31)];
    let spi = |bytes: &[u8]| {
        let mut proposal = offered(protocol::IKE, bytes, &transforms);
        let chosen = ours.choose(std::slice::from_ref(&proposal), 31).map(|(_, answer, spi)| {
            assert_eq!(answer.transforms, transforms);
            spi
        });
        proposal.number = 1;
        assert_eq!(ours.chosen(&[proposal]).map(|(_, spi)| spi), chosen);
        chosen
    };
    assert_eq!(spi(&[]), Some(None));
    assert_eq!(spi(&[8, 7, 6, 5, 4, 3, 2, 1]), Some(Some(0x0807_0605_0403_0201)));
    assert_eq!(spi(&[0; 8]), None);
    assert_eq!(spi(&[1; 4]), None);
}

// RFC 9370 §2.2.1.
#[test]
fn additional_key_exchanges() {
    use KeGroup::{Ecp256, Ecp384, X25519};
    let base = [Transform::cipher(20, Some(128)), Transform::plain(PRF, 5), Transform::plain(KE, 31)];
    let choose = |ours: &IkeProposal, more: &[(u8, u16)]| {
        let mut transforms = base.to_vec();
        transforms.extend(more.iter().map(|(kind, id)| Transform::plain(*kind, *id)));
        let (suite, answer, _) = ours.choose(&[offered(protocol::IKE, &[], &transforms)], 31)?;
        let kinds = answer.transforms.iter().filter(|t| t.kind >= ADDITIONAL_KE).map(|t| (t.kind, t.id)).collect();
        Some((suite.to_string(), kinds))
    };
    let with = |name: &str, kinds: &[(u8, u16)]| Some((format!("aes128gcm16-prfsha256-x25519{name}"), kinds.to_vec()));
    let none = ike(&[]);
    assert_eq!(choose(&none, &[]), with("", &[]));
    assert_eq!(choose(&none, &[(6, 19), (6, 0), (12, 0)]), with("", &[(6, 0), (12, 0)]));
    assert_eq!(choose(&none, &[(6, 19)]), None);
    assert_eq!(choose(&none, &[(13, 0)]), None, "no such type");
    let two = ike(&[&[Ecp256, X25519], &[Ecp256, Ecp384]]);
    assert_eq!(choose(&two, &[(6, 19), (7, 19), (7, 20)]), with("-ke1_ecp256-ke2_ecp384", &[(6, 19), (7, 20)]));
    assert_eq!(choose(&two, &[(6, 19), (7, 19)]), None, "no method twice");
    assert_eq!(choose(&two, &[(6, 31), (7, 19)]), None, "nor the first one again");
    assert_eq!(choose(&two, &[(6, 19), (6, 0), (7, 0)]), None, "what we ask for has to be there");
    assert_eq!(choose(&two, &[]), None);

    let offer = two.offer(None).remove(0);
    let kinds: Vec<_> = offer.transforms[3..].iter().map(|t| (t.kind, t.id)).collect();
    assert_eq!(kinds, [(6, 19), (6, 31), (7, 19), (7, 20)]);
    let answer = |more: &[(u8, u16)]| {
        let mut transforms = base.to_vec();
        transforms.extend(more.iter().map(|(kind, id)| Transform::plain(*kind, *id)));
        let mut answer = offered(protocol::IKE, &[], &transforms);
        answer.number = 1;
        two.chosen(&[answer]).is_some()
    };
    assert!(answer(&[(6, 19), (7, 20)]));
    assert!(!answer(&[(6, 19)]) && !answer(&[(6, 19), (7, 20), (7, 20)]) && !answer(&[(6, 19), (7, 14)]));
}
