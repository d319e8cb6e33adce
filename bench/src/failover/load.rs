//! Numbered datagrams of many flows at a steady rate, both ways, and who notes what arrives.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::direction::Direction;
use super::reading::Reading;
use super::topology::{CLOUD_HOST, CUSTOMER_HOST, Place, Topology};

/// Of each direction; they have a source port each.
pub const FLOWS: usize = 256;
/// Packets of each direction in a second.
pub const RATE: u32 = 4000;
/// Bytes of a datagram: in ESP longer than what gateways say to each other of BFD and BGP.
pub const PAYLOAD: usize = 512;

const FIRST_PORT: u16 = 20_000;
const SINK_PORT: u16 = 7000;
/// Of the sink's buffer: it must not be what loses packets while the machine is busy elsewhere.
const BUFFER: usize = 8 << 20;
/// A packet may take so long before it counts as lost.
const SETTLING: Duration = Duration::from_millis(300);
/// How soon who receives sees that it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// The sockets of one direction.
pub struct Way {
    flows: Vec<UdpSocket>,
    sink: UdpSocket,
    to: SocketAddr,
}

/// Traffic that runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Result<Vec<Instant>>>>,
    sinks: Vec<JoinHandle<Result<Vec<Option<Instant>>>>>,
}

impl Way {
    /// Opens the sockets of both directions, as [`Direction::ALL`] has them.
    pub fn open_both(topology: &Topology) -> Result<[Arc<Self>; 2]> {
        let [to_customer, to_cloud] = Direction::ALL.map(|direction| Self::open(topology, direction));
        Ok([Arc::new(to_customer?), Arc::new(to_cloud?)])
    }

    fn open(topology: &Topology, direction: Direction) -> Result<Self> {
        let (from, to) = match direction {
            Direction::ToCustomer => ((Place::CloudHost, CLOUD_HOST), (Place::CustomerHost, CUSTOMER_HOST)),
            Direction::ToCloud => ((Place::CustomerHost, CUSTOMER_HOST), (Place::CloudHost, CLOUD_HOST)),
        };
        let flows = topology.inside(from.0, || (FIRST_PORT..).take(FLOWS).map(|port| bind(from.1, port)).collect())?;
        let sink = topology.inside(to.0, || bind(to.1, SINK_PORT))?;
        set_socket_recv_buffer_size_force(&sink, BUFFER).context("the sink's buffer")?;
        sink.set_read_timeout(Some(LOOK))?;
        Ok(Self { flows, sink, to: (to.1, SINK_PORT).into() })
    }

    /// Sends until it is to stop; when each packet was.
    fn send(&self, run: u32, stop: &AtomicBool) -> Result<Vec<Instant>> {
        let (mut packet, mut sent) = ([0; PAYLOAD], Vec::with_capacity(1 << 17));
        packet[..4].copy_from_slice(&run.to_be_bytes());
        let began = Instant::now();
        for (number, flow) in (0_u32..).zip(self.flows.iter().cycle()) {
            let due = began + number * Duration::from_secs(1) / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.load(Relaxed) {
                break;
            }
            packet[4..8].copy_from_slice(&number.to_be_bytes());
            let now = Instant::now();
            flow.send_to(&packet, self.to).context("the host of a sender refuses a packet")?;
            sent.push(now);
        }
        Ok(sent)
    }

    /// Receives until the end; when each packet arrived, by its number.
    fn receive(&self, run: u32, end: &AtomicBool) -> Result<Vec<Option<Instant>>> {
        let (mut packet, mut arrived) = ([0; PAYLOAD], Vec::with_capacity(1 << 17));
        while !end.load(Relaxed) {
            match self.sink.recv(&mut packet) {
                Ok(length) => {
                    let now = Instant::now();
                    let Some(([of_run, number], _)) = packet[..length].as_chunks::<4>().0.split_first_chunk() else {
                        continue;
                    };
                    // What is left of an earlier run is nobody's.
                    if u32::from_be_bytes(*of_run) == run {
                        let number = u32::from_be_bytes(*number) as usize;
                        if arrived.len() <= number {
                            arrived.resize(number + 1, None);
                        }
                        arrived[number].get_or_insert(now);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the sink"),
            }
        }
        Ok(arrived)
    }
}

impl Load {
    /// Both directions begin; each run has a number of its own.
    pub fn start(ways: &[Arc<Way>; 2], run: u32) -> Self {
        let (stop, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sinks = ways.iter().map(|way| {
            let (way, end) = (Arc::clone(way), Arc::clone(&end));
            thread::spawn(move || way.receive(run, &end))
        });
        let sinks = sinks.collect();
        let senders = ways.iter().map(|way| {
            let (way, stop) = (Arc::clone(way), Arc::clone(&stop));
            thread::spawn(move || way.send(run, &stop))
        });
        Self { senders: senders.collect(), sinks, stop, end }
    }

    /// Both directions end, what is under way arrives, and what does not is lost.
    pub fn stop(mut self) -> Result<[Reading; 2]> {
        self.stop.store(true, Relaxed);
        let sent: Vec<_> = self.senders.drain(..).map(joined).collect::<Result<_>>()?;
        thread::sleep(SETTLING);
        self.end.store(true, Relaxed);
        let arrived: Vec<_> = self.sinks.drain(..).map(joined).collect::<Result<_>>()?;
        let readings = sent.into_iter().zip(arrived).map(|(sent, arrived)| Reading::new(FLOWS, sent, arrived));
        readings.collect::<Vec<_>>().try_into().ok().context("two directions")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.end.store(true, Relaxed);
        // Who comes next must not share the sockets.
        self.senders.drain(..).for_each(|sender| drop(sender.join()));
        self.sinks.drain(..).for_each(|sink| drop(sink.join()));
    }
}

fn bind(address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    UdpSocket::bind((address, port)).with_context(|| format!("binding {address}, port {port}"))
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().ok().context("a thread of the load panicked")?
}
