"""A peer that dies without a word is found out within the configured time, and the tunnel comes back with the peer."""

from __future__ import annotations

import time

from ..gateway import Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIVENESS_SECONDS = 2
# The probe goes out after the configured silence; what follows is the retransmission of an unanswered request.
FOUND_OUT_SECONDS = 60
LIMIT_SECONDS = 150
MOSTLY_WAITS = True


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, strongswan = bed.up_with_strongswan(tunnel=Tunnel(liveness_seconds=LIVENESS_SECONDS))
    must_ping(topology.vpc_host, IDC_HOST)

    bed.step("see that an idle peer that answers stays UP")
    time.sleep(0.5)
    deadline = time.monotonic() + 3 * LIVENESS_SECONDS
    while time.monotonic() < deadline:
        expect(gateway.tunnel()["state"] == "UP", f"an idle tunnel went {gateway.tunnel()}")
        time.sleep(0.5)

    bed.step("kill strongSwan")
    strongswan.kill()
    begin = time.monotonic()
    told = gateway.wait_down("peer_silent", timeout=FOUND_OUT_SECONDS)
    took = time.monotonic() - begin
    expect(took >= 1, f"found out after {took:.1f} s, before any probe could have gone unanswered")
    expect(CUSTOMER_WAN in told["reason"]["text"], f"the reason does not name the peer: {told['reason']}")

    bed.step("start strongSwan again")
    bed.strongswan(name="strongswan-again").start(Connection())
    gateway.wait_up(timeout=60)
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)
