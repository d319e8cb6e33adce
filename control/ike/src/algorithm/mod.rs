//! The algorithms we speak, by kind: their IANA numbers, key lengths and names.

mod esp_cipher;
mod ike_cipher;
mod integrity;
mod key_exchange;
mod prf;

use std::fmt;

pub use esp_cipher::EspCipher;
pub use ike_cipher::IkeCipher;
pub use integrity::Integrity;
pub use key_exchange::KeGroup;
pub use prf::PrfAlgorithm;

/// How many key exchanges may follow the first one (RFC 9370 §2.2.1: transform types 6 to 12).
pub const ADDITIONAL_KEY_EXCHANGES: usize = 7;

/// What an IKE SA agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeSuite {
    /// The cipher.
    pub encryption: IkeCipher,
    /// The integrity algorithm; `None` with an AEAD.
    pub integrity: Option<Integrity>,
    /// The pseudo-random function.
    pub prf: PrfAlgorithm,
    /// The group.
    pub key_exchange: KeGroup,
    /// The additional key exchanges, in the order in which they are made; `None` where a place is not used (RFC 9370).
    pub additional: [Option<KeGroup>; ADDITIONAL_KEY_EXCHANGES],
}

impl IkeSuite {
    /// The algorithms of it that RFC 8247 advises against, by name.
    pub fn weak(&self) -> Vec<String> {
        let cipher = self.encryption.is_weak().then(|| self.encryption.to_string());
        let integrity = self.integrity.filter(|i| i.is_weak()).map(|i| i.to_string());
        let prf = self.prf.is_weak().then(|| self.prf.to_string());
        let group = self.key_exchange.is_weak().then(|| self.key_exchange.to_string());
        [cipher, integrity, prf, group].into_iter().flatten().collect()
    }
}

impl fmt::Display for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.encryption)?;
        if let Some(integrity) = self.integrity {
            write!(f, "-{integrity}")?;
        }
        write!(f, "-{}-{}", self.prf, self.key_exchange)?;
        write_additional(self.additional, f)
    }
}

fn write_additional(
    additional: [Option<KeGroup>; ADDITIONAL_KEY_EXCHANGES],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let places = (1..).zip(additional);
    places.filter_map(|(place, group)| Some((place, group?))).try_for_each(|(n, group)| write!(f, "-ke{n}_{group}"))
}

/// What a child SA agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspSuite {
    /// The cipher.
    pub encryption: EspCipher,
    /// The integrity algorithm; `None` with an AEAD.
    pub integrity: Option<Integrity>,
    /// The group of its own key exchange; `None` where its keys come from the IKE SA's (RFC 7296 §1.2, §1.3.1).
    pub key_exchange: Option<KeGroup>,
    /// The additional key exchanges that followed it (RFC 9370); `None` where a place is not used.
    pub additional: [Option<KeGroup>; ADDITIONAL_KEY_EXCHANGES],
    /// Extended sequence numbers.
    pub esn: bool,
}

impl EspSuite {
    /// The algorithms of it that RFC 8221 and RFC 8247 advise against, by name.
    pub fn weak(&self) -> Vec<String> {
        let integrity = self.integrity.filter(|i| i.is_weak()).map(|i| i.to_string());
        let group = self.key_exchange.filter(|g| g.is_weak()).map(|g| g.to_string());
        [integrity, group].into_iter().flatten().collect()
    }
}

impl fmt::Display for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.encryption)?;
        if let Some(integrity) = self.integrity {
            write!(f, "-{integrity}")?;
        }
        if let Some(group) = self.key_exchange {
            write!(f, "-{group}")?;
        }
        write_additional(self.additional, f)?;
        f.write_str(if self.esn { "-esn" } else { "-noesn" })
    }
}
