//! TCP segments that are held to the size that fits a tunnel.

use wire::{Packet, Protocol, tcp};

/// Where a packet's TCP segment starts if it is held to `segments`, the sizes by IPv4 and by IPv6; else 0.
#[inline(always)]
pub(crate) fn start(inner: &Packet<'_>, segments: [u16; 2]) -> usize {
    let held = inner.protocol == Protocol::TCP && !inner.fragment && segments[0] != 0;
    if held { inner.header_length } else { 0 }
}

/// Holds the segment that starts there to its size.
#[inline(always)]
pub(crate) fn hold<const V6: bool>(packet: &mut [u8], start: usize, segments: [u16; 2]) {
    if start != 0 {
        tcp::clamp_mss(&mut packet[start..], segments[usize::from(V6)]);
    }
}
