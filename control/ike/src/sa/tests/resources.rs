//! Peers that refuse children with the same selectors (RFC 9611), do not know of them, or want more than there may be.

use super::*;
use crate::config::MAX_RESOURCES;
use crate::message::selectors_body;
use crate::sa::children::ChildState;

/// Both ends with a child; A wants three of a kind.
fn wanting() -> (End, End) {
    let (mut a, b) = established();
    a.config.resources = 3;
    let config = a.config.clone();
    a.sa.as_mut().unwrap().want_more_children(&config);
    (a, b)
}

/// A's next request, if it has one.
fn next(a: &mut End) -> Option<Vec<u8>> {
    a.with(|sa, env| sa.as_mut().unwrap().pursue(env)).1.pop()
}

/// B answers with nothing but this; what A sends then.
fn refuse(a: &mut End, b: &mut End, request: &[u8], notify: u16) -> Option<Vec<u8>> {
    let header = Header::parse(request).unwrap();
    let (path, mut chain) = (b.path, Chain::new());
    chain.push_notify(notify, &[]);
    let (_, sent) = b.with(|sa, env| sa.as_mut().unwrap().answer(header, digest(request), &chain, path, env));
    let (verdict, mut sent) = a.hear(&sent[0]);
    assert!(matches!(verdict, Verdict::Continue), "{verdict:?}");
    sent.pop()
}

/// A asks until it has what it wants.
fn satisfy(a: &mut End, b: &mut End) {
    let mut request = next(a);
    while let Some(datagram) = request {
        let (_, sent) = b.hear(&datagram);
        request = a.hear(&sent[0]).1.pop();
    }
}

fn resources(end: &End) -> Vec<u16> {
    let children = &end.sa.as_ref().unwrap().children;
    children.iter().filter(|child| child.state == ChildState::Live).map(|child| child.agreed.resource).collect()
}

#[test]
fn a_peer_that_refuses_is_not_asked_again() {
    for notify in [notify_kind::TS_MAX_QUEUE, notify_kind::NO_ADDITIONAL_SAS, notify_kind::TS_UNACCEPTABLE] {
        let (mut a, mut b) = wanting();
        let request = next(&mut a).expect("A asks for the second of three");
        assert_eq!(refuse(&mut a, &mut b, &request, notify), None);
        assert!(!a.sa.as_ref().unwrap().asks_for_resources);
        assert_eq!((resources(&a), next(&mut a)), (vec![0], None));
    }
}

#[test]
fn a_peer_that_is_busy_is_asked_later() {
    let (mut a, mut b) = wanting();
    let request = next(&mut a).unwrap();
    assert_eq!(refuse(&mut a, &mut b, &request, notify_kind::TEMPORARY_FAILURE), None);
    let sa = a.sa.as_mut().unwrap();
    assert!(sa.asks_for_resources && sa.tasks.iter().all(|task| task.not_before.is_some()));
    sa.tasks.iter_mut().for_each(|task| task.not_before = None);
    assert!(next(&mut a).is_some());
}

/// The notification stands in request and answer; one that does not know it leaves it out of the answer.
#[test]
fn a_peer_that_does_not_know_of_resources_just_makes_children() {
    let (mut a, mut b) = wanting();
    let mut request = next(&mut a);
    let mut asked = 0;
    while let Some(datagram) = request {
        asked += 1;
        let (first, plain) = b.opened(&datagram);
        let payloads = Payloads::parse(first, &plain).unwrap();
        assert!(payloads.notify(notify_kind::SA_RESOURCE_INFO).is_some_and(|notify| notify.data.is_empty()));
        // It makes what it would make without the notification.
        let (header, path) = (Header::parse(&datagram).unwrap(), b.path);
        let without = Payloads { notifies: Vec::new(), ..payloads };
        let (_, sent) =
            b.with(|sa, env| sa.as_mut().unwrap().on_creation_request(header, digest(&datagram), &without, path, env));
        let (first, plain) = a.opened(&sent[0]);
        assert!(Payloads::parse(first, &plain).unwrap().notify(notify_kind::SA_RESOURCE_INFO).is_none());
        request = a.hear(&sent[0]).1.pop();
    }
    assert_eq!((asked, resources(&a), resources(&b)), (2, vec![0, 1, 2], vec![0, 0, 0]));
}

/// Those of which the peer has taken one pair a child, too.
#[test]
fn selectors_that_came_later_have_as_many_children() {
    let (mut a, mut b, request) = opening();
    let [first, second] = [10, 11].map(|network| TrafficSelector::prefix([network, 0, 0, 0].into(), 8).unwrap());
    b.config.local_selectors = vec![first];
    let (_, sent) = b.hear(&request);
    a.config.resources = 2;
    a.config.remote_selectors = vec![first, second];
    a.hear(&sent[0]);
    b.config.local_selectors = vec![first, second];
    satisfy(&mut a, &mut b);
    let children = &a.sa.as_ref().unwrap().children;
    let made = children.iter().map(|child| (child.agreed.selectors.1.as_slice(), child.agreed.resource));
    assert!(made.eq([(&[first][..], 0), (&[second][..], 0), (&[first][..], 1), (&[second][..], 1)]));
}

/// What it was to carry goes through another one before the peer has our answer, and it is not asked for again.
#[test]
fn the_others_take_over_from_one_that_the_peer_deletes() {
    let (mut a, mut b) = wanting();
    satisfy(&mut a, &mut b);
    let first = b.sa.as_ref().unwrap().children[0].inbound_spi;
    let mut chain = Chain::new();
    chain.push_delete_esp(first);
    let request = b.ask(ExchangeType::Informational, &chain);
    let (header, path) = (Header::parse(&request).unwrap(), a.path);
    let (actions, _) = a.with(|sa, env| {
        sa.as_mut().unwrap().handle(header, &request, path, env);
        env.out.clone()
    });
    let instead = actions.iter().find_map(|action| match action {
        Action::UseChild { inbound_spi, instead_of: Some(0x1001), .. } => Some(*inbound_spi),
        _ => None,
    });
    assert!([Some(0x1003), Some(0x1005)].contains(&instead), "{actions:?}");
    assert_eq!((resources(&a), next(&mut a)), (vec![1, 2], None));
}

#[test]
fn nobody_has_more_of_a_kind_than_there_may_be() {
    let (mut a, mut b) = established();
    for round in 1..=MAX_RESOURCES {
        let mut chain = Chain::new();
        chain.push_notify(notify_kind::SA_RESOURCE_INFO, b"core");
        chain.push_proposals(&a.config.esp.offer(0x5000 + u32::from(round), true));
        chain.push(kind::NONCE, &[round as u8; 32]);
        chain.push(kind::TS_I, &selectors_body(&[TrafficSelector::ANY_IPV4]));
        chain.push(kind::TS_R, &selectors_body(&[TrafficSelector::ANY_IPV4]));
        let (kinds, _) = notifies(&mut a, &mut b, ExchangeType::CreateChildSa, &chain);
        let most = round == MAX_RESOURCES;
        let expected = if most { notify_kind::TS_MAX_QUEUE } else { notify_kind::SA_RESOURCE_INFO };
        assert_eq!(kinds, [expected], "round {round}");
    }
    assert!(resources(&b).into_iter().eq(0..MAX_RESOURCES));
}
