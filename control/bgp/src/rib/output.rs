//! What one peer has been told and is still to be told: its Adj-RIB-Out (RFC 4271 §3.2), and the UPDATEs that bring it there.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use rustbgpd_wire::attribute::encode_path_attributes;
use rustbgpd_wire::{Message, PathAttribute, Prefix, RouteRefreshMessage, RouteRefreshSubtype, encode_message};

use crate::attributes::{AttributeId, AttributeTable, Attributes};
use crate::family::Family;
use crate::rib::table::Key;

/// How UPDATEs to a peer are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    pub(crate) family: Family,
    pub(crate) longest_message: usize,
    pub(crate) four_octet_as: bool,
    /// Attributes that are not known here are written as they came: for whoever watches, not for peers, who are told that we do not
    /// know them, or nothing of them (RFC 4271 §5).
    pub(crate) as_received: bool,
}

/// What a peer knows of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// These attributes.
    Attributes(AttributeId),
    /// It is to be told again, whatever it knows.
    Again,
}

/// One family of one peer.
#[derive(Debug)]
pub(crate) struct Output<K> {
    told: HashMap<K, Told, FixedState>,
    /// Prefixes of which something may have changed.
    changed: HashSet<K, FixedState>,
    /// Those of them that are being written.
    writing: std::vec::IntoIter<K>,
    /// What is said behind all that is being written: that it was the whole table.
    ends: Vec<Bytes>,
    seed: u64,
}

/// Prefixes of one round: with each the attributes to be told, or none to withdraw it.
const ROUND: usize = 4096;
/// Header, and the two lengths of an UPDATE.
const FIXED: usize = 19 + 4;
/// The header of `MP_REACH_NLRI` up to its next hop, and of `MP_UNREACH_NLRI` up to its prefixes, with two octets of length.
const MULTIPROTOCOL: usize = 4 + 3;
/// An IPv6 prefix of 128 bits, and its length.
const LONGEST_PREFIX: usize = 17;
/// The flag of an attribute whose length has two octets (RFC 4271 §4.3).
const EXTENDED_LENGTH: u8 = 0x10;

impl<K: Key> Output<K> {
    pub(crate) fn new(seed: u64) -> Self {
        let (told, changed) = (HashMap::with_hasher(FixedState::with_seed(seed)), with_seed(seed));
        Self { told, changed, writing: Vec::new().into_iter(), ends: Vec::new(), seed }
    }

    /// Something may have changed. Where there is nothing to say of it any more, at most what the peer knows is to be withdrawn.
    pub(crate) fn change(&mut self, key: K, nothing: bool) {
        if !nothing || self.told.contains_key(&key) {
            self.changed.insert(key);
        }
    }

    /// The whole table is to be told, and then that it was (RFC 4724 §2).
    pub(crate) fn begin(&mut self, table: impl Iterator<Item = K>, family: Family) {
        self.changed.extend(table);
        self.take_round();
        self.ends.push(end_of_rib(family));
    }

    /// The whole table is to be told again (RFC 2918), between marks if the peer knows them (RFC 7313 §4). Gives the first one.
    pub(crate) fn begin_again(
        &mut self,
        table: impl Iterator<Item = K>,
        family: Family,
        enhanced: bool,
        attributes: &mut AttributeTable,
    ) -> Option<Bytes> {
        for told in self.told.values_mut() {
            if let Told::Attributes(id) = std::mem::replace(told, Told::Again) {
                attributes.release(id);
            }
        }
        self.changed.extend(table);
        self.take_round();
        self.ends.extend(enhanced.then(|| refresh(family, RouteRefreshSubtype::EoRR)));
        enhanced.then(|| refresh(family, RouteRefreshSubtype::BoRR))
    }

    /// The next messages, some `budget` bytes of them; empty if the peer knows everything. `export` gives what a peer is told of a
    /// prefix.
    pub(crate) fn messages(
        &mut self,
        budget: usize,
        writing: Writing,
        attributes: &mut AttributeTable,
        mut export: impl FnMut(K, &mut AttributeTable) -> Option<AttributeId>,
    ) -> BytesMut {
        let mut messages = BytesMut::new();
        while messages.len() < budget {
            if self.writing.len() == 0 {
                // All that was there when the table was begun is written.
                self.ends.drain(..).for_each(|end| messages.extend_from_slice(&end));
                if !self.take_round() {
                    break;
                }
            }
            let mut withdrawn = Vec::new();
            let mut announced: Vec<(AttributeId, Vec<K>)> = Vec::new();
            let mut places: HashMap<AttributeId, usize, FixedState> =
                HashMap::with_hasher(FixedState::with_seed(self.seed));
            for key in self.writing.by_ref().take(ROUND) {
                let wanted = export(key, attributes);
                match (self.told.get(&key).copied(), wanted) {
                    (None, None) => {}
                    (Some(Told::Attributes(known)), Some(wanted)) if known == wanted => attributes.release(wanted),
                    (known, wanted) => {
                        if let Some(Told::Attributes(known)) = known {
                            attributes.release(known);
                        }
                        match wanted {
                            Some(wanted) => {
                                self.told.insert(key, Told::Attributes(wanted));
                                let place = *places.entry(wanted).or_insert_with(|| {
                                    announced.push((wanted, Vec::new()));
                                    announced.len() - 1
                                });
                                announced.get_mut(place).into_iter().for_each(|(_, keys)| keys.push(key));
                            }
                            None => {
                                self.told.remove(&key);
                                withdrawn.push(key);
                            }
                        }
                    }
                }
            }
            withdraw(&withdrawn, writing, &mut messages);
            for (id, keys) in announced {
                let fits = attributes.get(id).is_some_and(|known| announce(known, &keys, writing, &mut messages));
                if !fits {
                    // RFC 8654 §4: what is too long for the peer is withdrawn.
                    withdraw(&keys, writing, &mut messages);
                    for key in keys {
                        self.told.remove(&key);
                        attributes.release(id);
                    }
                }
            }
        }
        messages
    }

    /// Forgets all that the peer knows.
    pub(crate) fn clear(&mut self, attributes: &mut AttributeTable) {
        for told in std::mem::replace(self, Self::new(self.seed)).told.into_values() {
            if let Told::Attributes(id) = told {
                attributes.release(id);
            }
        }
    }

    /// How many prefixes the peer knows.
    pub(crate) fn len(&self) -> usize {
        self.told.len()
    }

    /// What the peer knows of a prefix.
    pub(crate) fn told(&self, key: K) -> Option<AttributeId> {
        match self.told.get(&key)? {
            Told::Attributes(id) => Some(*id),
            Told::Again => None,
        }
    }

    /// Whether there is something to be written.
    pub(crate) fn is_waiting(&self) -> bool {
        self.writing.len() > 0 || !self.changed.is_empty() || !self.ends.is_empty()
    }

    fn take_round(&mut self) -> bool {
        let mut keys: Vec<_> = self.writing.by_ref().collect();
        keys.extend(std::mem::replace(&mut self.changed, with_seed(self.seed)));
        // So that what is said does not depend on a hash, and a person finds a prefix in a capture.
        keys.sort_unstable();
        self.writing = keys.into_iter();
        self.writing.len() > 0
    }
}

/// A set in another order than that in which the map of what was told has its keys: what comes out of one fills the other evenly.
fn with_seed<K>(seed: u64) -> HashSet<K, FixedState> {
    HashSet::with_hasher(FixedState::with_seed(!seed))
}

/// RFC 4724 §2.
pub(crate) fn end_of_rib(family: Family) -> Bytes {
    let mut message = BytesMut::new();
    match family {
        Family::Ipv4 => update(&[], &[], &[], &mut message),
        Family::Ipv6 => update(&[], &unreachable(family, &[]), &[], &mut message),
    }
    message.freeze()
}

fn refresh(family: Family, subtype: RouteRefreshSubtype) -> Bytes {
    let (afi, safi) = family.code();
    let message = Message::RouteRefresh(RouteRefreshMessage::new_with_subtype(afi, safi, subtype));
    encode_message(&message).map(BytesMut::freeze).unwrap_or_default()
}

pub(crate) fn withdraw<K: Key>(keys: &[K], writing: Writing, messages: &mut BytesMut) {
    match writing.family {
        Family::Ipv4 => each_piece(keys, writing.longest_message - FIXED, |piece| update(piece, &[], &[], messages)),
        Family::Ipv6 => each_piece(keys, writing.longest_message - FIXED - MULTIPROTOCOL, |piece| {
            update(&[], &unreachable(writing.family, piece), &[], messages);
        }),
    }
}

/// Whether attributes and a prefix fit a message; if they do, messages with all of them.
pub(crate) fn announce<K: Key>(attributes: &Attributes, keys: &[K], writing: Writing, messages: &mut BytesMut) -> bool {
    let mut list = Vec::new();
    match (writing.family, attributes.next_hop()) {
        (Family::Ipv4, IpAddr::V4(next_hop)) => {
            let mut all = attributes.list().to_vec();
            all.push(PathAttribute::NextHop(next_hop));
            all.sort_by_key(PathAttribute::type_code);
            let written = encode(&all, writing, &mut list);
            let room = writing.longest_message.saturating_sub(FIXED + list.len());
            let fits = written && room >= LONGEST_PREFIX;
            if fits {
                each_piece(keys, room, |piece| update(&[], &list, piece, messages));
            }
            fits
        }
        (Family::Ipv4 | Family::Ipv6, next_hop) => {
            let written = encode(attributes.list(), writing, &mut list);
            let mut hop = match next_hop {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            hop.extend(attributes.link_local().into_iter().flat_map(|address| address.octets()));
            let room = writing.longest_message.saturating_sub(FIXED + list.len() + MULTIPROTOCOL + 2 + hop.len());
            if !written || room < LONGEST_PREFIX {
                return false;
            }
            each_piece(keys, room, |piece| {
                // RFC 7606 §5.1: it comes first.
                let mut all = multiprotocol(14, writing.family, 2 + hop.len() + piece.len());
                all.push(hop.len() as u8);
                all.extend_from_slice(&hop);
                all.push(0);
                all.extend_from_slice(piece);
                all.extend_from_slice(&list);
                update(&[], &all, &[], messages);
            });
            true
        }
    }
}

/// Whether attributes could be written.
fn encode(attributes: &[PathAttribute], writing: Writing, list: &mut Vec<u8>) -> bool {
    let four_octet_as = writing.four_octet_as;
    if !writing.as_received {
        return encode_path_attributes(attributes, list, four_octet_as, false).is_ok();
    }
    attributes.iter().all(|attribute| match attribute {
        PathAttribute::Unknown(raw) => {
            let Ok(length) = u16::try_from(raw.data.len()) else { return false };
            match u8::try_from(length) {
                Ok(length) if raw.flags & EXTENDED_LENGTH == 0 => list.extend([raw.flags, raw.type_code, length]),
                Ok(_) | Err(_) => {
                    list.extend([raw.flags | EXTENDED_LENGTH, raw.type_code]);
                    list.put_u16(length);
                }
            }
            list.extend_from_slice(&raw.data);
            true
        }
        known => encode_path_attributes(std::slice::from_ref(known), list, four_octet_as, false).is_ok(),
    })
}

fn unreachable(family: Family, prefixes: &[u8]) -> Vec<u8> {
    let mut attribute = multiprotocol(15, family, prefixes.len());
    attribute.extend_from_slice(prefixes);
    attribute
}

/// The head of `MP_REACH_NLRI` or `MP_UNREACH_NLRI` (RFC 4760 §3, §4), optional and with two octets of length.
fn multiprotocol(kind: u8, family: Family, length: usize) -> Vec<u8> {
    let (afi, safi) = family.code();
    let mut head = vec![0x90, kind];
    head.put_u16(u16::try_from(3 + length).expect("a message has at most 65535 bytes"));
    head.put_u16(afi as u16);
    head.push(safi as u8);
    head
}

/// Cuts prefixes into pieces of at most `room` bytes, which are enough for the longest one, as UPDATEs have them (RFC 4271 §4.3).
fn each_piece<K: Key>(keys: &[K], room: usize, mut with: impl FnMut(&[u8])) {
    let mut piece = Vec::new();
    for key in keys {
        let before = piece.len();
        match key.prefix() {
            Prefix::V4(prefix) => put(&mut piece, prefix.len, &prefix.addr.octets()),
            Prefix::V6(prefix) => put(&mut piece, prefix.len, &prefix.addr.octets()),
        }
        if piece.len() > room {
            let next = piece.split_off(before);
            with(&piece);
            piece = next;
        }
    }
    if !piece.is_empty() {
        with(&piece);
    }
}

fn put(piece: &mut Vec<u8>, length: u8, address: &[u8]) {
    piece.push(length);
    piece.extend_from_slice(address.get(..usize::from(length).div_ceil(8)).unwrap_or(address));
}

fn update(withdrawn: &[u8], attributes: &[u8], announced: &[u8], messages: &mut BytesMut) {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("a message has at most 65535 bytes");
    messages.put_bytes(0xff, 16);
    let all = FIXED + withdrawn.len() + attributes.len() + announced.len();
    messages.put_u16(u16::try_from(all).expect("a message has at most 65535 bytes"));
    messages.put_u8(2);
    messages.put_u16(length(withdrawn));
    messages.extend_from_slice(withdrawn);
    messages.put_u16(length(attributes));
    messages.extend_from_slice(attributes);
    messages.extend_from_slice(announced);
}
