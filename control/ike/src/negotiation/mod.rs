//! What we offer, what we choose from an offer, and whether an answer fits it (RFC 7296 §2.7, §3.3).

mod esp;
mod ike;
#[cfg(test)]
mod tests;

use crate::algorithm::{ADDITIONAL_KEY_EXCHANGES, IkeCipher, Integrity, KeGroup, PrfAlgorithm};
use crate::message::{ADDITIONAL_KE, ENCR, ESN, INTEG, KE, PRF, Proposal, Transform};

/// An offer in words: algorithms by the names of the configuration, unknown ones by number.
pub(crate) fn describe(proposals: &[Proposal]) -> String {
    let words = |p: &Proposal| {
        let shown: Vec<String> = p.transforms.iter().take(MAX_WORDS).map(transform_name).collect();
        let more = if p.transforms.len() > MAX_WORDS { "-..." } else { "" };
        format!("{}{more}", shown.join("-"))
    };
    proposals.iter().take(8).map(words).collect::<Vec<_>>().join(", ")
}

fn transform_name(t: &Transform) -> String {
    let name = match t.kind {
        ENCR => IkeCipher::ALL.iter().find(|c| c.id() == t.id && c.key_bits() == t.key_bits).map(ToString::to_string),
        PRF => PrfAlgorithm::ALL.iter().find(|p| p.id() == t.id).map(ToString::to_string),
        INTEG => Integrity::ALL.iter().find(|i| i.id() == t.id).map(ToString::to_string),
        KE => KeGroup::from_id(t.id).map(|g| g.to_string()),
        kind if place(kind).is_some() => KeGroup::from_id(t.id).map(|g| format!("ke{}_{g}", kind - ADDITIONAL_KE + 1)),
        ESN => Some(if t.id == 1 { "esn".into() } else { "noesn".into() }),
        _ => None,
    };
    name.unwrap_or_else(|| {
        let kind = match t.kind {
            ENCR => "encr",
            PRF => "prf",
            INTEG => "integ",
            KE => "ke",
            _ => "transform",
        };
        match t.key_bits {
            Some(bits) => format!("{kind}{}_{bits}", t.id),
            None => format!("{kind}{}", t.id),
        }
    })
}

/// Whether each proposal has AEADs: they and CBC ciphers need one each, and the class of the most wanted cipher comes first.
fn classes(aeads: impl Iterator<Item = bool>) -> Vec<bool> {
    let mut classes = Vec::new();
    for aead in aeads {
        if !classes.contains(&aead) {
            classes.push(aead);
        }
    }
    classes
}

/// Some peers write that there is nothing, others leave it out.
fn is_none(t: &Transform) -> bool {
    t.id == 0 && (matches!(t.kind, INTEG | KE) || t.kind >= ADDITIONAL_KE)
}

fn only_known(proposal: &Proposal, known: impl Fn(u8) -> bool) -> bool {
    proposal.transforms.iter().all(|t| known(t.kind))
}

/// What one proposal has on offer.
struct Offers<'a>(&'a Proposal);

impl Offers<'_> {
    fn has(&self, kind: u8) -> bool {
        self.0.transforms.iter().any(|t| t.kind == kind)
    }

    fn plain(&self, kind: u8, id: u16) -> bool {
        self.0.transforms.contains(&Transform::plain(kind, id))
    }

    fn cipher(&self, id: u16, key_bits: Option<u16>) -> bool {
        self.0.transforms.contains(&Transform::cipher(id, key_bits))
    }

    /// Whether it can be taken without a transform of this type.
    fn none_is_fine(&self, kind: u8) -> bool {
        !self.has(kind) || self.plain(kind, 0)
    }
}

/// The additional key exchanges that were agreed on, each in its place (RFC 9370).
type Additional = [Option<KeGroup>; ADDITIONAL_KEY_EXCHANGES];

/// What we want for each of the additional key exchanges has to be there. Of those that we do not want but the peer cannot do
/// without, one of `unasked` has to be there.
fn accept_additional(
    rounds: &[Vec<KeGroup>],
    unasked: &[KeGroup],
    offers: &Offers<'_>,
    first: KeGroup,
) -> Option<Additional> {
    let mut chosen = [None; ADDITIONAL_KEY_EXCHANGES];
    let wanted = rounds.iter().map(Vec::as_slice).chain(std::iter::repeat(&[] as &[KeGroup]));
    for (index, (kind, wanted)) in (ADDITIONAL_KE..).zip(wanted).enumerate().take(ADDITIONAL_KEY_EXCHANGES) {
        if wanted.is_empty() && offers.none_is_fine(kind) {
            continue;
        }
        let wanted = if wanted.is_empty() { unasked } else { wanted };
        // RFC 9370 §2.2.1: no method twice.
        let fresh = |group: &&KeGroup| **group != first && !chosen.contains(&Some(**group));
        let group = *wanted.iter().filter(fresh).find(|g| offers.plain(kind, g.id()))?;
        *chosen.get_mut(index)? = Some(group);
    }
    Some(chosen)
}

/// The transforms of an offer's additional key exchanges.
fn offer_additional(rounds: &[Vec<KeGroup>]) -> impl Iterator<Item = Transform> {
    let places = (ADDITIONAL_KE..).zip(rounds).take(ADDITIONAL_KEY_EXCHANGES);
    places.flat_map(|(kind, groups)| groups.iter().map(move |g| Transform::plain(kind, g.id())))
}

/// What an answer says of them. RFC 9370 §2.2.1: a type that is in the proposal has to be answered, with NONE where we do
/// without.
fn answer_additional(offered: &Proposal, chosen: Additional) -> impl Iterator<Item = Transform> {
    let places = (ADDITIONAL_KE..).zip(chosen).filter(|(kind, _)| Offers(offered).has(*kind));
    places.map(|(kind, group)| Transform::plain(kind, group.map_or(0, KeGroup::id)))
}

/// Which of the additional key exchanges a transform type is for.
fn place(kind: u8) -> Option<usize> {
    let place = usize::from(kind.checked_sub(ADDITIONAL_KE)?);
    (place < ADDITIONAL_KEY_EXCHANGES).then_some(place)
}

const MAX_WORDS: usize = 24;
