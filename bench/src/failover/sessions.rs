//! How often the tunnels' sessions have come up, so that it shows when one was lost meanwhile.

use anyhow::Result;
use thiserror::Error;

use super::gateway::Gateway;
use super::tunnel::{LOST, STEADY, TUNNELS};

/// By tunnel, then by end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions([[u64; 2]; 2]);

/// A tunnel was lost that nobody had cut.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{tunnel} was lost without having been cut, {count} times")]
pub struct Flap {
    pub tunnel: &'static str,
    pub count: u64,
}

impl Sessions {
    /// As they are now. They have to be up, or it does not show that one has just been lost.
    pub fn read(gateways: &[Gateway; 2]) -> Result<Self> {
        let mut counts = [[0; 2]; 2];
        for (end, gateway) in gateways.iter().enumerate() {
            for (number, tunnel) in TUNNELS.iter().enumerate() {
                counts[number][end] = gateway.neighbor(tunnel)?.times_up;
            }
        }
        Ok(Self(counts))
    }

    /// Looks for what was lost since `before`, besides [`LOST`], which was cut so often.
    pub fn compare(self, before: Self, cuts: u64) -> Result<(), Flap> {
        for ((tunnel, allowed), (now, before)) in
            [(STEADY, 0), (LOST, cuts)].into_iter().zip(self.0.into_iter().zip(before.0))
        {
            let risen = now.into_iter().zip(before).map(|(now, before)| now.saturating_sub(before)).max();
            match risen.unwrap_or_default().saturating_sub(allowed) {
                0 => {}
                count => return Err(Flap { tunnel: tunnel.name, count }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flap_is_what_nobody_has_cut() {
        let before = Sessions([[1, 1], [4, 5]]);
        assert_eq!(Sessions([[1, 1], [5, 6]]).compare(before, 1), Ok(()));
        let flap = |tunnel, count| Err(Flap { tunnel, count });
        assert_eq!(Sessions([[1, 1], [4, 6]]).compare(before, 0), flap("tun-2", 1));
        assert_eq!(Sessions([[3, 1], [5, 6]]).compare(before, 1), flap("tun-1", 2));
    }
}
