//! From a `[[route_filter]]` table to a filter.

use crate::bgp::PrependCount;
use crate::diagnostic::OutOfRange;
use crate::draft::FilterDraft;
use crate::report::{At, Complaint};
use crate::route_filter::{Community, FilterAction, FilterRule, FilterVerdict, LargeCommunity, PrefixRange};
use crate::scalar;
use crate::section::{Found, Section};

/// What names a policy that needs no filter.
const TAKEN: [&str; 3] = ["all", "own", "none"];

pub(super) fn route_filter(mut section: Section<'_, '_>) -> FilterDraft {
    let name = super::name(&mut section);
    if let Some(name) = name.as_ref().filter(|name| TAKEN.contains(&name.as_str())) {
        let complaint = Complaint::new("is a policy of its own").allowed("another name").quoting(name.as_str());
        section.error("name", section.offset, complaint);
    }
    let otherwise = section.defaulted("otherwise", FilterVerdict::Reject, scalar::word);
    let tables = match section.objects("rule") {
        Found::Absent => Some(Vec::new()),
        Found::Bad => None,
        Found::Good(tables) => Some(tables.value),
    };
    let rules = tables.and_then(|tables| {
        let rules = tables.into_iter().enumerate().map(|(place, At { value: table, offset })| {
            let label = format!("{} rule #{}", section.object, place + 1);
            rule(Section::new(section.report, label, offset, table))
        });
        // All of them, so that all that is wrong is said.
        rules.collect::<Vec<_>>().into_iter().collect()
    });
    super::close(section);
    FilterDraft { name, rules, otherwise }
}

fn rule(mut section: Section<'_, '_>) -> Option<FilterRule> {
    let prefixes = section.defaulted_list("prefixes", Vec::new(), scalar::text::<PrefixRange>);
    let path_contains = section.field("as_path_contains", scalar::asn);
    let path_begins = section.field("as_path_begins", scalar::asn);
    let path_ends = section.field("as_path_ends", scalar::asn);
    let length = scalar::number(|number| OutOfRange::check::<u8>(number, 0, u8::MAX));
    let path_longer_than = section.field("as_path_longer_than", length);
    let community = section.field("community", scalar::text::<Community>);
    let large_community = section.field("large_community", scalar::text::<LargeCommunity>);
    let set_local_pref = section.field("set_local_pref", scalar::any_number);
    let set_med = section.field("set_med", scalar::any_number);
    let prepend = section.field("prepend", scalar::number(PrependCount::from_count));
    let add_community = section.field("add_community", scalar::text::<Community>);
    let remove_community = section.field("remove_community", scalar::text::<Community>);
    let add_large_community = section.field("add_large_community", scalar::text::<LargeCommunity>);
    let remove_large_community = section.field("remove_large_community", scalar::text::<LargeCommunity>);
    let action = section.defaulted("action", FilterAction::Accept, scalar::word);
    section.finish();
    Some(FilterRule {
        prefixes: prefixes?,
        path_contains: path_contains.optional()?,
        path_begins: path_begins.optional()?,
        path_ends: path_ends.optional()?,
        path_longer_than: path_longer_than.optional()?,
        community: community.optional()?,
        large_community: large_community.optional()?,
        set_local_pref: set_local_pref.optional()?,
        set_med: set_med.optional()?,
        prepend: prepend.optional()?,
        add_community: add_community.optional()?,
        remove_community: remove_community.optional()?,
        add_large_community: add_large_community.optional()?,
        remove_large_community: remove_large_community.optional()?,
        action: action?,
    })
}
