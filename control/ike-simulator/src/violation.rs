//! What must not happen.

use std::time::Duration;

use ike::TunnelId;
use thiserror::Error;

/// A rule that a run broke. Nodes are numbered; a node's tunnel has its peer's number.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    /// [`ike::SpiAllocator::release`] was called for an SPI that is not taken, or that is installed.
    #[error("node {node} gave back SPI {spi:#x} of {tunnel}, which was not reserved")]
    FalseRelease {
        /// Where.
        node: usize,
        /// Which tunnel.
        tunnel: TunnelId,
        /// Which SPI.
        spi: u32,
    },
    /// An action about a child contradicts what is installed.
    #[error("node {node} was told to {what} child {spi:#x} of {tunnel}, which makes no sense")]
    Nonsense {
        /// Where.
        node: usize,
        /// Which tunnel.
        tunnel: TunnelId,
        /// Which child, by its inbound SPI.
        spi: u32,
        /// What was to be done with it.
        what: &'static str,
    },
    /// Both ends have the child and disagree about its keys, algorithms or selectors.
    #[error("nodes {node} and {peer} have child {spi:#x} with different {what}")]
    ChildrenDiffer {
        /// One end.
        node: usize,
        /// The other end.
        peer: usize,
        /// The child, by the first end's inbound SPI.
        spi: u32,
        /// What differs.
        what: &'static str,
    },
    /// One end keeps a child that the other one does not have, for longer than [`crate::Plan::horizon`].
    #[error("node {node} has had child {spi:#x} for {age:?} which node {peer} has not")]
    Disagreement {
        /// The end that has it.
        node: usize,
        /// The end that does not.
        peer: usize,
        /// The child, by its inbound SPI.
        spi: u32,
        /// For how long.
        age: Duration,
    },
    /// In a run without faults, a packet came in for an SPI that is not installed.
    #[error("a packet from node {node} was lost: node {peer} has no SPI {spi:#x}")]
    PacketLost {
        /// The sender.
        node: usize,
        /// The receiver.
        peer: usize,
        /// The packet's SPI.
        spi: u32,
    },
    /// In a run without faults, there was no child to send with.
    #[error("node {node} had a packet for node {peer} and no child to send it with")]
    PacketUnsent {
        /// The sender.
        node: usize,
        /// The receiver.
        peer: usize,
    },
    /// A tunnel that nobody disturbs went down.
    #[error("node {node}'s tunnel to node {peer} went down though nothing disturbed it: {reason}")]
    Fell {
        /// Where.
        node: usize,
        /// To whom.
        peer: usize,
        /// The reason's code.
        reason: &'static str,
    },
    /// The tunnel was not up within [`crate::Plan::recovery`] after the last fault.
    #[error("nodes {node} and {peer} were not joined within {within:?} after the last fault: {states}")]
    NotRecovered {
        /// One end.
        node: usize,
        /// The other end.
        peer: usize,
        /// The bound.
        within: Duration,
        /// Both ends' states and reasons.
        states: String,
    },
    /// Long after the last fault, something is left over or missing.
    #[error("long after the last fault it is not as configured: {0}")]
    NotSettled(String),
    /// Everything was removed, and something is still there.
    #[error("node {node} has removed its tunnels and still has {what}")]
    Leak {
        /// Where.
        node: usize,
        /// What.
        what: String,
    },
    /// There are more of something than there may ever be.
    #[error("node {node} has {count} {what}, {limit} is the most there may be")]
    Unbounded {
        /// Where.
        node: usize,
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// After [`ike::Endpoint::handle_timeout`] the next timeout is not in the future.
    #[error("node {node} wants to be called again at a time that has come")]
    StuckDeadline {
        /// Where.
        node: usize,
    },
}
