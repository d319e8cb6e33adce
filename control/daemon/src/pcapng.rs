//! Captures in the pcapng format (draft-ietf-opsawg-pcapng), as far as we write it.
//!
//! One section; an interface for each tunnel and side, described before its first packet; a statistics block for each
//! at the end. Every packet starts at its IP header.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::api::capture::{Counts, Direction, Packet, Side};

/// §4.1 to §4.6.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// An IP packet of either version without a link header.
const LINKTYPE_RAW: u16 = 101;

/// A file that is being written.
pub struct Writer<W> {
    out: W,
    tunnels: Vec<String>,
    snap_length: u32,
    interfaces: BTreeMap<(u32, Side), Interface>,
    /// When the last packet was seen.
    last: u64,
    block: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Interface {
    number: u32,
    packets: u64,
}

impl<W: Write> Writer<W> {
    /// Begins the section of a capture of these tunnels.
    pub fn new(out: W, tunnels: Vec<String>, snap_length: u32) -> io::Result<Self> {
        let mut file = Self { out, tunnels, snap_length, interfaces: BTreeMap::new(), last: 0, block: Vec::new() };
        file.begin(SECTION_HEADER);
        // Its magic, version 1.0, and that its length is not known.
        file.block.extend(0x1a2b_3c4d_u32.to_le_bytes());
        file.block.extend([1, 0, 0, 0]);
        file.block.extend([0xff; 8]);
        file.option(4, concat!("bordergate ", env!("CARGO_PKG_VERSION")).as_bytes());
        file.end()?;
        Ok(file)
    }

    /// Adds one side of a packet.
    pub fn packet(&mut self, packet: &Packet, bytes: &[u8]) -> io::Result<()> {
        let interface = self.interface(packet.tunnel, packet.side)?;
        interface.packets += 1;
        let number = interface.number;
        self.last = self.last.max(packet.nanoseconds);
        self.begin(ENHANCED_PACKET);
        self.number(number);
        self.time(packet.nanoseconds);
        self.number(bytes.len() as u32);
        self.number(packet.length);
        self.block.extend(bytes);
        self.pad();
        let direction: u32 = match packet.direction {
            Direction::FromPeer => 0b01,
            Direction::ToPeer => 0b10,
        };
        self.option(2, &direction.to_le_bytes());
        self.option(5, &packet.number.to_le_bytes());
        if let Some(reason) = &packet.dropped {
            let comment = format!("{}: dropped: {reason}", self.name(packet.tunnel));
            self.option(1, comment.as_bytes());
        }
        self.end()
    }

    /// Packets of all interfaces.
    pub fn packets(&self) -> u64 {
        self.interfaces.values().map(|interface| interface.packets).sum()
    }

    /// Has whoever reads along see all of it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Says of each interface how many packets there were, and how many of those were missed.
    pub fn finish(mut self, counts: &Counts) -> io::Result<()> {
        for missed in &counts.missed {
            self.interface(missed.tunnel, missed.side)?;
        }
        for ((tunnel, side), Interface { number, packets }) in self.interfaces.clone() {
            let of = counts.missed.iter().filter(|missed| (missed.tunnel, missed.side) == (tunnel, side));
            let missed: u64 = of.map(|missed| missed.packets).sum();
            self.begin(INTERFACE_STATISTICS);
            self.number(number);
            self.time(self.last);
            self.option(4, &(packets + missed).to_le_bytes());
            self.option(5, &missed.to_le_bytes());
            self.end()?;
        }
        self.out.flush()
    }

    /// A tunnel's side, which is described when it is first asked for.
    fn interface(&mut self, tunnel: u32, side: Side) -> io::Result<&mut Interface> {
        if !self.interfaces.contains_key(&(tunnel, side)) {
            self.describe(tunnel, side)?;
        }
        let number = self.interfaces.len() as u32;
        Ok(self.interfaces.entry((tunnel, side)).or_insert(Interface { number, packets: 0 }))
    }

    fn describe(&mut self, tunnel: u32, side: Side) -> io::Result<()> {
        let name = self.name(tunnel).to_owned();
        let (suffix, what) = match side {
            Side::Inner => ("inner", "in clear: before ESP seals it, or after it is opened"),
            Side::Outer => ("outer", "in ESP, as on the WAN"),
        };
        self.begin(INTERFACE_DESCRIPTION);
        self.block.extend(LINKTYPE_RAW.to_le_bytes());
        self.block.extend([0; 2]);
        self.number(self.snap_length);
        self.option(2, format!("{name}/{suffix}").as_bytes());
        self.option(3, format!("VPN tunnel {name}, {what}").as_bytes());
        // Nanoseconds.
        self.option(9, &[9]);
        self.end()
    }

    fn name(&self, tunnel: u32) -> &str {
        self.tunnels.get(tunnel as usize).map_or("?", String::as_str)
    }

    /// §3.1: type, length, body, length again.
    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.number(kind);
        self.number(0);
    }

    fn end(&mut self) -> io::Result<()> {
        self.option(0, &[]);
        let length = (self.block.len() + 4) as u32;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.number(length);
        self.out.write_all(&self.block)
    }

    /// §3.5; number 0 ends them.
    fn option(&mut self, number: u16, value: &[u8]) {
        let value = &value[..value.len().min(u16::MAX.into())];
        self.block.extend(number.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend(value);
        self.pad();
    }

    fn number(&mut self, number: u32) {
        self.block.extend(number.to_le_bytes());
    }

    fn time(&mut self, nanoseconds: u64) {
        self.number((nanoseconds >> 32) as u32);
        self.number(nanoseconds as u32);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }
}
