//! One monitoring station (RFC 7854): the TCP connection to it, and what it is to be told. What it does not read holds up nobody:
//! so much of it waits, and then the station is told everything anew, on another connection.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bgp::bmp::{Message, Ports, Termination};
use bgp::{Dump, Ending, Session, SourceId, Speaker};
use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{SockAddr, Socket, TcpKeepalive, Type};

use crate::connection::{Progress, connect, progress};
use crate::domain;

/// A monitoring station, as the caller names it within its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(pub u32);

/// Who is to be told of a gateway's peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StationSetup {
    /// Where it listens. It is reached from the network namespace of this process.
    pub address: SocketAddr,
    /// Our address towards it, of the same family; `None`: the kernel's choice.
    pub local: Option<IpAddr>,
    /// Whom it hears of: `sysName`.
    pub name: String,
    /// What that is: `sysDescr`.
    pub description: String,
}

/// What has become of the connection to a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationEvent {
    /// It is open: the station is told everything from the beginning.
    Connected,
    /// It has not come up, for this reason. It is tried again, and this is not said again until it has been open.
    Unreachable(String),
    /// The station has closed it, or it is broken.
    Lost,
    /// The station did not read what it was told.
    NotReading,
}

/// For how long a connection is being opened.
const CONNECT: Duration = Duration::from_secs(5);
/// The time to the next attempt; it doubles from one to the next. RFC 7854 §3.2 suggests 30 s to 720 s, which is long to see
/// nothing.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(120);
/// A connection that has lasted for so long has not failed.
const STABLE: Duration = Duration::from_secs(300);
/// RFC 7854 §4.8 leaves open how often.
const STATISTICS: Duration = Duration::from_secs(60);
/// Bytes that wait, beyond which nothing is added that can wait as well.
const WINDOW: usize = 256 * 1024;
/// Bytes that wait, at most.
const MOST: usize = 32 * 1024 * 1024;
/// For how long a station may take nothing of what waits.
const STALLED: Duration = Duration::from_secs(60);
/// Reads in a turn: what a station says is nothing (RFC 7854 §3.2), but whether it is still there is seen by reading.
const READS_PER_TURN: usize = 8;

#[derive(Debug)]
pub(crate) struct Station {
    setup: StationSetup,
    link: Link,
    /// How often in a row it has come to nothing.
    failures: u32,
    /// That it is unreachable was said.
    complained: bool,
}

#[derive(Debug)]
enum Link {
    /// Until it is tried.
    Closed(Instant),
    /// Until it is given up.
    Opening(TcpStream, Instant),
    Open(Box<Open>),
}

#[derive(Debug)]
struct Open {
    stream: TcpStream,
    since: Instant,
    output: VecDeque<u8>,
    /// More was to wait than may.
    overflown: bool,
    /// The socket takes no more for now.
    blocked: bool,
    /// Until when some of what waits is to be taken.
    patience: Option<Instant>,
    next_statistics: Instant,
    /// The sessions that the station knows to be up.
    known: BTreeMap<SourceId, Session>,
    /// Those that were up when it came, and that it does not know yet.
    unknown: BTreeSet<SourceId>,
    /// The routes of one that it knows, and is still to be told.
    dump: Option<(SourceId, Dump)>,
}

impl Station {
    /// It is to be connected to at once.
    pub(crate) fn new(setup: StationSetup, now: Instant) -> Self {
        Self { setup, link: Link::Closed(now), failures: 0, complained: false }
    }

    /// Begins to open a connection.
    pub(crate) fn open(&mut self, registry: &Registry, token: Token, now: Instant) -> io::Result<()> {
        let mut stream = open(&self.setup)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.link = Link::Opening(stream, now + CONNECT);
        Ok(())
    }

    /// The connection may have come up; whether it has. These sessions are up by then.
    pub(crate) fn opened(&mut self, up: impl Iterator<Item = SourceId>, now: Instant) -> io::Result<bool> {
        let Link::Opening(stream, _) = &self.link else { return Ok(false) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => stream.set_nodelay(true)?,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        let Link::Opening(stream, _) = std::mem::replace(&mut self.link, Link::Closed(now)) else { return Ok(false) };
        let mut open = Open {
            stream,
            since: now,
            output: VecDeque::new(),
            overflown: false,
            blocked: false,
            patience: None,
            next_statistics: now + STATISTICS,
            known: BTreeMap::new(),
            unknown: up.collect(),
            dump: None,
        };
        let StationSetup { name, description, .. } = &self.setup;
        open.push(&Message::Initiation { name, description }.encode());
        self.link = Link::Open(Box::new(open));
        self.complained = false;
        Ok(true)
    }

    /// The socket may take more, or give something; an error if it is closed or broken.
    pub(crate) fn advance(&mut self, piece: &mut [u8]) -> Result<(), StationEvent> {
        let Link::Open(open) = &mut self.link else { return Ok(()) };
        open.blocked = false;
        for _ in 0..READS_PER_TURN {
            match progress(|| open.stream.read(piece), true) {
                Progress::Bytes(_) => {}
                Progress::Blocked => break,
                Progress::Gone => return Err(StationEvent::Lost),
            }
        }
        Ok(())
    }

    /// A session is up since the station came.
    pub(crate) fn peer_up(&mut self, peer: SourceId, session: &Session, ports: Ports, at: Duration) {
        if let Link::Open(open) = &mut self.link {
            open.push(&Message::PeerUp { session, ports, at }.encode());
            open.known.insert(peer, session.clone());
        }
    }

    /// A peer has sent an UPDATE. `encoded` is what another station was told of it, if there was one.
    pub(crate) fn update(&mut self, peer: SourceId, update: &[u8], at: Duration, encoded: &mut Option<Bytes>) {
        // What it does not know of yet it will be told as it is by then.
        if let Link::Open(open) = &mut self.link
            && let Some(session) = open.known.get(&peer)
        {
            let routes = Message::RouteMonitoring { session, update, at: Some(at) };
            let encoded = encoded.get_or_insert_with(|| routes.encode());
            open.push(encoded);
        }
    }

    /// A session is down.
    pub(crate) fn peer_down(&mut self, peer: SourceId, ending: &Ending, at: Duration) {
        let Link::Open(open) = &mut self.link else { return };
        open.unknown.remove(&peer);
        open.dump.take_if(|(of, _)| *of == peer);
        if let Some(session) = open.known.remove(&peer) {
            open.push(&Message::PeerDown { session: &session, ending, at }.encode());
        }
    }

    /// Says what there is to be said, and writes as much as is taken. An error if it is to be given up. `ports` are those of a
    /// session's connection, `unix_time` is the time of day.
    pub(crate) fn serve(
        &mut self,
        speaker: &Speaker,
        ports: impl Fn(SourceId, &Session) -> Ports,
        now: Instant,
        unix_time: Duration,
    ) -> Result<(), StationEvent> {
        let open = match &mut self.link {
            Link::Closed(_) => return Ok(()),
            Link::Opening(_, until) if *until <= now => {
                return Err(StationEvent::Unreachable(format!("no answer within {} s", CONNECT.as_secs())));
            }
            Link::Opening(..) => return Ok(()),
            Link::Open(open) => open,
        };
        if open.next_statistics <= now {
            open.next_statistics = now + STATISTICS;
            open.report(speaker, unix_time);
        }
        open.tell(speaker, ports, unix_time);
        open.write(now)?;
        if open.overflown || open.patience.is_some_and(|until| until <= now) {
            return Err(StationEvent::NotReading);
        }
        Ok(())
    }

    /// Writes at once if so much waits that it should not be more. What comes of it is seen when it is served next.
    pub(crate) fn relieve(&mut self, now: Instant) -> Result<(), StationEvent> {
        match &mut self.link {
            Link::Open(open) if open.output.len() >= WINDOW && !open.blocked => open.write(now),
            Link::Closed(_) | Link::Opening(..) | Link::Open(_) => Ok(()),
        }
    }

    /// The connection has come to nothing; it is tried again after a while, up to a quarter sooner than others (`random`). Whether
    /// that is news.
    pub(crate) fn fail(&mut self, event: &StationEvent, registry: &Registry, now: Instant, random: u32) -> bool {
        if matches!(&self.link, Link::Open(open) if now.saturating_duration_since(open.since) >= STABLE) {
            self.failures = 0;
        }
        let delay = (FIRST_RETRY * 2u32.pow(self.failures.min(10))).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.close(registry, now + delay * (750 + random % 251) / 1000);
        match event {
            StationEvent::Unreachable(_) => !std::mem::replace(&mut self.complained, true),
            StationEvent::Connected | StationEvent::Lost | StationEvent::NotReading => true,
        }
    }

    /// Says that nothing more is said, as far as that is taken at once, and closes the connection.
    pub(crate) fn end(mut self, termination: Termination, registry: &Registry, now: Instant) {
        if let Link::Open(open) = &mut self.link {
            open.push(&Message::Termination(termination).encode());
            // It may be full or gone; then the end of the connection has to say it.
            let _ = open.write(now);
        }
        self.close(registry, now);
    }

    fn close(&mut self, registry: &Registry, until: Instant) {
        let stream = match std::mem::replace(&mut self.link, Link::Closed(until)) {
            Link::Closed(_) => None,
            Link::Opening(stream, _) => Some(stream),
            Link::Open(open) => Some(open.stream),
        };
        if let Some(mut stream) = stream
            && let Err(error) = registry.deregister(&mut stream)
        {
            tracing::debug!(%error, "a connection was not waited for");
        }
    }

    pub(crate) fn setup(&self) -> &StationSetup {
        &self.setup
    }

    /// Whether it is time to open a connection.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        matches!(self.link, Link::Closed(at) if at <= now)
    }

    /// Whether it listens.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    /// When to serve it next.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.link {
            Link::Closed(at) | Link::Opening(_, at) => *at,
            // At once.
            Link::Open(open) if open.has_more() => open.since,
            Link::Open(open) => open.patience.unwrap_or(open.next_statistics).min(open.next_statistics),
        }
    }
}

impl Open {
    /// Tells of sessions that were up before the station came, and of their routes, as long as it takes that.
    fn tell(&mut self, speaker: &Speaker, ports: impl Fn(SourceId, &Session) -> Ports, unix_time: Duration) {
        while self.has_more() {
            if let Some((peer, dump)) = &mut self.dump {
                let Some(session) = self.known.get(peer) else {
                    self.dump = None;
                    continue;
                };
                let updates = speaker.rib().dump_messages(dump, WINDOW);
                let routes = updates.iter().map(|update| Message::RouteMonitoring { session, update, at: None });
                let routes: Vec<_> = routes.map(|routes| routes.encode()).collect();
                routes.iter().for_each(|routes| self.push(routes));
                if updates.is_empty() {
                    self.dump = None;
                }
            } else if let Some(peer) = self.unknown.pop_first() {
                let Some(session) = speaker.session(peer) else { continue };
                let (ports, at) = (ports(peer, &session), unix_time.saturating_sub(session.since.elapsed()));
                self.push(&Message::PeerUp { session: &session, ports, at }.encode());
                self.dump = speaker.rib().dump(peer).map(|dump| (peer, dump));
                self.known.insert(peer, session);
                // To find its routes takes a look at all there are: others have their turn before the next one's.
                return;
            }
        }
    }

    /// Says how much there is of each peer's.
    fn report(&mut self, speaker: &Speaker, at: Duration) {
        let of_each = self.known.iter().filter_map(|(peer, session)| {
            let statistics = speaker.statistics(*peer)?;
            Some(Message::Statistics { session, statistics: &statistics, at }.encode())
        });
        let of_each: Vec<_> = of_each.collect();
        of_each.iter().for_each(|statistics| self.push(statistics));
    }

    fn push(&mut self, message: &[u8]) {
        // Once something is left out the rest would make no sense.
        self.overflown |= self.output.len() + message.len() > MOST;
        if !self.overflown {
            self.output.extend(message);
        }
    }

    fn write(&mut self, now: Instant) -> Result<(), StationEvent> {
        let mut written = 0;
        while !self.output.is_empty() && !self.blocked {
            let (front, _) = self.output.as_slices();
            match progress(|| self.stream.write(front), false) {
                Progress::Bytes(some) => {
                    self.output.drain(..some);
                    written += some;
                }
                Progress::Blocked => self.blocked = true,
                Progress::Gone => return Err(StationEvent::Lost),
            }
        }
        if self.output.is_empty() {
            // What a burst took is given back.
            self.output.shrink_to(WINDOW);
            self.patience = None;
        } else if written > 0 || self.patience.is_none() {
            self.patience = Some(now + STALLED);
        }
        Ok(())
    }

    /// Whether there is something to be told that waits for room only, and there is room.
    fn has_more(&self) -> bool {
        let waits = self.dump.is_some() || !self.unknown.is_empty();
        waits && !self.blocked && !self.overflown && self.output.len() < WINDOW
    }
}

fn open(setup: &StationSetup) -> io::Result<TcpStream> {
    let socket = Socket::new(domain(setup.address.ip()), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Nothing is ever heard of a station: one that is gone without a word is missed by this.
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
    if let Some(local) = setup.local {
        socket.bind(&SockAddr::from(SocketAddr::new(local, 0)))?;
    }
    connect(socket, setup.address)
}
