"""ESP that arrives in fragments, raw and in UDP, in order and shuffled, is put together and its inner packets arrive;
overlapping fragments are dropped under their name, and a flood of first fragments does not disturb good traffic."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Raw

from ..capture import Capture, Injector
from ..esp_peer import EspSa, read_exported_sas
from ..gateway import Gateway
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_be_neighbour
from .independent_esp import compare, pattern

SIZES = (300, 555, 1000, 1372)
PIECE = 256
FLOOD = 2000


def run(bed: Bed) -> None:
    for bring_up in (bed.up_with_strongswan, bed.up_with_bordergate):
        bed.build()
        gateway = bring_up()[0]
        esp = gateway.tunnel()["esp"]
        encapsulated = esp["encapsulation"] == "udp"
        how = "in UDP" if encapsulated else "raw"
        sas = read_exported_sas(gateway.export_esp_keys(bed.directory / "esp_sa"))
        sa = EspSa(next(sa for sa in sas if sa.destination == BORDERGATE_WAN), esn=esp["esn"],
                   encapsulated=encapsulated)
        must_be_neighbour(bed.topology.vpc_host, bed.topology.bordergate, VPC_HOST)
        vpc = bed.capture(f"vpc-host-{how.replace(' ', '-')}", bed.topology.vpc_host, "vpc0", incoming_only=True)
        sequence = iter(range(200, 1000))
        with bed.inject_from_internet() as internet:
            for order in ("in order", "reversed", "shuffled"):
                bed.step(f"send ESP {how} in fragments, {order}")
                arrives(vpc, internet, sa, sequence, order)
            bed.step(f"send ESP {how} in fragments that overlap")
            overlaps(gateway, vpc, internet, sa, next(sequence))
            bed.step(f"flood the gateway with first fragments, with good ESP {how} in between")
            flood(gateway, vpc, internet, sa, sequence)
        expect(gateway.tunnel()["state"] == "UP", "the tunnel is not UP")
        gateway.check_accounting()


def inner(identification: int, size: int) -> IP:
    """A packet for the VPC's host, known by its identification."""
    return IP(bytes(IP(src=IDC_HOST, dst=VPC_HOST, id=identification, ttl=33) / UDP(sport=7, dport=7)
                    / Raw(pattern(size))))


def pieces(sa: EspSa, packet: IP, number: int) -> list[IP]:
    """The sealed packet in fragments, made by scapy."""
    sealed = sa.seal(packet, number)
    sealed.id = number
    del sealed.chksum
    made = [IP(bytes(piece)) for piece in fragment(IP(bytes(sealed)), fragsize=PIECE)]
    expect(len(made) > 1, "nothing was fragmented")
    return made


def delivered(vpc: Capture, packet: IP) -> None:
    """Wait for it at the VPC's host, byte for byte."""
    frame = vpc.wait_for(f"{len(packet)} bytes for the VPC's host", lambda frame:
                         frame.haslayer(IP) and frame[IP].src == IDC_HOST and frame[IP].id == packet.id)
    compare(packet, IP(bytes(frame[IP])[:frame[IP].len]))


def arrives(vpc: Capture, internet: Injector, sa: EspSa, sequence: Iterator[int], order: str) -> None:
    """Packets of several sizes, their fragments in this order."""
    for size in SIZES:
        number = next(sequence)
        packet = inner(number, size)
        parts = pieces(sa, packet, number)
        if order == "reversed":
            parts.reverse()
        elif order == "shuffled":
            random.Random(number).shuffle(parts)
        for part in parts:
            internet.send(part)
        delivered(vpc, packet)


def overlaps(gateway: Gateway, vpc: Capture, internet: Injector, sa: EspSa, number: int) -> None:
    """RFC 5722: once a fragment overlaps with other bytes, nothing of the packet arrives."""
    packet = inner(number, 1000)
    first, *rest = pieces(sa, packet, number)
    other = IP(src=first.src, dst=first.dst, id=first.id, proto=first.proto, flags="MF", frag=1) / Raw(bytes(64))
    before = gateway.worker_drops()
    for part in (first, other, *rest):
        internet.send(part)
    gateway.wait_counted("overlapping fragments", ("reassembly_overlap",), before, 1 + len(rest))
    named = gateway.worker_drops() - before
    expect(named["reassembly_overlap"] == 1 + len(rest), f"dropped: {dict(named)}")
    leaked = [frame for frame in vpc.packets() if frame.haslayer(IP) and frame[IP].id == number]
    expect(not leaked, "the packet arrived all the same")


def flood(gateway: Gateway, vpc: Capture, internet: Injector, sa: EspSa, sequence: Iterator[int]) -> None:
    """First fragments of packets that never come, from many sources; every hundredth is followed by a good packet."""
    before = gateway.worker_drops()
    good = []
    for number in range(FLOOD):
        source = f"192.0.2.{number % 250 + 1}"
        internet.send(IP(bytes(IP(src=source, dst=BORDERGATE_WAN, id=number, proto=50, flags="MF") / Raw(bytes(64)))))
        if number % 100 == 0:
            packet = inner(next(sequence), 555)
            good.append(packet)
            for part in pieces(sa, packet, packet.id) if number % 200 == 0 else [sa.seal(packet, packet.id)]:
                internet.send(part)
    for packet in good:
        delivered(vpc, packet)
    names = ("reassembly_full", "reassembly_timeout")
    gateway.wait_counted("the flood", names, before, FLOOD)
    named = gateway.worker_drops() - before
    expect(sum(named[name] for name in names) == FLOOD, f"dropped: {dict(named)}")
