//! Rekeying of IKE SAs (RFC 7296 §1.3.2, §2.8, §2.25.2).

use bordergate_ike::*;

use crate::duo::{Duo, Left, Peer, Right};
use crate::pair::TUNNEL;
use crate::{ASK, COLLISIONS, CONFIRM, FOLLOW, FOLLOWED, GRANT, INFORM, ONE_SIDED};

/// The child has moved to the IKE SA that this end began, and is what it was.
fn assert_stays(duo: &mut Duo, of: Peer, before: [u8; 16]) {
    for end in Peer::BOTH {
        assert_eq!(duo.node(end).spis.given.len(), 1, "{end:?}: the child is the same");
    }
    let (initiator, after) = duo.ike_sa();
    assert_eq!(initiator, of);
    assert_ne!(after, before);
}

#[test]
fn regular() {
    for initiator in Peer::BOTH {
        for of in Peer::BOTH {
            let mut duo = Duo::up(initiator);
            let (_, before) = duo.ike_sa();
            duo.rekey_ike(of, 0);
            duo.pass(of, ASK);
            duo.pass(of.other(), GRANT);
            duo.pass(of, INFORM);
            duo.pass(of.other(), CONFIRM);
            duo.assert_silent(Left);
            duo.assert_silent(Right);
            duo.settle();
            assert_stays(&mut duo, of, before);
            // The new one can be rekeyed too, and so can the child.
            let (_, before) = duo.ike_sa();
            duo.rekey_ike(of.other(), 0);
            duo.settle();
            assert_stays(&mut duo, of.other(), before);
            duo.rekey_child(of, 0);
            duo.settle();
        }
    }
}

/// Another key exchange follows the first one, and one more after that (RFC 9370 §2.2.4).
fn multi_ke() -> Duo {
    Duo::configured(Left, |left, right| {
        for end in [left, right] {
            end.ike.additional_key_exchange = vec![vec![KeGroup::Ecp256], vec![KeGroup::Ecp384]];
        }
    })
}

#[test]
fn regular_multi_ke() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = multi_ke();
        let suite = duo.node(of).endpoint.status(TUNNEL).and_then(|s| s.ike).unwrap();
        let (_, before) = duo.ike_sa();
        duo.rekey_ike(of, 0);
        duo.pass(of, ASK);
        duo.pass(other, GRANT);
        for _ in 0..2 {
            duo.pass(of, FOLLOW);
            duo.pass(other, FOLLOWED);
        }
        duo.pass(of, INFORM);
        duo.pass(other, CONFIRM);
        duo.settle();
        assert_stays(&mut duo, of, before);
        assert_eq!(duo.node(of).endpoint.status(TUNNEL).and_then(|s| s.ike), Some(suite), "the suite is the same");
        assert_eq!(duo.node(other).endpoint.status(TUNNEL).and_then(|s| s.ike), Some(suite));
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
                let (_, before) = duo.ike_sa();
                duo.collide(Duo::rekey_ike, nonces);
                // So far one of them gets ahead of the other.
                let behind = duo.hold(first, GRANT);
                for round in 0..rounds {
                    duo.pass(second, if round == 0 { GRANT } else { FOLLOWED });
                    duo.pass(first, if round < 2 { FOLLOW } else { INFORM });
                }
                duo.deliver(behind);
                duo.settle();
                assert_stays(&mut duo, stays, before);
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
            let (_, before) = duo.ike_sa();
            let delayed = duo.miss(Duo::rekey_ike, nonces);
            for _ in 0..rounds {
                duo.pass(Right, FOLLOW);
                duo.pass(Left, FOLLOWED);
            }
            duo.deliver(delayed);
            duo.settle();
            let (_, after) = duo.ike_sa();
            assert_ne!(after, before);
        }
    }
}

/// The end that asked goes no further: what it asked for is forgotten, and it may ask again.
#[test]
fn dropped_multi_ke() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = multi_ke();
        duo.strict = false;
        duo.rekey_ike(of, 0);
        duo.pass(of, ASK);
        duo.pass(other, GRANT);
        let late = duo.hold(of, FOLLOW);
        // The other end would replace its child meanwhile, and waits.
        duo.on(other, |e, ctx| e.rekey_children(TUNNEL, ctx));
        duo.assert_silent(other);
        duo.on(of, |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
        duo.run(2);
        duo.deliver(late);
        duo.run(2);
        for end in Peer::BOTH {
            assert!(duo.node(end).installed.is_empty(), "{end:?}");
        }
        duo.assert_comes_back(of);
    }
}

/// A request that repeats no link that is known is told so, and nothing comes of it.
#[test]
fn forgotten_multi_ke() {
    let mut duo = multi_ke();
    let (_, before) = duo.ike_sa();
    duo.rekey_ike(Left, 0);
    duo.pass(Left, ASK);
    duo.pass(Right, GRANT);
    let follow = duo.hold(Left, FOLLOW);
    // Right has given up on left before the request comes.
    duo.wait_for(Right, std::time::Duration::from_secs(31));
    duo.deliver(follow);
    duo.pass(Right, FOLLOWED);
    duo.settle();
    assert_stays(&mut duo, Left, before);
}

#[test]
fn collision() {
    for (nonces, stays) in COLLISIONS {
        let mut duo = Duo::up(Left);
        let (_, before) = duo.ike_sa();
        duo.collide(Duo::rekey_ike, nonces);
        duo.pass(Right, GRANT);
        duo.pass(Left, GRANT);
        duo.settle();
        assert_stays(&mut duo, stays, before);
    }
}

#[test]
fn collision_delayed_response() {
    for (nonces, stays) in COLLISIONS {
        let mut duo = Duo::up(Left);
        let (_, before) = duo.ike_sa();
        duo.collide(Duo::rekey_ike, nonces);
        let delayed = duo.hold(Right, GRANT);
        duo.pass(Left, GRANT);
        // Right knows all four nonces: it deletes either what its own exchange made or the replaced SA.
        duo.pass(Right, INFORM);
        duo.pass(Left, CONFIRM);
        duo.deliver(delayed);
        duo.settle();
        assert_stays(&mut duo, stays, before);
    }
}

#[test]
fn collision_dropped_request() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        let (_, before) = duo.ike_sa();
        duo.miss(Duo::rekey_ike, nonces);
        duo.pass(Right, INFORM);
        duo.pass(Left, CONFIRM);
        duo.settle();
        assert_stays(&mut duo, Right, before);
    }
}

#[test]
fn collision_delayed_request() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        let (_, before) = duo.ike_sa();
        let delayed = duo.miss(Duo::rekey_ike, nonces);
        let delete = duo.hold(Right, INFORM);
        // RFC 7296 §2.25.2: the SA is being closed, so TEMPORARY_FAILURE.
        duo.deliver(delayed);
        duo.deliver(delete);
        duo.pass(Right, GRANT);
        duo.settle();
        assert_stays(&mut duo, Right, before);
    }
}

#[test]
fn collision_delayed_request_and_delete() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        let (_, before) = duo.ike_sa();
        let delayed = duo.miss(Duo::rekey_ike, nonces);
        let delete = duo.hold(Right, INFORM);
        duo.deliver(delayed);
        // The refusal comes before the Delete.
        duo.pass(Right, GRANT);
        duo.deliver(delete);
        duo.settle();
        assert_stays(&mut duo, Right, before);
    }
}

/// Right goes on with the SA that it has made, before its Delete of the old one comes: left, whose own request is lost,
/// has to see from that which SA stays.
#[test]
fn collision_dropped_request_and_delayed_delete() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        duo.rekey_ike(Left, nonces[0]);
        duo.rekey_ike(Right, nonces[1]);
        duo.on(Right, |e, ctx| e.rekey_children(TUNNEL, ctx));
        duo.hold(Left, ASK);
        duo.nonce(Left, nonces[2]);
        duo.pass(Right, ASK);
        duo.pass(Left, GRANT);
        let delete = duo.hold(Right, INFORM);
        duo.pass(Right, ASK);
        duo.deliver(delete);
        duo.settle();
        assert_eq!(duo.ike_sa().0, Right);
    }
}

/// What right asks first on the SA that it has made is that a child be deleted which left still has under the old SA.
#[test]
fn collision_dropped_request_and_delayed_delete_of_a_child() {
    for nonces in ONE_SIDED {
        let mut duo = Duo::up(Left);
        duo.rekey_child(Right, nonces[1]);
        duo.on(Right, |e, ctx| e.rekey_ike(TUNNEL, ctx));
        duo.pass(Right, ASK);
        duo.rekey_ike(Left, nonces[0]);
        duo.pass(Left, GRANT);
        duo.hold(Left, ASK);
        duo.nonce(Left, nonces[2]);
        duo.pass(Right, ASK);
        duo.pass(Left, GRANT);
        let delete = duo.hold(Right, INFORM);
        duo.pass(Right, INFORM);
        duo.deliver(delete);
        duo.settle();
        assert_eq!(duo.ike_sa().0, Right);
    }
}

#[test]
fn collision_delete() {
    for of in Peer::BOTH {
        let mut duo = Duo::up(of);
        duo.strict = false;
        duo.rekey_ike(of, 0);
        duo.on(of.other(), |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
        duo.pass(of, ASK);
        duo.pass(of.other(), INFORM);
        duo.assert_comes_back(of.other());
    }
}

#[test]
fn collision_delete_drop_delete() {
    for of in Peer::BOTH {
        let mut duo = Duo::up(of);
        duo.strict = false;
        duo.rekey_ike(of, 0);
        duo.on(of.other(), |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
        let delete = duo.hold(of.other(), INFORM);
        // RFC 7296 §2.25.2: TEMPORARY_FAILURE, and the Delete comes later.
        duo.pass(of, ASK);
        duo.pass(of.other(), GRANT);
        duo.deliver(delete);
        duo.assert_comes_back(of.other());
    }
}

/// The Delete follows a request for another IKE SA that is not answered yet: what the peer makes for it goes as well.
#[test]
fn closed_before_the_answer() {
    for of in Peer::BOTH {
        let other = of.other();
        let mut duo = Duo::up(of);
        duo.strict = false;
        duo.rekey_ike(of, 0);
        duo.on(of, |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
        duo.run(2);
        for end in Peer::BOTH {
            assert!(duo.node(end).installed.is_empty(), "{end:?} has {:x?}", duo.node(end).installed.keys());
        }
        assert_eq!(duo.node(other).endpoint.status(TUNNEL).map(|s| s.state), Some(TunnelState::Down));
        duo.assert_comes_back(of);
    }
}

/// Left has lost the collision, has deleted what it made, and then deletes the rest, before right has any answer: nothing
/// stays that right could go on with.
#[test]
fn collision_then_closed() {
    let mut duo = Duo::up(Left);
    duo.strict = false;
    duo.rekey_ike(Left, 0x00);
    duo.rekey_ike(Right, 0xff);
    duo.nonce(Right, 0xff);
    duo.pass(Left, ASK);
    duo.nonce(Left, 0xff);
    duo.pass(Right, ASK);
    duo.hold(Left, GRANT);
    duo.pass(Right, GRANT);
    duo.pass(Left, INFORM);
    duo.pass(Right, CONFIRM);
    duo.on(Left, |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
    duo.run(2);
    assert!(duo.node(Right).installed.is_empty(), "right has {:x?}", duo.node(Right).installed.keys());
    assert_eq!(duo.node(Right).downs, ["peer_deleted"]);
    duo.assert_comes_back(Left);
}

#[test]
fn collision_of_the_child_moves_along() {
    // A child rekey that was wanted while the IKE SA was replaced is done on the new one.
    for of in Peer::BOTH {
        let mut duo = Duo::up(Left);
        duo.rekey_ike(of, 0);
        duo.on(of, |e, ctx| e.rekey_children(TUNNEL, ctx));
        duo.settle();
        assert_eq!(duo.node(of).child().inbound_spi, duo.node(of).spis.given[1]);
    }
}
