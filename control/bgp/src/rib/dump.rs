//! What a peer has announced, told again as it would tell it: for whoever begins to watch (RFC 7854 §5), and in place of UPDATEs
//! that are not to be passed on as they came.

use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rustbgpd_wire::{EXTENDED_MAX_MESSAGE_LEN, Prefix};

use crate::attributes::{AttributeId, Attributes};
use crate::family::Family;
use crate::negotiated::Negotiated;
use crate::rib::output::{Writing, announce, end_of_rib, withdraw};
use crate::rib::table::{Key, Key4, Key6, Path, Table};
use crate::rib::{Rib, Source, SourceId, place};
use crate::update::Update;

/// What is still to be told of a peer's Adj-RIB-In. What it announces meanwhile is told as it is by then.
#[derive(Debug)]
pub struct Dump {
    peer: SourceId,
    four: Option<Part<Key4>>,
    six: Option<Part<Key6>>,
}

/// One family's prefixes, those of routes that are kept although their session is gone left out.
#[derive(Debug)]
struct Part<K> {
    keys: std::vec::IntoIter<K>,
    writing: Writing,
}

/// Prefixes that are put together into messages.
const ROUND: usize = 512;

impl Rib {
    /// What a peer announces, of all families that are exchanged with it; `None` while its session is down.
    pub fn dump(&self, id: SourceId) -> Option<Dump> {
        let negotiated = self.negotiated(id)?;
        let families = negotiated.families;
        let [four, six] = Family::ALL.map(|family| families.contains(family).then(|| writing(family, negotiated)));
        Some(Dump {
            peer: id,
            four: four.map(|writing| Part { keys: self.announced(id, &self.four, writing.family), writing }),
            six: six.map(|writing| Part { keys: self.announced(id, &self.six, writing.family), writing }),
        })
    }

    /// The next UPDATEs, some `budget` bytes of them; behind those of a family its End-of-RIB. None if all is told.
    pub fn dump_messages(&self, dump: &mut Dump, budget: usize) -> Vec<Bytes> {
        let mut messages = BytesMut::new();
        while messages.len() < budget {
            if let Some(part) = &mut dump.four {
                if part.put(&self.four, dump.peer, self, &mut messages) {
                    dump.four = None;
                }
            } else if let Some(part) = &mut dump.six {
                if part.put(&self.six, dump.peer, self, &mut messages) {
                    dump.six = None;
                }
            } else {
                break;
            }
        }
        each(messages)
    }

    /// UPDATEs that withdraw those of a peer's routes that are about to go, for it has not announced them again.
    pub(crate) fn withdrawals_of_stale(&self, id: SourceId, family: Family) -> Vec<Bytes> {
        let Some(negotiated) = self.negotiated(id) else { return Vec::new() };
        let mut messages = BytesMut::new();
        let writing = writing(family, negotiated);
        match family {
            Family::Ipv4 => withdraw(&self.four.keys_of(id, |path| path.stale), writing, &mut messages),
            Family::Ipv6 => withdraw(&self.six.keys_of(id, |path| path.stale), writing, &mut messages),
        }
        each(messages)
    }

    fn announced<K: Key>(&self, id: SourceId, table: &Table<K>, family: Family) -> std::vec::IntoIter<K> {
        let (announced, _) = self.peer_prefixes(id);
        // Who has announced nothing need not be looked for.
        let any = announced.get(place(family)).is_some_and(|count| *count > 0);
        let mut keys = if any { table.keys_of(id, |_| true) } else { Vec::new() };
        // Neighbours mostly have the same attributes, and so go into one message.
        keys.sort_unstable();
        keys.into_iter()
    }

    fn negotiated(&self, id: SourceId) -> Option<&Negotiated> {
        match self.sources.get(usize::from(id.0))? {
            Some(Source::Peer(peer)) => peer.up.as_ref(),
            Some(Source::Own) | None => None,
        }
    }
}

impl<K: Key> Part<K> {
    /// Puts messages for some of the prefixes; whether these were the last.
    fn put(&mut self, table: &Table<K>, id: SourceId, rib: &Rib, messages: &mut BytesMut) -> bool {
        let mut announced: Vec<(AttributeId, Vec<K>)> = Vec::new();
        let mut places = HashMap::with_hasher(FixedState::with_seed(rib.seed));
        let is_its = |path: &&Path| path.source == id && !path.stale;
        for key in self.keys.by_ref().take(ROUND) {
            let Some(path) = table.paths(key).iter().find(is_its) else { continue };
            let place = *places.entry(path.received).or_insert_with(|| {
                announced.push((path.received, Vec::new()));
                announced.len() - 1
            });
            announced.get_mut(place).into_iter().for_each(|(_, keys)| keys.push(key));
        }
        for (attributes, keys) in announced {
            if let Some(attributes) = rib.attributes.get(attributes) {
                put_announced(attributes, &keys, self.writing, messages);
            }
        }
        let ends = self.keys.len() == 0;
        if ends {
            messages.extend_from_slice(&end_of_rib(self.writing.family));
        }
        ends
    }
}

/// An UPDATE as it was taken: as many messages as it needs, none if nothing is left of it.
pub(crate) fn retold(update: &Update, negotiated: &Negotiated) -> Vec<Bytes> {
    let mut messages = BytesMut::new();
    let (four, six) = (writing(Family::Ipv4, negotiated), writing(Family::Ipv6, negotiated));
    withdraw(&keys::<Key4>(&update.withdrawn), four, &mut messages);
    withdraw(&keys::<Key6>(&update.withdrawn), six, &mut messages);
    for announcement in &update.announced {
        let (next_hop, link_local) = (announcement.next_hop, announcement.link_local);
        let attributes = Attributes::new(next_hop, link_local, update.attributes.clone());
        put_announced(&attributes, &keys::<Key4>(&announcement.prefixes), four, &mut messages);
        put_announced(&attributes, &keys::<Key6>(&announcement.prefixes), six, &mut messages);
    }
    each(messages)
}

fn keys<K: Key>(prefixes: &[Prefix]) -> Vec<K> {
    prefixes.iter().filter_map(K::of).collect()
}

fn put_announced<K: Key>(attributes: &Attributes, keys: &[K], writing: Writing, messages: &mut BytesMut) {
    if !announce(attributes, keys, writing, messages) {
        // It came, so it has fitted in the peer's way of writing it. Between us and whoever watches no length is agreed on.
        let writing = Writing { longest_message: usize::from(EXTENDED_MAX_MESSAGE_LEN), ..writing };
        announce(attributes, keys, writing, messages);
    }
}

fn writing(family: Family, negotiated: &Negotiated) -> Writing {
    let (longest_message, four_octet_as) = (usize::from(negotiated.longest_message), negotiated.four_octet_as);
    Writing { family, longest_message, four_octet_as, as_received: true }
}

/// Takes messages apart that stand one behind the other.
fn each(messages: BytesMut) -> Vec<Bytes> {
    let mut left = messages.freeze();
    let mut each = Vec::new();
    while let Some(&[high, low]) = left.get(16..18) {
        let length = usize::from(u16::from_be_bytes([high, low])).clamp(1, left.len());
        each.push(left.split_to(length));
    }
    each
}
