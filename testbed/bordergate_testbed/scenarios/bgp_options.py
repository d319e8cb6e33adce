"""Options of BGP with BIRD at the other end: what has crossed a router is refused (RFC 5082), a peer is waited for, paths with our
own AS number in them or the peer's, and more prefixes than a peer may announce, which are taken or end the session.
"""

from __future__ import annotations

import time
from dataclasses import replace

from scapy.layers.inet import IP, TCP

from ..bgp import Bgp
from ..bird import Bird, Route, Router, Session
from ..capture import Capture
from ..gateway import ROUTED_SITE, Gateway, Site
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import (BORDERGATE_INNER, CUSTOMER_INNER, IDC_PREFIX, SECOND_BORDERGATE_INNER, SECOND_CUSTOMER_INNER,
                        VPC_PREFIX)

LIMIT_SECONDS = 150
ASN, BORDERGATE_ASN = 65001, 65000
# What BIRD says of itself, and how a path begins that has our number in it, too.
LOOPED_PREFIX = "10.8.2.0/24"
ROUTES = (Route(IDC_PREFIX), Route(LOOPED_PREFIX, f"bgp_path.prepend({BORDERGATE_ASN});"))
MANY = tuple(Route(f"10.7.{number}.0/24") for number in range(1, 6))
PREFIX_LIMIT = 3
GUARDED = Bgp(ttl_security=True, passive=True)
# For so long a session is watched that is not to come up; the others take a second or two.
WATCHED_SECONDS = 6


def run(bed: Bed) -> None:
    gateway, site = bed.up_with_two_tunnels(replace(ROUTED_SITE, routes=None, bgp=GUARDED))
    session = bed.capture("bgp", bed.topology.customer, "tun1")
    bed.step("start BIRD, which sets the TTL to 255 in the first tunnel alone")
    bird = bed.bird().start(router(second=()))
    bird.wait_established("bgp_1")
    gateway.bgp.wait_established("tun-1")
    guarded(bed, gateway, bird, session)
    paths(bed, gateway, bird, site)
    limited(bed, gateway, bird, site)


def router(second: tuple[str, ...] = ("ttl security on;",), routes: tuple[Route, ...] = ROUTES) -> Router:
    """BIRD's side: it announces in the first tunnel only, so that the second one's peer may be told of it."""
    return Router((Session(options=("ttl security on;",)),
                   Session(name="bgp_2", local=SECOND_CUSTOMER_INNER, remote=SECOND_BORDERGATE_INNER, silent=True,
                           options=second)), routes)


def guarded(bed: Bed, gateway: Gateway, bird: Bird, session: Capture) -> None:
    """A session of which one end does not set the TTL stays down; and we connect to nobody."""
    bed.step("see that the second tunnel's session does not come up")
    until = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        state = gateway.bgp.neighbor("tun-2")["state"]
        expect(state != "established" and not bird.established("bgp_2"), "a session came up over segments of any TTL")
        time.sleep(0.5)
    bed.step("set the TTL in the second tunnel, too")
    bird.reconfigure(router())
    bird.wait_established("bgp_2")
    gateway.bgp.wait_established("tun-2")
    opened = {packet[IP].src for packet in session.packets() if TCP in packet and packet[TCP].flags == "S"}
    expect(opened == {CUSTOMER_INNER}, f"connections were opened by {opened}, not by BIRD alone")
    ours = {packet[IP].ttl for packet in session.packets() if TCP in packet and packet[IP].src == BORDERGATE_INNER}
    expect(ours == {255}, f"Bordergate's segments have the TTLs {ours}, which BIRD would have refused")


def paths(bed: Bed, gateway: Gateway, bird: Bird, site: Site) -> None:
    """A path with our number in it is taken if it may be; one with the peer's is told with ours instead."""
    bed.step("see that a path with our own AS number is refused, and that BIRD refuses one with its own")
    gateway.bgp.wait_routes(IDC_PREFIX, ("tun-1",))
    bird.wait_route(VPC_PREFIX, "bgp_2")
    refused = gateway.bgp.routes(LOOPED_PREFIX, learnt="tun-1")
    expect(len(refused) == 1 and "our AS number" in refused[0]["refused"], f"the looped route is {refused}")
    expect(not bird.routes(IDC_PREFIX, "bgp_2"), "BIRD has taken a path with its own number")

    bed.step("allow our own AS number once, and put it in place of the peer's")
    gateway.reload(replace(site, bgp=replace(GUARDED, allow_own_asn=1, override_asn=True)).render())
    gateway.bgp.wait_established("tun-1", "tun-2")
    gateway.bgp.refresh("tun-1")
    found = gateway.bgp.wait_routes(LOOPED_PREFIX, ("tun-1",))
    expect(found[0]["as_path"] == [ASN, BORDERGATE_ASN], f"it was taken as {found}")
    told = bird.wait_route(IDC_PREFIX, "bgp_2")
    expect(f"BGP.as_path: {BORDERGATE_ASN} {BORDERGATE_ASN}\n" in told, f"BIRD was told:\n{told}")


def limited(bed: Bed, gateway: Gateway, bird: Bird, site: Site) -> None:
    """More prefixes than allowed are taken with a warning, or end the session for a while."""
    bed.step(f"announce more than {PREFIX_LIMIT} prefixes where that is warned of")
    gateway.reload(replace(site, bgp=replace(GUARDED, prefix_limit=PREFIX_LIMIT, prefix_excess="warn")).render())
    gateway.bgp.wait_established("tun-1", "tun-2")
    bird.reconfigure(router(routes=(*ROUTES, *MANY)))
    for route in MANY:
        gateway.bgp.wait_routes(route.prefix, ("tun-1",))
    wait_for("a warning", lambda: "they are taken" in gateway.bgp.events())
    gateway.bgp.wait_established("tun-1", timeout=1)

    bed.step("and where that ends the session")
    told = len(bird.daemon.output())
    gateway.reload(replace(site, bgp=replace(GUARDED, prefix_limit=PREFIX_LIMIT, prefix_excess="restart")).render())
    gateway.bgp.refresh("tun-1")
    gateway.bgp.wait_down("tun-1", f"more than {PREFIX_LIMIT} prefixes")
    wait_for("BIRD to be told", lambda: "Maximum number of prefixes reached" in bird.daemon.output()[told:])
    gateway.bgp.wait_established("tun-2", timeout=1)
    bed.step("announce less, and do not wait for the end of the while")
    bird.reconfigure(router())
    gateway.bgp.reset("tun-1")
    gateway.bgp.wait_established("tun-1")
    gateway.bgp.wait_routes(IDC_PREFIX, ("tun-1",))
