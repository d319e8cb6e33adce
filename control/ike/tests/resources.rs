//! Several child SAs with the same selectors, one for each core (RFC 9611).

mod pair;

use std::time::Duration;

use bordergate_ike::*;
use pair::*;

/// A begins and wants so many of a kind; B takes what it is asked for.
fn ends(resources: u16) -> (TunnelConfig, TunnelConfig) {
    let a = TunnelConfig { resources, ..config(A, B, Startup::Initiate) };
    (a, config(B, A, Startup::Respond))
}

/// The numbers of the children that an end sends on, each with its counterpart at the other end.
fn resources(from: &Side, to: &Side) -> Vec<u16> {
    let number = |spi: &u32| {
        let child = &from.installed[spi];
        let counterpart = &to.installed[&child.outbound_spi];
        assert_eq!(counterpart.outbound_spi, *spi);
        assert_eq!((&child.outbound_key, &child.inbound_key), (&counterpart.inbound_key, &counterpart.outbound_key));
        assert_eq!(child.resource, counterpart.resource);
        child.resource
    };
    let mut numbers: Vec<u16> = from.senders.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn assert_each(pair: &Pair, count: u16) {
    let all: Vec<u16> = (0..count).collect();
    assert_eq!(resources(&pair.a, &pair.b), all);
    assert_eq!(resources(&pair.b, &pair.a), all);
}

/// Lets time pass in small steps. At no time does an end send on what the other one does not receive.
fn run(pair: &mut Pair, seconds: u64) {
    for _ in 0..seconds * 100 {
        pair.run_for(Duration::from_millis(10));
        for (from, to) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
            assert!(!from.senders.is_empty());
            assert!(from.senders.iter().all(|spi| to.installed.contains_key(&from.installed[spi].outbound_spi)));
        }
    }
}

#[test]
fn the_end_that_begins_asks_for_one_child_for_each_core() {
    for (seed, wanted) in [(1, 1), (2, 2), (3, 8), (4, MAX_RESOURCES)] {
        let (a, mut b) = ends(wanted);
        // The other end's wish counts when it begins.
        b.resources = 5;
        let mut pair = Pair::configured(seed, a, b);
        // They follow at once, but those that B has not heard of yet it does not send on.
        pair.run(15);
        assert_each(&pair, wanted);
        assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
        assert_eq!(pair.a.installed.len(), usize::from(wanted));
    }
}

#[test]
fn over_a_lossy_network_too() {
    for seed in 0..40 {
        let (a, b) = ends(4);
        let mut pair = Pair::new(seed);
        pair.network.loss_percent = 30;
        pair.network.duplicate_percent = 20;
        pair.network.delay.1 = Duration::from_millis(300);
        pair.configure(a, b);
        pair.run(300);
        pair.network = Network::default();
        pair.run(60);
        assert_each(&pair, 4);
    }
}

#[test]
fn a_rekeyed_child_is_for_the_same_core() {
    for seed in 0..10 {
        let (a, b) = ends(4);
        let mut pair = Pair::configured(seed, a, b);
        pair.run(15);
        let before = pair.a.senders.clone();
        for round in 0..5 {
            match round {
                0 => pair.on_a(|e, ctx| e.rekey_children(TUNNEL, ctx)),
                1 => pair.on_b(|e, ctx| e.rekey_children(TUNNEL, ctx)),
                2 => {
                    let spi = pair.a.senders[1];
                    pair.on_a(|e, ctx| e.rekey_child(TUNNEL, spi, ctx));
                }
                3 => {
                    pair.on_a(|e, ctx| e.rekey_children(TUNNEL, ctx));
                    pair.on_b(|e, ctx| e.rekey_children(TUNNEL, ctx));
                }
                _ => pair.on_a(|e, ctx| e.rekey_ike(TUNNEL, ctx)),
            }
            run(&mut pair, 60);
            assert_each(&pair, 4);
        }
        assert!(pair.a.senders.iter().all(|spi| !before.contains(spi)));
        assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
    }
}

#[test]
fn each_is_replaced_before_its_life_is_over() {
    let (mut a, mut b) = ends(3);
    for end in [&mut a, &mut b] {
        end.ike_lifetime = Duration::from_secs(500);
        end.child_lifetime = Duration::from_secs(100);
    }
    let mut pair = Pair::configured(5, a, b);
    pair.run(15);
    run(&mut pair, 1000);
    while pair.a.installed.len() > 3 || pair.b.installed.len() > 3 {
        run(&mut pair, 1);
    }
    assert_each(&pair, 3);
    assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
}

#[test]
fn an_ike_sa_that_takes_the_place_of_another_has_its_own() {
    let (a, b) = ends(3);
    let mut pair = Pair::configured(6, a.clone(), b);
    pair.run(15);
    assert_each(&pair, 3);
    // A has restarted, and B still has what was.
    pair.a = Side::new(99);
    pair.on_a(|e, ctx| e.configure(TUNNEL, a, ctx).unwrap());
    pair.run(30);
    assert_each(&pair, 3);
    assert_eq!(pair.b.installed.len(), 3);
}

#[test]
fn no_tunnel_has_none_or_too_many() {
    for wrong in [0, MAX_RESOURCES + 1] {
        let mut side = Side::new(1);
        let error = side
            .with(std::time::Instant::now(), |e, ctx| e.configure(TUNNEL, ends(wrong).0, ctx))
            .expect_err("it is out of range");
        assert_eq!(error, ConfigError::Resources(wrong));
        assert_eq!(error.to_string(), format!("{wrong} child SAs with the same selectors; allowed: 1 to 16"));
    }
}
