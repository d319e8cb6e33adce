//! The routes of one family: for each prefix all paths there are, and which of them are best.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Place;
use rustbgpd_wire::{Ipv4Prefix, Ipv6Prefix, Prefix};

use crate::attributes::{AttributeId, AttributeTable};
use crate::rib::SourceId;
use crate::rib::decision::{Standing, best};
use crate::rib::import::Refusal;

/// A prefix of one family, as small as it can be.
pub(crate) trait Key: Copy + Debug + Eq + Hash + Ord {
    fn prefix(self) -> Prefix;
    /// `None` if the prefix is of the other family.
    fn of(prefix: &Prefix) -> Option<Self>;
}

/// Address and length of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key4(u64);

/// Address and length of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key6(u64, u64, u8);

impl Key for Key4 {
    fn prefix(self) -> Prefix {
        let [.., a, b, c, d, length] = self.0.to_be_bytes();
        Prefix::V4(Ipv4Prefix { addr: Ipv4Addr::new(a, b, c, d), len: length })
    }

    fn of(prefix: &Prefix) -> Option<Self> {
        match prefix {
            Prefix::V4(prefix) => Some(Self(u64::from(u32::from(prefix.addr)) << 8 | u64::from(prefix.len))),
            Prefix::V6(_) => None,
        }
    }
}

impl Key for Key6 {
    fn prefix(self) -> Prefix {
        let address = u128::from(self.0) << 64 | u128::from(self.1);
        Prefix::V6(Ipv6Prefix { addr: Ipv6Addr::from(address), len: self.2 })
    }

    fn of(prefix: &Prefix) -> Option<Self> {
        match prefix {
            Prefix::V4(_) => None,
            Prefix::V6(prefix) => {
                let address = u128::from(prefix.addr);
                Some(Self((address >> 64) as u64, address as u64, prefix.len))
            }
        }
    }
}

/// One source's route to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) source: SourceId,
    /// Its source is gone, or sends all its routes again: it goes unless it comes again.
    pub(crate) stale: bool,
    /// As it came.
    pub(crate) received: AttributeId,
    /// As it was taken, or why it was not.
    pub(crate) accepted: Result<AttributeId, Refusal>,
}

/// A set of sources that share the traffic of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectionId(pub u32);

/// What was chosen for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) selection: SelectionId,
    /// What is told to others.
    pub(crate) source: SourceId,
    pub(crate) attributes: AttributeId,
}

#[derive(Debug)]
struct Entry {
    paths: Paths,
    choice: Option<Choice>,
}

/// Most prefixes have one path.
#[derive(Debug)]
enum Paths {
    One(Path),
    Several(Vec<Path>),
}

impl Paths {
    fn as_slice(&self) -> &[Path] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }

    fn of(&mut self, source: SourceId) -> Option<&mut Path> {
        match self {
            Self::One(path) => Some(path).filter(|path| path.source == source),
            Self::Several(paths) => paths.iter_mut().find(|path| path.source == source),
        }
    }

    fn push(&mut self, path: Path) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, path]),
            Self::Several(paths) => paths.push(path),
        }
    }
}

/// The sets of sources there are: as many as there are ways in which sources share a prefix, and so few that none is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    sets: Vec<Box<[SourceId]>>,
    by_sources: std::collections::HashMap<Box<[SourceId]>, SelectionId, FixedState>,
}

impl Selections {
    fn intern(&mut self, sources: &[SourceId]) -> SelectionId {
        if let Some(known) = self.by_sources.get(sources) {
            return *known;
        }
        let id = SelectionId(u32::try_from(self.sets.len()).expect("fewer sets than prefixes"));
        self.sets.push(sources.into());
        self.by_sources.insert(sources.into(), id);
        id
    }

    pub(crate) fn get(&self, id: SelectionId) -> &[SourceId] {
        self.sets.get(id.0 as usize).map(|sources| &**sources).unwrap_or_default()
    }
}

/// What a choice depends on beside the paths.
pub(crate) struct Surroundings<'a> {
    pub(crate) attributes: &'a mut AttributeTable,
    pub(crate) selections: &'a mut Selections,
    /// By source.
    pub(crate) standings: &'a [Standing],
}

/// What a change of a path has done to its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The traffic takes another way.
    pub(crate) moves: bool,
    /// Others are to be told something else.
    pub(crate) tells: bool,
    /// Whose word that is; `None` if there is none any more.
    pub(crate) source: Option<SourceId>,
    /// There is a path of this source where there was none.
    pub(crate) added: bool,
}

/// All routes of one family.
#[derive(Debug)]
pub(crate) struct Table<K> {
    entries: HashMap<K, Entry, FixedState>,
}

impl<K: Key> Table<K> {
    /// An empty table. Whoever does not know the seed cannot make prefixes that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self { entries: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    /// Puts a path in the place of its source's. The table is one user of the path's attributes from then on.
    pub(crate) fn put(&mut self, key: K, path: Path, around: &mut Surroundings<'_>) -> Effect {
        let (entry, added) = match self.entries.entry(key) {
            Place::Vacant(place) => (place.insert(Entry { paths: Paths::One(path), choice: None }), true),
            Place::Occupied(place) => {
                let entry = place.into_mut();
                let added = match entry.paths.of(path.source) {
                    Some(known) => {
                        let before = std::mem::replace(known, path);
                        release(&before, around.attributes);
                        false
                    }
                    None => {
                        entry.paths.push(path);
                        true
                    }
                };
                (entry, added)
            }
        };
        Effect { added, ..entry.choose(around) }
    }

    /// Removes a source's path. `None` if there is none.
    pub(crate) fn remove(&mut self, key: K, source: SourceId, around: &mut Surroundings<'_>) -> Option<Effect> {
        let Place::Occupied(mut place) = self.entries.entry(key) else { return None };
        let entry = place.get_mut();
        let removed = *entry.paths.of(source)?;
        release(&removed, around.attributes);
        match &mut entry.paths {
            Paths::One(_) => {
                let chosen = place.remove().choice.is_some();
                return Some(Effect { moves: chosen, tells: chosen, source: None, added: false });
            }
            Paths::Several(paths) => {
                paths.retain(|path| path.source != source);
                if let [only] = paths[..] {
                    entry.paths = Paths::One(only);
                }
            }
        }
        Some(entry.choose(around))
    }

    /// Marks all of a source's paths as stale.
    pub(crate) fn mark_stale(&mut self, source: SourceId) {
        for entry in self.entries.values_mut() {
            if let Some(path) = entry.paths.of(source) {
                path.stale = true;
            }
        }
    }

    /// The prefixes to which a source has a path for which something holds.
    pub(crate) fn keys_of(&self, source: SourceId, holds: impl Fn(&Path) -> bool) -> Vec<K> {
        let has = |paths: &Paths| paths.as_slice().iter().any(|path| path.source == source && holds(path));
        self.entries.iter().filter(|(_, entry)| has(&entry.paths)).map(|(key, _)| *key).collect()
    }

    /// All prefixes.
    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.entries.keys().copied()
    }

    /// The prefixes for which something was chosen.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = K> {
        self.entries.iter().filter(|(_, entry)| entry.choice.is_some()).map(|(key, _)| *key)
    }

    pub(crate) fn paths(&self, key: K) -> &[Path] {
        self.entries.get(&key).map(|entry| entry.paths.as_slice()).unwrap_or_default()
    }

    pub(crate) fn choice(&self, key: K) -> Option<Choice> {
        self.entries.get(&key)?.choice
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    fn choose(&mut self, around: &mut Surroundings<'_>) -> Effect {
        let before = self.choice;
        let merit = |path: &Path| {
            let accepted = path.accepted.ok()?;
            let standing = *around.standings.get(usize::from(path.source.0))?;
            Some(((path.source, accepted), standing, around.attributes.merit(accepted)?))
        };
        self.choice = match self.paths.as_slice() {
            // The most of them by far: nothing is to be compared.
            [only] => only.accepted.ok().map(|attributes| Choice {
                selection: around.selections.intern(&[only.source]),
                source: only.source,
                attributes,
            }),
            several => {
                let mut candidates: Vec<_> = several.iter().filter_map(merit).collect();
                best(&mut candidates);
                let mut sources: Vec<_> = candidates.iter().map(|((source, _), _, _)| *source).collect();
                sources.sort_unstable();
                candidates.first().map(|((source, attributes), _, _)| Choice {
                    selection: around.selections.intern(&sources),
                    source: *source,
                    attributes: *attributes,
                })
            }
        };
        let selection = |choice: Option<Choice>| choice.map(|choice| choice.selection);
        let told = |choice: Option<Choice>| choice.map(|choice| (choice.source, choice.attributes));
        Effect {
            moves: selection(before) != selection(self.choice),
            tells: told(before) != told(self.choice),
            source: self.choice.map(|choice| choice.source),
            added: false,
        }
    }
}

fn release(path: &Path, attributes: &mut AttributeTable) {
    attributes.release(path.received);
    if let Ok(accepted) = path.accepted {
        attributes.release(accepted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_prefixes_are_a_million_times_these() {
        assert_eq!((size_of::<Path>(), size_of::<(Key4, Entry)>(), size_of::<(Key6, Entry)>()), (16, 48, 64));
    }

    #[test]
    fn keys_are_prefixes() {
        for (address, length) in [([10, 1, 2, 0], 24), ([0; 4], 0), ([255; 4], 32)] {
            let prefix = Prefix::V4(Ipv4Prefix::new(address.into(), length));
            assert_eq!((Key4::of(&prefix).map(Key::prefix), Key6::of(&prefix)), (Some(prefix), None));
        }
        for (address, length) in [("2001:db8:1::", 48), ("::", 0), ("ffff::1", 128)] {
            let prefix = Prefix::V6(Ipv6Prefix::new(address.parse().unwrap(), length));
            assert_eq!((Key6::of(&prefix).map(Key::prefix), Key4::of(&prefix)), (Some(prefix), None));
        }
    }
}
