//! What workers read, as one immutable [`Snapshot`], and its publication.
//!
//! Control builds a snapshot and hands it to a [`Publisher`]; every worker holds a [`Reader`] and loads it once per
//! batch. Indices are dense: a lookup yields a number, never a pointer that is counted.
#![deny(unsafe_code)]

mod group;
mod neighbour;
mod publication;
mod route;
mod selector;
mod slot;
mod slot_table;
mod snapshot;
mod trie;

pub use aead::prefetch;
pub use group::TunnelGroup;
pub use neighbour::{Attachment, NextHop, Unresolved};
pub use publication::{Publisher, Reader, publication};
pub use route::{Route, RouteTable};
pub use selector::{Selectors, TrafficSelector};
pub use slot::{SaSlot, SlotPool};
pub use slot_table::SlotTable;
pub use snapshot::{Inbound, Outbound, PortRole, Snapshot};

/// A number that stands for one object of its kind, dense from zero.
macro_rules! index {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in its table.
            #[must_use]
            pub fn position(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

index! {
    /// A border gateway: one tenant, one route table.
    GatewayIndex;
    /// A VPC attachment.
    AttachmentIndex;
    /// A VPN tunnel.
    TunnelIndex;
    /// A route of a border gateway: where it leads, for all prefixes that lead there.
    RouteIndex;
    /// A port of every worker: the same interface has the same number in each.
    PortIndex;
}
