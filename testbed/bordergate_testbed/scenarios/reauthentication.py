"""strongSwan believes who we are for a while only, and says so (RFC 4478): another IKE SA is there in time, and nothing is lost."""

from __future__ import annotations

from ..process import wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import IDC_HOST
from ..traffic import must_ping

LIFETIME_SECONDS = 20
COUNT = 1500
MOSTLY_WAITS = True


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, strongswan = bed.up_with_strongswan(connection=Connection(reauth_seconds=LIFETIME_SECONDS))
    must_ping(topology.vpc_host, IDC_HOST)

    bed.step("ping while the authentication is renewed")
    stream = topology.vpc_host.start("ping", ["ping", "-n", "-c", str(COUNT), "-i", "0.02", "-W", "1", IDC_HOST],
                                     bed.directory / "ping.log")
    wait_for("the last echo", lambda: stream.exit_code is not None, 60)
    received = int(stream.output().split(" received")[0].split()[-1])
    expect(received == COUNT, f"{COUNT - received} of {COUNT} echoes were lost")
    expect(gateway.tunnel()["messages"]["established"] >= 2, "no other SA was set up")
    expect("DOWN" not in gateway.daemon.output(), "the tunnel was down meanwhile")
    expect(len([sa for sa in strongswan.sas() if sa.established]) >= 1, "strongSwan has no SA")
