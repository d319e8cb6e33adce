//! Many seeds, on all cores.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::{Journal, Statistics, simulate};

/// A seed whose run broke a rule, or panicked.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Which rule, and when in the run.
    pub what: String,
    /// The last things that happened before.
    pub lines: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {} fails: {}", self.seed, self.what)?;
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        write!(f, "  replay: cargo run --release -p bordergate-ike-simulator -- --seed {} --trace", self.seed)
    }
}

/// Runs the seeds on as many threads, and gives what they were made of and those that fail. It ends early when
/// `most` have failed. `seen` is called now and then with what there is so far.
pub fn hunt(
    seeds: Range<u64>,
    threads: usize,
    most: usize,
    start: Instant,
    seen: impl Fn(&Statistics) + Sync,
) -> (Statistics, Vec<Failure>) {
    let next = AtomicU64::new(seeds.start);
    let enough = AtomicBool::new(false);
    let found = Mutex::new((Statistics::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    // So many at once that threads seldom meet.
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= seeds.end {
                        return;
                    }
                    let (mut statistics, mut failures) = (Statistics::default(), Vec::new());
                    for seed in first..seeds.end.min(first + BATCH) {
                        match run(seed, start, Journal::Silent) {
                            Ok(of_one) => statistics += of_one,
                            Err(_) => failures.push(explain(seed, start)),
                        }
                    }
                    let Ok(mut found) = found.lock() else { return };
                    found.0 += statistics;
                    found.1.extend(failures);
                    if found.1.len() >= most {
                        enough.store(true, Ordering::Relaxed);
                    }
                    seen(&found.0);
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

/// Runs a seed again, this time to see what happens.
fn explain(seed: u64, start: Instant) -> Failure {
    match run(seed, start, Journal::keeping(LINES)) {
        Ok(_) => {
            Failure { seed, what: "only sometimes, which is a bug of the simulator".to_owned(), lines: Vec::new() }
        }
        Err((what, lines)) => Failure { seed, what, lines },
    }
}

fn run(seed: u64, start: Instant, journal: Journal) -> Result<Statistics, (String, Vec<String>)> {
    let outcome = catch_unwind(AssertUnwindSafe(|| simulate(seed, start, journal)));
    let outcome = outcome.map_err(|_| ("it panics".to_owned(), Vec::new()))?;
    let Some((at, violation)) = outcome.violation else { return Ok(outcome.statistics) };
    let lines = match outcome.journal {
        Journal::Kept { lines, .. } => lines.into(),
        Journal::Silent | Journal::Printed => Vec::new(),
    };
    Err((format!("at {:.6} s {violation}", at.as_secs_f64()), lines))
}

const BATCH: u64 = 16;
const LINES: usize = 60;
