"""Prints whole ESP packets made by scapy and python3-cryptography, for src/tests.rs: what we must seal to the byte.

Run it with a Python that has both: /usr/bin/python3 dataplane/esp/tests/make_vectors.py
"""

import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.all import IP, UDP, IPv6, Raw

KEY, SALT, SPI, SEQUENCE = bytes(range(32)), bytes.fromhex("a0a1a2a3"), 0x1234_5678, 0x1_0000_0002
INNER4 = IP(src="10.1.0.2", dst="10.2.0.2", id=7, tos=0xB8) / UDP(sport=1, dport=2) / Raw(b"bordergate")
INNER6 = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", tc=0xB8) / UDP(sport=1, dport=2) / Raw(b"bordergate!")


def esp(key: bytes, inner: bytes, next_header: int, extended: bool) -> bytes:
    """One ESP packet, RFC 4303 and RFC 4106, written from the RFCs alone."""
    padding = -(len(inner) + 2) % 4
    text = inner + bytes(range(1, padding + 1)) + bytes([padding, next_header])
    iv = struct.pack(">Q", SEQUENCE)
    low, high = SEQUENCE & 0xFFFF_FFFF, SEQUENCE >> 32
    data = struct.pack(">III", SPI, high, low) if extended else struct.pack(">II", SPI, low)
    return struct.pack(">II", SPI, low) + iv + AESGCM(key).encrypt(SALT + iv, text, data)


def show(name: str, packet: bytes) -> None:
    print(f'const {name}: &str = "{packet.hex()}";')


show("INNER_V4", bytes(INNER4))
show("INNER_V6", bytes(INNER6))
outer4 = IP(src="203.0.113.1", dst="198.51.100.2", id=0, flags="DF", ttl=64, tos=0xB8)
show("RAW_V4", bytes(IP(**outer4.fields, proto=50) / Raw(esp(KEY[:16], bytes(INNER4), 4, True))))
datagram = esp(KEY, bytes(INNER6), 41, True)
udp = struct.pack(">HHHH", 4500, 33333, 8 + len(datagram), 0)
show("UDP_V4", bytes(IP(**outer4.fields, proto=17) / Raw(udp + datagram)))
outer6 = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=64, tc=0xB8, nh=50)
show("RAW_V6", bytes(outer6 / Raw(esp(KEY[:24], bytes(INNER6), 41, True))))
