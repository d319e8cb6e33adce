//! One packet's text through AES-CTR and into GHASH.

use std::marker::PhantomData;

use super::counter::Counter;
use super::hash::{Front, Hash, Sum, Unhashed};
use super::key::Key;
use super::lanes::{Lanes, MOST_END};
use crate::Tail;
use crate::packet::Whole;
use crate::round_keys::MOST_ROUND_KEYS;

/// Says `$body` for rounds 1 to 9, which every key has: a loop would perhaps not be unrolled, and what stands in registers
/// would go through memory.
macro_rules! each_of_nine {
    ($round:ident => $body:block) => {
        each_of_nine!(@ $round $body 1 2 3 4 5 6 7 8 9)
    };
    (@ $round:ident $body:block $($number:literal)*) => {
        $({
            let $round: usize = $number;
            $body
        })*
    };
}

/// All rounds of `$keys` on `$states`, each of the first nine followed by `$beside`. The two have nothing to do with each other;
/// standing side by side they fill the processor's units better than one after the other.
macro_rules! encrypt_beside {
    ($keys:expr, $states:ident, $round:ident => $beside:block) => {
        each_of_nine!($round => {
            for state in &mut $states {
                *state = state.round($keys.at($round)).pinned();
            }
            $beside
        });
        for round in 10..KEYS - 1 {
            for state in &mut $states {
                *state = state.round($keys.at(round));
            }
        }
        for state in &mut $states {
            *state = state.last_round($keys.at(KEYS - 1));
        }
    };
}

pub(super) use {each_of_nine, encrypt_beside};

/// `KEYS` round keys, in every lane.
#[derive(Clone, Copy)]
pub struct RoundKeys<'a, V, const KEYS: usize>(&'a [u128; MOST_ROUND_KEYS], PhantomData<V>);

impl<'a, V: Lanes, const KEYS: usize> RoundKeys<'a, V, KEYS> {
    #[inline(always)]
    pub fn new(key: &'a Key) -> Self {
        Self(&key.round_keys, PhantomData)
    }

    #[inline(always)]
    pub unsafe fn at(&self, round: usize) -> V {
        // SAFETY: the trait's contract.
        unsafe { V::broadcast(&self.0[round]) }
    }

    /// All rounds on states that have the first key added.
    #[inline(always)]
    pub unsafe fn encrypt<const N: usize>(&self, mut states: [V; N]) -> [V; N] {
        // SAFETY: the trait's contract.
        unsafe {
            for round in 1..KEYS - 1 {
                for state in &mut states {
                    *state = state.round(self.at(round));
                }
            }
            for state in &mut states {
                *state = state.last_round(self.at(KEYS - 1));
            }
            states
        }
    }

    /// The same while `H` vectors of text are added to the hash.
    #[inline(always)]
    unsafe fn encrypt_and_hash<const N: usize, const H: usize, const C: usize>(
        &self,
        mut states: [V; N],
        hash: &mut Hash<'_, V, C>,
        text: Ciphertext<V, H>,
    ) -> [V; N] {
        // SAFETY: the trait's contract.
        unsafe {
            let units = H.div_ceil(2);
            let apart = 9 / units;
            encrypt_beside!(self, states, round => {
                let unit = (round - 1) / apart;
                if (round - 1).is_multiple_of(apart) && unit < units {
                    if H.is_multiple_of(2) {
                        hash.add_pair([text.at(2 * unit), text.at(2 * unit + 1)]);
                    } else if unit == 0 {
                        hash.add(text.at(0));
                    } else {
                        hash.add_pair([text.at(2 * unit - 1), text.at(2 * unit)]);
                    }
                    hash.pin();
                }
            });
            states
        }
    }

    /// The same while what the packet before has left is hashed.
    #[inline(always)]
    unsafe fn encrypt_and_catch_up<const N: usize>(&self, mut states: [V; N], unhashed: &mut Unhashed<V>) -> [V; N] {
        // SAFETY: the trait's contract.
        unsafe {
            encrypt_beside!(self, states, round => {
                if !round.is_multiple_of(2) && round / 2 < Unhashed::<V>::STEPS {
                    unhashed.step(round / 2);
                }
            });
            unhashed.done();
            states
        }
    }
}

/// Vectors to be hashed.
#[derive(Clone, Copy)]
enum Ciphertext<V, const N: usize> {
    InRegisters([V; N]),
    /// To be loaded from here: had they been loaded before, they would only have been put aside meanwhile.
    InMemory(*const u8),
}

impl<V: Lanes, const N: usize> Ciphertext<V, N> {
    #[inline(always)]
    unsafe fn at(&self, position: usize) -> V {
        match self {
            Self::InRegisters(vectors) => vectors[position],
            // SAFETY: the vectors stand there.
            Self::InMemory(vectors) => unsafe { V::load(vectors.add(position * V::BYTES)) },
        }
    }
}

/// A text to be encrypted or decrypted, and to be hashed.
///
/// The packet's invariants hold for source and destination.
pub struct Text<'a> {
    pub key: &'a Key,
    pub nonce: &'a [u8; 16],
    /// The block of associated data.
    pub data: &'a [u8; 16],
    pub source: *const u8,
    pub destination: *mut u8,
    /// Bytes at the source.
    pub length: usize,
    /// Bytes that follow them, when sealing.
    pub tail: Option<&'a Tail>,
}

/// What is still to be done of a text.
struct Rest<'a, 'b, V, W, const KEYS: usize, const N: usize> {
    keys: RoundKeys<'a, V, KEYS>,
    counter: Counter<V>,
    hash: Hash<'a, V, N>,
    source: *const u8,
    destination: *mut u8,
    /// A chunk that is sealed and not yet hashed.
    behind: Option<Ciphertext<V, N>>,
    /// What the packet before has left to be hashed, and then this one.
    unhashed: &'b mut Unhashed<V>,
    whole: PhantomData<W>,
}

impl<V: Lanes, W: Whole, const KEYS: usize, const N: usize> Rest<'_, '_, V, W, KEYS, N> {
    /// Whether the last vectors are left to be hashed beside the next packet's first ones. Opening has its ciphertext at once;
    /// and where registers are few, nothing is left for another packet.
    const LEAVES: bool = W::SEAL && !V::RELOADS;

    /// The first vectors of a text.
    #[inline(always)]
    unsafe fn encrypt_first<const M: usize>(&mut self, states: [V; M]) -> [V; M] {
        // SAFETY: the trait's contract.
        unsafe {
            if Self::LEAVES { self.keys.encrypt_and_catch_up(states, self.unhashed) } else { self.keys.encrypt(states) }
        }
    }

    /// A chunk of whole vectors. When sealing, each is hashed while the next one is encrypted.
    #[inline(always)]
    unsafe fn chunk<const FIRST: bool>(&mut self) {
        // SAFETY: the caller has so many vectors left. In place, all is loaded before it is stored upon.
        unsafe {
            let mut texts = [V::zero(); N];
            let early = !W::SEAL && !V::RELOADS;
            if early {
                for (i, text) in texts.iter_mut().enumerate() {
                    *text = V::load(self.source.add(i * V::BYTES));
                }
            }
            let states = self.counter.next::<N>();
            let stream = if W::SEAL && FIRST {
                self.encrypt_first(states)
            } else {
                let hashed = match self.behind {
                    Some(behind) if W::SEAL => behind,
                    _ if early => Ciphertext::InRegisters(texts),
                    _ => Ciphertext::InMemory(self.source),
                };
                self.keys.encrypt_and_hash(states, &mut self.hash, hashed)
            };
            for (i, (text, stream)) in texts.iter_mut().zip(stream).enumerate() {
                if !early {
                    *text = V::load(self.source.add(i * V::BYTES));
                }
                // All of them before the first one is stored: source and destination are often so far apart that what is
                // loaded next seems to be what was stored just now, as far as the processor looks at addresses.
                *text = text.xor(stream).pinned();
            }
            for (i, text) in texts.into_iter().enumerate() {
                text.store(self.destination.add(i * V::BYTES));
            }
            if W::SEAL {
                self.behind = Some(match V::RELOADS {
                    true => Ciphertext::InMemory(self.destination),
                    // What was stored across the end of a cache line can only be loaded when it has got there.
                    false => Ciphertext::InRegisters(texts),
                });
            }
            self.source = self.source.add(N * V::BYTES);
            self.destination = self.destination.add(N * V::BYTES);
            if !(W::SEAL && FIRST) {
                self.hash.turn();
            }
        }
    }

    /// Four whole vectors, fewer than a chunk.
    #[inline(always)]
    unsafe fn four(&mut self) {
        // SAFETY: as in `chunk`.
        unsafe {
            let stream = self.keys.encrypt(self.counter.next::<4>());
            self.catch_up();
            let mut hashed = [V::zero(); 4];
            for (i, (hashed, stream)) in hashed.iter_mut().zip(stream).enumerate() {
                let source = V::load(self.source.add(i * V::BYTES));
                let text = source.xor(stream);
                text.store(self.destination.add(i * V::BYTES));
                *hashed = if W::SEAL { text } else { source };
            }
            let [a, b, c, d] = hashed;
            self.hash.add_pair([a, b]);
            self.hash.add_pair([c, d]);
            self.source = self.source.add(4 * V::BYTES);
            self.destination = self.destination.add(4 * V::BYTES);
        }
    }

    /// Hashes what is sealed and not yet hashed.
    #[inline(always)]
    unsafe fn catch_up(&mut self) {
        if let Some(behind) = self.behind.take() {
            // SAFETY: the trait's contract.
            unsafe {
                for i in 0..N / 2 {
                    self.hash.add_pair([behind.at(2 * i), behind.at(2 * i + 1)]);
                }
                self.hash.turn();
            }
        }
    }

    /// The last vectors, so many: `left` bytes at the source and the tail, or more. `BEHIND` says whether there may be a chunk
    /// behind. Without one the code is apart: it would else put aside what only a chunk has in registers.
    #[inline(always)]
    unsafe fn end<const BEHIND: bool>(
        self,
        vectors: usize,
        left: usize,
        tail: Option<&Tail>,
        to: *mut Sum<V>,
    ) -> Front {
        // SAFETY: the caller's.
        unsafe {
            match vectors {
                1 => self.last::<1, BEHIND>(left, tail, to),
                2 => self.last::<2, BEHIND>(left, tail, to),
                3 => self.last::<3, BEHIND>(left, tail, to),
                4 => self.last::<4, BEHIND>(left, tail, to),
                5 => self.last::<5, BEHIND>(left, tail, to),
                6 => self.last::<6, BEHIND>(left, tail, to),
                _ => self.last::<7, BEHIND>(left, tail, to),
            }
        }
    }

    /// The last `M` vectors.
    #[inline(always)]
    unsafe fn last<const M: usize, const BEHIND: bool>(
        mut self,
        left: usize,
        tail: Option<&Tail>,
        to: *mut Sum<V>,
    ) -> Front {
        let end = M.min(V::END);
        let whole = M - end;
        // SAFETY: the caller has these bytes left, and they fill M vectors, the last one perhaps in part.
        unsafe {
            let at = whole * V::BYTES;
            let ends = V::load_end(self.source.add(at), left - at, tail, end);
            let mut texts = [V::zero(); M];
            for (i, text) in texts.iter_mut().enumerate() {
                *text = if i < whole { V::load(self.source.add(i * V::BYTES)) } else { ends[(i - whole) % MOST_END] };
            }
            let states = self.counter.next::<M>();
            let stream = if !W::SEAL {
                self.keys.encrypt_and_hash(states, &mut self.hash, Ciphertext::InRegisters(texts))
            } else if let Some(behind) = self.behind.take().filter(|_| BEHIND) {
                let stream = self.keys.encrypt_and_hash(states, &mut self.hash, behind);
                self.hash.turn();
                stream
            } else {
                self.encrypt_first(states)
            };
            let length = left + tail.map_or(0, Tail::len) - (M - 1) * V::BYTES;
            for (i, (text, stream)) in texts.iter_mut().zip(stream).enumerate() {
                *text = text.xor(stream);
                let to = self.destination.add(i * V::BYTES);
                if i + 1 < M {
                    text.store(to);
                } else {
                    text.store_first(to, length);
                    *text = text.first(length);
                }
            }
            if Self::LEAVES {
                let at = self.destination.add((M - 1) * V::BYTES);
                let (front, unhashed) = self.hash.leave::<M>(texts[M - 1], at, to);
                *self.unhashed = unhashed;
                return front;
            }
            if W::SEAL {
                self.hash.add_last(texts);
            }
            self.finish(to)
        }
    }

    /// The end of a text that is hashed.
    #[inline(always)]
    unsafe fn finish(self, to: *mut Sum<V>) -> Front {
        let (front, sum) = self.hash.finish();
        // SAFETY: `stream`'s caller's.
        unsafe { to.write(sum) };
        front
    }
}

/// Encrypts or decrypts a packet's text and hashes its ciphertext, `N` vectors in a chunk; but for a last `block` behind whole
/// vectors, if that is left to others. The sum goes to `to`: at once, or when what is left in `unhashed` is hashed.
///
/// # Safety
/// The instructions of `V`; the text's invariants; a key of `KEYS` round keys; text and `to` stay where they are as long as
/// something of them is unhashed.
#[inline(always)]
pub unsafe fn stream<V: Lanes, W: Whole, const KEYS: usize, const N: usize>(
    text: Text<'_>,
    block: bool,
    unhashed: &mut Unhashed<V>,
    to: *mut Sum<V>,
) -> Front {
    let length = text.length + text.tail.map_or(0, Tail::len);
    let keys = RoundKeys::new(text.key);
    // SAFETY: the text's invariants say that what is read and written here is its own.
    unsafe {
        let mut rest = Rest::<V, W, KEYS, N> {
            keys,
            counter: Counter::new(text.nonce, keys.at(0)),
            hash: Hash::new(text.key, text.data, length.div_ceil(16)),
            source: text.source,
            destination: text.destination,
            behind: None,
            unhashed,
            whole: PhantomData,
        };
        if length == 0 {
            rest.unhashed.catch_up();
            return rest.finish(to);
        }
        // Those vectors are left to the end that a tail may reach into, whatever their width: fewer would not do to have the
        // last chunk hashed beside them.
        const { assert!(N == 8 || N - 1 + MOST_END <= 7, "more vectors at the end than there are cases") };
        let mut vectors = length.div_ceil(V::BYTES) - usize::from(block);
        let chunks = vectors.saturating_sub(MOST_END) / N;
        if chunks > 0 {
            rest.chunk::<true>();
            for _ in 1..chunks {
                rest.chunk::<false>();
            }
        } else if Rest::<V, W, KEYS, N>::LEAVES {
            return rest.end::<false>(vectors, text.length, text.tail, to);
        }
        vectors -= chunks * N;
        let mut left = text.length - chunks * N * V::BYTES;
        if N == 8 && vectors > 6 {
            rest.four();
            (vectors, left) = (vectors - 4, left - 4 * V::BYTES);
        }
        rest.end::<true>(vectors, left, text.tail, to)
    }
}
