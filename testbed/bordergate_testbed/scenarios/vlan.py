"""VLAN-tagged ESP and IKE are understood: a tagged ESP packet is opened and delivered, tagged IKE reaches IKE."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from ..esp_peer import EspSa, read_exported_sas
from ..scenario import Bed
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_be_neighbour, must_ping

TAGS = {
    "802.1Q, priority only": b"\x81\x00\xa0\x00",
    "802.1Q, VLAN 10": b"\x81\x00\x00\x0a",
    "802.1ad over 802.1Q": b"\x88\xa8\x00\x14\x81\x00\x00\x0a",
}


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan()
    sas = read_exported_sas(gateway.export_esp_keys(bed.directory / "esp_sa"))
    sa = EspSa(next(sa for sa in sas if sa.destination == BORDERGATE_WAN), esn=False, encapsulated=True)
    must_be_neighbour(topology.vpc_host, topology.bordergate, VPC_HOST)
    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)
    with bed.inject_from_internet() as internet:
        for number, (name, tag) in enumerate(TAGS.items()):
            bed.step(f"ESP behind {name}")
            inner = IP(src=IDC_HOST, dst=VPC_HOST, id=7000 + number) / UDP(sport=9, dport=9) / Raw(b"tagged")
            internet.send(sa.seal(inner, 300 + number), vlan=tag)
            vpc.wait_for(f"what was behind {name}", lambda frame, id_=inner.id:
                         frame.haslayer(IP) and frame[IP].id == id_)
            bed.step(f"IKE behind {name}")
            before = gateway.counted()
            # Cut within its header: how IKE shows that it has seen it.
            broken = IP(src=CUSTOMER_WAN, dst=BORDERGATE_WAN) / UDP(sport=500, dport=500) / Raw(bytes(20))
            internet.send(broken, vlan=tag)
            gateway.wait_counted("the tagged IKE", ("malformed",), before, 1)
    must_ping(topology.idc_host, VPC_HOST)
