"""Makes whole ESP packets with scapy and python3-cryptography, for src/tests.rs: what we must seal to the byte, and open.

It prints the packets with an outer header, and writes one packet of every suite, ESP alone, to tests/packets.txt.

Run it with a Python that has both: /usr/bin/python3 dataplane/esp/tests/make_vectors.py
"""

import hmac
import pathlib
import struct
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.all import ESP, IP, UDP, IPv6, Raw, SecurityAssociation, raw

KEY, SALT, SPI, SEQUENCE = bytes(range(32)), bytes.fromhex("a0a1a2a3"), 0x1234_5678, 0x1_0000_0002
LOW, HIGH = SEQUENCE & 0xFFFF_FFFF, SEQUENCE >> 32
INNER4 = IP(src="10.1.0.2", dst="10.2.0.2", id=7, tos=0xB8) / UDP(sport=1, dport=2) / Raw(b"bordergate")
INNER6 = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", tc=0xB8) / UDP(sport=1, dport=2) / Raw(b"bordergate!")
# Our name of the integrity transform, scapy's, the standard library's, and the key's and the tag's lengths.
INTEGRITY = [
    ("sha1-96", "HMAC-SHA1-96", "sha1", 20, 12),
    ("sha256-128", "SHA2-256-128", "sha256", 32, 16),
    ("sha384-192", "SHA2-384-192", "sha384", 48, 24),
    ("sha512-256", "SHA2-512-256", "sha512", 64, 32),
]
# RFC 3602 §4, cases 7 and 8: tunnel mode, without an integrity check value; and how long the IP packet in them is.
RFC3602_KEY = bytes.fromhex("0123456789abcdef0123456789abcdef")
RFC3602 = [
    (
        "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf"
        "70f8e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1"
        "e4dfe9d5a100b842f1c22f0d",
        84,
    ),
    (
        "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc6120"
        "3bb50f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892",
        68,
    ),
]


def esp(key: bytes, inner: bytes, next_header: int, extended: bool) -> bytes:
    """One ESP packet, RFC 4303 and RFC 4106, written from the RFCs alone."""
    padding = -(len(inner) + 2) % 4
    text = inner + bytes(range(1, padding + 1)) + bytes([padding, next_header])
    iv = struct.pack(">Q", SEQUENCE)
    data = struct.pack(">III", SPI, HIGH, LOW) if extended else struct.pack(">II", SPI, LOW)
    return struct.pack(">II", SPI, LOW) + iv + AESGCM(key).encrypt(SALT + iv, text, data)


def inner_packet(number: int) -> bytes:
    """IPv4 and IPv6 by turns, and every amount of padding."""
    if number % 2 == 0:
        return raw(IP(src="10.1.0.2", dst="10.2.0.2", id=number) / UDP(sport=1, dport=2) / Raw(bytes(number)))
    return raw(IPv6(src="2001:db8:1::2", dst="2001:db8:2::2") / UDP(sport=1, dport=2) / Raw(bytes(number)))


def by_scapy(inner: bytes, extended: bool, iv: bytes, **transform: object) -> bytes:
    """One ESP packet in tunnel mode, all of it scapy's work."""
    tunnel = IP(src="203.0.113.1", dst="198.51.100.2")
    association = SecurityAssociation(ESP, spi=SPI, tunnel_header=tunnel, esn_en=extended, esn=HIGH, **transform)
    kind = IP if inner[0] >> 4 == 4 else IPv6
    return raw(association.encrypt(kind(inner), seq_num=LOW, iv=iv)[ESP])


def with_aead(algorithm: str, key: bytes, inner: bytes, extended: bool) -> bytes:
    iv = struct.pack(">Q", SEQUENCE if extended else LOW)
    return by_scapy(inner, extended, iv, crypt_algo=algorithm, crypt_key=key + SALT)


def with_hmac(key: bytes, inner: bytes, extended: bool, integrity: tuple[str, str, str, int, int]) -> bytes:
    """CBC under an initialisation vector as ours: the sequence number, enciphered under the key."""
    _, algorithm, digest, _, tag = integrity
    cipher_key, integrity_key = key[: -integrity[3]], key[-integrity[3] :]
    encryptor = Cipher(algorithms.AES(cipher_key), modes.ECB()).encryptor()
    iv = encryptor.update(struct.pack(">QQ", 0, SEQUENCE if extended else LOW))
    packet = by_scapy(
        inner, False, iv, crypt_algo="AES-CBC", crypt_key=cipher_key, auth_algo=algorithm, auth_key=integrity_key
    )
    if not extended:
        return packet
    # RFC 4303 §2.2.1: the upper half is hashed behind the packet, which scapy does for AH alone.
    packet = packet[:-tag]
    return packet + hmac.digest(integrity_key, packet + struct.pack(">I", HIGH), digest)[:tag]


def show(name: str, packet: bytes) -> None:
    print(f'const {name}: &str = "{packet.hex()}";')


def line(suite: str, key: bytes, number: str, inner: bytes, packet: bytes) -> str:
    return f"{suite} {key.hex()} {number} {inner.hex()} {packet.hex()}"


def packets() -> list[str]:
    """One packet of every suite, with and without an extended number, as lines."""
    lines = []

    def add(suite: str, key: bytes, seal: Callable[[bytes, bytes, bool], bytes]) -> None:
        for extended in [False, True]:
            inner = inner_packet(len(lines))
            lines.append(line(suite, key, "extended" if extended else "short", inner, seal(key, inner, extended)))

    for length in [16, 24, 32]:
        add(f"aes-{8 * length}-gcm", bytes(range(length)), lambda *packet: with_aead("AES-GCM", *packet))
    add("chacha20-poly1305", bytes(range(32)), lambda *packet: with_aead("CHACHA20-POLY1305", *packet))
    for length in [16, 24, 32]:
        for integrity in INTEGRITY:
            key = bytes(range(length + integrity[3]))
            add(f"aes-{8 * length}-cbc+{integrity[0]}", key, lambda *packet: with_hmac(*packet, integrity))
    return lines


def packets_of_rfc3602() -> list[str]:
    """Its packets in tunnel mode, with the integrity check values that they lack."""
    lines = []
    for text, length_of_inner in RFC3602:
        packet = bytes.fromhex(text)
        decryptor = Cipher(algorithms.AES(RFC3602_KEY), modes.CBC(packet[8:24])).decryptor()
        inner = decryptor.update(packet[24:])[:length_of_inner]
        for name, _, digest, length, tag in INTEGRITY:
            key = bytes(range(length))
            whole = packet + hmac.digest(key, packet, digest)[:tag]
            lines.append(line(f"aes-128-cbc+{name}", RFC3602_KEY + key, "short", inner, whole))
    return lines


show("INNER_V4", bytes(INNER4))
show("INNER_V6", bytes(INNER6))
outer4 = IP(src="203.0.113.1", dst="198.51.100.2", id=0, flags="DF", ttl=64, tos=0xB8)
show("RAW_V4", bytes(IP(**outer4.fields, proto=50) / Raw(esp(KEY[:16], bytes(INNER4), 4, True))))
datagram = esp(KEY, bytes(INNER6), 41, True)
udp = struct.pack(">HHHH", 4500, 33333, 8 + len(datagram), 0)
show("UDP_V4", bytes(IP(**outer4.fields, proto=17) / Raw(udp + datagram)))
outer6 = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=64, tc=0xB8, nh=50)
show("RAW_V6", bytes(outer6 / Raw(esp(KEY[:24], bytes(INNER6), 41, True))))

lines = ["# Written by make_vectors.py: suite, key, number, what is carried, ESP packet. Salt and number are those in there."]
lines += packets()
lines.append("# RFC 3602 section 4, cases 7 and 8, with the integrity check values that they lack.")
lines += packets_of_rfc3602()
pathlib.Path(__file__).with_name("packets.txt").write_text("\n".join(lines) + "\n")
