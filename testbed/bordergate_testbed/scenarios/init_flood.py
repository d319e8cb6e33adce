"""In a flood of IKE_SA_INIT, in the peer's name and from everywhere, an established tunnel carries traffic and stays alive,
its peer can set it up anew, memory does not grow, and the counters say what was dropped and why."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ..capture import Injector
from ..gateway import Gateway, Site, Tunnel, binary
from ..process import run as run_command, wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection, Retries
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping, ping

LIMIT_SECONDS = 150
# Below this in all, there was no flood and nothing is proved.
FEWEST = 50_000
MOST_GROWTH_KIB = 16 * 1024
# Several times what the gateway answers, and less than the link holds up to: it is to be busy, not the machine's two cores.
BURST = 100
BURST_SECONDS = 0.001
# Of pings, how many have to come back: now and then the machine gives a worker's core to others for longer than its rings last.
ENOUGH = 0.9


class Flood:
    """A hundred thousand first messages a second, no two of one source alike, until the context ends."""

    def __init__(self, internet: Injector, sources: list[str]) -> None:
        self.sent = 0
        self._internet = internet
        self._frames = [frame(internet, source) for source in sources]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        number = int.from_bytes(os.urandom(7), "big")
        frames = itertools.cycle(self._frames)
        while not self._stop.is_set():
            due = time.monotonic() + BURST_SECONDS
            for each in itertools.islice(frames, BURST):
                number += 1
                # The initiator's SPI, behind the headers of Ethernet, IP and UDP; there is no checksum over it.
                each[42:50] = number.to_bytes(8, "big")
                try:
                    self._internet.send_frame(bytes(each))
                    self.sent += 1
                except OSError:
                    # The link's queue is full.
                    break
            time.sleep(max(due - time.monotonic(), 0))


def frame(internet: Injector, source: str) -> bytearray:
    """A whole IKE_SA_INIT request that the gateway would accept, on the WAN link."""
    return bytearray(bytes(Ether(src=internet.source, dst=internet.destination) / IP(src=source, dst=BORDERGATE_WAN)
                           / UDP(sport=500, dport=500, chksum=0) / Raw(first_message())))


def first_message() -> bytes:
    """AES-GCM-16 with 128 bits, HMAC-SHA-256, X25519: RFC 7296 §3.3, RFC 5282 §7.2, RFC 8031 §2."""
    transforms = (b"\x03\0\0\x0c\x01\0\0\x14\x80\x0e\0\x80" + b"\x03\0\0\x08\x02\0\0\x05" + b"\0\0\0\x08\x04\0\0\x1f")
    proposal = b"\0\0" + (8 + len(transforms)).to_bytes(2, "big") + b"\x01\x01\0\x03" + transforms

    def payload(following: int, body: bytes) -> bytes:
        return bytes([following, 0]) + (4 + len(body)).to_bytes(2, "big") + body

    chain = payload(34, proposal) + payload(40, b"\0\x1f\0\0" + os.urandom(32)) + payload(0, os.urandom(32))
    return (os.urandom(8) + bytes(8) + bytes([33, 0x20, 34, 0x08]) + bytes(4) + (28 + len(chain)).to_bytes(4, "big")
            + chain)


def resident_kib(gateway: Gateway) -> int:
    """The daemon's memory that is in use."""
    status = Path(f"/proc/{gateway.daemon.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def signs_of_life(gateway: Gateway) -> int:
    """Authentic INFORMATIONAL messages of the peer's, as the tunnel's trace counts them."""
    command = [str(binary()), "tunnel", "trace", "tun-1", "--json", "--socket", str(gateway.socket)]
    messages = [json.loads(line) for line in run_command(command, timeout=5).stdout.splitlines()]
    return sum(1 + message["earlier"] for message in messages if message["direction"] == "received"
               and (message["exchange"], message["outcome"]) == ("INFORMATIONAL", "protected"))


def where(counts: Counter[str]) -> str:
    """Where packets can have been lost on their way to a worker."""
    return ", ".join(f"{name} {counts[name]}" for name in ("rx_dropped", "rx_ring_full", "rx_fill_ring_empty"))


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.step("bring up a tunnel that the customer begins, and whose ends ask each other for a sign of life")
    gateway = bed.gateway().start(Site(tunnel=Tunnel(startup="respond", liveness_seconds=10)))
    # Of first messages without a cookie the flood's crowd out some: a peer that goes on asking gets through.
    strongswan = bed.strongswan(retries=Retries(tries=30, first_after=0.5, base=1.0)).start(Connection(dpd_seconds=2))
    strongswan.initiate()
    gateway.wait_up()
    # The sender of the flood and the worker share the machine's cores; on a gateway's host the worker has one of its own.
    gateway.daemon.hurry(real_time=False)
    must_ping(topology.idc_host, VPC_HOST)
    before, memory = gateway.counted(), resident_kib(gateway)
    installed = gateway.tunnel()["esp"]

    def counted() -> Counter[str]:
        return gateway.counted() - before

    topology.prefer_tunnels()
    with bed.inject_from_internet() as internet:
        sent = 0
        elsewhere = [f"192.0.{net}.{host}" for net in (2, 3) for host in range(1, 251)]
        for name, sources in (("from everywhere", elsewhere), ("in the peer's name", [CUSTOMER_WAN])):
            bed.step(f"send pings both ways in a flood {name}")
            with Flood(internet, sources) as flood:
                for host, target in ((topology.idc_host, VPC_HOST), (topology.vpc_host, IDC_HOST)):
                    result = ping(host, target, count=60, interval=0.05, patience=2)
                    bed.note(f"flood {name}: {result.received} of {result.sent} pings, {where(counted())}")
                    expect(result.received >= ENOUGH * result.sent,
                           f"{result.received} of {result.sent} pings came back in a flood {name}")
                bed.step(f"let both ends ask for a sign of life in a flood {name}")
                seen = signs_of_life(gateway)
                wait_for("two more signs of life of the established SA", lambda: signs_of_life(gateway) >= seen + 2, 10)
            sent += flood.sent
            expect(gateway.tunnel()["esp"] == installed, f"the tunnel was set up anew in a flood {name}")
        expect(sent >= FEWEST, f"only {sent} messages were sent: this is no flood")
        counts = counted()
        expect(counts["unknown_peer"] > 0, "nothing is counted as from somebody who is no peer")
        expect(counts["cookies_asked"] > 0, "no cookie was asked for")
        for name in ("unknown_peer", "cookies_asked", "half_open_limit", "handshakes_limited", "answers_limited",
                     "first_ike_queue_full", "control_queue_full"):
            print(f"      {name:<22} {counts[name]} of {sent}")
        accounted = sum(counts[name] for name in ("first_ike_queue_full", "unknown_peer", "cookies_asked"))
        expect(accounted > sent / 2, "the flood is not accounted for")

        bed.step("let the customer set the tunnel up anew in a flood in its own name")
        with Flood(internet, [CUSTOMER_WAN]):
            time.sleep(0.5)
            strongswan.terminate()
            gateway.wait_down("peer_deleted")
            strongswan.initiate(timeout=20)
            gateway.wait_up(timeout=5)
            result = ping(topology.idc_host, VPC_HOST, count=40, interval=0.05, patience=2)
            expect(result.received >= ENOUGH * result.sent, f"{result.received} of {result.sent} pings came back")

    bed.step("look at what the floods have left behind")
    grown = resident_kib(gateway) - memory
    print(f"      memory                 {grown:+} KiB")
    expect(grown < MOST_GROWTH_KIB, f"the daemon has grown by {grown} KiB")
    must_ping(topology.idc_host, VPC_HOST)
