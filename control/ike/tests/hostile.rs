//! Arbitrary and mutated datagrams, in every state: nothing panics, nothing grows, nothing comes up.

mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use bordergate_ike::*;
use pair::*;
use proptest::prelude::*;

/// A pair stopped in one of the states a datagram can meet.
fn stopped(state: u8) -> Pair {
    let mut pair = Pair::new(u64::from(state));
    match state {
        0 => pair.filter = Box::new(|_, _, _| true),
        1 => pair.filter = Box::new(|_, _, m| m[18] == 35),
        2 => pair.filter = Box::new(|from_a, _, m| !from_a && m[18] == 35),
        _ => {}
    }
    let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    if state == 5 {
        for end in [&mut a, &mut b] {
            end.ike.encryption = vec![IkeCipher::Aes128Cbc];
        }
    }
    pair.configure(a, b);
    pair.run_for(Duration::from_millis(200));
    if state == 4 {
        pair.filter = Box::new(|_, _, _| true);
        pair.on_a(|e, ctx| e.set_admin(TUNNEL, Admin::Down, ctx));
    }
    pair
}

fn deliver(pair: &mut Pair, datagram: &[u8]) {
    let at = |a: &str, port| SocketAddr::new(address(a), port);
    for port in [500, 4500] {
        pair.inject(true, at(B, port), at(A, port), datagram);
        pair.inject(false, at(A, port), at(B, port), datagram);
    }
    for side in [&pair.a, &pair.b] {
        let entries: Vec<_> = side.endpoint.trace(TUNNEL, 0).collect();
        let told: usize = entries.iter().flat_map(|entry| entry.payloads()).map(|payload| payload.text.len()).sum();
        assert!(entries.len() <= 24 && told < 64 * 1024, "{} messages, {told} characters", entries.len());
    }
    assert!(pair.a.endpoint.sa_count() <= 10 && pair.b.endpoint.sa_count() <= 10);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(state in 0u8..6, datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)) {
        let mut pair = stopped(state);
        for datagram in &datagrams {
            deliver(&mut pair, datagram);
        }
    }

    #[test]
    fn arbitrary_payloads_behind_a_valid_header(
        state in 0u8..6, first in 33u8..55, exchange in 34u8..39, flags in prop::sample::select(vec![0u8, 8, 32, 40]),
        id in 0u8..3, body in prop::collection::vec(any::<u8>(), 0..200), real in any::<bool>(),
    ) {
        let mut pair = stopped(state);
        let mut datagram = pair.a.sent[pair.a.sent.len() - 1][..16].to_vec();
        if !real {
            datagram[8..].fill(0);
        }
        datagram.extend_from_slice(&[first, 0x20, exchange, flags, 0, 0, 0, id]);
        datagram.extend_from_slice(&(28 + 4 + body.len() as u32).to_be_bytes());
        datagram.extend_from_slice(&[0, 0]);
        datagram.extend_from_slice(&(4 + body.len() as u16).to_be_bytes());
        datagram.extend_from_slice(&body);
        deliver(&mut pair, &datagram);
    }

    #[test]
    fn mutated_messages(
        state in 0u8..6, which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(), fix in any::<bool>(), truncate in any::<bool>(),
    ) {
        let mut pair = stopped(state);
        let was_up = (pair.a.is_up(), pair.b.is_up());
        let sent: Vec<Vec<u8>> = pair.a.sent.iter().chain(&pair.b.sent).cloned().collect();
        let mut datagram = which.get(&sent).clone();
        for (at, value) in &edits {
            let at = at.index(datagram.len());
            datagram[at] = *value;
        }
        if truncate {
            datagram.truncate(cut.index(datagram.len()) + 1);
        }
        if fix && datagram.len() >= 28 {
            let length = (datagram.len() as u32).to_be_bytes();
            datagram[24..28].copy_from_slice(&length);
        }
        // What was left as it was sent may well end something.
        prop_assume!(!sent.contains(&datagram));
        deliver(&mut pair, &datagram);
        if was_up.0 {
            prop_assert!(pair.a.is_up() && pair.a.downs().is_empty());
        }
        if was_up.1 {
            prop_assert!(pair.b.is_up() && pair.b.downs().is_empty());
        }
    }
}
