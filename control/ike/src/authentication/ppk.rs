//! Post-quantum pre-shared keys (RFC 8784).

use super::Psk;

/// A key that is mixed into the IKE SA's keys, so that whoever breaks the key exchange later on, with a quantum computer,
/// cannot read what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ppk {
    /// By which name both ends know it.
    pub id: String,
    /// The key itself; RFC 8784 §6 asks for 256 bits of entropy.
    pub key: Psk,
    /// Whether a peer without it is refused.
    pub required: bool,
}

impl Ppk {
    /// The data of PPK_IDENTITY: a fixed identifier (RFC 8784 §5.1: type 2).
    pub(crate) fn identity(&self) -> Vec<u8> {
        [&[2], self.id.as_bytes()].concat()
    }
}
