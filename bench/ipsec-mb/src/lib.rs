//! Intel's Multi-Buffer Crypto for IPsec, to compare with: nothing of the gateway uses it.
//!
//! The library is loaded where it is installed, and nothing is linked. AES-GCM goes through its direct functions, which
//! every version since 1.0 has; ChaCha20-Poly1305 and AES-CBC with HMAC go through its job manager, whose job is laid out
//! as the header of version 1.3 says: with another version they are left out.
//!
//! What is sealed is an ESP packet as it stands on the wire: eight bytes in clear, the initialisation vector, the text and
//! the tag. Keys are not wiped: nothing secret belongs in a benchmark.

mod gcm;
mod manager;

use aead::Suite;
use libloading::Library;

use gcm::Gcm;
use manager::Manager;

/// Bytes in clear in front of the initialisation vector: security parameters index and sequence number.
pub const HEADER: usize = 8;
/// Bytes of an AEAD's tag.
const TAG: usize = 16;
/// Bytes of an AEAD's nonce.
const NONCE: usize = 12;
/// What the library is called since its version 1.0.
const NAME: &str = "libIPSec_MB.so.1";

/// Why there is nothing to compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The library is not installed.
    #[error("cannot load {NAME} (Debian's package libipsec-mb1): {0}")]
    Missing(String),
    /// A version of the library that lacks a function.
    #[error("{NAME} lacks a function: {0}")]
    Function(String),
    /// The library has nothing for this processor that is worth comparing.
    #[error("this processor has no AES-NI and PCLMULQDQ")]
    Processor,
    /// The job manager does not start.
    #[error("the job manager of {NAME} does not start: error {0}")]
    Manager(i32),
}

/// The loaded library.
pub struct IpsecMb {
    gcm: Gcm,
    /// With the version whose jobs are known.
    manager: Option<Manager>,
}

/// An expanded key.
pub struct Key {
    suite: Suite,
    schedule: Schedule,
}

enum Schedule {
    Gcm(Box<gcm::Key>),
    Job(Box<manager::Key>),
}

/// A packet to be sealed or opened.
pub struct Packet<'a> {
    /// The key, with its suite.
    pub key: &'a Key,
    /// The initialisation vector of CBC; the first twelve bytes are an AEAD's nonce.
    pub nonce: [u8; 16],
    /// Where the bytes are.
    pub buffers: Buffers<'a>,
    /// Set by [`IpsecMb::open`]: whether the tag was right.
    pub authentic: bool,
}

/// Where a packet's bytes come from and go to.
pub enum Buffers<'a> {
    /// From a place that is only read to another one.
    Apart {
        /// Text to be sealed, or a packet to be opened.
        source: &'a [u8],
        /// Room for the packet, its first eight bytes and its initialisation vector written already; or for the text.
        destination: &'a mut [u8],
    },
    /// A whole packet, its text in clear or encrypted.
    InPlace(&'a mut [u8]),
}

/// The instructions that the library uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vectors {
    Avx512,
    Avx2,
    Sse,
}

impl IpsecMb {
    /// Loads the library for the life of the process.
    ///
    /// # Errors
    /// Where it is not installed, or not made for this processor.
    pub fn load() -> Result<Self, LoadError> {
        let vectors = Vectors::best().ok_or(LoadError::Processor)?;
        // SAFETY: what the library runs when it is loaded is a detection of the processor's features, and it relies on
        // nothing that Rust code could have changed.
        let library = unsafe { Library::new(NAME) }.map_err(|error| LoadError::Missing(error.to_string()))?;
        // Never unloaded: functions are kept by their address.
        let library = Box::leak(Box::new(library));
        Ok(Self { gcm: Gcm::load(library, vectors)?, manager: Manager::load(library, vectors)? })
    }

    /// Seals every packet.
    ///
    /// # Panics
    /// Where a length is not what [`Buffers`] says, or the packet is one of CBC and its buffers are apart: the library
    /// hashes where it reads, not where it writes.
    pub fn seal(&mut self, packets: &mut [Packet<'_>]) {
        match packets.first().map(|first| &first.key.schedule) {
            Some(Schedule::Gcm(_)) => packets.iter_mut().for_each(|packet| self.gcm.seal(packet)),
            Some(Schedule::Job(_)) => self.manager().seal(packets),
            None => {}
        }
    }

    /// Opens every packet and says of each whether it was [`Packet::authentic`].
    ///
    /// # Panics
    /// Where a length is not what [`Buffers`] says.
    pub fn open(&mut self, packets: &mut [Packet<'_>]) {
        match packets.first().map(|first| &first.key.schedule) {
            Some(Schedule::Gcm(_)) => packets.iter_mut().for_each(|packet| self.gcm.open(packet)),
            Some(Schedule::Job(_)) => self.manager().open(packets),
            None => {}
        }
    }

    /// Expands a key; all packets of a batch must be of one suite. `None` where the key is not of the suite's length, or
    /// the suite needs the job manager and the version is not the one whose jobs are known.
    #[must_use]
    pub fn key(&self, suite: Suite, key: &[u8]) -> Option<Key> {
        if key.len() != suite.key_length() {
            return None;
        }
        let schedule = match suite {
            Suite::Aes128Gcm16 | Suite::Aes192Gcm16 | Suite::Aes256Gcm16 => Schedule::Gcm(Box::new(self.gcm.key(key)?)),
            Suite::ChaCha20Poly1305 | Suite::AesCbc(..) => {
                Schedule::Job(Box::new(self.manager.as_ref()?.key(suite, key)?))
            }
        };
        Some(Key { suite, schedule })
    }

    fn manager(&mut self) -> &mut Manager {
        self.manager.as_mut().expect("only a library with a manager makes keys for it")
    }
}

impl Packet<'_> {
    /// Bytes in front of the text.
    fn prefix(&self) -> usize {
        HEADER + self.key.suite.iv_length()
    }

    /// Bytes of a whole packet that are not text.
    fn overhead(&self) -> usize {
        self.prefix() + self.key.suite.tag_length()
    }

    /// A packet taken apart to be sealed.
    ///
    /// # Panics
    /// Where the lengths do not fit.
    fn sealing(&mut self) -> Places {
        let (prefix, overhead) = (self.prefix(), self.overhead());
        match &mut self.buffers {
            Buffers::Apart { source, destination } => {
                assert_eq!(destination.len(), source.len() + overhead, "destination");
                let packet = destination.as_mut_ptr();
                // SAFETY: the packet is longer than its prefix.
                let text = unsafe { packet.add(prefix) };
                // SAFETY: the tag stands behind as many bytes of ciphertext as there are at the source.
                let tag = unsafe { text.add(source.len()) };
                Places { header: packet, source: source.as_ptr(), destination: text, tag, length: source.len() }
            }
            Buffers::InPlace(packet) => Places::in_place(packet, prefix, overhead),
        }
    }

    /// A packet taken apart to be opened.
    ///
    /// # Panics
    /// Where the lengths do not fit.
    fn opening(&mut self) -> Places {
        let (prefix, overhead) = (self.prefix(), self.overhead());
        match &mut self.buffers {
            Buffers::Apart { source, destination } => {
                assert_eq!(source.len(), destination.len() + overhead, "destination");
                let (text, length) = (&source[prefix..], destination.len());
                Places {
                    header: source.as_ptr(),
                    source: text.as_ptr(),
                    destination: destination.as_mut_ptr(),
                    tag: text[length..].as_ptr().cast_mut(),
                    length,
                }
            }
            Buffers::InPlace(packet) => Places::in_place(packet, prefix, overhead),
        }
    }
}

/// Where the parts of a packet are. All of it is valid as long as the packet's buffers are borrowed.
struct Places {
    /// Readable for header, initialisation vector and, when the packet is opened or in place, the text behind them.
    header: *const u8,
    /// Readable for the text.
    source: *const u8,
    /// Writable for the text; equal to the source, or apart from it.
    destination: *mut u8,
    /// Writable for the tag when the packet is sealed, only readable when it is opened.
    tag: *mut u8,
    /// Bytes of the text.
    length: usize,
}

impl Places {
    fn in_place(packet: &mut [u8], prefix: usize, overhead: usize) -> Self {
        let length = packet.len().checked_sub(overhead).expect("room for more than text");
        let packet = packet.as_mut_ptr();
        // SAFETY: the packet is longer than its prefix.
        let text = unsafe { packet.add(prefix) };
        // SAFETY: the tag stands behind the text.
        let tag = unsafe { text.add(length) };
        Self { header: packet, source: text, destination: text, tag, length }
    }

    /// Whether the packet came with this tag; in a time that does not depend on where they differ.
    ///
    /// # Safety
    /// The packet's buffers are still borrowed, and its tag is at least as long as `tag`.
    unsafe fn came_with(&self, tag: &[u8]) -> bool {
        // SAFETY: the caller's promise.
        let sent = unsafe { std::slice::from_raw_parts(self.tag, tag.len()) };
        sent.iter().zip(tag).fold(0, |difference, (sent, made)| difference | (sent ^ made)) == 0
    }
}

impl Vectors {
    /// The widest that the processor has all instructions for; `None` without those that every path needs.
    fn best() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            macro_rules! has {
                ($($feature:tt)*) => { $(is_x86_feature_detected!($feature))&&* };
            }
            let sse = has!("sse4.1" "sse4.2" "aes" "pclmulqdq");
            let avx2 = sse && has!("avx" "avx2" "bmi1" "bmi2");
            let avx512 = avx2
                && has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "vaes" "vpclmulqdq" "gfni" "avx512ifma");
            match (sse, avx2, avx512) {
                (.., true) => Some(Self::Avx512),
                (_, true, _) => Some(Self::Avx2),
                (true, ..) => Some(Self::Sse),
                _ => None,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

/// A function of the library, by its name.
///
/// # Safety
/// `T` is the type of a pointer to a function, as the library's header declares it.
unsafe fn function<T: Copy>(library: &'static Library, name: &str) -> Result<T, LoadError> {
    // SAFETY: the caller's promise; the library is never unloaded.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    symbol.map(|symbol| *symbol).map_err(|error| LoadError::Function(error.to_string()))
}

#[cfg(test)]
mod tests;
