"""Graceful restart with BIRD in both roles (RFC 4724): while BIRD is dead and comes back, no packet is lost; while Bordergate is,
BIRD keeps its routes, and takes the new ones that it then hears. A BIRD that stays dead leaves its routes for so long as it has
asked for, and then for so long as a last resort (RFC 9494).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..bgp import Bgp, Propagation
from ..bird import Bird, Route, Router, Session
from ..gateway import ROUTED_SITE, Gateway, Site
from ..meter import Meter
from ..namespace import Namespace
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import (IDC_HOST, IDC_PREFIX, SECOND_BORDERGATE_INNER, SECOND_CUSTOMER_INNER, VPC_GATEWAY, VPC_HOST,
                        VPC_PREFIX)
from ..traffic import kernel_routes, must_ping

LIMIT_SECONDS = 180
BOTH = ("tun-1", "tun-2")
OLD_PREFIX, NEW_PREFIX = "10.3.0.0/16", "10.5.0.0/16"
# Longer than a peer would need that is told to wait for nothing.
DEAD_SECONDS = 3
RESTART_SECONDS, STALE_SECONDS = 2, 12
LONG_LIVED = (f"graceful restart time {RESTART_SECONDS};", "long lived graceful restart on;",
              f"long lived stale time {STALE_SECONDS};")


def run(bed: Bed) -> None:
    topology = bed.topology
    topology.vpc_host.ip("route", "delete", "default")
    gateway, site = bed.up_with_two_tunnels(replace(
        ROUTED_SITE, routes=None, bgp=Bgp(graceful_restart_seconds=60), prefixes=(VPC_PREFIX, OLD_PREFIX),
        propagation=Propagation(via=(VPC_GATEWAY,), namespace=topology.vpc_host.name)))
    bed.step("start BIRD on the customer's router")
    bird = bed.bird().start(router())
    up(gateway, bird)
    must_ping(topology.vpc_host, IDC_HOST)
    bird_restarts(bed, gateway, bird)
    bordergate_restarts(bed, gateway, bird, site)
    bird_stays_dead(bed, gateway, bird, site)


def router(*options: str) -> Router:
    """BIRD's side."""
    return Router((Session(options=options), Session(name="bgp_2", local=SECOND_CUSTOMER_INNER,
                                                     remote=SECOND_BORDERGATE_INNER, options=options)),
                  (Route(IDC_PREFIX),))


def up(gateway: Gateway, bird: Bird) -> None:
    """All sessions are up, and both ends have the other's routes."""
    for name in ("bgp_1", "bgp_2"):
        bird.wait_established(name, timeout=30)
    gateway.bgp.wait_established(*BOTH)
    gateway.bgp.wait_routes(IDC_PREFIX, BOTH)
    for name in ("bgp_1", "bgp_2"):
        bird.wait_route(VPC_PREFIX, name)


def bird_restarts(bed: Bed, gateway: Gateway, bird: Bird) -> None:
    """Its routes are stale until it has told them again, and packets go on."""
    topology = bed.topology
    with (watched(bed, topology.vpc_host, IDC_PREFIX), watched(bed, topology.customer, VPC_PREFIX),
          Meter(topology.vpc_host, VPC_HOST, topology.idc_host, IDC_HOST, flows=8) as meter):
        bed.step("kill BIRD under load")
        bird.kill()
        for name in BOTH:
            gateway.bgp.wait_neighbor(name, "to be without its session", state=lambda state: state != "established")
        time.sleep(DEAD_SECONDS)
        routes = gateway.bgp.wait_routes(IDC_PREFIX, BOTH)
        expect(all(route["stale"] for route in routes), f"routes of a peer that is gone are not stale: {routes}")
        bed.step("start it again under load")
        bird.start_again()
        up(gateway, bird)
        wait_for("its routes to be as good as new",
                 lambda: not any(route["stale"] for route in gateway.bgp.routes(IDC_PREFIX, best=True)), 20)
        time.sleep(1)
        reading = meter.stop()
        bed.note(f"BIRD restarts: {reading}")
        reading.must_be_whole()


def bordergate_restarts(bed: Bed, gateway: Gateway, bird: Bird, site: Site) -> None:
    """BIRD keeps what it was told until it is told anew, and no longer what it is not told any more."""
    topology = bed.topology
    expect(bool(bird.routes(OLD_PREFIX, "bgp_1")), f"BIRD was not told of {OLD_PREFIX}")
    with watched(bed, topology.customer, VPC_PREFIX):
        bed.step("kill Bordergate, and start it again with other prefixes")
        gateway.kill()
        time.sleep(DEAD_SECONDS)
        expect(bool(kernel_routes(topology.customer, VPC_PREFIX)), "BIRD has dropped its route at once")
        gateway.file.write_text(replace(site, prefixes=(VPC_PREFIX, NEW_PREFIX)).render())
        gateway.restart()
        for name in BOTH:
            gateway.wait_up(name, timeout=30)
        up(gateway, bird)
        for name in ("bgp_1", "bgp_2"):
            bird.wait_route(NEW_PREFIX, name)
            bird.wait_no_route(OLD_PREFIX, name)
    # It says so once for each session; had it taken the session to be lost, the route would have gone.
    said = bird.daemon.output()
    expect("graceful restart detected" in said, f"BIRD has noticed no graceful restart:\n{bird.daemon.tail(20)}")
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)


def bird_stays_dead(bed: Bed, gateway: Gateway, bird: Bird, site: Site) -> None:
    """Its routes outlive their restart time as a last resort, and end with the time that it has asked for then."""
    bed.step("have both ends let routes live long, and kill BIRD")
    gateway.reload(replace(site, prefixes=(VPC_PREFIX, NEW_PREFIX), bgp=Bgp(
        graceful_restart_seconds=60, long_lived_stale_seconds=60)).render())
    bird.reconfigure(router(*LONG_LIVED))
    up(gateway, bird)
    bird.kill()
    dead = time.monotonic()
    wait_for("the routes to be a last resort", lambda: "last resort" in gateway.bgp.events(), RESTART_SECONDS + 8)
    expect((after := time.monotonic() - dead) >= RESTART_SECONDS, f"they were so {after:.1f} s after BIRD's death")
    gateway.bgp.wait_routes(IDC_PREFIX, BOTH)
    must_ping(bed.topology.vpc_host, IDC_HOST)
    bed.step("wait until they are gone")
    gateway.bgp.wait_routes(IDC_PREFIX, (), STALE_SECONDS + 8)
    after = time.monotonic() - dead
    expect(after >= STALE_SECONDS, f"the routes were gone {after:.1f} s after BIRD's death")
    bed.note(f"BIRD stays dead: its routes were there for {after:.1f} s")


@contextmanager
def watched(bed: Bed, namespace: Namespace, prefix: str) -> Iterator[None]:
    """The kernel never goes without a route to this prefix while the context lasts."""
    log = bed.directory / f"routes-{namespace.name.removeprefix(bed.topology.prefix)}.log"
    monitor = namespace.start("ip monitor", ["ip", "monitor", "route"], log)
    try:
        expect(bool(kernel_routes(namespace, prefix)), f"{namespace.name} has no route to {prefix}")
        yield
        expect(bool(kernel_routes(namespace, prefix)), f"{namespace.name} has no route to {prefix} any more")
        expect(f"Deleted {prefix} " not in monitor.output(), f"{namespace.name} was without a route:\n{monitor.output()}")
    finally:
        monitor.kill()
