//! The routes of one border gateway: what each source says, what is chosen of it, and what each peer is told.
//!
//! One way: [`Rib::update`] and [`Rib::originate`] bring routes in; [`Rib::poll_change`] gives prefixes whose traffic takes another
//! way; [`Rib::messages`] gives what a peer is still to be told, as much of it as can be written.

mod config;
mod decision;
mod dump;
mod export;
mod import;
mod output;
mod table;

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use bytes::{Bytes, BytesMut};
use rustbgpd_wire::Prefix;

use crate::attributes::{AttributeId, AttributeTable, Attributes, LLGR_STALE, NO_LLGR};
use crate::family::{Families, Family};
use crate::negotiated::Negotiated;
use crate::policy::Filter;
use crate::update::Update;
use decision::Standing;
use export::Exporter;
use import::refusal;
use output::{Output, Writing};
use table::{Choice, Effect, Key, Key4, Key6, Path, Selections, Surroundings, Table};

pub use config::{Drain, Excess, NextHops, PeerConfig, PrefixLimit, Worth};
pub use decision::Step;
pub use dump::Dump;
pub(crate) use dump::retold;
pub use import::Refusal;
pub use table::SelectionId;

/// A peer, or a kind of route of our own. Small numbers: they are places in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

/// Something that whoever runs a peer ought to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A peer announces four fifths of the prefixes that it may, or more.
    PrefixWarning {
        /// Which.
        peer: SourceId,
        /// Of which family.
        family: Family,
        /// How many it may.
        most: u32,
    },
    /// A peer announces more prefixes than it may.
    PrefixLimit {
        /// Which.
        peer: SourceId,
        /// Of which family.
        family: Family,
        /// What it may, and what happens.
        limit: PrefixLimit,
    },
}

/// A prefix whose traffic takes another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub prefix: Prefix,
    /// The sources that share its traffic from now on: [`Rib::sources`] says which; `None` if there is no route any more.
    pub selection: Option<SelectionId>,
}

/// One route to a prefix, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose.
    pub source: SourceId,
    /// Kept although its source is gone.
    pub stale: bool,
    /// As it came.
    pub received: Attributes,
    /// As it was taken, or why it was not.
    pub accepted: Result<Attributes, Refusal>,
    /// Traffic takes it.
    pub chosen: bool,
    /// Why traffic does not take it although it was taken.
    pub lost_by: Option<Step>,
    /// It is the one that peers are told.
    pub told: bool,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RibCounters {
    /// Prefixes of IPv4 and IPv6.
    pub prefixes: [usize; 2],
    /// Sets of attributes that differ.
    pub attribute_sets: usize,
}

/// What a peer has announced in vain. The counters begin anew after 2^32 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedCounters {
    /// Announcements whose path has our AS number in it.
    pub looped: u32,
    /// Prefixes that were refused for any other reason.
    pub prefixes: u32,
}

#[derive(Debug)]
enum Source {
    /// Routes of our own.
    Own,
    Peer(Box<Peer>),
}

#[derive(Debug)]
struct Peer {
    config: PeerConfig,
    up: Option<Negotiated>,
    four: Output<Key4>,
    six: Output<Key6>,
    /// By family: prefixes announced, and whether it was said that these are many, or too many.
    announced: [u32; 2],
    warned: [bool; 2],
    exceeded: [bool; 2],
    refused: RefusedCounters,
}

/// All routes.
#[derive(Debug)]
pub struct Rib {
    attributes: AttributeTable,
    selections: Selections,
    /// By source, as are the standings.
    sources: Vec<Option<Source>>,
    standings: Vec<Standing>,
    four: Table<Key4>,
    six: Table<Key6>,
    changes: VecDeque<Prefix>,
    notices: VecDeque<Notice>,
    seed: u64,
}

impl Peer {
    /// Whether routes of a family are exchanged with it now: of others there is nothing to be told.
    fn speaks(&self, family: Family) -> bool {
        self.up.as_ref().is_some_and(|negotiated| negotiated.families.contains(family))
    }
}

impl Rib {
    /// Without routes. Whoever does not know the seed cannot make prefixes or attributes that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            attributes: AttributeTable::new(seed),
            selections: Selections::default(),
            sources: Vec::new(),
            standings: Vec::new(),
            four: Table::new(seed),
            six: Table::new(seed),
            changes: VecDeque::new(),
            notices: VecDeque::new(),
            seed,
        }
    }

    /// Adds a kind of route of our own.
    pub fn add_own(&mut self, id: SourceId, worth: Worth) {
        let standing = Standing { preference: worth.preference, distance: worth.distance, peer: None };
        self.add(id, Source::Own, standing);
    }

    /// Adds a peer; its session is down.
    pub fn add_peer(&mut self, id: SourceId, config: PeerConfig) {
        let Worth { preference, distance } = config.worth;
        let peer = Some((Ipv4Addr::UNSPECIFIED, config.address));
        let standing = Standing { preference, distance, peer };
        let peer = Peer {
            config,
            up: None,
            four: Output::new(self.seed),
            six: Output::new(self.seed),
            announced: [0; 2],
            warned: [false; 2],
            exceeded: [false; 2],
            refused: RefusedCounters::default(),
        };
        self.add(id, Source::Peer(Box::new(peer)), standing);
    }

    /// Forgets a source and all its routes.
    pub fn remove(&mut self, id: SourceId) {
        for family in Family::ALL {
            self.forget(id, family, |_| true);
        }
        if let Some(place) = self.sources.get_mut(usize::from(id.0))
            && let Some(Source::Peer(mut peer)) = place.take()
        {
            peer.four.clear(&mut self.attributes);
            peer.six.clear(&mut self.attributes);
        }
    }

    /// A route of our own begins, or changes.
    pub fn originate(&mut self, source: SourceId, prefix: Prefix, attributes: Attributes) {
        let received = self.attributes.intern(attributes);
        self.attributes.hold(received);
        let path = Path { source, stale: false, received, accepted: Ok(received) };
        self.put(prefix, path);
    }

    /// A route of our own ends.
    pub fn retract(&mut self, source: SourceId, prefix: &Prefix) {
        self.withdraw(source, prefix);
    }

    /// A peer's session is up: it is told everything, and what it announces is taken. Routes of the time before stay until it has
    /// announced all of its own, of those families that it still forwards (RFC 4724 §4.2).
    pub fn peer_up(&mut self, id: SourceId, negotiated: &Negotiated) {
        let forwarding = negotiated.restart.as_ref().map(|restart| restart.forwarding).unwrap_or_default();
        for family in Family::ALL.into_iter().filter(|family| !forwarding.contains(*family)) {
            self.forget(id, family, |_| true);
        }
        if let Some(standing) = self.standings.get_mut(usize::from(id.0))
            && let Some((identifier, _)) = &mut standing.peer
        {
            *identifier = negotiated.peer_identifier;
        }
        let Some(peer) = peer(&mut self.sources, id) else { return };
        peer.up = Some(negotiated.clone());
        (peer.warned, peer.exceeded) = ([false; 2], [false; 2]);
        for family in negotiated.families.iter() {
            match family {
                Family::Ipv4 => peer.four.begin(self.four.chosen(), family),
                Family::Ipv6 => peer.six.begin(self.six.chosen(), family),
            }
        }
    }

    /// A peer's session is down. Its routes go, but for those of the families that outlive it: these stay until
    /// [`Rib::drop_stale`], or until the peer has announced all of its own again.
    pub fn peer_down(&mut self, id: SourceId, retain: Families) {
        for family in Family::ALL {
            if retain.contains(family) {
                // RFC 4724 §4.2: what has not come again since the session before goes now.
                self.drop_stale(id, family);
                self.mark_stale(id, family);
            } else {
                self.forget(id, family, |_| true);
            }
        }
        let Some(peer) = peer(&mut self.sources, id) else { return };
        peer.up = None;
        peer.four.clear(&mut self.attributes);
        peer.six.clear(&mut self.attributes);
    }

    /// The time for which a peer's routes of a family outlive its session is over. Gives how many are gone.
    pub fn drop_stale(&mut self, id: SourceId, family: Family) -> usize {
        self.forget(id, family, |path| path.stale)
    }

    /// The same, but they are kept as a last resort (RFC 9494 §4.2), until [`Rib::drop_stale`].
    pub fn keep_as_last_resort(&mut self, id: SourceId, family: Family) {
        match family {
            Family::Ipv4 => self.degrade(id, |rib| rib.four.keys_of(id, |path| path.stale)),
            Family::Ipv6 => self.degrade(id, |rib| rib.six.keys_of(id, |path| path.stale)),
        }
    }

    /// A peer announces all its routes of a family again (RFC 7313 §4).
    pub fn refresh_begins(&mut self, id: SourceId, family: Family) {
        self.mark_stale(id, family);
    }

    /// It has announced them: what it did not is gone.
    pub fn refresh_ends(&mut self, id: SourceId, family: Family) {
        self.drop_stale(id, family);
    }

    /// A peer wants to be told all routes of a family again (RFC 2918). Gives what is to be sent before them.
    pub fn tell_again(&mut self, id: SourceId, family: Family) -> Option<Bytes> {
        let peer = peer(&mut self.sources, id).filter(|peer| peer.speaks(family))?;
        let enhanced = peer.up.as_ref()?.enhanced_route_refresh;
        match family {
            Family::Ipv4 => peer.four.begin_again(self.four.chosen(), family, enhanced, &mut self.attributes),
            Family::Ipv6 => peer.six.begin_again(self.six.chosen(), family, enhanced, &mut self.attributes),
        }
    }

    /// What a peer announces and withdraws.
    pub fn update(&mut self, id: SourceId, update: Update) {
        for prefix in &update.withdrawn {
            self.withdraw(id, prefix);
        }
        let mut announcements = update.announced.into_iter().peekable();
        let mut list = Some(update.attributes);
        while let Some(announcement) = announcements.next() {
            let list = if announcements.peek().is_some() { list.clone() } else { list.take() };
            let attributes = Attributes::new(announcement.next_hop, announcement.link_local, list.unwrap_or_default());
            self.announce(id, &announcement.prefixes, attributes);
        }
        if let Some(family) = update.end_of_rib {
            self.drop_stale(id, family);
        }
    }

    /// Another policy for a peer, another worth or limit. What it has announced is looked at anew, and it is told anew.
    pub fn reconfigure(&mut self, id: SourceId, config: PeerConfig) {
        let Some(known) = peer(&mut self.sources, id) else { return };
        let Worth { preference, distance } = config.worth;
        let limited = config.prefix_limit.filter(|limit| known.config.prefix_limit != Some(*limit));
        known.config = config;
        if let Some(limit) = limited {
            self.limit_anew(id, limit);
        }
        if let Some(standing) = self.standings.get_mut(usize::from(id.0)) {
            (standing.preference, standing.distance) = (preference, distance);
        }
        for prefix in self.prefixes_of(id) {
            self.import_anew(id, prefix);
        }
        let Some(known) = peer(&mut self.sources, id) else { return };
        if known.speaks(Family::Ipv4) {
            self.four.chosen().for_each(|key| known.four.change(key, false));
        }
        if known.speaks(Family::Ipv6) {
            self.six.chosen().for_each(|key| known.six.change(key, false));
        }
    }

    /// The next prefix whose traffic takes another way, and the way that it takes now. One that has changed several times is
    /// given several times.
    pub fn poll_change(&mut self) -> Option<Change> {
        let prefix = self.changes.pop_front()?;
        Some(Change { prefix, selection: self.choice(&prefix).map(|choice| choice.selection) })
    }

    /// All prefixes that traffic has a way to are given by [`Rib::poll_change`] again, behind those that wait.
    pub fn repeat_changes(&mut self) {
        self.changes.extend(self.four.chosen().map(Key::prefix));
        self.changes.extend(self.six.chosen().map(Key::prefix));
    }

    /// The next thing that somebody ought to know.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The next messages for a peer, some `budget` bytes of them; empty if it knows everything.
    pub fn messages(&mut self, id: SourceId, budget: usize) -> Bytes {
        let mut messages = BytesMut::new();
        if !self.has_messages(id) {
            return messages.freeze();
        }
        // Out of the table while it is written for, so that the others can be looked at.
        let Some(Some(Source::Peer(mut peer))) = self.sources.get_mut(usize::from(id.0)).map(Option::take) else {
            return messages.freeze();
        };
        if let Some(negotiated) = &peer.up {
            for family in negotiated.families.iter() {
                let writing = Writing {
                    family,
                    longest_message: usize::from(negotiated.longest_message),
                    four_octet_as: negotiated.four_octet_as,
                    as_received: false,
                };
                let left = budget.saturating_sub(messages.len());
                let attributes = &mut self.attributes;
                let mut exporter = Exporter::new(id, &peer.config, negotiated, self.seed);
                let mut export = |prefix, choice: Choice, attributes: &mut AttributeTable| {
                    let internal = is_internal(&self.sources, choice.source);
                    exporter.export(prefix, choice, internal, attributes)
                };
                messages.unsplit(match family {
                    Family::Ipv4 => peer.four.messages(left, writing, attributes, |key, attributes| {
                        export(key.prefix(), self.four.choice(key)?, attributes)
                    }),
                    Family::Ipv6 => peer.six.messages(left, writing, attributes, |key, attributes| {
                        export(key.prefix(), self.six.choice(key)?, attributes)
                    }),
                });
                exporter.finish(attributes);
            }
        }
        if let Some(place) = self.sources.get_mut(usize::from(id.0)) {
            *place = Some(Source::Peer(peer));
        }
        messages.freeze()
    }

    /// Whether there is something that a peer is to be told.
    pub fn has_messages(&self, id: SourceId) -> bool {
        match self.sources.get(usize::from(id.0)) {
            Some(Some(Source::Peer(peer))) => peer.up.is_some() && (peer.four.is_waiting() || peer.six.is_waiting()),
            Some(Some(Source::Own) | None) | None => false,
        }
    }

    /// The sources of a selection, in ascending order.
    pub fn sources(&self, selection: SelectionId) -> &[SourceId] {
        self.selections.get(selection)
    }

    /// All routes to a prefix.
    pub fn candidates(&self, prefix: &Prefix) -> Vec<Candidate> {
        let choice = self.choice(prefix);
        let chosen = choice.map(|choice| self.selections.get(choice.selection)).unwrap_or_default();
        let compared = |path: &Path| {
            let standing = self.standings.get(usize::from(path.source.0))?;
            Some((*standing, self.attributes.merit(path.accepted.ok()?)?))
        };
        let paths = self.paths(prefix).iter();
        let winner = paths.clone().find(|path| choice.is_some_and(|choice| choice.source == path.source));
        let winner = winner.and_then(compared);
        paths
            .filter_map(|path| {
                let accepted = match path.accepted {
                    Ok(id) => Ok(self.attributes.get(id)?.clone()),
                    Err(refusal) => Err(refusal),
                };
                let chosen = accepted.is_ok() && chosen.contains(&path.source);
                let lost_by = compared(path).zip(winner).filter(|_| !chosen);
                Some(Candidate {
                    source: path.source,
                    stale: path.stale,
                    received: self.attributes.get(path.received)?.clone(),
                    accepted,
                    chosen,
                    lost_by: lost_by.map(|(loser, winner)| decision::lost_by(loser, winner)),
                    told: choice.is_some_and(|choice| choice.source == path.source),
                })
            })
            .collect()
    }

    /// All prefixes that there are routes to, taken or not, in no order.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.four.keys().map(Key::prefix).chain(self.six.keys().map(Key::prefix))
    }

    /// What a peer has been told of a prefix.
    pub fn told(&self, id: SourceId, prefix: &Prefix) -> Option<&Attributes> {
        let Some(Some(Source::Peer(peer))) = self.sources.get(usize::from(id.0)) else { return None };
        let told = match Family::of(prefix) {
            Family::Ipv4 => peer.four.told(Key4::of(prefix)?),
            Family::Ipv6 => peer.six.told(Key6::of(prefix)?),
        };
        self.attributes.get(told?)
    }

    /// How many prefixes a peer announces and has been told, of IPv4 and of IPv6.
    pub fn peer_prefixes(&self, id: SourceId) -> ([u32; 2], [usize; 2]) {
        match self.sources.get(usize::from(id.0)) {
            Some(Some(Source::Peer(peer))) => (peer.announced, [peer.four.len(), peer.six.len()]),
            Some(Some(Source::Own) | None) | None => ([0; 2], [0; 2]),
        }
    }

    /// What a peer has announced in vain since it was added.
    pub fn refused(&self, id: SourceId) -> RefusedCounters {
        match self.sources.get(usize::from(id.0)) {
            Some(Some(Source::Peer(peer))) => peer.refused,
            Some(Some(Source::Own) | None) | None => RefusedCounters::default(),
        }
    }

    /// How much there is.
    pub fn counters(&self) -> RibCounters {
        RibCounters { prefixes: [self.four.len(), self.six.len()], attribute_sets: self.attributes.len() }
    }

    fn add(&mut self, id: SourceId, source: Source, standing: Standing) {
        self.remove(id);
        let place = usize::from(id.0);
        if self.sources.len() <= place {
            self.sources.resize_with(place + 1, || None);
            self.standings.resize(place + 1, standing);
        }
        if let (Some(known), Some(stands)) = (self.sources.get_mut(place), self.standings.get_mut(place)) {
            (*known, *stands) = (Some(source), standing);
        }
    }

    fn announce(&mut self, id: SourceId, prefixes: &[Prefix], attributes: Attributes) {
        let Some(known) = peer(&mut self.sources, id) else { return };
        let refusal = refusal(&known.config, &attributes);
        let one_by_one = known.config.import.as_ref().is_some_and(Filter::looks_at_prefixes);
        // A user of their own while they are worked with.
        let received = self.attributes.intern(attributes);
        let (mut shared, mut refused) = (None, 0);
        for prefix in prefixes {
            let accepted = match (refusal, shared) {
                (Some(refusal), _) => Err(refusal),
                (None, Some(accepted)) => accepted,
                (None, None) => {
                    let accepted = self.import(id, prefix, received);
                    shared = Some(accepted).filter(|_| !one_by_one);
                    accepted
                }
            };
            self.attributes.hold(received);
            match accepted {
                Ok(accepted) => self.attributes.hold(accepted),
                Err(_) => refused += 1,
            }
            self.put(*prefix, Path { source: id, stale: false, received, accepted });
            if one_by_one && let (None, Ok(accepted)) = (refusal, accepted) {
                self.attributes.release(accepted);
            }
        }
        if let Some(Ok(accepted)) = shared {
            self.attributes.release(accepted);
        }
        self.attributes.release(received);
        if refused > 0
            && let Some(known) = peer(&mut self.sources, id)
        {
            let RefusedCounters { looped, prefixes } = &mut known.refused;
            match refusal {
                Some(Refusal::OwnAs) => *looped = looped.wrapping_add(1),
                _ => *prefixes = prefixes.wrapping_add(refused),
            }
        }
    }

    /// A route that is there, as the policy of now has it.
    fn import_anew(&mut self, id: SourceId, prefix: Prefix) {
        let Some((path, attributes)) =
            self.path_from(id, &prefix).and_then(|path| Some((path, self.attributes.get(path.received)?)))
        else {
            return;
        };
        let Some(known) = peer(&mut self.sources, id) else { return };
        let accepted = match refusal(&known.config, attributes) {
            Some(refusal) => Err(refusal),
            None => self.import(id, &prefix, path.received),
        };
        self.attributes.hold(path.received);
        self.put(prefix, Path { accepted, ..path });
    }

    /// What the import filter makes of a route; one more user of what it gives.
    fn import(&mut self, id: SourceId, prefix: &Prefix, received: AttributeId) -> Result<AttributeId, Refusal> {
        let Some(known) = peer(&mut self.sources, id) else { return Err(Refusal::NoPolicy) };
        let filter = match &known.config.import {
            Some(filter) => filter,
            None if known.config.is_internal() => &Filter::ALL,
            None => return Err(Refusal::NoPolicy),
        };
        let Some(attributes) = self.attributes.get(received) else { return Err(Refusal::Filter) };
        match filter.apply(prefix, attributes) {
            Ok(std::borrow::Cow::Borrowed(_)) => {
                self.attributes.hold(received);
                Ok(received)
            }
            Ok(std::borrow::Cow::Owned(changed)) => Ok(self.attributes.intern(changed)),
            Err(Some(rule)) => Err(Refusal::Rule(u8::try_from(rule).unwrap_or(u8::MAX))),
            Err(None) => Err(Refusal::Filter),
        }
    }

    /// Puts a path, whose attributes it has a user for each of, unless there is no room for it.
    fn put(&mut self, prefix: Prefix, path: Path) {
        if !self.has_room(&prefix, path.source) {
            self.attributes.release(path.received);
            path.accepted.into_iter().for_each(|accepted| self.attributes.release(accepted));
            return;
        }
        let mut around = Surroundings {
            attributes: &mut self.attributes,
            selections: &mut self.selections,
            standings: &self.standings,
        };
        let effect = match Family::of(&prefix) {
            Family::Ipv4 => Key4::of(&prefix).map(|key| self.four.put(key, path, &mut around)),
            Family::Ipv6 => Key6::of(&prefix).map(|key| self.six.put(key, path, &mut around)),
        };
        let Some(effect) = effect else { return };
        if effect.added {
            self.count(Family::of(&prefix), path.source);
        }
        self.follow(prefix, effect);
    }

    fn withdraw(&mut self, source: SourceId, prefix: &Prefix) {
        let mut around = Surroundings {
            attributes: &mut self.attributes,
            selections: &mut self.selections,
            standings: &self.standings,
        };
        let family = Family::of(prefix);
        let effect = match family {
            Family::Ipv4 => Key4::of(prefix).and_then(|key| self.four.remove(key, source, &mut around)),
            Family::Ipv6 => Key6::of(prefix).and_then(|key| self.six.remove(key, source, &mut around)),
        };
        let Some(effect) = effect else { return };
        if let Some(peer) = peer(&mut self.sources, source)
            && let Some(announced) = peer.announced.get_mut(place(family))
        {
            *announced -= 1;
        }
        self.follow(*prefix, effect);
    }

    fn mark_stale(&mut self, source: SourceId, family: Family) {
        match family {
            Family::Ipv4 => self.four.mark_stale(source),
            Family::Ipv6 => self.six.mark_stale(source),
        }
    }

    fn forget(&mut self, source: SourceId, family: Family, holds: impl Fn(&Path) -> bool) -> usize {
        if peer(&mut self.sources, source).is_some_and(|peer| peer.announced.get(place(family)) == Some(&0)) {
            return 0;
        }
        let prefixes: Vec<_> = match family {
            Family::Ipv4 => self.four.keys_of(source, holds).into_iter().map(Key::prefix).collect(),
            Family::Ipv6 => self.six.keys_of(source, holds).into_iter().map(Key::prefix).collect(),
        };
        prefixes.iter().for_each(|prefix| self.withdraw(source, prefix));
        prefixes.len()
    }

    /// Marks paths as the last resort, but for those that are not to be kept.
    fn degrade<K: Key>(&mut self, id: SourceId, keys: impl FnOnce(&Self) -> Vec<K>) {
        for key in keys(self) {
            let prefix = key.prefix();
            let Some(path) = self.path_from(id, &prefix) else { continue };
            let mark = |attributes: &Attributes| {
                let mut marked = attributes.clone();
                marked.add_community(LLGR_STALE);
                marked
            };
            let Some(received) = self.attributes.get(path.received) else { continue };
            if received.communities().contains(&NO_LLGR) {
                self.withdraw(id, &prefix);
                continue;
            }
            let accepted = path.accepted.map(|accepted| self.attributes.get(accepted).map(mark));
            let accepted = match accepted {
                Ok(Some(marked)) => Ok(self.attributes.intern(marked)),
                Ok(None) => continue,
                Err(refusal) => Err(refusal),
            };
            self.attributes.hold(path.received);
            self.put(prefix, Path { accepted, ..path });
        }
    }

    fn follow(&mut self, prefix: Prefix, effect: Effect) {
        if effect.moves {
            self.changes.push_back(prefix);
        }
        if effect.tells {
            for (id, source) in (0..).map(SourceId).zip(&mut self.sources) {
                if let Some(Source::Peer(peer)) = source
                    && peer.speaks(Family::of(&prefix))
                {
                    // Nobody is told his own word.
                    let nothing = effect.source.is_none_or(|source| source == id);
                    match Family::of(&prefix) {
                        Family::Ipv4 => Key4::of(&prefix).into_iter().for_each(|key| peer.four.change(key, nothing)),
                        Family::Ipv6 => Key6::of(&prefix).into_iter().for_each(|key| peer.six.change(key, nothing)),
                    }
                }
            }
        }
    }

    /// Whether a source's path to a prefix is taken, as far as its limit goes.
    fn has_room(&mut self, prefix: &Prefix, source: SourceId) -> bool {
        let family = Family::of(prefix);
        let Some(known) = peer(&mut self.sources, source) else { return true };
        let Some(limit) = known.config.prefix_limit else { return true };
        let announced = known.announced.get(place(family)).copied().unwrap_or_default();
        if announced < limit.most || self.path_from(source, prefix).is_some() {
            return true;
        }
        let Some(peer) = peer(&mut self.sources, source) else { return true };
        if let Some(exceeded) = peer.exceeded.get_mut(place(family))
            && !std::mem::replace(exceeded, true)
        {
            self.notices.push_back(Notice::PrefixLimit { peer: source, family, limit });
        }
        match limit.excess {
            Excess::Warn => true,
            Excess::Discard | Excess::Restart(_) => false,
        }
    }

    /// Says what another limit makes of the prefixes that a peer has announced. None of them is taken from it.
    fn limit_anew(&mut self, id: SourceId, limit: PrefixLimit) {
        let Some(peer) = peer(&mut self.sources, id) else { return };
        for family in Family::ALL {
            let announced = peer.announced.get(place(family)).copied().unwrap_or_default();
            let (many, more) = (limit.is_near(announced), announced > limit.most);
            if let Some(warned) = peer.warned.get_mut(place(family)) {
                *warned = many;
            }
            if let Some(exceeded) = peer.exceeded.get_mut(place(family)) {
                *exceeded = more;
            }
            if many {
                self.notices.push_back(Notice::PrefixWarning { peer: id, family, most: limit.most });
            }
            if more {
                self.notices.push_back(Notice::PrefixLimit { peer: id, family, limit });
            }
        }
    }

    fn count(&mut self, family: Family, source: SourceId) {
        let Some(peer) = peer(&mut self.sources, source) else { return };
        let Some(announced) = peer.announced.get_mut(place(family)) else { return };
        *announced += 1;
        let many = peer.config.prefix_limit.filter(|limit| limit.is_near(*announced));
        if let (Some(limit), Some(warned)) = (many, peer.warned.get_mut(place(family)))
            && !std::mem::replace(warned, true)
        {
            self.notices.push_back(Notice::PrefixWarning { peer: source, family, most: limit.most });
        }
    }

    fn prefixes_of(&self, source: SourceId) -> Vec<Prefix> {
        let four = self.four.keys_of(source, |_| true).into_iter().map(Key::prefix);
        four.chain(self.six.keys_of(source, |_| true).into_iter().map(Key::prefix)).collect()
    }

    fn paths(&self, prefix: &Prefix) -> &[Path] {
        match Family::of(prefix) {
            Family::Ipv4 => Key4::of(prefix).map(|key| self.four.paths(key)).unwrap_or_default(),
            Family::Ipv6 => Key6::of(prefix).map(|key| self.six.paths(key)).unwrap_or_default(),
        }
    }

    fn path_from(&self, source: SourceId, prefix: &Prefix) -> Option<Path> {
        self.paths(prefix).iter().find(|path| path.source == source).copied()
    }

    fn choice(&self, prefix: &Prefix) -> Option<Choice> {
        match Family::of(prefix) {
            Family::Ipv4 => self.four.choice(Key4::of(prefix)?),
            Family::Ipv6 => self.six.choice(Key6::of(prefix)?),
        }
    }
}

fn peer(sources: &mut [Option<Source>], id: SourceId) -> Option<&mut Peer> {
    match sources.get_mut(usize::from(id.0))? {
        Some(Source::Peer(peer)) => Some(peer),
        Some(Source::Own) | None => None,
    }
}

fn is_internal(sources: &[Option<Source>], id: SourceId) -> bool {
    match sources.get(usize::from(id.0)) {
        Some(Some(Source::Peer(peer))) => peer.config.is_internal(),
        Some(Some(Source::Own) | None) | None => false,
    }
}

fn place(family: Family) -> usize {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 1,
    }
}
