"""A gateway that was killed and comes back to wait tells its peer so, which need not find out by its silence (RFC 6290)."""

from __future__ import annotations

import time

from ..gateway import Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIVENESS_SECONDS = 2
# An unanswered question is asked again after 1, 2 and 4 s; that the peer is silent would be known after 30.
BACK_WITHIN_SECONDS = 8


def run(bed: Bed) -> None:
    topology = bed.topology
    cloud, customer = bed.up_with_bordergate(tunnel=Tunnel(liveness_seconds=LIVENESS_SECONDS))
    must_ping(topology.vpc_host, IDC_HOST)
    secret = customer.directory / "bordergate.crash-secret"
    expect(secret.stat().st_mode & 0o777 == 0o600, "others can read the secret behind the tokens")
    before = secret.read_bytes()

    bed.step("kill the customer's Bordergate, and start it again at once; it waits for the cloud's")
    customer.kill()
    begin = time.monotonic()
    customer.restart(arguments=("--cores", "0"))
    customer.wait_up(timeout=30)
    took = time.monotonic() - begin
    expect(secret.read_bytes() == before, "the secret has not outlived the process")
    wait_for("the cloud's log to tell why", lambda: 'code="peer_restarted"' in cloud.daemon.output(), 5)
    expect(f"the peer {CUSTOMER_WAN} has restarted" in cloud.daemon.output(), "the reason does not name the peer")
    expect(took <= BACK_WITHIN_SECONDS, f"it took {took:.1f} s to come back")
    bed.note(f"back {took:.1f} s after the kill")
    cloud.wait_up()
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)

    bed.step("kill it again and take its secret away: now it has to be silent for long enough")
    customer.kill()
    secret.unlink()
    customer.restart(arguments=("--cores", "0"))
    cloud.wait_down("peer_silent", timeout=60)
    expect(cloud.tunnel()["messages"]["wrong_tokens"] > 0, "the token made with another secret was not counted")
    customer.wait_up(timeout=30)
    must_ping(topology.vpc_host, IDC_HOST)


LIMIT_SECONDS = 150
MOSTLY_WAITS = True
