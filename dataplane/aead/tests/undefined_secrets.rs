//! Under valgrind's memcheck, with all secrets declared undefined: it complains about every branch and every address that
//! depends on one, and about every byte read or written where there is none. `testbed/valgrind` runs it.
//!
//! It sees other code than `constant_time` does: valgrind hides what it does not know, so kernels stay away whose
//! instructions it lacks, and the portable one does without them, too.

mod packets;

use std::hint::black_box;

use bordergate_aead::{AesKey, AssociatedData, Buffers, Integrity, Kernel, Key, Open, Seal, Suite};
use packets::{fitting_tail, keys, noise, nonce, tail};

/// Asks valgrind, and returns `default` where there is none.
#[cfg(target_arch = "x86_64")]
fn request(default: u64, request: u64, arguments: [u64; 2]) -> u64 {
    let block = [request, arguments[0], arguments[1], 0, 0, 0];
    let answer;
    // SAFETY: valgrind.h's own sequence: rotations by 128 bits in all, and an exchange of a register with itself, which
    // do nothing on a processor; valgrind reads the block and answers in RDX.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") block.as_ptr(), inout("rdx") default => answer,
            // It rotates and turns back: the same value comes out.
            inout("rdi") 0_u64 => _,
        );
    }
    answer
}

#[cfg(not(target_arch = "x86_64"))]
fn request(default: u64, _: u64, _: [u64; 2]) -> u64 {
    default
}

/// VALGRIND_RUNNING_ON_VALGRIND.
fn is_watched() -> bool {
    request(0, 0x1001, [0; 2]) != 0
}

/// VALGRIND_COUNT_ERRORS.
fn complaints() -> u64 {
    request(0, 0x1201, [0; 2])
}

/// VALGRIND_MAKE_MEM_UNDEFINED.
fn hide(bytes: &mut [u8]) {
    request(0, 0x4d43_0001, [bytes.as_mut_ptr() as u64, bytes.len() as u64]);
}

/// VALGRIND_MAKE_MEM_DEFINED: what is on the wire is no secret any more.
fn publish(bytes: &[u8]) {
    request(0, 0x4d43_0002, [bytes.as_ptr() as u64, bytes.len() as u64]);
}

/// The bytes of a key that stay secret while a packet is opened. Whether it is authentic is public, but memcheck cannot
/// tell: to it, a verdict on a secret is a secret. So what makes the verdict is shown, which with an AEAD is all.
fn secret_to_openers(suite: Suite) -> usize {
    match suite {
        Suite::AesCbc(aes, _) => aes.length(),
        _ => 0,
    }
}

fn seal_and_open(suite: Suite, bytes: &[u8], lengths: &[usize], make: impl Fn(&[u8]) -> Key) {
    let texts: Vec<Vec<u8>> =
        (lengths.iter().zip(2..)).map(|(length, seed)| noise(seed, length + fitting_tail(suite, *length, 2))).collect();
    let nonce = nonce(suite, &[5; 16]);
    let associated_data = AssociatedData::extended([7; 12]);

    let mut secret = bytes.to_vec();
    hide(&mut secret);
    let key = make(&secret);
    let mut rooms: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.len() + suite.tag_length()]).collect();
    let mut secrets = texts.clone();
    secrets.iter_mut().for_each(|text| hide(text));
    let mut batch: Vec<Seal<'_>> = (secrets.iter().zip(&mut rooms).zip(lengths).enumerate())
        .map(|(position, ((text, room), length))| {
            let tail = tail(&text[*length..]);
            let buffers = if position % 2 == 0 {
                Buffers::Apart { source: &text[..*length], destination: room }
            } else {
                room[..*length].copy_from_slice(&text[..*length]);
                Buffers::InPlace(room)
            };
            Seal { key: &key, nonce, associated_data, buffers, tail }
        })
        .collect();
    bordergate_aead::seal(&mut batch);
    drop(key);

    rooms.iter().for_each(|room| publish(room));
    let mut secret = bytes.to_vec();
    hide(&mut secret[..secret_to_openers(suite)]);
    let key = make(&secret);
    let mut opened: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.len()]).collect();
    let mut batch: Vec<Open<'_>> = (rooms.iter_mut().zip(&mut opened).enumerate())
        .map(|(position, (room, opened))| {
            let buffers = if position % 2 == 0 {
                Buffers::Apart { source: room, destination: opened }
            } else {
                Buffers::InPlace(room)
            };
            Open { key: &key, nonce, associated_data, buffers, authentic: false }
        })
        .collect();
    bordergate_aead::open(&mut batch);
    for (packet, text) in batch.iter().zip(&texts) {
        assert!(packet.authentic);
        let opened = &packet.buffers.destination()[..text.len()];
        publish(opened);
        assert_eq!(opened, text);
    }
}

/// A suite of each kind: what an AES key's length changes is seen under one hash.
fn is_of_its_own(suite: &Suite) -> bool {
    match suite {
        Suite::AesCbc(aes, integrity) => *aes == AesKey::Aes128 || *integrity == Integrity::HmacSha256,
        _ => true,
    }
}

/// Has to be complained about.
#[inline(never)]
fn leak(secret: &[u8]) -> u8 {
    static TABLE: [u8; 256] = [1; 256];
    black_box(&TABLE)[usize::from(secret[0])]
}

fn main() {
    if !is_watched() {
        println!("SKIP undefined_secrets: not run by valgrind, see testbed/valgrind");
        return;
    }
    if std::env::args().any(|argument| argument == "--leak") {
        let mut secret = vec![1_u8; 16];
        hide(&mut secret);
        black_box(leak(&secret));
        return;
    }
    println!("kernels: {:?}", Kernel::available().collect::<Vec<_>>());
    for suite in Suite::ALL.into_iter().filter(is_of_its_own) {
        let bytes = noise(1, suite.key_length());
        for kernel in keys(suite, &bytes).iter().map(Key::kernel) {
            let make = |key: &[u8]| Key::for_kernel(kernel, suite, key).unwrap();
            seal_and_open(suite, &bytes, &[0, 1, 20, 64, 100, 333, 1000], make);
            seal_and_open(suite, &bytes, &[64; 17], make);
            println!("{suite} on {kernel}: {} complaints", complaints());
        }
    }
    assert_eq!(complaints(), 0, "see above");
    println!("test undefined_secrets ... ok");
}
