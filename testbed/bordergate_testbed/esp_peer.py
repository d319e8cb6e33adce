"""An ESP peer that shares no code with Bordergate: scapy's, fed with the keys Bordergate exports."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Packet, Raw

from .process import Failure


@dataclass(frozen=True)
class ExportedSa:
    """One line of Wireshark's `esp_sa` table: one direction of one child SA."""

    source: str
    destination: str
    spi: int
    encryption: str
    key: bytes
    """Key and salt, in this order."""


def read_exported_sas(path: Path) -> list[ExportedSa]:
    """Read what `bordergate status --esp-keys` wrote.

    Eight columns; from Wireshark 4.2 on two more may tell of extended sequence numbers.
    """
    sas = []
    with path.open(newline="") as file:
        for line in csv.reader(line for line in file if line.strip() and not line.startswith("#")):
            if len(line) not in (8, 10):
                raise Failure(f"{path.name}: Wireshark's esp_sa lines have 8 or 10 columns, this one has {len(line)}")
            protocol, source, destination, spi, encryption, key, authentication = line[:7]
            if protocol != "IPv4" or authentication != "NULL":
                raise Failure(f"{path.name}: expected IPv4 and NULL authentication beside AES-GCM: {line}")
            sas.append(ExportedSa(source, destination, int(spi, 16), encryption,
                                  bytes.fromhex(key.removeprefix("0x"))))
    return sas


class EspSa:
    """One direction of a tunnel's ESP, in scapy."""

    def __init__(self, exported: ExportedSa, *, esn: bool, encapsulated: bool,
                 ports: tuple[int, int] = (4500, 4500)) -> None:
        self.exported = exported
        self.encapsulated = encapsulated
        self.ports = ports
        self._sa = SecurityAssociation(
            ESP, spi=exported.spi, crypt_algo="AES-GCM", crypt_key=exported.key,
            tunnel_header=IP(src=exported.source, dst=exported.destination), esn_en=esn)

    def seal(self, inner: Packet, sequence: int, *, esn_high: int = 0, spi: int | None = None) -> IP:
        """An IP packet that carries `inner` sealed with this sequence number; `spi` makes it a forgery."""
        self._sa.spi = self.exported.spi if spi is None else spi
        # Set on the SA, since scapy takes an argument of 0 for none.
        self._sa.seq_num = sequence
        sealed = self._sa.encrypt(inner, esn=esn_high)
        self._sa.spi = self.exported.spi
        return self.carry(bytes(sealed[ESP]))

    def carry(self, esp: bytes) -> IP:
        """An IP packet around these ESP bytes, whatever they are.

        Scapy's own `nat_t_header` leaves a UDP length of 8, so UDP is put around the ESP packet here.
        """
        outer = IP(src=self.exported.source, dst=self.exported.destination)
        if self.encapsulated:
            # RFC 3948 §2.1: the checksum should be sent as zero.
            return IP(bytes(outer / UDP(sport=self.ports[0], dport=self.ports[1], chksum=0) / Raw(esp)))
        outer.proto = 50
        return IP(bytes(outer / Raw(esp)))

    def open(self, outer: IP, *, esn_high: int = 0) -> Packet:
        """The inner packet of a sealed one; `Failure` when the integrity check does not hold."""
        try:
            return self._sa.decrypt(IP(bytes(outer)), esn=esn_high)
        except IPSecIntegrityError as error:
            raise Failure(f"scapy cannot open SPI {self.exported.spi:#010x} sequence {outer[ESP].seq}: "
                          f"the integrity check fails") from error
