//! Dense indices: the place of an object among its kind, in file order.

use std::fmt;

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The index as a slice position.
            #[must_use]
            pub fn position(self) -> usize {
                self.0 as usize
            }

            // A file of four thousand million objects does not fit the memory of its reader.
            pub(crate) fn from_position(position: usize) -> Self {
                Self(u32::try_from(position).unwrap_or(u32::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

index! {
    /// A border gateway's place in the file; the same number names its route table.
    GatewayIndex,
    /// A VPC attachment's place in the file.
    AttachmentIndex,
    /// A customer gateway's place in the file.
    CustomerIndex,
    /// A VPN connection's place in the file.
    ConnectionIndex,
    /// A VPN tunnel's place in the file.
    TunnelIndex,
    /// A static route's place in the file.
    RouteIndex,
    /// A VPC router's place in the file.
    RouterIndex,
    /// A route filter's place in the file.
    FilterIndex,
    /// A monitoring station's place in the file.
    StationIndex,
}
