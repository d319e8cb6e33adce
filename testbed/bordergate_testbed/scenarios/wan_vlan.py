"""The gateway's WAN is a VLAN of its interface: IKE and ESP bear the tag both ways, strongSwan without one is reached, and
nothing leaves untagged. In native and in generic mode."""

from __future__ import annotations

from collections import Counter

from scapy.layers.l2 import ARP, Dot1Q, Ether

from ..capture import Capture, is_ike, is_udp_esp, mac_address
from ..gateway import Site
from ..namespace import Namespace
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..tagging import has_vlan_devices, put_into_vlan
from ..topology import BORDERGATE_WAN, IDC_HOST, INTERNET_AT_BORDERGATE, VPC_HOST
from ..traffic import iperf_both_ways, must_ping

VLAN = 100


def run(bed: Bed) -> None:
    for mode in ("native", "generic"):
        topology = bed.build()
        bed.step("put the WAN link into a VLAN")
        put_into_vlan(topology.internet, "bordergate0", VLAN, bed.directory)
        arguments = (*into_vlan(bed, topology.bordergate), "--xdp-mode", mode)
        wan = bed.capture(f"wan-{mode}", topology.internet, "bordergate0")
        bed.step(f"start strongSwan behind the VLAN, and Bordergate in it, {mode}")
        bed.strongswan().start(Connection())
        gateway = bed.gateway().start(Site(), arguments=arguments)
        gateway.wait_up()
        attached = [interface["name"] for interface in gateway.status()["interfaces"] if interface["side"] == "wan"]
        expect(attached == ["wan0"], f"XDP is attached to {attached}")

        bed.step(f"ping and iperf3 both ways, {mode}")
        # The longest that the hosts send included: the tag does not count towards the MTU.
        for size in (0, 56, 1372):
            must_ping(topology.vpc_host, IDC_HOST, size=size)
            must_ping(topology.idc_host, VPC_HOST, size=size)
        iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
        gateway.check_accounting()
        wan.stop()
        bed.step(f"look at every frame on the WAN link, {mode}")
        only_tagged(wan, mac_address(topology.bordergate, "wan0"))


def into_vlan(bed: Bed, gateway: Namespace) -> tuple[str, ...]:
    """Put the gateway's kernel into the VLAN; what Bordergate is to be told of it.

    By a VLAN device, of which it needs not be told, or, of a kernel without them, by traffic control.
    """
    if not has_vlan_devices(gateway, "wan0", VLAN):
        put_into_vlan(gateway, "wan0", VLAN, bed.directory)
        return ("--wan-vlan", str(VLAN))
    device = f"wan0.{VLAN}"
    gateway.run("ethtool", "-K", "wan0", "rxvlan", "off", check=False)
    gateway.ip("addr", "del", f"{BORDERGATE_WAN}/24", "dev", "wan0")
    gateway.ip("addr", "add", f"{BORDERGATE_WAN}/24", "dev", device)
    gateway.ip("link", "set", device, "up")
    gateway.ip("route", "add", "default", "via", INTERNET_AT_BORDERGATE, "dev", device)
    return ()


def only_tagged(wan: Capture, gateway: str) -> None:
    """Each frame bears the VLAN's tag and no other, and there are some of each kind, each way."""
    kinds: Counter[tuple[str, bool]] = Counter()
    for packet in wan.packets():
        expect(packet.haslayer(Dot1Q) is not None and packet[Dot1Q].vlan == VLAN and packet[Ether].type == 0x8100
               and not packet[Dot1Q].payload.haslayer(Dot1Q), f"this bears not the tag: {packet.summary()}")
        kind = next((name for name, test in (("IKE", is_ike), ("ESP", is_udp_esp), ("ARP", lambda p: p.haslayer(ARP)))
                     if test(packet)), packet.summary())
        kinds[kind, packet[Ether].src == gateway] += 1
    for kind, least in (("IKE", 2), ("ESP", 50), ("ARP", 1)):
        for outgoing in (True, False):
            expect(kinds[kind, outgoing] >= least, f"{least} of {kind} were expected each way: {dict(kinds)}")
    expect(len(kinds) == 6, f"something else is on the wire: {dict(kinds)}")
