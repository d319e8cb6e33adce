//! ChaCha20-Poly1305 and AES-CBC with HMAC by the library's job manager, which works on the packets of several jobs at
//! once.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::{self, NonNull};

use aead::{AesKey, Integrity, Suite};
use libloading::Library;

use crate::{Buffers, HEADER, LoadError, NONCE, Packet, Places, Schedule, Vectors, function};

/// `IMB_VERSION_NUM` of the header that [`Job`] is taken from: 1.3.0.
const VERSION: u32 = 0x01_03_00;
/// Jobs under way at a time, at most; the library's queue has 256.
const FLIGHT: usize = 64;
/// Most bytes that any hash of the library writes as a tag or a state.
const DIGEST: usize = 64;

const CIPHER_CBC: u32 = 1;
const CIPHER_CHACHA20_POLY1305: u32 = 19;
const HASH_HMAC_SHA1: u32 = 1;
const HASH_HMAC_SHA256: u32 = 3;
const HASH_HMAC_SHA384: u32 = 4;
const HASH_HMAC_SHA512: u32 = 5;
const HASH_CHACHA20_POLY1305: u32 = 29;
const ENCRYPT: u32 = 1;
const DECRYPT: u32 = 2;
const CIPHER_THEN_HASH: u32 = 1;
const HASH_THEN_CIPHER: u32 = 2;
const COMPLETED: u32 = 3;

/// `IMB_JOB` of version 1.3. Offsets without another unit are bytes from the source.
#[repr(C)]
struct Job {
    encryption_keys: *const c_void,
    decryption_keys: *const c_void,
    key_length: u64,
    source: *const u8,
    /// Where the first byte of the text goes.
    destination: *mut u8,
    cipher_offset: u64,
    cipher_length: u64,
    hash_offset: u64,
    hash_length: u64,
    iv: *const u8,
    iv_length: u64,
    tag: *mut u8,
    tag_length: u64,
    /// HMAC: inner and outer state. ChaCha20-Poly1305: associated data, its length.
    hash_fields: [u64; 3],
    status: u32,
    cipher: u32,
    direction: u32,
    hash: u32,
    order: u32,
    user_data: [*mut c_void; 2],
    custom_functions: [*const c_void; 2],
    scatter_state: u32,
    cipher_fields: *mut c_void,
}

// As a C compiler lays the header's structure out.
const _: () = {
    assert!(offset_of!(Job, iv) == 72);
    assert!(offset_of!(Job, hash_fields) == 104);
    assert!(offset_of!(Job, status) == 128);
    assert!(offset_of!(Job, order) == 144);
    assert!(offset_of!(Job, user_data) == 152);
    assert!(offset_of!(Job, scatter_state) == 184);
    assert!(offset_of!(Job, cipher_fields) == 192);
    assert!(size_of::<Job>() == 200);
};

/// `IMB_MGR`, seen by the library only.
type State = c_void;
type Initialise = unsafe extern "C" fn(*mut State);
type Take = unsafe extern "C" fn(*mut State) -> *mut Job;
/// `keyexp_t`: key, encryption schedule, decryption schedule.
type Expand = unsafe extern "C" fn(*const u8, *mut u8, *mut u8);
/// `hash_one_block_t`: a block, the state that it leaves.
type Hash = unsafe extern "C" fn(*const u8, *mut u8);

/// A job manager.
pub struct Manager {
    state: NonNull<State>,
    /// A free job, to be filled and submitted before the next one is taken.
    take: Take,
    submit: Take,
    /// Completes a job, as long as there are any.
    flush: Take,
    free: Initialise,
    /// By length of key: 128, 192 and 256 bits.
    expand: [Expand; 3],
    /// In the order of [`Integrity::ALL`].
    hash: [Hash; 4],
    /// The tags that opening makes.
    tags: Box<[[u8; DIGEST]; FLIGHT]>,
}

/// An expanded key.
// Boxed by its user as a whole.
#[allow(clippy::large_enum_variant)]
pub enum Key {
    ChaCha20([u8; 32]),
    Cbc(Cbc),
}

/// Schedules of AES and states of HMAC.
#[repr(C, align(64))]
pub struct Cbc {
    encryption: [u8; 15 * 16],
    // The schedules must be aligned to 16 bytes, the states better are.
    decryption: [u8; 15 * 16],
    inner: [u8; DIGEST],
    outer: [u8; DIGEST],
    key_length: u64,
    tag_length: usize,
    hash: u32,
}

impl Manager {
    /// `None` where the version is one whose jobs are not known.
    pub fn load(library: &'static Library, vectors: Vectors) -> Result<Option<Self>, LoadError> {
        // SAFETY: the header declares it so.
        let version = unsafe { function::<unsafe extern "C" fn() -> u32>(library, "imb_get_version")? };
        // SAFETY: it takes and touches nothing.
        if unsafe { version() } != VERSION {
            return Ok(None);
        }
        let suffix = match vectors {
            Vectors::Avx512 => "avx512",
            Vectors::Avx2 => "avx2",
            Vectors::Sse => "sse",
        };
        // SAFETY: the header declares them so.
        let take = |name: &str| unsafe { function::<Take>(library, &format!("{name}_{suffix}")) };
        // SAFETY: the header declares them so.
        let expand = |bits: u32| unsafe { function::<Expand>(library, &format!("aes_keyexp_{bits}_{suffix}")) };
        // SAFETY: the header declares them so.
        let hash = |name: &str| unsafe { function::<Hash>(library, &format!("{name}_one_block_{suffix}")) };
        type Allocate = unsafe extern "C" fn(u64) -> *mut State;
        // SAFETY: the header declares it so.
        let allocate = unsafe { function::<Allocate>(library, "alloc_mb_mgr")? };
        // SAFETY: the header declares it so.
        let error = unsafe { function::<unsafe extern "C" fn(*mut State) -> i32>(library, "imb_get_errno")? };
        // SAFETY: the header declares it so.
        let free = unsafe { function::<Initialise>(library, "free_mb_mgr")? };
        // SAFETY: the header declares it so.
        let initialise = unsafe { function::<Initialise>(library, &format!("init_mb_mgr_{suffix}"))? };
        let (take, submit, flush) = (take("get_next_job")?, take("submit_job_nocheck")?, take("flush_job")?);
        let expand = [expand(128)?, expand(192)?, expand(256)?];
        let hash = [hash("sha1")?, hash("sha256")?, hash("sha384")?, hash("sha512")?];

        // SAFETY: no flags are set.
        let state = NonNull::new(unsafe { allocate(0) }).ok_or(LoadError::Manager(0))?;
        let tags = Box::new([[0; DIGEST]; FLIGHT]);
        let manager = Self { state, take, submit, flush, free, expand, hash, tags };
        // SAFETY: the state has just been allocated by the library, and the processor has the instructions.
        unsafe { initialise(state.as_ptr()) };
        // SAFETY: the state is initialised.
        match unsafe { error(state.as_ptr()) } {
            0 => Ok(Some(manager)),
            error => Err(LoadError::Manager(error)),
        }
    }

    /// Seals every packet.
    pub fn seal(&mut self, packets: &mut [Packet<'_>]) {
        for packets in packets.chunks_mut(FLIGHT) {
            let mut flight = Flight::new(self);
            for packet in packets.iter_mut() {
                let apart = matches!(packet.buffers, Buffers::Apart { .. });
                let places = packet.sealing();
                let job = match key(packet) {
                    Key::ChaCha20(key) => chacha20(key, packet, &places, places.tag, ENCRYPT),
                    Key::Cbc(key) => {
                        assert!(!apart, "the library seals CBC with HMAC in place only");
                        cbc(key, packet, &places, places.tag, ENCRYPT)
                    }
                };
                // SAFETY: the packets stay borrowed until the flight has ended, and their places are valid as long; the
                // key's schedules are of the kind that the job names.
                unsafe { flight.submit(job) };
            }
            assert_eq!(flight.end(), packets.len(), "jobs of {} packets", packets.len());
        }
    }

    /// Opens every packet and says of each whether it was authentic.
    pub fn open(&mut self, packets: &mut [Packet<'_>]) {
        for packets in packets.chunks_mut(FLIGHT) {
            let mut flight = Flight::new(self);
            let tags = flight.manager.tags.as_mut_ptr();
            for (position, packet) in packets.iter_mut().enumerate() {
                let places = packet.opening();
                // SAFETY: there are as many tags as packets in a flight at most.
                let tag = unsafe { tags.add(position) }.cast::<u8>();
                let job = match key(packet) {
                    Key::ChaCha20(key) => chacha20(key, packet, &places, tag, DECRYPT),
                    Key::Cbc(key) => cbc(key, packet, &places, tag, DECRYPT),
                };
                // SAFETY: as in `seal`; the tags belong to the manager, which the flight borrows.
                unsafe { flight.submit(job) };
            }
            assert_eq!(flight.end(), packets.len(), "jobs of {} packets", packets.len());
            for (packet, tag) in packets.iter_mut().zip(&*self.tags) {
                let (length, places) = (packet.key.suite.tag_length(), packet.opening());
                // SAFETY: the packet is borrowed, and its tag is as long as the suite's.
                packet.authentic = unsafe { places.came_with(&tag[..length]) };
            }
        }
    }

    /// `None` where the key is not as long as the suite wants it, or the suite is not one of jobs.
    pub fn key(&self, suite: Suite, key: &[u8]) -> Option<Key> {
        let (length, integrity) = match suite {
            Suite::ChaCha20Poly1305 => return Some(Key::ChaCha20(key.try_into().ok()?)),
            Suite::AesCbc(length, integrity) => (length, integrity),
            Suite::Aes128Gcm16 | Suite::Aes192Gcm16 | Suite::Aes256Gcm16 => return None,
        };
        let (key, hash_key) = key.split_at_checked(length.length())?;
        if hash_key.len() != integrity.key_length() {
            return None;
        }
        let expand = match length {
            AesKey::Aes128 => self.expand[0],
            AesKey::Aes192 => self.expand[1],
            AesKey::Aes256 => self.expand[2],
        };
        let (compress, hash) = match integrity {
            Integrity::HmacSha1 => (self.hash[0], HASH_HMAC_SHA1),
            Integrity::HmacSha256 => (self.hash[1], HASH_HMAC_SHA256),
            Integrity::HmacSha384 => (self.hash[2], HASH_HMAC_SHA384),
            Integrity::HmacSha512 => (self.hash[3], HASH_HMAC_SHA512),
        };
        let mut cbc = Cbc {
            encryption: [0; _],
            decryption: [0; _],
            inner: [0; _],
            outer: [0; _],
            key_length: length.length() as u64,
            tag_length: integrity.tag_length(),
            hash,
        };
        // SAFETY: `key` is as long as the function reads; both schedules have room for the most rounds, and are aligned.
        unsafe { expand(key.as_ptr(), cbc.encryption.as_mut_ptr(), cbc.decryption.as_mut_ptr()) };
        // RFC 2104 §2: the states after the padded key's block, exclusive-ored with two constants. No key of ESP is longer
        // than a block.
        for (state, constant) in [(&mut cbc.inner, 0x36), (&mut cbc.outer, 0x5c)] {
            let mut padded = [constant; 128];
            padded.iter_mut().zip(hash_key).for_each(|(padded, key)| *padded ^= key);
            // SAFETY: the function reads a block, 128 bytes at most, and writes a state, 64 bytes at most.
            unsafe { compress(padded.as_ptr(), state.as_mut_ptr()) };
        }
        Some(Key::Cbc(cbc))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: the library allocated the state, and no job is under way between two calls.
        unsafe { (self.free)(self.state.as_ptr()) };
    }
}

/// Jobs under way. However it ends, none is left in the queue when the packets are no longer borrowed.
struct Flight<'m> {
    manager: &'m mut Manager,
    completed: usize,
}

impl<'m> Flight<'m> {
    fn new(manager: &'m mut Manager) -> Self {
        Self { manager, completed: 0 }
    }

    /// Submits a job.
    ///
    /// # Safety
    /// All that `job` points to is valid until the flight has ended, and its lengths are right.
    unsafe fn submit(&mut self, job: Job) {
        // SAFETY: the state is initialised, and no job was taken that is not submitted.
        let slot = unsafe { (self.manager.take)(self.manager.state.as_ptr()) };
        // SAFETY: the library gives room for one job, ours until it is submitted.
        unsafe { slot.write(job) };
        // SAFETY: the job taken is filled.
        let done = unsafe { (self.manager.submit)(self.manager.state.as_ptr()) };
        self.count(done);
    }

    /// Completes what is left; returns how many jobs of the flight were completed.
    fn end(mut self) -> usize {
        self.drain();
        self.completed
    }

    fn drain(&mut self) {
        loop {
            // SAFETY: the state is initialised, and no job was taken that is not submitted.
            let done = unsafe { (self.manager.flush)(self.manager.state.as_ptr()) };
            if done.is_null() {
                break;
            }
            self.count(done);
        }
    }

    fn count(&mut self, done: *const Job) {
        // SAFETY: a job that the library returns is valid until the next one is taken; null is no job.
        let done = unsafe { done.as_ref() };
        self.completed += usize::from(done.is_some_and(|done| done.status == COMPLETED));
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.drain();
    }
}

fn key<'a>(packet: &Packet<'a>) -> &'a Key {
    match &packet.key.schedule {
        Schedule::Job(key) => key,
        Schedule::Gcm(_) => panic!("a batch of several suites"),
    }
}

fn chacha20(key: &[u8; 32], packet: &Packet<'_>, places: &Places, tag: *mut u8, direction: u32) -> Job {
    assert_ne!(places.length, 0, "a job without text");
    Job {
        encryption_keys: key.as_ptr().cast(),
        decryption_keys: key.as_ptr().cast(),
        key_length: key.len() as u64,
        source: places.source,
        destination: places.destination,
        cipher_offset: 0,
        cipher_length: places.length as u64,
        hash_offset: 0,
        hash_length: places.length as u64,
        iv: packet.nonce.as_ptr(),
        iv_length: NONCE as u64,
        tag,
        tag_length: 16,
        hash_fields: [places.header.expose_provenance() as u64, HEADER as u64, 0],
        cipher: CIPHER_CHACHA20_POLY1305,
        hash: HASH_CHACHA20_POLY1305,
        ..Job::new(direction)
    }
}

/// The hash covers header, initialisation vector and text, which stand in one piece where the job reads.
fn cbc(key: &Cbc, packet: &Packet<'_>, places: &Places, tag: *mut u8, direction: u32) -> Job {
    let prefix = packet.prefix() as u64;
    assert!(places.length.is_multiple_of(16) && places.length != 0, "a CBC text of {} bytes", places.length);
    Job {
        encryption_keys: key.encryption.as_ptr().cast(),
        decryption_keys: key.decryption.as_ptr().cast(),
        key_length: key.key_length,
        source: places.header,
        destination: places.destination,
        cipher_offset: prefix,
        cipher_length: places.length as u64,
        hash_offset: 0,
        hash_length: prefix + places.length as u64,
        iv: packet.nonce.as_ptr(),
        iv_length: packet.nonce.len() as u64,
        tag,
        tag_length: key.tag_length as u64,
        hash_fields: [key.inner.as_ptr().expose_provenance() as u64, key.outer.as_ptr().expose_provenance() as u64, 0],
        cipher: CIPHER_CBC,
        hash: key.hash,
        ..Job::new(direction)
    }
}

impl Job {
    /// An empty one; what is opened is hashed first.
    fn new(direction: u32) -> Self {
        Self {
            encryption_keys: ptr::null(),
            decryption_keys: ptr::null(),
            key_length: 0,
            source: ptr::null(),
            destination: ptr::null_mut(),
            cipher_offset: 0,
            cipher_length: 0,
            hash_offset: 0,
            hash_length: 0,
            iv: ptr::null(),
            iv_length: 0,
            tag: ptr::null_mut(),
            tag_length: 0,
            hash_fields: [0; 3],
            status: 0,
            cipher: 0,
            direction,
            hash: 0,
            order: if direction == ENCRYPT { CIPHER_THEN_HASH } else { HASH_THEN_CIPHER },
            user_data: [ptr::null_mut(); 2],
            custom_functions: [ptr::null(); 2],
            scatter_state: 0,
            cipher_fields: ptr::null_mut(),
        }
    }
}
