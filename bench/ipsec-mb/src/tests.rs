use aead::{AssociatedData, Kernel, Nonce, Seal, Suite, Tail};

use crate::{Buffers, HEADER, IpsecMb, Packet};

const SIZES: [usize; 8] = [16, 32, 64, 80, 128, 512, 1024, 1440];

/// A packet's parts, as the portable kernel seals them.
struct Sealed {
    nonce: [u8; 16],
    text: Vec<u8>,
    packet: Vec<u8>,
}

/// Bytes that differ from each other and from those of another seed.
fn bytes(seed: usize, count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 31 + seed * 101 + 7) as u8).collect()
}

fn sealed(key: &aead::Key, seed: usize, size: usize) -> Sealed {
    let suite = key.suite();
    let nonce: [u8; 16] = bytes(seed, 16).try_into().unwrap();
    let (header, text) = (bytes(seed + 1, HEADER), bytes(seed + 2, size));
    let mut packet = [&header[..], &bytes(seed, suite.iv_length())].concat();
    let mut destination = vec![0; size + suite.tag_length()];
    aead::seal(&mut [Seal {
        key,
        nonce: match suite {
            Suite::AesCbc(..) => Nonce::block(nonce),
            _ => Nonce::counter(*nonce.first_chunk().unwrap()),
        },
        associated_data: AssociatedData::short(header.try_into().unwrap()),
        buffers: aead::Buffers::Apart { source: &text, destination: &mut destination },
        tail: Tail::EMPTY,
    }]);
    packet.append(&mut destination);
    Sealed { nonce, text, packet }
}

/// Every suite, with packets of several sizes and keys in one batch.
fn of_every_suite(test: impl Fn(&mut IpsecMb, Suite, &[(crate::Key, Sealed)])) {
    let mut library = match IpsecMb::load() {
        Ok(library) => library,
        Err(error) => return eprintln!("SKIP: {error}"),
    };
    for suite in Suite::ALL {
        let pairs: Option<Vec<_>> = SIZES
            .into_iter()
            .enumerate()
            .map(|(seed, size)| {
                let key = bytes(seed + 3, suite.key_length());
                let portable = aead::Key::for_kernel(Kernel::Portable, suite, &key).unwrap();
                Some((library.key(suite, &key)?, sealed(&portable, seed, size)))
            })
            .collect();
        match pairs {
            Some(pairs) => test(&mut library, suite, &pairs),
            None => eprintln!("SKIP: this version of the library has other jobs, so no {suite}"),
        }
    }
}

#[test]
fn seals_as_the_portable_kernel_does() {
    of_every_suite(|library, suite, pairs| {
        let prefix = HEADER + suite.iv_length();
        for apart in [false, true] {
            if apart && matches!(suite, Suite::AesCbc(..)) {
                continue;
            }
            // Text in clear where the packet is sealed in place, else zeros.
            let mut rooms: Vec<Vec<u8>> = pairs
                .iter()
                .map(|(_, sealed)| {
                    let mut room = sealed.packet.clone();
                    room[prefix..].fill(0);
                    if !apart {
                        room[prefix..][..sealed.text.len()].copy_from_slice(&sealed.text);
                    }
                    room
                })
                .collect();
            let mut packets: Vec<_> = pairs
                .iter()
                .zip(&mut rooms)
                .map(|((key, sealed), room)| Packet {
                    key,
                    nonce: sealed.nonce,
                    buffers: if apart {
                        Buffers::Apart { source: &sealed.text, destination: room }
                    } else {
                        Buffers::InPlace(room)
                    },
                    authentic: false,
                })
                .collect();
            library.seal(&mut packets);
            for ((_, sealed), room) in pairs.iter().zip(&rooms) {
                assert_eq!(room, &sealed.packet, "{suite}, {} bytes, apart: {apart}", sealed.text.len());
            }
        }
    });
}

#[test]
fn opens_what_the_portable_kernel_sealed() {
    of_every_suite(|library, suite, pairs| {
        let mut texts: Vec<_> = pairs.iter().map(|(_, sealed)| vec![0; sealed.text.len()]).collect();
        let mut packets: Vec<_> = pairs
            .iter()
            .zip(&mut texts)
            .map(|((key, sealed), text)| Packet {
                key,
                nonce: sealed.nonce,
                buffers: Buffers::Apart { source: &sealed.packet, destination: text },
                authentic: false,
            })
            .collect();
        library.open(&mut packets);
        assert!(packets.iter().all(|packet| packet.authentic), "{suite}");
        for ((_, sealed), text) in pairs.iter().zip(&texts) {
            assert_eq!(text, &sealed.text, "{suite}");
        }
    });
}

#[test]
fn finds_what_was_changed() {
    of_every_suite(|library, suite, pairs| {
        for (byte, authentic) in [(0, false), (HEADER + suite.iv_length(), false), (usize::MAX, true)] {
            let mut rooms: Vec<_> = pairs.iter().map(|(_, sealed)| sealed.packet.clone()).collect();
            // The second packet only: the others stay authentic.
            rooms[1].get_mut(byte).into_iter().for_each(|byte| *byte ^= 1);
            let mut packets: Vec<_> = pairs
                .iter()
                .zip(&mut rooms)
                .map(|((key, sealed), room)| Packet {
                    key,
                    nonce: sealed.nonce,
                    buffers: Buffers::InPlace(room),
                    authentic: false,
                })
                .collect();
            library.open(&mut packets);
            for (position, packet) in packets.iter().enumerate() {
                assert_eq!(packet.authentic, authentic || position != 1, "{suite}, byte {byte}, packet {position}");
            }
        }
    });
}
