//! Peers that are sent to another gateway (RFC 5685).

mod pair;

use std::net::SocketAddr;

use bordergate_ike::*;
use pair::*;

/// Another address of B's side, with a tunnel of its own.
const C: &str = "203.0.113.30";
const NOWHERE: &str = "203.0.113.77";
const AT_C: TunnelId = TunnelId(8);

/// B and C wait for A, which may be sent to C.
fn pair(seed: u64) -> Pair {
    let mut pair = Pair::new(seed);
    let mut at_c = config(B, A, Startup::Respond);
    at_c.local = address(C);
    pair.on_b(|e, ctx| e.configure(AT_C, at_c, ctx).unwrap());
    pair.on_b(|e, ctx| e.configure(TUNNEL, config(B, A, Startup::Respond), ctx).unwrap());
    pair
}

fn begin(pair: &mut Pair, redirects: &[&str]) {
    let mut a = config(A, B, Startup::Initiate);
    a.redirects = redirects.iter().map(|text| address(text)).collect();
    pair.on_a(|e, ctx| e.configure(TUNNEL, a, ctx).unwrap());
    pair.run(1);
}

fn drain(pair: &mut Pair, to: Option<&str>) {
    let to = to.map(address);
    pair.on_b(|e, ctx| e.drain(to, ctx));
    assert_eq!(pair.b.endpoint.draining(), to);
}

fn at_c(pair: &Pair) -> TunnelState {
    pair.b.endpoint.status(AT_C).unwrap().state
}

#[test]
fn a_peer_that_is_up_moves_without_going_down() {
    let mut pair = pair(1);
    begin(&mut pair, &[C]);
    assert!(pair.both_up());
    assert_eq!(pair.a.child().remote, address(B));
    drain(&mut pair, Some(C));
    pair.run(1);
    assert_eq!((pair.a.child().remote, at_c(&pair)), (address(C), TunnelState::Up));
    pair.run(14);
    assert_eq!((pair.a.ups(), pair.a.downs().len()), (1, 0));
    assert_eq!(pair.b.reason(), DownReason::Drained { to: address(C) });
    assert_eq!((pair.a.installed.len(), pair.b.installed.len()), (1, 1));
    // It lives on there, and comes back to where it belongs when that ends.
    pair.run(300);
    assert!(pair.a.is_up());
    drain(&mut pair, None);
    pair.on_b(|e, ctx| e.set_admin(AT_C, Admin::Down, ctx));
    pair.run(5);
    assert_eq!(pair.a.child().remote, address(B));
    assert!(pair.both_up());
}

#[test]
fn a_peer_that_begins_is_sent_on_at_once() {
    let mut pair = pair(2);
    drain(&mut pair, Some(C));
    begin(&mut pair, &[C]);
    assert_eq!((pair.a.child().remote, at_c(&pair)), (address(C), TunnelState::Up));
    assert_eq!(pair.a.status().counters.attempts, 1);
    assert_eq!(pair.b.reason(), DownReason::Connecting);
}

#[test]
fn nobody_goes_where_it_may_not() {
    let mut pair = pair(3);
    drain(&mut pair, Some(NOWHERE));
    begin(&mut pair, &[C]);
    pair.run(31);
    let redirected = DownReason::Redirected { to: address(NOWHERE) };
    assert_eq!(pair.a.reason(), redirected);
    assert_eq!(redirected.to_string(), "the peer sends us to 203.0.113.77");
    drain(&mut pair, None);
    pair.run(10);
    assert!(pair.both_up());
    // One that is up stays as long as it can.
    drain(&mut pair, Some(NOWHERE));
    pair.run(59);
    assert!(pair.both_up());
    pair.run(2);
    assert_eq!(pair.a.reason(), redirected);
    let drained = DownReason::Drained { to: address(NOWHERE) };
    assert_eq!(pair.b.reason(), drained);
    assert_eq!(drained.to_string(), "this gateway is being drained: the peer was sent to 203.0.113.77");
}

#[test]
fn who_does_not_understand_it_is_served() {
    let mut pair = pair(4);
    drain(&mut pair, Some(C));
    begin(&mut pair, &[]);
    pair.assert_joined();
    drain(&mut pair, Some(C));
    pair.run(200);
    pair.assert_joined();
    assert_eq!(at_c(&pair), TunnelState::Down);
}

#[test]
fn what_was_begun_can_be_ended() {
    let mut pair = pair(5);
    begin(&mut pair, &[C]);
    drain(&mut pair, Some(NOWHERE));
    pair.run(30);
    drain(&mut pair, None);
    pair.run(200);
    pair.assert_joined();
    assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
}

#[test]
fn an_answer_of_somebody_who_has_not_seen_the_request_leads_nowhere() {
    let mut pair = pair(6);
    pair.filter = Box::new(|from_a, _, _| !from_a);
    begin(&mut pair, &[C]);
    let mut forged = pair.a.sent[0][..8].to_vec();
    forged.extend_from_slice(&[0; 8]);
    forged.extend_from_slice(&[41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 28 + 46]);
    // REDIRECT to C, with a nonce that is not A's.
    forged.extend_from_slice(&[0, 0, 0, 46, 0, 0, 0x40, 0x17, 1, 4, 203, 0, 113, 30]);
    forged.extend_from_slice(&[7; 32]);
    let at = |text: &str| SocketAddr::new(address(text), 500);
    pair.inject(true, at(B), at(A), &forged);
    pair.run(20);
    assert_eq!(pair.a.status().counters.unprotected_errors, 1);
    assert_eq!(at_c(&pair), TunnelState::Down);
}
