//! A whole worker over memory ports: whatever arrives, every packet has one verdict, and what leaves is what may leave.

use std::net::IpAddr;

use aead::Suite;
use esp::{Encapsulation, Inbound, InboundSa, Opening};
use port::MemoryOptions;
use tables::{GatewayIndex, Traffic};
use wire::fragment::Split;
use wire::udp::Datagram;
use wire::{Link, Packet, Protocol, Spi};

use crate::house::{self, House, Plan, SPI, VPC, WAN};
use crate::input::{head, with_right_header};

/// Records of one input: a hunt is not to make the slowest one, but the strangest.
const MOST: usize = 48;
/// Frames of a port, in each direction.
const FRAMES: usize = 128;

/// Input: how the house is made, then records: a kind, a length in two bytes, and so many bytes.
pub fn holds(input: &[u8]) {
    let ([how], mut rest) = head(input);
    let mut trial = Trial::new(how);
    for _ in 0..MOST {
        let [kind, high, low, ..] = *rest else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (content, behind) = rest[3..].split_at(length.min(rest.len() - 3));
        rest = behind;
        trial.act(kind, content);
    }
    trial.turn();
}

/// A house, and what may come out of it.
struct Trial {
    house: House,
    encapsulated: bool,
    /// Opens what the house seals.
    peer: InboundSa,
    /// The last number that the peer used.
    number: u64,
    /// What the peer sealed.
    texts: Vec<Vec<u8>>,
    /// What the gateway's own host sent.
    of_host: Vec<Vec<u8>>,
    /// Frames that came out of all ports.
    left: u64,
}

impl Trial {
    fn new(how: u8) -> Self {
        let encapsulated = how & 1 != 0;
        let plan = Plan {
            encapsulation: encapsulated.then_some(Encapsulation { source: 4500, destination: 4500 }),
            wan_mtu: if how & 2 != 0 { 1500 } else { 600 },
            resolved: how & 4 == 0,
            tunnel_up: how & 8 == 0,
            // At the slowest limit two full frames pass, and then hardly anything.
            traffic: if how & 16 != 0 { Traffic::Limited } else { Traffic::Free },
            options: MemoryOptions { frame_size: 2048, rx_frames: FRAMES, tx_frames: FRAMES },
            ..Plan::default()
        };
        let (spi, suite) = (Spi::new(SPI).expect("not reserved"), Suite::Aes128Gcm16);
        let parts = Inbound { spi, suite, key: &house::KEY, salt: [1, 2, 3, 4], extended: true, replay_window: 1024 };
        let peer = InboundSa::new(parts).expect("a key of the suite's length");
        Self { house: House::new(plan), encapsulated, peer, number: 0, texts: Vec::new(), of_host: Vec::new(), left: 0 }
    }

    fn act(&mut self, kind: u8, content: &[u8]) {
        match kind % 8 {
            0 => self.receive(WAN, content),
            1 => self.receive(VPC, content),
            2 => self.receive(VPC, &house::frame(&with_right_header(content))),
            3 => self.receive(WAN, &house::frame(&with_right_header(content))),
            4 => {
                let outer = self.sealed(content);
                self.receive(WAN, &house::frame(&outer));
            }
            5 => {
                let ([high, low, change], text) = head(content);
                let mut outer = self.sealed(text);
                let place = usize::from(u16::from_be_bytes([high, low])) % outer.len();
                outer[place] ^= change;
                self.receive(WAN, &house::frame(&with_right_header(&outer)));
            }
            6 => self.fragments(content),
            _ => {
                // Where the queue is full the host's packet is lost, as on a wire.
                let _ = self.house.handle.from_host(GatewayIndex(0), content);
                self.of_host.push(content.to_vec());
                self.turn();
            }
        }
    }

    /// What the port has no room for is lost, as on a wire.
    fn receive(&mut self, port: usize, frame: &[u8]) {
        let _ = self.house.worker.ports()[port].inject(frame);
    }

    /// The outer packet of a text under the next number: well formed or not, it is authentic.
    fn sealed(&mut self, text: &[u8]) -> Vec<u8> {
        self.number += 1;
        self.texts.push(text.to_vec());
        let key = aead::Key::new(Suite::Aes128Gcm16, &house::KEY).expect("a key of the suite's length");
        // Longer than an IP packet can be, it could not be sent at all.
        let text = &text[..text.len().min(4096)];
        house::seal_text(&key, &self.house.outbound, self.number, text, self.encapsulated)
    }

    /// Content: a fragment's length, which fragment comes twice, which one not at all, whether they come from the last
    /// on; and a text to be sealed.
    fn fragments(&mut self, content: &[u8]) {
        let ([length, twice, lost, backwards], text) = head(content);
        let outer = self.sealed(text);
        let packet = Packet::parse(&outer).expect("well formed");
        let Some(split) = Split::new(&packet, 28 + 8 * usize::from(length)) else { return };
        let mut pieces: Vec<_> = split.pieces().enumerate().take(FRAMES).collect();
        if backwards & 1 != 0 {
            pieces.reverse();
        }
        for (position, piece) in pieces {
            let mut fragment = vec![0; 2100];
            let Some(length) = split.write(piece, &mut fragment) else { continue };
            let times = if position == usize::from(lost) { 0 } else { 1 + usize::from(position == usize::from(twice)) };
            (0..times).for_each(|_| self.receive(WAN, &house::frame(&fragment[..length])));
        }
    }

    /// Lets the worker work off what waits, and looks at all that comes out of it.
    fn turn(&mut self) {
        while self.house.worker.poll() > 0 {}
        let ports = self.house.worker.ports();
        let [wan, vpcs @ ..] = [WAN, VPC, 2].map(|port| ports[port].drain());
        wan.iter().for_each(|frame| self.sealed_holds(frame));
        vpcs.iter().flatten().for_each(|frame| self.opened_holds(frame));
        self.left += [&wan, &vpcs[0], &vpcs[1]].map(|frames| frames.len() as u64).iter().sum::<u64>();
        self.house.check_sums();
        let (counters, handle) = (self.house.handle.counters(), &self.house.handle);
        assert_eq!(self.left, counters.transmitted + counters.originated, "{counters:?}");
        let messages = std::iter::from_fn(|| handle.receive_ike().or_else(|| handle.receive_first_ike()));
        assert!(messages.take(1000).all(|ike| ike.destination.port() == 500 || ike.destination.port() == 4500));
        while handle.to_host().is_some() || handle.unresolved().is_some() || handle.notice().is_some() {}
    }

    /// What leaves to the WAN is ESP that opens, and holds a packet that the tunnel is for.
    fn sealed_holds(&self, frame: &[u8]) {
        let link = Link::parse(frame).expect("a link header");
        let outer = Packet::parse(&frame[link.length..]).expect("a right header");
        assert_eq!(outer.bytes.len() + link.length, frame.len());
        let esp = match outer.protocol {
            Protocol::UDP => Datagram::parse(outer.payload()).expect("a right header").payload,
            protocol => {
                assert_eq!(protocol, Protocol::ESP, "nothing leaves in clear");
                outer.payload()
            }
        };
        let mut text = vec![0; esp.len().saturating_sub(self.peer.overhead())];
        let mut opening = Opening::default();
        opening.push(&self.peer, esp, &mut text).expect("a number of its own");
        let opened = opening.finish()[0].expect("authentic");
        let inner = Packet::parse(&text[..opened.length]).expect("a packet");
        assert_eq!((inner.tunnel_protocol(), inner.bytes.len()), (opened.next_header, opened.length));
        let far = match IpAddr::from(inner.destination) {
            IpAddr::V4(address) => address.octets().starts_with(&[10, 2]),
            IpAddr::V6(address) => address.segments().starts_with(&[0x2001, 0xdb8, 2]),
        };
        assert!(far && inner.hops > 0, "{inner:?}");
    }

    /// What leaves to a VPC is a packet that the peer sealed, one hop later, or one of the gateway's own host.
    fn opened_holds(&self, frame: &[u8]) {
        let link = Link::parse(frame).expect("a link header");
        let inner = Packet::parse(&frame[link.length..]).expect("a right header");
        assert_eq!(inner.bytes.len() + link.length, frame.len());
        let sent = |bytes: &Vec<u8>, hops: u8| {
            Packet::parse(bytes).is_ok_and(|sent| {
                (sent.source, sent.destination, sent.protocol) == (inner.source, inner.destination, inner.protocol)
                    && (sent.bytes.len(), sent.hops.checked_sub(hops)) == (inner.bytes.len(), Some(inner.hops))
            })
        };
        let known = self.texts.iter().any(|text| sent(text, 1)) || self.of_host.iter().any(|packet| sent(packet, 0));
        assert!(known, "nobody sent {inner:?}");
    }
}
