//! The monitoring stations of one border gateway (RFC 7854).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gateway::{GatewayIndex, Resources};
use peering::{GatewayId, Peering, StationId, StationSetup};

/// What stations take us for: `sysDescr`.
const DESCRIPTION: &str = concat!("Bordergate ", env!("CARGO_PKG_VERSION"));

/// The stations that BGP's thread knows of a gateway, by name.
#[derive(Debug, Default)]
pub struct Stations {
    numbers: BTreeMap<String, StationId>,
    last: u32,
}

impl Stations {
    /// Has BGP's thread know those that the resources want.
    pub fn take_up(&mut self, gateway: GatewayId, index: GatewayIndex, resources: &Resources, peering: &Peering) {
        let wanted = || resources.stations().iter().filter(|station| station.gateway == index);
        self.numbers.retain(|name, number| {
            let stays = wanted().any(|station| station.name.as_str() == name);
            if !stays {
                peering.unwatch(gateway, *number);
            }
            stays
        });
        for station in wanted() {
            let number = *self.numbers.entry(station.name.as_str().to_owned()).or_insert_with(|| {
                self.last += 1;
                StationId(self.last)
            });
            let setup = StationSetup {
                address: SocketAddr::new(station.address, station.port.number()),
                local: station.local_address,
                name: resources.gateway(index).name.as_str().to_owned(),
                description: DESCRIPTION.to_owned(),
            };
            peering.watch(gateway, number, setup);
        }
    }

    /// What a station is called.
    pub fn name(&self, number: StationId) -> Option<&str> {
        self.numbers.iter().find(|(_, known)| **known == number).map(|(name, _)| name.as_str())
    }
}
