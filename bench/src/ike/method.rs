//! How the two ends authenticate each other and exchange keys: one row each.

use std::fmt;
use std::str::FromStr;

use ::ike::{IkeCipher, IkeProposal, KeGroup, PrfAlgorithm};

/// What is measured. The rest is the same for all: AES-128-GCM, HMAC-SHA-256, one child of AES-128-GCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    PskX25519,
    PskEcp256,
    /// With a second key exchange in IKE_INTERMEDIATE (RFC 9370).
    PskX25519MlKem768,
    Rsa2048X25519,
}

/// How both ends prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Psk,
    Rsa2048,
}

impl Method {
    pub const ALL: [Self; 4] = [Self::PskX25519, Self::PskEcp256, Self::Rsa2048X25519, Self::PskX25519MlKem768];

    /// How both ends prove who they are.
    pub fn proof(self) -> Proof {
        match self {
            Self::PskX25519 | Self::PskEcp256 | Self::PskX25519MlKem768 => Proof::Psk,
            Self::Rsa2048X25519 => Proof::Rsa2048,
        }
    }

    /// The same in figures.
    pub fn authentication(self) -> &'static str {
        match self.proof() {
            Proof::Psk => "psk",
            Proof::Rsa2048 => "rsa-2048",
        }
    }

    /// How they exchange keys.
    pub fn key_exchange(self) -> &'static str {
        match self {
            Self::PskX25519 | Self::Rsa2048X25519 => "x25519",
            Self::PskEcp256 => "ecp256",
            Self::PskX25519MlKem768 => "x25519-mlkem768",
        }
    }

    /// The only thing that Bordergate proposes and accepts.
    pub fn proposal(self) -> IkeProposal {
        let (group, further) = match self {
            Self::PskX25519 | Self::Rsa2048X25519 => (KeGroup::X25519, Vec::new()),
            Self::PskEcp256 => (KeGroup::Ecp256, Vec::new()),
            Self::PskX25519MlKem768 => (KeGroup::X25519, vec![vec![KeGroup::MlKem768]]),
        };
        IkeProposal {
            key_exchange: vec![group],
            additional_key_exchange: further,
            encryption: vec![IkeCipher::Aes128Gcm16],
            integrity: Vec::new(),
            prf: vec![PrfAlgorithm::HmacSha256],
        }
    }

    /// The same in strongSwan's words; `None` for what Debian's does not know.
    pub fn strongswan_proposal(self) -> Option<&'static str> {
        match self {
            Self::PskX25519 | Self::Rsa2048X25519 => Some("aes128gcm16-prfsha256-x25519"),
            Self::PskEcp256 => Some("aes128gcm16-prfsha256-ecp256"),
            Self::PskX25519MlKem768 => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.authentication(), self.key_exchange())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|method| method.to_string() == name);
        named.ok_or_else(|| {
            format!("no such method; allowed: {}", Self::ALL.map(|method| method.to_string()).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_named_as_in_the_figures() {
        assert_eq!("psk+ecp256".parse(), Ok(Method::PskEcp256));
        let error = "psk+modp768".parse::<Method>().unwrap_err();
        assert!(error.contains("allowed: psk+x25519, psk+ecp256, rsa-2048+x25519, psk+x25519-mlkem768"), "{error}");
    }
}
