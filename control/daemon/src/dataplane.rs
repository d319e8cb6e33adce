//! The steering programs, the ports, and the workers' threads.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use port::{OpenError, XdpOptions, XdpPort};
use steer::{LoadOptions, Mode, Side, Steer};
use tables::{GatewayIndex, PortIndex, Publisher, Snapshot, publication};
use worker::{Handle, Options, Sleep};

use crate::cli::{BusyPoll, HandOver, Run, XdpMode, ZeroCopy};
use crate::cores;
use crate::failure::Failure;
use crate::layout::{Interface, Layout};

/// How long an adaptive worker looks for more before it sleeps.
const PATIENCE: Duration = Duration::from_micros(50);
/// How long control waits for workers to see a snapshot, or to send what it gave them.
const OBSERVED_WITHIN: Duration = Duration::from_millis(50);
const SENT_WITHIN: Duration = Duration::from_millis(200);
/// How often control looks meanwhile.
const LOOK: Duration = Duration::from_micros(100);

/// Everything that moves packets, and the way to publish what it reads.
pub struct Dataplane {
    pub steer: Steer,
    pub workers: Vec<Running>,
    pub sockets: Vec<Socket>,
    /// What a person should know about how it was set up.
    pub warnings: Vec<String>,
    publisher: Publisher<Snapshot>,
    version: u64,
}

/// One worker and its thread.
pub struct Running {
    pub core: usize,
    pub handle: Handle,
    thread: JoinHandle<()>,
}

/// One AF_XDP socket.
pub struct Socket {
    pub interface: String,
    pub queue: u32,
    pub zero_copy: bool,
    /// Asked for statistics. Closed before the programs are taken off.
    pub descriptor: OwnedFd,
}

impl Dataplane {
    /// Attaches the programs, opens the ports and starts the workers.
    ///
    /// # Errors
    /// Whatever is missing, told so that it can be got. Programs that were not there before are taken off again.
    pub fn start(
        options: &Run,
        layout: &Layout,
        snapshot: Snapshot,
        addresses: (&[std::net::IpAddr], &[std::net::IpAddr]),
    ) -> Result<Self, Failure> {
        let mut queues = Vec::new();
        for interface in layout.interfaces() {
            queues.push((interface.name.as_str(), port::queue_count(&interface.name).map_err(Failure::runtime)?));
        }
        let (cores, mut warnings) = cores::choose(options, &queues)?;
        cores::leave_to_workers(&cores);
        let load = LoadOptions { pin_dir: Some(options.pin_dir.clone()), ..LoadOptions::default() };
        let mut steer = Steer::load(load).map_err(Failure::runtime)?;
        match Self::attach(options, layout, &mut steer, addresses, &cores) {
            Ok((ports, sockets)) => {
                let (publisher, readers) = publication(snapshot, cores.len());
                let mut workers = Vec::new();
                let mut team = team(options, cores.len()).into_iter();
                for ((core, ports), reader) in cores.into_iter().zip(ports).zip(readers) {
                    workers.push(Running::start(core, ports, (reader, team.next()), worker_options(options))?);
                }
                for (name, _) in steer.interfaces() {
                    if let Some(reason) = steer.attached(name).and_then(|attached| attached.native_refused.as_ref()) {
                        warnings.push(format!("{name} runs XDP in generic mode, which is slow: {reason}"));
                    }
                }
                Ok(Self { steer, workers, sockets, warnings, publisher, version: 1 })
            }
            Err(failure) => {
                take_off_new(&mut steer);
                Err(failure)
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "the ports by worker and what is told about their sockets")]
    fn attach(
        options: &Run,
        layout: &Layout,
        steer: &mut Steer,
        (public, local): (&[std::net::IpAddr], &[std::net::IpAddr]),
        cores: &[usize],
    ) -> Result<(Vec<Vec<XdpPort>>, Vec<Socket>), Failure> {
        steer.set_gateway_addresses(public).map_err(Failure::runtime)?;
        steer.set_local_addresses(local).map_err(Failure::runtime)?;
        let mut ports: Vec<Vec<XdpPort>> = cores.iter().map(|_| Vec::new()).collect();
        let mut sockets = Vec::new();
        for interface in layout.interfaces() {
            let name = &interface.name;
            let attached = steer.attach(name, interface.side, xdp_mode(options.xdp_mode)).map_err(Failure::runtime)?;
            for (queue, ports) in (0..).zip(&mut ports) {
                let port = port_options(options, interface, queue, attached.mode).and_then(XdpPort::open);
                let port = port.map_err(Failure::runtime)?;
                steer.register_socket(name, queue, port.socket()).map_err(Failure::runtime)?;
                let zero_copy = port.zero_copy();
                let descriptor = port.socket().try_clone_to_owned().context("duplicating a socket")?;
                sockets.push(Socket { interface: name.clone(), queue, zero_copy, descriptor });
                tracing::info!(
                    interface = %name, side = %interface.side, queue, xdp_mode = %attached.mode, zero_copy,
                    taken_over = attached.taken_over, "attached"
                );
                ports.push(port);
            }
        }
        Ok((ports, sockets))
    }

    /// Makes a snapshot the one that workers read.
    pub fn publish(&mut self, snapshot: Snapshot) -> u64 {
        self.version = self.publisher.publish(snapshot);
        self.version
    }

    /// Waits, for a bounded time, until every worker reads the newest snapshot or a newer one. Whether they do.
    pub fn wait_observed(&self) -> bool {
        self.publisher.wait_observed(self.version, OBSERVED_WITHIN)
    }

    /// The oldest snapshot that a worker may still read.
    pub fn observed(&self) -> u64 {
        self.publisher.observed()
    }

    /// The newest snapshot, and how many older ones may still be read.
    pub fn publication(&mut self) -> (u64, usize) {
        (self.version, self.publisher.reclaim())
    }

    /// Sends a frame through whichever worker has room; whether one had.
    pub fn send(&self, port: PortIndex, frame: &[u8]) -> bool {
        self.handles().any(|handle| handle.send_frame(port, frame).is_ok())
    }

    /// Sends a packet of control's where a gateway's routes lead; whether a worker had room for it.
    pub fn send_from_control(&self, gateway: GatewayIndex, packet: &[u8]) -> bool {
        self.handles().any(|handle| handle.from_control(gateway, packet).is_ok())
    }

    /// Wakes the workers that sleep where another one has so much to do that they could help it.
    pub fn wake_helpers(&self) {
        let wanting = self.handles().filter(|handle| handle.wants_help()).count();
        if wanting > 0 {
            self.handles().for_each(Handle::wake);
        }
    }

    /// The workers' handles.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> + Clone {
        self.workers.iter().map(|worker| &worker.handle)
    }

    /// The core of a worker that ended though nobody told it to.
    pub fn dead_worker(&self) -> Option<usize> {
        self.workers.iter().find(|worker| worker.thread.is_finished()).map(|worker| worker.core)
    }

    /// Lets the workers send what they were given, ends them, closes the sockets and takes the programs off.
    ///
    /// # Errors
    /// Where a program could not be taken off.
    pub fn stop(mut self) -> Result<(), Failure> {
        if !within(SENT_WITHIN, || self.handles().all(Handle::is_drained)) {
            tracing::warn!("not everything that was to be sent has left");
        }
        for worker in &self.workers {
            worker.handle.stop();
        }
        for worker in self.workers {
            if worker.thread.join().is_err() {
                tracing::error!(core = worker.core, "a worker had ended in a panic");
            }
        }
        drop(self.sockets);
        self.steer.detach_all().map_err(Failure::runtime)
    }
}

impl Running {
    fn start(
        core: usize,
        ports: Vec<XdpPort>,
        (reader, member): (tables::Reader<Snapshot>, Option<port::Member>),
        options: Options,
    ) -> Result<Self, Failure> {
        let (mut worker, handle) = worker::worker(ports, reader, options).context("making a worker")?;
        if let Some(member) = member {
            worker.join(member);
        }
        let pinned = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&pinned);
        let thread = thread::Builder::new()
            .name(format!("worker-{core}"))
            .spawn(move || {
                tell.store(cores::pin(core), Relaxed);
                worker.run();
            })
            .context("starting a worker's thread")?;
        if !within(OBSERVED_WITHIN, || pinned.load(Relaxed)) {
            tracing::warn!(core, "a worker could not be pinned to its core");
        }
        Ok(Self { core, handle, thread })
    }
}

fn xdp_mode(mode: XdpMode) -> steer::XdpMode {
    match mode {
        XdpMode::Auto => steer::XdpMode::Auto,
        XdpMode::Native => steer::XdpMode::Native,
        XdpMode::Generic => steer::XdpMode::Generic,
    }
}

fn port_options(options: &Run, interface: &Interface, queue: u32, mode: Mode) -> Result<XdpOptions, OpenError> {
    let options = XdpOptions {
        zero_copy: match (options.zero_copy, mode) {
            (ZeroCopy::Auto, Mode::Generic) | (ZeroCopy::Off, _) => port::ZeroCopy::Never,
            (ZeroCopy::Auto, Mode::Native) => port::ZeroCopy::Auto,
            (ZeroCopy::On, _) => port::ZeroCopy::Always,
        },
        ring_size: options.ring_size,
        frames: options.frames,
        huge_pages: options.huge_pages,
        busy_poll: (options.busy_poll == BusyPoll::Napi)
            .then_some(port::BusyPoll { microseconds: 20, budget: u32::from(options.batch) }),
        ..XdpOptions::new(interface.name.as_str(), queue)
    };
    options.with_mtu(interface.longest)
}

fn worker_options(options: &Run) -> Options {
    let sleep = match options.busy_poll {
        BusyPoll::Off => Sleep::After(Duration::ZERO),
        BusyPoll::Adaptive => Sleep::After(PATIENCE),
        BusyPoll::Always | BusyPoll::Napi => Sleep::Never,
    };
    Options { batch: usize::from(options.batch), sleep, slots: options.associations }
}

/// The workers' places in a team; none where they do not help each other.
fn team(options: &Run, workers: usize) -> Vec<port::Member> {
    match (options.hand_over, options.busy_poll) {
        (HandOver::On, BusyPoll::Adaptive | BusyPoll::Always | BusyPoll::Napi) if workers > 1 => port::team(workers),
        // One that sleeps at once is never found with nothing to do.
        (HandOver::On, _) | (HandOver::Off, _) => Vec::new(),
    }
}

/// A failed start leaves no program where none was; one that was taken over keeps dropping.
fn take_off_new(steer: &mut Steer) {
    let names: Vec<String> = steer.interfaces().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        if steer.attached(&name).is_some_and(|attached| !attached.taken_over)
            && let Err(error) = steer.detach(&name)
        {
            tracing::warn!(interface = %name, %error, "a program could not be taken off");
        }
    }
}

/// Looks again and again until it holds or the time is over; whether it holds.
fn within(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// The side's name in the API.
pub fn side_name(side: Side) -> &'static str {
    match side {
        Side::Wan => "wan",
        Side::Vpc => "vpc",
    }
}

/// Takes off what a killed gateway left, and says what.
///
/// # Errors
/// Where that could not be done.
pub fn detach(pin_dir: &std::path::Path) -> Result<String, Failure> {
    let detached = steer::detach_pinned(pin_dir).map_err(Failure::runtime)?;
    if detached.is_empty() {
        return Ok(format!(
            "nothing to detach: no programs of this network namespace are pinned in {}",
            pin_dir.display()
        ));
    }
    let name = |index: u32| interface_name(index).unwrap_or_else(|_| format!("interface {index}"));
    let line = |detached: &steer::Detached| match detached.index {
        Some(index) => {
            format!("detached from {} ({} mode): its traffic is the kernel's again", name(index), detached.mode)
        }
        None => "removed the pin of an interface that no longer exists".to_owned(),
    };
    Ok(detached.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn interface_name(index: u32) -> rustix::io::Result<String> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    rustix::net::netdevice::index_to_name(&socket, index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::run;

    #[test]
    fn workers_help_each_other_if_there_are_several_that_look() {
        let members = |arguments: &[&str], workers| team(&run(arguments).unwrap(), workers).len();
        let on = ["--hand-over", "on"];
        assert_eq!((members(&on, 1), members(&on, 3), members(&[], 3)), (0, 3, 0));
        let polling = |way| [&on[..], &["--busy-poll", way]].concat();
        assert_eq!((members(&polling("always"), 2), members(&polling("off"), 2)), (2, 0));
    }

    #[test]
    fn generic_mode_copies_unless_told_otherwise() {
        let interface = Interface { name: "a".into(), index: 1, side: Side::Wan, vlan: None, longest: 1500 };
        let zero_copy =
            |arguments: &[&str], mode| port_options(&run(arguments).unwrap(), &interface, 0, mode).unwrap().zero_copy;
        assert_eq!(zero_copy(&[], Mode::Generic), port::ZeroCopy::Never);
        assert_eq!(zero_copy(&[], Mode::Native), port::ZeroCopy::Auto);
        assert_eq!(zero_copy(&["--zero-copy", "on"], Mode::Generic), port::ZeroCopy::Always);
    }
}
