"""OpenIKED, which shares nothing with strongSwan, in both roles: child and IKE rekeys from either end and both at once.

Every lost packet is accounted for. OpenIKED takes its old inbound SA away when it sends the delete for it, and its new one
is there only once it has worked the answer off (RFC 7296 §2.8 asks for both to overlap): what it therefore drops is its
loss, counted by the program that does its ESP, and nothing else may be lost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..blockade import Blockade
from ..gateway import Gateway, Site, Tunnel
from ..meter import Meter
from ..openiked import OpenIked, Policy
from ..process import Failure, wait_for
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 150
IKE_LIFETIME_SECONDS = 4
TUNNEL = {"key_exchange": ("x25519",), "ike_encryption": ("aes128gcm16",), "esp_encryption": ("aes256",),
          "esp_integrity": ("sha512",), "esn": False}


def run(bed: Bed) -> None:
    for initiates in (True, False):
        with up(bed, initiates, 0) as (gateway, peer):
            for what, act in (
                ("no rekey", lambda: time.sleep(1)),
                ("child by us", lambda: until_new_child(gateway, peer, gateway.rekey)),
                ("child by peer", lambda: until_new_child(gateway, peer, peer.rekey_child)),
                ("ike by us", lambda: until_new_ike(peer, lambda: gateway.rekey(ike=True))),
                ("child by peer, again", lambda: until_new_child(gateway, peer, peer.rekey_child)),
                # Last: OpenIKED goes on to wait for an answer that it has had, and takes no other rekey.
                ("child by both", lambda: until_new_child(gateway, peer, lambda: both(bed, gateway, peer))),
            ):
                measure(bed, gateway, peer, what, act)
        # OpenIKED rekeys the IKE SA by the clock alone.
        with up(bed, initiates, IKE_LIFETIME_SECONDS) as (gateway, peer):
            measure(bed, gateway, peer, "ike by peer", lambda: until_new_ike(peer, lambda: None))
            measure(bed, gateway, peer, "child by us, after that", lambda: until_new_child(gateway, peer, gateway.rekey))


@contextmanager
def up(bed: Bed, initiates: bool, lifetime: int) -> Iterator[tuple[Gateway, OpenIked]]:
    """A tunnel that is UP; afterwards OpenIKED goes."""
    role = "initiator" if initiates else "responder"
    name = f"{role}-{lifetime}"
    bed.step(f"bring the tunnel up, Bordergate as {role}")
    peer = bed.openiked(name=f"openiked-{name}").start(Policy(active=not initiates, ike_lifetime_seconds=lifetime))
    gateway = bed.gateway(name=f"bordergate-{name}").start(Site(tunnel=Tunnel(
        startup="initiate" if initiates else "respond", **TUNNEL)))
    gateway.wait_up(timeout=20)
    must_ping(bed.topology.vpc_host, IDC_HOST)
    must_ping(bed.topology.idc_host, VPC_HOST)
    yield gateway, peer
    bed.step(f"{role}: let OpenIKED go")
    peer.stop()
    gateway.stop()


def measure(bed: Bed, gateway: Gateway, peer: OpenIked, what: str, act: Callable[[], None]) -> None:
    """Do it under traffic; what is lost must be what OpenIKED is known to have dropped."""
    line = f"{gateway.name}, {what}"
    bed.step(line)
    with Meter(bed.topology.vpc_host, VPC_HOST, bed.topology.idc_host, IDC_HOST) as meter:
        before, drops = unknown_spis(peer), gateway.worker_drops()
        time.sleep(0.1)
        act()
        time.sleep(0.2)
        reading = meter.stop()
        dropped = unknown_spis(peer) - before
        if what.startswith(("child by us", "child by both")):
            # RFC 7296 §2.8: a responder does not know whether its answer has come. OpenIKED sends on the new child at once.
            dropped += gateway.worker_drops()["unknown_spi"] - drops["unknown_spi"]
    bed.note(f"{line}: {reading}" + (f"; {dropped} dropped by OpenIKED" if dropped else ""))
    expect(reading.lost == dropped, f"{line}: {reading}, but OpenIKED dropped {dropped}:\n{peer.esp.tail(8)}")
    expect(gateway.tunnel()["state"] == "UP", f"the tunnel is {gateway.tunnel()}")


def both(bed: Bed, gateway: Gateway, peer: OpenIked) -> None:
    """Both ends ask for a new child, and neither hears the other at first."""
    with Blockade(bed.topology, ike_only=True) as blockade:
        gateway.rekey()
        peer.rekey_child()
        wait_for("both to have asked", lambda: all(blockade.dropped.values()), 5)


def until_new_child(gateway: Gateway, peer: OpenIked, act: Callable[[], None]) -> None:
    """Until both ends use the same new child."""
    before = peer.spis()
    act()

    def agreed() -> bool:
        esp = gateway.tunnel()["esp"] or {}
        return peer.spis() not in (None, before) and peer.spis() == (esp.get("spi_out"), esp.get("spi_in"))

    try:
        wait_for("both to have a new child", agreed, 15)
    except Failure as failure:
        raise Failure(f"{failure}: OpenIKED has {peer.spis()}, Bordergate {gateway.tunnel()['esp']}\n"
                      f"{peer.daemon.tail(15)}") from failure


def until_new_ike(peer: OpenIked, act: Callable[[], None]) -> None:
    """Until OpenIKED has replaced its IKE SA, of its own accord if nobody asks for it."""
    told = len(peer.daemon.output())
    act()
    wait_for("OpenIKED to have a new IKE SA", lambda: "rekeyed as new IKESA" in peer.daemon.output()[told:],
             IKE_LIFETIME_SECONDS + 5)


def unknown_spis(peer: OpenIked) -> int:
    """Packets that came for an SA that OpenIKED has not, or no longer."""
    return len(re.findall(r"no such SA", peer.esp.output()))
