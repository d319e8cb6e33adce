//! Intel's library, where it is installed: AES-GCM packet by packet, the others by the batch.

use std::cell::RefCell;
use std::time::Duration;

use ::ipsec_mb::{Buffers, IpsecMb, Key, Packet};

use super::case::Case;
use super::frames::{Frames, Place};
use super::subject::{Subject, time};
use super::traffic::Traffic;
use crate::operation::Operation;

/// The library and the keys.
///
/// CBC with HMAC it does for many packets at a time: a small batch leaves most of its lanes empty, so small batches of these
/// suites say nothing of what it can do.
///
/// It hashes what it reads, so CBC with HMAC is sealed in place only: where the others go from one frame to another, it
/// seals the destination in place, without the copy that a user would need.
pub struct Intel<'l> {
    library: &'l RefCell<IpsecMb>,
    keys: Vec<Key>,
}

impl<'l> Intel<'l> {
    /// `None` where this version of it lacks the suite.
    pub fn new(library: &'l RefCell<IpsecMb>, traffic: &Traffic) -> Option<Self> {
        let keys = traffic.keys.iter().map(|key| library.borrow().key(traffic.suite, key));
        Some(Self { library, keys: keys.collect::<Option<_>>()? })
    }
}

impl Subject for Intel<'_> {
    fn implementation(&self) -> &'static str {
        "intel-ipsec-mb"
    }

    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration> {
        let in_place_only = case.operation == Operation::Seal && matches!(case.suite, ::aead::Suite::AesCbc(..));
        let places = frames.places(case, traffic).into_iter().zip(&traffic.packets);
        let mut batch: Vec<_> = places
            .map(|(place, packet)| Packet {
                key: &self.keys[packet.key],
                nonce: packet.nonce,
                buffers: match place {
                    Place::Apart { destination, .. } if in_place_only => Buffers::InPlace(destination),
                    Place::Apart { source, destination } => Buffers::Apart { source, destination },
                    Place::InPlace(place) => Buffers::InPlace(place),
                },
                authentic: false,
            })
            .collect();
        let mut library = self.library.borrow_mut();
        time(passes, || match case.operation {
            Operation::Seal => {
                library.seal(&mut batch);
                true
            }
            Operation::Open => {
                if case.restores() {
                    for (open, packet) in batch.iter_mut().zip(&traffic.packets) {
                        if let Buffers::InPlace(place) = &mut open.buffers {
                            place.copy_from_slice(&packet.sealed);
                        }
                    }
                }
                library.open(&mut batch);
                batch.iter().all(|open| open.authentic)
            }
        })
    }
}
