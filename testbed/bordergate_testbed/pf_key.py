"""Plays a kernel's IPsec for OpenIKED, run by its path in a namespace: PF_KEY on one side, ESP and a TUN device on the other.

`pf_key.py SOCKET TUN`. PF_KEY (RFC 2367) comes over a Unix socket, see `af_key.c`. SIGUSR1 says that the soft lifetime of
all SAs is over, upon which a key exchange daemon rekeys them. It is a peer for tests: there is no replay window.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import select
import signal
import socket
import struct
import sys
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_GETSPI, _UPDATE, _ADD, _DELETE, _GET, _EXPIRE, _FLUSH = 1, 2, 3, 4, 5, 8, 9
_SPDUPDATE, _SPDADD, _SPDDELETE, _SPDFLUSH = 13, 14, 15, 19
_EXT_SA, _EXT_SOFT, _EXT_SOURCE, _EXT_DESTINATION, _EXT_AUTH_KEY, _EXT_ENCRYPTION_KEY, _EXT_POLICY = 1, 4, 5, 6, 8, 9, 18
_OUTBOUND = 2
_ESP_SATYPE = 3
_AES_CBC = 12
# By PF_KEY's number, the hash and the length of its tag (RFC 2404, RFC 4868).
_HASHES = {3: (hashes.SHA1, 12), 6: (hashes.SHA384, 24), 7: (hashes.SHA512, 32)}
_MESSAGE = struct.Struct("=BBBBHHII")
_SA = struct.Struct("=HHIBBBBI")
_SA_SPI = struct.Struct("!I")

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_IPIP = 4


@dataclass
class Sa:
    """One direction of a child SA."""

    spi: int
    destination: str
    encryption_key: bytes
    hash: type[hashes.HashAlgorithm]
    tag: int
    auth_key: bytes
    sequence: int = 0

    def seal(self, packet: bytes) -> bytes:
        """The packet as ESP in tunnel mode (RFC 4303, RFC 3602)."""
        self.sequence += 1
        padding = -(len(packet) + 2) % 16
        text = packet + bytes(range(1, padding + 1)) + bytes((padding, _IPIP))
        vector = os.urandom(16)
        encryptor = Cipher(algorithms.AES(self.encryption_key), modes.CBC(vector)).encryptor()
        body = struct.pack("!II", self.spi, self.sequence) + vector + encryptor.update(text) + encryptor.finalize()
        return body + self._tag(body)

    def open(self, esp: bytes) -> bytes | None:
        """The packet inside, unless it is forged or damaged."""
        body, tag = esp[:-self.tag], esp[-self.tag:]
        if len(body) < 40 or len(body) % 16 != 8 or self._tag(body) != tag:
            return None
        decryptor = Cipher(algorithms.AES(self.encryption_key), modes.CBC(body[8:24])).decryptor()
        text = decryptor.update(body[24:]) + decryptor.finalize()
        return text[:-2 - text[-2]] if text[-1] == _IPIP else None

    def _tag(self, body: bytes) -> bytes:
        code = hmac.HMAC(self.auth_key, self.hash())
        code.update(body)
        return code.finalize()[:self.tag]


class Host:
    """SAs, flows, and the sockets they are used over."""

    def __init__(self, path: str, tun: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(path)
        os.chmod(path, 0o666)
        self._listening.listen()
        self._daemon: socket.socket | None = None
        self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tun, _TUNSETIFF, struct.pack("16sH22x", tun.encode(), _IFF_TUN_NO_PI))
        self._esp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ESP)
        self._esp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._esp.setblocking(False)
        self._inbound: dict[int, Sa] = {}
        self._outbound: dict[int, Sa] = {}
        self._reserved: set[int] = set()
        self._flows: list[tuple[ipaddress.IPv4Network, ipaddress.IPv4Network]] = []
        self._soft_limit, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake.fileno())

    def serve(self) -> None:
        """Until killed."""
        tell("ready")
        while True:
            sources = [self._listening, self._tun, self._esp, self._soft_limit]
            ready, _, _ = select.select(sources + ([self._daemon] if self._daemon else []), [], [])
            if self._daemon in ready:
                self._answer()
            if self._listening in ready:
                self._daemon, _ = self._listening.accept()
            if self._soft_limit in ready:
                self._soft_limit.recv(64)
                self._expire()
            if self._tun in ready:
                self._send()
            if self._esp in ready:
                self._receive()

    def _send(self) -> None:
        for _ in range(64):
            try:
                packet = os.read(self._tun, 65535)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            source, destination = ipaddress.IPv4Address(packet[12:16]), ipaddress.IPv4Address(packet[16:20])
            # Several may be there while they are replaced: the newest is used.
            sa = next(reversed(self._outbound.values()), None)
            if sa is None or not any(source in mine and destination in its for mine, its in self._flows):
                tell(f"no SA for {source} to {destination}")
                continue
            self._esp.sendto(sa.seal(packet), (sa.destination, 0))

    def _receive(self) -> None:
        for _ in range(64):
            try:
                packet = self._esp.recv(65535)
            except BlockingIOError:
                return
            esp = packet[(packet[0] & 15) * 4:]
            spi, = _SA_SPI.unpack_from(esp)
            sa = self._inbound.get(spi)
            inner = sa.open(esp) if sa else None
            if inner is None:
                tell(f"dropped a packet of SPI {spi:08x}: " + ("it is not whole" if sa else "no such SA"))
                continue
            os.write(self._tun, inner)

    def _answer(self) -> None:
        message = self._daemon.recv(65535) if self._daemon else b""
        if not message:
            tell("OpenIKED has closed its socket")
            self._daemon = None
            return
        version, kind, _, satype, _, _, sequence, pid = _MESSAGE.unpack_from(message)
        extensions = dict(_extensions(message[_MESSAGE.size:]))
        error, answer = self._do(kind, extensions)
        length = (_MESSAGE.size + len(answer)) // 8
        self._to_daemon(_MESSAGE.pack(version, kind, error, satype, length, 0, sequence, pid) + answer)

    def _do(self, kind: int, extensions: dict[int, bytes]) -> tuple[int, bytes]:
        """Error number and extensions of the answer."""
        if kind == _GETSPI:
            spi = int.from_bytes(os.urandom(4)) | 0x1000
            self._reserved.add(spi)
            return 0, _SA.pack(2, _EXT_SA, socket.htonl(spi), 0, 0, 0, 0, 0)
        if kind in (_SPDUPDATE, _SPDADD, _SPDDELETE):
            return self._flow(kind, extensions), b""
        if kind in (_FLUSH, _SPDFLUSH):
            for all_of_them in (self._inbound, self._outbound) if kind == _FLUSH else (self._flows,):
                all_of_them.clear()
            return 0, b""
        if kind not in (_ADD, _UPDATE, _DELETE, _GET):
            return 0, b""
        _, _, spi, _, _, auth, encryption, _ = _SA.unpack_from(extensions[_EXT_SA])
        spi = socket.ntohl(spi)
        destination = _address(extensions[_EXT_DESTINATION])
        # Which way it goes follows from whose SPI it is, as only ours are given out here.
        table = self._inbound if spi in self._reserved else self._outbound
        if kind == _DELETE:
            tell(f"delete {'in' if table is self._inbound else 'out'} {spi:08x}")
            return (0 if table.pop(spi, None) else errno.ESRCH), b""
        if kind == _GET:
            return (0 if spi in table else errno.ESRCH), extensions[_EXT_SA]
        if encryption != _AES_CBC or auth not in _HASHES:
            tell(f"cannot do encryption {encryption} with integrity {auth}")
            return errno.EOPNOTSUPP, b""
        table[spi] = Sa(spi, destination, _key(extensions[_EXT_ENCRYPTION_KEY]), *_HASHES[auth],
                        _key(extensions[_EXT_AUTH_KEY]))
        tell(f"add {'in' if table is self._inbound else 'out'} {spi:08x} to {destination}")
        return 0, b""

    def _flow(self, kind: int, extensions: dict[int, bytes]) -> int:
        if extensions[_EXT_POLICY][6] != _OUTBOUND:
            return 0
        flow = tuple(ipaddress.IPv4Network((_address(extensions[end]), extensions[end][5]))
                     for end in (_EXT_SOURCE, _EXT_DESTINATION))
        tell(f"{'delete' if kind == _SPDDELETE else 'add'} flow {flow[0]} to {flow[1]}")
        # One that is there already is replaced.
        if flow in self._flows:
            self._flows.remove(flow)
        if kind != _SPDDELETE:
            self._flows.append(flow)
        return 0

    def _expire(self) -> None:
        for spi in list(self._inbound)[-1:]:
            tell(f"soft limit of {spi:08x}")
            sa = _SA.pack(2, _EXT_SA, socket.htonl(spi), 0, 0, 0, 0, 0)
            soft = struct.pack("=HHIQQQ", 4, _EXT_SOFT, 0, 0, 0, 0)
            self._to_daemon(_MESSAGE.pack(2, _EXPIRE, 0, _ESP_SATYPE, (_MESSAGE.size + len(sa + soft)) // 8, 0, 0, 0)
                            + sa + soft)

    def _to_daemon(self, message: bytes) -> None:
        if self._daemon is not None:
            self._daemon.send(message)


def _extensions(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length == 0:
            break
        found.append((kind, data[:length * 8]))
        data = data[length * 8:]
    return found


def _address(extension: bytes) -> str:
    # After eight octets of the extension's own a sockaddr_in, whose address stands behind family and port.
    return str(ipaddress.IPv4Address(extension[12:16]))


def _key(extension: bytes) -> bytes:
    bits, = struct.unpack_from("=H", extension, 4)
    return extension[8:8 + bits // 8]


def tell(text: str) -> None:
    """A line of the log."""
    print(text, flush=True)


if __name__ == "__main__":
    Host(*sys.argv[1:]).serve()
