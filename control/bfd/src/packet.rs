//! BFD control packets (RFC 5880 §4).

use std::time::Duration;

/// The state of a session's end (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Held down by whoever runs it.
    AdminDown,
    /// The other end is not heard.
    Down,
    /// The other end is heard, and does not hear us yet as far as we know.
    Init,
    /// Both ends hear each other.
    Up,
}

impl State {
    fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// The state's name as RFC 5880 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

/// Why an end last left the state Up (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// Nothing has happened, or the session has come up since.
    None,
    /// Nothing was heard for the detection time.
    DetectionTimeExpired,
    /// The echo function, which is not used here, has failed.
    EchoFailed,
    /// The other end says that it is down.
    NeighborSignaledDown,
    /// The forwarding plane was reset.
    ForwardingPlaneReset,
    /// The path is down, as something other than BFD has found out.
    PathDown,
    /// A part of the path beyond the other end is down.
    ConcatenatedPathDown,
    /// Held down by whoever runs it.
    AdministrativelyDown,
    /// The same, of the way back.
    ReverseConcatenatedPathDown,
    /// A code that RFC 5880 does not name.
    Reserved(u8),
}

impl Diagnostic {
    fn bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(bits) => bits & 0x1f,
        }
    }

    fn from_bits(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Reserved(other),
        }
    }
}

/// An interval as packets carry it: microseconds in 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microseconds(pub u32);

impl From<Microseconds> for Duration {
    fn from(interval: Microseconds) -> Self {
        Self::from_micros(u64::from(interval.0))
    }
}

/// The authentication section, as far as it can be read without a key (RFC 5880 §4.2 to §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthenticationSection<'a> {
    /// Its type, of which 1 to 5 are known.
    pub(crate) kind: u8,
    /// Which key.
    pub(crate) key_id: u8,
    /// The sequence number; `None` beside a password, which has none.
    pub(crate) sequence: Option<u32>,
    /// Password or digest.
    pub(crate) secret: &'a [u8],
}

/// The mandatory section of a control packet (RFC 5880 §4.1), and where its authentication section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) diagnostic: Diagnostic,
    pub(crate) state: State,
    pub(crate) poll: bool,
    pub(crate) fin: bool,
    pub(crate) control_plane_independent: bool,
    pub(crate) demand: bool,
    pub(crate) multiplier: u8,
    pub(crate) my_discriminator: u32,
    pub(crate) your_discriminator: u32,
    pub(crate) desired_min_tx: Microseconds,
    pub(crate) required_min_rx: Microseconds,
    pub(crate) required_min_echo_rx: Microseconds,
    pub(crate) authentication: Option<AuthenticationSection<'a>>,
    /// All that the packet's length field covers: what its digest is over.
    pub(crate) bytes: &'a [u8],
}

/// Why bytes are no control packet (RFC 5880 §6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Shorter than a mandatory section, or than it says of itself.
    #[error("{have} bytes where {need} are needed")]
    Short {
        /// How many there are.
        have: usize,
        /// How many there have to be.
        need: usize,
    },
    /// Not version 1.
    #[error("version {0}, which is not 1")]
    Version(u8),
    /// Its length field leaves no room for what it must hold.
    #[error("a length of {0}, which is too little")]
    Length(u8),
    /// A detection time of nothing.
    #[error("a detect multiplier of 0")]
    Multiplier,
    /// Point to multipoint, which is reserved.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// The sender has no discriminator.
    #[error("a discriminator of 0")]
    MyDiscriminator,
    /// No discriminator of ours, in a state that only somebody who knows it can be in.
    #[error("no discriminator of ours in state {}", .0.name())]
    YourDiscriminator(State),
    /// An authentication section of a length that its type does not have.
    #[error("an authentication section of type {kind} and {length} bytes")]
    Authentication {
        /// Its type.
        kind: u8,
        /// Its length.
        length: u8,
    },
}

/// Bytes of the mandatory section.
pub(crate) const MANDATORY: usize = 24;
/// Bytes that come before the digest in its section, and before the password.
pub(crate) const BEFORE_DIGEST: usize = 8;
const BEFORE_PASSWORD: usize = 3;

impl<'a> Packet<'a> {
    /// Reads a UDP payload; what lies behind the packet's own length is ignored.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let short = ParseError::Short { have: payload.len(), need: MANDATORY };
        let (head, _) = payload.split_first_chunk::<MANDATORY>().ok_or(short)?;
        let &[version_and_diagnostic, flags, multiplier, length, ref words @ ..] = head;
        // RFC 5880 §6.8.6: the checks, in their order.
        if version_and_diagnostic >> 5 != 1 {
            return Err(ParseError::Version(version_and_diagnostic >> 5));
        }
        let authenticated = flags & 0x04 != 0;
        // The shortest section, of a password of one byte, has four; two are what has to be there to read its length.
        if usize::from(length) < MANDATORY + if authenticated { 2 } else { 0 } {
            return Err(ParseError::Length(length));
        }
        let need = usize::from(length);
        let bytes = payload.get(..need).ok_or(ParseError::Short { have: payload.len(), need })?;
        if multiplier == 0 {
            return Err(ParseError::Multiplier);
        }
        if flags & 0x01 != 0 {
            return Err(ParseError::Multipoint);
        }
        let mut words = words.chunks_exact(4).map(|word| word.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)));
        let mut word = || words.next().unwrap_or_default();
        let state = State::from_bits(flags >> 6);
        let packet = Packet {
            diagnostic: Diagnostic::from_bits(version_and_diagnostic),
            state,
            poll: flags & 0x20 != 0,
            fin: flags & 0x10 != 0,
            control_plane_independent: flags & 0x08 != 0,
            demand: flags & 0x02 != 0,
            multiplier,
            my_discriminator: word(),
            your_discriminator: word(),
            desired_min_tx: Microseconds(word()),
            required_min_rx: Microseconds(word()),
            required_min_echo_rx: Microseconds(word()),
            authentication: authenticated
                .then(|| AuthenticationSection::parse(bytes.get(MANDATORY..).unwrap_or_default()))
                .transpose()?,
            bytes,
        };
        if packet.my_discriminator == 0 {
            return Err(ParseError::MyDiscriminator);
        }
        if packet.your_discriminator == 0 && !matches!(state, State::Down | State::AdminDown) {
            return Err(ParseError::YourDiscriminator(state));
        }
        Ok(packet)
    }

    /// The mandatory section; its length is that of the section and of `authentication` bytes more.
    pub(crate) fn mandatory(&self, authentication: usize) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = Vec::with_capacity(MANDATORY + authentication);
        bytes.push(1 << 5 | self.diagnostic.bits());
        bytes.push(
            self.state.bits() << 6
                | flag(self.poll, 0x20)
                | flag(self.fin, 0x10)
                | flag(self.control_plane_independent, 0x08)
                | flag(authentication > 0, 0x04)
                | flag(self.demand, 0x02),
        );
        bytes.push(self.multiplier);
        bytes.push(u8::try_from(MANDATORY + authentication).expect("a section has at most 28 bytes"));
        for word in [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx.0,
            self.required_min_rx.0,
            self.required_min_echo_rx.0,
        ] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

impl<'a> AuthenticationSection<'a> {
    fn parse(section: &'a [u8]) -> Result<Self, ParseError> {
        let &[kind, length, ..] = section else { return Err(ParseError::Length(MANDATORY as u8)) };
        let wrong = ParseError::Authentication { kind, length };
        let section = section.get(..usize::from(length)).ok_or(wrong)?;
        let &[_, _, key_id, ref rest @ ..] = section else { return Err(wrong) };
        // RFC 5880 §4.2 to §4.4: 4 to 19 bytes of a password's section, 24 of MD5's, 28 of SHA-1's.
        let fits = match kind {
            1 => (BEFORE_PASSWORD + 1..=BEFORE_PASSWORD + 16).contains(&section.len()),
            2 | 3 => section.len() == BEFORE_DIGEST + 16,
            4 | 5 => section.len() == BEFORE_DIGEST + 20,
            _ => true,
        };
        if !fits {
            return Err(wrong);
        }
        match (kind, rest) {
            (2..=5, [_reserved, a, b, c, d, digest @ ..]) => {
                let sequence = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                Ok(AuthenticationSection { kind, key_id, sequence, secret: digest })
            }
            _ => Ok(AuthenticationSection { kind, key_id, sequence: None, secret: rest }),
        }
    }
}
