"""Flows are shared by weight over a connection's tunnels, both ways over the same one; a tunnel that goes down moves only its own."""

from __future__ import annotations

import math
from dataclasses import replace

from ..gateway import Gateway, Site, Tunnel, mirrored
from ..scenario import Bed, expect
from ..topology import IDC_HOST
from ..traffic import UdpFlows, must_ping, udp_echo

SECOND_REMOTE = "198.51.100.3"
FLOWS = 400
WEIGHTS = (3, 1)
SHARE = FLOWS * WEIGHTS[0] / sum(WEIGHTS)
# Four standard deviations of as many throws of a die: a sound hash is outside once in 16 000 runs.
SPREAD = 4 * math.sqrt(SHARE * WEIGHTS[1] / sum(WEIGHTS))
NAMES = ("tun-1", "tun-2")


def run(bed: Bed) -> None:
    topology = bed.topology
    topology.customer.ip("addr", "add", f"{SECOND_REMOTE}/24", "dev", "wan0")
    first, second = Tunnel(weight=WEIGHTS[0]), Tunnel(name="tun-2", remote=SECOND_REMOTE, weight=WEIGHTS[1])
    site = Site(tunnel=first, further=(second,), flow_hash="symmetric")
    cloud, customer = bed.up_with_bordergate(site=site)
    must_ping(topology.vpc_host, IDC_HOST)

    with udp_echo(topology.idc_host, IDC_HOST) as port, UdpFlows(topology.vpc_host, (IDC_HOST, port), FLOWS) as flows:
        bed.step(f"{FLOWS} flows there and back")
        both = exchanged(cloud, flows)
        expect(abs(both[0] - SHARE) <= SPREAD, f"tun-1 has {both[0]} of {FLOWS} flows, not {SHARE} +- {SPREAD:.0f}")
        bed.step("the same flows again")
        again = exchanged(cloud, flows)
        expect(again == both, f"flows changed their tunnel: {both}, then {again}")

        bed.step("take tun-2 down")
        without = replace(site, further=(replace(second, admin="down"),))
        cloud.reload(without.render())
        # The other end is told by a delete.
        customer.wait_down("peer_deleted", name="tun-2")
        alone = exchanged(cloud, flows)
        expect(alone == (FLOWS, 0), f"packets by tunnel: {alone}, not all in tun-1")
        bed.step("bring it up again")
        cloud.reload(site.render())
        cloud.wait_up("tun-2")
        customer.wait_up("tun-2")
        back = exchanged(cloud, flows)
        expect(back == both, f"flows did not go back to where they were: {both}, now {back}")

        bed.step("drain tun-1: weight 0 at both ends")
        drained = replace(site, tunnel=replace(first, weight=0))
        cloud.reload(drained.render())
        customer.reload(mirrored(drained).render())
        rest = exchanged(cloud, flows)
        expect(rest == (0, FLOWS), f"packets by tunnel: {rest}, not all in tun-2")


def exchanged(gateway: Gateway, flows: UdpFlows) -> tuple[int, ...]:
    """Lets every flow send one packet and have it back, and tells how many of them each tunnel carried."""
    before = counters(gateway)
    lost = flows.exchange()
    expect(lost == 0, f"{lost} of {FLOWS} packets did not come back")
    after = counters(gateway)
    out, back = ([one[way] - other[way] for one, other in zip(after, before)] for way in ("packets_out", "packets_in"))
    expect(sum(out) == FLOWS, f"{sum(out)} packets were sealed for {FLOWS}")
    expect(out == back, f"packets out by tunnel: {out}, but back: {back}")
    return tuple(out)


def counters(gateway: Gateway) -> list[dict[str, int]]:
    """Those of the tunnels, in order; of one that is down, what it counted last."""
    return [gateway.tunnel(name)["counters"] or {"packets_out": 0, "packets_in": 0} for name in NAMES]
