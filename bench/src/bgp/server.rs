//! The process that is Bordergate: BGP's thread, a thread that does of control's work what follows from routes, and a worker that
//! only looks at what is published.

use std::io::{self, BufRead, Write};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use bgp::{Families, NeighborConfig, NextHops, Prefix, SelectionId, SourceId, Worth};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use peering::{GatewayId, GatewaySetup, PeerSetup, Peering, Report};
use rand::SeedableRng;
use rand::rngs::StdRng;
use socket2::{Domain, Socket};
use tables::{
    GatewayIndex, Publisher, Reader, Route, RouteIndex, RouteTable, Snapshot, TunnelGroup, TunnelIndex, publication,
};

use super::addresses::{DEVICE, DEVICE_V6, FEEDER};
use super::feeder::{DEVICE_AS, FEEDER_AS, PORT};
use super::table::Table;

/// How often control looks what has come, as in the daemon.
const TICK: Duration = Duration::from_millis(1);
/// How often the worker looks at what is published, while it is not asked.
const LOOK: Duration = Duration::from_micros(500);
/// Prefixes in one publication, at most: of these no more can wait.
const MOST: usize = 64 * peering::BATCH;

const GATEWAY: GatewayId = GatewayId(0);
const PEER: SourceId = SourceId(1);

/// What the process is asked, a word on a line.
#[derive(Debug, Clone, Copy)]
pub enum Question {
    /// To how many prefixes does the published table lead? `count`.
    Count,
    /// Of those of the whole table, to how many does it lead when they are looked up? `check`.
    Check,
}

/// What workers read, and how many prefixes its routes have.
#[derive(Default)]
struct Published {
    snapshot: Snapshot,
    prefixes: u64,
}

/// Speaks BGP with the feeder and answers questions, until standard input closes.
pub fn serve(ipv4: usize, ipv6: usize) -> Result<()> {
    let peering = Peering::start(StdRng::seed_from_u64(0x5eed))?;
    // The session's addresses are of IPv4, and this process is in the device's namespace.
    let open_socket = Box::new(|_, kind| Socket::new(Domain::IPV4, kind, None));
    peering.open(GATEWAY, GatewaySetup { open_socket, own: Vec::new(), deferral: None, port: PORT });
    peering.configure(GATEWAY, PEER, peer());
    let (publisher, mut readers) = publication(Published::default(), 1);
    let (asking, questions) = channel();
    let tables = readers.pop().context("one reader was asked for")?;
    thread::spawn(move || work(tables, &questions, [ipv4, ipv6]));
    thread::spawn(move || listen(&asking));
    control(&peering, publisher)
}

/// Passes on what is asked; ends the process when nobody will ask any more.
fn listen(asking: &Sender<Question>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let question = match line.as_str() {
            "count" => Question::Count,
            "check" => Question::Check,
            _ => break,
        };
        if asking.send(question).is_err() {
            break;
        }
    }
    process::exit(0);
}

/// A worker: it loads what is published again and again, and answers from that.
fn work(mut tables: Reader<Published>, questions: &Receiver<Question>, [ipv4, ipv6]: [usize; 2]) {
    loop {
        let question = questions.recv_timeout(LOOK);
        let published = tables.load();
        let answer = match question {
            Ok(Question::Count) => published.prefixes,
            Ok(Question::Check) => {
                let table = Table::generate(ipv4, ipv6);
                table.prefixes().filter(|prefix| leads(&published.snapshot, prefix.addr())).count() as u64
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        println!("{answer}");
        let _ = io::stdout().flush();
    }
}

fn leads(snapshot: &Snapshot, address: IpAddr) -> bool {
    matches!(snapshot.route(GatewayIndex(0), address), Some(Route::Tunnels(_)))
}

/// Takes what peering reports, as much as there is, brings it into the routes, and publishes them.
fn control(peering: &Peering, mut publisher: Publisher<Published>) -> ! {
    let mut snapshot = Snapshot::default();
    let mut routes = RouteTable::default();
    let mut prefixes = 0;
    loop {
        thread::sleep(TICK);
        let mut changes = Vec::new();
        while changes.len() < MOST
            && let Some(report) = peering.poll_report()
        {
            match report {
                Report::Routes { selections, changes: some, .. } => {
                    for (selection, sources) in selections {
                        routes.set_route(index(selection), route(&sources));
                    }
                    changes
                        .extend(some.into_iter().map(|change| (network(change.prefix), change.selection.map(index))));
                }
                Report::Event { .. } | Report::Station { .. } => {}
            }
        }
        if changes.is_empty() {
            continue;
        }
        // What is announced was not there, and what is withdrawn was.
        let come = changes.iter().filter(|(_, route)| route.is_some()).count() as u64;
        prefixes = prefixes + come - (changes.len() as u64 - come);
        routes.change_prefixes(changes);
        snapshot.gateways.insert(0, routes.clone().into());
        publisher.publish(Published { snapshot: snapshot.clone(), prefixes });
    }
}

fn index(SelectionId(number): SelectionId) -> RouteIndex {
    RouteIndex(number)
}

/// Each source is a tunnel.
fn route(sources: &[SourceId]) -> Route {
    let tunnels = sources.iter().map(|SourceId(number)| (TunnelIndex((*number).into()), NonZeroU8::MIN));
    Route::Tunnels(TunnelGroup::new(&tunnels.collect::<Vec<_>>()))
}

fn network(prefix: Prefix) -> IpNet {
    match prefix {
        Prefix::V4(prefix) => Ipv4Net::new(prefix.addr, prefix.len).map(IpNet::from),
        Prefix::V6(prefix) => Ipv6Net::new(prefix.addr, prefix.len).map(IpNet::from),
    }
    .expect("a length of the family")
}

/// The feeder, of whom everything is taken.
fn peer() -> PeerSetup {
    let session = NeighborConfig {
        local: DEVICE.into(),
        remote: FEEDER.into(),
        local_as: DEVICE_AS,
        remote_as: FEEDER_AS,
        router_id: DEVICE,
        hold_time: 0,
        connect_retry: Duration::from_secs(1),
        passive: true,
        families: Families { ipv4: true, ipv6: true },
        graceful_restart: None,
    };
    let worth = Worth { preference: 140, distance: 150 };
    PeerSetup::unrestricted(session, worth, NextHops { ipv4: Some(DEVICE), ipv6: Some(DEVICE_V6) })
}
