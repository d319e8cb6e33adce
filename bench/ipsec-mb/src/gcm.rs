//! AES-GCM by the library's direct functions, a packet a call.

use libloading::Library;

use crate::{HEADER, LoadError, NONCE, Packet, Schedule, TAG, Vectors, function};

/// `aes_gcm_pre_t`.
type Expand = unsafe extern "C" fn(*const u8, *mut KeyData);
/// `aes_gcm_enc_dec_t`: key, context, output, input, length, nonce, associated data and its length, tag and its length.
type Crypt = unsafe extern "C" fn(
    *const KeyData,
    *mut Context,
    *mut u8,
    *const u8,
    u64,
    *const u8,
    *const u8,
    u64,
    *mut u8,
    u64,
);

/// `struct gcm_key_data`: 1008 bytes in version 1.3, and room for the later ones. Not a multiple of a page, lest all keys
/// compete for the same few lines of the cache.
#[repr(C, align(64))]
struct KeyData([u8; 4096 + 17 * 64]);

/// `struct gcm_context_data`: 88 bytes in version 1.3, and room for the later ones.
#[repr(C, align(64))]
struct Context([u8; 1024]);

/// The functions, by length of key: 128, 192 and 256 bits.
pub struct Gcm {
    sizes: [Size; 3],
    context: Box<Context>,
}

#[derive(Clone, Copy)]
struct Size {
    expand: Expand,
    seal: Crypt,
    open: Crypt,
}

/// An expanded key, with the functions for its length.
pub struct Key {
    size: Size,
    data: KeyData,
}

impl Gcm {
    pub fn load(library: &'static Library, vectors: Vectors) -> Result<Self, LoadError> {
        let suffix = match vectors {
            Vectors::Avx512 => "vaes_avx512",
            Vectors::Avx2 => "avx_gen4",
            Vectors::Sse => "sse",
        };
        let size = |bits: u32| -> Result<Size, LoadError> {
            Ok(Size {
                // SAFETY: the header declares it so.
                expand: unsafe { function::<Expand>(library, &format!("aes_gcm_pre_{bits}_{suffix}"))? },
                // SAFETY: the header declares it so.
                seal: unsafe { function::<Crypt>(library, &format!("aes_gcm_enc_{bits}_{suffix}"))? },
                // SAFETY: the header declares it so.
                open: unsafe { function::<Crypt>(library, &format!("aes_gcm_dec_{bits}_{suffix}"))? },
            })
        };
        Ok(Self { sizes: [size(128)?, size(192)?, size(256)?], context: Box::new(Context([0; 1024])) })
    }

    /// Seals one packet.
    #[inline]
    pub fn seal(&mut self, packet: &mut Packet<'_>) {
        let places = packet.sealing();
        let Schedule::Gcm(key) = &packet.key.schedule else { panic!("a batch of several suites") };
        // SAFETY: the processor has the instructions; the key was expanded by the function's companion; source,
        // destination and tag are valid for the lengths given, and source and destination are equal or apart.
        unsafe {
            (key.size.seal)(
                &raw const key.data,
                &raw mut *self.context,
                places.destination,
                places.source,
                places.length as u64,
                packet.nonce[..NONCE].as_ptr(),
                places.header,
                HEADER as u64,
                places.tag,
                TAG as u64,
            );
        }
    }

    /// Opens one packet. The library makes the tag; comparing it is the caller's business, as with every user of it.
    #[inline]
    pub fn open(&mut self, packet: &mut Packet<'_>) {
        let places = packet.opening();
        let Schedule::Gcm(key) = &packet.key.schedule else { panic!("a batch of several suites") };
        let mut tag = [0; TAG];
        // SAFETY: as in `seal`; the tag goes to an array of our own.
        unsafe {
            (key.size.open)(
                &raw const key.data,
                &raw mut *self.context,
                places.destination,
                places.source,
                places.length as u64,
                packet.nonce[..NONCE].as_ptr(),
                places.header,
                HEADER as u64,
                tag.as_mut_ptr(),
                TAG as u64,
            );
        }
        // SAFETY: the packet is borrowed, and GCM's tag is as long.
        packet.authentic = unsafe { places.came_with(&tag) };
    }

    /// `None` where no AES key has that length.
    pub fn key(&self, key: &[u8]) -> Option<Key> {
        let size = match key.len() {
            16 => self.sizes[0],
            24 => self.sizes[1],
            32 => self.sizes[2],
            _ => return None,
        };
        let mut data = KeyData([0; _]);
        // SAFETY: the processor has the instructions; `key` is as long as the function reads, and `data` has room for
        // the structure it fills.
        unsafe { (size.expand)(key.as_ptr(), &raw mut data) };
        Some(Key { size, data })
    }
}
