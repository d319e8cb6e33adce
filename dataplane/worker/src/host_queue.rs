//! A bounded queue of which neither end ever waits for the other.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use crate::handle::{HostPacket, QUEUE, QueueFull};

/// Packets from one thread to one other.
///
/// By itself an [`ArrayQueue`] spins where its other end was interrupted in the middle of a packet. One end here is a real-time
/// thread that may share its core with the other one's: while it spun, the other could not go on, and both stood still until
/// the kernel took the real-time thread its processor away. So a packet is looked at once it is there as a whole, and its place
/// is used again once it is taken as a whole.
pub(crate) struct HostQueue {
    packets: ArrayQueue<HostPacket>,
    /// How many are there as a whole, since the beginning. Written by the one end alone.
    put: AtomicU64,
    /// How many are taken as a whole. Written by the other end alone.
    taken: AtomicU64,
}

impl HostQueue {
    pub(crate) fn new() -> Self {
        Self { packets: ArrayQueue::new(QUEUE), put: AtomicU64::new(0), taken: AtomicU64::new(0) }
    }

    /// For one thread only.
    pub(crate) fn push(&self, packet: HostPacket) -> Result<(), QueueFull> {
        let put = self.put.load(Ordering::Relaxed);
        // Acquire: the places of what was taken are free.
        if put - self.taken.load(Ordering::Acquire) >= QUEUE as u64 {
            return Err(QueueFull);
        }
        self.packets.push(packet).map_err(|_| QueueFull)?;
        // Release: whoever sees the number finds the packet.
        self.put.store(put + 1, Ordering::Release);
        Ok(())
    }

    /// For one thread only.
    pub(crate) fn pop(&self) -> Option<HostPacket> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken == self.put.load(Ordering::Acquire) {
            return None;
        }
        let packet = self.packets.pop();
        self.taken.store(taken + 1, Ordering::Release);
        packet
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tables::GatewayIndex;

    use super::*;

    #[test]
    fn packets_come_out_once_and_in_order_and_no_more_wait_than_may() {
        let queue = HostQueue::new();
        let packet = |number: u32| HostPacket {
            gateway: GatewayIndex(number),
            packet: number.to_be_bytes().as_slice().try_into().unwrap(),
        };
        for number in 0..QUEUE as u32 {
            assert_eq!(queue.push(packet(number)), Ok(()));
        }
        assert_eq!(queue.push(packet(0)), Err(QueueFull));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), QUEUE);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..100_000 {
                    while queue.push(packet(number)).is_err() {
                        thread::yield_now();
                    }
                }
            });
            for number in 0..100_000 {
                let packet = loop {
                    match queue.pop() {
                        Some(packet) => break packet,
                        None => thread::yield_now(),
                    }
                };
                assert_eq!((packet.gateway, packet.packet()), (GatewayIndex(number), &number.to_be_bytes()[..]));
            }
        });
        assert!(queue.pop().is_none());
    }
}
