//! Which neighbours the kernel was asked for, so that none is asked for more than once a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a neighbour is not asked for again.
const REST: Duration = Duration::from_secs(1);
/// Most neighbours that are remembered: a scan of a large prefix costs no more memory than this.
const MOST: usize = 4096;

/// The neighbours asked for, with the time.
#[derive(Debug, Default)]
pub struct Probes(HashMap<(u32, IpAddr), Instant>);

impl Probes {
    /// Whether the kernel is to be asked for this neighbour now; if so, that is remembered.
    pub fn due(&mut self, interface: u32, address: IpAddr, now: Instant) -> bool {
        let rested = |asked: &Instant| now.duration_since(*asked) >= REST;
        if self.0.len() >= MOST {
            self.0.retain(|_, asked| !rested(asked));
        }
        let due = self.0.get(&(interface, address)).map_or(self.0.len() < MOST, rested);
        if due {
            self.0.insert((interface, address), now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_second_and_bounded() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        let address = IpAddr::from([192, 0, 2, 1]);
        assert!(probes.due(1, address, start) && probes.due(2, address, start));
        assert!(!probes.due(1, address, start + REST / 2));
        assert!(probes.due(1, address, start + REST));
        let asked = (0..2 * MOST as u32).filter(|n| probes.due(3, IpAddr::from(n.to_be_bytes()), start + REST)).count();
        assert!(asked <= MOST);
        assert!(probes.due(3, IpAddr::from([255; 4]), start + 3 * REST));
    }
}
