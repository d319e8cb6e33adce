"""A peer that never answers: the tunnel is DOWN for that very reason, and comes up once there is somebody."""

from __future__ import annotations

from ..gateway import Site
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 150
MOSTLY_WAITS = True
# IKE gives up after 30 s of retransmissions; how long it then waits before it tries again may double a few times.
GIVES_UP_SECONDS = 60
TRIES_AGAIN_SECONDS = 60


def run(bed: Bed) -> None:
    topology = bed.topology
    wan = bed.capture_wan()
    bed.step("start Bordergate, which initiates to nobody")
    gateway = bed.gateway().start(Site())
    reason = gateway.wait_down("peer_silent", timeout=GIVES_UP_SECONDS)["reason"]
    expect(CUSTOMER_WAN in reason["text"], f"the reason does not name the peer: {reason}")
    shown = gateway.status_text()
    expect("DOWN" in shown and reason["text"] in shown, f"`status` does not say DOWN and why:\n{shown}")
    requests = sum(packet.haslayer("UDP") and packet["UDP"].dport == 500 for packet in wan.packets())
    expect(requests >= 4, f"the request went out only {requests} times")

    bed.step("start strongSwan")
    bed.strongswan().start(Connection())
    gateway.wait_up(timeout=TRIES_AGAIN_SECONDS)
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)
