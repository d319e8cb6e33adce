//! The codec as its fuzz target sees it: what was read and is written again reads the same.

use crate::message::{Chain, Delete, HEADER_BYTES, Header, Payloads, kind, selectors_body};

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
