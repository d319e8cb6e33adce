//! Thousands of seeded runs over a bad network. A failing seed replays exactly.

mod pair;

use std::time::Duration;

use bordergate_ike::*;
use pair::*;

#[test]
fn every_seed_converges_over_loss_duplication_and_reordering() {
    for seed in 0..1500 {
        let both = seed % 2 == 0;
        let startup = if both { Startup::Initiate } else { Startup::Respond };
        let mut pair = Pair::new(seed);
        pair.network.loss_percent = (seed % 5) as u32 * 8;
        pair.network.duplicate_percent = (seed % 7) as u32 * 8;
        pair.network.delay = (Duration::from_millis(1), Duration::from_millis(1 + seed % 400));
        let (mut a, mut b) = (config(A, B, Startup::Initiate), config(B, A, startup));
        a.liveness = None;
        b.liveness = None;
        a.ike.key_exchange = vec![KeGroup::X25519];
        b.ike.key_exchange = vec![KeGroup::X25519];
        pair.configure(a, b);
        pair.run(120);
        // What is left to settle settles on a quiet network.
        pair.network = Network::default();
        pair.run(60);
        assert!(pair.both_up(), "seed {seed}: {:?} {:?}", pair.a.status(), pair.b.status());
        let (a, b) = (pair.a.child(), pair.b.child());
        assert_eq!((a.inbound_spi, a.outbound_spi), (b.outbound_spi, b.inbound_spi), "seed {seed}");
        assert_eq!(a.inbound_key, b.outbound_key, "seed {seed}");
        assert_eq!((pair.a.installed.len(), pair.b.installed.len()), (1, 1), "seed {seed}");
        assert_eq!((pair.a.spis.live.len(), pair.b.spis.live.len()), (1, 1), "seed {seed}");
        assert_eq!((pair.a.endpoint.sa_count(), pair.b.endpoint.sa_count()), (1, 1), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut pair = Pair::plain(42);
        pair.network.loss_percent = 20;
        pair.run(60);
        (pair.a.sent, pair.b.sent, format!("{:?} {:?}", pair.a.events, pair.b.events))
    };
    assert!(run() == run());
}
