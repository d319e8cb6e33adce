//! What both ends prove themselves with. `certificates/` holds the program that made the files.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ::ike::{Authentication, Authority, Credential, Identity, Psk, RevocationPolicy, RsaPadding, Trust};
use anyhow::Result;

use super::method::Proof;
use super::tunnels::End;

/// What all tunnels share.
pub const SECRET: &str = "correct_horse_battery";

/// A file and its content.
pub type File = (&'static str, &'static [u8]);

macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("certificates/", $name)))
    };
}

/// The certificate of the authority that both ends trust.
pub const ROOT: File = file!("root.pem");

impl End {
    /// Its certificate and its private key.
    pub fn certificate(self) -> (File, File) {
        match self {
            Self::Initiator => (file!("initiator.pem"), file!("initiator.key")),
            Self::Responder => (file!("responder.pem"), file!("responder.key")),
        }
    }

    /// The name in its certificate.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator.example",
            Self::Responder => "responder.example",
        }
    }

    /// What it authenticates with in every tunnel, and who it then is, unless that is its address.
    ///
    /// # Errors
    /// Where the certificates and keys are not what their program makes.
    pub fn authentication(self, proof: Proof) -> Result<Authentication> {
        Ok(match proof {
            Proof::Psk => Psk::new(SECRET).into(),
            Proof::Rsa2048 => {
                let ((_, certificate), (_, key)) = self.certificate();
                // As strongSwan does, where it is not told otherwise.
                let local = Credential::from_pem(certificate, key, RsaPadding::Pkcs1)?;
                let trust = Trust::new(Authority::all_from_pem(ROOT.1)?, Vec::new(), RevocationPolicy::Lenient)?;
                Authentication::Certificate { local: Arc::new(local), trust: Arc::new(trust) }
            }
        })
    }

    /// The name that its certificate is for.
    pub fn identity(self) -> Identity {
        Identity::Name(self.name().to_owned())
    }
}

/// The time of day, in seconds since 1970, for the certificates.
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
