//! What happens to a tunnel that is up: deletes, liveness, lifetimes, NATs, restarts, simultaneous starts.

mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use bordergate_ike::*;
use pair::*;

fn up(seed: u64) -> Pair {
    let mut pair = Pair::plain(seed);
    pair.run(1);
    pair.assert_joined();
    pair
}

fn eager(seed: u64) -> Pair {
    Pair::configured(seed, config(A, B, Startup::Initiate), config(B, A, Startup::Initiate))
}

#[test]
fn taking_a_tunnel_down_tells_the_peer() {
    let mut pair = up(1);
    pair.on_a(|e, ctx| e.set_admin(TUNNEL, Admin::Down, ctx));
    pair.run(1);
    assert_eq!(pair.a.reason(), DownReason::AdminDown);
    assert_eq!(pair.a.status().state, TunnelState::AdminDown);
    assert_eq!(pair.b.reason(), DownReason::PeerDeleted(Protocol::Ike));
    for side in [&pair.a, &pair.b] {
        assert!(side.installed.is_empty() && side.spis.live.is_empty());
    }
    pair.run(60);
    assert_eq!(pair.a.endpoint.sa_count() + pair.b.endpoint.sa_count(), 0);
    assert_eq!(pair.a.endpoint.next_timeout(), None);
    pair.on_a(|e, ctx| e.set_admin(TUNNEL, Admin::Up, ctx));
    pair.run(1);
    pair.assert_joined();
}

#[test]
fn a_tunnel_that_is_down_is_neither_started_nor_answered() {
    let mut b = config(B, A, Startup::Respond);
    b.admin = Admin::Down;
    let mut pair = Pair::configured(2, config(A, B, Startup::Initiate), b);
    pair.run(1);
    assert_eq!(pair.b.reason(), DownReason::AdminDown);
    assert_eq!(pair.b.endpoint.counters().admin_down, 1);
    assert_eq!(pair.b.sent.len(), 0);
    pair.on_b(|e, ctx| e.initiate(TUNNEL, ctx));
    pair.run(1);
    pair.assert_joined();
}

#[test]
fn shutdown_deletes_everything_and_the_peer_comes_back_later() {
    let mut pair = up(3);
    pair.on_b(|e, ctx| e.shutdown(ctx));
    assert_eq!(pair.b.reason(), DownReason::Shutdown);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.a.downs(), ["peer_deleted"]);
    pair.b = Side::new(77);
    pair.on_b(|e, ctx| e.configure(TUNNEL, config(B, A, Startup::Respond), ctx).unwrap());
    pair.run(10);
    pair.assert_joined();
}

#[test]
fn an_idle_tunnel_is_probed_and_stays_up() {
    let mut pair = up(4);
    pair.run(100);
    pair.assert_joined();
    assert_eq!(pair.a.ups(), 1);
    // Both ends probe after 10 s of silence; a probe of one end is a sign of life for the other.
    let probes = pair.a.sent.len() + pair.b.sent.len() - 4;
    assert!((18..=44).contains(&probes), "{probes}");
    // Traffic is a sign of life too.
    let before = pair.a.sent.len() + pair.b.sent.len();
    for _ in 0..100 {
        pair.run(1);
        let now = pair.now;
        pair.a.endpoint.note_inbound_traffic(TUNNEL, now);
        pair.b.endpoint.note_inbound_traffic(TUNNEL, now);
    }
    assert_eq!(pair.a.sent.len() + pair.b.sent.len(), before);
}

#[test]
fn a_peer_that_dies_is_noticed() {
    let mut pair = up(5);
    pair.filter = Box::new(|_, _, _| true);
    pair.run(42);
    let silent = |remote| DownReason::PeerSilent { exchange: Exchange::Liveness, remote: address(remote), seconds: 30 };
    assert_eq!(pair.a.reason(), silent(B));
    assert_eq!(pair.b.reason(), silent(A));
    assert!(pair.a.installed.is_empty());
    pair.filter = Box::new(|_, _, _| false);
    pair.run(30);
    pair.assert_joined();
}

#[test]
fn both_kinds_of_sa_are_replaced_before_their_life_is_over() {
    let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
    for end in [&mut a, &mut b] {
        end.ike_lifetime = Duration::from_secs(200);
        end.child_lifetime = Duration::from_secs(60);
    }
    let mut pair = Pair::configured(6, a, b);
    pair.run(1);
    let first = pair.a.child().inbound_spi;
    pair.run(1000);
    pair.settle();
    pair.assert_joined();
    assert_ne!(pair.a.child().inbound_spi, first);
    assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
    assert!(pair.a.downs().is_empty() && pair.b.downs().is_empty());
    // Those that were replaced last may still repeat their last answer.
    assert!(pair.a.endpoint.sa_count() + pair.b.endpoint.sa_count() <= 4);
}

#[test]
fn rekeying_on_demand_keeps_the_tunnel_up() {
    for seed in 0..20 {
        let mut pair = up(seed);
        for round in 0..4 {
            let first = (pair.a.child().inbound_spi, pair.b.child().inbound_spi);
            match round {
                0 => pair.on_a(|e, ctx| e.rekey_children(TUNNEL, ctx)),
                1 => pair.on_b(|e, ctx| e.rekey_children(TUNNEL, ctx)),
                2 => {
                    // Both at once.
                    pair.on_a(|e, ctx| e.rekey_children(TUNNEL, ctx));
                    pair.on_b(|e, ctx| e.rekey_children(TUNNEL, ctx));
                }
                _ => {
                    pair.on_a(|e, ctx| e.rekey_ike(TUNNEL, ctx));
                    pair.on_b(|e, ctx| e.rekey_ike(TUNNEL, ctx));
                }
            }
            pair.settle();
            pair.assert_joined();
            let second = (pair.a.child().inbound_spi, pair.b.child().inbound_spi);
            assert_eq!(first.0 == second.0, round == 3, "seed {seed}, round {round}");
            assert_eq!(first.1 == second.1, round == 3);
        }
        pair.run(100);
        pair.assert_joined();
        assert_eq!((pair.a.endpoint.sa_count(), pair.b.endpoint.sa_count()), (1, 1), "seed {seed}");
        assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1));
        assert!(pair.a.downs().is_empty() && pair.b.downs().is_empty());
    }
}

#[test]
fn the_keys_of_a_rekeyed_ike_sa_are_used_at_once() {
    let mut pair = up(3);
    pair.on_a(|e, ctx| e.rekey_ike(TUNNEL, ctx));
    pair.settle();
    let before = pair.a.child().inbound_spi;
    pair.on_b(|e, ctx| e.rekey_children(TUNNEL, ctx));
    pair.settle();
    pair.assert_joined();
    assert_ne!(pair.a.child().inbound_spi, before);
}

#[test]
fn a_nat_moves_both_to_port_4500() {
    let a = config(A, B, Startup::Initiate);
    let mut b = config(B, A_OUTSIDE, Startup::Respond);
    b.remote_id = Identity::from_text(A);
    let mut pair = Pair::new(7);
    pair.network.nat_shift = Some(10_000);
    pair.configure(a, b);
    pair.run(1);
    pair.assert_joined();
    let ports = |local_port, remote_port| Some(UdpEncapsulation { local_port, remote_port });
    assert_eq!(pair.a.child().encapsulation, ports(4500, 4500));
    assert_eq!(pair.b.child().encapsulation, ports(4500, 14_500));
    assert!(pair.b.status().encapsulated);
    // A is behind the NAT and keeps its mapping alive (RFC 3948 §2.3); B does not have to.
    pair.b.endpoint.note_inbound_traffic(TUNNEL, pair.now);
    pair.run(100);
    assert!(pair.b.endpoint.counters().keepalives <= 6);

    // The NAT forgets and gives A another port. B follows the next authenticated message.
    pair.network.nat_shift = Some(20_000);
    pair.on_b(|e, ctx| {
        // A forged message does not move anything.
        let from = SocketAddr::new(address(A_OUTSIDE), 4500 + 30_000);
        e.handle_datagram(SocketAddr::new(address(B), 4500), from, &[1; 80], ctx);
    });
    assert_eq!(pair.b.child().encapsulation, ports(4500, 14_500));
    pair.run(25);
    assert_eq!(pair.b.child().encapsulation, ports(4500, 24_500));
    pair.assert_joined();
}

#[test]
fn keepalives_hold_a_nat_open_when_nothing_else_is_sent() {
    let mut a = config(A, B, Startup::Initiate);
    a.liveness = None;
    let mut b = config(B, A_OUTSIDE, Startup::Respond);
    b.remote_id = Identity::from_text(A);
    b.liveness = None;
    let mut pair = Pair::new(8);
    pair.network.nat_shift = Some(1);
    pair.configure(a, b);
    pair.run(101);
    assert_eq!(pair.b.endpoint.counters().keepalives, 5);
    assert_eq!(pair.a.endpoint.counters().keepalives, 0);
}

#[test]
fn encapsulation_can_be_forced_by_either_end() {
    for force_a in [true, false] {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        a.force_encapsulation = force_a;
        b.force_encapsulation = !force_a;
        let mut pair = Pair::configured(9, a, b);
        pair.run(1);
        pair.assert_joined();
        let expected = Some(UdpEncapsulation { local_port: 4500, remote_port: 4500 });
        assert_eq!(pair.a.child().encapsulation, expected);
        assert_eq!(pair.b.child().encapsulation, expected);
    }
}

#[test]
fn both_ends_starting_at_once_end_with_one_sa() {
    let mut orders = [0, 0];
    for seed in 0..40 {
        let mut pair = eager(seed);
        let (slow, fast) = (Duration::from_millis(30), Duration::from_millis(5));
        pair.network.delay = (fast, slow);
        pair.run(40);
        pair.assert_joined();
        assert_eq!((pair.a.ups(), pair.b.ups()), (1, 1), "seed {seed}: the tunnel flapped");
        assert!(pair.a.downs().is_empty() && pair.b.downs().is_empty());
        // Once what was closed is forgotten, one IKE SA is left on each end.
        assert_eq!((pair.a.endpoint.sa_count(), pair.b.endpoint.sa_count()), (1, 1));
        orders[usize::from(pair.a.status().counters.established > 1)] += 1;
    }
    assert!(orders[1] > 0, "no seed made both SAs come up");
}

#[test]
fn a_restarted_peer_replaces_what_it_has_forgotten() {
    let mut pair = up(10);
    let old = pair.b.child().inbound_spi;
    pair.a = Side::new(99);
    pair.on_a(|e, ctx| e.configure(TUNNEL, config(A, B, Startup::Initiate), ctx).unwrap());
    pair.run(1);
    pair.assert_joined();
    // INITIAL_CONTACT: the old SA went without a word, and the tunnel has never been down.
    assert_ne!(pair.b.child().inbound_spi, old);
    assert_eq!(pair.b.ups(), 1);
    assert!(pair.b.downs().is_empty());
    assert_eq!(pair.b.endpoint.sa_count(), 1);
}

#[test]
fn nobody_without_the_keys_takes_a_tunnel_down() {
    let mut pair = up(11);
    let at = |a: &str| SocketAddr::new(address(a), 500);
    let recorded: Vec<Vec<u8>> = pair.a.sent.clone();
    // Everything A has ever sent, again, in any state of repair, and with other exchanges and ids.
    for message in &recorded {
        for byte in 0..message.len().min(90) {
            for bit in [0x01, 0x80] {
                let mut forged = message.clone();
                forged[byte] ^= bit;
                pair.inject(false, at(A), at(B), &forged);
            }
        }
        let mut informational = message.clone();
        informational[18] = 37;
        for id in 0..5 {
            informational[23] = id;
            pair.inject(false, at(A), at(B), &informational);
        }
    }
    pair.run(120);
    assert!(pair.both_up());
    assert!(pair.b.downs().is_empty());
    assert!(pair.b.endpoint.sa_count() <= 2, "half-open SAs have expired");
}

#[test]
fn a_tampered_delete_is_counted_and_does_nothing() {
    for cipher in [IkeCipher::Aes128Gcm16, IkeCipher::Aes128Cbc] {
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, Startup::Respond));
        a.ike.encryption = vec![cipher];
        b.ike.encryption = vec![cipher];
        let mut pair = Pair::configured(15, a, b);
        pair.run(1);
        pair.filter = Box::new(|from_a, _, _| from_a);
        pair.on_a(|e, ctx| e.set_admin(TUNNEL, Admin::Down, ctx));
        let delete = pair.a.sent.last().unwrap().clone();
        let at = |a: &str| SocketAddr::new(address(a), 500);
        for byte in 32..delete.len() {
            let mut tampered = delete.clone();
            tampered[byte] ^= 1;
            pair.inject(false, at(A), at(B), &tampered);
            assert!(pair.b.is_up(), "{cipher}: byte {byte}");
        }
        let expected = (delete.len() - 32) as u64;
        assert_eq!(pair.b.status().counters.bad_integrity, expected);
        // The real one is obeyed.
        pair.inject(false, at(A), at(B), &delete);
        assert_eq!(pair.b.reason(), DownReason::PeerDeleted(Protocol::Ike));
    }
}

#[test]
fn half_open_sas_are_bounded_and_a_real_peer_gets_through() {
    let mut pair = Pair::new(12);
    pair.on_b(|e, ctx| e.configure(TUNNEL, config(B, A, Startup::Respond), ctx).unwrap());
    let mut forger = Side::new(5);
    for n in 0..200u32 {
        let mut a = config(A, B, Startup::Initiate);
        a.local_id = Identity::Name(n.to_string());
        forger.with(pair.now, |e, ctx| e.configure(TUNNEL, a, ctx).unwrap());
        while let Some(action) = forger.endpoint.poll_action() {
            if let Action::Transmit { datagram, local, remote } = action {
                pair.inject(false, local, remote, &datagram);
            }
        }
        assert!(pair.b.endpoint.sa_count() <= 8);
    }
    // From here on a cookie is asked for, which the forger never sees and a real peer sends back.
    pair.on_a(|e, ctx| e.configure(TUNNEL, config(A, B, Startup::Initiate), ctx).unwrap());
    pair.run(1);
    assert!(pair.both_up());
    assert!(pair.a.sent.iter().any(|m| m[16] == 41), "the cookie comes first");
}

#[test]
fn removing_a_tunnel_leaves_nothing() {
    let mut pair = up(13);
    pair.on_a(|e, ctx| e.remove(TUNNEL, ctx));
    assert_eq!(pair.a.endpoint.status(TUNNEL), None);
    assert_eq!(pair.a.endpoint.sa_count(), 0);
    assert_eq!(pair.a.endpoint.next_timeout(), None);
    assert!(pair.a.spis.live.is_empty());
    pair.run(1);
    assert_eq!(pair.b.reason(), DownReason::PeerDeleted(Protocol::Ike));
}

#[test]
fn a_changed_configuration_starts_anew_and_an_unchanged_one_does_not() {
    let mut pair = up(14);
    let spi = pair.a.child().inbound_spi;
    pair.on_a(|e, ctx| e.configure(TUNNEL, config(A, B, Startup::Initiate), ctx).unwrap());
    assert_eq!(pair.a.child().inbound_spi, spi);
    let mut changed = config(A, B, Startup::Initiate);
    changed.esp.esn = false;
    pair.on_a(|e, ctx| e.configure(TUNNEL, changed, ctx).unwrap());
    pair.run(2);
    pair.assert_joined();
    assert!(!pair.a.child().esn);
}

/// The end that does not begin cannot set up another IKE SA instead: it asks once more.
#[test]
fn a_rekey_that_was_refused_is_tried_again_in_time() {
    let mut b = config(B, A, Startup::Respond);
    b.child_lifetime = Duration::from_secs(1000);
    let mut pair = Pair::configured(11, config(A, B, Startup::Initiate), b);
    pair.run(10);
    pair.a.spis.exhausted = true;
    pair.run(895);
    assert_eq!((pair.b.installed.len(), pair.b.ups()), (1, 1), "the peer has had no room");
    pair.a.spis.exhausted = false;
    pair.run(200);
    assert!(pair.both_up() && pair.b.downs().is_empty(), "{:?}", pair.b.downs());
}
