"""A tunnel of 10 Mbit/s carries 10 Mbit/s in each direction however much is offered; what is too much is counted."""

from __future__ import annotations

import json

from ..gateway import Tunnel
from ..namespace import Namespace
from ..scenario import Bed, expect
from ..topology import VPC_HOST
from ..traffic import iperf_server, must_ping

BANDWIDTH = 10
OFFERED = 40
SECONDS = 3
# Of the payload: 1200 bytes in packets of 1228, and the bucket's first fill.
LEAST, MOST = 0.9 * BANDWIDTH, 1.02 * BANDWIDTH


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan(tunnel=Tunnel(bandwidth_mbps=BANDWIDTH))
    must_ping(topology.vpc_host, "10.2.0.2")
    for reverse in (False, True):
        bed.step(f"offer {OFFERED} Mbit/s {'to the data centre' if reverse else 'to the VPC'}")
        before = gateway.worker_drops()["rate_limited"]
        with iperf_server(topology.vpc_host, VPC_HOST, bed.directory / "iperf3.log"):
            rate = flood(topology.idc_host, reverse=reverse)
        expect(LEAST <= rate <= MOST, f"{rate:.2f} Mbit/s arrived, not {LEAST} to {MOST}")
        dropped = gateway.worker_drops()["rate_limited"] - before
        # Three quarters of what was offered is too much; the machine may not have offered all of it.
        expect(dropped > OFFERED * 1e6 * SECONDS / 8 / 1200 / 4, f"only {dropped} packets were counted as too much")


def flood(client: Namespace, *, reverse: bool) -> float:
    """Mbit/s of UDP payload that arrived."""
    output = client.run("iperf3", "--client", VPC_HOST, "--udp", "--bitrate", f"{OFFERED}M", "--length", "1200",
                        "--time", str(SECONDS), "--json", *(["--reverse"] if reverse else []), timeout=SECONDS + 20)
    total = json.loads(output.stdout)["end"]["sum"]
    return total["bits_per_second"] * (100 - total["lost_percent"]) / 100 / 1e6
