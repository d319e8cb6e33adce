//! Every kernel does what the portable one does, on batches that mix suites, keys, kernels, sizes and places.

mod packets;

use std::collections::BTreeMap;
use std::rc::Rc;

use bordergate_aead::{AssociatedData, Kernel, Key, Open, Seal, Suite};
use packets::{Frame, Placement, fitting_tail, keys, noise, nonce, tail};
use proptest::prelude::*;
use proptest::sample::select;

/// A packet of a random batch.
#[derive(Debug, Clone)]
struct Plan {
    suite: Suite,
    /// Packets of one batch share keys: there are few.
    key: u64,
    length: usize,
    tail: usize,
    extended: bool,
    seal: Placement,
    open: Placement,
    /// Which of the kernels, in a batch of mixed ones.
    kernel: usize,
    /// What is damaged before it is opened, if anything.
    flip: Option<(Part, usize)>,
    seed: u64,
}

/// A part of a packet in which a bit is flipped.
#[derive(Debug, Clone, Copy)]
enum Part {
    Nonce,
    Data,
    Text,
    Tag,
}

/// The bytes of a packet.
struct Bytes {
    nonce: [u8; 16],
    data: [u8; 12],
    text: Vec<u8>,
}

impl Plan {
    fn bytes(&self) -> Bytes {
        let length = self.length + fitting_tail(self.suite, self.length, self.tail);
        Bytes {
            nonce: noise(self.seed, 16).try_into().unwrap(),
            data: noise(self.seed ^ 1, 12).try_into().unwrap(),
            text: noise(self.seed ^ 2, length),
        }
    }

    fn associated_data(&self, bytes: &[u8; 12]) -> AssociatedData {
        if self.extended {
            AssociatedData::extended(*bytes)
        } else {
            AssociatedData::short(*bytes.first_chunk().unwrap())
        }
    }

    /// Flips the bit, and returns the packet.
    fn damage(&self, bytes: &mut Bytes, packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let Some((part, bit)) = self.flip else { return packet };
        let (text, tag) = packet.split_at_mut(bytes.text.len());
        let part = match part {
            Part::Nonce if matches!(self.suite, Suite::AesCbc(..)) => &mut bytes.nonce[..],
            Part::Nonce => &mut bytes.nonce[..12],
            Part::Data if self.extended => &mut bytes.data[..],
            Part::Data => &mut bytes.data[..8],
            Part::Text if !text.is_empty() => text,
            Part::Text | Part::Tag => tag,
        };
        let bit = bit % (8 * part.len());
        part[bit / 8] ^= 1 << (bit % 8);
        packet
    }
}

/// Small ones above all, and whatever is around the sizes of vectors and strides.
fn lengths() -> impl Strategy<Value = usize> {
    let stride = select(vec![16_usize, 32, 64, 128, 256, 768, 1024]);
    prop_oneof![
        4 => 0_usize..=80,
        4 => (stride, 1_usize..=4, 0_usize..=4).prop_map(|(stride, count, beyond)| stride * count + beyond - 2),
        1 => 1380_usize..=1500,
        1 => 0_usize..=9216,
    ]
}

fn placements() -> impl Strategy<Value = Placement> {
    (any::<bool>(), 0_usize..64, 0_usize..64).prop_map(|(in_place, source, destination)| Placement {
        in_place,
        source,
        destination,
    })
}

fn plans() -> impl Strategy<Value = Plan> {
    let part = select(vec![Part::Nonce, Part::Data, Part::Text, Part::Tag]);
    let flip = prop_oneof![4 => Just(None), 1 => (part, any::<usize>()).prop_map(Some)];
    let shape = (select(Suite::ALL.to_vec()), 0_u64..4, lengths(), 0_usize..=20, any::<bool>());
    (shape, placements(), placements(), any::<usize>(), flip, any::<u64>()).prop_map(
        |((suite, key, length, tail, extended), seal, open, kernel, flip, seed)| Plan {
            suite,
            key,
            length,
            tail,
            extended,
            seal,
            open,
            kernel,
            flip,
            seed,
        },
    )
}

/// One suite now and then, so that kernels get long runs; else all of them.
fn batches() -> impl Strategy<Value = Vec<Plan>> {
    let count = prop_oneof![2 => 1_usize..=12, 1 => 1_usize..=130];
    let one = proptest::option::of(select(Suite::ALL.to_vec()));
    (count, one).prop_flat_map(|(count, one)| {
        let plan = plans().prop_map(move |plan| Plan { suite: one.unwrap_or(plan.suite), ..plan });
        proptest::collection::vec(plan, count)
    })
}

fn seal(batch: &[Plan], keys: &[Rc<Key>]) -> Vec<Vec<u8>> {
    let bytes: Vec<Bytes> = batch.iter().map(Plan::bytes).collect();
    let mut frames: Vec<Frame> = (batch.iter().zip(&bytes))
        .map(|(plan, bytes)| {
            let result = bytes.text.len() + plan.suite.tag_length();
            Frame::new(plan.seal, &bytes.text[..plan.length], result)
        })
        .collect();
    let mut packets: Vec<Seal<'_>> = (batch.iter().zip(&bytes).zip(keys).zip(&mut frames))
        .map(|(((plan, bytes), key), frame)| Seal {
            key,
            nonce: nonce(plan.suite, &bytes.nonce),
            associated_data: plan.associated_data(&bytes.data),
            buffers: frame.buffers(),
            tail: tail(&bytes.text[plan.length..]),
        })
        .collect();
    bordergate_aead::seal(&mut packets);
    frames.iter().map(|frame| frame.result().to_vec()).collect()
}

/// Opens what was sealed and then damaged, as far as `damaged` says.
fn open(batch: &[Plan], sealed: &[Vec<u8>], keys: &[Rc<Key>], damaged: bool) {
    let mut bytes: Vec<Bytes> = batch.iter().map(Plan::bytes).collect();
    let arrived: Vec<Vec<u8>> = (batch.iter().zip(&mut bytes).zip(sealed))
        .map(|((plan, bytes), packet)| if damaged { plan.damage(bytes, packet) } else { packet.clone() })
        .collect();
    let mut frames: Vec<Frame> = (batch.iter().zip(&bytes).zip(&arrived))
        .map(|((plan, bytes), packet)| Frame::new(plan.open, packet, bytes.text.len()))
        .collect();
    let mut packets: Vec<Open<'_>> = (batch.iter().zip(&bytes).zip(keys).zip(&mut frames))
        .map(|(((plan, bytes), key), frame)| Open {
            key,
            nonce: nonce(plan.suite, &bytes.nonce),
            associated_data: plan.associated_data(&bytes.data),
            buffers: frame.buffers(),
            authentic: false,
        })
        .collect();
    bordergate_aead::open(&mut packets);
    let authentic: Vec<bool> = packets.iter().map(|packet| packet.authentic).collect();
    for (position, (plan, bytes)) in batch.iter().zip(&bytes).enumerate() {
        let what = || format!("packet {position} on {}: {plan:?}", keys[position].kernel());
        let (text, tag) = frames[position].result().split_at(bytes.text.len());
        let expected = !damaged || plan.flip.is_none();
        assert_eq!(authentic[position], expected, "{}", what());
        if expected {
            assert!(text == bytes.text, "opens to something else: {}", what());
        } else {
            assert!(text.iter().all(|byte| *byte == 0), "something is left: {}", what());
        }
        if plan.open.in_place {
            assert!(arrived[position].ends_with(tag), "the tag's place was touched: {}", what());
        }
    }
}

/// The batch's keys. Packets of one key share it, as those of one association do: kernels tell by its place that it is one.
fn expand(batch: &[Plan], kernel: impl Fn(&Plan) -> Kernel) -> Vec<Rc<Key>> {
    let mut keys = BTreeMap::new();
    let key = |plan: &Plan| {
        let (suite, kernel) = (plan.suite, kernel(plan));
        let new = || Rc::new(Key::for_kernel(kernel, suite, &noise(plan.key, suite.key_length())).unwrap());
        keys.entry((suite, plan.key, kernel)).or_insert_with(new).clone()
    };
    batch.iter().map(key).collect()
}

fn agree(batch: &[Plan]) {
    let available: Vec<Kernel> = Kernel::available().collect();
    let expected = seal(batch, &expand(batch, |_| Kernel::Portable));
    let mut casts: Vec<_> = available.iter().map(|kernel| expand(batch, |_| *kernel)).collect();
    casts.push(expand(batch, |plan| available[plan.kernel % available.len()]));
    for keys in &casts {
        let sealed = seal(batch, keys);
        for (position, plan) in batch.iter().enumerate() {
            assert!(
                sealed[position] == expected[position],
                "packet {position} is sealed otherwise on {}: {plan:?}",
                keys[position].kernel()
            );
        }
        open(batch, &expected, keys, false);
        open(batch, &expected, keys, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1200, ..ProptestConfig::default() })]

    #[test]
    fn kernels_agree(batch in batches()) {
        agree(&batch);
    }
}

/// All sizes up to a few strides, in batches of one size and of rising ones.
#[test]
fn kernels_agree_at_every_size() {
    let plan = |suite, length, position: u64| Plan {
        suite,
        key: position % 3,
        length,
        tail: length % 21,
        extended: position.is_multiple_of(2),
        seal: Placement { in_place: position.is_multiple_of(3), source: 0, destination: 0 },
        open: Placement { in_place: position.is_multiple_of(5), source: 16, destination: 40 },
        kernel: position as usize,
        flip: None,
        seed: length as u64,
    };
    for suite in Suite::ALL {
        for first in (0..1100).step_by(50) {
            let rising: Vec<Plan> =
                (first..first + 50).zip(0..).map(|(length, position)| plan(suite, length, position)).collect();
            agree(&rising);
        }
        for length in [0, 15, 16, 64, 100, 512] {
            let same: Vec<Plan> = (0..9).map(|position| plan(suite, length, position)).collect();
            agree(&same);
        }
    }
}

/// Texts that end within the first block of a vector, under one key: of one size, and of different ones. Their last blocks share a
/// vector.
#[test]
fn kernels_agree_on_single_blocks() {
    for suite in Suite::ALL {
        for (beyond, tail) in [(1, 0), (4, 2), (4, 20), (15, 15), (16, 0), (16, 17)] {
            let plan = |vectors: usize, position: usize| Plan {
                suite,
                key: 9,
                length: 64 * vectors + beyond - tail,
                tail,
                extended: true,
                seal: Placement { in_place: position.is_multiple_of(3), source: 14, destination: 50 },
                open: Placement { in_place: position.is_multiple_of(5), source: 50, destination: 14 },
                kernel: position,
                flip: (position % 7 == 6).then_some((Part::Text, 3 * position)),
                seed: position as u64,
            };
            // As many as are hashed in one sum, in two and in more.
            let of_one_size = (1..28).chain([45, 46, 47, 140]).flat_map(|vectors| (0..4).map(move |_| vectors));
            let of_any = (0..28).map(|number| 1 + 7 * number % 47);
            let batch: Vec<Plan> =
                of_one_size.chain(of_any).enumerate().map(|(position, vectors)| plan(vectors, position)).collect();
            agree(&batch);
        }
    }
}

/// Runs of packets that are alike but for their bytes, and between them packets that are not: another key, tail, place or
/// associated data, another length. Some of them are damaged before they are opened.
#[test]
fn kernels_agree_on_packets_that_are_alike() {
    let suites = [Suite::Aes128Gcm16, Suite::Aes192Gcm16, Suite::Aes256Gcm16];
    // Of each number of vectors: whole ones, single blocks behind them, parts of blocks and of vectors; up to what is hashed in
    // one sum and beyond.
    let lengths = (0..=27).flat_map(|vectors| [0, 1, 4, 15, 16, 17, 40, 63].map(|beyond| 64 * vectors + beyond));
    for (number, length) in lengths.enumerate() {
        let tail = [0, 4, 2, 20, 17][number % 5].min(length);
        let alike = |position: usize| Plan {
            suite: suites[number % 3],
            key: 11,
            length: length - tail,
            tail,
            extended: number.is_multiple_of(2),
            seal: Placement { in_place: number % 4 == 1, source: 14 + position % 3, destination: 50 - position % 5 },
            open: Placement { in_place: number % 4 == 2, source: 50 - position % 5, destination: 14 + position % 3 },
            kernel: position,
            flip: (position % 11 == 7).then_some(([Part::Text, Part::Tag, Part::Data][position % 3], 5 * position)),
            seed: (100 * length + position) as u64,
        };
        // All of one length, and all of another one.
        let second = |position| Plan { length: length - tail + 64, ..alike(position) };
        agree(&(0..8).map(alike).chain((8..17).map(second)).collect::<Vec<_>>());
        // Each of those that differ stands among packets with which it would be worked on if nobody saw that it does; between two of
        // them there are eight that are alike, and before them fewer than end the search for the next run.
        let mut batch: Vec<Plan> = (0..96).map(alike).collect();
        batch[9].extended ^= true;
        // As many bytes, and others of them in the tail.
        if tail != 0 {
            batch[20].length += 1;
            batch[20].tail -= 1;
        } else if length > 2 {
            batch[20].length -= 2;
            batch[20].tail += 2;
        }
        for plan in &mut batch[29..45] {
            plan.key = 12;
        }
        batch[55].seal.in_place ^= true;
        batch[74].open.in_place ^= true;
        batch[84].length += 1;
        agree(&batch);
        // Under many keys, among them one of another suite; and as many as that the first one comes again where it is looked for.
        for keys in [5, 7] {
            let of_many = |position: usize| Plan { key: 20 + (position % keys) as u64, ..alike(position) };
            let mut batch: Vec<Plan> = (0..48).map(of_many).collect();
            batch[13].suite = suites[(number + 1) % 3];
            batch[28].length += 1;
            agree(&batch);
        }
    }
}

/// Each bit of the tag counts.
#[test]
fn every_tag_bit() {
    for suite in Suite::ALL {
        let key = noise(7, suite.key_length());
        for key in keys(suite, &key) {
            for length in [0_usize, 16, 20, 100, 1472] {
                let bits = 8 * suite.tag_length();
                let place = Placement { in_place: length.is_multiple_of(8), source: 3, destination: 5 };
                let batch: Vec<Plan> = (0..bits)
                    .map(|bit| Plan {
                        suite,
                        key: 7,
                        length,
                        tail: 2,
                        extended: bit % 2 == 0,
                        seal: place,
                        open: place,
                        kernel: 0,
                        flip: (bit % 16 != 15).then_some((Part::Tag, bit)),
                        seed: bit as u64,
                    })
                    .collect();
                let keys = expand(&batch, |_| key.kernel());
                let sealed = seal(&batch, &keys);
                open(&batch, &sealed, &keys, true);
                // The bits that were left alone a moment ago, each in a packet between authentic ones.
                let others: Vec<Plan> = batch
                    .iter()
                    .enumerate()
                    .map(|(bit, plan)| Plan { flip: (bit % 16 == 15).then_some((Part::Tag, bit)), ..plan.clone() })
                    .collect();
                open(&others, &sealed, &keys, true);
            }
        }
    }
}
