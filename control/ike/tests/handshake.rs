//! Both roles, end to end, on a network that loses nothing: what comes up, and what stays down for which reason.

mod pair;

use std::time::Duration;

use bordergate_ike::*;
use pair::*;

fn initiator() -> TunnelConfig {
    config(A, B, Startup::Initiate)
}

fn responder() -> TunnelConfig {
    config(B, A, Startup::Respond)
}

#[test]
fn every_suite_and_group_comes_up() {
    // Strides without a common factor with the lists' lengths, so that each algorithm meets many others.
    for (n, cipher) in IkeCipher::ALL.into_iter().enumerate() {
        for (m, group) in KeGroup::ALL.into_iter().enumerate().filter(|(m, _)| (n + m) % 3 == 0) {
            let (mut a, mut b) = (initiator(), responder());
            let prf = PrfAlgorithm::ALL[(n + m / 3) % 4];
            let integrity = Integrity::ALL[(n + m / 3) % 4];
            let esp = EspCipher::ALL[(n + m) % 7];
            for end in [&mut a, &mut b] {
                end.ike = IkeProposal {
                    key_exchange: vec![group],
                    additional_key_exchange: Vec::new(),
                    encryption: vec![cipher],
                    integrity: vec![integrity],
                    prf: vec![prf],
                };
                end.esp = EspProposal {
                    encryption: vec![esp],
                    integrity: vec![integrity],
                    key_exchange: vec![group],
                    additional_key_exchange: Vec::new(),
                    esn: n % 2 == 0,
                };
            }
            let mut pair = Pair::configured(1, a, b);
            pair.run(1);
            pair.assert_joined();
            let suite = pair.a.status().ike.unwrap();
            assert_eq!(suite, pair.b.status().ike.unwrap());
            assert_eq!((suite.encryption, suite.prf, suite.key_exchange), (cipher, prf, group));
            assert_eq!(suite.integrity, (!cipher.is_aead()).then_some(integrity));
            assert_eq!(pair.a.child().cipher, esp);
            assert_eq!(pair.a.child().integrity, (!esp.is_aead()).then_some(integrity));
            assert_eq!(pair.a.child().inbound_key.encryption().len(), esp.key_bytes());
            let integrity_bytes = if esp.is_aead() { 0 } else { integrity.key_bytes() };
            assert_eq!(pair.a.child().inbound_key.integrity().len(), integrity_bytes);
            assert_eq!(pair.a.child().esn, n % 2 == 0);
            assert_eq!(pair.a.child().encapsulation, None);
            // Four messages, no more.
            assert_eq!(pair.a.sent.len() + pair.b.sent.len(), 4);
        }
    }
}

#[test]
fn ipv6_outside_and_inside() {
    let (v6_a, v6_b) = ("2001:db8::1", "2001:db8::2");
    let (mut a, mut b) = (config(v6_a, v6_b, Startup::Initiate), config(v6_b, v6_a, Startup::Respond));
    a.local_selectors = vec![prefix("fd00:1::", 32), prefix("10.1.0.0", 16)];
    a.remote_selectors = vec![TrafficSelector::ANY_IPV6, TrafficSelector::ANY_IPV4];
    b.local_selectors = vec![prefix("fd00:2::", 32), prefix("10.2.0.0", 16)];
    b.remote_selectors = vec![prefix("fd00::", 8), prefix("10.0.0.0", 8)];
    let mut pair = Pair::configured(2, a, b);
    pair.run(1);
    pair.assert_joined();
    let child = pair.a.child();
    assert_eq!(child.local_selectors, vec![prefix("fd00:1::", 32), prefix("10.1.0.0", 16)]);
    assert_eq!(child.remote_selectors, vec![prefix("fd00:2::", 32), prefix("10.2.0.0", 16)]);
}

#[test]
fn responder_installs_before_it_answers() {
    let mut pair = Pair::plain(3);
    pair.filter = Box::new(|from_a, _, m| !from_a && m[18] == 35);
    pair.run_for(Duration::from_millis(500));
    assert!(pair.b.is_up() && !pair.a.is_up());
    assert!(matches!(pair.b.events[0], Action::InstallChild(_)));
    // The same request again is answered with the same bytes, and is not processed again.
    pair.filter = Box::new(|_, _, _| false);
    pair.run(3);
    pair.assert_joined();
    let answers: Vec<_> = pair.b.sent.iter().filter(|m| m[18] == 35).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(pair.b.status().counters.established, 1);
}

#[test]
fn esn_is_offered_but_not_demanded() {
    let (a, mut b) = (initiator(), responder());
    b.esp.esn = false;
    let mut pair = Pair::configured(4, a, b);
    pair.run(1);
    pair.assert_joined();
    assert!(!pair.a.child().esn);
}

#[test]
fn wrong_psk_is_named_on_both_ends() {
    let (a, mut b) = (initiator(), responder());
    b.authentication = Psk::new("another_key").into();
    let mut pair = Pair::configured(5, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.b.reason(), DownReason::WrongPsk { peer: Identity::from_text(A) });
    assert_eq!(pair.a.reason(), DownReason::AuthenticationRejected { local_id: Identity::from_text(A) });
    assert!(pair.a.installed.is_empty() && pair.a.spis.live.is_empty());
    // It goes on trying, less and less often, and is told the same again.
    pair.run(120);
    assert_eq!(pair.a.downs(), ["authentication_rejected"]);
    let attempts = pair.a.status().counters.attempts;
    assert!((6..=9).contains(&attempts), "{attempts}");
}

#[test]
fn names_are_compared_without_case() {
    let (mut a, mut b) = (initiator(), responder());
    a.remote_id = Identity::Name("gw.example".into());
    b.local_id = Identity::Name("GW.example".into());
    let mut pair = Pair::configured(6, a, b);
    pair.run(1);
    pair.assert_joined();
}

#[test]
fn identity_mismatch_seen_by_the_responder() {
    let (mut a, b) = (initiator(), responder());
    a.local_id = Identity::Name("someone.else".into());
    let mut pair = Pair::configured(7, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(
        pair.b.reason(),
        DownReason::IdentityMismatch {
            expected: Identity::from_text(A),
            received: Identity::Name("someone.else".into()),
        }
    );
    assert_eq!(pair.a.reason(), DownReason::AuthenticationRejected { local_id: Identity::Name("someone.else".into()) });
}

#[test]
fn identity_mismatch_seen_by_the_initiator_is_told_to_the_responder() {
    let (mut a, b) = (initiator(), responder());
    a.remote_id = Identity::Name("gw.example".into());
    let mut pair = Pair::configured(8, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(
        pair.a.reason(),
        DownReason::IdentityMismatch {
            expected: Identity::Name("gw.example".into()),
            received: Identity::from_text(B),
        }
    );
    // RFC 7296 §2.21.2: B thought the SA was up, and was told otherwise.
    assert_eq!(pair.b.downs(), ["authentication_rejected"]);
    assert!(pair.b.installed.is_empty());
}

#[test]
fn no_common_ike_proposal() {
    let (mut a, b) = (initiator(), responder());
    a.ike.encryption = vec![IkeCipher::Aes256Gcm16];
    let mut pair = Pair::configured(9, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(
        pair.a.reason(),
        DownReason::NoProposalChosen {
            protocol: Protocol::Ike,
            ours: "aes256gcm16-prfsha256-x25519-ecp256".into(),
            theirs: None,
        }
    );
    assert_eq!(
        pair.b.reason(),
        DownReason::NoProposalChosen {
            protocol: Protocol::Ike,
            ours: "aes128gcm16-prfsha256-x25519-ecp256, aes128-sha256-prfsha256-x25519-ecp256".into(),
            theirs: Some("aes256gcm16-prfsha256-x25519-ecp256".into()),
        }
    );
    assert_eq!(pair.b.endpoint.sa_count(), 0);
}

#[test]
fn no_common_esp_proposal() {
    let (a, mut b) = (initiator(), responder());
    b.esp.encryption = vec![EspCipher::Aes256Gcm16];
    let mut pair = Pair::configured(10, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(
        pair.a.reason(),
        DownReason::NoProposalChosen { protocol: Protocol::Esp, ours: "aes128gcm16-esn-noesn".into(), theirs: None }
    );
    assert_eq!(
        pair.b.reason(),
        DownReason::NoProposalChosen {
            protocol: Protocol::Esp,
            ours: "aes256gcm16-esn-noesn".into(),
            theirs: Some("aes128gcm16-esn-noesn".into()),
        }
    );
    assert!(pair.a.events.iter().all(|e| !matches!(e, Action::InstallChild(_))));
    assert!(pair.a.spis.live.is_empty() && pair.b.spis.live.is_empty());
}

#[test]
fn selectors_without_overlap() {
    let (a, mut b) = (initiator(), responder());
    b.remote_selectors = vec![prefix("10.9.0.0", 16)];
    let mut pair = Pair::configured(11, a, b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(
        pair.a.reason(),
        DownReason::SelectorsRefused { local: "10.1.0.0/16".into(), remote: "10.2.0.0/16".into(), theirs: None }
    );
    assert_eq!(
        pair.b.reason(),
        DownReason::SelectorsRefused {
            local: "10.2.0.0/16".into(),
            remote: "10.9.0.0/16".into(),
            theirs: Some("10.2.0.0/16 behind us and 10.1.0.0/16 behind itself".into()),
        }
    );
}

#[test]
fn selectors_are_narrowed() {
    let (mut a, b) = (initiator(), responder());
    a.local_selectors = vec![TrafficSelector::ANY_IPV4];
    a.remote_selectors = vec![prefix("10.2.3.0", 24), prefix("172.16.0.0", 12)];
    let mut pair = Pair::configured(12, a, b);
    pair.run(1);
    pair.assert_joined();
    assert_eq!(pair.a.child().local_selectors, vec![prefix("10.1.0.0", 16)]);
    assert_eq!(pair.a.child().remote_selectors, vec![prefix("10.2.3.0", 24)]);
}

#[test]
fn a_silent_peer_is_named_with_address_and_seconds() {
    let mut pair = Pair::plain(13);
    pair.filter = Box::new(|_, _, _| true);
    pair.run_for(Duration::from_millis(30_500));
    let silent = |exchange| DownReason::PeerSilent { exchange, remote: address(B), seconds: 30 };
    assert_eq!(pair.a.reason(), silent(Exchange::IkeSaInit));
    // 1 s doubled and capped at 8 s: at 0, 1, 3, 7, 15, 23 s, each time the same bytes.
    assert_eq!(pair.a.sent.len(), 6);
    assert!(pair.a.sent.iter().all(|m| *m == pair.a.sent[0]));
    // The reason stays visible while the next attempt is under way, and the peer coming back heals it.
    pair.run(1);
    assert_eq!(pair.a.status().state, TunnelState::Connecting);
    assert_eq!(pair.a.reason(), silent(Exchange::IkeSaInit));
    pair.filter = Box::new(|_, _, _| false);
    pair.run(10);
    pair.assert_joined();
}

#[test]
fn silence_after_ike_sa_init_is_told_apart() {
    let mut pair = Pair::plain(14);
    pair.filter = Box::new(|_, _, m| m[18] == 35);
    pair.run_for(Duration::from_millis(30_500));
    let silent = |remote| DownReason::PeerSilent { exchange: Exchange::IkeAuth, remote: address(remote), seconds: 30 };
    assert_eq!(pair.a.reason(), silent(B));
    assert_eq!(pair.b.reason(), silent(A));
}

#[test]
fn the_responder_asks_for_its_group() {
    let (mut a, mut b) = (initiator(), responder());
    a.ike.key_exchange = vec![KeGroup::X25519, KeGroup::Ecp384, KeGroup::Modp2048];
    b.ike.key_exchange = vec![KeGroup::Modp2048];
    let mut pair = Pair::configured(15, a, b);
    pair.run(1);
    pair.assert_joined();
    assert_eq!(pair.a.status().ike.unwrap().key_exchange, KeGroup::Modp2048);
    assert_eq!(pair.a.downs(), [""; 0]);
    // The SPI and the nonce stayed, the second request carries the other group.
    let inits: Vec<_> = pair.a.sent.iter().filter(|m| m[18] == 34).collect();
    assert_eq!(inits.len(), 2);
    assert_eq!(inits[0][..8], inits[1][..8]);
}

#[test]
fn a_group_we_do_not_have_ends_the_attempt() {
    let mut pair = unheard(16);
    pair.run_for(Duration::from_millis(100));
    let request = pair.a.sent[0].clone();
    let answer = notify_answer(&request, 17, &[0, 21]);
    inject_to_a(&mut pair, &answer);
    assert_eq!(
        pair.a.reason(),
        DownReason::InvalidKeyExchange { offered: vec![KeGroup::X25519, KeGroup::Ecp256], asked: 21 }
    );
}

#[test]
fn a_cookie_is_sent_back_in_front() {
    let mut pair = unheard(17);
    pair.run_for(Duration::from_millis(100));
    let request = pair.a.sent[0].clone();
    inject_to_a(&mut pair, &notify_answer(&request, 16390, b"a cookie"));
    let again = pair.a.sent[1].clone();
    // First payload: Notify (41), 16 bytes, COOKIE, then exactly what was there before.
    assert_eq!(again[16], 41);
    assert_eq!(again[28..44], *b"\x21\x00\x00\x10\x00\x00\x40\x06a cookie");
    assert_eq!(again[44..], request[28..]);
    assert_eq!(again[..16], request[..16]);
}

#[test]
fn an_unprotected_error_is_remembered_but_not_obeyed() {
    let mut pair = unheard(18);
    pair.run_for(Duration::from_millis(100));
    let request = pair.a.sent[0].clone();
    inject_to_a(&mut pair, &notify_answer(&request, 24, &[]));
    assert_eq!(pair.a.status().state, TunnelState::Connecting);
    pair.run(31);
    assert_eq!(pair.a.reason(), DownReason::PeerRefused { exchange: Exchange::IkeSaInit, notify: 24 });
    // With the real peer answering after the forgery, the tunnel comes up.
    let mut pair = unheard(19);
    pair.run_for(Duration::from_millis(100));
    let request = pair.a.sent[0].clone();
    inject_to_a(&mut pair, &notify_answer(&request, 24, &[]));
    pair.filter = Box::new(|_, _, _| false);
    pair.run(2);
    pair.assert_joined();
}

#[test]
fn a_newer_major_version_is_told_ours() {
    let mut pair = unheard(24);
    let mut request = pair.a.sent[0].clone();
    request[17] = 0x30;
    let at = |a: &str| std::net::SocketAddr::new(address(a), 500);
    pair.inject(false, at(A), at(B), &request);
    let answer = &pair.b.sent[0];
    // A response of version 2.0 with nothing but INVALID_MAJOR_VERSION (5).
    assert_eq!(answer[..8], request[..8]);
    assert_eq!(answer[16..20], [41, 0x20, 34, 0x20]);
    assert_eq!(answer[28..], [0, 0, 0, 8, 0, 0, 0, 5]);
    assert_eq!(pair.b.endpoint.counters().unsupported_version, 1);
    assert_eq!(pair.b.endpoint.sa_count(), 0);
}

#[test]
fn no_room_for_another_child() {
    let mut pair = Pair::new(20);
    pair.a.spis.exhausted = true;
    pair.configure(initiator(), responder());
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.a.reason(), DownReason::LocalResources);
    let mut pair = Pair::new(21);
    pair.b.spis.exhausted = true;
    pair.configure(initiator(), responder());
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.b.reason(), DownReason::LocalResources);
    assert_eq!(pair.a.reason(), DownReason::PeerRefused { exchange: Exchange::IkeAuth, notify: 43 });
}

#[test]
fn configuration_is_checked() {
    let mut pair = Pair::plain(22);
    let other = TunnelId(8);
    let taken = pair.on_a(|e, ctx| e.configure(other, initiator(), ctx));
    assert_eq!(taken, Err(ConfigError::AddressesTaken { local: address(A), remote: address(B), by: TUNNEL }));
    let mut no_integrity = initiator();
    no_integrity.remote = address("192.0.2.77");
    no_integrity.ike.integrity.clear();
    let empty = pair.on_a(|e, ctx| e.configure(other, no_integrity, ctx));
    assert_eq!(empty, Err(ConfigError::Empty("ike.integrity")));
}

#[test]
fn keys_are_never_formatted() {
    let mut pair = Pair::plain(23);
    pair.run(1);
    let text = format!("{:?} {:?}", pair.a.child(), initiator());
    assert!(text.contains("EspKey(128 bits, redacted)") && text.contains("Psk(redacted)"));
    assert!(!text.contains("correct_horse"));
}

/// A pair in which nothing of A's arrives.
fn unheard(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.filter = Box::new(|from_a, _, _| from_a);
    pair.configure(initiator(), responder());
    pair
}

/// An IKE_SA_INIT answer that holds nothing but a notification.
fn notify_answer(request: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut answer = request[..8].to_vec();
    answer.extend_from_slice(&[0; 8]);
    answer.extend_from_slice(&[41, 0x20, 34, 0x20, 0, 0, 0, 0]);
    answer.extend_from_slice(&(28 + 8 + data.len() as u32).to_be_bytes());
    answer.extend_from_slice(&[0, 0]);
    answer.extend_from_slice(&(8 + data.len() as u16).to_be_bytes());
    answer.extend_from_slice(&[0, 0]);
    answer.extend_from_slice(&kind.to_be_bytes());
    answer.extend_from_slice(data);
    answer
}

fn inject_to_a(pair: &mut Pair, payload: &[u8]) {
    let at = |a: &str| std::net::SocketAddr::new(address(a), 500);
    pair.inject(true, at(B), at(A), payload);
}

#[test]
fn a_message_too_large_for_a_datagram_goes_in_fragments_that_may_be_lost_one_by_one() {
    let many = |of: &str| (0..MAX_SELECTORS as u16).map(|n| prefix(&format!("{of}:{n:x}::"), 48)).collect::<Vec<_>>();
    for seed in 0..20 {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        for end in [&mut a, &mut b] {
            end.local_selectors.clear();
            end.remote_selectors.clear();
        }
        a.local_selectors = many("2001:a");
        a.remote_selectors = many("2001:b");
        b.local_selectors = many("2001:b");
        b.remote_selectors = many("2001:a");
        let mut pair = Pair::new(seed);
        pair.network.loss_percent = 20;
        pair.network.duplicate_percent = 20;
        pair.network.delay.1 *= 3;
        pair.configure(a, b);
        pair.run(25);
        pair.network = Network::default();
        pair.run(5);
        pair.assert_joined();
        assert_eq!(pair.a.child().local_selectors.len(), MAX_SELECTORS);
        let fragments = pair.a.sent.iter().filter(|message| message[16] == 53).count();
        assert!(fragments >= 3, "seed {seed}: {fragments} fragments");
        assert!(pair.a.sent.iter().chain(&pair.b.sent).all(|message| message.len() <= 1228));
    }
}

#[test]
fn additional_key_exchanges_over_loss() {
    for seed in 0..10 {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        a.ike.additional_key_exchange = vec![vec![KeGroup::Ecp384, KeGroup::Modp2048], vec![KeGroup::Ecp256]];
        b.ike.additional_key_exchange = vec![vec![KeGroup::Modp2048], vec![KeGroup::Ecp256]];
        let mut pair = Pair::new(seed);
        pair.network.loss_percent = 20;
        pair.network.duplicate_percent = 20;
        pair.configure(a, b);
        pair.run(25);
        pair.network = Network::default();
        pair.run(5);
        pair.assert_joined();
        let suite = pair.a.status().ike.unwrap();
        assert_eq!(suite, pair.b.status().ike.unwrap());
        assert_eq!(suite.additional[..3], [Some(KeGroup::Modp2048), Some(KeGroup::Ecp256), None]);
    }
}

#[test]
fn a_peer_without_the_additional_key_exchange_we_want_is_refused() {
    let mut a = config(A, B, Startup::Initiate);
    a.ike.additional_key_exchange = vec![vec![KeGroup::Ecp384]];
    let mut pair = Pair::configured(3, a, config(B, A, Startup::Respond));
    pair.run(1);
    assert_eq!((pair.a.reason().code(), pair.b.reason().code()), ("no_proposal_chosen", "no_proposal_chosen"));
}

fn ppk(id: &str, key: &str, required: bool) -> Option<Ppk> {
    Some(Ppk { id: id.into(), key: Psk::new(key), required })
}

#[test]
fn a_post_quantum_key_is_used_where_both_have_it_and_the_keys_depend_on_it() {
    let with = |ours, theirs| {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        (a.ppk, b.ppk) = (ours, theirs);
        let mut pair = Pair::configured(9, a, b);
        pair.run(1);
        pair
    };
    let keys = |pair: &Pair| {
        pair.assert_joined();
        (pair.a.status().ppk, pair.b.status().ppk, pair.a.child().inbound_key.clone())
    };
    let (_, _, plain) = keys(&with(None, None));
    for required in [false, true] {
        let pair = with(ppk("one", "a quantum of key", required), ppk("one", "a quantum of key", !required));
        let (a, b, key) = keys(&pair);
        assert!(a && b && key != plain);
    }
    // One end has none, or another one, and neither insists.
    for (ours, theirs) in [
        (ppk("one", "key", false), None),
        (None, ppk("one", "key", false)),
        (ppk("one", "key", false), ppk("two", "key", false)),
    ] {
        let (a, b, key) = keys(&with(ours, theirs));
        assert!(!a && !b && key == plain);
    }
    // One end insists.
    for (ours, theirs, reasons) in [
        (ppk("one", "key", true), None, ("ppk_missing", "peer_silent")),
        (None, ppk("one", "key", true), ("authentication_rejected", "ppk_missing")),
        (ppk("one", "key", false), ppk("two", "key", true), ("authentication_rejected", "ppk_missing")),
        (ppk("one", "key", true), ppk("two", "key", false), ("authentication_rejected", "ppk_missing")),
        (ppk("one", "key", false), ppk("one", "lock", false), ("authentication_rejected", "wrong_ppk")),
    ] {
        let mut pair = with(ours, theirs);
        pair.run(40);
        assert_eq!((pair.a.reason().code(), pair.b.reason().code()), reasons);
    }
}
