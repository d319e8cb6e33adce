//! The stages of a batch, and who measures them.

/// What a worker does to a batch, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Taking frames from a port.
    Receive,
    /// Headers, route or index, association, selectors: everything up to where a packet's way is known.
    Classify,
    /// Sequence numbers, and headers in front of what is sealed; or the replay check of what is opened.
    Prepare,
    /// AEAD or cipher and integrity.
    Protect,
    /// Of what was opened: replay commit, inner headers, selectors, route, link header.
    Deliver,
    /// Handing frames over, and giving received ones back.
    Transmit,
}

impl Stage {
    /// All stages, each at the position of its number.
    pub const ALL: [Stage; 6] =
        [Self::Receive, Self::Classify, Self::Prepare, Self::Protect, Self::Deliver, Self::Transmit];

    /// The name in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Classify => "classify",
            Self::Prepare => "prepare",
            Self::Protect => "protect",
            Self::Deliver => "deliver",
            Self::Transmit => "transmit",
        }
    }
}

/// Told when a stage of a batch has ended: a bench's clock. What a worker usually runs with is [`Unwatched`], which costs
/// nothing.
pub trait Stopwatch {
    /// The stage has ended; the next one begins.
    fn ended(&mut self, stage: Stage);
}

/// Nobody looks.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Stopwatch for Unwatched {
    #[inline(always)]
    fn ended(&mut self, _: Stage) {}
}
