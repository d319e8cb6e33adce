//! Rekeys and deletes that meet, message by message, under the names that strongSwan's own tests give them
//! (`test_child_rekey.c`, `test_ike_rekey.c`, `test_child_delete.c`, `test_ike_delete.c`).
//!
//! What these tests assert is RFC 7296's and stronger than what theirs do: at no moment does either end seal with what the
//! other one cannot open, and in the end there is one IKE SA with one child, the same at both ends, and no SPI left over.
//!
//! Of their list is missing INVALID_KE_PAYLOAD in IKE rekeys: a rekeyed IKE SA keeps its group, so two of ours have no
//! occasion for it. A Delete of a single child comes from a
//! life that is over; the only child takes its IKE SA along.

mod child_rekey;
mod deletes;
mod duo;
mod ike_rekey;
#[path = "../pair/mod.rs"]
mod pair;

const ASK: &str = "CREATE_CHILD_SA request";
const GRANT: &str = "CREATE_CHILD_SA response";
const FOLLOW: &str = "IKE_FOLLOWUP_KE request";
const FOLLOWED: &str = "IKE_FOLLOWUP_KE response";
const INFORM: &str = "INFORMATIONAL request";
const CONFIRM: &str = "INFORMATIONAL response";

/// The first bytes of the four nonces of a collision, and who began the exchange that stays: of left's and right's
/// request, of right's answer, of left's answer. The lowest one's exchange goes (RFC 7296 §2.8.1, §2.8.2).
const COLLISIONS: [([u8; 4], duo::Peer); 4] = [
    ([0x00, 0xff, 0xff, 0xff], duo::Right),
    ([0xff, 0x00, 0xff, 0xff], duo::Left),
    ([0xff, 0xff, 0x00, 0xff], duo::Right),
    ([0xff, 0xff, 0xff, 0x00], duo::Left),
];

/// The first bytes of the three nonces where right never comes to answer: right's exchange stays in each case.
const ONE_SIDED: [[u8; 3]; 3] = [[0x00, 0xff, 0xff], [0xff, 0x00, 0xff], [0xff, 0xff, 0x00]];
