//! What others say about our bytes and keys: `oracle/generate.py` derives everything anew.

mod pair;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use bordergate_ike::*;
use pair::{A, B, Spis, TUNNEL, address, config};
use rand_chacha::rand_core::{TryCryptoRng, TryRng};

/// A counter, so that the generator knows every secret.
struct Counter(u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

struct End {
    endpoint: Endpoint,
    rng: Counter,
    spis: Spis,
    child: Option<Box<ChildSa>>,
}

impl End {
    fn new(start: u8) -> Self {
        Self { endpoint: Endpoint::new(), rng: Counter(start), spis: Spis::default(), child: None }
    }

    /// Does something, then gives the datagrams that came of it.
    fn on(&mut self, now: Instant, f: impl FnOnce(&mut Endpoint, &mut Context<'_>)) -> Vec<Vec<u8>> {
        f(&mut self.endpoint, &mut Context { now, unix_time: 0, rng: &mut self.rng, spis: &mut self.spis });
        let mut sent = Vec::new();
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Transmit { datagram, .. } => sent.push(datagram),
                Action::InstallChild(child) => self.child = Some(child),
                other => assert!(matches!(other, Action::Up { .. } | Action::UseChild { .. }), "{other:?}"),
            }
        }
        sent
    }
}

/// All messages from A's first one on, each of which brings forth the next one.
fn converse(a: &mut End, b: &mut End, now: Instant, mut next: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    while let Some(message) = next.pop() {
        assert!(next.is_empty(), "a window of one");
        next = if sent.len() % 2 == 0 {
            b.on(now, |e, ctx| e.handle_datagram(socket(B), socket(A), &message, ctx))
        } else {
            a.on(now, |e, ctx| e.handle_datagram(socket(A), socket(B), &message, ctx))
        };
        sent.push(message);
    }
    sent
}

/// The child's SPIs and keys, as both ends together have them.
fn fields_of(a: &mut End, b: &mut End) -> Vec<Vec<u8>> {
    let (a, b) = (a.child.take().unwrap(), b.child.take().unwrap());
    vec![
        a.inbound_spi.to_be_bytes().to_vec(),
        b.inbound_spi.to_be_bytes().to_vec(),
        a.outbound_key.key().to_vec(),
        a.outbound_key.salt().to_vec(),
        b.outbound_key.key().to_vec(),
        b.outbound_key.salt().to_vec(),
    ]
}

fn socket(text: &str) -> SocketAddr {
    SocketAddr::new(address(text), 500)
}

#[test]
fn recorded_handshakes() {
    let suites = [
        (
            "gcm",
            KeGroup::X25519,
            IkeCipher::Aes128Gcm16,
            PrfAlgorithm::HmacSha256,
            EspCipher::Aes128Gcm16,
            include_str!("vectors/transcript-gcm.txt"),
            include_str!("vectors/derived-gcm.txt"),
        ),
        // With a second key exchange in IKE_INTERMEDIATE; then it is rekeyed, with another one in IKE_FOLLOWUP_KE, and
        // so is its child.
        (
            "intermediate",
            KeGroup::X25519,
            IkeCipher::Aes256Gcm16,
            PrfAlgorithm::HmacSha384,
            EspCipher::Aes128Gcm16,
            include_str!("vectors/transcript-intermediate.txt"),
            include_str!("vectors/derived-intermediate.txt"),
        ),
        (
            "cbc",
            KeGroup::Modp2048,
            IkeCipher::Aes256Cbc,
            PrfAlgorithm::HmacSha512,
            EspCipher::Aes256Gcm16,
            include_str!("vectors/transcript-cbc.txt"),
            include_str!("vectors/derived-cbc.txt"),
        ),
    ];
    for (name, group, cipher, prf, esp, transcript, derived) in suites {
        let (mut a, mut b) = (End::new(0x10), End::new(0x80));
        let now = Instant::now();
        let further = if name == "intermediate" { vec![vec![KeGroup::Modp2048]] } else { Vec::new() };
        let of = |local, remote, startup| {
            let mut config = config(local, remote, startup);
            config.ike = IkeProposal {
                key_exchange: vec![group],
                additional_key_exchange: further.clone(),
                encryption: vec![cipher],
                integrity: vec![Integrity::HmacSha384],
                prf: vec![prf],
            };
            config.esp = EspProposal {
                encryption: vec![esp],
                integrity: Vec::new(),
                key_exchange: if further.is_empty() { Vec::new() } else { vec![group] },
                additional_key_exchange: further.clone(),
                esn: true,
            };
            config
        };
        b.on(now, |e, ctx| e.configure(TUNNEL, of(B, A, Startup::Respond), ctx).unwrap());
        let first = a.on(now, |e, ctx| e.configure(TUNNEL, of(A, B, Startup::Initiate), ctx).unwrap());
        let mut sent = converse(&mut a, &mut b, now, first);
        assert_eq!(sent.len(), if name == "intermediate" { 6 } else { 4 });

        let mut fields = fields_of(&mut a, &mut b);
        if name == "intermediate" {
            for what in [Endpoint::rekey_ike, Endpoint::rekey_children] {
                let first = a.on(now, |e, ctx| what(e, TUNNEL, ctx));
                sent.extend(converse(&mut a, &mut b, now, first));
            }
            fields.extend(fields_of(&mut a, &mut b));
        }

        let lines: String = sent.iter().map(|m| hex(m) + "\n").collect();
        if std::env::var_os("BORDERGATE_RECORD").is_some() {
            let path = format!("{}/tests/vectors/transcript-{name}.txt", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, &lines).unwrap();
            continue;
        }
        assert_eq!(lines, transcript, "{name}: the recorded bytes have changed");
        let ours: String = fields.iter().map(|f| hex(f) + "\n").collect();
        assert_eq!(ours, derived, "{name}: others derive other keys");
    }
}

#[test]
fn a_message_of_scapys_is_answered() {
    let message = unhex(include_str!("vectors/scapy-ike-sa-init.txt"));
    let mut b = End::new(0x80);
    let now = Instant::now();
    b.on(now, |e, ctx| e.configure(TUNNEL, config(B, A, Startup::Respond), ctx).unwrap());
    let sent = b.on(now, |e, ctx| e.handle_datagram(socket(B), socket(A), &message, ctx));
    let [answer] = sent.as_slice() else { panic!("one answer") };
    // Both SPIs; SA first; IKE_SA_INIT; the response flag.
    assert_eq!(answer[..8], message[..8]);
    assert_eq!(answer[8..16], *0x8786_8584_8382_8180u64.to_be_bytes().as_slice());
    assert_eq!(answer[16..20], [33, 0x20, 34, 0x20]);
    // Proposal 1 with AES-128-CBC, HMAC-SHA2-256-128, PRF-HMAC-SHA2-256, Curve25519.
    let chosen = "0000002c 01010004 0300000c0100000c800e0080 030000080300000c 0300000802000005 000000080400001f";
    assert_eq!(answer[32..32 + 44], *unhex(chosen));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
