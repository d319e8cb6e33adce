//! What we offer, what we choose from an offer, and whether an answer fits it (RFC 7296 §2.7, §3.3).

use crate::algorithm::{EspSuite, IkeCipher, IkeSuite, Integrity, KeGroup, PrfAlgorithm};
use crate::config::{EspProposal, IkeProposal};
use crate::message::{ENCR, ESN, INTEG, KE, PRF, Proposal, Transform, protocol};

impl IkeProposal {
    /// Our SA payload for IKE_SA_INIT. RFC 5282 §8: an AEAD stands without integrity, so AEAD and
    /// CBC ciphers need a proposal each; the class of the most wanted cipher comes first.
    pub(crate) fn offer(&self) -> Vec<Proposal> {
        let mut classes: Vec<bool> = Vec::new();
        for cipher in &self.encryption {
            if !classes.contains(&cipher.is_aead()) {
                classes.push(cipher.is_aead());
            }
        }
        let proposal = |(index, aead): (usize, bool)| {
            let ciphers = self.encryption.iter().filter(|c| c.is_aead() == aead);
            let mut transforms: Vec<Transform> = ciphers.map(|c| Transform::cipher(c.id(), c.key_bytes())).collect();
            if !aead {
                transforms.extend(self.integrity.iter().map(|i| Transform::plain(INTEG, i.id())));
            }
            transforms.extend(self.prf.iter().map(|p| Transform::plain(PRF, p.id())));
            transforms.extend(self.key_exchange.iter().map(|g| Transform::plain(KE, g.id())));
            Proposal { number: index as u8 + 1, protocol: protocol::IKE, spi: Vec::new(), transforms }
        };
        classes.into_iter().enumerate().map(proposal).collect()
    }

    /// The first proposal of the peer that we can accept, with our most wanted algorithms of it. The
    /// group whose public value the peer has already sent wins over our order, as it saves a round trip.
    pub(crate) fn choose(&self, offered: &[Proposal], sent_group: u16) -> Option<(IkeSuite, Proposal)> {
        offered.iter().find_map(|p| self.accept(p, sent_group).map(|s| (s, ike_answer(p.number, s))))
    }

    /// Reads the peer's choice. RFC 7296 §2.7: exactly one proposal, one transform of each type.
    pub(crate) fn chosen(&self, answer: &[Proposal]) -> Option<IkeSuite> {
        let [proposal] = answer else { return None };
        let suite = self.accept(proposal, 0)?;
        let expected = if suite.integrity.is_some() { 4 } else { 3 };
        let count = proposal.transforms.iter().filter(|t| !is_none_integrity(t)).count();
        let number_known = self.offer().iter().any(|o| {
            o.number == proposal.number && o.transforms.iter().any(|t| t.kind == ENCR && t.id == suite.encryption.id())
        });
        (count == expected && number_known && proposal.spi.is_empty()).then_some(suite)
    }

    fn accept(&self, proposal: &Proposal, sent_group: u16) -> Option<IkeSuite> {
        // RFC 7296 §3.3.6: a proposal with a transform type we do not know is not acceptable.
        if proposal.protocol != protocol::IKE || !only_known(proposal, &[ENCR, PRF, INTEG, KE]) {
            return None;
        }
        let offers = Offers(proposal);
        let prf = *self.prf.iter().find(|p| offers.plain(PRF, p.id()))?;
        let groups = || self.key_exchange.iter().filter(|g| offers.plain(KE, g.id()));
        let key_exchange = *groups().find(|g| g.id() == sent_group).or_else(|| groups().next())?;
        self.encryption.iter().filter(|c| offers.cipher(c.id(), c.key_bytes())).find_map(|cipher| {
            let integrity = if cipher.is_aead() {
                // RFC 5282 §8: no integrity transform, or NONE, goes with an AEAD.
                if offers.has(INTEG) && !offers.plain(INTEG, 0) {
                    return None;
                }
                None
            } else {
                Some(*self.integrity.iter().find(|i| offers.plain(INTEG, i.id()))?)
            };
            Some(IkeSuite { encryption: *cipher, integrity, prf, key_exchange })
        })
    }

    /// Our offer in words.
    pub(crate) fn describe(&self) -> String {
        describe(&self.offer())
    }
}

impl EspProposal {
    /// Our SA payload for IKE_AUTH.
    pub(crate) fn offer(&self, spi: u32) -> Vec<Proposal> {
        let mut transforms: Vec<Transform> =
            self.encryption.iter().map(|c| Transform::cipher(c.id(), c.key_bytes())).collect();
        if self.esn {
            transforms.push(Transform::plain(ESN, 1));
        }
        transforms.push(Transform::plain(ESN, 0));
        vec![Proposal { number: 1, protocol: protocol::ESP, spi: spi.to_be_bytes().to_vec(), transforms }]
    }

    /// The first proposal we can accept: the suite, the proposal's number and the peer's SPI.
    pub(crate) fn choose(&self, offered: &[Proposal]) -> Option<(EspSuite, u8, u32)> {
        offered.iter().find_map(|p| self.accept(p).map(|(suite, spi)| (suite, p.number, spi)))
    }

    /// Reads the peer's choice.
    pub(crate) fn chosen(&self, answer: &[Proposal]) -> Option<(EspSuite, u32)> {
        let [proposal] = answer else { return None };
        let count = proposal.transforms.iter().filter(|t| !is_none_integrity(t)).count();
        if proposal.number != 1 || count != 2 {
            return None;
        }
        self.accept(proposal)
    }

    /// The answer that tells the initiator what we have chosen.
    pub(crate) fn answer(number: u8, suite: EspSuite, spi: u32) -> Proposal {
        Proposal {
            number,
            protocol: protocol::ESP,
            spi: spi.to_be_bytes().to_vec(),
            transforms: vec![
                Transform::cipher(suite.encryption.id(), suite.encryption.key_bytes()),
                Transform::plain(ESN, u16::from(suite.esn)),
            ],
        }
    }

    fn accept(&self, proposal: &Proposal) -> Option<(EspSuite, u32)> {
        if proposal.protocol != protocol::ESP || !only_known(proposal, &[ENCR, INTEG, KE, ESN]) {
            return None;
        }
        let offers = Offers(proposal);
        let none_is_fine = |kind| !offers.has(kind) || offers.plain(kind, 0);
        // RFC 7296 §1.2: IKE_AUTH has no key exchange for the child.
        if !none_is_fine(INTEG) || !none_is_fine(KE) {
            return None;
        }
        let spi = u32::from_be_bytes(<[u8; 4]>::try_from(proposal.spi.as_slice()).ok()?);
        let encryption = *self.encryption.iter().find(|c| offers.cipher(c.id(), c.key_bytes()))?;
        let esn = self.esn && offers.plain(ESN, 1);
        (esn || offers.plain(ESN, 0)).then_some((EspSuite { encryption, esn }, spi))
    }

    /// Our offer in words.
    pub(crate) fn describe(&self) -> String {
        describe(&self.offer(0))
    }
}

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
    let cipher = |id, bytes: usize| t.id == id && t.key_bits == Some((bytes * 8) as u16);
    let name = match t.kind {
        ENCR => IkeCipher::ALL.iter().find(|c| cipher(c.id(), c.key_bytes())).map(ToString::to_string),
        PRF => PrfAlgorithm::ALL.iter().find(|p| p.id() == t.id).map(ToString::to_string),
        INTEG => Integrity::ALL.iter().find(|i| i.id() == t.id).map(ToString::to_string),
        KE => KeGroup::from_id(t.id).map(|g| g.to_string()),
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

fn ike_answer(number: u8, suite: IkeSuite) -> Proposal {
    let mut transforms = vec![Transform::cipher(suite.encryption.id(), suite.encryption.key_bytes())];
    transforms.extend(suite.integrity.map(|i| Transform::plain(INTEG, i.id())));
    transforms.push(Transform::plain(PRF, suite.prf.id()));
    transforms.push(Transform::plain(KE, suite.key_exchange.id()));
    Proposal { number, protocol: protocol::IKE, spi: Vec::new(), transforms }
}

/// Some peers write "no integrity" into an AEAD's proposal, others leave it out.
fn is_none_integrity(t: &Transform) -> bool {
    t.kind == INTEG && t.id == 0
}

fn only_known(proposal: &Proposal, kinds: &[u8]) -> bool {
    proposal.transforms.iter().all(|t| kinds.contains(&t.kind))
}

/// What one proposal has on offer.
struct Offers<'a>(&'a Proposal);

impl Offers<'_> {
    fn has(&self, kind: u8) -> bool {
        self.0.transforms.iter().any(|t| t.kind == kind)
    }

    fn plain(&self, kind: u8, id: u16) -> bool {
        self.0.transforms.iter().any(|t| t.kind == kind && t.id == id && t.key_bits.is_none() && !t.strange)
    }

    fn cipher(&self, id: u16, key_bytes: usize) -> bool {
        let bits = Some((key_bytes * 8) as u16);
        self.0.transforms.iter().any(|t| t.kind == ENCR && t.id == id && t.key_bits == bits && !t.strange)
    }
}

const MAX_WORDS: usize = 24;
