//! The codec, the reader of certificates, and what a peer with the keys could send, as their fuzz targets see them: what
//! was read and is written again reads the same.

use rand_core::CryptoRng;

use crate::action::Action;
use crate::authentication::{
    Authority, Certificate, Credential, RevocationList, RevocationPolicy, RsaPadding, Signed, Trust, TrustError,
};
use crate::distinguished_name::DistinguishedName;
use crate::endpoint::Endpoint;
use crate::message::{Chain, Delete, HEADER_BYTES, Header, Payloads, kind, selectors_body};

/// The message that a program says, on one of the endpoint's IKE SAs, as what is to be transmitted: sealed as the endpoint
/// itself would, whatever it says. Nothing if there is no SA with keys.
///
/// Of the program, the first byte chooses the SA, three say which exchange, whether it is a request, and its number;
/// payloads follow, of which some name what is really there.
pub fn forge(endpoint: &mut Endpoint, program: &mut &[u8], rng: &mut dyn CryptoRng) -> Vec<Action> {
    let choice = program.split_off_first().copied().unwrap_or_default();
    let spi = endpoint.sas.keys().nth(usize::from(choice) % endpoint.sas.len().max(1)).copied();
    let Some(sa) = spi.and_then(|spi| endpoint.sas.get_mut(&spi)) else { return Vec::new() };
    let Some(tunnel) = endpoint.tunnels.get(&sa.tunnel) else { return Vec::new() };
    sa.forge(&tunnel.config, program, rng)
}

/// Panics where it does not. Input: 0 and a datagram, or the type of the first payload and a chain.
pub fn message_holds(input: &[u8]) {
    match input {
        [0, datagram @ ..] => datagram_holds(datagram),
        [first, chain @ ..] => {
            if let Ok(read) = Payloads::parse(*first, chain) {
                payloads_hold(read);
            }
        }
        [] => {}
    }
}

fn datagram_holds(datagram: &[u8]) {
    let Ok(header) = Header::parse(datagram) else { return };
    let mut written = Vec::new();
    header.write(datagram.len(), &mut written);
    written.extend_from_slice(datagram.get(HEADER_BYTES..).expect("as long as a header"));
    assert_eq!(Header::parse(&written), Ok(header));
    if let Ok(read) = Payloads::parse(header.next_payload, datagram.get(HEADER_BYTES..).unwrap_or_default()) {
        payloads_hold(read);
    }
}

/// Writes what was read, but for what nobody writes: payloads that are not known, deletions of other protocols, and
/// attributes that make a transform unacceptable.
fn payloads_hold(mut read: Payloads<'_>) {
    read.unknown_critical = None;
    // One payload may name many associations; we write one for each.
    let each = |delete: Delete| match delete {
        Delete::Ike => vec![Delete::Ike],
        Delete::Esp(indices) => indices.into_iter().map(|index| Delete::Esp(vec![index])).collect(),
        Delete::Other => vec![],
    };
    // A message has room for more indices than for payloads.
    read.deletes = read.deletes.drain(..).flat_map(each).take(32 - read.notifies.len().min(32)).collect();
    for transform in read.proposals.iter_mut().flatten().flat_map(|proposal| &mut proposal.transforms) {
        transform.strange = false;
    }
    // What is inside is not known before it is opened.
    read.encrypted = None;
    let chain = write(&read);
    assert_eq!(Payloads::parse(chain.first(), chain.bytes()), Ok(read));
}

fn write(payloads: &Payloads<'_>) -> Chain {
    let mut chain = Chain::new();
    if let Some(proposals) = &payloads.proposals {
        chain.push_proposals(proposals);
    }
    if let Some((group, public)) = payloads.key_exchange {
        chain.push_key_exchange(group, public);
    }
    let bodies =
        [(kind::NONCE, payloads.nonce), (kind::ID_I, payloads.id_initiator), (kind::ID_R, payloads.id_responder)];
    for (kind, body) in bodies {
        if let Some(body) = body {
            chain.push(kind, body);
        }
    }
    payloads.certificates.iter().for_each(|der| chain.push_certificate(der));
    payloads.certificate_requests.iter().for_each(|hashes| chain.push_certificate_request(hashes));
    if let Some((method, proof)) = payloads.auth {
        chain.push_auth(method, proof);
    }
    let selectors = [(kind::TS_I, &payloads.selectors_initiator), (kind::TS_R, &payloads.selectors_responder)];
    for (kind, selectors) in selectors {
        if let Some(selectors) = selectors {
            chain.push(kind, &selectors_body(selectors));
        }
    }
    for notify in &payloads.notifies {
        chain.push_notify_about(notify.protocol, notify.spi, notify.kind, notify.data);
    }
    for delete in &payloads.deletes {
        match delete {
            Delete::Ike => chain.push_delete_ike(),
            Delete::Esp(indices) => indices.iter().for_each(|index| chain.push_delete_esp(*index)),
            Delete::Other => {}
        }
    }
    chain
}

/// What reads certificates, whoever sent them: nothing panics, names and signatures that were read and are written
/// again read the same, and nobody is believed but who holds a certificate of the authority.
///
/// Input: 0 and certificates, each behind two bytes of its length; 1 and a revocation list; 2 and a distinguished name;
/// 3, a method and AUTH's data; 4 and a file in PEM.
pub fn certificate_holds(input: &[u8]) {
    match input {
        [0, rest @ ..] => chain_holds(rest),
        [1, list @ ..] => {
            if let Ok(lists) = RevocationList::all_from_pem(list) {
                let trusted = Trust::new(authority(), lists, RevocationPolicy::Strict);
                assert!(trusted.is_ok() || matches!(trusted, Err(TrustError::ForgedList { .. })));
            }
        }
        [2, name @ ..] => {
            if let Some(name) = DistinguishedName::from_der(name) {
                assert_eq!(DistinguishedName::from_der(name.as_der()).as_ref(), Some(&name));
                assert!(name.is(&name) && !name.to_string().contains('\u{1b}'));
            }
        }
        [3, method, data @ ..] => {
            if let Ok(signed) = Signed::from_wire(*method, data) {
                let (method, data) = signed.to_wire();
                assert_eq!(Signed::from_wire(method, &data), Ok(signed));
            }
        }
        [4, file @ ..] => {
            let _ = Authority::all_from_pem(file);
            let _ = Credential::from_pem(file, file, RsaPadding::Pss);
        }
        _ => {}
    }
}

fn chain_holds(mut rest: &[u8]) {
    let mut chain = Vec::new();
    while let [high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((der, behind)) = behind.split_at_checked(length) else { break };
        chain.extend(Certificate::from_der(der));
        rest = behind;
    }
    let Some(end) = chain.first() else { return };
    assert!(!end.identities().contains('\u{1b}'));
    let trust = Trust::new(authority(), Vec::new(), RevocationPolicy::Lenient).expect("one authority");
    // 1 January 2026.
    if trust.judge(&chain, 1_767_225_600).is_ok() {
        let known = [
            &include_bytes!("../tests/certificates/p256.pem")[..],
            include_bytes!("../tests/certificates/branch.pem"),
            include_bytes!("../tests/certificates/root.pem"),
        ];
        let known = known.iter().flat_map(|pem| Authority::all_from_pem(pem).expect("certificates"));
        assert!(known.into_iter().any(|known| known.signed_the_same_as(end)), "{end:?} is believed");
    }
}

fn authority() -> Vec<Authority> {
    Authority::all_from_pem(include_bytes!("../tests/certificates/root.pem")).expect("a certificate")
}
