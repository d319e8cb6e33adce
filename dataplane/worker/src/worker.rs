//! The loop itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use port::{BATCH, Member, Port, Receive, Transmit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tables::{Direction, PortIndex, PortRole, Reader, Snapshot, Vlans};
use wire::Packet;

use crate::handle::{Handle, Shared};
use crate::outbound::{Entrance, Led};
use crate::reassembly::Reassembly;
use crate::stage::{Stage, Stopwatch, Unwatched};
use crate::tally::Tally;
use crate::turn::{Memory, Turn};
use crate::{DropReason, host, inbound, outbound, prefetch};

/// What a worker does when it finds nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// Looks again at once: the lowest latency, for a core of its own.
    Never,
    /// Keeps looking for so long, then sleeps until a frame or control wakes it.
    After(Duration),
}

/// How a worker works.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most packets that are taken from a port at once, 1 to [`BATCH`].
    pub batch: usize,
    /// What to do when there is nothing to do.
    pub sleep: Sleep,
    /// Security association slots that are counted.
    pub slots: u32,
}

/// Frames of control, and packets of the host, that are sent in one turn: a burst of IKE does not delay packets for long.
pub(crate) const FRAMES_PER_TURN: usize = 16;
/// Most ports of a worker: one per interface, and the list of what to sleep on stands on the stack.
const MOST_PORTS: usize = 64;
/// The longest sleep: an upper bound on how late a wake-up that got lost is made good.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// One core's loop over one port per interface.
pub struct Worker<P> {
    ports: Vec<P>,
    snapshot: Reader<Snapshot>,
    options: Options,
    shared: Arc<Shared>,
    /// Where the pieces of packets stand that are too long.
    room: Box<[u8]>,
    memory: Memory,
    reassembly: Reassembly,
    /// Where a packet of the host stands.
    frame: Box<host::Frame>,
    /// When the last turn ended and the present one began.
    turn_began: quanta::Instant,
}

/// Makes a worker over `ports`, which stand at their [`PortIndex`], and control's end of it.
///
/// # Errors
/// Where the kernel refuses an eventfd, or there are more ports than a worker can watch.
///
/// # Panics
/// Where the batch is not 1 to [`BATCH`].
pub fn worker<P: Port>(ports: Vec<P>, snapshot: Reader<Snapshot>, options: Options) -> io::Result<(Worker<P>, Handle)> {
    assert!((1..=BATCH).contains(&options.batch), "a batch of {}; allowed: 1 to {BATCH}", options.batch);
    if ports.len() > MOST_PORTS {
        let message = format!("{} interfaces; a worker watches at most {MOST_PORTS}", ports.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let handle = Handle::new(options.slots)?;
    let shared = Arc::clone(&handle.0);
    let (room, memory) = (vec![0; outbound::MOST_PIECES].into_boxed_slice(), Memory::new(snapshot.index()));
    let (reassembly, frame) = (Reassembly::new(), Box::default());
    // The first reading of this clock takes up to 200 ms.
    let turn_began = quanta::Instant::now();
    Ok((Worker { ports, snapshot, options, shared, room, memory, reassembly, frame, turn_began }, handle))
}

impl<P: Port> Worker<P> {
    /// Makes the worker one of a team: while it has nothing to do, it helps the others, and they help it.
    pub fn join(&mut self, member: Member) {
        self.memory.hand_over.join(member);
    }

    /// Runs until [`Handle::stop`]; it may be run again after that.
    pub fn run(&mut self) {
        self.turn_began = quanta::Instant::now();
        let mut idle_since = self.turn_began;
        while !self.shared.stop.load(Relaxed) {
            let found = self.poll();
            let helped = self.memory.hand_over.follow(found, &self.shared);
            if helped > 0 {
                self.end_turn(helped, [0; 2]);
            }
            if found + helped > 0 {
                idle_since = self.turn_began;
            } else if let Sleep::After(patience) = self.options.sleep
                && self.turn_began - idle_since >= patience
            {
                self.sleep();
                self.turn_began = quanta::Instant::now();
                idle_since = self.turn_began;
            }
        }
        self.memory.hand_over.pause();
        self.shared.stop.store(false, Relaxed);
        // What control put in the queue before it stopped us, its farewells to peers, is still sent.
        self.poll();
        self.snapshot.park();
    }

    /// One turn over all ports and control's queue; returns how many packets and frames there were.
    pub fn poll(&mut self) -> usize {
        self.poll_watched(&mut Unwatched)
    }

    /// As [`Worker::poll`], telling `watch` when the stages of each batch end.
    pub fn poll_watched(&mut self, watch: &mut impl Stopwatch) -> usize {
        let ((version, snapshot), limit) = (self.snapshot.load_versioned(), self.options.batch);
        self.memory.renew(version);
        let tables = (snapshot, &*self.shared);
        let (mut found, mut sent) = (0, [0; 2]);
        for (index, role) in snapshot.ports.iter().take(self.ports.len()).enumerate() {
            let before = self.shared.counters.transmitted.value();
            let (direction, count) = match role {
                PortRole::Wan => {
                    let kept = (&mut self.memory, &mut self.reassembly);
                    (Direction::FromPeer, from_wan(&mut self.ports, index, limit, tables, kept, watch))
                }
                PortRole::Vpc(vlans) => {
                    let kept = (&mut *self.room, &mut self.memory);
                    (Direction::ToPeer, from_vpc(&mut self.ports, (index, vlans), limit, tables, kept, watch))
                }
            };
            found += count;
            sent[direction as usize] += self.shared.counters.transmitted.value().wrapping_sub(before);
        }
        found += host::send(&mut self.ports, (&mut self.frame, &mut self.room, &mut self.memory), tables, watch);
        found += from_control(&mut self.ports, &self.shared);
        if self.reassembly.is_waiting() {
            let mut tally = Tally::new(&self.shared.counters, 0);
            self.reassembly.expire(Instant::now(), &mut tally);
            tally.finish();
        }
        // In every turn: a kernel that could not take all of an earlier batch wants to be woken again.
        self.ports.iter_mut().for_each(|port| port.split().1.flush());
        self.end_turn(found, sent);
        found
    }

    /// Reads the clock, once a turn: its end is the next one's beginning.
    fn end_turn(&mut self, found: usize, sent: [u64; 2]) {
        let now = quanta::Instant::now();
        let took = (now - self.turn_began).as_nanos() as u64;
        self.turn_began = now;
        if found > 0 {
            self.shared.counters.busy_nanoseconds.add(took);
            for direction in [Direction::ToPeer, Direction::FromPeer] {
                self.shared.latencies.count(direction, sent[direction as usize], took);
            }
        }
    }

    /// The ports, for a test or a bench to fill and drain between turns.
    pub fn ports(&mut self) -> &mut [P] {
        &mut self.ports
    }

    fn sleep(&mut self) {
        self.memory.hand_over.pause();
        self.snapshot.park();
        let mut watched: ArrayVec<PollFd<'_>, { MOST_PORTS + 1 }> = self
            .ports
            .iter()
            .filter_map(Port::fd)
            .chain([self.shared.bell.as_fd()])
            .map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        // An interrupted or refused sleep is a short one.
        let _ = poll(&mut watched, Some(&NAP));
        // Empty where the bell did not ring.
        let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
    }
}

/// Transmitting sides with the numbers of their ports.
pub(crate) type Transmitters<'a, P> = ArrayVec<(PortIndex, &'a mut <P as Port>::Tx), MOST_PORTS>;

/// The receiving side of the port at `index`, and the transmitting sides of all others: a packet never leaves through the
/// port it came from, for tunnels are reached through the WAN alone.
fn apart<P: Port>(ports: &mut [P], index: usize) -> Option<(&mut P::Rx, Transmitters<'_, P>)> {
    let (before, rest) = ports.split_at_mut(index);
    let (receiving, after) = rest.split_first_mut()?;
    let others = before.iter_mut().enumerate().chain((index + 1..).zip(after));
    let others = others.map(|(position, port)| (PortIndex(position as u32), port.split().1)).collect();
    Some((receiving.split().0, others))
}

fn from_vpc<P: Port, W: Stopwatch>(
    ports: &mut [P],
    (index, vlans): (usize, &Vlans),
    limit: usize,
    tables: (&Snapshot, &Shared),
    (room, memory): (&mut [u8], &mut Memory),
    watch: &mut W,
) -> usize {
    let Some((rx, mut others)) = apart(ports, index) else { return 0 };
    let count = rx.receive(limit);
    if count == 0 {
        return 0;
    }
    let mut turn = Turn::new(tables, (memory, Direction::ToPeer), count, watch);
    let mut known = [None; BATCH];
    turn.scattered = turn.outlook.ahead;
    if turn.scattered {
        prefetch::ways(&mut known, rx.frames(), vlans, turn.snapshot);
    } else if turn.outlook.mixed {
        prefetch::near_ways(&mut known, rx.frames(), vlans, turn.snapshot);
    }
    let frames = rx.frames().zip(&known).map(|(frame, known)| (frame, *known));
    send::<P, W>(frames, Entrance::Vpc(vlans), &mut others, room, &mut turn);
    rx.release();
    turn.tally.finish();
    watch.ended(Stage::Transmit);
    count
}

/// Routes and seals frames, as many at a time as there is room for.
pub(crate) fn send<'a, 's, P: Port, W: Stopwatch>(
    mut frames: impl Iterator<Item = Led<'a>>,
    entrance: Entrance<'s>,
    others: &mut Transmitters<'_, P>,
    room: &mut [u8],
    turn: &mut Turn<'s, W>,
) {
    let mut left = None;
    loop {
        let (mut came, mut in_order) = (outbound::Batch::new(), outbound::Batch::new());
        let filled = outbound::route((&mut came, &mut in_order), left, &mut frames, room, entrance, turn);
        turn.ended(Stage::Classify);
        for (port, tx) in others.iter_mut() {
            outbound::seal(filled.batch, *port, *tx, turn);
        }
        if filled.ended {
            return;
        }
        left = filled.left;
    }
}

fn from_wan<P: Port, W: Stopwatch>(
    ports: &mut [P],
    index: usize,
    limit: usize,
    tables: (&Snapshot, &Shared),
    (memory, reassembly): (&mut Memory, &mut Reassembly),
    watch: &mut W,
) -> usize {
    let Some((rx, mut leaving)) = apart(ports, index) else { return 0 };
    let count = rx.receive(limit);
    if count == 0 {
        return 0;
    }
    let mut turn = Turn::new(tables, (memory, Direction::FromPeer), count, watch);
    let take = |packet: &Packet<'_>, now, tally: &mut Tally<'_>| reassembly.take(packet, now, tally);
    let mut batch = inbound::Batch::default();
    inbound::classify(&mut batch, rx.frames(), &mut turn, take);
    turn.ended(Stage::Classify);
    open::<P, W>(&batch, &mut leaving, &mut turn);
    drop(batch);
    rx.release();
    if reassembly.has_whole() {
        open_whole::<P, W>(reassembly, &mut leaving, &mut turn);
    }
    turn.tally.finish();
    watch.ended(Stage::Transmit);
    count
}

/// Opens what was put together of fragments.
#[cold]
fn open_whole<P: Port, W: Stopwatch>(
    reassembly: &mut Reassembly,
    leaving: &mut Transmitters<'_, P>,
    turn: &mut Turn<'_, W>,
) {
    let mut batch = inbound::Batch::default();
    inbound::classify(&mut batch, reassembly.frames(), turn, |_, _, tally| tally.drop(DropReason::OuterFragment));
    turn.ended(Stage::Classify);
    open::<P, W>(&batch, leaving, turn);
    drop(batch);
    reassembly.release();
}

/// Opens a batch into the frames of the ports that its packets leave through.
fn open<P: Port, W: Stopwatch>(batch: &inbound::Batch<'_>, leaving: &mut Transmitters<'_, P>, turn: &mut Turn<'_, W>) {
    for position in 0..leaving.len() {
        let (earlier, rest) = leaving.split_at_mut(position);
        let Some(((port, tx), later)) = rest.split_first_mut() else { break };
        let elsewhere = |port: PortIndex, frame: &[u8]| {
            let mut others = earlier.iter_mut().chain(later.iter_mut());
            let (_, tx) = others.find(|(other, _)| *other == port).ok_or(DropReason::Transit)?;
            copy(*tx, frame)
        };
        inbound::open(batch, *port, *tx, turn, elsewhere);
    }
}

fn from_control<P: Port>(ports: &mut [P], shared: &Shared) -> usize {
    let mut sent = 0;
    while sent < FRAMES_PER_TURN
        && let Some((port, frame)) = shared.frames.pop()
    {
        sent += 1;
        // What finds no frame is lost as on a full wire: IKE retransmits.
        if let Some(port) = ports.get_mut(port.position())
            && copy(port.split().1, &frame).is_ok()
        {
            shared.counters.originated.add(1);
        }
    }
    sent
}

/// Sends a copy of a whole frame.
pub(crate) fn copy(tx: &mut impl Transmit, frame: &[u8]) -> Result<(), DropReason> {
    if frame.len() > tx.capacity() {
        return Err(DropReason::TooLong);
    }
    if tx.reserve(1) == 0 {
        return Err(DropReason::TransmitRingFull);
    }
    if let Some(to) = tx.frames().next() {
        to[..frame.len()].copy_from_slice(frame);
    }
    tx.commit(&[frame.len() as u16]);
    Ok(())
}
