//! Where the feeder and the device under test are.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::namespace::{INTERFACE, Namespace};

/// The feeder's address, and the next hop of what it announces of IPv4.
pub const FEEDER: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 1);
/// The next hop of what it announces of IPv6.
pub const FEEDER_V6: Ipv6Addr = Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 1);
/// The address of the device under test.
pub const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 2);
/// Its address of IPv6.
pub const DEVICE_V6: Ipv6Addr = Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 2);

/// Gives both namespaces their addresses.
pub fn set_up([feeder, device]: [&Namespace; 2]) -> Result<()> {
    for (namespace, address, address_v6) in [(feeder, FEEDER, FEEDER_V6), (device, DEVICE, DEVICE_V6)] {
        namespace.ip(&["address", "add", &format!("{address}/24"), "dev", INTERFACE])?;
        namespace.ip(&["address", "add", &format!("{address_v6}/64"), "dev", INTERFACE, "nodad"])?;
    }
    Ok(())
}
