//! The two ways of traffic.

/// Where packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the cloud.
    ToCustomer,
    /// From the customer.
    ToCloud,
}

impl Direction {
    /// Both, in the order in which what has one for each has them.
    pub const ALL: [Self; 2] = [Self::ToCustomer, Self::ToCloud];

    /// Its place among [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::ToCustomer => 0,
            Self::ToCloud => 1,
        }
    }

    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToCustomer => "to_customer",
            Self::ToCloud => "to_cloud",
        }
    }
}
