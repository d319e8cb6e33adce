//! Hand-over: a part of a batch's cryptography is done by workers that have nothing else to do.
//!
//! Everything else of a packet, and so the order of packets, stays with the worker that received it. It pays where the
//! cryptography of a batch takes much longer than what it takes two cores to agree.

use aead::{Open, Seal, Suite};
use esp::Protect;
use port::{Member, Shares};

use crate::handle::Shared;

/// A worker's place among those that help each other.
pub(crate) struct HandOver(Option<Member>);

impl HandOver {
    /// Of a worker that does everything itself.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// From now on there are others.
    pub(crate) fn join(&mut self, member: Member) {
        self.0 = Some(member);
    }

    /// What follows a turn that found so many packets: others are helped if it found none. Returns how many packets they were.
    #[inline]
    pub(crate) fn follow(&mut self, found: usize, shared: &Shared) -> usize {
        let Some(member) = &mut self.0 else { return 0 };
        member.set_free(found == 0);
        if found > 0 {
            return 0;
        }
        let helped = member.help();
        if helped > 0 {
            shared.counters.hand_over.helped.add(helped as u64);
        }
        helped
    }

    /// Others are not to count on this worker.
    pub(crate) fn pause(&mut self) {
        if let Some(member) = &mut self.0 {
            member.set_free(false);
        }
    }

    /// Does the cryptography of a batch, with others where it pays.
    #[inline(always)]
    pub(crate) fn protect<'a>(&'a mut self, shared: &'a Shared) -> Protection<'a> {
        Protection { member: self.0.as_mut(), shared }
    }
}

/// Does the cryptography of one batch.
pub(crate) struct Protection<'a> {
    member: Option<&'a mut Member>,
    shared: &'a Shared,
}

impl Protect for Protection<'_> {
    #[inline(always)]
    fn seal(&mut self, batch: &mut [Seal<'_>]) {
        match &mut self.member {
            Some(member) => fork(member, batch, aead::seal, sealing, self.shared),
            None => aead::seal(batch),
        }
    }

    #[inline(always)]
    fn open(&mut self, batch: &mut [Open<'_>]) {
        match &mut self.member {
            Some(member) => fork(member, batch, aead::open, opening, self.shared),
            None => aead::open(batch),
        }
    }
}

/// Runs `work` over a batch, a part of it on other workers where that pays.
#[inline(never)]
fn fork<T: Send>(
    member: &mut Member,
    batch: &mut [T],
    work: fn(&mut [T]),
    kind: fn(&T) -> (Suite, usize),
    shared: &Shared,
) {
    let cost: usize = batch.iter().map(kind).map(|(suite, bytes)| cost(suite, bytes)).sum();
    let Some(first) = batch.first().filter(|_| cost >= WORTH) else { return work(batch) };
    let chunk = chunk(kind(first).0, batch.len());
    let Shares { handed_over, taken_back, alone } = member.fork(batch, chunk, &work);
    let counters = &shared.counters.hand_over;
    if alone {
        counters.unhelped.add(batch.len() as u64);
        shared.want_help();
    } else {
        counters.handed_over.add(handed_over as u64);
        counters.taken_back.add(taken_back as u64);
    }
}

fn sealing(packet: &Seal<'_>) -> (Suite, usize) {
    (packet.key.suite(), packet.buffers.destination().len())
}

fn opening(packet: &Open<'_>) -> (Suite, usize) {
    (packet.key.suite(), packet.buffers.destination().len())
}

/// What a batch has to cost to be worth offering, in cycles: what it takes two cores to agree, and the caches of the second one
/// to get what is in those of the first, several times over.
const WORTH: usize = 10_000;

/// What a packet costs, roughly, in cycles. These are the widest kernels; with others there is more to be had.
fn cost(suite: Suite, bytes: usize) -> usize {
    match suite {
        Suite::Aes128Gcm16 | Suite::Aes192Gcm16 | Suite::Aes256Gcm16 => 32 + bytes / 4,
        Suite::ChaCha20Poly1305 => 150 + bytes / 2,
        Suite::AesCbc(..) => 200 + bytes,
    }
}

/// Packets of a chunk: the fewer, the less is waited for in the end, but kernels work on several side by side, four of
/// AES-GCM and up to sixteen of the others. A batch is at least four chunks.
fn chunk(suite: Suite, packets: usize) -> usize {
    match suite {
        Suite::Aes128Gcm16 | Suite::Aes192Gcm16 | Suite::Aes256Gcm16 => 4,
        Suite::ChaCha20Poly1305 | Suite::AesCbc(..) => (packets / 4).clamp(1, 16),
    }
}
