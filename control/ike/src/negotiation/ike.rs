//! The IKE SA's proposals: in IKE_SA_INIT, and in a rekey, where they carry an SPI (RFC 7296 §1.3.2).

use super::{
    Offers, accept_additional, answer_additional, classes, describe, is_none, offer_additional, only_known, place,
};
use crate::algorithm::IkeSuite;
use crate::config::IkeProposal;
use crate::message::{ENCR, INTEG, KE, PRF, Proposal, Transform, protocol};

impl IkeProposal {
    /// Nothing but a suite that was agreed on before, for its successor.
    pub(crate) fn only(&self, suite: IkeSuite) -> Self {
        Self {
            key_exchange: vec![suite.key_exchange],
            additional_key_exchange: suite.additional.into_iter().map_while(|group| Some(vec![group?])).collect(),
            encryption: vec![suite.encryption],
            integrity: suite.integrity.into_iter().collect(),
            prf: vec![suite.prf],
        }
    }

    /// Our SA payload, with our new SPI in a rekey. RFC 5282 §8: an AEAD stands without integrity, so AEAD
    /// and CBC ciphers need a proposal each; the class of the most wanted cipher comes first.
    pub(crate) fn offer(&self, spi: Option<u64>) -> Vec<Proposal> {
        let proposal = |(index, aead): (usize, bool)| {
            let ciphers = self.encryption.iter().filter(|c| c.is_aead() == aead);
            let mut transforms: Vec<Transform> = ciphers.map(|c| Transform::cipher(c.id(), c.key_bits())).collect();
            if !aead {
                transforms.extend(self.integrity.iter().map(|i| Transform::plain(INTEG, i.id())));
            }
            transforms.extend(self.prf.iter().map(|p| Transform::plain(PRF, p.id())));
            transforms.extend(self.key_exchange.iter().map(|g| Transform::plain(KE, g.id())));
            transforms.extend(offer_additional(&self.additional_key_exchange));
            Proposal { number: index as u8 + 1, protocol: protocol::IKE, spi: spi_bytes(spi), transforms }
        };
        classes(self.encryption.iter().map(|c| c.is_aead())).into_iter().enumerate().map(proposal).collect()
    }

    /// The first proposal of the peer that we can accept, with our most wanted algorithms of it: the suite, what to
    /// answer (in a rekey our new SPI has to be put in), and the peer's new SPI where the proposal carries one. The
    /// group whose public value the peer has already sent wins over our order, as it saves a round trip.
    pub(crate) fn choose(&self, offered: &[Proposal], sent_group: u16) -> Option<(IkeSuite, Proposal, Option<u64>)> {
        offered.iter().find_map(|p| self.accept(p, sent_group).map(|(suite, spi)| (suite, answer(p, suite), spi)))
    }

    /// Reads the peer's choice: the suite, and the peer's new SPI where there is one. RFC 7296 §2.7: exactly one
    /// proposal, one transform of each type.
    pub(crate) fn chosen(&self, answer: &[Proposal]) -> Option<(IkeSuite, Option<u64>)> {
        let [proposal] = answer else { return None };
        let (suite, spi) = self.accept(proposal, 0)?;
        let expected = if suite.integrity.is_some() { 4 } else { 3 } + suite.additional.iter().flatten().count();
        let count = proposal.transforms.iter().filter(|t| !is_none(t)).count();
        let number_known = self.offer(None).iter().any(|o| {
            o.number == proposal.number && o.transforms.iter().any(|t| t.kind == ENCR && t.id == suite.encryption.id())
        });
        (count == expected && number_known).then_some((suite, spi))
    }

    /// Our offer in words.
    pub(crate) fn describe(&self) -> String {
        describe(&self.offer(None))
    }

    fn accept(&self, proposal: &Proposal, sent_group: u16) -> Option<(IkeSuite, Option<u64>)> {
        // RFC 7296 §3.3.6: a proposal with a transform type we do not know is not acceptable.
        if proposal.protocol != protocol::IKE
            || !only_known(proposal, |kind| matches!(kind, ENCR | PRF | INTEG | KE) || place(kind).is_some())
        {
            return None;
        }
        let spi = match proposal.spi.as_slice() {
            [] => None,
            bytes => Some(u64::from_be_bytes(bytes.try_into().ok()?)).filter(|spi| *spi != 0),
        };
        if spi.is_none() && !proposal.spi.is_empty() {
            return None;
        }
        let offers = Offers(proposal);
        let prf = *self.prf.iter().find(|p| offers.plain(PRF, p.id()))?;
        let groups = || self.key_exchange.iter().filter(|g| offers.plain(KE, g.id()));
        let key_exchange = *groups().find(|g| g.id() == sent_group).or_else(|| groups().next())?;
        let additional = accept_additional(&self.additional_key_exchange, &[], &offers, key_exchange)?;
        self.encryption.iter().filter(|c| offers.cipher(c.id(), c.key_bits())).find_map(|cipher| {
            let integrity = if cipher.is_aead() {
                // RFC 5282 §8: no integrity transform, or NONE, goes with an AEAD.
                if !offers.none_is_fine(INTEG) {
                    return None;
                }
                None
            } else {
                Some(*self.integrity.iter().find(|i| offers.plain(INTEG, i.id()))?)
            };
            Some((IkeSuite { encryption: *cipher, integrity, prf, key_exchange, additional }, spi))
        })
    }
}

fn answer(offered: &Proposal, suite: IkeSuite) -> Proposal {
    let mut transforms = vec![Transform::cipher(suite.encryption.id(), suite.encryption.key_bits())];
    transforms.extend(suite.integrity.map(|i| Transform::plain(INTEG, i.id())));
    transforms.push(Transform::plain(PRF, suite.prf.id()));
    transforms.push(Transform::plain(KE, suite.key_exchange.id()));
    transforms.extend(answer_additional(offered, suite.additional));
    Proposal { number: offered.number, protocol: protocol::IKE, spi: Vec::new(), transforms }
}

fn spi_bytes(spi: Option<u64>) -> Vec<u8> {
    spi.map_or_else(Vec::new, |spi| spi.to_be_bytes().to_vec())
}
