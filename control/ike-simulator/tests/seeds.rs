//! Some thousands of seeds hold, and what is broken on purpose is noticed.

use std::time::Instant;

use bordergate_ike_simulator::{Journal, Sabotage, Violation, hunt, simulate, simulate_sabotaged};

/// How many seeds a test run takes; `BORDERGATE_SIMULATOR_SEEDS` says otherwise.
const SEEDS: u64 = 3000;

#[test]
fn every_seed_holds() {
    let seeds = std::env::var("BORDERGATE_SIMULATOR_SEEDS").map_or(SEEDS, |n| n.parse().expect("a number of seeds"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (statistics, failures) = hunt(0..seeds, threads, 3, Instant::now(), |_| {});
    println!("{statistics}");
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // What the rules are about has happened.
    assert_eq!(statistics.runs, seeds);
    let s = statistics;
    assert!(s.strict * 4 > seeds, "packets flowed in {} strict runs", s.strict);
    for (what, count) in [
        ("partitions", s.partitions),
        ("crashes", s.crashes),
        ("moves", s.moves),
        ("interventions", s.interventions),
        ("lost packets", s.lost),
        ("downs", s.downs),
    ] {
        assert!(count > 0 || seeds < 100, "no {what}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let run = || simulate(seed, Instant::now(), Journal::keeping(100_000));
        let (first, second) = (run(), run());
        assert_eq!(first.statistics, second.statistics);
        let (Journal::Kept { lines: first, .. }, Journal::Kept { lines: second, .. }) = (first.journal, second.journal)
        else {
            panic!("nothing was kept");
        };
        assert!(first.len() > 20 && first == second, "seed {seed}");
    }
}

/// The first violation among some seeds, with something broken.
fn found(sabotage: Sabotage, expected: impl Fn(&Violation) -> bool) {
    let mut others = Vec::new();
    for seed in 0..60 {
        let outcome = simulate_sabotaged(seed, Instant::now(), Journal::Silent, sabotage);
        match outcome.violation {
            Some((_, violation)) if expected(&violation) => return,
            Some((_, violation)) => others.push(violation),
            None => {}
        }
    }
    panic!("{sabotage:?} was not noticed as expected, but as {others:?}");
}

#[test]
fn broken_parts_are_noticed() {
    found(Sabotage::InstallNothing, |v| matches!(v, Violation::Disagreement { .. }));
    found(Sabotage::InstallNothing, |v| matches!(v, Violation::Nonsense { what: "remove", .. }));
    found(Sabotage::RemoveNothing, |v| matches!(v, Violation::Disagreement { .. }));
    found(Sabotage::RemoveNothing, |v| matches!(v, Violation::Leak { .. }));
    found(Sabotage::SwapKeys, |v| matches!(v, Violation::ChildrenDiffer { what: "keys", .. }));
    found(Sabotage::SleepOn, |v| matches!(v, Violation::NotSettled(_)));
    found(Sabotage::StopTheClock, |v| matches!(v, Violation::StuckDeadline { .. }));
    found(Sabotage::StayDown, |v| matches!(v, Violation::NotRecovered { .. }));
}
