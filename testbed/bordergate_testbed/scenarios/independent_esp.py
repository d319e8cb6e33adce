"""Scapy's ESP opens what Bordergate seals and seals what Bordergate must open: raw with ESN, and in UDP without.

The inner packets are compared byte for byte with what was sent, except for what a router must change.
"""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from ..capture import Capture, Injector, is_raw_esp, is_udp_esp, spi_of
from ..esp_peer import EspSa, read_exported_sas
from ..gateway import Gateway
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_be_neighbour

# Around every padding length, and up to the hosts' MTU.
SIZES = (0, 1, 2, 3, 4, 5, 13, 64, 100, 555, 1000, 1371, 1372)


def run(bed: Bed) -> None:
    for esn, bring_up in ((False, bed.up_with_strongswan), (True, bed.up_with_bordergate)):
        bed.build()
        gateway = bring_up()[0]
        told = gateway.tunnel()["esp"]
        encapsulated = told["encapsulation"] == "udp"
        expect(encapsulated is not esn, f"encapsulation is {told['encapsulation']}")
        expect(told["esn"] is esn, f"esn is {told['esn']}")
        how = "in UDP" if encapsulated else "raw"

        sas = read_exported_sas(gateway.export_esp_keys(bed.directory / "esp_sa"))
        sealed_by_us = EspSa(next(sa for sa in sas if sa.source == BORDERGATE_WAN), esn=esn, encapsulated=encapsulated)
        opened_by_us = EspSa(next(sa for sa in sas if sa.destination == BORDERGATE_WAN), esn=esn,
                             encapsulated=encapsulated)
        must_be_neighbour(bed.topology.vpc_host, bed.topology.bordergate, VPC_HOST)
        bed.step(f"open with scapy what Bordergate seals, {how}")
        scapy_opens(bed, sealed_by_us)
        bed.step(f"seal with scapy what Bordergate must open, {how}")
        vpc = bed.capture("vpc-host", bed.topology.vpc_host, "vpc0", incoming_only=True)
        with bed.inject_from_internet() as internet:
            scapy_seals(vpc, internet, opened_by_us)
            if esn:
                bed.step("let the low half of the sequence number run over")
                sequence_runs_over(vpc, internet, opened_by_us)
        check_counters(gateway)
        gateway.check_accounting()


def scapy_opens(bed: Bed, sa: EspSa) -> None:
    """Packets from the VPC, one kind and size after the other, found on the WAN link and opened there."""
    topology = bed.topology
    wan = bed.capture_wan()
    is_esp = is_udp_esp if sa.encapsulated else is_raw_esp
    with Injector(topology.vpc_host, "vpc0", topology.bordergate, "vpc0") as vpc:
        sent = {packet.id: packet for packet in inner_packets(VPC_HOST, IDC_HOST)}
        for packet in sent.values():
            vpc.send(packet)
        opened: dict[int, Packet] = {}
        seen = 0
        sequences: list[int] = []

        def all_opened(_: Packet) -> bool:
            nonlocal seen
            for frame in wan.packets(seen):
                seen += 1
                if is_esp(frame) and spi_of(frame) == sa.exported.spi:
                    inner = sa.open(frame[IP])
                    sequences.append(frame["ESP"].seq)
                    opened.setdefault(inner.id, inner)
            return sent.keys() <= opened.keys()

        wan.wait_for(f"all {len(sent)} packets from the VPC, sealed", all_opened, timeout=10)
    wan.stop()
    expect(len(set(sequences)) == len(sequences), f"sequence numbers repeat: {sequences}")
    for identification, packet in sent.items():
        compare(packet, opened[identification])


def scapy_seals(vpc: Capture, internet: Injector, sa: EspSa) -> None:
    """Packets to the VPC, sealed by scapy, found at the VPC's host."""
    for sequence, packet in enumerate(inner_packets(IDC_HOST, VPC_HOST), start=200):
        internet.send(sa.seal(packet, sequence))
        delivered = vpc.wait_for(f"{len(packet)} bytes for the VPC's host", lambda frame, id_=packet.id:
                                 frame.haslayer(IP) and frame[IP].src == IDC_HOST and frame[IP].id == id_)
        compare(packet, IP(bytes(delivered[IP])[:delivered[IP].len]))


def sequence_runs_over(vpc: Capture, internet: Injector, sa: EspSa) -> None:
    """RFC 4303 appendix A: the high half is never sent, and follows from the window once the low half runs over."""
    # While the window still reaches back below zero, numbers near the end would be those of the subspace before it, so
    # the first step leads away from there.
    numbers = ((0, 0x8000_0000), (0, 0xFFFF_FFF0), (0, 0xFFFF_FFFF), (1, 0), (1, 5), (0, 0xFFFF_FFFE), (1, 4))
    for number, (high, low) in enumerate(numbers):
        packet = IP(src=IDC_HOST, dst=VPC_HOST, id=60000 + number) / UDP(sport=9, dport=9) / Raw(b"over")
        internet.send(sa.seal(packet, low, esn_high=high))
        vpc.wait_for(f"sequence {high:#x}'{low:08x}", lambda frame, id_=packet.id:
                     frame.haslayer(IP) and frame[IP].id == id_)


def inner_packets(source: str, destination: str) -> list[IP]:
    """UDP of every size, one ICMP and one TCP; identified by their IP identification."""
    packets = [IP(src=source, dst=destination, id=1000 + size, ttl=33) / UDP(sport=7, dport=7) / Raw(pattern(size))
               for size in SIZES]
    packets.append(IP(src=source, dst=destination, id=5000, ttl=33, tos=0xB8) / ICMP(type=8, id=5, seq=1)
                   / Raw(pattern(48)))
    packets.append(IP(src=source, dst=destination, id=5001, ttl=33, flags="DF") / TCP(sport=6, dport=6, flags="S"))
    return [IP(bytes(packet)) for packet in packets]


def pattern(size: int) -> bytes:
    """Bytes of which no two runs look alike."""
    return bytes((index * 7 + index // 256) & 0xFF for index in range(size))


def compare(sent: Packet, arrived: Packet) -> None:
    """Equal, but for the hop count, which a router may have lowered, and the header's checksum, which must be right."""
    hops = sent.ttl - arrived.ttl
    expect(hops in (0, 1), f"the hop count went from {sent.ttl} to {arrived.ttl}")
    wanted = IP(bytes(sent))
    wanted.ttl = arrived.ttl
    del wanted.chksum
    expect(bytes(wanted) == bytes(arrived), f"sent {bytes(wanted).hex()}\narrived {bytes(arrived).hex()}")


def check_counters(gateway: Gateway) -> None:
    """What was opened and sealed shows in the tunnel's counters, and nothing was dropped."""
    counters = gateway.tunnel()["counters"]
    least = len(SIZES) + 2
    expect(counters["packets_in"] >= least and counters["packets_out"] >= least, f"counters: {counters}")
    dropped = {name: count for name, count in counters["drops"].items() if count}
    expect(not dropped, f"the tunnel dropped {dropped}")
