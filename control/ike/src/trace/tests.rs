//! What is kept, what is not, and how much of it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::algorithm::{EspCipher, IkeCipher, KeGroup, PrfAlgorithm};
use crate::config::{EspProposal, IkeProposal};
use crate::hex::hex;
use crate::message::{ExchangeType, Header, notify_kind, selectors_body};
use crate::selector::TrafficSelector;

fn path() -> Path {
    Path { local: "203.0.113.1:500".parse().unwrap(), remote: "198.51.100.2:500".parse().unwrap() }
}

fn header(exchange: ExchangeType, response: bool, message_id: u32) -> Header {
    let (initiator_spi, responder_spi) = (0x1111, 0x2222);
    Header { initiator_spi, responder_spi, next_payload: 0, exchange, from_initiator: true, response, message_id }
}

fn lines(entry: &TraceEntry) -> Vec<String> {
    entry.payloads().into_iter().map(|payload| format!("{} {}", payload.name, payload.text)).collect()
}

/// A message that holds everything secret there is, and much else.
fn full_of_secrets() -> Chain {
    let mut chain = Chain::new();
    let ike = IkeProposal {
        key_exchange: vec![KeGroup::X25519],
        encryption: vec![IkeCipher::Aes256Gcm16],
        integrity: Vec::new(),
        prf: vec![PrfAlgorithm::HmacSha384],
        additional_key_exchange: Vec::new(),
    };
    chain.push_proposals(&ike.offer(None));
    chain.push_key_exchange(31, &[0xa5; 32]);
    chain.push(kind::NONCE, &[0xa5; 32]);
    chain.push(kind::ID_I, b"\x02\0\0\0gw.example");
    chain.push(kind::CERTIFICATE, &[&[4][..], &[0xa5; 700]].concat());
    chain.push_auth(2, &[0xa5; 32]);
    chain.push_notify(notify_kind::COOKIE, &[0xa5; 32]);
    // QUICK_CRASH_DETECTION and TICKET_OPAQUE are secrets, and a type that nobody knows may be one.
    for notify in [16419, 16413, 50000] {
        chain.push_notify(notify, &[0xa5; 64]);
    }
    chain.push(kind::EAP, &[0xa5; 40]);
    chain.push(kind::CONFIGURATION, &[&[1][..], &[0xa5; 40]].concat());
    chain.push(200, &[0xa5; 40]);
    chain.push_delete_esp(0x1234_5678);
    chain
}

#[test]
fn nothing_secret_is_kept() {
    let mut trace = Trace::default();
    let chain = full_of_secrets();
    let datagram = chain.clone().into_datagram(header(ExchangeType::IkeAuth, false, 1));
    let now = Instant::now();
    trace.sent(&datagram, path(), now);
    trace.received(&datagram, path(), now);
    trace.opened(chain.first(), chain.bytes());
    let kept = trace.after(0);
    assert_eq!(kept.len(), 2);
    for entry in kept {
        assert!(!entry.kept.windows(2).any(|pair| pair == [0xa5; 2]), "{entry:?}");
    }
    let told = lines(trace.after(0)[0]);
    let expected = [
        "SA 1 IKE aes256gcm16-prfsha384-x25519",
        "KE group 31 (x25519), 32 bytes",
        "Nonce 32 bytes",
        "IDi gw.example (name)",
        "CERT X.509 certificate, 701 bytes",
        "AUTH pre-shared key",
        "N COOKIE: 32 bytes",
        "N QUICK_CRASH_DETECTION: 64 bytes",
        "N TICKET_OPAQUE: 64 bytes",
        "N type 50000: 64 bytes",
        "EAP of an unknown code",
        "CP request",
        "payload 200 not known here, 40 bytes",
        "D ESP SPI 12345678",
    ];
    assert_eq!(told, expected);
}

/// tests/oracle/generate.py, inside_ike_auth(): scapy wrote it.
#[test]
fn scapys_ike_auth_in_words() {
    let inside = hex(include_str!("../../tests/vectors/scapy-ike-auth.txt"));
    let mut trace = Trace::default();
    trace.received(&Chain::new().into_datagram(header(ExchangeType::IkeAuth, false, 1)), path(), Instant::now());
    trace.opened(kind::ID_I, &inside);
    let told = lines(trace.after(0)[0]);
    let wanted = [
        "IDi idc.example (name)",
        "IDr 203.0.113.1 (address)",
        "AUTH pre-shared key",
        "SA 1 ESP SPI c0ffee01 aes128gcm16-aes256gcm16-noesn",
        "TSi 10.2.0.0/16",
        "TSr 10.1.0.0/16, 10.3.0.7-10.3.0.9",
        "N INITIAL_CONTACT",
        "N MOBIKE_SUPPORTED",
    ];
    for line in wanted {
        assert!(told.iter().any(|told| told == line), "no {line} in {told:#?}");
    }
    assert!(!told.iter().any(|line| line.contains("malformed")), "{told:#?}");
}

#[test]
fn notifications_say_what_their_data_mean() {
    let mut chain = Chain::new();
    chain.push_notify(notify_kind::INVALID_KE_PAYLOAD, &[0, 14]);
    chain.push_notify(notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD, &[200]);
    let spis = (0x1111, 0x2222);
    chain.push_notify(notify_kind::NAT_DETECTION_SOURCE_IP, &crate::sa::nat_detection_hash(spis, path().remote));
    chain.push_notify(notify_kind::NAT_DETECTION_DESTINATION_IP, &crate::sa::nat_detection_hash(spis, path().remote));
    chain.push_notify(16431, &[0, 2, 0, 4, 0, 9]);
    // REKEY_SA, as RFC 7296 §1.3.3 has it: the SPI stands in the SPI field.
    chain.push(kind::NOTIFY, &[3, 4, 0x40, 0x09, 0xde, 0xad, 0xbe, 0xef]);
    let mut trace = Trace::default();
    trace.received(&chain.into_datagram(header(ExchangeType::IkeSaInit, true, 0)), path(), Instant::now());
    let expected = [
        "N INVALID_KE_PAYLOAD: group 14 (modp2048) is wanted",
        "N UNSUPPORTED_CRITICAL_PAYLOAD: payload 200",
        "N NAT_DETECTION_SOURCE_IP: as we see it",
        "N NAT_DETECTION_DESTINATION_IP: another address or port than we see, so a NAT",
        "N SIGNATURE_HASH_ALGORITHMS: sha256, sha512, 9",
        "N REKEY_SA ESP SPI deadbeef",
    ];
    assert_eq!(lines(trace.after(0)[0]), expected);
}

#[test]
fn what_is_broken_is_shown_as_far_as_it_goes() {
    let mut trace = Trace::default();
    let mut chain = Chain::new();
    chain.push(kind::NONCE, &[1; 16]);
    chain.push(kind::SA, &[0, 0, 0, 200, 1, 1]);
    let mut datagram = chain.into_datagram(header(ExchangeType::IkeSaInit, false, 0));
    datagram.extend_from_slice(&[1, 2, 3]);
    trace.received(&datagram, path(), Instant::now());
    let expected = ["Nonce 16 bytes", "SA 6 more bytes", "malformed from here on the bytes are no payloads"];
    assert_eq!(lines(trace.after(0)[0]), expected);
    trace.received(&datagram[..27], path(), Instant::now());
    assert_eq!(trace.after(0).len(), 1, "what has no header is no message");
}

/// Whatever anybody sends from the peer's address, what was authentic stays, and the whole stays small.
#[test]
fn a_flood_pushes_out_nothing_that_is_proven() {
    let (mut trace, now) = (Trace::default(), Instant::now());
    let mut proposals = Chain::new();
    let (integrity, key_exchange) = (Vec::new(), Vec::new());
    let esp = EspProposal {
        encryption: vec![EspCipher::Aes128Gcm16],
        integrity,
        key_exchange,
        additional_key_exchange: Vec::new(),
        esn: true,
    };
    proposals.push_proposals(&esp.offer(0x1000, false));
    proposals.push(kind::TS_I, &selectors_body(&[TrafficSelector::ANY_IPV4; 32]));
    let sealed = |id| {
        let mut outer = Chain::new();
        outer.push(kind::ENCRYPTED, &[0; 100]);
        outer.into_datagram(header(ExchangeType::CreateChildSa, false, id))
    };
    for id in 0..3 {
        trace.received(&sealed(id), path(), now);
        trace.opened(proposals.first(), proposals.bytes());
    }
    let mut large = Chain::new();
    for _ in 0..60 {
        large.push(kind::VENDOR_ID, &[b'v'; 200]);
    }
    for id in 0..1000 {
        trace.received(&large.clone().into_datagram(header(ExchangeType::IkeSaInit, false, 0)), path(), now);
        trace.received(&sealed(id), path(), now);
        trace.mark(TraceMark::NotOpened);
        trace.settle();
    }
    let after = trace.after(0);
    let proven: Vec<_> = after.iter().filter(|entry| entry.mark == TraceMark::Protected).collect();
    assert_eq!(proven.len(), 3);
    assert!(
        lines(proven[0]).contains(
            &"TSi 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, \
        0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, \
        0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 0.0.0.0/0, 12 more"
                .to_owned()
        )
    );
    let junk = after.iter().rfind(|entry| entry.mark == TraceMark::NotOpened).unwrap();
    assert_eq!(lines(junk), ["SK 100 bytes, could not be opened: damaged, forged, or of other keys"]);
    assert!(junk.earlier() > 10);
    assert!(bytes(&trace) < 7 * 1024, "{} bytes", bytes(&trace));
    for id in 0..1000 {
        trace.received(&sealed(id), path(), now);
        trace.opened(proposals.first(), proposals.bytes());
    }
    assert!(bytes(&trace) < 7 * 1024, "{} bytes", bytes(&trace));
}

/// A tunnel that has been up for a day, probed every ten seconds, still shows how it came up.
#[test]
fn liveness_checks_stand_there_once() {
    let (mut trace, now) = (Trace::default(), Instant::now());
    let init = full_of_secrets().into_datagram(header(ExchangeType::IkeSaInit, false, 0));
    trace.sent(&init, path(), now);
    trace.received(&init, path(), now);
    let mut outer = Chain::new();
    outer.push(kind::ENCRYPTED, &[0; 29]);
    for id in 1..8640 {
        let at = now + Duration::from_secs(10) * id;
        let request = outer.clone().into_datagram(header(ExchangeType::Informational, false, id));
        trace.sealed(&[request], &Chain::new(), path(), at);
        trace.received(&outer.clone().into_datagram(header(ExchangeType::Informational, true, id)), path(), at);
        trace.opened(0, &[]);
        trace.settle();
    }
    let after = trace.after(0);
    let shown: Vec<_> = after.iter().map(|entry| (entry.exchange(), entry.direction, entry.earlier)).collect();
    let (sent, received) = (TraceDirection::Sent, TraceDirection::Received);
    let told = |exchange: &str, direction, earlier| (exchange.to_owned(), direction, earlier);
    let expected = [
        told("IKE_SA_INIT", sent, 0),
        told("IKE_SA_INIT", received, 0),
        told("INFORMATIONAL", sent, 8638),
        told("INFORMATIONAL", received, 8638),
    ];
    assert_eq!(shown, expected);
    assert!(bytes(&trace) < 2500, "{} bytes", bytes(&trace));
    // Who follows sees each of them, and nothing twice.
    assert_eq!(trace.after(after.last().unwrap().sequence()).len(), 0);
    assert_eq!(trace.after(u64::MAX).len(), 4, "a number of a trace that is gone asks for all");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands inside, a bounded part of it is kept and can be told.
    #[test]
    fn arbitrary_payloads(payloads in prop::collection::vec((33u8..54, prop::collection::vec(any::<u8>(), 0..300)), 0..12),
                          flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut chain = Chain::new();
        payloads.iter().for_each(|(kind, body)| chain.push(*kind, body));
        let mut bytes = chain.bytes().to_vec();
        for (place, value) in &flips {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
        }
        let mut trace = Trace::default();
        trace.received(&Chain::new().into_datagram(header(ExchangeType::IkeAuth, false, 1)), path(), Instant::now());
        trace.opened(chain.first(), &bytes);
        let entry = trace.after(0)[0];
        prop_assert!(entry.kept.len() <= 1024 + 6);
        let told: usize = lines(entry).iter().map(String::len).sum();
        prop_assert!(told < 16 * 1024, "{told} characters");
    }
}

/// All memory that a trace takes.
fn bytes(trace: &Trace) -> usize {
    let ring = |ring: &Ring| ring.entries.capacity() * size_of::<TraceEntry>() + ring.bytes;
    size_of::<Trace>()
        + ring(&trace.proven)
        + ring(&trace.unproven)
        + trace.current.as_ref().map_or(0, |entry| entry.kept.len())
}
