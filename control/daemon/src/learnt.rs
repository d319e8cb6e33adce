//! The neighbours of VLAN attachments, of which the kernel knows nothing: learnt from the packets that they send.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use tables::{AttachmentIndex, Seen};
use wire::MacAddress;

/// Most neighbours of an attachment. One that shows more begins anew, and gets those back that go on sending: what a tenant
/// makes up costs itself alone.
const MOST: usize = 1024;

/// What was learnt, by attachment.
#[derive(Debug, Default)]
pub struct Learnt(BTreeMap<AttachmentIndex, HashMap<IpAddr, MacAddress>>);

impl Learnt {
    /// Takes a neighbour in; whether that changes anything.
    pub fn learn(&mut self, seen: Seen) -> bool {
        let known = self.0.entry(seen.attachment).or_default();
        if known.len() >= MOST && !known.contains_key(&seen.address) {
            known.clear();
        }
        known.insert(seen.address, seen.mac) != Some(seen.mac)
    }

    /// The neighbours of an attachment.
    pub fn of(&self, attachment: AttachmentIndex) -> impl Iterator<Item = (IpAddr, MacAddress)> {
        self.0.get(&attachment).into_iter().flatten().map(|(address, mac)| (*address, *mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(attachment: u32, number: u32, last: u8) -> Seen {
        let mac = MacAddress([2, 0, 0, 0, 0, last]);
        Seen { attachment: AttachmentIndex(attachment), address: IpAddr::from(number.to_be_bytes()), mac }
    }

    #[test]
    fn each_attachment_has_its_own_and_only_so_many() {
        let mut learnt = Learnt::default();
        assert!(learnt.learn(seen(0, 1, 1)) && learnt.learn(seen(1, 1, 2)));
        assert!(!learnt.learn(seen(0, 1, 1)));
        assert!(learnt.learn(seen(0, 1, 3)), "it has moved");
        let of = |learnt: &Learnt, attachment| learnt.of(AttachmentIndex(attachment)).collect::<Vec<_>>();
        assert_eq!(of(&learnt, 0), [(IpAddr::from([0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 3]))]);
        for number in 2..5000 {
            learnt.learn(seen(0, number, 9));
            assert!(learnt.of(AttachmentIndex(0)).count() <= MOST);
        }
        assert_eq!(
            of(&learnt, 1),
            [(IpAddr::from([0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]))],
            "not the neighbour's"
        );
    }
}
