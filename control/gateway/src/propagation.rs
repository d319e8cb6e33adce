//! How the network behind a VPC attachment learns the ways to customers.

use std::net::IpAddr;

use crate::kernel_name::NamespaceName;

/// Kernel routes to what lies behind a border gateway's tunnels, in the table of a router of the VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagation {
    /// The network namespace of that router; `None`: the one the gateway runs in.
    pub namespace: Option<NamespaceName>,
    /// The routing table: 254 is the main one.
    pub table: u32,
    /// What packets are sent to: addresses of ours on the attachment's link, at most one of each family. Prefixes of a family
    /// without one are not propagated.
    pub via: Vec<IpAddr>,
}
