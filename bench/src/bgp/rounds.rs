//! Devices taking turns under the same load.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::device::{Device, Kind};
use super::feeder::Feeder;
use super::table::Change;
use crate::median::median;
use crate::namespace::Pair;

/// How often it is seen how far a device is with the whole table, and with a change of it.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_AT_CHANGE: Duration = Duration::from_millis(1);
/// No device takes so long.
const LIMIT: Duration = Duration::from_secs(600);
/// For so long a device may tidy up before its memory is measured.
const SETTLING: Duration = Duration::from_secs(2);
/// How often a round changes the table; the median counts.
const CHANGES: usize = 5;
/// Rest between two changes.
const REST: Duration = Duration::from_millis(100);

/// What is announced.
pub struct Load {
    /// Of IPv4 and IPv6.
    pub prefixes: [usize; 2],
    /// All of them.
    pub announcement: Vec<u8>,
    /// What is withdrawn and announced again then.
    pub change: Change,
}

/// The figures of one device, round by round.
#[derive(Debug, Default)]
pub struct Rounds {
    /// From the first byte of the first UPDATE until all routes are chosen, and published where there is somewhere to.
    pub seconds: Vec<f64>,
    /// Processor time of the device meanwhile.
    pub cpu_seconds: Vec<f64>,
    /// Of memory, per prefix.
    pub bytes: Vec<f64>,
    /// The same at the moment when it had the most.
    pub peak_bytes: Vec<f64>,
    /// Until what is withdrawn is gone, and until it is there again.
    pub withdrawal_seconds: Vec<f64>,
    pub announcement_seconds: Vec<f64>,
    /// Both together.
    pub change_seconds: Vec<f64>,
}

/// Measures so many rounds.
pub fn measure(load: &Load, kinds: &[Kind], place: &Pair, rounds: usize) -> Result<BTreeMap<Kind, Rounds>> {
    let mut found: BTreeMap<Kind, Rounds> = BTreeMap::new();
    for number in 1..=rounds {
        for &kind in kinds {
            let rounds = found.entry(kind).or_default();
            round(load, kind, place, rounds).with_context(|| format!("measuring {}", kind.name()))?;
            tell(number, kind, rounds);
        }
    }
    Ok(found)
}

/// One round of one device.
fn round(load: &Load, kind: Kind, place: &Pair, rounds: &mut Rounds) -> Result<()> {
    let mut device = Device::start(kind, place, load.prefixes)?;
    let feeder = Feeder::connect()?;
    device.wait_until(0, LOOK, LIMIT, || feeder.ended())?;
    let process = device.process();
    let (empty, idle) = (process.memory()?, process.busy()?);
    let all = load.prefixes.iter().sum::<usize>() as u64;
    rounds.seconds.push(say(&feeder, &mut device, &load.announcement, all, LOOK)?.as_secs_f64());
    rounds.cpu_seconds.push((process.busy()? - idle).as_secs_f64());
    thread::sleep(SETTLING);
    let full = process.memory()?;
    let per_prefix = |bytes: u64| bytes.saturating_sub(empty.resident) as f64 / all as f64;
    rounds.bytes.push(per_prefix(full.resident));
    rounds.peak_bytes.push(per_prefix(full.peak));
    let (mut withdrawals, mut announcements, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CHANGES {
        let Change { prefixes, withdrawal, announcement } = &load.change;
        let gone = say(&feeder, &mut device, withdrawal, all - prefixes, LOOK_AT_CHANGE)?.as_secs_f64();
        thread::sleep(REST);
        let there = say(&feeder, &mut device, announcement, all, LOOK_AT_CHANGE)?.as_secs_f64();
        thread::sleep(REST);
        withdrawals.push(gone);
        announcements.push(there);
        changes.push(gone + there);
    }
    device.check()?;
    rounds.withdrawal_seconds.extend(median(withdrawals));
    rounds.announcement_seconds.extend(median(announcements));
    rounds.change_seconds.extend(median(changes));
    Ok(())
}

/// Says something to a device; how long it takes until it has routes to so many prefixes.
fn say(feeder: &Feeder, device: &mut Device, messages: &[u8], prefixes: u64, look: Duration) -> Result<Duration> {
    thread::scope(|scope| {
        let began = Instant::now();
        let said = scope.spawn(|| feeder.say(messages));
        let reached = device.wait_until(prefixes, look, LIMIT, || feeder.ended()).map(|()| began.elapsed());
        if reached.is_err() {
            // Or it would be waited for until all is said.
            feeder.hang_up();
        }
        let said = said.join().ok().context("the feeder's thread panicked")?;
        reached.and_then(|took| said.map(|()| took))
    })
}

/// So that whoever waits sees something.
fn tell(round: usize, kind: Kind, rounds: &Rounds) {
    let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
    eprintln!(
        "round {round}, {}: {:.2} s, {:.2} s of processor time, {:.0} bytes per path, a change {:.3} s",
        kind.name(),
        last(&rounds.seconds),
        last(&rounds.cpu_seconds),
        last(&rounds.bytes),
        last(&rounds.change_seconds)
    );
}
