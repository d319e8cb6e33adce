//! Rekeying of child SAs (RFC 7296 §1.3.3, §2.8, §2.25.1).

use std::time::Duration;

use bordergate_ike::*;

use crate::duo::{Duo, Left, Peer, Right};
use crate::pair::TUNNEL;
use crate::{ASK, COLLISIONS, CONFIRM, FOLLOW, FOLLOWED, GRANT, INFORM, ONE_SIDED};

/// The child in use comes from the exchange that this end began. Each end reserves an SPI for its own request first.
fn assert_stays(duo: &Duo, of: Peer) {
    for (end, nth) in [(of, 1), (of.other(), 2)] {
        let node = duo.node(end);
        assert_eq!(node.spis.given.len(), 3, "{end:?}");
        assert_eq!(node.child().inbound_spi, node.spis.given[nth], "{end:?} has another exchange's child");
    }
}

/// The groups that each end asks for first are unknown to the other one.
fn wrong_guesses() -> Duo {
    Duo::configured(Left, |left, right| {
        left.esp.key_exchange = vec![KeGroup::Ecp256, KeGroup::X25519];
        right.esp.key_exchange = vec![KeGroup::Ecp384, KeGroup::X25519];
    })
}

/// Two key exchanges follow the first one (RFC 9370 §2.2.4).
fn multi_ke() -> Duo {
    Duo::configured(Left, |left, right| {
        for end in [left, right] {
            end.esp.key_exchange = vec![KeGroup::X25519];
            end.esp.additional_key_exchange = vec![vec![KeGroup::Ecp256], vec![KeGroup::Ecp384]];
        }
    })
}

#[test]
fn regular_multi_ke() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = multi_ke();
        duo.rekey_child(of, 0);
        duo.pass(of, ASK);
        duo.pass(other, GRANT);
        for _ in 0..2 {
            assert_eq!(duo.node(other).installed.len(), 1);
            duo.pass(of, FOLLOW);
            duo.pass(other, FOLLOWED);
        }
        assert_eq!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[1]);
        duo.pass(of, INFORM);
        duo.pass(other, CONFIRM);
        duo.assert_silent(Left);
        duo.assert_silent(Right);
        duo.settle();
        let suite = |of: Peer| duo.node(of).endpoint.status(TUNNEL).and_then(|s| s.esp).map(|suite| suite.to_string());
        assert_eq!(suite(Left).as_deref(), Some("aes128gcm16-x25519-ke1_ecp256-ke2_ecp384-esn"));
        assert_eq!(suite(Left), suite(Right));
    }
}

/// Whatever comes first of what both ends exchange, the one with the lowest nonce goes.
#[test]
fn collision_multi_ke() {
    for (nonces, stays) in COLLISIONS {
        for first in Peer::BOTH {
            for rounds in 0..=3 {
                let second = first.other();
                let mut duo = multi_ke();
                duo.collide(Duo::rekey_child, nonces);
                let behind = duo.hold(first, GRANT);
                for round in 0..rounds {
                    duo.pass(second, if round == 0 { GRANT } else { FOLLOWED });
                    if round < 2 {
                        duo.pass(first, FOLLOW);
                    }
                }
                duo.deliver(behind);
                duo.settle();
                assert_stays(&duo, stays);
            }
        }
    }
}

/// The other end does not know of a collision: left's request comes when right's has got so far.
#[test]
fn collision_delayed_request_multi_ke() {
    for nonces in ONE_SIDED {
        for rounds in 0..=2 {
            let mut duo = multi_ke();
            let delayed = duo.miss(Duo::rekey_child, nonces);
            for _ in 0..rounds {
                duo.pass(Right, FOLLOW);
                duo.pass(Left, FOLLOWED);
            }
            duo.deliver(delayed);
            duo.settle();
            assert_ne!(duo.node(Right).child().inbound_spi, duo.node(Right).spis.given[0]);
        }
    }
}

/// The end that asked goes no further: the SPI that was set aside goes back, and the other end replaces the child.
#[test]
fn dropped_multi_ke() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = multi_ke();
        duo.rekey_child(of, 0);
        duo.pass(of, ASK);
        duo.pass(other, GRANT);
        let late = duo.hold(of, FOLLOW);
        duo.wait_for(other, Duration::from_secs(31));
        duo.deliver(late);
        duo.settle();
        assert_ne!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[0]);
    }
}

#[test]
fn regular() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = Duo::up(Left);
        let old = duo.node(other).child().inbound_spi;
        duo.rekey_child(of, 0);
        duo.pass(of, ASK);
        // Make before break: the responder receives on both, and sends on the new one when the other end can open it.
        assert_eq!(duo.node(other).installed.len(), 2);
        assert_eq!(duo.node(other).child().inbound_spi, old);
        duo.pass(other, GRANT);
        assert_eq!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[1]);
        duo.pass(of, INFORM);
        assert_eq!(duo.node(other).child().inbound_spi, duo.node(other).spis.given[1]);
        // What was on its way under the old keys is still opened.
        assert!(duo.node(other).installed.contains_key(&old));
        duo.pass(other, CONFIRM);
        assert_eq!(duo.node(of).installed.len(), 2);
        duo.assert_silent(Left);
        duo.assert_silent(Right);
        duo.settle();
        assert_eq!(duo.node(of).spis.given.len(), 2);
    }
}

#[test]
fn regular_ke_invalid() {
    for of in Peer::BOTH {
        let mut duo = wrong_guesses();
        duo.rekey_child(of, 0);
        duo.pass(of, ASK);
        assert_eq!(duo.node(of.other()).installed.len(), 1);
        duo.pass(of.other(), GRANT);
        duo.pass(of, ASK);
        duo.pass(of.other(), GRANT);
        duo.pass(of, INFORM);
        duo.pass(of.other(), CONFIRM);
        duo.settle();
        assert_eq!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[1]);
    }
}

#[test]
fn regular_responder_ignore_soft_expire() {
    let mut duo = Duo::up(Left);
    duo.rekey_child(Left, 0);
    duo.pass(Left, ASK);
    let answer = duo.hold(Right, GRANT);
    // It is replaced already. The new one is not ours to replace before the other end has it.
    duo.on(Right, |e, ctx| e.rekey_children(TUNNEL, ctx));
    duo.deliver(answer);
    duo.settle();
}

#[test]
fn regular_responder_handle_hard_expire() {
    let mut duo = Duo::configured(Left, |left, right| {
        right.child_lifetime = Duration::from_secs(200);
        left.retry.give_up = Duration::from_secs(120);
        right.retry.give_up = Duration::from_secs(120);
    });
    duo.run(150);
    duo.rekey_child(Left, 0);
    duo.pass(Left, ASK);
    duo.pass(Right, GRANT);
    let delete = duo.hold(Left, INFORM);
    // Right's old child is over before left's Delete comes.
    duo.wait(Duration::from_secs(55));
    duo.deliver(delete);
    duo.settle();
}

#[test]
fn collision() {
    for (nonces, stays) in COLLISIONS {
        let mut duo = Duo::up(Left);
        duo.collide(Duo::rekey_child, nonces);
        duo.pass(Right, GRANT);
        duo.pass(Left, GRANT);
        duo.settle();
        assert_stays(&duo, stays);
    }
}

#[test]
fn collision_delayed_response() {
    for (nonces, stays) in COLLISIONS {
        let mut duo = Duo::up(Left);
        duo.collide(Duo::rekey_child, nonces);
        let delayed = duo.hold(Right, GRANT);
        duo.pass(Left, GRANT);
        // Right knows all four nonces: it deletes either what its own exchange made or the replaced child.
        duo.pass(Right, INFORM);
        duo.pass(Left, CONFIRM);
        duo.deliver(delayed);
        // What right has deleted before left knew that it would lingers no longer for it.
        duo.run(10);
        duo.assert_joined();
        duo.settle();
        assert_stays(&duo, stays);
    }
}

/// The end that has lost asks for something else before its Delete. The other one does not know yet who has lost: that
/// its answer was received does not make it send on what it made.
#[test]
fn collision_then_another_request() {
    let mut duo = Duo::up(Left);
    duo.collide(Duo::rekey_child, [0x00, 0xff, 0xff, 0xff]);
    duo.on(Left, |e, ctx| e.rekey_ike(TUNNEL, ctx));
    let delayed = duo.hold(Left, GRANT);
    duo.pass(Right, GRANT);
    duo.pass(Left, ASK);
    duo.pass(Right, GRANT);
    duo.deliver(delayed);
    duo.settle();
    assert_stays(&duo, Right);
}

#[test]
fn collision_delayed_request() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        // Right does not know of a collision.
        let delayed = duo.miss(Duo::rekey_child, nonces);
        let delete = duo.hold(Right, INFORM);
        // RFC 7296 §2.25.1: the child is being deleted, so TEMPORARY_FAILURE.
        duo.deliver(delayed);
        duo.deliver(delete);
        duo.pass(Right, GRANT);
        duo.pass(Left, CONFIRM);
        duo.assert_silent(Left);
        duo.assert_silent(Right);
        duo.settle();
        assert_eq!(duo.node(Right).child().inbound_spi, duo.node(Right).spis.given[1]);
        assert_eq!(duo.node(Right).spis.given.len(), 2, "nothing is tried again");
    }
}

#[test]
fn collision_delayed_request_more() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        let delayed = duo.miss(Duo::rekey_child, nonces);
        duo.pass(Right, INFORM);
        duo.pass(Left, CONFIRM);
        // RFC 7296 §2.25.1: the child is gone, so CHILD_SA_NOT_FOUND; left knows why and does nothing about it.
        duo.deliver(delayed);
        duo.pass(Right, GRANT);
        duo.assert_silent(Left);
        duo.settle();
        assert_eq!(duo.node(Right).child().inbound_spi, duo.node(Right).spis.given[1]);
        assert_eq!(duo.node(Right).spis.given.len(), 2, "nothing is tried again");
    }
}

#[test]
fn collision_ke_invalid() {
    for (nonces, stays) in COLLISIONS {
        let mut duo = wrong_guesses();
        duo.collide(Duo::rekey_child, nonces);
        duo.pass(Right, GRANT);
        duo.pass(Left, GRANT);
        duo.nonce(Right, nonces[2]);
        duo.pass(Left, ASK);
        duo.nonce(Left, nonces[3]);
        duo.pass(Right, ASK);
        duo.pass(Right, GRANT);
        duo.pass(Left, GRANT);
        duo.settle();
        assert_stays(&duo, stays);
    }
}

#[test]
fn collision_ke_invalid_delayed_retry() {
    for [left, right, answer] in ONE_SIDED {
        let mut duo = wrong_guesses();
        duo.collide(Duo::rekey_child, [left, right, 0xff, 0xff]);
        duo.pass(Right, GRANT);
        duo.pass(Left, GRANT);
        let delayed = duo.hold(Left, ASK);
        duo.nonce(Left, answer);
        duo.pass(Right, ASK);
        duo.pass(Left, GRANT);
        let delete = duo.hold(Right, INFORM);
        duo.deliver(delayed);
        duo.deliver(delete);
        duo.settle();
        assert_eq!(duo.node(Right).child().inbound_spi, duo.node(Right).spis.given[1]);
    }
}

#[test]
fn collision_ike_rekey() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = Duo::up(of);
        let (_, before) = duo.ike_sa();
        duo.rekey_child(of, 0);
        duo.rekey_ike(other, 0);
        // RFC 7296 §2.25.1, §2.25.2: each has no time for what the other wants.
        duo.pass(of, ASK);
        duo.pass(other, ASK);
        assert_eq!(duo.node(other).installed.len(), 1);
        duo.pass(of, GRANT);
        duo.pass(other, GRANT);
        duo.assert_silent(Left);
        duo.assert_silent(Right);
        // Both are tried again.
        duo.settle();
        assert_ne!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[0]);
        let (initiator, after) = duo.ike_sa();
        assert_eq!(initiator, other);
        assert_ne!(before, after);
    }
}

#[test]
fn collision_ike_delete() {
    for of in Peer::BOTH {
        for rekey_first in [true, false] {
            let other = of.other();
            let mut duo = Duo::up(of);
            duo.strict = false;
            duo.rekey_child(of, 0);
            duo.on(other, |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
            let (ask, delete) = (duo.hold(of, ASK), duo.hold(other, INFORM));
            if rekey_first {
                duo.deliver(ask);
                duo.deliver(delete);
            } else {
                duo.deliver(delete);
                duo.deliver(ask);
            }
            duo.assert_comes_back(other);
        }
    }
}

/// An end has waited for so long that it sends on what the other one began. But that one has no answer yet: it would say
/// that it knows no such child, and have it for itself alone once the answer comes.
#[test]
fn a_child_is_not_replaced_before_the_other_end_has_it() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = Duo::configured(Left, |left, right| (left.liveness, right.liveness) = (None, None));
        duo.strict = false;
        duo.rekey_child(of, 0);
        let ask = duo.hold(of, ASK);
        duo.deliver(ask.clone());
        duo.hold(other, GRANT);
        duo.wait(Duration::from_secs(11));
        assert_eq!(duo.node(other).child().inbound_spi, duo.node(other).spis.given[1]);
        duo.on(other, |e, ctx| e.rekey_children(TUNNEL, ctx));
        duo.assert_silent(other);
        duo.deliver(ask);
        duo.run(100);
        duo.assert_joined();
        assert_eq!(duo.node(other).spis.given.len(), 3, "what was asked for is done later");
    }
}

#[test]
fn a_lost_answer_loses_no_packet() {
    for of in Peer::BOTH {
        let mut duo = Duo::up(Left);
        duo.rekey_child(of, 0);
        let ask = duo.hold(of, ASK);
        duo.deliver(ask.clone());
        // The answer is lost, for so long that the responder would otherwise have taken the new child into use.
        duo.hold(of.other(), GRANT);
        for _ in 0..4 {
            duo.wait(Duration::from_secs(6));
            duo.deliver(ask.clone());
            duo.hold(of.other(), GRANT);
        }
        duo.deliver(ask);
        duo.settle();
        assert_eq!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[1]);
    }
}
