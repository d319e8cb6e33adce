//! Bordergate's own kernels.

use std::time::Duration;

use ::aead::{AssociatedData, Buffers, Kernel, Key, Open, Seal, Tail};

use super::case::Case;
use super::frames::{Frames, Place};
use super::subject::{Subject, time};
use super::traffic::{Traffic, nonce_of, prefix};
use crate::operation::Operation;

/// One kernel with its keys.
pub struct Bordergate {
    kernel: Kernel,
    keys: Vec<Key>,
}

impl Bordergate {
    /// `None` where the kernel has nothing of its own for the suite: another one is measured under its own name.
    pub fn new(kernel: Kernel, traffic: &Traffic) -> Option<Self> {
        let expand = |key: &Vec<u8>| Key::for_kernel(kernel, traffic.suite, key).expect("a key of the suite's length");
        let keys: Vec<_> = traffic.keys.iter().map(expand).collect();
        keys.iter().all(|key| key.kernel() == kernel).then_some(Self { kernel, keys })
    }
}

impl Subject for Bordergate {
    fn implementation(&self) -> &'static str {
        "bordergate"
    }

    fn kernel(&self) -> Option<Kernel> {
        Some(self.kernel)
    }

    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration> {
        let (suite, prefix) = (case.suite, prefix(case.suite));
        let places = frames.places(case, traffic).into_iter().zip(&traffic.packets);
        match case.operation {
            Operation::Seal => {
                let mut batch: Vec<_> = places
                    .map(|(place, packet)| Seal {
                        key: &self.keys[packet.key],
                        nonce: nonce_of(suite, packet.nonce),
                        associated_data: AssociatedData::short(packet.header),
                        buffers: match place {
                            Place::Apart { source, destination } => {
                                Buffers::Apart { source, destination: &mut destination[prefix..] }
                            }
                            Place::InPlace(place) => Buffers::InPlace(&mut place[prefix..]),
                        },
                        tail: Tail::EMPTY,
                    })
                    .collect();
                time(passes, || {
                    ::aead::seal(&mut batch);
                    true
                })
            }
            Operation::Open => {
                let mut batch: Vec<_> = places
                    .map(|(place, packet)| Open {
                        key: &self.keys[packet.key],
                        nonce: nonce_of(suite, packet.nonce),
                        associated_data: AssociatedData::short(packet.header),
                        buffers: match place {
                            Place::Apart { source, destination } => {
                                Buffers::Apart { source: &source[prefix..], destination }
                            }
                            Place::InPlace(place) => Buffers::InPlace(&mut place[prefix..]),
                        },
                        authentic: false,
                    })
                    .collect();
                time(passes, || {
                    if case.restores() {
                        for (open, packet) in batch.iter_mut().zip(&traffic.packets) {
                            if let Buffers::InPlace(place) = &mut open.buffers {
                                place.copy_from_slice(&packet.sealed[prefix..]);
                            }
                        }
                    }
                    ::aead::open(&mut batch);
                    batch.iter().all(|open| open.authentic)
                })
            }
        }
    }
}
