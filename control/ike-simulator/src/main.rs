//! Hunts for seeds that break a rule, or replays one.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bordergate_ike_simulator::{Journal, hunt, simulate};

const USAGE: &str = "\
usage: bordergate-ike-simulator [--seeds N] [--from SEED] [--threads N] [--failures N]
       bordergate-ike-simulator --seed SEED [--trace]

Runs meshes of IKEv2 endpoints under virtual time; each seed is one run.

  --seeds N      how many seeds to run (10000)
  --from SEED    the first of them (0)
  --threads N    on so many threads (as many as there are cores)
  --failures N   stop when so many have failed (5)
  --seed SEED    run this one
  --trace        and print every event

Exit code 0 if no rule was broken, 1 if one was, 2 if the command is wrong.";

struct Options {
    seeds: u64,
    from: u64,
    threads: usize,
    failures: usize,
    seed: Option<u64>,
    trace: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(what) => {
            eprintln!("{what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let failed = match options.seed {
        Some(seed) => replay(seed, options.trace),
        None => search(&options),
    };
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// `None` if help is wanted.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { seeds: 10_000, from: 0, threads, failures: 5, seed: None, trace: false };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or(format!("{argument} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument} needs a number, not {value:?}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--threads" => options.threads = number()? as usize,
            "--failures" => options.failures = number()? as usize,
            "--seed" => options.seed = Some(number()?),
            "--trace" => options.trace = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(Some(options))
}

fn replay(seed: u64, trace: bool) -> bool {
    let journal = if trace { Journal::Printed } else { Journal::Silent };
    let outcome = simulate(seed, Instant::now(), journal);
    println!("{}", outcome.statistics);
    match &outcome.violation {
        Some((at, violation)) => println!("seed {seed} fails: at {:.6} s {violation}", at.as_secs_f64()),
        None => println!("seed {seed} holds"),
    }
    outcome.violation.is_some()
}

fn search(options: &Options) -> bool {
    let began = Instant::now();
    let told = Mutex::new(began);
    let end = options.from.saturating_add(options.seeds);
    let (statistics, failures) = hunt(options.from..end, options.threads, options.failures, began, |so_far| {
        if let Ok(mut told) = told.lock()
            && told.elapsed() >= Duration::from_secs(10)
        {
            *told = Instant::now();
            let rate = so_far.runs as f64 / began.elapsed().as_secs_f64() * 60.0;
            eprintln!("{} of {} seeds, {rate:.0} a minute", so_far.runs, options.seeds);
        }
    });
    for failure in &failures {
        println!("{failure}");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{statistics}");
    println!(
        "seeds {} to {}: {} hold, {} fail; {seconds:.1} s, {:.0} seeds a minute",
        options.from,
        end.saturating_sub(1),
        statistics.runs,
        failures.len(),
        statistics.runs as f64 / seconds * 60.0
    );
    !failures.is_empty()
}
