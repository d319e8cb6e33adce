//! From a `[[bmp_station]]` to a draft of it.

use std::net::IpAddr;

use toml::de::DeValue;

use super::{close, name};
use crate::draft::StationDraft;
use crate::index::GatewayIndex;
use crate::interface_address::not_of_one_host;
use crate::names::Names;
use crate::report::Complaint;
use crate::resource::TcpPort;
use crate::scalar;
use crate::section::Section;

pub(super) fn station(mut section: Section<'_, '_>, gateways: &Names) -> StationDraft {
    let name = name(&mut section);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let address = section.required("address", "the station's address", address);
    let port = section.required("port", "1 to 65535", scalar::number(TcpPort::from_number));
    let local_address = section.field("local_address", self::address);
    StationDraft { head: close(section), name, gateway, address, port, local_address }
}

/// An address of one host, which may be this one.
fn address(value: &DeValue<'_>) -> Result<IpAddr, Complaint> {
    let address = scalar::any_address(value)?;
    let problem = match address {
        // Which link is meant an address does not say.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("is a link-local address"),
        _ => not_of_one_host(address).filter(|_| !address.is_loopback()),
    };
    match problem {
        None => Ok(address),
        Some(problem) => {
            Err(Complaint::new(problem).allowed("the address of one host").quoting(scalar::string(value)?))
        }
    }
}
