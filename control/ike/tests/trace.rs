//! What a tunnel's trace tells after the fact: of what worked, and of what did not.

mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use bordergate_ike::*;
use pair::*;

fn traced(side: &Side) -> Vec<&TraceEntry> {
    side.endpoint.trace(TUNNEL, 0).collect()
}

/// Direction, exchange, kind and outcome of each.
fn shape(side: &Side) -> Vec<String> {
    let one = |entry: &&TraceEntry| {
        let way = if entry.direction() == TraceDirection::Sent { "->" } else { "<-" };
        let kind = if entry.is_response() { "response" } else { "request" };
        format!("{way} {} {kind} {} {:?}", entry.exchange(), entry.header().message_id, entry.mark())
    };
    traced(side).iter().map(one).collect()
}

fn lines(entry: &TraceEntry) -> Vec<String> {
    entry.payloads().iter().map(|payload| format!("{} {}", payload.name, payload.text)).collect()
}

fn holds(entry: &TraceEntry, wanted: &[&str]) {
    let lines = lines(entry);
    for line in wanted {
        assert!(lines.iter().any(|told| told == line), "no `{line}` in {lines:#?}");
    }
}

#[test]
fn a_handshake_is_told_payload_by_payload() {
    let mut pair = Pair::plain(1);
    pair.run(1);
    pair.assert_joined();
    let told = [
        "-> IKE_SA_INIT request 0 Clear",
        "<- IKE_SA_INIT response 0 Clear",
        "-> IKE_AUTH request 1 Protected",
        "<- IKE_AUTH response 1 Protected",
    ];
    assert_eq!(shape(&pair.a), told);
    let mirrored: Vec<String> =
        told.iter()
            .map(|line| {
                if let Some(rest) = line.strip_prefix("->") {
                    format!("<-{rest}")
                } else {
                    line.replacen("<-", "->", 1)
                }
            })
            .collect();
    assert_eq!(shape(&pair.b), mirrored);
    let (a, b) = (traced(&pair.a), traced(&pair.b));
    for (mine, theirs) in a.iter().zip(&b) {
        assert_eq!((mine.header(), mine.payloads()), (theirs.header(), theirs.payloads()), "both ends tell the same");
    }
    holds(
        a[0],
        &[
            "SA 1 IKE aes128gcm16-prfsha256-x25519-ecp256; 2 IKE aes128-sha256-prfsha256-x25519-ecp256",
            "KE group 31 (x25519), 32 bytes",
            "Nonce 32 bytes",
            "N NAT_DETECTION_SOURCE_IP: as we see it",
            "N NAT_DETECTION_DESTINATION_IP: as we see it",
        ],
    );
    holds(a[1], &["SA 1 IKE aes128gcm16-prfsha256-x25519"]);
    let spi = pair.a.child().inbound_spi;
    holds(
        a[2],
        &[
            "IDi 192.0.2.1 (address)",
            "N INITIAL_CONTACT",
            "AUTH pre-shared key",
            &format!("SA 1 ESP SPI {spi:08x} aes128gcm16-esn-noesn"),
            "TSi 10.1.0.0/16",
            "TSr 10.2.0.0/16",
        ],
    );
    assert!(lines(a[2])[0].starts_with("SK ") && lines(a[2])[0].ends_with("bytes, holds"), "{:?}", lines(a[2]));
    assert_eq!((a[0].local(), a[0].remote()), (SocketAddr::new(address(A), 500), SocketAddr::new(address(B), 500)));
    assert_eq!(a[1].at() - a[0].at(), Duration::from_millis(20));
}

#[test]
fn nothing_secret_can_be_got_from_it() {
    let mut pair = Pair::plain(2);
    pair.run(1);
    let text = format!("{:?} {:?}", traced(&pair.a), traced(&pair.b));
    assert!(!text.contains("correct_horse"));
    for message in [&pair.a.sent[0], &pair.b.sent[0]] {
        // KE, behind the group, and Nonce.
        for secret in [&body(message, 34)[4..], body(message, 40)] {
            assert_eq!(secret.len(), 32);
            for part in secret.chunks_exact(8) {
                let bytes = format!("{part:?}");
                assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{bytes}");
            }
        }
    }
}

/// The body of the payload of a type, in a message that has it.
fn body(message: &[u8], kind: u8) -> &[u8] {
    let (mut place, mut next) = (28, message[16]);
    loop {
        let length = usize::from(u16::from_be_bytes([message[place + 2], message[place + 3]]));
        if next == kind {
            return &message[place + 4..place + length];
        }
        next = message[place];
        place += length;
    }
}

#[test]
fn what_failed_is_there_afterwards() {
    let mut b = config(B, A, Startup::Respond);
    b.authentication = Psk::new("another").into();
    let mut pair = Pair::configured(3, config(A, B, Startup::Initiate), b);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.b.reason().code(), "wrong_psk");
    let last = *traced(&pair.b).last().unwrap();
    assert_eq!(
        (last.direction(), last.exchange().as_str(), last.mark()),
        (TraceDirection::Sent, "IKE_AUTH", TraceMark::Protected)
    );
    holds(last, &["N AUTHENTICATION_FAILED"]);
    holds(traced(&pair.a).last().unwrap(), &["N AUTHENTICATION_FAILED"]);
}

#[test]
fn silence_shows_as_retransmissions() {
    let mut pair = Pair::new(4);
    pair.filter = Box::new(|from_a, _, _| from_a);
    pair.configure(config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    pair.run_for(Duration::from_millis(30_100));
    assert_eq!(shape(&pair.a), ["-> IKE_SA_INIT request 0 Clear", "-> IKE_SA_INIT request 0 Retransmission"]);
    assert_eq!(traced(&pair.a)[1].earlier(), 4);
    assert_eq!(traced(&pair.b).len(), 0);
}

#[test]
fn what_is_forged_is_told_apart() {
    let mut pair = Pair::plain(5);
    pair.run(1);
    let at = |a: &str| SocketAddr::new(address(a), 500);
    let mut forged = pair.a.sent[1].clone();
    // A request that comes next, with a wrong check value.
    forged[23] = 2;
    pair.inject(false, at(A), at(B), &forged);
    let last = *traced(&pair.b).last().unwrap();
    assert_eq!(last.mark(), TraceMark::NotOpened);
    assert!(lines(last)[0].contains("could not be opened"), "{:?}", lines(last));
    pair.inject(false, at(A), at(B), &pair.a.sent[1].clone());
    let (again, answer) = (traced(&pair.b)[5], traced(&pair.b)[6]);
    assert_eq!((again.mark(), again.payloads().len()), (TraceMark::Retransmission, 0));
    assert_eq!((answer.mark(), answer.direction()), (TraceMark::Retransmission, TraceDirection::Sent));
}

/// The header of an IKEv1 Main Mode message (RFC 2408 §3.1), an SA payload behind it.
fn main_mode() -> Vec<u8> {
    let mut message = [7; 16].to_vec();
    message[8..].fill(0);
    message.extend_from_slice(&[1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 60]);
    message.extend_from_slice(&[0; 32]);
    message
}

#[test]
fn a_peer_that_speaks_ikev1_is_named() {
    let mut pair = Pair::new(6);
    pair.filter = Box::new(|_, _, _| true);
    pair.configure(config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    let at = |a: &str| SocketAddr::new(address(a), 500);
    let reason = DownReason::PeerSpeaksIkeV1 { remote: address(B) };
    pair.inject(true, at(B), at(A), &main_mode());
    assert_eq!(pair.a.reason(), reason);
    assert_eq!(reason.to_string(), "the peer 198.51.100.2 speaks IKEv1, which is not spoken here");
    let last = *traced(&pair.a).last().unwrap();
    assert_eq!((last.exchange().as_str(), last.mark()), ("Main Mode", TraceMark::OtherVersion));
    // That it does not answer us says less.
    for _ in 0..8 {
        pair.run(10);
        pair.inject(true, at(B), at(A), &main_mode());
        assert_eq!(pair.a.reason(), reason);
    }
    assert_eq!(pair.a.downs(), ["peer_speaks_ikev1"], "told once");
    // It has stopped.
    pair.run(120);
    assert_eq!(pair.a.reason().code(), "peer_silent");
    // A tunnel that is up, or down for a better reason, is not talked out of it.
    pair.filter = Box::new(|_, _, _| false);
    pair.run(70);
    pair.inject(true, at(B), at(A), &main_mode());
    pair.assert_joined();
    pair.on_a(|e, ctx| e.set_admin(TUNNEL, Admin::Down, ctx));
    pair.inject(true, at(B), at(A), &main_mode());
    assert_eq!(pair.a.reason(), DownReason::AdminDown);
    assert_eq!(pair.b.sent.iter().filter(|m| m[17] != 0x20).count(), 0);
}

#[test]
fn followers_get_each_message_once() {
    let mut pair = Pair::plain(7);
    let (mut after, mut seen) = (0, Vec::new());
    for _ in 0..600 {
        pair.run_for(Duration::from_millis(100));
        let new: Vec<_> = pair.a.endpoint.trace(TUNNEL, after).collect();
        after = new.last().map_or(after, |entry| entry.sequence());
        seen.extend(new.iter().map(|entry| entry.sequence()));
    }
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert!(seen.len() > 10);
    assert_eq!(pair.a.endpoint.trace(TunnelId(99), 0).count(), 0);
}
