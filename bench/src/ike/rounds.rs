//! Responders taking turns under the same load.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::load::Load;
use super::method::Method;
use super::pair;
use super::responder::{Kind, Responder};
use crate::namespace::Pair;

/// Handshakes before the first that is measured: neither end then does anything for the first time.
pub const WARMING: u32 = 100;
/// Handshakes of which the cost among many tunnels is measured.
pub const SAMPLE: u32 = 500;

/// The figures of one end, round by round.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Microseconds of processor time per handshake.
    pub cost: Vec<f64>,
    /// Handshakes per second by the clock; nothing where both ends do not work at once.
    pub rate: Vec<f64>,
}

impl Rounds {
    fn note(&mut self, handshakes: u32, busy: Duration, elapsed: Option<Duration>) {
        self.cost.push(busy.as_secs_f64() * 1e6 / f64::from(handshakes));
        self.rate.extend(elapsed.map(|elapsed| f64::from(handshakes) / elapsed.as_secs_f64()));
    }
}

/// How to measure.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub place: &'a Pair,
    pub kinds: &'a [Kind],
    pub core: usize,
    pub rounds: usize,
}

/// What the rounds of one method found.
#[derive(Debug, Default)]
pub struct Handshakes {
    pub responders: BTreeMap<Kind, Rounds>,
    /// Bordergate's load against Bordergate.
    pub initiator: Rounds,
    pub initiator_in_memory: Rounds,
    pub responder_in_memory: Rounds,
}

/// What the rounds of one responder with many tunnels found.
#[derive(Debug, Default)]
pub struct ScaleRounds {
    pub seconds: Vec<f64>,
    pub bytes: Vec<f64>,
    pub configured_bytes: Vec<f64>,
    /// By the number of tunnels that were up.
    pub costs: BTreeMap<u32, Rounds>,
}

/// Measures a method with few tunnels up.
pub fn handshakes(plan: Plan<'_>, method: Method, handshakes: u32) -> Result<Handshakes> {
    let mut found = Handshakes::default();
    for round in 0..plan.rounds {
        for &kind in plan.kinds {
            let tunnels = WARMING + handshakes;
            let responder = Responder::start(kind, method, tunnels, plan.place, plan.core)?;
            let mut load = Load::new(method, tunnels)?;
            load.establish(WARMING)?;
            let busy = responder.process().busy()?;
            let took = load.establish(tunnels)?;
            let busy = responder.process().busy()? - busy;
            found.responders.entry(kind).or_default().note(handshakes, busy, Some(took.elapsed));
            if kind == Kind::Bordergate {
                found.initiator.note(handshakes, took.own, Some(took.elapsed));
            }
            tell(kind, round, &load);
        }
        let split = pair::handshakes(method, handshakes)?;
        found.initiator_in_memory.note(handshakes, split.initiator, None);
        found.responder_in_memory.note(handshakes, split.responder, None);
    }
    Ok(found)
}

/// Measures a method with more and more tunnels up, to so many.
pub fn scale(plan: Plan<'_>, method: Method, tunnels: u32) -> Result<BTreeMap<Kind, ScaleRounds>> {
    let mut found: BTreeMap<Kind, ScaleRounds> = BTreeMap::new();
    for round in 0..plan.rounds {
        for &kind in plan.kinds {
            let found = found.entry(kind).or_default();
            let responder = Responder::start(kind, method, tunnels + SAMPLE, plan.place, plan.core)?;
            let process = responder.process();
            let mut load = Load::new(method, tunnels + SAMPLE)?;
            let empty = process.memory()?.resident;
            if let Some(bare) = responder.bare {
                found.configured_bytes.push(per_tunnel(bare, empty, tunnels + SAMPLE));
            }
            let mut elapsed = Duration::ZERO;
            for up in stages(tunnels) {
                elapsed += load.establish(up)?.elapsed;
                if up == tunnels {
                    found.seconds.push(elapsed.as_secs_f64());
                    found.bytes.push(per_tunnel(empty, process.memory()?.resident, tunnels));
                }
                let busy = process.busy()?;
                let sample = load.establish(up + SAMPLE)?.elapsed;
                elapsed += sample;
                found.costs.entry(up).or_default().note(SAMPLE, process.busy()? - busy, Some(sample));
            }
            tell(kind, round, &load);
        }
    }
    Ok(found)
}

/// How many tunnels are up when the cost of more is measured: one, thousands, all.
fn stages(tunnels: u32) -> Vec<u32> {
    let mut stages = vec![1];
    if tunnels >= 1000 + 2 * SAMPLE {
        stages.push(1000);
    }
    stages.push(tunnels);
    stages
}

fn per_tunnel(before: u64, after: u64, tunnels: u32) -> f64 {
    after.saturating_sub(before) as f64 / f64::from(tunnels)
}

/// A message that was lost costs both ends work, and a second of the clock.
fn tell(kind: Kind, round: usize, load: &Load) {
    let again = load.retransmitted();
    if again > 0 {
        eprintln!("round {}: {again} messages to {} were sent again", round + 1, kind.name());
    }
}
