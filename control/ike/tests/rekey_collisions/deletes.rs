//! Deletes that meet (RFC 7296 §1.4.1, §2.25.2).

use bordergate_ike::*;

use crate::duo::{Duo, Left, Peer, Right};
use crate::pair::TUNNEL;
use crate::{CONFIRM, INFORM};

fn terminate(duo: &mut Duo, of: Peer) {
    duo.strict = false;
    duo.on(of, |e, ctx| e.terminate(TUNNEL, DownReason::AdminDown, ctx));
}

#[test]
fn regular() {
    for of in Peer::BOTH {
        let mut duo = Duo::up(of);
        terminate(&mut duo, of);
        duo.pass(of, INFORM);
        duo.pass(of.other(), CONFIRM);
        for end in Peer::BOTH {
            assert!(duo.node(end).installed.is_empty());
        }
        duo.assert_comes_back(of);
    }
}

#[test]
fn collision() {
    for crossed in [true, false] {
        let mut duo = Duo::up(Left);
        terminate(&mut duo, Left);
        terminate(&mut duo, Right);
        let (left, right) = (duo.hold(Left, INFORM), duo.hold(Right, INFORM));
        // RFC 7296 §2.25.2: each answers as usual.
        duo.deliver(left);
        if crossed {
            duo.deliver(right);
            duo.pass(Right, CONFIRM);
        } else {
            duo.pass(Right, CONFIRM);
            duo.deliver(right);
        }
        duo.run(100);
        for end in Peer::BOTH {
            assert_eq!(duo.node(end).endpoint.sa_count(), 0, "{end:?}");
            assert!(duo.node(end).installed.is_empty());
        }
        duo.on(Right, |e, ctx| e.set_admin(TUNNEL, Admin::Up, ctx));
        duo.assert_comes_back(Left);
    }
}

/// The end that has asked something already may not ask for more before it is answered (RFC 7296 §2.3): the Delete waits,
/// or the window is closed for good.
#[test]
fn a_delete_behind_a_lost_probe_is_obeyed() {
    for of in Peer::BOTH {
        let mut duo = Duo::up(of);
        // Both probe; nothing arrives.
        duo.wait(std::time::Duration::from_secs(12));
        terminate(&mut duo, of);
        duo.run(5);
        let down = duo.node(of.other()).endpoint.status(TUNNEL).map(|s| s.state);
        assert_ne!(down, Some(TunnelState::Up), "the Delete was not understood");
        duo.assert_comes_back(of);
    }
}
