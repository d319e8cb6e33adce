//! From a peer's certificate to an authority that we trust (RFC 5280 §6).

use std::fmt;

use thiserror::Error;

use super::revocation::{RevocationList, RevocationPolicy};
use super::{Certificate, PemError, pem};
use crate::reason::{CertificateFault, DownReason};

/// A certificate that we trust: that of an authority, or a peer's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Authority(Certificate);

impl Authority {
    /// All certificates of a file, in PEM or one in DER.
    ///
    /// # Errors
    /// [`PemError`] if there is none, or one that cannot be read.
    pub fn all_from_pem(content: &[u8]) -> Result<Vec<Self>, PemError> {
        let values = pem::values(content, "CERTIFICATE", "certificate")?;
        let read = |der: Vec<u8>| Certificate::from_der(&der).map(Self).map_err(|_| PemError::Malformed("certificate"));
        values.into_iter().map(read).collect()
    }

    /// Whether both certificates say the same; their signatures may have been made at other times.
    #[cfg(feature = "fuzz")]
    pub(crate) fn signed_the_same_as(&self, other: &Certificate) -> bool {
        super::signature::signed_part(self.0.der()) == super::signature::signed_part(other.der())
    }
}

/// Whom a peer's certificate has to come from, and which ones have been revoked.
#[derive(Clone, PartialEq)]
pub struct Trust {
    authorities: Vec<Certificate>,
    lists: Vec<RevocationList>,
    policy: RevocationPolicy,
}

/// Why authorities and revocation lists do not go together.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    /// Without any, nobody is trusted.
    #[error("no certificate authority is given")]
    NoAuthority,
    /// An authority is named as the list's issuer, but its key did not sign it.
    #[error("was not signed by {issuer}, in whose name it is")]
    ForgedList {
        /// Which of the lists.
        nth: usize,
        /// The authority.
        issuer: String,
    },
}

impl Trust {
    /// Trusts these authorities, but for what these lists revoke.
    ///
    /// # Errors
    /// [`TrustError`] if there is no authority, or one of them did not sign a list in its name.
    pub fn new(
        authorities: Vec<Authority>,
        lists: Vec<RevocationList>,
        policy: RevocationPolicy,
    ) -> Result<Self, TrustError> {
        let authorities: Vec<Certificate> = authorities.into_iter().map(|authority| authority.0).collect();
        if authorities.is_empty() {
            return Err(TrustError::NoAuthority);
        }
        for (nth, list) in lists.iter().enumerate() {
            let mut named = authorities.iter().filter(|authority| authority.subject().is(list.issuer())).peekable();
            // The list of an intermediate authority is checked when that one's certificate comes.
            if named.peek().is_some() && !named.any(|authority| list.is_signed_by(authority)) {
                return Err(TrustError::ForgedList { nth, issuer: list.issuer().to_string() });
            }
        }
        Ok(Self { authorities, lists, policy })
    }

    /// The data of our CERTREQ payload: which authorities a certificate may come from (RFC 7296 §3.7).
    pub(crate) fn request(&self) -> Vec<u8> {
        self.authorities.iter().take(MOST_REQUESTED).flat_map(Certificate::key_hash).collect()
    }

    /// Judges the first certificate by a path through the others to an authority, at this time (seconds since 1970).
    ///
    /// # Errors
    /// The reason that is closest to a way that leads to an authority.
    pub(crate) fn judge(&self, sent: &[Certificate], now: u64) -> Result<(), DownReason> {
        let Some(end) = sent.first() else { return Err(DownReason::CertificateMissing) };
        end.check_end().map_err(|fault| unusable(end, fault))?;
        if self.authorities.contains(end) {
            // RFC 5280 §6.1 leaves to us what is trusted: here the peer itself.
            return in_time(end, now).and_then(|()| understood(end));
        }
        let mut search = Search { trust: self, sent, now, path: vec![end], paths: 0, found: None };
        if search.extend() {
            return Ok(());
        }
        let nearest = search.nearest();
        Err(search.found.unwrap_or(nearest))
    }

    /// Judges a path from the authority down, so that no key is used before it is vouched for.
    fn judge_path(&self, path: &[&Certificate], authority: &Certificate, now: u64) -> Result<(), DownReason> {
        let mut issuer = authority;
        in_time(issuer, now)?;
        for (below, certificate) in path.iter().enumerate().rev() {
            understood(issuer)?;
            issuer.check_authority(below).map_err(|fault| unusable(issuer, fault))?;
            let key = issuer.public_key().map_err(|key| unusable(issuer, CertificateFault::Key(key)))?;
            certificate.check_signature(&key).map_err(|fault| unusable(certificate, fault))?;
            in_time(certificate, now)?;
            self.check_revocation(certificate, issuer, now)?;
            issuer = certificate;
        }
        understood(issuer)
    }

    fn check_revocation(&self, certificate: &Certificate, issuer: &Certificate, now: u64) -> Result<(), DownReason> {
        let lists = self.lists.iter().filter(|list| list.issuer().is(issuer.subject()) && list.is_signed_by(issuer));
        let mut current = false;
        for list in lists {
            if list.revokes(certificate.serial()) {
                return Err(DownReason::CertificateRevoked {
                    subject: certificate.subject().to_string(),
                    serial: certificate.serial().iter().map(|byte| format!("{byte:02x}")).collect(),
                    issuer: issuer.subject().to_string(),
                });
            }
            current |= list.is_current(now);
        }
        match self.policy {
            RevocationPolicy::Strict if !current => Err(DownReason::RevocationUnknown {
                subject: certificate.subject().to_string(),
                issuer: issuer.subject().to_string(),
            }),
            RevocationPolicy::Strict | RevocationPolicy::Lenient => Ok(()),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({:?}, {} revocation lists, {:?})", self.authorities, self.lists.len(), self.policy)
    }
}

/// Looks for a path, by names first.
struct Search<'a> {
    trust: &'a Trust,
    sent: &'a [Certificate],
    now: u64,
    path: Vec<&'a Certificate>,
    /// Paths judged so far.
    paths: usize,
    /// Why the first path that reached an authority was no good.
    found: Option<DownReason>,
}

impl Search<'_> {
    fn extend(&mut self) -> bool {
        let Some(issuer) = self.path.last().map(|last| last.issuer().clone()) else { return false };
        for authority in self.trust.authorities.iter().filter(|authority| authority.subject().is(&issuer)) {
            if self.paths == MOST_PATHS {
                return false;
            }
            self.paths += 1;
            match self.trust.judge_path(&self.path, authority, self.now) {
                Ok(()) => return true,
                Err(reason) => self.found = self.found.take().or(Some(reason)),
            }
        }
        if self.path.len() == LONGEST_PATH {
            return false;
        }
        let sent = self.sent;
        for candidate in sent.iter().skip(1).filter(|candidate| candidate.subject().is(&issuer)) {
            if self.path.contains(&candidate) {
                continue;
            }
            self.path.push(candidate);
            if self.extend() {
                return true;
            }
            self.path.pop();
        }
        false
    }

    /// No way leads to an authority: the end of the first one, which is where somebody is missing.
    fn nearest(&self) -> DownReason {
        let mut last = self.sent.first();
        for _ in 0..self.sent.len() {
            let next = last.and_then(|last| {
                self.sent.iter().find(|next| next.subject().is(last.issuer()) && !next.issuer().is(next.subject()))
            });
            last = next.or(last);
        }
        DownReason::CertificateUntrusted {
            subject: self.sent.first().map_or_else(String::new, |end| end.subject().to_string()),
            issuer: last.map_or_else(String::new, |last| last.issuer().to_string()),
        }
    }
}

fn in_time(certificate: &Certificate, now: u64) -> Result<(), DownReason> {
    let (first, last) = certificate.validity();
    let subject = || certificate.subject().to_string();
    if now < first.to_unix_duration().as_secs() {
        return Err(DownReason::CertificateNotYetValid { subject: subject(), from: first.to_date_time().to_string() });
    }
    if now > last.to_unix_duration().as_secs() {
        return Err(DownReason::CertificateExpired { subject: subject(), since: last.to_date_time().to_string() });
    }
    Ok(())
}

fn understood(certificate: &Certificate) -> Result<(), DownReason> {
    certificate.check_extensions().map_err(|fault| unusable(certificate, fault))
}

fn unusable(certificate: &Certificate, fault: CertificateFault) -> DownReason {
    DownReason::CertificateUnusable { subject: certificate.subject().to_string(), fault }
}

/// Certificates below the authority.
const LONGEST_PATH: usize = 6;
/// Bounds what one message of a peer can make us compute.
const MOST_PATHS: usize = 8;
/// Keeps our messages short; a peer takes the list for a hint.
const MOST_REQUESTED: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1 January 2026.
    const NOW: u64 = 1_767_225_600;

    fn chain() -> Vec<Vec<u8>> {
        let file = include_bytes!("../../tests/certificates/branch-chain.pem");
        pem::values(file, "CERTIFICATE", "certificate").unwrap()
    }

    fn trust() -> Trust {
        let root = Authority::all_from_pem(include_bytes!("../../tests/certificates/root.pem")).unwrap();
        Trust::new(root, Vec::new(), RevocationPolicy::Lenient).unwrap()
    }

    fn judge(chain: &[Vec<u8>]) -> Result<(), DownReason> {
        let read = |der: &Vec<u8>| Certificate::from_der(der).ok();
        trust().judge(&chain.iter().filter_map(read).collect::<Vec<_>>(), NOW)
    }

    #[test]
    fn order_and_company_do_not_matter_but_the_first() {
        let [end, branches] = <[Vec<u8>; 2]>::try_from(chain()).unwrap();
        let root = Authority::all_from_pem(include_bytes!("../../tests/certificates/root.pem")).unwrap().remove(0).0;
        let stranger = include_bytes!("../../tests/certificates/stranger.pem");
        let stranger = pem::values(stranger, "CERTIFICATE", "certificate").unwrap().remove(0);
        let root = root.der().to_vec();
        let all = [end.clone(), stranger.clone(), root, branches.clone(), end.clone(), branches.clone()];
        assert_eq!(judge(&all), Ok(()));
        assert!(judge(&[branches, end]).is_err(), "an authority is nobody's end");
        assert!(judge(&[stranger]).is_err());
        assert_eq!(judge(&[]), Err(DownReason::CertificateMissing));
    }

    #[test]
    fn what_a_peer_sends_again_and_again_costs_no_more() {
        let [end, branches] = <[Vec<u8>; 2]>::try_from(chain()).unwrap();
        // Each names the next, and none leads anywhere.
        let deep = include_bytes!("../../tests/certificates/below-deep-chain.pem");
        let deep = pem::values(deep, "CERTIFICATE", "certificate").unwrap();
        let many: Vec<Vec<u8>> = [vec![end], vec![branches; 7]].concat();
        assert_eq!(judge(&many), Ok(()));
        assert!(judge(&[deep.clone(), deep.clone(), deep].concat()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_chain_is_not_believed(which in 0usize..2, place in any::<prop::sample::Index>(), by in 1u8..) {
            let mut chain = chain();
            let length = chain[which].len();
            chain[which][place.index(length)] ^= by;
            prop_assert!(judge(&chain).is_err());
        }
    }
}
