//! From a `[[static_route]]` table to a draft of the route.

use toml::de::{DeTable, DeValue};

use super::close;
use crate::draft::RouteDraft;
use crate::index::{AttachmentIndex, ConnectionIndex, GatewayIndex};
use crate::names::Names;
use crate::prefix::Prefix;
use crate::report::{At, Complaint, Report, quoted};
use crate::resource::RouteTarget;
use crate::scalar;
use crate::section::{Found, Section};

pub(super) fn route<'i>(
    report: &Report<'i>,
    place: usize,
    At { value: table, offset }: At<DeTable<'i>>,
    gateways: &Names,
    connections: &Names,
    attachments: &Names,
) -> RouteDraft {
    let label = match table.get("destination").and_then(|destination| destination.get_ref().as_str()) {
        Some(destination) => format!("static_route {}", quoted(destination)),
        None => format!("static_route #{}", place + 1),
    };
    let mut section = Section::new(report, label, offset, table);
    let gateway = gateways.reference(&mut section).map(|at| at.map(GatewayIndex::from_position));
    let destination = section.required("destination", "a prefix, such as 10.2.0.0/16", scalar::text::<Prefix>);
    let connection = |place| RouteTarget::Connection(ConnectionIndex::from_position(place));
    let attachment = |place| RouteTarget::Attachment(AttachmentIndex::from_position(place));
    let fields = [
        ("vpn_connection", connections.field(&mut section).map(connection)),
        ("vpc_attachment", attachments.field(&mut section).map(attachment)),
        ("blackhole", section.field("blackhole", mark).map(|()| RouteTarget::Blackhole)),
        ("reject", section.field("reject", mark).map(|()| RouteTarget::Reject)),
    ];
    let target = one_of(&fields, &section);
    RouteDraft { head: close(section), gateway, destination, target }
}

/// The target that one of the fields gives; none of them and two of them are mistakes.
fn one_of(fields: &[(&str, Found<RouteTarget>)], section: &Section<'_, '_>) -> Option<At<RouteTarget>> {
    let keys: Vec<&str> = fields.iter().map(|(key, _)| *key).collect();
    let allowed = format!("one of {}", keys.join(", "));
    let mut given = fields.iter().filter(|(_, found)| !matches!(found, Found::Absent));
    let Some(&(first, target)) = given.next() else {
        section.missing(keys[0], &allowed);
        return None;
    };
    for (key, found) in given {
        if let Some(At { offset, .. }) = found.good() {
            section.error(key, offset, Complaint::new(format!("is given beside {first}")).allowed(allowed.as_str()));
        }
    }
    target.good()
}

/// A field whose presence says everything.
fn mark(value: &DeValue<'_>) -> Result<(), Complaint> {
    if scalar::boolean(value)? {
        return Ok(());
    }
    Err(Complaint::new("leads nowhere").allowed("true, or no such line").value("false".to_owned()))
}
