"""The WAN link carries nothing but ESP, IKE and ARP, and tshark opens the ESP with the keys that `status` exports."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..capture import Capture, is_ike, is_neighbour_discovery, is_raw_esp, is_udp_esp
from ..esp_peer import read_exported_sas
from ..gateway import Gateway
from ..process import run as run_command
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import iperf, iperf_server, must_ping

KINDS = {"ESP in UDP": is_udp_esp, "ESP": is_raw_esp, "IKE": is_ike, "ARP": is_neighbour_discovery}


def run(bed: Bed) -> None:
    for name, bring_up in (("strongSwan, in UDP", bed.up_with_strongswan),
                           ("another Bordergate, protocol 50", bed.up_with_bordergate)):
        bed.build()
        wan = bed.capture_wan()
        gateway = bring_up()[0]
        bed.step(f"ping and TCP with {name}")
        must_ping(bed.topology.idc_host, VPC_HOST, count=10)
        must_ping(bed.topology.vpc_host, IDC_HOST, count=10)
        with iperf_server(bed.topology.vpc_host, VPC_HOST, bed.directory / "iperf3.log"):
            iperf(bed.topology.idc_host, VPC_HOST, kilobytes=500)
        bed.step("export the keys")
        keys = gateway.export_esp_keys(bed.directory / "esp_sa")
        expect(len(read_exported_sas(keys)) == 2, "one tunnel has two SAs")
        gateway.check_accounting()
        wan.stop()
        bed.step(f"look at every frame on the WAN link with {name}")
        only_expected(wan)
        bed.step(f"decrypt with tshark what went over the link with {name}")
        decrypt(gateway, wan, keys)


def only_expected(wan: Capture) -> None:
    """No frame of any other kind."""
    kinds: Counter[str] = Counter()
    for packet in wan.packets():
        kind = next((name for name, test in KINDS.items() if test(packet)), None)
        expect(kind is not None, f"something else is on the wire: {packet.summary()}")
        kinds[kind or ""] += 1
    expect(kinds["ESP in UDP"] + kinds["ESP"] > 40 and kinds["IKE"] >= 4, f"too little was captured: {dict(kinds)}")


def decrypt(gateway: Gateway, wan: Capture, keys: Path) -> None:
    """tshark finds pings and TCP of the hosts inside, in both directions."""
    command = ["tshark", "-n", "-r", str(wan.path), "-o", "esp.enable_encryption_decode:TRUE",
               "-Y", "icmp or tcp", "-T", "fields", "-E", "separator= ",
               "-e", "ip.src", "-e", "ip.dst", "-e", "_ws.col.Protocol"]
    for line in keys.read_text().splitlines():
        if line and not line.startswith("#"):
            command += ["-o", f"uat:esp_sa:{line}"]
    # A home of its own: somebody's Wireshark preferences are not part of this.
    done = run_command(command, timeout=60, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(wan.path.parent)})
    found: Counter[tuple[str, str, str]] = Counter()
    for line in done.stdout.splitlines():
        # Two IP headers: the fields hold outer and inner, separated by a comma.
        sources, destinations, protocol = line.split()
        found[(sources.split(",")[-1], destinations.split(",")[-1], protocol)] += 1
    for source, destination in ((IDC_HOST, VPC_HOST), (VPC_HOST, IDC_HOST)):
        for protocol, least in (("ICMP", 20), ("TCP", 10)):
            expect(found[(source, destination, protocol)] >= least,
                   f"tshark decrypted only {found[(source, destination, protocol)]} {protocol} packets from {source} to "
                   f"{destination}; it found {dict(found)}")
