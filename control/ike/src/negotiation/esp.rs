//! The child SA's proposals: in IKE_AUTH, and in CREATE_CHILD_SA, where it may have a key exchange of its own.

use super::{Offers, classes, describe, is_none, only_known};
use crate::algorithm::{EspSuite, KeGroup};
use crate::config::EspProposal;
use crate::message::{ENCR, ESN, INTEG, KE, Proposal, Transform, protocol};

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
            }
            if self.esn {
                transforms.push(Transform::plain(ESN, 1));
            }
            transforms.push(Transform::plain(ESN, 0));
            Proposal { number: index as u8 + 1, protocol: protocol::ESP, spi: spi.to_be_bytes().to_vec(), transforms }
        };
        classes(self.encryption.iter().map(|c| c.is_aead())).into_iter().enumerate().map(proposal).collect()
    }

    /// The first proposal we can accept: the suite, the proposal's number and the peer's SPI. `key_exchange` is `None`
    /// in IKE_AUTH, and in CREATE_CHILD_SA the group of the peer's KE payload, 0 where there is none; where it can be,
    /// it is the one that is chosen.
    pub(crate) fn choose(&self, offered: &[Proposal], key_exchange: Option<u16>) -> Option<(EspSuite, u8, u32)> {
        let group = |offers: &Offers<'_>| match key_exchange {
            // RFC 7296 §1.2: what stands there of groups has no meaning.
            None => Some(None),
            Some(sent) => self.group(offers, sent),
        };
        offered.iter().find_map(|p| self.accept(p, group).map(|(suite, spi)| (suite, p.number, spi)))
    }

    /// Reads the peer's choice from what [`EspProposal::offer`] made with the same `key_exchange`.
    pub(crate) fn chosen(&self, answer: &[Proposal], key_exchange: bool) -> Option<(EspSuite, u32)> {
        let [proposal] = answer else { return None };
        let (suite, spi) = self.accept(proposal, |offers| {
            if key_exchange && !self.key_exchange.is_empty() {
                self.key_exchange.iter().find(|g| offers.plain(KE, g.id())).map(|g| Some(*g))
            } else {
                offers.none_is_fine(KE).then_some(None)
            }
        })?;
        let expected = 2 + usize::from(suite.integrity.is_some()) + usize::from(suite.key_exchange.is_some());
        let count = proposal.transforms.iter().filter(|t| !is_none(t)).count();
        let number_known = self.offer(0, false).iter().any(|o| {
            o.number == proposal.number && o.transforms.iter().any(|t| t.kind == ENCR && t.id == suite.encryption.id())
        });
        (count == expected && number_known).then_some((suite, spi))
    }

    /// The answer that tells the initiator what we have chosen.
    pub(crate) fn answer(number: u8, suite: EspSuite, spi: u32) -> Proposal {
        let mut transforms = vec![Transform::cipher(suite.encryption.id(), suite.encryption.key_bits())];
        transforms.extend(suite.integrity.map(|i| Transform::plain(INTEG, i.id())));
        transforms.extend(suite.key_exchange.map(|g| Transform::plain(KE, g.id())));
        transforms.push(Transform::plain(ESN, u16::from(suite.esn)));
        Proposal { number, protocol: protocol::ESP, spi: spi.to_be_bytes().to_vec(), transforms }
    }

    /// Our offer in IKE_AUTH in words.
    pub(crate) fn describe(&self) -> String {
        describe(&self.offer(0, false))
    }

    /// The group for a child whose peer has sent a public value of group `sent`.
    fn group(&self, offers: &Offers<'_>, sent: u16) -> Option<Option<KeGroup>> {
        let prefer_sent = |groups: &[KeGroup]| {
            let offered = || groups.iter().filter(|g| offers.plain(KE, g.id()));
            offered().find(|g| g.id() == sent).or_else(|| offered().next()).copied()
        };
        if !self.key_exchange.is_empty() {
            return prefer_sent(&self.key_exchange).map(Some);
        }
        if offers.none_is_fine(KE) {
            return Some(None);
        }
        // We do not ask for a key exchange, but the peer does: it costs us nothing but time.
        prefer_sent(&KeGroup::UNASKED).map(Some)
    }

    fn accept(
        &self,
        proposal: &Proposal,
        group: impl FnOnce(&Offers<'_>) -> Option<Option<KeGroup>>,
    ) -> Option<(EspSuite, u32)> {
        if proposal.protocol != protocol::ESP || !only_known(proposal, |kind| matches!(kind, ENCR | INTEG | KE | ESN)) {
            return None;
        }
        let offers = Offers(proposal);
        let spi = u32::from_be_bytes(<[u8; 4]>::try_from(proposal.spi.as_slice()).ok()?);
        let key_exchange = group(&offers)?;
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
            Some((EspSuite { encryption: *cipher, integrity, key_exchange, esn }, spi))
        })
    }
}
