//! Path attributes, and a table in which each set of them stands once.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use rustbgpd_wire::{AsPath, AsPathSegment, LargeCommunity, Origin, PathAttribute};

/// What RFC 4271 §5 says of a route: its next hop, and all other attributes, by ascending type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    next_hop: IpAddr,
    link_local: Option<Ipv6Addr>,
    list: Vec<PathAttribute>,
}

/// NO_EXPORT: not beyond our AS (RFC 1997).
pub const NO_EXPORT: u32 = 0xffff_ff01;
/// NO_ADVERTISE: to nobody (RFC 1997).
pub const NO_ADVERTISE: u32 = 0xffff_ff02;
/// NO_EXPORT_SUBCONFED: not beyond our part of a confederation, of which there are none here (RFC 1997).
pub const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;
/// LLGR_STALE: kept beyond its restart time (RFC 9494).
pub const LLGR_STALE: u32 = 0xffff_0006;
/// NO_LLGR: not to be kept so (RFC 9494).
pub const NO_LLGR: u32 = 0xffff_0007;

const MED: u8 = 4;
const LOCAL_PREF: u8 = 5;

/// What a route without LOCAL_PREF is taken to have.
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

impl Attributes {
    /// What an announcement says.
    pub fn new(next_hop: IpAddr, link_local: Option<Ipv6Addr>, mut list: Vec<PathAttribute>) -> Self {
        list.sort_by_key(PathAttribute::type_code);
        Self { next_hop, link_local, list }
    }

    /// Of a route that begins here.
    pub fn originated(next_hop: IpAddr) -> Self {
        let path = AsPath { segments: Vec::new() };
        Self::new(next_hop, None, vec![PathAttribute::Origin(Origin::Igp), PathAttribute::AsPath(path)])
    }

    /// Puts an attribute in the place of that of its type.
    pub fn set(&mut self, attribute: PathAttribute) {
        match self.list.binary_search_by_key(&attribute.type_code(), PathAttribute::type_code) {
            Ok(place) => {
                if let Some(known) = self.list.get_mut(place) {
                    *known = attribute;
                }
            }
            Err(place) => self.list.insert(place, attribute),
        }
    }

    /// Sets the next hop; it has no link-local address then.
    pub fn set_next_hop(&mut self, next_hop: IpAddr) {
        (self.next_hop, self.link_local) = (next_hop, None);
    }

    /// Sets MULTI_EXIT_DISC, or removes it.
    pub fn set_med(&mut self, med: Option<u32>) {
        self.remove(MED);
        med.into_iter().for_each(|med| self.set(PathAttribute::Med(med)));
    }

    /// Sets LOCAL_PREF, or removes it.
    pub fn set_local_pref(&mut self, preference: Option<u32>) {
        self.remove(LOCAL_PREF);
        preference.into_iter().for_each(|preference| self.set(PathAttribute::LocalPref(preference)));
    }

    /// Puts an AS number in front of the path, so many times (RFC 4271 §5.1.2).
    pub fn prepend(&mut self, number: u32, times: usize) {
        let mut path = self.as_path().cloned().unwrap_or(AsPath { segments: Vec::new() });
        let mut left = times;
        while left > 0 {
            // A segment's length is one octet.
            match path.segments.first_mut() {
                Some(AsPathSegment::AsSequence(numbers)) if numbers.len() < 255 => {
                    let some = left.min(255 - numbers.len());
                    numbers.splice(0..0, std::iter::repeat_n(number, some));
                    left -= some;
                }
                _ => path.segments.insert(0, AsPathSegment::AsSequence(Vec::new())),
            }
        }
        self.set(PathAttribute::AsPath(path));
    }

    /// Puts one AS number in the place of another, wherever it stands in the path.
    pub fn replace_as(&mut self, of: u32, by: u32) {
        let Some(mut path) = self.as_path().filter(|path| path.contains_asn(of)).cloned() else { return };
        for segment in &mut path.segments {
            let (AsPathSegment::AsSequence(numbers) | AsPathSegment::AsSet(numbers)) = segment;
            numbers.iter_mut().filter(|number| **number == of).for_each(|number| *number = by);
        }
        self.set(PathAttribute::AsPath(path));
    }

    /// Adds a community, unless it is there (RFC 1997).
    pub fn add_community(&mut self, community: u32) {
        let mut communities = self.communities().to_vec();
        if !communities.contains(&community) {
            communities.push(community);
            self.set(PathAttribute::Communities(communities));
        }
    }

    /// Leaves only those communities that are to stay.
    pub fn retain_communities(&mut self, mut stays: impl FnMut(u32) -> bool) {
        let communities: Vec<_> = self.communities().iter().copied().filter(|community| stays(*community)).collect();
        if communities.len() == self.communities().len() {
            return;
        }
        if communities.is_empty() {
            self.list.retain(|a| !matches!(a, PathAttribute::Communities(_) | PathAttribute::CommunitiesPartial(_)));
        } else {
            self.set(PathAttribute::Communities(communities));
        }
    }

    /// Adds a large community, unless it is there (RFC 8092).
    pub fn add_large_community(&mut self, community: LargeCommunity) {
        let mut communities = self.large_communities().to_vec();
        if !communities.contains(&community) {
            communities.push(community);
            self.set(PathAttribute::LargeCommunities(communities));
        }
    }

    /// Leaves only those large communities that are to stay.
    pub fn retain_large_communities(&mut self, mut stays: impl FnMut(LargeCommunity) -> bool) {
        let communities: Vec<_> = self.large_communities().iter().copied().filter(|known| stays(*known)).collect();
        if communities.len() == self.large_communities().len() {
            return;
        }
        if communities.is_empty() {
            self.list.retain(|a| {
                !matches!(a, PathAttribute::LargeCommunities(_) | PathAttribute::LargeCommunitiesPartial(_))
            });
        } else {
            self.set(PathAttribute::LargeCommunities(communities));
        }
    }

    /// Leaves only those attributes that are to stay.
    pub(crate) fn retain(&mut self, stays: impl FnMut(&PathAttribute) -> bool) {
        self.list.retain(stays);
    }

    /// Where packets go.
    pub fn next_hop(&self) -> IpAddr {
        self.next_hop
    }

    /// Its link-local address.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.link_local
    }

    /// All but the next hop.
    pub fn list(&self) -> &[PathAttribute] {
        &self.list
    }

    /// ORIGIN.
    pub fn origin(&self) -> Origin {
        self.find(|a| if let PathAttribute::Origin(origin) = a { Some(*origin) } else { None })
            .unwrap_or(Origin::Incomplete)
    }

    /// AS_PATH.
    pub fn as_path(&self) -> Option<&AsPath> {
        self.find(|a| if let PathAttribute::AsPath(path) = a { Some(path) } else { None })
    }

    /// MULTI_EXIT_DISC.
    pub fn med(&self) -> Option<u32> {
        self.find(|a| if let PathAttribute::Med(med) = a { Some(*med) } else { None })
    }

    /// LOCAL_PREF.
    pub fn local_pref(&self) -> Option<u32> {
        self.find(|a| if let PathAttribute::LocalPref(preference) = a { Some(*preference) } else { None })
    }

    /// COMMUNITIES (RFC 1997).
    pub fn communities(&self) -> &[u32] {
        let found = self.find(|a| match a {
            PathAttribute::Communities(communities) | PathAttribute::CommunitiesPartial(communities) => {
                Some(communities)
            }
            _ => None,
        });
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// Large communities (RFC 8092).
    pub fn large_communities(&self) -> &[LargeCommunity] {
        let found = self.find(|a| match a {
            PathAttribute::LargeCommunities(communities) | PathAttribute::LargeCommunitiesPartial(communities) => {
                Some(communities)
            }
            _ => None,
        });
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// The AS numbers of the path, in order.
    pub fn as_numbers(&self) -> impl Iterator<Item = u32> {
        self.as_path().into_iter().flat_map(AsPath::asns)
    }

    fn find<'a, T: 'a>(&'a self, of: impl Fn(&'a PathAttribute) -> Option<T>) -> Option<T> {
        self.list.iter().find_map(of)
    }

    fn remove(&mut self, kind: u8) {
        self.list.retain(|attribute| attribute.type_code() != kind);
    }
}

/// What counts of attributes when routes are compared (RFC 4271 §9.1.2.2), read once for each set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Merit {
    pub(crate) local_pref: u32,
    pub(crate) path_length: u32,
    pub(crate) origin: Origin,
    pub(crate) med: u32,
    /// The AS that the route comes from, within which MULTI_EXIT_DISC means something; 0 if it begins here.
    pub(crate) neighbor_as: u32,
    /// RFC 9494 §4.3: the last resort.
    pub(crate) stale: bool,
}

impl Merit {
    fn of(attributes: &Attributes) -> Self {
        Self {
            local_pref: attributes.local_pref().unwrap_or(DEFAULT_LOCAL_PREF),
            path_length: attributes.as_path().map_or(0, |path| u32::try_from(path.len()).unwrap_or(u32::MAX)),
            origin: attributes.origin(),
            med: attributes.med().unwrap_or(0),
            neighbor_as: attributes.as_numbers().next().unwrap_or(0),
            stale: attributes.communities().contains(&LLGR_STALE),
        }
    }
}

/// A set of attributes in an [`AttributeTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AttributeId(NonZeroU32);

impl AttributeId {
    fn new(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("each set takes more bytes than there are addresses for 2^32 of them"))
    }

    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Sets of attributes, each once, with how many routes have it.
#[derive(Debug)]
pub(crate) struct AttributeTable {
    slots: Vec<Option<Slot>>,
    free: Vec<AttributeId>,
    by_content: HashTable<AttributeId>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Slot {
    attributes: Attributes,
    merit: Merit,
    hash: u64,
    users: u32,
}

impl AttributeTable {
    /// An empty table. Whoever does not know the seed cannot make sets that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_content: HashTable::new(), hasher: FixedState::with_seed(seed) }
    }

    /// Finds or adds a set, for one more user.
    pub(crate) fn intern(&mut self, attributes: Attributes) -> AttributeId {
        let hash = self.hasher.hash_one(&attributes);
        let slots = &self.slots;
        let same = |id: &AttributeId| slot(slots, *id).is_some_and(|slot| slot.attributes == attributes);
        if let Some(id) = self.by_content.find(hash, same).copied() {
            self.hold(id);
            return id;
        }
        let merit = Merit::of(&attributes);
        let added = Some(Slot { attributes, merit, hash, users: 1 });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.slots.get_mut(id.place()) {
                    *place = added;
                }
                id
            }
            None => {
                self.slots.push(added);
                AttributeId::new(self.slots.len() - 1)
            }
        };
        let slots = &self.slots;
        self.by_content.insert_unique(hash, id, |id| slot(slots, *id).map_or(0, |slot| slot.hash));
        id
    }

    /// One more user of a set.
    pub(crate) fn hold(&mut self, id: AttributeId) {
        if let Some(Some(slot)) = self.slots.get_mut(id.place()) {
            slot.users += 1;
        }
    }

    /// One user less; the last one's set is forgotten.
    pub(crate) fn release(&mut self, id: AttributeId) {
        let Some(place) = self.slots.get_mut(id.place()) else { return };
        let Some(slot) = place else { return };
        slot.users -= 1;
        if slot.users == 0 {
            let hash = slot.hash;
            *place = None;
            if let Ok(entry) = self.by_content.find_entry(hash, |known| *known == id) {
                entry.remove();
            }
            self.free.push(id);
        }
    }

    pub(crate) fn get(&self, id: AttributeId) -> Option<&Attributes> {
        slot(&self.slots, id).map(|slot| &slot.attributes)
    }

    pub(crate) fn merit(&self, id: AttributeId) -> Option<Merit> {
        slot(&self.slots, id).map(|slot| slot.merit)
    }

    /// How many sets there are.
    pub(crate) fn len(&self) -> usize {
        self.by_content.len()
    }
}

fn slot(slots: &[Option<Slot>], id: AttributeId) -> Option<&Slot> {
    slots.get(id.place())?.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(med: u32) -> Attributes {
        let mut attributes = Attributes::originated([169, 254, 9, 2].into());
        attributes.set_med(Some(med));
        attributes
    }

    #[test]
    fn a_set_stands_once_and_goes_with_its_last_user() {
        let mut table = AttributeTable::new(1);
        let (first, second) = (table.intern(route(1)), table.intern(route(2)));
        assert_ne!(first, second);
        assert_eq!((table.intern(route(1)), table.len()), (first, 2));
        table.hold(first);
        for _ in 0..2 {
            table.release(first);
            assert_eq!(table.get(first), Some(&route(1)));
        }
        table.release(first);
        assert_eq!((table.get(first), table.len()), (None, 1));
        // The place is taken again, and what stood there is not found any more.
        assert_eq!(table.intern(route(3)), first);
        assert_eq!((table.intern(route(1)) == first, table.get(first)), (false, Some(&route(3))));
        assert_eq!(table.merit(second).unwrap().med, 2);
    }

    #[test]
    fn prepending_fills_segments_of_255() {
        let mut attributes = route(0);
        attributes.prepend(65000, 254);
        attributes.prepend(65001, 3);
        let path = attributes.as_path().unwrap();
        let lengths: Vec<_> = path
            .segments
            .iter()
            .map(|(AsPathSegment::AsSequence(numbers) | AsPathSegment::AsSet(numbers))| numbers.len())
            .collect();
        assert_eq!((lengths, path.len()), (vec![2, 255], 257));
        assert_eq!(attributes.as_numbers().take(4).collect::<Vec<_>>(), [65001, 65001, 65001, 65000]);
        attributes.replace_as(65000, 65002);
        assert_eq!(attributes.as_numbers().filter(|number| *number == 65002).count(), 254);
    }

    #[test]
    fn attributes_are_the_same_in_whatever_order_they_came() {
        let list = [PathAttribute::Med(1), PathAttribute::Origin(Origin::Igp), PathAttribute::Communities(vec![7])];
        let hop = [169, 254, 9, 2].into();
        let forward = Attributes::new(hop, None, list.to_vec());
        let backward = Attributes::new(hop, None, list.into_iter().rev().collect());
        assert_eq!(forward, backward);
        let mut changed = forward.clone();
        changed.add_community(8);
        changed.add_community(8);
        assert_eq!(changed.communities(), [7, 8]);
        changed.retain_communities(|community| community == 7);
        assert_eq!(changed, forward);
        changed.retain_communities(|_| false);
        assert_eq!(changed.list().len(), 2);
    }
}
