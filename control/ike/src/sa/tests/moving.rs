//! A peer that moves to other addresses (RFC 4555).

use super::gateway::{Gateway, TUNNEL, authentication, names, opened, sent};
use super::*;
use crate::child::UdpEncapsulation;
use crate::reason::Violation;
use crate::status::TunnelState;

const ELSEWHERE: &str = "203.0.113.7:4500";
const OTHER_PEER: &str = "203.0.113.99:4500";

/// Both up; the peer may move if the gateway lets it.
fn up(mobike: bool) -> (End, Gateway) {
    let mut config = End::new(B, A).config;
    (config.startup, config.mobike) = (Startup::Respond, mobike);
    let mut gateway = Gateway::new(&config);
    config.remote = OTHER_PEER.parse::<SocketAddr>().unwrap().ip();
    config.remote_id = Identity::Address(config.remote);
    gateway.with(|endpoint, ctx| endpoint.configure(TunnelId(2), config, ctx).unwrap());
    let (mut a, _) = opened(&mut gateway);
    a.path.local.set_port(4500);
    a.path.remote.set_port(4500);
    let request = authentication(&mut a, true, &[notify_kind::MOBIKE_SUPPORTED]);
    let actions = gateway.hear(a.path, &request);
    assert_eq!(names(&actions), ["install", "transmit", "use", "up"]);
    let answer = sent(&actions)[0].1.clone();
    let (first, plain) = a.opened(&answer);
    let announced = Payloads::parse(first, &plain).unwrap().notify(notify_kind::MOBIKE_SUPPORTED).is_some();
    assert_eq!(announced, mobike);
    let (verdict, _) = a.hear(&answer);
    assert!(matches!(verdict, Verdict::Established { .. }));
    a.sa.as_mut().unwrap().child_installed();
    (a, gateway)
}

fn at(path: Path, address: &str) -> Path {
    Path { local: address.parse().unwrap(), ..path }
}

/// A's request to be where `claimed` says, as NATs leave it, with a cookie to repeat.
fn update(a: &mut End, claimed: Path, further: &[(u16, &[u8])]) -> Vec<u8> {
    let mut chain = Chain::new();
    chain.push_notify(notify_kind::UPDATE_SA_ADDRESSES, &[]);
    chain.push_notify(notify_kind::COOKIE2, b"repeat_me");
    let spis = a.sa.as_ref().unwrap().spis();
    super::super::nat::push_detection(&mut chain, spis, claimed, false);
    for (notify, data) in further {
        chain.push_notify(*notify, data);
    }
    let send = |sa: &mut Option<Box<IkeSa>>, env: &mut Env<'_, '_>| {
        sa.as_mut().unwrap().send_request(ExchangeType::Informational, Purpose::Notice(None), &chain, env);
    };
    a.with(send).1.remove(0)
}

/// What the gateway's answer says; A takes it.
fn said(a: &mut End, answer: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let (first, plain) = a.opened(answer);
    let payloads = Payloads::parse(first, &plain).unwrap();
    let said = payloads.notifies.iter().map(|notify| (notify.kind, notify.data.to_vec())).collect();
    a.hear(answer);
    said
}

#[test]
fn the_peer_takes_its_sas_along() {
    let (mut a, mut gateway) = up(true);
    let new = at(a.path, ELSEWHERE);
    let request = update(&mut a, new, &[]);
    let actions = gateway.hear(new, &request);
    // The check of the new path comes behind the answer and holds nothing up.
    assert_eq!(names(&actions), ["move", "transmit", "transmit"]);
    let moved = Action::MoveChild {
        tunnel: TUNNEL,
        inbound_spi: 0x2001,
        local: new.remote.ip(),
        remote: new.local.ip(),
        encapsulation: None,
    };
    assert_eq!(actions[0], moved);
    let out = sent(&actions);
    assert!(out.iter().all(|(to, _)| *to == new.local));
    let said = said(&mut a, &out[0].1);
    assert_eq!(said[0], (notify_kind::COOKIE2, b"repeat_me".to_vec()));
    let kinds: Vec<u16> = said.iter().map(|(kind, _)| *kind).collect();
    let detection = [notify_kind::NAT_DETECTION_SOURCE_IP, notify_kind::NAT_DETECTION_DESTINATION_IP];
    assert_eq!(kinds[1..], detection);
    assert_eq!(said[2].1, nat_detection_hash(a.sa.as_ref().unwrap().spis(), new.local));
    // The peer repeats the cookie, and so shows that it is there.
    let (_, answer) = a.hear(&out[1].1);
    assert!(gateway.hear(new, &answer[0]).is_empty());
    assert_eq!(gateway.status().state, TunnelState::Up);
    // What comes next goes there, too.
    let actions = gateway.with(|endpoint, ctx| endpoint.rekey_children(TUNNEL, ctx));
    assert_eq!(sent(&actions)[0].0, new.local);
}

#[test]
fn a_nat_on_the_way_is_found_and_left_again() {
    let (mut a, mut gateway) = up(true);
    // It takes itself to be elsewhere than where its message comes from.
    let (seen, claimed) = (at(a.path, "203.0.113.7:31000"), at(a.path, "10.0.0.7:4500"));
    let request = update(&mut a, claimed, &[]);
    let actions = gateway.hear(seen, &request);
    let ports = UdpEncapsulation { local_port: 4500, remote_port: 31000 };
    assert!(matches!(&actions[0], Action::MoveChild { encapsulation: Some(found), .. } if *found == ports));
    assert!(gateway.status().encapsulated);
    let out = sent(&actions);
    said(&mut a, &out[0].1);
    let (_, answer) = a.hear(&out[1].1);
    gateway.hear(seen, &answer[0]);
    let new = at(a.path, ELSEWHERE);
    let request = update(&mut a, new, &[]);
    // The port alone was followed before the request was looked at (RFC 7296 §2.23).
    let actions = gateway.hear(new, &request);
    let last = actions.iter().rfind(|action| matches!(action, Action::MoveChild { .. }));
    assert!(matches!(last, Some(Action::MoveChild { encapsulation: None, .. })));
    assert!(!gateway.status().encapsulated);
}

#[test]
fn only_what_is_authenticated_moves_an_sa() {
    let (mut a, mut gateway) = up(true);
    let (old, new, third) = (a.path, at(a.path, ELSEWHERE), at(a.path, "192.0.2.200:4500"));
    let request = update(&mut a, new, &[]);
    let mut forged = request.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(gateway.hear(third, &forged).is_empty());
    assert_eq!(gateway.status().counters.bad_integrity, 1);
    // A question from elsewhere is answered there, and moves nothing (RFC 4555 §3.10).
    let (_, mut out) = a.with(|sa, env| {
        let sa = sa.as_mut().unwrap();
        sa.next_id -= 1;
        sa.send_request(ExchangeType::Informational, Purpose::Notice(None), &Chain::new(), env);
    });
    let actions = gateway.hear(third, &out.remove(0));
    assert_eq!(names(&actions), ["transmit"]);
    assert_eq!(sent(&actions)[0].0, third.local);
    said(&mut a, &sent(&actions)[0].1);
    let request = update(&mut a, new, &[]);
    gateway.hear(new, &request);
    // The same message once more from elsewhere: whoever sends it has its answer, and nothing else.
    let again = gateway.hear(third, &request);
    assert_eq!(names(&again), ["transmit"]);
    let to = |actions: &[Action]| sent(actions)[0].0;
    let next = gateway.wait(Duration::from_secs(1));
    assert_eq!(to(&next), new.local, "the check of the path, again");
    assert_ne!(new.local, old.local);
}

#[test]
fn where_another_peer_is_or_nobody_can_be_the_sa_does_not_go() {
    for place in [OTHER_PEER, "0.0.0.0:4500", "224.0.0.1:4500", "127.0.0.1:4500"] {
        let (mut a, mut gateway) = up(true);
        let new = at(a.path, place);
        let request = update(&mut a, new, &[]);
        let actions = gateway.hear(new, &request);
        assert_eq!(names(&actions), ["transmit"]);
        let said = said(&mut a, &sent(&actions)[0].1);
        assert_eq!(said[1], (notify_kind::UNACCEPTABLE_ADDRESSES, Vec::new()));
        let actions = gateway.with(|endpoint, ctx| endpoint.rekey_children(TUNNEL, ctx));
        assert_eq!(sent(&actions)[0].0, a.path.local);
    }
}

#[test]
fn a_peer_that_forbids_nats_is_told_of_one() {
    let (mut a, mut gateway) = up(true);
    let new = at(a.path, ELSEWHERE);
    // RFC 4555 §4.2.5: both addresses, both ports, its own first.
    let own = [203, 0, 113, 7, 198, 51, 100, 2, 0x11, 0x94, 0x11, 0x94];
    let mut other = own;
    other[3] = 8;
    let request = update(&mut a, new, &[(notify_kind::NO_NATS_ALLOWED, &other)]);
    let actions = gateway.hear(new, &request);
    assert_eq!(names(&actions), ["transmit"]);
    assert_eq!(said(&mut a, &sent(&actions)[0].1)[1].0, notify_kind::UNEXPECTED_NAT_DETECTED);
    let request = update(&mut a, new, &[(notify_kind::NO_NATS_ALLOWED, &own)]);
    assert_eq!(names(&gateway.hear(new, &request))[0], "move");
}

#[test]
fn a_tunnel_that_does_not_allow_it_stays_where_it_is() {
    let (mut a, mut gateway) = up(false);
    let new = at(a.path, ELSEWHERE);
    let request = update(&mut a, new, &[]);
    assert!(gateway.hear(new, &request).is_empty());
    assert_eq!(gateway.endpoint.counters().unknown_peer, 1);
    // From where it is, it is answered as any other, and its cookie repeated.
    let actions = gateway.hear(a.path, &request);
    assert_eq!(said(&mut a, &sent(&actions)[0].1).len(), 1);
}

#[test]
fn a_peer_that_repeats_something_else_is_not_where_it_says() {
    let (mut a, mut gateway) = up(true);
    let new = at(a.path, ELSEWHERE);
    let request = update(&mut a, new, &[]);
    let out = sent(&gateway.hear(new, &request));
    let header = Header::parse(&out[1].1).unwrap();
    let (path, mut chain) = (a.path, Chain::new());
    chain.push_notify(notify_kind::COOKIE2, &[7; 16]);
    let (_, answer) = a.with(|sa, env| sa.as_mut().unwrap().answer(header, digest(&out[1].1), &chain, path, env));
    let actions = gateway.hear(new, &answer[0]);
    assert_eq!(names(&actions), ["remove", "transmit", "down"]);
    let reason = DownReason::PeerProtocolViolation { exchange: Exchange::Informational, violation: Violation::Cookie2 };
    assert_eq!(gateway.status().reason, reason);
}
