"""Malformed IKE and ESP, wrong SPIs, replays, tampered and truncated packets are dropped, each counted under its own
name; the tunnel stays UP and nothing of them reaches the VPC."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.packet import Packet, Raw

from ..capture import is_udp_esp
from ..esp_peer import EspSa, read_exported_sas
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping, ping

EACH = 5
# IKE's own counters; the workers have none of this name.
IKE_MALFORMED = ("malformed",)


@dataclass(frozen=True)
class Forgery:
    """One kind of bad packet, and the name under which it must be counted, or the names where several are right."""

    name: str
    packet: Callable[[int], Packet]
    counted_as: tuple[str, ...]


def ike(payload: bytes, *, source: str = CUSTOMER_WAN, port: int = 500) -> IP:
    """An IP packet to the gateway's IKE port."""
    marker = b"\0\0\0\0" if port == 4500 else b""
    return IP(bytes(IP(src=source, dst=BORDERGATE_WAN) / UDP(sport=port, dport=port) / Raw(marker + payload)))


def ike_header(*, responder: bytes = bytes(8), next_payload: int = 33, version: int = 0x20, exchange: int = 34,
               flags: int = 0x08, message: int = 0, length: int = 28) -> bytes:
    """RFC 7296 §3.1, with whatever one wants wrong."""
    return (os.urandom(8) + responder + bytes([next_payload, version, exchange, flags])
            + message.to_bytes(4, "big") + length.to_bytes(4, "big"))


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan()
    bed.step("let the customer send a packet to replay")
    wan = bed.capture_wan()
    must_ping(topology.idc_host, VPC_HOST)
    genuine = wan.wait_for("ESP from the customer", lambda packet:
                           is_udp_esp(packet) and packet[IP].src == CUSTOMER_WAN)[IP]
    wan.stop()
    sas = read_exported_sas(gateway.export_esp_keys(bed.directory / "esp_sa"))
    sa = EspSa(next(sa for sa in sas if sa.destination == BORDERGATE_WAN), esn=False, encapsulated=True)
    inner = IP(src=IDC_HOST, dst=VPC_HOST) / UDP(sport=9, dport=9) / Raw(b"forged")
    spi = sa.exported.spi

    def tampered(number: int) -> IP:
        sealed = bytearray(bytes(sa.seal(inner, 500 + number)))
        sealed[-20] ^= 0x01
        return sa.carry(bytes(sealed)[28:])

    def esp(length: int) -> Callable[[int], Packet]:
        return lambda number: sa.carry(bytes(sa.seal(inner, 600 + number))[28:28 + length])

    def authentic(**fields: object) -> Callable[[int], Packet]:
        wrong = IP(**{"src": IDC_HOST, "dst": VPC_HOST, **fields}) / UDP(sport=9, dport=9) / Raw(b"authentic")
        return lambda number: sa.seal(wrong, next(sequence))

    sequence = itertools.count(800)
    forgeries = (
        Forgery("ESP replayed", lambda _: IP(bytes(genuine)), ("replayed",)),
        Forgery("ESP tampered with", tampered, ("not_authentic",)),
        Forgery("ESP for an SPI nobody has", lambda n: sa.seal(inner, 700 + n, spi=spi ^ 0x5), ("unknown_spi",)),
        Forgery("ESP for the right slot with a wrong tag", lambda n: sa.seal(inner, 710 + n, spi=spi ^ 0x8000_0000),
                ("unknown_spi",)),
        Forgery("ESP for a reserved SPI", lambda n: sa.seal(inner, 720 + n, spi=1 + n), ("unknown_spi",)),
        # RFC 4303 §3.3.3: the first packet has number 1.
        Forgery("ESP sequence number zero", lambda _: sa.seal(inner, 0), ("impossible_sequence",)),
        Forgery("ESP cut after its header", esp(8), ("malformed_esp",)),
        Forgery("ESP cut within its IV", esp(12), ("malformed_esp",)),
        Forgery("ESP cut within its tag", esp(28), ("malformed_esp",)),
        Forgery("ESP cut to an odd length", esp(41), ("malformed_esp",)),
        Forgery("ESP of less than an SPI", lambda _: sa.carry(b"\x12\x34\x56"), ("malformed_esp",)),
        Forgery("authentic ESP with IP version 5 inside", authentic(version=5), ("malformed_inner",)),
        Forgery("authentic ESP for a destination nobody has", authentic(dst="172.16.0.1"),
                ("no_route", "outside_selectors")),
        Forgery("authentic ESP for the data centre it comes from", authentic(dst="10.2.0.9"),
                ("transit", "outside_selectors")),
        # RFC 4301 §5.2: what comes out of an SA must match the selectors it was negotiated for.
        Forgery("authentic ESP from an address the peer may not use", authentic(src="10.77.0.1"),
                ("outside_selectors",)),
        Forgery("UDP that names more than there is", lambda _: long_udp(), ("malformed_udp",)),
        Forgery("IKE of random bytes", lambda n: ike(os.urandom(40 + n)), IKE_MALFORMED + ("unsupported_version",)),
        Forgery("IKE cut within its header", lambda n: ike(ike_header()[:20 + n]), IKE_MALFORMED),
        Forgery("IKE with a length beyond its end", lambda _: ike(ike_header(length=4000)), IKE_MALFORMED),
        Forgery("IKE with a length below its header", lambda _: ike(ike_header(length=3)), IKE_MALFORMED),
        Forgery("IKE version 3", lambda _: ike(ike_header(version=0x30)), ("unsupported_version",)),
        Forgery("IKE_SA_INIT with a payload that points beyond the end",
                lambda _: ike(ike_header(length=32) + b"\x00\x00\xff\xff"), IKE_MALFORMED),
        Forgery("IKE_AUTH for an SA nobody has",
                lambda _: ike(ike_header(responder=os.urandom(8), exchange=35, message=1), port=4500), ("unknown_spi",)),
        Forgery("IKE from somebody who is no peer",
                lambda _: ike(ike_header(), source="203.0.113.254"), ("unknown_peer",)),
        Forgery("an empty datagram on 4500", lambda _: sa.carry(b""), ("malformed_esp",)),
        Forgery("an empty datagram on 500", lambda _: ike(b""), IKE_MALFORMED),
    )

    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)
    with bed.inject_from_internet() as internet:
        for forgery in forgeries:
            bed.step(forgery.name)
            before = gateway.counted()
            for number in range(EACH):
                internet.send(forgery.packet(number))
            gateway.wait_counted(f"{EACH} times {forgery.name}", forgery.counted_as, before, EACH)
            expect(gateway.tunnel()["state"] == "UP", f"{forgery.name}: the tunnel is {gateway.tunnel()}")

    bed.step("see that nothing of it reached the VPC and that traffic still flows")
    vpc.stop()
    leaked = [packet for packet in vpc.packets() if packet.haslayer(IP)]
    expect(not leaked, f"delivered to the VPC: {[packet.summary() for packet in leaked[:5]]}")
    result = ping(topology.idc_host, VPC_HOST, count=20)
    expect(result.received == result.sent, f"{result.received} of {result.sent} pings came back")
    expect(gateway.tunnel()["state"] == "UP", "the tunnel is not UP")
    expect("panicked" not in gateway.daemon.output(), "something panicked")


def long_udp() -> IP:
    """A datagram whose length field is larger than the packet."""
    return IP(bytes(IP(src=CUSTOMER_WAN, dst=BORDERGATE_WAN) / UDP(sport=4500, dport=4500, len=900, chksum=0)
                    / Raw(bytes(64))))
