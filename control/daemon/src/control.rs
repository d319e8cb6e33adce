//! The control loop: one thread that ties IKE, the kernel's view and the workers together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use gateway::Resources;
use ike::{Action, ChildSa, DownReason, Endpoint, TunnelId};
use tables::Snapshot;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};
use wire::MacAddress;
use worker::IkeDatagram;

use crate::api::{Request, Response};
use crate::associations::{Associations, Child};
use crate::authentication;
use crate::capture::Capturing;
use crate::cli::Run;
use crate::crash_secret;
use crate::dataplane::Dataplane;
use crate::errors::Errors;
use crate::failure::Failure;
use crate::frame;
use crate::hosts::Hosts;
use crate::icmp_listener::IcmpListener;
use crate::kernel::{KernelView, Netlink};
use crate::layout::{self, Layout};
use crate::learnt::Learnt;
use crate::negotiation;
use crate::picture::Picture;
use crate::privilege;
use crate::probes::Probes;
use crate::rates::Rates;
use crate::resource_file;
use crate::routing::Routing;
use crate::running_mark;
use crate::server::{Answer, Question, Server};
use crate::traffic::Traffic;
use crate::tunnel_ids::TunnelIds;
use crate::volume::Volumes;

/// How often the workers' queues are looked into: workers make no system calls, so they cannot wake control.
const TICK: Duration = Duration::from_millis(1);
/// How often it is seen how much the SAs have carried, and which neighbours have shown themselves.
const LOOK: Duration = Duration::from_millis(100);
/// IKE datagrams handled in one turn from one worker: a flood does not keep control from its other duties.
const DATAGRAMS_PER_TURN: usize = 64;
/// Of those that begin something. They come after the others: a flood of them does not keep SAs from living on.
const FIRST_DATAGRAMS_PER_TURN: usize = 64;
/// How long a datagram waits for its neighbour to be resolved; IKE sends it again later anyway.
const WAIT_FOR_NEIGHBOUR: Duration = Duration::from_secs(1);
/// Datagrams that wait.
const WAITING: usize = 256;
/// How long BGP's last words to a peer have to get through a tunnel that goes next.
pub(crate) const PARTING: Duration = Duration::from_millis(300);
/// Questions of clients that wait.
const QUESTIONS: usize = 16;

/// Everything that control knows.
pub struct Control {
    pub(crate) options: Run,
    pub(crate) resources: Resources,
    pub(crate) ids: TunnelIds,
    pub(crate) layout: Layout,
    pub(crate) view: KernelView,
    pub(crate) netlink: Netlink,
    pub(crate) endpoint: Endpoint,
    pub(crate) associations: Associations,
    pub(crate) learnt: Learnt,
    pub(crate) dataplane: Dataplane,
    pub(crate) hosts: Hosts,
    pub(crate) errors: Errors,
    pub(crate) icmp: IcmpListener,
    pub(crate) rates: Rates,
    pub(crate) snapshot: Snapshot,
    pub(crate) capturing: Option<Capturing>,
    /// Removed children whose slots workers may still use, with the snapshot that is without them.
    leaving: VecDeque<(u64, Child)>,
    /// Traffic of the children that each tunnel had before.
    finished: BTreeMap<TunnelId, Traffic>,
    /// Authenticated packets that each tunnel had when IKE was told last.
    pub(crate) heard: BTreeMap<TunnelId, u64>,
    /// Tunnels whose present configuration takes hold when they are down next.
    pub(crate) deferred: BTreeSet<TunnelId>,
    waiting: VecDeque<Waiting>,
    pub(crate) probes: Probes,
    pub(crate) routing: Routing,
    /// Resources that are taken up once BGP's last words to peers that go are said.
    pub(crate) parting: Option<(Instant, Resources, Layout)>,
    /// When to stop, once BGP's last words are said.
    stopping: Option<Instant>,
    /// What the steering programs were told last.
    pub(crate) own: (BTreeSet<IpAddr>, Vec<Option<MacAddress>>),
    next_look: Instant,
    next_second: Instant,
}

/// A datagram whose next hop is not resolved yet.
struct Waiting {
    until: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    datagram: Vec<u8>,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// What keeps it from starting, or from going on.
pub fn run(options: Run) -> Result<(), Failure> {
    let resources = resource_file::load(&options.file)?;
    for warning in resources.warnings() {
        tracing::warn!("{warning}");
    }
    privilege::check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let (sender, mut questions) = mpsc::channel(QUESTIONS);
        let server = Server::start(&options.socket, sender)?;
        let mut control = Control::start(options, resources)?;
        let ended = control.serve(&mut signals, &mut questions).await;
        let stopped = control.stop();
        drop(server);
        ended.and(stopped)
    })
}

struct Signals {
    stop: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("listening for signals");
        Ok(Self {
            stop: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            reload: on(SignalKind::hangup())?,
        })
    }
}

/// Why the loop woke up.
enum Event {
    Tick,
    Kernel(std::io::Result<()>),
    Question(Question),
    Reload,
    Stop,
}

impl Control {
    fn start(options: Run, resources: Resources) -> Result<Self, Failure> {
        let (netlink, view) = Netlink::open().context("reading the kernel's network configuration over netlink")?;
        let layout = Layout::plan(&resources, &view, options.wan())?;
        let ids = TunnelIds::default().renumber(&Resources::default(), &resources);
        let associations = Associations::new(options.associations);
        let learnt = Learnt::default();
        let routing =
            Routing::start(running_mark::was_left(&options.socket)).context("starting BGP's and BFD's threads")?;
        let snapshot = Picture {
            resources: &resources,
            ids: &ids,
            layout: &layout,
            view: &view,
            associations: &associations,
            learnt: &learnt,
            routing: None,
        }
        .snapshot();
        let own = own(&view, &layout);
        let addresses: Vec<IpAddr> = own.0.iter().copied().collect();
        let public = layout::public_addresses(&resources);
        let icmp = IcmpListener::open().context("opening raw sockets for ICMP errors")?;
        let dataplane = Dataplane::start(&options, &layout, snapshot.clone(), (&public, &addresses))?;
        let hosts = Hosts::start(dataplane.handles().cloned().collect()).context("starting a thread")?;
        let now = Instant::now();
        let mut control = Self {
            rates: Rates::default(),
            options,
            resources,
            ids,
            layout,
            view,
            netlink,
            endpoint: Endpoint::new(),
            associations,
            learnt,
            dataplane,
            hosts,
            errors: Errors::new(),
            icmp,
            snapshot,
            capturing: None,
            leaving: VecDeque::new(),
            finished: BTreeMap::new(),
            heard: BTreeMap::new(),
            deferred: BTreeSet::new(),
            waiting: VecDeque::new(),
            probes: Probes::default(),
            routing,
            parting: None,
            stopping: None,
            own,
            next_look: now,
            next_second: now,
        };
        control.take_crash_secret();
        for warning in control.warnings() {
            tracing::warn!("{warning}");
        }
        control.hosts.take_up(&control.resources);
        control.every_second(now);
        control.take_up_routing(now);
        for id in control.ids.all().to_vec() {
            control.configure(id);
        }
        running_mark::set(&control.options.socket);
        tracing::info!(
            tunnels = control.resources.tunnels().len(),
            workers = control.dataplane.workers.len(),
            file = %control.options.file.display(),
            "running"
        );
        Ok(control)
    }

    /// Without a secret peers find out by our silence that we have crashed, which is no reason not to run.
    fn take_crash_secret(&mut self) {
        let path = crash_secret::beside(&self.options.socket);
        match crash_secret::load(&path) {
            Ok(secret) => self.endpoint.set_crash_secret(*secret),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "no secret for quick crash detection: peers will not be told of a crash at once");
            }
        }
    }

    async fn serve(&mut self, signals: &mut Signals, questions: &mut mpsc::Receiver<Question>) -> Result<(), Failure> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            match self.next(&mut tick, signals, questions).await {
                Event::Tick => {}
                Event::Kernel(ready) => self.follow_kernel(ready)?,
                Event::Question((request, to)) => self.answer(request, to),
                Event::Reload => self.reload(),
                // Who asks a second time is in a hurry.
                Event::Stop if self.stopping.is_some() || !self.part_all() => return Ok(()),
                Event::Stop => self.stopping = Some(Instant::now() + PARTING),
            }
            let now = Instant::now();
            self.turn(now)?;
            if self.stopping.is_some_and(|at| at <= now) {
                return Ok(());
            }
        }
    }

    async fn next(
        &self,
        tick: &mut Interval,
        signals: &mut Signals,
        questions: &mut mpsc::Receiver<Question>,
    ) -> Event {
        tokio::select! {
            biased;
            _ = signals.stop.recv() => Event::Stop,
            _ = signals.interrupt.recv() => Event::Stop,
            _ = signals.reload.recv() => Event::Reload,
            ready = self.netlink.readable() => Event::Kernel(ready),
            Some(question) = questions.recv() => Event::Question(question),
            _ = tick.tick() => Event::Tick,
        }
    }

    /// Deletes all tunnels, lets the workers send that, and gives the interfaces back to the kernel.
    fn stop(mut self) -> Result<(), Failure> {
        tracing::info!("stopping: deleting the tunnels");
        self.with_ike(|endpoint, context| endpoint.shutdown(context));
        self.dataplane.stop()?;
        running_mark::clear(&self.options.socket);
        tracing::info!("stopped: XDP programs taken off");
        Ok(())
    }

    fn turn(&mut self, now: Instant) -> Result<(), Failure> {
        self.receive();
        self.dataplane.wake_helpers();
        if self.endpoint.next_timeout().is_some_and(|due| due <= now) {
            self.with_ike(|endpoint, context| endpoint.handle_timeout(context));
        }
        self.follow_routing(now);
        self.tell_senders(now);
        self.receive_errors(now);
        self.resolve(now);
        self.send_waiting(now);
        self.settle();
        self.end_capture();
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look();
        }
        if now >= self.next_second {
            self.next_second = now + Duration::from_secs(1);
            self.every_second(now);
            if let Some(core) = self.dataplane.dead_worker() {
                // The programs stay: nothing may leave in clear now.
                let message = format!("the worker on core {core} has ended in a panic; this is a fault of ours");
                return Err(Failure::runtime(message));
            }
        }
        Ok(())
    }

    /// IKE messages that came in through the rings.
    fn receive(&mut self) {
        for worker in 0..self.dataplane.workers.len() {
            for _ in 0..DATAGRAMS_PER_TURN {
                let Some(datagram) = self.dataplane.workers[worker].handle.receive_ike() else { break };
                self.handle_ike(&datagram);
            }
        }
        for worker in 0..self.dataplane.workers.len() {
            for _ in 0..FIRST_DATAGRAMS_PER_TURN {
                let Some(datagram) = self.dataplane.workers[worker].handle.receive_first_ike() else { break };
                self.handle_ike(&datagram);
            }
        }
    }

    fn handle_ike(&mut self, datagram: &IkeDatagram) {
        tracing::debug!(
            from = %datagram.source, to = %datagram.destination, bytes = datagram.message().len(), "IKE received"
        );
        self.with_ike(|endpoint, context| {
            endpoint.handle_datagram(datagram.destination, datagram.source, datagram.message(), context);
        });
    }

    /// Tells IKE something, and does what it wants done.
    pub(crate) fn with_ike(&mut self, tell: impl FnOnce(&mut Endpoint, &mut ike::Context<'_>)) {
        let mut random = rand::rng();
        let mut context = ike::Context {
            now: Instant::now(),
            unix_time: unix_time(),
            rng: &mut random,
            spis: &mut self.associations,
        };
        tell(&mut self.endpoint, &mut context);
        while let Some(action) = self.endpoint.poll_action() {
            self.perform(action);
        }
    }

    /// Has a tunnel authenticate as its resource says now.
    pub(crate) fn authenticate_anew(&mut self, id: TunnelId) {
        let tunnel = self.ids.index(id).map(|index| self.resources.tunnel(index));
        let Some(authentication) = tunnel.and_then(authentication::of) else { return };
        let mut refused = None;
        self.with_ike(|endpoint, context| refused = endpoint.set_authentication(id, authentication, context).err());
        if let Some(error) = refused {
            tracing::error!(tunnel = self.name(id), %error, "the tunnel goes on authenticating as before");
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Transmit { local, remote, datagram } => {
                tracing::debug!(from = %local, to = %remote, bytes = datagram.len(), "IKE sent");
                self.transmit(local, remote, datagram, Instant::now() + WAIT_FOR_NEIGHBOUR);
            }
            Action::InstallChild(sa) => self.install(*sa),
            Action::UseChild { tunnel, inbound_spi, instead_of } => self.send_on(tunnel, inbound_spi, instead_of),
            Action::RemoveChild { tunnel: _, inbound_spi } => self.remove(inbound_spi),
            Action::MoveChild { tunnel, inbound_spi, local, remote, encapsulation } => {
                let before = self.associations.relocate(inbound_spi, (local, remote), encapsulation);
                let port = encapsulation.map(|ports| ports.remote_port);
                let moved = if before == Some(remote) { "the peer's NAT has moved" } else { "the peer has moved" };
                tracing::info!(tunnel = self.name(tunnel), address = %remote, port, "{moved}");
                self.publish_paths();
            }
            Action::Up { tunnel, ike, esp } => {
                let next = self.endpoint.status(tunnel).is_some_and(|status| status.uses_next_psk);
                let configured = self.ids.index(tunnel).map(|index| self.resources.tunnel(index));
                let authentication = configured.map_or("", |configured| authentication::word(configured, next));
                tracing::info!(tunnel = self.name(tunnel), %ike, %esp, authentication, "UP");
            }
            Action::Down { tunnel, reason } => {
                let (code, hint) = (reason.code(), reason.hint());
                tracing::info!(tunnel = self.name(tunnel), reason = %reason, code, hint, "DOWN");
                if self.deferred.contains(&tunnel) && reason.code() != DownReason::Shutdown.code() {
                    self.reconfigure_deferred(tunnel);
                }
            }
        }
    }

    /// Only once every worker can open what the peer seals may the peer learn of it: what IKE wants sent comes out of it
    /// after this.
    fn install(&mut self, sa: ChildSa) {
        let (tunnel, spi) = (sa.tunnel, sa.inbound_spi);
        let Some(index) = self.ids.index(tunnel) else { return };
        let esp = &self.resources.tunnel(index).esp;
        let (window, volumes) = (esp.replay_window.packets(), Volumes::of(esp));
        let dataplane = &self.dataplane;
        let baseline = |slots| Traffic::of(dataplane.handles(), slots);
        if let Err(error) = self.associations.install(sa, window, volumes, baseline) {
            tracing::error!(tunnel = self.name(tunnel), %error, "a child SA cannot be installed");
            return;
        }
        tracing::debug!(tunnel = self.name(tunnel), spi = format_args!("{spi:08x}"), "child SA installed");
        self.snapshot.inbound = self.picture().inbound();
        self.publish();
        if !self.dataplane.wait_observed() {
            tracing::warn!(tunnel = self.name(tunnel), "a worker is slow: it may miss the child SA's first packets");
        }
    }

    /// The peer is ready for what is sealed with this child. Nothing else waits for it, for the child in whose place it
    /// stands is good for some time yet; but a peer that is told that that one is gone gets nothing of it any more.
    fn send_on(&mut self, tunnel: TunnelId, inbound_spi: u32, instead_of: Option<u32>) {
        self.associations.send_on(tunnel, inbound_spi, instead_of);
        self.publish_sending();
    }

    /// Outbound first: nothing is sealed any more when the peer is told, and what it still sends is opened until then.
    fn remove(&mut self, inbound_spi: u32) {
        let Some((child, sent)) = self.associations.remove(inbound_spi) else { return };
        if sent {
            self.publish_sending();
        }
        self.snapshot.inbound = self.picture().inbound();
        let version = self.publish();
        self.leaving.push_back((version, child));
    }

    /// Another child is sent on, or none, and every worker has seen it.
    fn publish_sending(&mut self) {
        (self.snapshot.tunnels, self.snapshot.further) = self.picture().sending();
        self.follow_tunnels();
        self.publish_gateways();
        self.dataplane.wait_observed();
    }

    /// Slots whose snapshot no worker reads any more are free, and what was counted in them is final.
    fn settle(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let observed = self.dataplane.observed();
        while let Some((_, child)) = self.leaving.pop_front_if(|(version, _)| *version <= observed) {
            let now = Traffic::of(self.dataplane.handles(), child.slots);
            // A tunnel that is gone leaves nothing to one that gets its number.
            if self.ids.index(child.sa.tunnel).is_some() {
                self.finished.entry(child.sa.tunnel).or_insert(Traffic::NONE).add_since(&now, &child.baseline);
            }
            self.associations.give(child.slots);
        }
    }

    /// Sends a datagram through the rings, or has it wait for its neighbour.
    fn transmit(&mut self, local: SocketAddr, remote: SocketAddr, datagram: Vec<u8>, until: Instant) {
        let Some(path) = self.picture().path(remote.ip()) else {
            tracing::debug!(to = %remote, "there is no route to the peer out of our interfaces");
            return;
        };
        let Some(link) = path.link else {
            self.probe(path.interface, path.next_hop, Instant::now());
            if self.waiting.len() < WAITING {
                self.waiting.push_back(Waiting { until, local, remote, datagram });
            }
            return;
        };
        let identification = rand::random();
        match frame::datagrams(&link, (local, remote), &datagram, usize::from(path.mtu), identification) {
            Some(frames) if frames.iter().all(|frame| self.dataplane.send(path.port, frame)) => {}
            Some(_) => tracing::debug!(to = %remote, "no worker has room for an IKE message"),
            None => tracing::debug!(to = %remote, "an IKE message does not fit a datagram"),
        }
    }

    fn send_waiting(&mut self, now: Instant) {
        for _ in 0..self.waiting.len() {
            let Some(Waiting { until, local, remote, datagram }) = self.waiting.pop_front() else { return };
            if until > now {
                self.transmit(local, remote, datagram, until);
            }
        }
    }

    /// A tunnel's traffic since it was configured.
    pub(crate) fn traffic(&self, tunnel: TunnelId) -> Traffic {
        let mut traffic = self.finished.get(&tunnel).copied().unwrap_or(Traffic::NONE);
        let leaving = self.leaving.iter().map(|(_, child)| child);
        for child in self.associations.children().iter().chain(leaving).filter(|child| child.sa.tunnel == tunnel) {
            traffic.add_since(&Traffic::of(self.dataplane.handles(), child.slots), &child.baseline);
        }
        traffic
    }

    /// Gives IKE a tunnel as the resources want it.
    pub(crate) fn configure(&mut self, id: TunnelId) {
        let Some(tunnel) = self.ids.index(id).map(|index| self.resources.tunnel(index)) else { return };
        // Every key was read with the file.
        let Some(mut configuration) = negotiation::configuration(tunnel) else { return };
        configuration.redirects = negotiation::redirects(&self.resources, tunnel);
        let name = tunnel.name.clone();
        self.with_ike(|endpoint, context| {
            if let Err(error) = endpoint.configure(id, configuration, context) {
                tracing::error!(tunnel = name.as_str(), %error, "the tunnel cannot be configured");
            }
        });
    }

    /// Forgets what a tunnel that is gone had counted.
    pub(crate) fn forget(&mut self, id: TunnelId) {
        self.finished.remove(&id);
        self.heard.remove(&id);
        self.deferred.remove(&id);
    }

    /// Makes the whole snapshot anew and publishes it.
    pub(crate) fn publish_all(&mut self) {
        // What was learnt goes by attachments' places in the file, and is soon learnt again.
        self.learnt = Learnt::default();
        let capture = self.snapshot.capture.take();
        self.snapshot = Snapshot { capture, ..self.picture().snapshot() };
        self.publish();
    }

    /// A tunnel's name.
    pub(crate) fn name(&self, id: TunnelId) -> &str {
        self.ids.index(id).map_or("?", |index| self.resources.tunnel(index).name.as_str())
    }

    fn reconfigure_deferred(&mut self, id: TunnelId) {
        self.deferred.remove(&id);
        let Some(tunnel) = self.ids.index(id).map(|index| self.resources.tunnel(index)) else { return };
        let Some(mut configuration) = negotiation::configuration(tunnel) else { return };
        configuration.redirects = negotiation::redirects(&self.resources, tunnel);
        let mut random = rand::rng();
        let mut context = ike::Context {
            now: Instant::now(),
            unix_time: unix_time(),
            rng: &mut random,
            spis: &mut self.associations,
        };
        // Its actions join the queue that is being worked off.
        if let Err(error) = self.endpoint.configure(id, configuration, &mut context) {
            tracing::error!(tunnel = self.name(id), %error, "the tunnel cannot be configured");
        }
    }

    pub(crate) fn publish(&mut self) -> u64 {
        self.assign_capture();
        self.dataplane.publish(self.snapshot.clone())
    }

    pub(crate) fn picture(&self) -> Picture<'_> {
        Picture {
            resources: &self.resources,
            ids: &self.ids,
            layout: &self.layout,
            view: &self.view,
            associations: &self.associations,
            learnt: &self.learnt,
            routing: Some(&self.routing),
        }
    }

    fn answer(&mut self, request: Request, to: oneshot::Sender<Answer>) {
        let answer = Answer::Once(match request {
            Request::Status {} => Response::Status(Box::new(self.status(Instant::now()))),
            Request::EspKeys {} => {
                tracing::info!("the keys of the live ESP SAs were asked for");
                Response::EspKeys(self.associations.keys())
            }
            Request::Latency {} => Response::Latency(self.latencies()),
            Request::Trace(asked) => self.trace(&asked).map_or_else(Response::Error, Response::Trace),
            Request::Rekey(asked) => self.rekey(&asked).map_or_else(Response::Error, Response::Done),
            Request::Reset(asked) => self.reset(&asked).map_or_else(Response::Error, Response::Done),
            Request::Drain(asked) => Response::Done(self.drain(&asked)),
            Request::Capture(asked) => match self.begin_capture(&asked) {
                Ok(session) => return drop(to.send(Answer::Capture(session))),
                Err(refused) => Response::Error(refused),
            },
            // BGP's thread knows, and answers itself.
            Request::Bgp(asked) => return self.answer_bgp(asked, to),
        });
        // A client that went away wants no answer.
        let _ = to.send(answer);
    }
}

pub(crate) fn own(view: &KernelView, layout: &Layout) -> (BTreeSet<IpAddr>, Vec<Option<MacAddress>>) {
    let macs = layout.interfaces().iter().map(|interface| view.links.get(interface.index)?.mac);
    (view.addresses.all(), macs.collect())
}

/// The time of day, by which certificates are valid or not.
fn unix_time() -> u64 {
    // A clock before 1970 has never been set; then no certificate is valid yet, which says what is wrong.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
