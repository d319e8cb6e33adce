"""An IKE SA whose peer never finds the time to rekey it ends with its lifetime, says so, and is set up anew at once.

The peer is made by hand: it answers every CREATE_CHILD_SA with TEMPORARY_FAILURE (RFC 7296 §2.25).
"""

from __future__ import annotations

from ..crafted_peer import CREATE_CHILD_SA, CraftedPeer, Script, notify
from ..gateway import Site, Tunnel
from ..process import wait_for
from ..scenario import Bed, expect

LIFETIME_SECONDS = 60
LIMIT_SECONDS = 150
MOSTLY_WAITS = True
# It answers no packets, and ESP is never sent.
WITHOUT_PACKETS = True
CODE = "lifetime_expired"


def run(bed: Bed) -> None:
    with CraftedPeer(bed.topology.customer, Script(create_child=lambda _: [notify(43)])) as peer:
        bed.step("bring a tunnel up with a peer that puts rekeying off")
        gateway = bed.gateway().start(Site(tunnel=Tunnel(
            key_exchange=("x25519",), ike_encryption=("aes128gcm16",), esn=False, liveness_seconds=0,
            ike_lifetime_seconds=LIFETIME_SECONDS)))
        gateway.wait_up()

        bed.step("wait for its end")
        line = wait_for("the tunnel to go down", lambda: next(
            (line for line in gateway.daemon.output().splitlines() if " DOWN " in line and "code=" in line), None),
            LIFETIME_SECONDS + 30)
        expect(f'code="{CODE}"' in line and f"the IKE SA reached its lifetime of {LIFETIME_SECONDS} s" in line,
               f"it went down like this: {line}")
        expect(CREATE_CHILD_SA in peer.seen, "nothing was rekeyed, so nothing was refused")

        bed.step("wait for the new one")
        gateway.wait_up()
