"""What is wrong with a BGP peer is named: its AS number, its hold time, its MD5 key, a route that loops or leads elsewhere, an
UPDATE that nobody can read; and the session in the other tunnel is up all the while.

The one tunnel's peer is BIRD, as it should be; the other one's is made by hand.
"""

from __future__ import annotations

import time
from dataclasses import replace

from ..bgp import Bgp
from ..bird import Route, Router, Session
from ..crafted_speaker import CraftedSpeaker, opening, update, written
from ..gateway import ROUTED_SITE, Gateway
from ..process import Failure, wait_for
from ..scenario import Bed, expect
from ..topology import IDC_HOST, IDC_PREFIX, SECOND_BORDERGATE_INNER, SECOND_CUSTOMER_INNER, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 180
KEY = "a_shared_key"
ASN, BORDERGATE_ASN, FOREIGN_ASN = 65001, 65000, 65099
# 10.66.1.0/24 is announced soundly; the prefixes beside it are not.
SOUND_PREFIX = "10.66.1.0/24"

# What is wrong with it, the OPEN, the NOTIFICATION's code and subcode, and what Bordergate says.
OPENINGS = (
    ("another AS number", opening(FOREIGN_ASN), (2, 2), str(FOREIGN_ASN)),
    ("a hold time of 2 s", opening(ASN, hold=2), (2, 6), "hold time of 2 s"),
    ("no BGP identifier", opening(ASN, identifier="0.0.0.0"), (2, 3), "0.0.0.0"),
)
# What is wrong with it, the prefix and path and next hop, and what Bordergate says.
ROUTES = (
    ("a path that loops", "10.66.2.0/24", (ASN, BORDERGATE_ASN, 65020), SECOND_CUSTOMER_INNER, "our AS number"),
    ("a path that does not begin with the peer", "10.66.3.0/24", (65020, ASN), SECOND_CUSTOMER_INNER, "does not begin"),
    ("a next hop that is nobody's", "10.66.4.0/24", (ASN,), "192.0.2.99", "next hop"),
    ("Bordergate as its next hop", "10.66.5.0/24", (ASN,), SECOND_BORDERGATE_INNER, "next hop"),
)


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_two_tunnels(replace(ROUTED_SITE, routes=None, bgp=Bgp(md5_key=KEY)))
    bed.step("start BIRD as the first tunnel's peer")
    bird = bed.bird().start(Router((Session(password=KEY),), (Route(IDC_PREFIX),)))
    bird.wait_established("bgp_1")
    gateway.bgp.wait_established("tun-1")
    gateway.bgp.wait_routes(IDC_PREFIX, ("tun-1",))
    begin = time.monotonic()
    must_ping(topology.vpc_host, IDC_HOST)

    for what, message, notification, words in OPENINGS:
        bed.step(f"open with {what}")
        with speaker(bed) as peer:
            peer.send(message)
            expect((told := peer.notified()) == notification, f"{what} was answered with {told}, not {notification}")
            gateway.bgp.wait_down("tun-2", words)
            expect(words in (told := gateway.bgp.events()), f"the events do not tell of {what}:\n{told}")

    bed.step("open as is right, to see that it can be, and say something unsound of four routes")
    with established(bed, gateway) as peer:
        peer.send(update(written(SOUND_PREFIX), path=(ASN,), next_hop=SECOND_CUSTOMER_INNER))
        gateway.bgp.wait_routes(SOUND_PREFIX, ("tun-2",))
        for what, prefix, path, next_hop, words in ROUTES:
            peer.send(update(written(prefix), path=path, next_hop=next_hop))
            refused(gateway, what, prefix, words)
        bed.step("send an ORIGIN that there is not, which withdraws a route and nothing else (RFC 7606)")
        peer.send(update(written(SOUND_PREFIX), path=(ASN,), next_hop=SECOND_CUSTOMER_INNER, origin=b"\x07"))
        gateway.bgp.wait_routes(SOUND_PREFIX, ())
        expect(gateway.bgp.neighbor("tun-2")["state"] == "established", "the session has ended for one attribute")
        expect("invalid ORIGIN" in (told := gateway.bgp.events()), f"the events do not tell of it:\n{told}")
        expect("Missing" not in told, f"what was left out is told of as missing, too:\n{told}")
        bed.step("send a prefix of 33 bits, after which nothing can be read")
        peer.send(update(b"\x21\x0a\x42\x01\x00\x00", path=(ASN,), next_hop=SECOND_CUSTOMER_INNER))
        expect((told := peer.notified()) == (3, 10), f"it was answered with {told}, not with Invalid Network Field")
        gateway.bgp.wait_down("tun-2", "malformed")

    bed.step("sign with another key")
    with established(bed, gateway):
        pass
    gateway.bgp.wait_down("tun-2", "closed")
    try:
        with speaker(bed, key="another_key", patience=3):
            raise Failure("a connection that is signed with another key came up")
    except TimeoutError:
        pass
    gateway.bgp.wait_down("tun-2", "no TCP connection", timeout=30)

    bed.step("see that the first tunnel's session has not noticed")
    neighbor = gateway.bgp.neighbor("tun-1")
    up = time.monotonic() - begin
    expect(neighbor["state"] == "established" and neighbor["state_seconds"] >= int(up), f"after {up:.0f} s it is {neighbor}")
    expect(bird.established("bgp_1"), f"BIRD says:\n{bird.protocol('bgp_1')}")
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)


def speaker(bed: Bed, key: str = KEY, patience: float = 5) -> CraftedSpeaker:
    """The second tunnel's peer, connected; Bordergate may first have to be done with an earlier one."""

    def connected() -> CraftedSpeaker | None:
        try:
            return CraftedSpeaker(bed.topology.customer, SECOND_CUSTOMER_INNER, SECOND_BORDERGATE_INNER, key=key,
                                  patience=patience)
        except (ConnectionRefusedError, ConnectionResetError):
            return None

    return wait_for("Bordergate to take a connection", connected)


def established(bed: Bed, gateway: Gateway) -> CraftedSpeaker:
    """The same with its session up; after a complaint Bordergate may want to be left alone for a while."""

    def up() -> CraftedSpeaker | None:
        peer = speaker(bed)
        try:
            peer.establish(opening(ASN))
        except (Failure, OSError):
            peer.close()
            return None
        return peer

    peer = wait_for("a session of the second tunnel", up, 30, every=0.5)
    gateway.bgp.wait_established("tun-2")
    return peer


def refused(gateway: Gateway, what: str, prefix: str, words: str) -> None:
    """The route is there to be seen, with why it is not taken, and is not used."""

    def reason() -> str | None:
        return next((route["refused"] for route in gateway.bgp.routes(prefix, learnt="tun-2")), None)

    said = wait_for(f"a route with {what} to be refused", reason)
    expect(words in said, f"a route with {what} is refused because {said!r}, which says nothing of {words!r}")
    expect(not gateway.bgp.routes(prefix, best=True), f"a route with {what} is used")
    expect(gateway.bgp.neighbor("tun-2")["state"] == "established", f"the session has ended for {what}")
