//! A round: a tunnel is cut, comes back, is drained and used again, all that under load.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};

use super::direction::Direction;
use super::folder::Folder;
use super::gateway::Gateway;
use super::load::{FLOWS, Load, Way};
use super::patience::wait_until;
use super::reading::Reading;
use super::router::{Dropped, Router};
use super::sessions::Sessions;
use super::site::Side;
use super::topology::Topology;
use super::tunnel::{LOST, STEADY, TUNNELS};

/// Until sessions are up: the longest waits between two attempts come together.
const LIMIT: Duration = Duration::from_secs(30);
/// The load alone, before and after something is done.
const REST: Duration = Duration::from_millis(300);
/// A few turns of all flows.
const MAPPING: Duration = Duration::from_millis(250);
/// Nobody looks for so long, for looking takes processor time: longer than a failover.
const CUT: Duration = Duration::from_millis(700);
/// A tunnel through which nothing came for so long is not used.
const IDLE: Duration = Duration::from_millis(200);

/// What one direction showed in a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub failover_ms: f64,
    /// Packets.
    pub lost: usize,
    pub back_lost: usize,
    pub drain_lost: usize,
}

/// All that runs. What goes first when it is dropped stands first.
pub struct Bed {
    gateways: [Gateway; 2],
    ways: [Arc<Way>; 2],
    topology: Topology,
    folder: Folder,
    runs: u32,
}

impl Bed {
    /// Starts both gateways, and waits until both tunnels are in use.
    pub fn build(program: &Path, log: &str, folder: Option<&Path>) -> Result<Self> {
        let folder = Folder::make(folder)?;
        let topology = Topology::build()?;
        Router::set_up(&topology)?;
        let ways = Way::open_both(&topology)?;
        eprintln!("starting two gateways");
        let start = |side| Gateway::start(side, program, log, &topology, &folder);
        let gateways = [start(Side::Cloud)?, start(Side::Customer)?];
        Ok(Self { gateways, ways, topology, folder, runs: 0 })
    }

    /// One round; what each direction showed.
    ///
    /// # Errors
    /// A [`Flap`](super::sessions::Flap) where a tunnel was lost that was not cut; what one cannot go on with.
    pub fn round(&mut self) -> Result<[Measured; 2]> {
        // After a round that was given up.
        self.router().pass()?;
        self.gateways[0].undrain(LOST)?;
        let cut = self.cut()?;
        let drained = self.drain()?;
        let [to_customer, to_cloud] = Direction::ALL.map(|direction| {
            let (of_cut, drain_lost) = (cut[direction.index()], drained[direction.index()]);
            Measured { drain_lost, ..of_cut }
        });
        Ok([to_customer, to_cloud])
    }

    /// Stops both gateways.
    pub fn stop(self) -> Result<()> {
        let Self { gateways, topology, .. } = self;
        let stopped = gateways.map(Gateway::stop);
        drop(topology);
        stopped.into_iter().collect()
    }

    /// Where a run fails, its files stay, and what the gateways say of it.
    pub fn keep(&mut self, error: Error) -> Error {
        for gateway in &self.gateways {
            match gateway.events() {
                Ok(events) => eprintln!("{}:\n{events}", gateway.side().name()),
                Err(error) => eprintln!("{}: {error:#}", gateway.side().name()),
            }
        }
        error.context(format!("the logs are in {}", self.folder.keep().display()))
    }

    /// Cuts a tunnel and lets it come back.
    fn cut(&mut self) -> Result<[Measured; 2]> {
        let load = self.load();
        let sessions = self.sessions()?;
        self.wait_for_use()?;
        thread::sleep(REST);

        let router = self.router();
        let mapping = Instant::now();
        router.drop(LOST, Dropped::Load)?;
        thread::sleep(MAPPING);
        router.pass()?;
        let mapping = mapping..Instant::now();
        thread::sleep(REST);

        let cut = Instant::now();
        router.drop(LOST, Dropped::All)?;
        let done = cut.elapsed();
        thread::sleep(CUT.saturating_sub(done));
        for gateway in &self.gateways {
            wait_until(LIMIT, || gateway.missing_down(LOST))?;
        }
        let back = Instant::now();
        router.pass()?;
        self.sessions()?;
        self.wait_for_use()?;
        thread::sleep(REST);
        let readings = load.stop()?;
        self.sessions()?.compare(sessions, 1)?;
        let measured = Direction::ALL.map(|direction| {
            let reading = &readings[direction.index()];
            let flows = reading.flows_of(&reading.lost(&mapping));
            measured(direction, reading, &flows, [mapping.end, cut, back])
        });
        let [to_customer, to_cloud] = measured;
        Ok([to_customer?, to_cloud?])
    }

    /// Drains a tunnel until nothing uses it, and ends that; how many packets of each direction were lost.
    fn drain(&mut self) -> Result<[usize; 2]> {
        let load = self.load();
        let sessions = self.sessions()?;
        self.wait_for_use()?;
        let well = Instant::now();
        let router = self.router();
        thread::sleep(REST);
        let drained = Instant::now();
        self.gateways[0].drain(LOST)?;
        wait_until(LIMIT, || {
            let before = router.carried(LOST)?;
            thread::sleep(IDLE);
            let risen = router.carried(LOST)? != before;
            Ok(risen.then(|| format!("{} carries packets, though it is drained", LOST.name)))
        })?;
        thread::sleep(REST);
        self.gateways[0].undrain(LOST)?;
        self.wait_for_use()?;
        thread::sleep(REST);
        let readings = load.stop()?;
        self.sessions()?.compare(sessions, 0)?;
        Ok(readings.each_ref().map(|reading| {
            let lost = reading.lost(&(well..Instant::now()));
            if !lost.is_empty() {
                eprintln!("drained: {} lost", reading.describe(&lost, drained));
            }
            lost.len()
        }))
    }

    fn load(&mut self) -> Load {
        self.runs += 1;
        Load::start(&self.ways, self.runs)
    }

    /// Waits until both tunnels carry packets both ways. There has to be a load.
    fn wait_for_use(&self) -> Result<()> {
        let router = self.router();
        for tunnel in &TUNNELS {
            let before = router.carried(tunnel)?;
            wait_until(LIMIT, || {
                let carried = router.carried(tunnel)?;
                let idle = Direction::ALL.into_iter().find(|way| carried[way.index()] == before[way.index()]);
                Ok(idle.map(|way| format!("no packet goes {} by {}", way.name(), tunnel.name)))
            })?;
        }
        Ok(())
    }

    /// Waits until both tunnels are up at both ends. Whatever is lost from now on shows.
    fn sessions(&self) -> Result<Sessions> {
        for gateway in &self.gateways {
            for tunnel in &TUNNELS {
                wait_until(LIMIT, || gateway.missing_up(tunnel))?;
            }
        }
        Sessions::read(&self.gateways)
    }

    fn router(&self) -> Router<'_> {
        Router::of(&self.topology)
    }
}

/// What a direction showed of a cut. `moments`: when all was well, when the tunnel was cut, and when that ended.
fn measured(
    direction: Direction,
    reading: &Reading,
    flows: &BTreeSet<usize>,
    [well, cut, back]: [Instant; 3],
) -> Result<Measured> {
    let name = direction.name();
    ensure!(!flows.is_empty() && flows.len() < FLOWS, "{name}: {} of {FLOWS} flows are in {}", flows.len(), LOST.name);
    let before = reading.lost(&(well..cut));
    ensure!(before.is_empty(), "{name}: packets were lost before the cut: {}", reading.describe(&before, cut));
    let time = cut..back;
    let lost = reading.lost(&time);
    let Some(outage) = reading.outage(&time, flows) else {
        anyhow::bail!("{name}: the cut has hit no flow of those in {}", LOST.name);
    };
    eprintln!("{name}: {} flows in {}; lost: {}", flows.len(), LOST.name, reading.describe(&lost, cut));
    let others = reading.flows_of(&lost).difference(flows).count();
    if others > 0 {
        eprintln!("{name}: {others} of those are flows of {}", STEADY.name);
    }
    let back_lost = reading.lost(&(back..Instant::now()));
    if !back_lost.is_empty() {
        eprintln!("{name}: coming back, lost: {}", reading.describe(&back_lost, back));
    }
    Ok(Measured {
        failover_ms: outage.as_secs_f64() * 1000.0,
        lost: lost.len(),
        back_lost: back_lost.len(),
        drain_lost: 0,
    })
}
