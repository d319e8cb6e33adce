//! A peer that wants to be shown anew who we are (RFC 4478).

use super::gateway::{Gateway, authentication, names, opened, sent};
use super::*;
use crate::status::TunnelState;

/// The gateway, up by what the peer began, and what it does about this notification of the peer's.
fn told(gateway: &mut Gateway, a: &mut End, data: &[u8]) {
    let mut chain = Chain::new();
    chain.push_notify(notify_kind::AUTH_LIFETIME, data);
    let send = |sa: &mut Option<Box<IkeSa>>, env: &mut Env<'_, '_>| {
        sa.as_mut().unwrap().send_request(ExchangeType::Informational, Purpose::Notice(None), &chain, env);
    };
    let request = a.with(send).1.remove(0);
    let actions = gateway.hear(a.path, &request);
    assert_eq!(names(&actions), ["transmit"]);
    a.hear(&sent(&actions)[0].1);
}

fn up(startup: Startup) -> (End, Gateway) {
    let mut config = End::new(B, A).config;
    config.startup = startup;
    let mut gateway = Gateway::new(&config);
    let (mut a, _) = opened(&mut gateway);
    let request = authentication(&mut a, true, &[]);
    let actions = gateway.hear(a.path, &request);
    assert_eq!(gateway.status().state, TunnelState::Up);
    a.hear(&sent(&actions)[0].1);
    (a, gateway)
}

fn due(gateway: &Gateway) -> Duration {
    gateway.endpoint.next_timeout().unwrap() - gateway.now
}

#[test]
fn another_sa_is_begun_while_the_authentication_is_good() {
    let (mut a, mut gateway) = up(Startup::Initiate);
    told(&mut gateway, &mut a, &100u32.to_be_bytes());
    let wait = due(&gateway);
    assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
    let actions = gateway.wait(wait);
    let begun = |actions: &[Action]| {
        let headers = sent(actions).into_iter().map(|(_, datagram)| Header::parse(&datagram).unwrap());
        headers.filter(|header| header.exchange == ExchangeType::IkeSaInit).map(|header| header.initiator_spi).collect()
    };
    let first: Vec<u64> = begun(&actions);
    assert_eq!((first.len(), names(&actions)), (1, vec!["transmit"]));
    // The old one goes on, and where the new one does not come up another is begun.
    let mut attempts = first.clone();
    for _ in 0..40 {
        let wait = due(&gateway);
        let actions = gateway.wait(wait);
        assert!(names(&actions).iter().all(|name| *name == "transmit"), "{actions:?}");
        attempts.extend(begun(&actions));
    }
    attempts.dedup();
    assert!(attempts.len() > 1);
    assert_eq!(gateway.status().state, TunnelState::Up);
    let lifetime = Lifetime::Authentication;
    assert_eq!(gateway.status().reason, DownReason::LifetimeExpired { lifetime, seconds: 100 });
    assert_eq!(gateway.status().reason.to_string(), "the authentication reached its lifetime of 100 s");
}

#[test]
fn who_waits_does_not_begin_and_nothing_is_no_time() {
    let (mut a, mut gateway) = up(Startup::Respond);
    let before = due(&gateway);
    for nothing in [&[0; 4][..], &[0, 0, 9]] {
        told(&mut gateway, &mut a, nothing);
        assert_eq!(due(&gateway), before);
    }
    told(&mut gateway, &mut a, &100u32.to_be_bytes());
    let wait = due(&gateway);
    assert!(wait < before && gateway.wait(wait).is_empty());
}
