//! A peer that crashes and comes back: how soon that is known, and that nobody else can say so (RFC 6290).

mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use bordergate_ike::*;
use pair::*;

const SECRET: [u8; 32] = [0x51; 32];

/// Both have a secret, B crashes with everything but that, and waits for A after it has come back.
fn crashed(seed: u64, secret_after: Option<[u8; 32]>) -> Pair {
    let mut pair = up(seed);
    crash_b(&mut pair, secret_after);
    pair
}

fn up(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    pair.a.endpoint.set_crash_secret([0xa0; 32]);
    pair.b.endpoint.set_crash_secret(SECRET);
    pair.configure(config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    pair.run(1);
    pair.assert_joined();
    pair
}

fn crash_b(pair: &mut Pair, secret: Option<[u8; 32]>) {
    pair.b = Side::new(0xb2);
    if let Some(secret) = secret {
        pair.b.endpoint.set_crash_secret(secret);
    }
    pair.on_b(|e, ctx| e.configure(TUNNEL, config(B, A, Startup::Respond), ctx).unwrap());
}

/// How long until both are up again.
fn recovery(pair: &mut Pair) -> Duration {
    let crashed = pair.now;
    for _ in 0..600 {
        pair.run_for(Duration::from_millis(100));
        if pair.both_up() {
            pair.assert_joined();
            return pair.now - crashed;
        }
    }
    panic!("it does not come back");
}

#[test]
fn with_the_secret_the_first_question_ends_it() {
    let mut pair = crashed(1, Some(SECRET));
    // A asks after 10 s of silence, and has its answer a round trip later.
    let took = recovery(&mut pair);
    assert!(took < Duration::from_millis(10_500), "{took:?}");
    assert_eq!(pair.a.downs(), ["peer_restarted"]);
    let reason = DownReason::PeerRestarted { remote: address(B) };
    assert_eq!(pair.a.reason(), reason);
    assert_eq!(reason.to_string(), "the peer 198.51.100.2 has restarted and lost the IKE SA");
    assert_eq!(pair.a.status().counters.wrong_tokens, 0);
}

#[test]
fn a_request_that_is_due_anyway_finds_out_at_once() {
    let mut pair = crashed(2, Some(SECRET));
    pair.on_a(|e, ctx| e.rekey_children(TUNNEL, ctx));
    let took = recovery(&mut pair);
    assert!(took <= Duration::from_millis(200), "{took:?}");
}

#[test]
fn without_the_secret_the_peer_has_to_be_silent_for_long_enough() {
    for secret in [None, Some([0x52; 32])] {
        let mut pair = crashed(3, secret);
        let took = recovery(&mut pair);
        assert!((39..50).contains(&took.as_secs()), "{took:?}");
        assert_eq!(pair.a.downs(), ["peer_silent"]);
        // Each copy of the question has had a token, which was another one.
        assert_eq!(pair.a.status().counters.wrong_tokens > 0, secret.is_some());
    }
}

#[test]
fn one_that_waits_forgets_what_the_peer_has_lost() {
    let mut pair = Pair::new(4);
    pair.b.endpoint.set_crash_secret(SECRET);
    pair.configure(config(A, B, Startup::Respond), config(B, A, Startup::Initiate));
    pair.run(1);
    pair.assert_joined();
    crash_b(&mut pair, Some(SECRET));
    pair.run(12);
    assert_eq!(pair.a.downs(), ["peer_restarted"]);
    assert_eq!(pair.a.endpoint.sa_count(), 0);
    assert!(pair.a.installed.is_empty() && pair.a.spis.live.is_empty());
}

#[test]
fn the_sa_that_takes_another_ones_place_has_a_token_of_its_own() {
    for by_a in [true, false] {
        let mut pair = up(5);
        // RFC 6290 §4.3: in the answer, or in an exchange of its own.
        if by_a {
            pair.on_a(|e, ctx| e.rekey_ike(TUNNEL, ctx));
        } else {
            pair.on_b(|e, ctx| e.rekey_ike(TUNNEL, ctx));
        }
        pair.run(3);
        pair.assert_joined();
        crash_b(&mut pair, Some(SECRET));
        let took = recovery(&mut pair);
        assert!(took < Duration::from_millis(10_500), "by a: {by_a}, {took:?}");
        assert_eq!(pair.a.downs(), ["peer_restarted"]);
    }
}

/// B's answer to a request of A's for an SA that is gone.
fn shown(pair: &mut Pair) -> Vec<u8> {
    let before = pair.b.sent.len();
    pair.run_for(Duration::from_millis(10_050));
    pair.b.sent[before].clone()
}

#[test]
fn a_token_that_is_not_the_right_one_does_nothing() {
    let mut pair = crashed(6, Some(SECRET));
    // What the right one would be, which never arrives.
    pair.filter = Box::new(|from_a, _, _| !from_a);
    let right = shown(&mut pair);
    let (from, to) = (SocketAddr::new(address(B), 500), SocketAddr::new(address(A), 500));
    assert!(pair.a.is_up());
    for at in right.len() - 32..right.len() {
        let mut forged = right.clone();
        forged[at] ^= 1;
        pair.inject(true, from, to, &forged);
    }
    // A prefix of it, and nothing at all.
    let notify = right.len() - 40;
    for length in [0u8, 16, 31] {
        let mut forged = right[..right.len() - 32 + usize::from(length)].to_vec();
        forged[notify + 3] = 8 + length;
        let all = forged.len() as u32;
        forged[24..28].copy_from_slice(&all.to_be_bytes());
        pair.inject(true, from, to, &forged);
    }
    assert!(pair.a.is_up() && pair.a.downs().is_empty());
    assert_eq!(pair.a.status().counters.wrong_tokens, 35);
    // From another address it is nobody's.
    pair.inject(true, SocketAddr::new(address(A_OUTSIDE), 500), to, &right);
    assert!(pair.a.is_up());
    pair.inject(true, from, to, &right);
    assert_eq!(pair.a.downs(), ["peer_restarted"]);
}

#[test]
fn no_token_is_shown_for_an_sa_that_lives() {
    let mut pair = up(7);
    pair.on_a(|e, ctx| e.rekey_children(TUNNEL, ctx));
    let request = pair.a.sent.last().unwrap().clone();
    pair.run(1);
    let (from, to) = (SocketAddr::new(address(A), 500), SocketAddr::new(address(B), 500));
    let before = pair.b.sent.len();
    // As it was, with the roles turned around, with either SPI made up, as an answer.
    let mut turned = request.clone();
    turned[19] ^= 0x08;
    let mut other = [request.clone(), request.clone()];
    other[0][0] ^= 1;
    other[1][8] ^= 1;
    let mut answer = request.clone();
    answer[19] ^= 0x20;
    for message in [&turned, &other[0], &answer] {
        pair.inject(false, from, to, message);
    }
    assert_eq!(pair.b.sent.len(), before, "nothing of that is answered");
    // An SA that there is not, although it has a peer's SPI: the token is that of no SA.
    pair.inject(false, from, to, &other[1]);
    assert_eq!(pair.b.sent.len(), before + 1);
    assert_eq!(pair.b.endpoint.counters().unknown_spi, 2);
}

#[test]
fn tokens_are_shown_at_a_bounded_rate() {
    let mut pair = crashed(8, Some(SECRET));
    pair.filter = Box::new(|from_a, _, _| !from_a);
    shown(&mut pair);
    let request = pair.a.sent.last().unwrap().clone();
    let (from, to) = (SocketAddr::new(address(A), 500), SocketAddr::new(address(B), 500));
    let before = pair.b.sent.len();
    for _ in 0..1000 {
        pair.inject(false, from, to, &request);
    }
    assert!(pair.b.sent.len() - before <= 16);
    assert!(pair.b.endpoint.counters().answers_limited > 900);
    // What is not protected, or not for us, is not answered.
    pair.run(60);
    let before = pair.b.sent.len();
    let mut open = request[..28].to_vec();
    open[16] = 0;
    open[24..28].copy_from_slice(&28u32.to_be_bytes());
    pair.inject(false, from, to, &open);
    assert_eq!(pair.b.sent.len(), before);
}
