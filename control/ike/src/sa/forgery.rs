//! What a peer with the keys could send, for the fuzz target of exchanges.

use rand_core::CryptoRng;

use super::IkeSa;
use crate::action::Action;
use crate::algorithm::KeGroup;
use crate::config::TunnelConfig;
use crate::crypto::KeSecret;
use crate::message::{Chain, ExchangeType, kind, notify_kind, protocol, selectors_body};

impl IkeSa {
    /// The message that the program says, sealed with this end's keys. Nothing before there are any.
    pub(crate) fn forge(&mut self, config: &TunnelConfig, program: &mut &[u8], rng: &mut dyn CryptoRng) -> Vec<Action> {
        let [exchange, flags, ahead] = [byte(program), byte(program), byte(program)];
        let response = flags & 1 != 0;
        let next = if response { self.expected_id } else { self.next_id };
        let id = next.wrapping_add_signed(i32::from(ahead as i8));
        let exchange = ExchangeType::from_wire(IKE_SA_INIT + exchange % EXCHANGES);
        let fragment = (flags & 2 != 0).then(|| (u16::from(byte(program)), u16::from(byte(program) % 8)));
        let chain = self.forge_chain(config, program, rng);
        let header = self.header(exchange, response, id);
        let Some(secure) = &mut self.secure else { return Vec::new() };
        let datagram = secure.protection.seal_part(header, chain.first(), chain.bytes(), fragment, rng);
        if flags & 4 != 0 && !response {
            // As if it had been a request of its own; what it asks next is in order then.
            self.next_id = id.wrapping_add(1);
        }
        vec![self.path.transmit(&datagram)]
    }

    fn forge_chain(&self, config: &TunnelConfig, program: &mut &[u8], rng: &mut dyn CryptoRng) -> Chain {
        let mut chain = Chain::new();
        for _ in 0..MOST_PAYLOADS {
            match byte(program) % 12 {
                0 => break,
                1 => {
                    let kind = byte(program);
                    chain.push(kind, some(program));
                }
                2 => {
                    let notify = u16::from_be_bytes([byte(program), byte(program)]);
                    chain.push_notify(notify, some(program));
                }
                3 => {
                    let (notify, spi) = (u16::from_be_bytes([byte(program), byte(program)]), self.some_spi(program));
                    chain.push_notify_about(protocol::ESP, &spi.to_be_bytes(), notify, &[]);
                }
                4 => chain.push_delete_esp(self.some_spi(program)),
                5 => chain.push_delete_ike(),
                6 => {
                    let spi = self.some_spi(program);
                    chain.push_notify_about(protocol::ESP, &spi.to_be_bytes(), notify_kind::REKEY_SA, &[]);
                }
                7 => {
                    let spi = u32::from_be_bytes([byte(program), 0, 1, byte(program)]);
                    chain.push_proposals(&config.esp.offer(spi, true));
                }
                8 => {
                    let spi = u64::from_be_bytes([0, byte(program), 1, 0, 0, 0, 0, 0]);
                    chain.push_proposals(&config.ike.offer(Some(spi)));
                }
                9 => chain.push(kind::NONCE, &[byte(program); 32]),
                10 => {
                    let secret = KeSecret::generate(KeGroup::X25519, rng);
                    chain.push_key_exchange(secret.group().id(), &secret.public());
                }
                11 => {
                    chain.push(kind::TS_I, &selectors_body(&config.local_selectors));
                    chain.push(kind::TS_R, &selectors_body(&config.remote_selectors));
                }
                _ => unreachable!("a remainder of 12"),
            }
        }
        chain
    }

    /// An SPI of one of its children, as one end or the other receives with it.
    fn some_spi(&self, program: &mut &[u8]) -> u32 {
        let choice = byte(program);
        let child = self.children.get(usize::from(choice >> 1) % self.children.len().max(1));
        child.map_or(0x100, |child| if choice & 1 == 0 { child.inbound_spi } else { child.agreed.outbound_spi })
    }
}

/// The next byte; zero where there is none.
fn byte(program: &mut &[u8]) -> u8 {
    program.split_off_first().copied().unwrap_or_default()
}

/// As many bytes as the next one says, or as there are.
fn some<'a>(program: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(byte(program)).min(program.len());
    program.split_off(..length).unwrap_or_default()
}

const IKE_SA_INIT: u8 = 34;
/// From IKE_SA_INIT to IKE_INTERMEDIATE and IKE_FOLLOWUP_KE.
const EXCHANGES: u8 = 11;
const MOST_PAYLOADS: usize = 12;
