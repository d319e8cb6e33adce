//! A peer that leaves the child out of IKE_AUTH (RFC 6023).

use super::gateway::{Gateway, authentication, names, opened, sent};
use super::*;
use crate::sa::children::Wanted;
use crate::status::TunnelState;

/// Both after an IKE_AUTH without a child.
fn childless(startup: Startup) -> (End, Gateway) {
    let mut config = End::new(B, A).config;
    config.startup = startup;
    let mut gateway = Gateway::new(&config);
    let (mut a, kinds) = opened(&mut gateway);
    assert!(kinds.contains(&notify_kind::CHILDLESS_IKEV2_SUPPORTED));
    let request = authentication(&mut a, false, &[]);
    let actions = gateway.hear(a.path, &request);
    assert_eq!(names(&actions), ["transmit"]);
    assert_eq!(gateway.status().state, TunnelState::Connecting);
    let (first, plain) = a.opened(&sent(&actions)[0].1);
    let answer = Payloads::parse(first, &plain).unwrap();
    assert!(answer.auth.is_some() && answer.error().is_none());
    assert!(answer.proposals.is_none() && answer.selectors_initiator.is_none());
    a.with(|sa, env| {
        let sa = sa.as_mut().unwrap();
        (sa.request, sa.reserved) = (None, None);
        sa.become_established(env);
    });
    (a, gateway)
}

#[test]
fn the_tunnel_is_up_when_the_peers_child_comes() {
    let (mut a, mut gateway) = childless(Startup::Respond);
    // Without one nothing happens, for as long as one likes.
    assert!(gateway.wait(Duration::from_secs(600)).is_empty());
    let (_, out) = a.with(|sa, env| {
        let sa = sa.as_mut().unwrap();
        sa.want(Wanted::CreateChild, None);
        sa.pursue(env);
    });
    let actions = gateway.hear(a.path, &out[0]);
    // The peer has nothing else to send on: it is used as soon as it is agreed on.
    assert_eq!(names(&actions), ["install", "transmit", "use", "up"]);
    assert_eq!(gateway.status().state, TunnelState::Up);
    assert_eq!(gateway.status().counters.established, 1);
    let Action::InstallChild(child) = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(child.outbound_spi, 0x1003);
    assert_eq!(child.local_selectors, [TrafficSelector::ANY_IPV4]);
    // Its end is the tunnel's, as with any other.
    let mut chain = Chain::new();
    chain.push_delete_ike();
    a.hear(&sent(&actions)[0].1);
    let delete = a.ask(ExchangeType::Informational, &chain);
    assert_eq!(names(&gateway.hear(a.path, &delete)), ["transmit", "remove", "down"]);
    assert_eq!(gateway.status().state, TunnelState::Down);
}

#[test]
fn one_that_wants_the_tunnel_asks_for_the_child_itself() {
    let (mut a, mut gateway) = childless(Startup::Initiate);
    let due = gateway.endpoint.next_timeout().unwrap() - gateway.now;
    assert!(due <= Duration::from_secs(2), "{due:?}");
    let actions = gateway.wait(due);
    assert_eq!(names(&actions), ["transmit"]);
    let (_, answer) = a.hear(&sent(&actions)[0].1);
    let actions = gateway.hear(a.path, &answer[0]);
    assert_eq!(names(&actions), ["install", "use", "up"]);
    assert_eq!(gateway.status().state, TunnelState::Up);
}
