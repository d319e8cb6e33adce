//! Authentication of control packets (RFC 5880 §6.7).

use std::fmt;

use md5::Md5;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::packet::{AuthenticationSection, BEFORE_DIGEST, MANDATORY, Packet};

/// How the packets of a session are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A password in the clear, which proves nothing to somebody who listens (§6.7.2).
    SimplePassword,
    /// MD5 over packet and key (§6.7.3).
    KeyedMd5,
    /// The same, with a number that no two packets share.
    MeticulousKeyedMd5,
    /// SHA-1 over packet and key (§6.7.4).
    KeyedSha1,
    /// The same, with a number that no two packets share.
    MeticulousKeyedSha1,
}

impl Algorithm {
    /// The authentication section's type.
    fn kind(self) -> u8 {
        match self {
            Self::SimplePassword => 1,
            Self::KeyedMd5 => 2,
            Self::MeticulousKeyedMd5 => 3,
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }

    /// Most bytes a secret may have: those of the field it stands in.
    pub fn longest_secret(self) -> usize {
        match self {
            Self::SimplePassword | Self::KeyedMd5 | Self::MeticulousKeyedMd5 => 16,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => 20,
        }
    }

    /// Whether a packet with the number of the one before is refused.
    fn meticulous(self) -> bool {
        match self {
            Self::MeticulousKeyedMd5 | Self::MeticulousKeyedSha1 => true,
            Self::SimplePassword | Self::KeyedMd5 | Self::KeyedSha1 => false,
        }
    }
}

/// A secret and the number under which both ends know it.
#[derive(Clone)]
pub struct Key {
    id: u8,
    secret: Zeroizing<Vec<u8>>,
}

impl Key {
    /// A key; whether its secret has an acceptable length depends on the [`Algorithm`].
    pub fn new(id: u8, secret: &[u8]) -> Self {
        Self { id, secret: Zeroizing::new(secret.to_vec()) }
    }

    /// Its number.
    pub fn id(&self) -> u8 {
        self.id
    }

    pub(crate) fn length(&self) -> usize {
        self.secret.len()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && bool::from(self.secret.ct_eq(&other.secret))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("secret", &"[redacted]").finish()
    }
}

/// The keys of a session. Packets are sent with the first and accepted with any, so that keys can be replaced one end at a
/// time.
#[derive(Clone, Debug, PartialEq)]
pub struct Authentication {
    /// What is done with them.
    pub algorithm: Algorithm,
    /// At least one.
    pub keys: Vec<Key>,
}

/// Why a packet is not authentic (RFC 5880 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// One end authenticates, the other does not.
    #[error("{}", if *.received { "authenticated, which is not configured here" } else { "not authenticated" })]
    Presence {
        /// Whether the packet has an authentication section.
        received: bool,
    },
    /// Another algorithm.
    #[error("authenticated by type {0}, which is not the one configured here")]
    Type(u8),
    /// A key that is not ours.
    #[error("key {0} is not configured here")]
    UnknownKey(u8),
    /// The password or the digest is wrong.
    #[error("what was computed with key {0} does not agree")]
    Mismatch(u8),
    /// Not a number that may follow the last one: a packet of the past, sent again.
    #[error("sequence number {received} after {last}")]
    Sequence {
        /// The packet's.
        received: u32,
        /// The last accepted one.
        last: u32,
    },
}

impl Authentication {
    /// Bytes of the section.
    pub(crate) fn section(&self) -> usize {
        match self.algorithm {
            Algorithm::SimplePassword => 3 + self.keys.first().map_or(0, Key::length),
            Algorithm::KeyedMd5 | Algorithm::MeticulousKeyedMd5 => BEFORE_DIGEST + 16,
            Algorithm::KeyedSha1 | Algorithm::MeticulousKeyedSha1 => BEFORE_DIGEST + 20,
        }
    }

    /// Adds the section to a mandatory section whose length field counts it already.
    pub(crate) fn seal(&self, packet: &mut Vec<u8>, sequence: u32) {
        let Some(key) = self.keys.first() else { return };
        let length = u8::try_from(self.section()).expect("a section has at most 28 bytes");
        packet.extend_from_slice(&[self.algorithm.kind(), length, key.id]);
        if self.algorithm == Algorithm::SimplePassword {
            packet.extend_from_slice(&key.secret);
            return;
        }
        packet.push(0);
        packet.extend_from_slice(&sequence.to_be_bytes());
        let digest = self.digest(packet, key);
        packet.extend_from_slice(&digest);
    }

    /// Checks a packet against the last accepted sequence number, of which there is none after silence. Gives the number to
    /// remember.
    pub(crate) fn open(&self, packet: &Packet<'_>, last: Option<u32>) -> Result<Option<u32>, AuthenticationError> {
        let section = packet.authentication.ok_or(AuthenticationError::Presence { received: false })?;
        if section.kind != self.algorithm.kind() {
            return Err(AuthenticationError::Type(section.kind));
        }
        let known = self.keys.iter().find(|key| key.id == section.key_id);
        let key = known.ok_or(AuthenticationError::UnknownKey(section.key_id))?;
        if let (Some(received), Some(last)) = (section.sequence, last) {
            // RFC 5880 §6.7.3: from the last one, or the next, to three times the multiplier further, in a circle.
            let ahead = received.wrapping_sub(last);
            let most = 3 * u32::from(packet.multiplier);
            if ahead > most || (ahead == 0 && self.algorithm.meticulous()) {
                return Err(AuthenticationError::Sequence { received, last });
            }
        }
        if !self.agrees(packet, &section, key) {
            return Err(AuthenticationError::Mismatch(key.id));
        }
        Ok(section.sequence)
    }

    fn agrees(&self, packet: &Packet<'_>, section: &AuthenticationSection<'_>, key: &Key) -> bool {
        match section.sequence {
            None => section.secret.ct_eq(&key.secret).into(),
            Some(_) => {
                let before = packet.bytes.get(..MANDATORY + BEFORE_DIGEST).unwrap_or_default();
                section.secret.ct_eq(&self.digest(before, key)).into()
            }
        }
    }

    /// The digest over all that comes before it and the key, in the digest's place and filled up with zeros.
    fn digest(&self, before: &[u8], key: &Key) -> Zeroizing<Vec<u8>> {
        let zeros = [0; 20];
        let fill = zeros.get(..self.algorithm.longest_secret().saturating_sub(key.length())).unwrap_or_default();
        match self.algorithm {
            Algorithm::SimplePassword => Zeroizing::new(Vec::new()),
            Algorithm::KeyedMd5 | Algorithm::MeticulousKeyedMd5 => {
                let digest = Md5::new().chain_update(before).chain_update(&key.secret).chain_update(fill);
                Zeroizing::new(digest.finalize().to_vec())
            }
            Algorithm::KeyedSha1 | Algorithm::MeticulousKeyedSha1 => {
                let digest = Sha1::new().chain_update(before).chain_update(&key.secret).chain_update(fill);
                Zeroizing::new(digest.finalize().to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Diagnostic, Microseconds, State};

    /// What BIRD sent (tests/oracle/record.py), each with the keys it was configured with.
    fn recorded() -> Vec<(Option<Authentication>, Vec<u8>)> {
        let lines = include_str!("../tests/vectors/bird.txt").lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (kind, hex) = line.split_once(": ").expect("kind and bytes");
                let (algorithm, secret) = match kind {
                    "none" => return (None, bytes(hex)),
                    "simple" => (Algorithm::SimplePassword, "plain-password"),
                    "keyed md5" => (Algorithm::KeyedMd5, "md5-secret"),
                    "meticulous keyed md5" => (Algorithm::MeticulousKeyedMd5, "sixteen-bytes-16"),
                    "keyed sha1" => (Algorithm::KeyedSha1, "sha1-secret"),
                    "meticulous keyed sha1" => (Algorithm::MeticulousKeyedSha1, "twenty-bytes-long-20"),
                    other => panic!("{other}"),
                };
                (Some(Authentication { algorithm, keys: vec![Key::new(7, secret.as_bytes())] }), bytes(hex))
            })
            .collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn packets_of_bird_are_read_and_written_as_bird_does() {
        let states = [State::Down, State::Init, State::Up];
        for (place, (authentication, bytes)) in recorded().into_iter().enumerate() {
            let packet = Packet::parse(&bytes).expect("BIRD's packets are packets");
            let state = states[place % 3];
            assert_eq!((packet.state, packet.diagnostic, packet.multiplier), (state, Diagnostic::None, 4));
            // BIRD asks for 200 ms once the session is up, and for a second before.
            let tx = if state == State::Up { 200_000 } else { 1_000_000 };
            assert_eq!((packet.desired_min_tx, packet.required_min_rx), (Microseconds(tx), Microseconds(100_000)));
            assert_eq!(packet.your_discriminator, if state == State::Down { 0 } else { 0x1122_3344 });
            // It has just come up, and so asks whether its new interval is known.
            assert_eq!(packet.poll, state == State::Up);
            assert!(!packet.fin && !packet.demand && !packet.control_plane_independent);
            let Some(authentication) = authentication else {
                assert_eq!(packet.authentication, None);
                assert_eq!(packet.mandatory(0), bytes);
                continue;
            };
            let sequence = authentication.open(&packet, None).expect("BIRD has the same key");
            let mut ours = packet.mandatory(authentication.section());
            authentication.seal(&mut ours, sequence.unwrap_or_default());
            assert_eq!(ours, bytes);
        }
    }

    #[test]
    fn no_bit_of_an_authenticated_packet_can_be_changed() {
        for (authentication, bytes) in recorded() {
            let Some(authentication) = authentication.filter(|known| known.algorithm != Algorithm::SimplePassword)
            else {
                continue;
            };
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                if let Ok(packet) = Packet::parse(&changed) {
                    assert!(authentication.open(&packet, None).is_err(), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_packet_is_named() {
        let recorded = recorded();
        let (authentication, bytes) = recorded.last().expect("lines");
        let authentication = authentication.as_ref().expect("the last is authenticated");
        let packet = Packet::parse(bytes).expect("a packet");
        let with = |algorithm, key| Authentication { algorithm, keys: vec![key] };
        let other_key = with(authentication.algorithm, Key::new(8, b"twenty-bytes-long-20"));
        assert_eq!(other_key.open(&packet, None), Err(AuthenticationError::UnknownKey(7)));
        let other_secret = with(authentication.algorithm, Key::new(7, b"twenty-bytes-long-21"));
        assert_eq!(other_secret.open(&packet, None), Err(AuthenticationError::Mismatch(7)));
        let other_kind = with(Algorithm::KeyedSha1, Key::new(7, b"twenty-bytes-long-20"));
        assert_eq!(other_kind.open(&packet, None), Err(AuthenticationError::Type(5)));
        let bare = Packet::parse(&recorded[0].1).expect("a packet");
        assert_eq!(authentication.open(&bare, None), Err(AuthenticationError::Presence { received: false }));
    }

    #[test]
    fn a_number_follows_the_last_one_and_is_not_far_ahead_of_it() {
        let sha1 = |algorithm| Authentication { algorithm, keys: vec![Key::new(1, b"secret")] };
        for (algorithm, least) in [(Algorithm::MeticulousKeyedSha1, 1), (Algorithm::KeyedSha1, 0)] {
            let authentication = sha1(algorithm);
            for last in [0, 7, u32::MAX - 3, u32::MAX] {
                for ahead in [0, 1, 2, 12, 13, u32::MAX] {
                    let received = last.wrapping_add(ahead);
                    // A multiplier of 4, so at most 12 further.
                    let mut bytes =
                        Packet::parse(&recorded()[0].1).expect("a packet").mandatory(authentication.section());
                    authentication.seal(&mut bytes, received);
                    let packet = Packet::parse(&bytes).expect("a packet");
                    let expected = if (least..=12).contains(&ahead) {
                        Ok(Some(received))
                    } else {
                        Err(AuthenticationError::Sequence { received, last })
                    };
                    assert_eq!(authentication.open(&packet, Some(last)), expected, "{algorithm:?} {last} {ahead}");
                }
            }
        }
    }

    #[test]
    fn secrets_are_not_formatted() {
        let key = format!("{:?}", Key::new(3, b"hush"));
        assert_eq!(key, r#"Key { id: 3, secret: "[redacted]" }"#);
    }
}
