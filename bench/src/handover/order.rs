//! Whether packets come out as they went in.

use anyhow::{Result, ensure};
use esp::{InboundSa, Opening};
use wire::Link;

use crate::operation::Operation;

/// Bytes in front of ESP, and in front of the inner packet of what was opened.
const OUTER: usize = Link::UNTAGGED + 20;
/// Where IPv4 has its identification: packets are numbered there.
const IDENTIFICATION: std::ops::Range<usize> = 4..6;
/// Where ESP has its sequence number.
const SEQUENCE: std::ops::Range<usize> = OUTER + 4..OUTER + 8;

/// Looks at numbers that have to follow each other. The packets of all flows share them, so that each of those is in order
/// when all are.
#[derive(Default)]
pub struct Order {
    last: Option<u32>,
    wrong: usize,
}

impl Order {
    /// A frame that came out, as far as can be told without opening it.
    pub fn look(&mut self, operation: Operation, frame: &[u8]) {
        match operation {
            Operation::Seal => self.next(read(&frame[SEQUENCE]), u32::MAX),
            Operation::Open => self.next(read(&frame[Link::UNTAGGED..][IDENTIFICATION]), u32::from(u16::MAX)),
        }
    }

    /// A sealed frame, by the number of the packet in it.
    pub fn look_inside(&mut self, peer: &InboundSa, frame: &[u8]) {
        let mut inner = vec![0; frame.len()];
        let mut opening = Opening::default();
        // What is left out has no result.
        let _ = opening.push(peer, &frame[OUTER..], &mut inner);
        if !matches!(opening.finish().as_slice(), [Ok(_)]) {
            self.wrong += 1;
        }
        self.next(read(&inner[IDENTIFICATION]), u32::from(u16::MAX));
    }

    /// # Errors
    /// Where some did not.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.last.is_some() && self.wrong == 0, "{} packets are damaged or not in order", self.wrong);
        Ok(())
    }

    fn next(&mut self, number: u32, mask: u32) {
        if self.last.is_some_and(|last| last.wrapping_add(1) & mask != number) {
            self.wrong += 1;
        }
        self.last = Some(number);
    }
}

fn read(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_too_many_or_too_few_is_seen() {
        for (numbers, good) in [
            (&[1, 2, 3][..], true),
            (&[0xffff, 0, 1], true),
            (&[1, 3], false),
            (&[1, 1], false),
            (&[2, 1, 3], false),
            (&[], false),
        ] {
            let mut order = Order::default();
            numbers.iter().for_each(|number| order.next(*number, 0xffff));
            assert_eq!(order.verdict().is_ok(), good, "{numbers:?}");
        }
    }
}
