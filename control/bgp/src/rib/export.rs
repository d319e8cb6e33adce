//! What peers are told of what was chosen.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rustbgpd_wire::{PathAttribute, Prefix};

use crate::attributes::{
    AttributeId, AttributeTable, Attributes, DEFAULT_LOCAL_PREF, LLGR_STALE, NO_ADVERTISE, NO_EXPORT,
    NO_EXPORT_SUBCONFED,
};
use crate::family::Family;
use crate::negotiated::Negotiated;
use crate::policy::Filter;
use crate::rib::SourceId;
use crate::rib::config::{Drain, NextHops, PeerConfig};
use crate::rib::table::Choice;

/// What one peer is told of one family, while messages are made for it: prefixes that were chosen with the same attributes are
/// told with the same ones, unless the export filter looks at prefixes.
pub(crate) struct Exporter<'a> {
    id: SourceId,
    config: &'a PeerConfig,
    negotiated: &'a Negotiated,
    by_prefix: bool,
    /// By what was chosen; a user of each.
    known: HashMap<(SourceId, AttributeId), Option<AttributeId>, FixedState>,
}

impl<'a> Exporter<'a> {
    pub(crate) fn new(id: SourceId, config: &'a PeerConfig, negotiated: &'a Negotiated, seed: u64) -> Self {
        let by_prefix = config.export.as_ref().is_some_and(Filter::looks_at_prefixes);
        let known = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { id, config, negotiated, by_prefix, known }
    }

    /// What the peer is told of a prefix: one more user of the attributes, or nothing. `from_internal` says that the route comes
    /// from a peer of our AS.
    pub(crate) fn export(
        &mut self,
        prefix: Prefix,
        choice: Choice,
        from_internal: bool,
        table: &mut AttributeTable,
    ) -> Option<AttributeId> {
        let chosen = (choice.source, choice.attributes);
        if let Some(known) = self.known.get(&chosen) {
            known.iter().for_each(|id| table.hold(*id));
            return *known;
        }
        let told = export(self.id, self.config, self.negotiated, from_internal, prefix, choice, table);
        if !self.by_prefix {
            told.iter().for_each(|id| table.hold(*id));
            self.known.insert(chosen, told);
        }
        told
    }

    /// Gives back its users.
    pub(crate) fn finish(self, table: &mut AttributeTable) {
        self.known.into_values().flatten().for_each(|id| table.release(id));
    }
}

fn export(
    id: SourceId,
    config: &PeerConfig,
    negotiated: &Negotiated,
    from_internal: bool,
    prefix: Prefix,
    choice: Choice,
    table: &mut AttributeTable,
) -> Option<AttributeId> {
    // Never back to where it came from.
    if choice.source == id {
        return None;
    }
    let internal = config.is_internal();
    // RFC 4271 §9.2: one of our AS is told nothing that another one of our AS has said.
    if internal && from_internal {
        return None;
    }
    let attributes = table.get(choice.attributes)?;
    let communities = attributes.communities();
    if communities.contains(&NO_ADVERTISE)
        || (!internal && (communities.contains(&NO_EXPORT) || communities.contains(&NO_EXPORT_SUBCONFED)))
    {
        return None;
    }
    // RFC 9494 §4.6: a last resort is told to those only who know what that is.
    let knows = negotiated.restart.as_ref().is_some_and(|restart| !restart.long_lived.is_empty());
    if communities.contains(&LLGR_STALE) && !knows {
        return None;
    }
    let mut outgoing = attributes.clone();
    if !internal {
        // RFC 4271 §5.1.4, §5.1.5, RFC 4456 §8, RFC 4360 §6: what is not for another AS.
        outgoing.set_med(None);
        outgoing.set_local_pref(None);
        outgoing
            .retain(|attribute| !matches!(attribute, PathAttribute::OriginatorId(_) | PathAttribute::ClusterList(_)));
        keep_transitive(&mut outgoing);
    }
    let filter = match &config.export {
        Some(filter) => filter,
        None if internal => &Filter::ALL,
        None => return None,
    };
    let mut outgoing = filter.apply(&prefix, &outgoing).ok()?.into_owned();
    let drain = config.drain.unwrap_or(Drain { med: None, prepend: 0 });
    if drain.med.is_some() {
        outgoing.set_med(drain.med);
    }
    if internal {
        if outgoing.local_pref().is_none() {
            outgoing.set_local_pref(Some(DEFAULT_LOCAL_PREF));
        }
        outgoing.prepend(config.local_as, usize::from(drain.prepend));
    } else {
        if config.override_as {
            outgoing.replace_as(config.remote_as, config.local_as);
        }
        outgoing.prepend(config.local_as, 1 + usize::from(drain.prepend));
    }
    outgoing.set_next_hop(next_hop(Family::of(&prefix), config.next_hop, negotiated)?);
    Some(table.intern(outgoing))
}

/// Our address, of the prefix's family, or for IPv4 of the other where both have agreed on it (RFC 8950).
fn next_hop(family: Family, ours: NextHops, negotiated: &Negotiated) -> Option<IpAddr> {
    match (family, ours) {
        (Family::Ipv4, NextHops { ipv4: Some(address), .. }) => Some(address.into()),
        (Family::Ipv4, NextHops { ipv6: Some(address), .. }) if negotiated.extended_next_hop => Some(address.into()),
        (Family::Ipv6, NextHops { ipv6: Some(address), .. }) => Some(address.into()),
        (Family::Ipv4 | Family::Ipv6, _) => None,
    }
}

/// Leaves only those extended communities that go from AS to AS.
fn keep_transitive(attributes: &mut Attributes) {
    let left = attributes.list().iter().find_map(|attribute| match attribute {
        PathAttribute::ExtendedCommunities(all) | PathAttribute::ExtendedCommunitiesPartial(all)
            if all.iter().any(|community| !community.is_transitive()) =>
        {
            Some(all.iter().copied().filter(|community| community.is_transitive()).collect::<Vec<_>>())
        }
        _ => None,
    });
    match left {
        None => {}
        Some(left) if left.is_empty() => attributes.retain(|attribute| {
            !matches!(attribute, PathAttribute::ExtendedCommunities(_) | PathAttribute::ExtendedCommunitiesPartial(_))
        }),
        Some(left) => attributes.set(PathAttribute::ExtendedCommunities(left)),
    }
}
