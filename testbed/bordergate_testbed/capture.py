"""What goes over a link, and frames put onto one by hand."""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from .namespace import Namespace
from .process import Failure, wait_for

_ETH_P_ALL = 0x0003
_SO_RCVBUFFORCE = 33
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_IGNORE_OUTGOING = 23
_PACKET_AUXDATA = 8
_ARPHRD_ETHER = 1
_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101
# struct tpacket_auxdata, and the bit of its status that says there is a tag.
_AUXDATA = struct.Struct("=IIIHHHH")
_VLAN_VALID = 0x10


class Capture:
    """Every frame of one interface, both ways, from construction until `stop`; kept in a pcap file and in memory.

    A packet socket of our own rather than a capture program: it captures from the moment the constructor returns, so
    no scenario has to guess whether the capture has begun. Frames that an AF_XDP socket transmits pass no tap on the
    sending side, so links are watched from the end that is not the gateway's.
    """

    def __init__(self, namespace: Namespace, interface: str, path: Path, *, incoming_only: bool = False,
                 may_lose: bool = False) -> None:
        """`may_lose`: for traffic at full speed, of which enough frames are wanted and not every one."""
        self.path = path
        self._may_lose = may_lose
        self.frames: list[bytes] = []
        with namespace.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 256 << 20)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            if incoming_only:
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            self._socket.bind((interface, 0))
            self._ethernet = self._socket.getsockname()[3] == _ARPHRD_ETHER
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the capture once what has arrived so far is taken in, and check that nothing was lost."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        # struct tpacket_stats: packets and drops since the last look.
        _, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._socket.close()
        if lost and not self._may_lose:
            raise Failure(f"the capture {self.path.name} lost {lost} frames, so it proves nothing")

    def packets(self, begin: int = 0) -> list[Packet]:
        """The frames so far, from number `begin` on, dissected: this takes most of a millisecond for each."""
        return [self._dissected(frame) for frame in self.frames[begin:]]

    def wait_for(self, what: str, wanted: Callable[[Packet], bool], timeout: float = 5) -> Packet:
        """The first frame, from now or before, that is wanted."""
        seen = 0

        def look() -> Packet | None:
            nonlocal seen
            while seen < len(self.frames):
                packet = self._dissected(self.frames[seen])
                seen += 1
                if wanted(packet):
                    return packet
            return None

        return wait_for(f"{what} on the wire", look, timeout)

    def _dissected(self, frame: bytes) -> Packet:
        # A TUN device has no link headers.
        return Ether(frame) if self._ethernet else IPv6(frame) if frame[0] >> 4 == 6 else IP(frame)

    def _receive(self) -> bytes:
        """The next frame, with the VLAN tag that the kernel takes off and tells beside it."""
        frame, beside, _, _ = self._socket.recvmsg(65535, socket.CMSG_SPACE(_AUXDATA.size))
        for level, kind, data in beside:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, *_, tag, protocol = _AUXDATA.unpack(data[:_AUXDATA.size])
                if status & _VLAN_VALID:
                    return frame[:12] + struct.pack("!HH", protocol, tag) + frame[12:]
        return frame

    def _collect(self) -> None:
        with self.path.open("wb") as file:
            # pcap, microseconds.
            link = _LINKTYPE_ETHERNET if self._ethernet else _LINKTYPE_RAW
            file.write(struct.pack("IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link))
            while True:
                ready, _, _ = select.select([self._socket], [], [], 0.05)
                if not ready:
                    if self._stop.is_set():
                        return
                    continue
                frame = self._receive()
                now = time.time()
                file.write(struct.pack("IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)
                self.frames.append(frame)


class Injector:
    """Puts frames onto a link as the interface's owner would."""

    def __init__(self, namespace: Namespace, interface: str, peer: Namespace, peer_interface: str) -> None:
        with namespace.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._socket.bind((interface, 0))
        self.source = mac_address(namespace, interface)
        self.destination = mac_address(peer, peer_interface)

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packet: Packet | bytes, *, vlan: bytes = b"") -> None:
        """Send an IP packet to the other end; `vlan` goes between the addresses and the EtherType."""
        addresses = bytes.fromhex(self.destination.replace(":", "") + self.source.replace(":", ""))
        data = bytes(packet)
        self._socket.send(addresses + vlan + (b"\x86\xdd" if data[0] >> 4 == 6 else b"\x08\x00") + data)

    def send_frame(self, frame: bytes) -> None:
        """Send a whole frame as it is."""
        self._socket.send(frame)


def mac_address(namespace: Namespace, interface: str) -> str:
    """An interface's address."""
    return json.loads(namespace.ip("-j", "link", "show", "dev", interface))[0]["address"]


def is_udp_esp(packet: Packet) -> bool:
    """ESP in UDP (RFC 3948): port 4500, and no non-ESP marker."""
    if not packet.haslayer(UDP) or 4500 not in (packet[UDP].sport, packet[UDP].dport):
        return False
    payload = bytes(packet[UDP].payload)
    return len(payload) > 8 and payload[:4] != b"\0\0\0\0"


def is_raw_esp(packet: Packet) -> bool:
    """ESP as protocol 50."""
    return packet.haslayer(IP) and packet[IP].proto == 50 or packet.haslayer(IPv6) and packet[IPv6].nh == 50


def is_ike(packet: Packet) -> bool:
    """IKE on 500 or, behind a non-ESP marker, on 4500; a NAT keepalive (RFC 3948 §2.3) counts as IKE's."""
    if not packet.haslayer(UDP):
        return False
    udp = packet[UDP]
    payload = bytes(udp.payload)
    if 500 in (udp.sport, udp.dport):
        return True
    return 4500 in (udp.sport, udp.dport) and (payload[:4] == b"\0\0\0\0" or payload[:1] == b"\xff")


def is_neighbour_discovery(packet: Packet) -> bool:
    """ARP; IPv6 is off in the testbed."""
    return packet.haslayer(ARP)


def spi_of(packet: Packet) -> int:
    """The SPI of an ESP packet, raw or in UDP."""
    return packet[ESP].spi
