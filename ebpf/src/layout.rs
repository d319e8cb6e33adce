//! What the loader and the program agree on: the other side of `steer.h`.

use std::net::IpAddr;
use std::ops::Index;

/// `STEER_QUEUES`.
pub(crate) const QUEUES: u32 = 64;
/// `STEER_ADDRESSES`.
pub(crate) const ADDRESSES: u32 = 1024;

/// What the program did with a frame. Each frame is counted under exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Counter {
    /// Handed to the socket of the receiving queue. It may still be lost there if the ring is full; the socket's own
    /// statistics tell.
    Steered = 0,
    /// Dropped: ours, but no socket is registered for the queue.
    NoSocket = 1,
    /// Left to the kernel: not ours.
    ToKernel = 2,
    /// Dropped: a header is cut off or contradicts itself.
    Malformed = 3,
}

/// The counters of one interface, in frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Counter {
    /// All of them, in their order in the map.
    pub const ALL: [Counter; 4] = [Counter::Steered, Counter::NoSocket, Counter::ToKernel, Counter::Malformed];

    /// The name under which it is reported.
    pub const fn as_str(self) -> &'static str {
        match self {
            Counter::Steered => "steered",
            Counter::NoSocket => "no_socket",
            Counter::ToKernel => "to_kernel",
            Counter::Malformed => "malformed",
        }
    }
}

impl Counters {
    pub(crate) fn new(values: [u64; Counter::ALL.len()]) -> Self {
        Self(values)
    }

    /// Each counter with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.into_iter().zip(self.0)
    }

    /// All frames the program saw.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Index<Counter> for Counters {
    type Output = u64;

    fn index(&self, counter: Counter) -> &u64 {
        &self.0[counter as usize]
    }
}

/// `struct steer_address`.
pub(crate) fn address_key(address: &IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// `struct steer_settings`.
pub(crate) fn settings(mac: [u8; 6]) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac;
    [a, b, c, d, e, f, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = include_str!("steer.h");

    /// The number behind `name` in the header, in a `#define` or an enum.
    fn in_header(name: &str) -> u32 {
        HEADER
            .lines()
            .map(|line| line.trim_start_matches("#define").replace(['=', ','], " "))
            .find_map(|line| {
                let mut words = line.split_whitespace();
                (words.next() == Some(name)).then(|| words.next().unwrap().parse().unwrap())
            })
            .unwrap_or_else(|| panic!("{name} is not in steer.h"))
    }

    #[test]
    fn limits_are_those_of_the_header() {
        assert_eq!(QUEUES, in_header("STEER_QUEUES"));
        assert_eq!(ADDRESSES, in_header("STEER_ADDRESSES"));
    }

    #[test]
    fn counters_are_those_of_the_header() {
        assert_eq!(Counter::ALL.len() as u32, in_header("STEER_COUNTERS"));
        for (position, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, position);
            let name = format!("STEER_{}", counter.as_str().to_uppercase());
            assert_eq!(counter as u32, in_header(&name), "{name}");
        }
    }

    #[test]
    fn a_v4_address_is_mapped_into_v6() {
        let key = address_key(&"192.0.2.1".parse().unwrap());
        assert_eq!(key, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    }
}
