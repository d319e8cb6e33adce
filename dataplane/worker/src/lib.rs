//! The poll loop of one core.
//!
//! A [`Worker`] owns one port per interface. It takes frames a batch at a time and moves the whole batch through each
//! stage: [`outbound`] from a VPC to a peer, [`inbound`] from a peer to a VPC. Every packet ends with one verdict:
//! transmitted, passed on to control, or dropped for one [`DropReason`]. Control holds the other end, a [`Handle`].
#![forbid(unsafe_code)]

mod capture;
mod counters;
mod drop_reason;
mod frame;
mod hand_over;
mod handle;
mod host;
mod host_queue;
mod inbound;
mod last;
mod latency;
mod mix;
mod outbound;
mod prefetch;
mod reassembly;
mod recent;
mod segment;
mod stage;
mod tally;
mod turn;
mod worker;

pub use counters::{Counters, HandedOver, SaCounters};
pub use drop_reason::DropReason;
pub use handle::{Handle, HostPacket, IkeDatagram, QueueFull};
pub use latency::LatencyCounts;
pub use stage::{Stage, Stopwatch, Unwatched};
pub use turn::{Notice, Origin};
pub use worker::{Options, Sleep, Worker, worker};
