//! AES-GCM (SP 800-38D) by the instructions of x86, over vectors of one, two or four blocks.
//!
//! Every packet's text goes through the AES rounds and into GHASH a few vectors at a time, each lane for itself, the sum
//! of the products unreduced; see `stream`. As many packets as a vector has lanes then share what is left of the hash,
//! its reduction and the tags; see `batch`. Packets that are alike, as those of most batches are, need little of what that
//! takes; see `alike`. Nothing here branches or indexes on a secret.

mod alike;
mod batch;
mod counter;
mod hash;
mod key;
mod lanes;
mod lanes_128;
mod lanes_256;
mod lanes_512;
mod sizes;
mod stream;

pub use key::{BEFORE_SHORT, Key, lines_before_short};

use crate::Kernel;
use crate::packet::Whole;
use lanes_128::Block;
use lanes_256::Pair;
use lanes_512::Quad;
use sizes::Sets;

/// Seals or opens the packets at the positions that are chosen, by size where they differ in it.
///
/// # Safety
/// At these positions are packets whose keys are of this module and this kernel.
pub(crate) unsafe fn run<W: Whole>(kernel: Kernel, chosen: u64, differ: bool, packets: &mut [W]) {
    let mut sets =
        if differ && packets.len() >= sizes::FEW { sizes::sets(chosen, packets) } else { sizes::one(chosen) };
    let packets = packets.as_mut_ptr();
    // SAFETY: keys for a kernel are only made where the processor has its instructions; the caller's.
    unsafe {
        match kernel {
            Kernel::Vaes512 => run_512(&mut sets, packets),
            Kernel::Vaes256 => run_256(&sets, packets),
            Kernel::Portable | Kernel::AesNi => run_128(&sets, packets),
        }
    }
}

/// Seals or opens packets of a set that are like its first one, where there are many. Gives back the others.
///
/// # Safety
/// At these positions are packets, and the first one's key is of this module and this kernel.
pub(crate) unsafe fn run_alike<W: Whole>(kernel: Kernel, set: u64, packets: &mut [W]) -> u64 {
    if kernel != Kernel::Vaes512 || set.count_ones() < alike::FEWEST {
        return set;
    }
    // SAFETY: keys for a kernel are only made where the processor has its instructions; the caller's, and they are enough.
    unsafe { run_alike_512(set, packets.as_mut_ptr()) }
}

#[target_feature(enable = "sse4.1,ssse3,aes,pclmulqdq")]
unsafe fn run_128<W: Whole>(sets: &[u64], packets: *mut W) {
    // SAFETY: the instructions are enabled; the caller's.
    unsafe { batch::run::<Block, W, 8>(sets, packets) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,aes,pclmulqdq,vaes,vpclmulqdq")]
unsafe fn run_256<W: Whole>(sets: &[u64], packets: *mut W) {
    // SAFETY: the instructions are enabled; the caller's.
    unsafe { batch::run::<Pair, W, 8>(sets, packets) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,aes,pclmulqdq,vaes,vpclmulqdq")]
unsafe fn run_512<W: Whole>(sets: &mut Sets, packets: *mut W) {
    // SAFETY: the instructions are enabled; the caller's.
    unsafe {
        for set in sets.iter_mut() {
            *set = alike::run_runs(*set, packets);
        }
        sets.retain(|set| *set != 0);
        batch::run::<Quad, W, 5>(sets, packets);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,aes,pclmulqdq,vaes,vpclmulqdq")]
unsafe fn run_alike_512<W: Whole>(set: u64, packets: *mut W) -> u64 {
    // SAFETY: the instructions are enabled; the caller's.
    unsafe { alike::run(set, packets) }
}
