//! What workers read, as one immutable [`Snapshot`], and its publication.
//!
//! Control builds a snapshot and hands it to a [`Publisher`]; every worker holds a [`Reader`] and loads it once per
//! batch. Indices are dense: a lookup yields a number, never a pointer that is counted.
#![deny(unsafe_code)]

mod capture;
mod group;
mod neighbour;
mod port_role;
mod prefix_set;
mod publication;
mod rate_limit;
mod route;
mod selector;
mod slot;
mod slot_table;
mod snapshot;
mod trie;

pub use capture::{Admitted, Capture, Direction, Record, Side, Wanted};
pub use group::TunnelGroup;
pub use neighbour::{Attachment, NextHop, Seen, Unresolved};
pub use port_role::{PortRole, Vlans};
pub use prefix_set::PrefixSet;
pub use publication::{Publisher, Reader, publication};
pub use rate_limit::{RateLimit, TunnelLimits};
pub use route::{Route, RouteEntry, RouteTable};
pub use selector::{Selectors, TrafficSelector};
pub use slot::{SaSlot, SlotPool};
pub use slot_table::SlotTable;
pub use snapshot::{Gateway, Inbound, Outbound, Snapshot, Traffic};

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
