//! The rules about monitoring stations.

use std::collections::BTreeMap;

use crate::draft::{Draft, StationDraft};
use crate::report::{Complaint, Report};

/// Reports every broken rule.
pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    for station in &draft.stations {
        one_family(report, station);
    }
    one_connection_each(draft, report);
}

fn one_family(report: &Report<'_>, station: &StationDraft) {
    if let (Some(address), Some(local)) = (station.address, station.local_address.good())
        && address.value.is_ipv4() != local.value.is_ipv4()
    {
        let complaint = Complaint::new(format!("is of another family than address {}", address.value));
        let complaint = complaint.allowed("both IPv4 or both IPv6").quoting(&local.value.to_string());
        report.error(&station.head.label, "local_address", local.offset, complaint);
    }
}

/// A station that is told everything twice counts everything twice (RFC 7854 §4.5: such a connection is redundant).
fn one_connection_each(draft: &Draft, report: &Report<'_>) {
    let mut known = BTreeMap::new();
    for station in &draft.stations {
        let (Some(gateway), Some(address), Some(port)) = (station.gateway, station.address, station.port) else {
            continue;
        };
        let Some(first) = known.get(&(gateway.value, address.value, port.value)) else {
            known.insert((gateway.value, address.value, port.value), &station.head.label);
            continue;
        };
        let owner = &draft.gateways[gateway.value.position()].head.label;
        let complaint =
            Complaint::new(format!("is already told of {owner} as {first}, at port {}", port.value.number()));
        let complaint = complaint.allowed("one bmp_station for a border_gateway, an address and a port");
        report.error(&station.head.label, "address", address.offset, complaint.quoting(&address.value.to_string()));
    }
}
