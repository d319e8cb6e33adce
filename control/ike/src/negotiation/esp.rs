//! The child SA's proposals: in IKE_AUTH, and in CREATE_CHILD_SA, where it may have a key exchange of its own.

use super::{
    Additional, Offers, accept_additional, answer_additional, classes, describe, is_none, offer_additional, only_known,
    place,
};
use crate::algorithm::{ADDITIONAL_KEY_EXCHANGES, EspSuite, KeGroup};
use crate::config::EspProposal;
use crate::message::{ADDITIONAL_KE, ENCR, ESN, INTEG, KE, Proposal, Transform, protocol};

impl EspProposal {
    /// Nothing but a suite that was agreed on before, for its successor. What is configured for key exchange stays: the
    /// first child of an IKE SA has none of its own.
    pub(crate) fn only(&self, suite: EspSuite) -> Self {
        let mut key_exchange = self.key_exchange.clone();
        if let Some(group) = suite.key_exchange {
            key_exchange.sort_by_key(|other| *other != group);
        }
        Self {
            encryption: vec![suite.encryption],
            integrity: suite.integrity.into_iter().collect(),
            key_exchange,
            additional_key_exchange: self.additional_key_exchange.clone(),
            esn: suite.esn,
        }
    }

    /// Our SA payload. RFC 7296 §1.2: IKE_AUTH has no key exchange for the child, so `key_exchange` is for
    /// CREATE_CHILD_SA alone. AEAD and CBC ciphers need a proposal each, as in [`crate::IkeProposal`].
    pub(crate) fn offer(&self, spi: u32, key_exchange: bool) -> Vec<Proposal> {
        let proposal = |(index, aead): (usize, bool)| {
            let ciphers = self.encryption.iter().filter(|c| c.is_aead() == aead);
            let mut transforms: Vec<Transform> = ciphers.map(|c| Transform::cipher(c.id(), c.key_bits())).collect();
            if !aead {
                transforms.extend(self.integrity.iter().map(|i| Transform::plain(INTEG, i.id())));
            }
            if key_exchange {
                transforms.extend(self.key_exchange.iter().map(|g| Transform::plain(KE, g.id())));
                transforms.extend(offer_additional(&self.additional_key_exchange));
            }
            if self.esn {
                transforms.push(Transform::plain(ESN, 1));
            }
            transforms.push(Transform::plain(ESN, 0));
            Proposal { number: index as u8 + 1, protocol: protocol::ESP, spi: spi.to_be_bytes().to_vec(), transforms }
        };
        classes(self.encryption.iter().map(|c| c.is_aead())).into_iter().enumerate().map(proposal).collect()
    }

    /// The first proposal we can accept: the suite, what to answer with our SPI put in, and the peer's SPI. `key_exchange`
    /// is `None` in IKE_AUTH, and in CREATE_CHILD_SA the group of the peer's KE payload, 0 where there is none; where it can be,
    /// it is the one that is chosen.
    pub(crate) fn choose(&self, offered: &[Proposal], key_exchange: Option<u16>) -> Option<(EspSuite, Proposal, u32)> {
        let groups = |offers: &Offers<'_>| match key_exchange {
            // RFC 7296 §1.2: what stands there of groups has no meaning.
            None => Some((None, [None; ADDITIONAL_KEY_EXCHANGES])),
            Some(sent) => self.groups(offers, sent),
        };
        offered.iter().find_map(|p| {
            let (suite, spi) = self.accept(p, groups)?;
            Some((suite, answer(p, suite, key_exchange.is_some()), spi))
        })
    }

    /// Reads the peer's choice from what [`EspProposal::offer`] made with the same `key_exchange`.
    pub(crate) fn chosen(&self, answer: &[Proposal], key_exchange: bool) -> Option<(EspSuite, u32)> {
        let [proposal] = answer else { return None };
        let (suite, spi) = self.accept(proposal, |offers| {
            if !key_exchange || self.key_exchange.is_empty() {
                return without(offers);
            }
            let first = *self.key_exchange.iter().find(|g| offers.plain(KE, g.id()))?;
            Some((Some(first), accept_additional(&self.additional_key_exchange, &[], offers, first)?))
        })?;
        let groups = suite.key_exchange.iter().chain(suite.additional.iter().flatten()).count();
        let expected = 2 + usize::from(suite.integrity.is_some()) + groups;
        let count = proposal.transforms.iter().filter(|t| !is_none(t)).count();
        let number_known = self.offer(0, false).iter().any(|o| {
            o.number == proposal.number && o.transforms.iter().any(|t| t.kind == ENCR && t.id == suite.encryption.id())
        });
        (count == expected && number_known).then_some((suite, spi))
    }

    /// Our offer in IKE_AUTH in words.
    pub(crate) fn describe(&self) -> String {
        describe(&self.offer(0, false))
    }

    /// The groups for a child whose peer has sent a public value of group `sent`.
    fn groups(&self, offers: &Offers<'_>, sent: u16) -> Option<Groups> {
        if self.key_exchange.is_empty() && offers.none_is_fine(KE) {
            return without(offers);
        }
        // Where we do not ask for a key exchange but the peer does, it costs us nothing but time.
        let ours = if self.key_exchange.is_empty() { KeGroup::UNASKED.as_slice() } else { &self.key_exchange };
        let offered = || ours.iter().filter(|g| offers.plain(KE, g.id()));
        let first = *offered().find(|g| g.id() == sent).or_else(|| offered().next())?;
        Some((Some(first), accept_additional(&self.additional_key_exchange, &KeGroup::UNASKED, offers, first)?))
    }

    fn accept(
        &self,
        proposal: &Proposal,
        groups: impl FnOnce(&Offers<'_>) -> Option<Groups>,
    ) -> Option<(EspSuite, u32)> {
        if proposal.protocol != protocol::ESP
            || !only_known(proposal, |kind| matches!(kind, ENCR | INTEG | KE | ESN) || place(kind).is_some())
        {
            return None;
        }
        let offers = Offers(proposal);
        let spi = u32::from_be_bytes(<[u8; 4]>::try_from(proposal.spi.as_slice()).ok()?);
        let (key_exchange, additional) = groups(&offers)?;
        let esn = self.esn && offers.plain(ESN, 1);
        if !esn && !offers.plain(ESN, 0) {
            return None;
        }
        self.encryption.iter().filter(|c| offers.cipher(c.id(), c.key_bits())).find_map(|cipher| {
            let integrity = if cipher.is_aead() {
                if !offers.none_is_fine(INTEG) {
                    return None;
                }
                None
            } else {
                Some(*self.integrity.iter().find(|i| offers.plain(INTEG, i.id()))?)
            };
            Some((EspSuite { encryption: *cipher, integrity, key_exchange, additional, esn }, spi))
        })
    }
}

/// The first group, and the additional ones.
type Groups = (Option<KeGroup>, Additional);

/// No key exchange, if that is on offer.
fn without(offers: &Offers<'_>) -> Option<Groups> {
    let fine =
        offers.none_is_fine(KE) && (ADDITIONAL_KE..).take(ADDITIONAL_KEY_EXCHANGES).all(|k| offers.none_is_fine(k));
    fine.then_some((None, [None; ADDITIONAL_KEY_EXCHANGES]))
}

/// The answer that tells the initiator what we have chosen; our SPI has to be put in.
fn answer(offered: &Proposal, suite: EspSuite, key_exchange: bool) -> Proposal {
    let mut transforms = vec![Transform::cipher(suite.encryption.id(), suite.encryption.key_bits())];
    transforms.extend(suite.integrity.map(|i| Transform::plain(INTEG, i.id())));
    transforms.extend(suite.key_exchange.map(|g| Transform::plain(KE, g.id())));
    if key_exchange {
        transforms.extend(answer_additional(offered, suite.additional));
    }
    transforms.push(Transform::plain(ESN, u16::from(suite.esn)));
    Proposal { number: offered.number, protocol: protocol::ESP, spi: Vec::new(), transforms }
}
