//! Kernel routes towards customers, for the networks behind attachments.
//!
//! A thread of its own asks the kernels, one route at a time: a table of a million of them holds up nothing else.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway::GatewayIndex;
use ipnet::IpNet;

use crate::kernel::{KernelRoute, Requests};
use crate::network_namespace::NetworkNamespace;

/// After how long what a kernel has refused is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// For how long routes stay that a process before this one has left: peers have told theirs again by then.
const LEFT_OVER: Duration = Duration::from_secs(90);

/// Whom a route leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Towards {
    /// Into tunnels.
    Customers,
    /// To the router of this name.
    Router(String),
}

/// Where which routes are to appear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub of: Towards,
    /// Under /run/netns; `None`: ours.
    pub namespace: Option<String>,
    pub table: u32,
    /// The next hop, one for each family.
    pub via: Vec<IpAddr>,
    /// Among routes to the same destination, the lower is used; the kernel's choice if `None`.
    pub priority: Option<u32>,
}

enum Command {
    /// These are the targets of each gateway; those of before that are not among them lose their routes.
    Targets(Vec<(GatewayIndex, Target)>),
    /// Whom these prefixes of a gateway's lead to now.
    Change(GatewayIndex, Vec<(IpNet, Option<Towards>)>),
    /// These prefixes lead to customers, and no others.
    Replace(GatewayIndex, BTreeSet<IpNet>),
}

/// Control's end of the thread. When it is dropped, the routes go.
pub struct Propagator {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    targets: Vec<(GatewayIndex, Target)>,
    /// Gateways that have a target which they had not before.
    new: BTreeSet<GatewayIndex>,
}

impl Propagator {
    pub fn start() -> io::Result<Self> {
        let (commands, wanted) = channel();
        let thread = thread::Builder::new().name("propagation".to_owned()).spawn(move || run(&wanted))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), targets: Vec::new(), new: BTreeSet::new() })
    }

    /// Other targets from now on.
    pub fn take_up(&mut self, targets: Vec<(GatewayIndex, Target)>) {
        self.new = targets.iter().filter(|target| !self.targets.contains(target)).map(|(index, _)| *index).collect();
        if self.targets != targets {
            self.send(Command::Targets(targets.clone()));
            self.targets = targets;
        }
    }

    /// Whether all of a gateway's routes have to be said again, for a target of it is new.
    pub fn wants_all(&self, gateway: GatewayIndex) -> bool {
        self.new.contains(&gateway)
    }

    /// Whether there is anything to tell a gateway's networks.
    pub fn is_wanted(&self, gateway: GatewayIndex) -> bool {
        self.targets.iter().any(|(index, _)| *index == gateway)
    }

    /// Whom these prefixes lead to now.
    pub fn change(&self, gateway: GatewayIndex, changes: impl Iterator<Item = (IpNet, Option<Towards>)>) {
        self.send(Command::Change(gateway, changes.collect()));
    }

    /// These prefixes lead to customers, and no others.
    pub fn replace(&self, gateway: GatewayIndex, prefixes: BTreeSet<IpNet>) {
        self.send(Command::Replace(gateway, prefixes));
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // A thread that has ended takes nothing any more; that it has is seen where it is joined.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Propagator {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that propagates routes has panicked");
        }
    }
}

fn run(commands: &Receiver<Command>) {
    let mut places: Vec<(GatewayIndex, Place)> = Vec::new();
    loop {
        match commands.recv_timeout(AGAIN) {
            Ok(Command::Targets(targets)) => take_up(&mut places, targets),
            Ok(Command::Change(gateway, changes)) => {
                for place in of_gateway(&mut places, gateway) {
                    for (net, towards) in &changes {
                        if towards.as_ref() == Some(&place.target.of) { place.want(*net) } else { place.leave(*net) }
                    }
                }
            }
            Ok(Command::Replace(gateway, prefixes)) => {
                let customers = |place: &&mut Place| place.target.of == Towards::Customers;
                for place in of_gateway(&mut places, gateway).filter(customers) {
                    let gone: Vec<IpNet> = place.wanted.difference(&prefixes).copied().collect();
                    gone.into_iter().for_each(|net| place.leave(net));
                    prefixes.iter().for_each(|net| place.want(*net));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                places.iter_mut().for_each(|(_, place)| place.look_again(now));
            }
            Err(RecvTimeoutError::Disconnected) => {
                places.iter_mut().for_each(|(_, place)| place.clear());
                return;
            }
        }
    }
}

fn take_up(places: &mut Vec<(GatewayIndex, Place)>, targets: Vec<(GatewayIndex, Target)>) {
    let mut before = std::mem::take(places);
    for (gateway, target) in targets {
        let known = before.iter().position(|(index, place)| (*index, &place.target) == (gateway, &target));
        places.push(match known {
            Some(known) => before.swap_remove(known),
            None => (gateway, Place::new(target)),
        });
    }
    for (_, mut gone) in before {
        gone.clear();
    }
}

fn of_gateway(places: &mut [(GatewayIndex, Place)], gateway: GatewayIndex) -> impl Iterator<Item = &mut Place> {
    places.iter_mut().filter(move |(index, _)| *index == gateway).map(|(_, place)| place)
}

/// One target, and what is there.
struct Place {
    target: Target,
    requests: Option<Requests>,
    wanted: BTreeSet<IpNet>,
    /// Those of them that the kernel has.
    there: BTreeSet<IpNet>,
    /// What a process before this one has left, until when that stays.
    left_over: BTreeSet<IpNet>,
    left_until: Instant,
    /// What was told last of why it does not work.
    trouble: Option<String>,
}

impl Place {
    fn new(target: Target) -> Self {
        let mut place = Self {
            target,
            requests: None,
            wanted: BTreeSet::new(),
            there: BTreeSet::new(),
            left_over: BTreeSet::new(),
            left_until: Instant::now() + LEFT_OVER,
            trouble: None,
        };
        match place.requests().and_then(|(requests, target)| requests.own_routes(target.table)) {
            Ok(found) => {
                let ours = found.into_iter().filter(|route| place.target.via.contains(&route.via));
                place.left_over = ours.map(|route| route.destination).collect();
            }
            Err(error) => place.complain(&error),
        }
        place
    }

    fn want(&mut self, net: IpNet) {
        self.left_over.remove(&net);
        if self.wanted.insert(net) {
            self.ask(net, true);
        }
    }

    fn leave(&mut self, net: IpNet) {
        if self.wanted.remove(&net) && self.there.contains(&net) {
            self.ask(net, false);
        }
    }

    /// What was refused is tried again, and what nobody wants any more goes.
    fn look_again(&mut self, now: Instant) {
        let missing: Vec<IpNet> = self.wanted.difference(&self.there).copied().collect();
        missing.into_iter().for_each(|net| self.ask(net, true));
        let unwanted: Vec<IpNet> = self.there.difference(&self.wanted).copied().collect();
        unwanted.into_iter().for_each(|net| self.ask(net, false));
        if now >= self.left_until {
            std::mem::take(&mut self.left_over).into_iter().for_each(|net| self.ask(net, false));
        }
    }

    fn clear(&mut self) {
        let all = std::mem::take(&mut self.there).into_iter().chain(std::mem::take(&mut self.left_over));
        all.collect::<Vec<_>>().into_iter().for_each(|net| self.ask(net, false));
        self.wanted.clear();
    }

    fn ask(&mut self, net: IpNet, present: bool) {
        // A family without a next hop is not propagated.
        let Some(via) = self.target.via.iter().copied().find(|via| via.is_ipv4() == net.addr().is_ipv4()) else {
            return;
        };
        let asked = self.requests().and_then(|(requests, target)| {
            let route = KernelRoute { destination: net, via, priority: target.priority };
            if present { requests.put_route(target.table, route) } else { requests.remove_route(target.table, route) }
        });
        match asked {
            Ok(()) if present => drop(self.there.insert(net)),
            Ok(()) => drop(self.there.remove(&net)),
            // It went with its interface.
            Err(error) if !present && error.raw_os_error() == Some(ESRCH) => drop(self.there.remove(&net)),
            Err(error) => {
                // The namespace may be another one by the next time.
                self.requests = None;
                self.complain(&error);
            }
        }
    }

    fn requests(&mut self) -> io::Result<(&mut Requests, &Target)> {
        let requests = match self.requests.take() {
            Some(requests) => requests,
            None => match &self.target.namespace {
                Some(name) => NetworkNamespace::existing(name)?.inside(Requests::open)?,
                None => Requests::open()?,
            },
        };
        Ok((self.requests.insert(requests), &self.target))
    }

    /// Once for each kind of trouble.
    fn complain(&mut self, error: &io::Error) {
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            let namespace = self.target.namespace.as_deref().unwrap_or("our own");
            tracing::warn!(
                namespace,
                table = self.target.table,
                error = text,
                "routes are not propagated; tried again"
            );
            self.trouble = Some(text);
        }
    }
}

/// No such route.
const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();
