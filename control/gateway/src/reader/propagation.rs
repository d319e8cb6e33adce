//! From the `propagation` table of a `[[vpc_attachment]]` to what it says.

use crate::diagnostic::OutOfRange;
use crate::kernel_name::NamespaceName;
use crate::propagation::Propagation;
use crate::report::{At, Complaint};
use crate::scalar;
use crate::section::{Found, Section};

/// The kernel's main routing table.
const MAIN: u32 = 254;

pub(super) fn propagation(mut section: Section<'_, '_>) -> Found<Propagation> {
    if section.is_empty() {
        return Found::Absent;
    }
    let offset = section.offset;
    let namespace = section.field("namespace", scalar::text::<NamespaceName>);
    let table = scalar::number(|number| OutOfRange::check::<u32>(number, 1, u32::MAX));
    let table = section.defaulted("table", MAIN, table);
    let via = section.required_list("via", "our addresses on the attachment's link", scalar::address);
    if let Some(via) = &via {
        for (place, address) in via.value.iter().enumerate() {
            if via.value.iter().take(place).any(|other| other.value.is_ipv4() == address.value.is_ipv4()) {
                let complaint = Complaint::new("is a second address of its family").allowed("one of each family");
                section.error("via", address.offset, complaint.quoting(&address.value.to_string()));
            }
        }
    }
    section.finish();
    let read = || {
        let via = via?.value.into_iter().map(|address| address.value).collect();
        Some(Propagation { namespace: namespace.optional()?, table: table?, via })
    };
    read().map_or(Found::Bad, |value| Found::Good(At { value, offset }))
}
