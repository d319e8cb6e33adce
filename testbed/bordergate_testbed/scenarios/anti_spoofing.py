"""Neither the VPC nor the peer can send from an address of the other's side; with `anti_spoofing` off the VPC can."""

from __future__ import annotations

from dataclasses import replace

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from ..capture import Injector
from ..esp_peer import EspSa, read_exported_sas
from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping

EVERYTHING = "10.0.0.0/8"
EACH = 5
SPOOFED_BY_VPC = "10.3.0.9"
SPOOFED_BY_PEER = "10.1.0.99"


def run(bed: Bed) -> None:
    topology = bed.topology
    # Selectors that hold all of these addresses, so that they do not drop what the sources are to be dropped for.
    tunnel = Tunnel(local_prefixes=(EVERYTHING,), remote_prefixes=(EVERYTHING,))
    site = Site(tunnel=tunnel, prefixes=("10.1.0.0/16",), routes=("10.2.0.0/16",))
    bed.step("start both ends with selectors for everything")
    bed.strongswan().start(Connection(local_ts=EVERYTHING, remote_ts=EVERYTHING))
    gateway = bed.gateway().start(site)
    gateway.wait_up()
    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)

    bed.step("send from a foreign source out of the VPC")
    spoofed = IP(src=SPOOFED_BY_VPC, dst=IDC_HOST) / UDP(sport=9, dport=9) / Raw(b"spoofed")
    with Injector(topology.vpc_host, "vpc0", topology.bordergate, "vpc0") as injector:
        before = gateway.counted()
        for _ in range(EACH):
            injector.send(spoofed)
        gateway.wait_counted("packets from a foreign source", ("spoofed_source",), before, EACH)
        expect(gateway.tunnel()["counters"]["packets_out"] == 0, "they were sealed")

        bed.step("seal a packet from the VPC's own addresses, as the peer could")
        sas = read_exported_sas(gateway.export_esp_keys(bed.directory / "esp_sa"))
        sa = EspSa(next(sa for sa in sas if sa.destination == BORDERGATE_WAN), esn=False, encapsulated=True)
        before = gateway.counted()
        with bed.inject_from_internet() as internet:
            for number in range(EACH):
                inner = IP(src=SPOOFED_BY_PEER, dst=VPC_HOST) / UDP(sport=9, dport=9) / Raw(b"spoofed")
                internet.send(sa.seal(inner, 100 + number))
        gateway.wait_counted("packets of the peer from the VPC's addresses", ("spoofed_source",), before, EACH)
        vpc.stop()
        reached = [packet for packet in vpc.packets() if packet.haslayer(IP) and packet[IP].src == SPOOFED_BY_PEER]
        expect(not reached, f"{len(reached)} of them reached the VPC")

        bed.step("turn anti-spoofing off")
        gateway.reload(replace(site, anti_spoofing=False).render())
        before = gateway.counted()
        for _ in range(EACH):
            injector.send(spoofed)
        gateway.wait_counted("what is sealed now", ("packets_out",), before, EACH)
        expect(gateway.counted()["spoofed_source"] == before["spoofed_source"], "still dropped as spoofed")
