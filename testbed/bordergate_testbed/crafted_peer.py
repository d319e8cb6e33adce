"""An IKEv2 responder made by hand, to answer as no real implementation would.

It knows one suite (X25519, AES-GCM-16 with 128 bits, HMAC-SHA256) and pre-shared keys, does no NAT traversal, and has no
ESP. What it answers is given as `Script`.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .namespace import Namespace
from .topology import CUSTOMER_WAN

IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL = 34, 35, 36, 37
SA, KE, ID_R, CERT, AUTH, NONCE, NOTIFY, TS_I, TS_R, ENCRYPTED = 33, 34, 36, 37, 39, 40, 41, 44, 45, 46
_HEADER = struct.Struct("!8s8sBBBBII")
_RESPONSE = 0x20
_CRITICAL = 0x80


@dataclass(frozen=True)
class Payload:
    """One payload: its type and what stands behind its header."""

    kind: int
    body: bytes
    critical: bool = False


def notify(kind: int, data: bytes = b"") -> Payload:
    """A notification without an SPI (RFC 7296 §3.10)."""
    return Payload(NOTIFY, struct.pack("!BBH", 0, 0, kind) + data)


Answer = Callable[[list[Payload]], list[Payload] | bytes]
"""Makes what is sent from what a correct answer would be: other payloads, or octets in their place."""


@dataclass(frozen=True)
class Script:
    """How the answers differ from correct ones, by exchange; what is not here is answered correctly."""

    init: Answer | None = None
    auth: Answer | None = None
    create_child: Answer = field(default=lambda _: [notify(35)])
    """NO_ADDITIONAL_SAS, unless told otherwise."""


class CraftedPeer:
    """Answers on port 500 in a namespace while the context lasts."""

    def __init__(self, namespace: Namespace, script: Script, *, address: str = CUSTOMER_WAN,
                 psk: str = "correct_horse_battery") -> None:
        self._script = script
        self._address = address
        self._psk = psk.encode()
        self._stop = threading.Event()
        self._answered: dict[bytes, bytes] = {}
        self._sas: dict[bytes, _IkeSa] = {}
        self.seen: list[int] = []
        """The exchange types of the requests that came, without repetitions."""
        with namespace.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((address, 500))
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> CraftedPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                request, sender = self._socket.recvfrom(65535)
                if len(request) < _HEADER.size or _HEADER.unpack_from(request)[5] & _RESPONSE:
                    continue
                # RFC 7296 §2.1: a repeated request gets the same answer again.
                if request not in self._answered:
                    self._answered[request] = self._answer(request)
                self._socket.sendto(self._answered[request], sender)

    def _answer(self, request: bytes) -> bytes:
        initiator, _, _, _, exchange, _, number, _ = _HEADER.unpack_from(request)
        self.seen.append(exchange)
        if exchange == IKE_SA_INIT:
            sa = _IkeSa(initiator, request)
            self._sas[initiator] = sa
            answer = _scripted(self._script.init, sa.init_payloads())
            return sa.init_answer(answer)
        sa = self._sas[initiator]
        asked = sa.opened(request)
        if exchange == IKE_AUTH:
            answer = _scripted(self._script.auth, sa.auth_payloads(asked, self._address, self._psk))
        elif exchange == CREATE_CHILD_SA:
            answer = _scripted(self._script.create_child, [])
        else:
            answer = []
        return sa.sealed(exchange, number, answer)


class _IkeSa:
    """The responder's side of one."""

    def __init__(self, initiator: bytes, request: bytes) -> None:
        self._spis = initiator + os.urandom(8)
        self._request = request
        asked = dict(_payloads(request[16], request[_HEADER.size:]))
        self._nonces = (asked[NONCE], os.urandom(32))
        self._secret = X25519PrivateKey.generate()
        self._proposals = asked[SA]
        shared = self._secret.exchange(X25519PublicKey.from_public_bytes(asked[KE][4:])) if len(asked[KE]) == 36 else b""
        both = b"".join(self._nonces)
        keys = _prf_plus(_prf(both, shared), both + self._spis, 3 * 32 + 2 * 20)
        # RFC 7296 §2.14; RFC 5282 §7.1: an AEAD has no SK_a, and its salt stands behind the key.
        self._sk_ei, self._sk_er, _, self._sk_pr = keys[32:52], keys[52:72], keys[72:104], keys[104:136]
        self._init_answer = b""

    def init_payloads(self) -> list[Payload]:
        """A correct answer to IKE_SA_INIT, if the first proposal is the only one and has what we know."""
        public = self._secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return [Payload(SA, self._proposals), Payload(KE, struct.pack("!HH", 31, 0) + public),
                Payload(NONCE, self._nonces[1])]

    def init_answer(self, answer: list[Payload] | bytes) -> bytes:
        """The message."""
        first, body = _chain(answer)
        self._init_answer = self._header(first, IKE_SA_INIT, 0, len(body)) + body
        return self._init_answer

    def auth_payloads(self, asked: dict[int, bytes], address: str, psk: bytes) -> list[Payload]:
        """A correct answer to IKE_AUTH: everything that was proposed is fine, under an SPI of our own."""
        identity = struct.pack("!B3x", 1) + socket.inet_aton(address)
        proof = _prf(_prf(psk, b"Key Pad for IKEv2"),
                     self._init_answer + self._nonces[0] + _prf(self._sk_pr, identity))
        proposals = asked.get(SA, bytes(12))
        return [Payload(ID_R, identity), Payload(AUTH, struct.pack("!B3x", 2) + proof),
                Payload(SA, proposals[:8] + b"\xc0\xff\xee\x01" + proposals[12:]),
                Payload(TS_I, asked.get(TS_I, b"")), Payload(TS_R, asked.get(TS_R, b""))]

    def opened(self, message: bytes) -> dict[int, bytes]:
        """The payloads inside the Encrypted payload of a request."""
        body = message[_HEADER.size + 4:]
        plain = AESGCM(self._sk_ei[:16]).decrypt(self._sk_ei[16:] + body[:8], body[8:], message[:_HEADER.size + 4])
        return dict(_payloads(message[_HEADER.size], plain[:-1 - plain[-1]]))

    def sealed(self, exchange: int, number: int, answer: list[Payload] | bytes) -> bytes:
        """An answer inside an Encrypted payload (RFC 5282 §3)."""
        first, plain = _chain(answer)
        vector = os.urandom(8)
        length = 4 + 8 + len(plain) + 1 + 16
        head = self._header(ENCRYPTED, exchange, number, length) + struct.pack("!BBH", first, 0, length)
        return head + vector + AESGCM(self._sk_er[:16]).encrypt(self._sk_er[16:] + vector, plain + b"\0", head)

    def _header(self, first: int, exchange: int, number: int, length: int) -> bytes:
        return _HEADER.pack(self._spis[:8], self._spis[8:], first, 0x20, exchange, _RESPONSE, number,
                            _HEADER.size + length)


def _scripted(change: Answer | None, correct: list[Payload]) -> list[Payload] | bytes:
    return correct if change is None else change(correct)


def _chain(answer: list[Payload] | bytes) -> tuple[int, bytes]:
    """The first payload's type and all of them; octets pass for the body of a notification."""
    if isinstance(answer, bytes):
        return NOTIFY, answer
    following = [payload.kind for payload in answer[1:]] + [0]
    body = b"".join(struct.pack("!BBH", after, _CRITICAL if payload.critical else 0, 4 + len(payload.body)) + payload.body
                    for payload, after in zip(answer, following, strict=False))
    return (answer[0].kind if answer else 0), body


def _payloads(first: int, data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while first and len(data) >= 4:
        following, _, length = struct.unpack_from("!BBH", data)
        found.append((first, data[4:length]))
        first, data = following, data[length:]
    return found


def _prf(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _prf_plus(key: bytes, seed: bytes, length: int) -> bytes:
    out = block = b""
    for counter in range(1, 256):
        if len(out) >= length:
            break
        block = _prf(key, block + seed + bytes((counter,)))
        out += block
    return out[:length]
