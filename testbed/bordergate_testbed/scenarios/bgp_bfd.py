"""BFD with BIRD at 10 ms, authenticated: it comes up with the same key alone, and a tunnel that is cut under load is left within
50 ms by the flows of both directions, and taken again without loss.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..bgp import Bfd, Bgp, Propagation
from ..bird import Bird, Route, Router, Session
from ..blockade import Blockade
from ..gateway import ROUTED_SITE, ROUTED_TUNNELS, Gateway, Tunnel
from ..meter import Meter
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import (BORDERGATE_INNER, IDC_HOST, IDC_PREFIX, SECOND_BORDERGATE_INNER, SECOND_CUSTOMER_INNER,
                        VPC_GATEWAY, VPC_HOST, VPC_PREFIX)
from ..traffic import kernel_routes, must_ping

LIMIT_SECONDS = 150
BOTH = ("tun-1", "tun-2")
KEY = "a_shared_key"
RATE, FLOWS = 1000, 32
LONGEST_OUTAGE_SECONDS = 0.05
BFD = "interval 10 ms; multiplier 3; authentication meticulous keyed sha1; password \"{key}\" {{ id 7; }};"
ROUTER = Router((Session(bfd=True),
                 Session(name="bgp_2", local=SECOND_CUSTOMER_INNER, remote=SECOND_BORDERGATE_INNER, bfd=True)),
                (Route(IDC_PREFIX),), BFD.format(key=KEY))


def run(bed: Bed) -> None:
    topology = bed.topology
    topology.vpc_host.ip("route", "delete", "default")
    gateway, _ = bed.up_with_two_tunnels(replace(
        ROUTED_SITE, routes=None, bgp=Bgp(),
        bfd=Bfd(interval_ms=10, multiplier=3, authentication="meticulous-sha1", key_id=7, key=KEY),
        propagation=Propagation(via=(VPC_GATEWAY,), namespace=topology.vpc_host.name)))

    bed.step("start BIRD with another key for BFD")
    bird = bed.bird().start(replace(ROUTER, bfd=BFD.format(key="another_key")))
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        expect(all(gateway.bgp.neighbor(name)["bfd"] != "up" for name in BOTH), "BFD is up with two different keys")
        expect(" Up " not in bird.birdc("show bfd sessions"), "BIRD's BFD is up with two different keys")
        time.sleep(0.2)
    bed.step("give it the same key")
    bird.reconfigure(ROUTER)
    both_up(bed, gateway, bird)
    for tunnel, session in zip(ROUTED_TUNNELS, ("bgp_1", "bgp_2"), strict=True):
        bed.undisturbed(lambda tunnel=tunnel, session=session: cut(bed, gateway, bird, tunnel, session))


def cut(bed: Bed, gateway: Gateway, bird: Bird, tunnel: Tunnel, session: str) -> None:
    """BFD finds out at both ends, and flows go over the other tunnel; when it carries again they come back."""
    both_up(bed, gateway, bird)
    must_ping(bed.topology.vpc_host, IDC_HOST)
    must_ping(bed.topology.idc_host, VPC_HOST)
    bed.step(f"cut {tunnel.name} under load")
    with metered(bed) as meter, Blockade(bed.topology, ends=(tunnel.remote, tunnel.local)) as blockade:
        gateway.bgp.wait_neighbor(tunnel.name, "to be down by BFD", bfd="down")
        wait_for("BIRD to find out, too", lambda: not bird.established(session))
        time.sleep(0.3)
        reading = meter.stop()
        expect(all(blockade.dropped.values()), f"the cut has dropped {blockade.dropped}")
    bed.note(f"{tunnel.name} cut: {reading}")
    for way in reading.ways:
        way.must_be_short_of(LONGEST_OUTAGE_SECONDS)
    bed.step("let it come back under load")
    with metered(bed) as meter:
        both_up(bed, gateway, bird)
        time.sleep(0.3)
        reading = meter.stop()
        bed.note(f"{tunnel.name} back: {reading}")
        reading.must_be_whole()


def both_up(bed: Bed, gateway: Gateway, bird: Bird) -> None:
    """Both sessions are up and watched, and both ends use both ways.

    BIRD counts from another number whenever it begins anew, which takes effect after twice the detection time (RFC 5880 §6.8.1):
    6 s if what was heard last was that it would speak once a second.
    """
    gateway.bgp.wait_established(*BOTH)
    for name, session in zip(BOTH, ("bgp_1", "bgp_2"), strict=True):
        gateway.bgp.wait_neighbor(name, "to be watched by BFD", bfd="up")
        bird.wait_established(session)
    gateway.bgp.wait_routes(IDC_PREFIX, BOTH)

    def ways() -> set[str]:
        return {hop for route in kernel_routes(bed.topology.customer, VPC_PREFIX) for hop in route.next_hops}

    wait_for("BIRD to have both ways to the VPC", lambda: ways() == {BORDERGATE_INNER, SECOND_BORDERGATE_INNER})


@contextmanager
def metered(bed: Bed) -> Iterator[Meter]:
    """Many flows both ways, a while before anything is done."""
    topology = bed.topology
    with Meter(topology.vpc_host, VPC_HOST, topology.idc_host, IDC_HOST, rate=RATE, flows=FLOWS) as meter:
        time.sleep(0.3)
        yield meter
