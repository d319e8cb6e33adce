//! Generator and sink: one thread that keeps the device under test busy and counts what comes out.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use port::{BATCH, Port, Receive, Transmit, XdpOptions, XdpPort};
use steer::{LoadOptions, Side, Steer, XdpMode};

use super::chain::Chain;
use super::traffic::Traffic;
use crate::operation::Operation;

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as packets come out: at most [`WINDOW`] are on their way.
    Full,
    /// One packet at a time, so many a second.
    PerSecond(f64),
}

/// Packets on their way at full pace. More would only overflow the device's rings and cost time to drop.
const WINDOW: u64 = 512;
/// What is still on its way after so long is lost.
const LOST: Duration = Duration::from_millis(20);

/// What one round showed.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Packets that came out.
    pub received: u64,
    seconds: f64,
    /// Nanoseconds that the device was at work.
    pub busy_nanoseconds: u64,
    latency: Option<(f64, Histogram<u64>)>,
}

impl Measured {
    /// Packets that came out, a second.
    pub fn per_second(&self) -> f64 {
        self.received as f64 / self.seconds
    }

    /// The device's time for a packet.
    pub fn busy_nanoseconds_per_packet(&self) -> f64 {
        self.busy_nanoseconds as f64 / self.received.max(1) as f64
    }

    /// The rate at which latency was measured, packets a second.
    pub fn latency_per_second(&self) -> Option<f64> {
        self.latency.as_ref().map(|(rate, _)| *rate)
    }

    /// The time on the way that so many packets stay below.
    pub fn latency_microseconds(&self, quantile: f64) -> Option<f64> {
        self.latency.as_ref().map(|(_, histogram)| histogram.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// This round's rate with another one's latency.
    pub fn with_latency(self, paced: Self) -> Self {
        Self { latency: paced.latency, ..self }
    }
}

/// The two ends of the chain for one operation.
pub struct Load {
    source: XdpPort,
    sink: XdpPort,
    // Detaches when dropped.
    _steer: Steer,
}

impl Load {
    /// Opens a socket on both ends; at the sink, all packets go to it.
    pub fn open(chain: &Chain, operation: Operation) -> Result<Self> {
        let (source, sink) = operation.ends();
        chain.at(source, || {
            let mut steer = Steer::load(LoadOptions { pin_dir: None, queues: 1, addresses: 16 })?;
            let port = XdpPort::open(XdpOptions::new(sink, 0))?;
            steer.attach(sink, Side::Vpc, XdpMode::Native)?;
            steer.register_socket(sink, 0, port.socket())?;
            Ok(Self { source: XdpPort::open(XdpOptions::new(source, 0))?, sink: port, _steer: steer })
        })
    }

    /// Sends for `seconds`, waits for what is on its way, and says what came out. `busy` reads the device's time.
    pub fn run(&mut self, traffic: &Traffic, pace: Pace, seconds: f64, busy: impl Fn() -> u64) -> Measured {
        let mut sent_at: Vec<Instant> = Vec::with_capacity(if pace == Pace::Full { 0 } else { 1 << 20 });
        let mut histogram = Histogram::new_with_bounds(100, 1_000_000_000, 3).expect("sound bounds");
        let (busy_before, began) = (busy(), Instant::now());
        let end = began + Duration::from_secs_f64(seconds);
        let (mut sent, mut received, mut lost, mut progress, mut finished) = (0_u64, 0_u64, 0_u64, began, None);
        loop {
            let now = Instant::now();
            let wanted = match pace {
                _ if now >= end => 0,
                Pace::Full => BATCH.min((WINDOW + received + lost).saturating_sub(sent) as usize),
                Pace::PerSecond(rate) => usize::from(
                    ((now - began).as_secs_f64() * rate) as u64 > sent && sent_at.len() < sent_at.capacity(),
                ),
            };
            let batch = self.send(traffic, sent as usize, wanted);
            if pace != Pace::Full && batch > 0 {
                sent_at.push(now);
            }
            sent += batch as u64;
            let arrived = self.drain();
            if arrived > 0 {
                progress = Instant::now();
                for number in received..received + arrived as u64 {
                    // In order: the number-th that arrives is the number-th that was sent, as long as none is lost.
                    if let Some(sent) = sent_at.get(number as usize) {
                        histogram.saturating_record((progress - *sent).as_nanos() as u64);
                    }
                }
                received += arrived as u64;
            }
            let exhausted = now >= end || traffic.frame(sent as usize).is_none();
            if exhausted && finished.is_none() {
                finished = Some((now, received, busy()));
            }
            let idle = now.saturating_duration_since(progress) > LOST;
            if exhausted && (received + lost >= sent || idle) {
                break;
            }
            if !exhausted && idle && pace == Pace::Full {
                // The whole window was lost: open it anew.
                lost = sent - received;
                progress = now;
            }
        }
        let (at, received_then, busy_then) = finished.unwrap_or((Instant::now(), received, busy()));
        let seconds = (at - began).as_secs_f64();
        let whole = pace != Pace::Full && received == sent && sent > 0;
        Measured {
            received: received_then,
            seconds,
            busy_nanoseconds: busy_then.saturating_sub(busy_before),
            latency: whole.then(|| (received as f64 / seconds, histogram)),
        }
    }

    fn send(&mut self, traffic: &Traffic, first: usize, wanted: usize) -> usize {
        let (_, tx) = self.source.split();
        let reserved = tx.reserve(wanted);
        let mut lengths = [0; BATCH];
        let mut count = 0;
        for ((to, length), number) in tx.frames().take(reserved).zip(&mut lengths).zip(first..) {
            let Some(frame) = traffic.frame(number) else { break };
            to[..frame.len()].copy_from_slice(frame);
            *length = frame.len() as u16;
            count += 1;
        }
        tx.commit(&lengths[..reserved]);
        if count > 0 {
            tx.flush();
        }
        count
    }

    fn drain(&mut self) -> usize {
        let (rx, _) = self.sink.split();
        let count = rx.receive(BATCH);
        if count > 0 {
            rx.release();
        }
        count
    }
}
