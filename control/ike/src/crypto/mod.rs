//! Key exchange, key derivation and the protection of messages.

mod cipher;
mod curve;
mod ke;
mod keys;
mod prf;

pub(crate) use cipher::Protection;
pub(crate) use curve::Curve;
pub(crate) use ke::KeSecret;
pub(crate) use keys::{SaKeys, auth_proof, child_keys};
