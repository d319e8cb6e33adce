//! A worker's turns, and what held up the long ones.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use quanta::Clock;

use crate::pipeline::world::{WAN, World};

/// A longer turn is a pause.
pub const PAUSE: Duration = Duration::from_micros(50);
/// Turns between two looks at the time.
const LOOK: u32 = 256;

/// Turns of several rounds.
pub struct Turns {
    cycles_per_nanosecond: f64,
    /// Nanoseconds from turn to turn, filling and emptying the ports included.
    pub between: Histogram<u64>,
    /// Pauses of which the greater part was in the worker's own turn.
    pub pauses_in_turn: u64,
    pub pauses: u64,
    /// Pauses in which the kernel gave the core to another thread.
    pub preempted: u64,
    pub packets: u64,
    pub lost: u64,
    /// Involuntary context switches of the worker's thread.
    pub switches: u64,
    /// Milliseconds in which the hypervisor gave the worker's core to others, as the kernel accounts for them.
    pub stolen_milliseconds: u64,
    pub seconds: f64,
}

impl Turns {
    pub fn new(cycles_per_nanosecond: f64) -> Self {
        Self {
            cycles_per_nanosecond,
            between: Histogram::new_with_bounds(100, 10_000_000_000, 3).expect("sound bounds"),
            pauses_in_turn: 0,
            pauses: 0,
            preempted: 0,
            packets: 0,
            lost: 0,
            switches: 0,
            stolen_milliseconds: 0,
            seconds: 0.0,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.between.add(&other.between).expect("the same bounds");
        self.pauses_in_turn += other.pauses_in_turn;
        self.pauses += other.pauses;
        self.preempted += other.preempted;
        self.packets += other.packets;
        self.lost += other.lost;
        self.switches += other.switches;
        self.stolen_milliseconds += other.stolen_milliseconds;
        self.seconds += other.seconds;
    }

    /// Lets the worker forward for so long, to these tunnels by turns.
    ///
    /// # Errors
    /// Where the kernel does not say what it knows of the thread.
    pub fn run(&mut self, world: &mut World, duration: Duration, tunnels: &[u32]) -> Result<()> {
        let clock = Clock::new();
        let before = world.worker().1.counters();
        let batch = world.batch();
        let (mut seen, stolen) = (involuntary_switches()?, stolen_milliseconds()?);
        let first = seen;
        let began = Instant::now();
        let (mut tunnels, mut last) = (tunnels.iter().cycle(), clock.raw());
        for turn in 1.. {
            tunnels.by_ref().take(batch).for_each(|tunnel| world.clear(*tunnel));
            let turn_began = clock.raw();
            world.worker().0.poll();
            let turn_ended = clock.raw();
            world.worker().0.ports()[WAN].drain_with(|_| {});
            let now = clock.raw();
            let between = self.nanoseconds(now - last);
            self.between.saturating_record(between);
            if u128::from(between) > PAUSE.as_nanos() {
                self.pauses += 1;
                self.pauses_in_turn += u64::from(self.nanoseconds(turn_ended - turn_began) > between / 2);
                let switches = involuntary_switches()?;
                self.preempted += u64::from(switches != seen);
                seen = switches;
            }
            if turn % LOOK == 0 && began.elapsed() >= duration {
                break;
            }
            last = clock.raw();
        }
        self.seconds += began.elapsed().as_secs_f64();
        self.switches += involuntary_switches()? - first;
        self.stolen_milliseconds += stolen_milliseconds()? - stolen;
        let after = world.worker().1.counters();
        let packets = after.received - before.received;
        self.packets += packets;
        self.lost += packets - (after.transmitted - before.transmitted);
        ensure!(packets > 0, "no packet was received");
        Ok(())
    }

    fn nanoseconds(&self, cycles: u64) -> u64 {
        (cycles as f64 / self.cycles_per_nanosecond) as u64
    }
}

fn involuntary_switches() -> Result<u64> {
    let status = fs::read_to_string("/proc/thread-self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    Ok(line.context("/proc/thread-self/status names no nonvoluntary_ctxt_switches")?.trim().parse()?)
}

/// Of the core that this thread runs on.
fn stolen_milliseconds() -> Result<u64> {
    let core = rustix::thread::sched_getcpu();
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")));
    // proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; in hundredths of a second.
    let steal = line.and_then(|line| line.split_whitespace().nth(7));
    Ok(steal.context("/proc/stat does not say how much of a core was stolen")?.parse::<u64>()? * 10)
}
