#!/usr/bin/python3
"""Independent answers for the IKE tests: scapy for the codec, hashlib, hmac and pyca/cryptography for the keys.

Run it from this folder. It reads ../vectors/transcript-*.txt, which the test `recorded_handshakes`
records when BORDERGATE_RECORD is set, and writes the rest of ../vectors. Nothing of ours is called.
"""

import hashlib
import hmac
import struct
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from scapy.contrib import ikev2 as s

VECTORS = Path(__file__).parent.parent / "vectors"
PSK = b"correct_horse_battery"


def pi_times(bits: int) -> int:
    """pi times a power of two, rounded down, by Machin's formula."""
    guard = 64

    def arctangent(inverse: int) -> int:
        power = (1 << (bits + guard)) // inverse
        total, divisor, sign = power, 1, 1
        while power:
            power //= inverse * inverse
            divisor, sign = divisor + 2, -sign
            total += sign * (power // divisor)
        return total

    return 4 * (4 * arctangent(5) - arctangent(239)) >> guard


def modp_prime(bits: int) -> int:
    """RFC 3526 and RFC 7296 appendix B.2 give each prime as a formula."""
    addend = {1024: 129093, 1536: 741804, 2048: 124476, 3072: 1690314, 4096: 240904, 6144: 929484, 8192: 4743158}
    return 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (pi_times(bits - 130) + addend[bits])


P2048 = modp_prime(2048)


def modp() -> None:
    """The primes, two exponents, their public values and what they share, by Python's pow()."""
    a = int.from_bytes(hashlib.sha512(b"bordergate modp a").digest(), "big")
    b = int.from_bytes(hashlib.sha512(b"bordergate modp b").digest(), "big")
    lines = []
    for bits in (1024, 1536, 2048, 3072, 4096, 6144, 8192):
        p, size = modp_prime(bits), bits // 8
        # Of a safe prime, half of all numbers are squares: 2 is one in all these groups.
        assert pow(2, (p - 1) // 2, p) == 1
        numbers = [(p, size), (a, 64), (b, 64), (pow(2, a, p), size), (pow(2, b, p), size), (pow(2, a * b, p), size)]
        lines.append(" ".join([str(bits)] + [n.to_bytes(length, "big").hex() for n, length in numbers]))
    (VECTORS / "modp.txt").write_text("\n".join(lines) + "\n")


def stream(start: int, offset: int, count: int) -> bytes:
    """The recorded handshakes draw their randomness from a counter."""
    return bytes((start + offset + i) & 0xFF for i in range(count))


def prf_plus(name: str, key: bytes, seed: bytes, length: int) -> bytes:
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + seed + bytes([counter]), name).digest()
        out += block
        counter += 1
    return out[:length]


def key_derivation() -> None:
    """RFC 7296 §2.14, §2.17 and §2.18, of all PRFs."""
    lines = []
    for number, name in enumerate(("sha1", "sha256", "sha384", "sha512")):
        size = hashlib.new(name).digest_size
        ni, nr = stream(number, 0, 16 + number), stream(number + 100, 0, 256 - number)
        spis = stream(number + 7, 0, 8), stream(number + 77, 0, 8)
        shared, new = stream(3, 0, 32 + 31 * number), stream(99, number, 66)
        seed = hmac.new(ni + nr, shared, name).digest()
        # AES-256-CBC with HMAC-SHA2-384.
        first = prf_plus(name, seed, ni + nr + b"".join(spis), 3 * size + 2 * 48 + 2 * 32)
        seed = hmac.new(first[:size], new + ni + nr, name).digest()
        # Then ChaCha20-Poly1305 and PRF-HMAC-SHA2-256.
        rekeyed = prf_plus("sha256", seed, ni + nr + b"".join(spis), 3 * 32 + 2 * 36)
        # A child with AES-192-CBC and HMAC-SHA2-512.
        child = prf_plus(name, first[:size], new + ni + nr, 2 * (24 + 64))
        fields = [ni, nr, *spis, shared, new, first, rekeyed, child]
        lines.append(" ".join([name] + [field.hex() for field in fields]))
    (VECTORS / "key-derivation.txt").write_text("\n".join(lines) + "\n")


def sealed() -> None:
    """An INFORMATIONAL request with a notification in it, sealed with every cipher and integrity algorithm."""
    plain = bytes.fromhex("0000000c0000400100000064")
    lines = []
    ciphers = {"3des": 24, "aes128": 16, "aes192": 24, "aes256": 32}
    aeads = {"aes128gcm16": 16, "aes192gcm16": 24, "aes256gcm16": 32, "chacha20poly1305": 32}
    truncated = {"sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}

    def heads(body: int) -> bytes:
        spis = stream(0xC0, 0, 8) + stream(0xD0, 0, 8)
        return spis + struct.pack("!BBBBIIBBH", 46, 0x20, 37, 0, 9, 32 + body, 41, 0, 4 + body)

    def line(cipher: str, integrity: str, key: bytes, integrity_key: bytes, message: bytes) -> None:
        lines.append(" ".join([cipher, integrity, key.hex(), integrity_key.hex() or "-", message.hex(), plain.hex()]))

    for cipher, key_bytes in ciphers.items():
        block = 8 if cipher == "3des" else 16
        for integrity, icv_bytes in truncated.items():
            key, integrity_key = stream(1, 0, key_bytes), stream(200, 0, hashlib.new(integrity).digest_size)
            # RFC 7296 §3.14: padding of any content and of any length that fills blocks.
            padded = plain + bytes([0xAA]) * (2 * block - 1 - len(plain) % block)
            padded += bytes([len(padded) - len(plain)])
            iv = stream(50, 0, block)
            algorithm = algorithms.TripleDES(key) if cipher == "3des" else algorithms.AES(key)
            box = Cipher(algorithm, modes.CBC(iv)).encryptor()
            body = iv + box.update(padded) + box.finalize()
            covered = heads(len(body) + icv_bytes) + body
            line(cipher, integrity, key, integrity_key, covered + hmac.new(integrity_key, covered, integrity).digest()[:icv_bytes])
    for cipher, key_bytes in aeads.items():
        key, salt, iv = stream(1, 0, key_bytes), stream(90, 0, 4), stream(50, 0, 8)
        head = heads(8 + len(plain) + 1 + 16)
        box = ChaCha20Poly1305(key) if cipher == "chacha20poly1305" else AESGCM(key)
        line(cipher, "none", key + salt, b"", head + iv + box.encrypt(salt + iv, plain + b"\0", head))
    (VECTORS / "sealed.txt").write_text("\n".join(lines) + "\n")


def payloads(first: int, data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while first:
        following, _, length = struct.unpack("!BBH", data[:4])
        found.append((first, data[4:length]))
        if first == 46:
            return found + [(following, b"")]
        first, data = following, data[length:]
    assert not data
    return found


def derive(name: str, prf: str, group: str, cipher: str, key_bytes: int, esp_bytes: int) -> None:
    """Follows one recorded handshake with both secrets known, checks both AUTHs, derives the ESP keys."""
    messages = [bytes.fromhex(line) for line in (VECTORS / f"transcript-{name}.txt").read_text().split()]
    # IKE_SA_INIT, perhaps IKE_INTERMEDIATE, IKE_AUTH; then CREATE_CHILD_SA and what follows from it.
    course = next((at for at, m in enumerate(messages) if m[18] == 36), len(messages))
    request, answer, *intermediate, auth_request, auth_answer = messages[:course]
    spis = answer[:16]
    init = [dict(payloads(m[16], m[28:])) for m in (request, answer)]
    secret_bytes = 32 if group == "x25519" else 64
    assert spis[:8] == stream(0x10, 0, 8)[::-1] and spis[8:] == stream(0x80, 0, 8)[::-1]
    secrets = [stream(0x10, 8, secret_bytes), stream(0x80, 8, secret_bytes)]
    ni, nr = (m[40] for m in init)
    assert ni == stream(0x10, 8 + secret_bytes, 32) and nr == stream(0x80, 8 + secret_bytes, 32)
    publics = [m[34][4:] for m in init]
    if group == "x25519":
        shared = X25519PrivateKey.from_private_bytes(secrets[0]).exchange(X25519PublicKey.from_public_bytes(publics[1]))
    else:
        number = pow(int.from_bytes(publics[1], "big"), int.from_bytes(secrets[0], "big"), P2048)
        assert int.from_bytes(publics[0], "big") == pow(2, int.from_bytes(secrets[0], "big"), P2048)
        shared = number.to_bytes(256, "big")

    size = hashlib.new(prf).digest_size
    integrity = 0 if cipher == "gcm" else 48
    material = key_bytes + (4 if cipher == "gcm" else 0)

    def keys_from(seed: bytes, nonces: bytes, spis: bytes) -> list[bytes]:
        keys = prf_plus(prf, seed, nonces + spis, 3 * size + 2 * integrity + 2 * material)
        cut, at = [], 0
        for length in (size, integrity, integrity, material, material, size, size):
            cut.append(keys[at : at + length])
            at += length
        return cut

    sk_d, sk_ai, sk_ar, sk_ei, sk_er, sk_pi, sk_pr = keys_from(hmac.new(ni + nr, shared, prf).digest(), ni + nr, spis)

    def inside(message: bytes, key: bytes, integrity_key: bytes) -> tuple[int, bytes]:
        (first, _, length) = struct.unpack("!BBH", message[28:32])
        assert message[16] == 46 and length == len(message) - 28
        body = message[32:]
        if cipher == "gcm":
            plain = AESGCM(key[:-4]).decrypt(key[-4:] + body[:8], body[8:], message[:32])
        else:
            icv = hmac.new(integrity_key, message[:-24], "sha384").digest()[:24]
            assert icv == message[-24:]
            box = Cipher(algorithms.AES(key), modes.CBC(body[:16])).decryptor()
            plain = box.update(body[16:-24]) + box.finalize()
        return first, plain[: len(plain) - 1 - plain[-1]]

    def opened(message: bytes, key: bytes, integrity_key: bytes) -> dict[int, bytes]:
        return dict(payloads(*inside(message, key, integrity_key)))

    # RFC 9242 section 3.3.2 and RFC 9370 section 2.2.2: one more key exchange in IKE_INTERMEDIATE, by MODP.
    signed_too = b""
    if intermediate:
        chunks, public = b"", []
        ways = zip(intermediate, (sk_ei, sk_er), (sk_ai, sk_ar), (sk_pi, sk_pr), strict=True)
        for message, key, integrity_key, sk_p in ways:
            assert message[18] == 43 and struct.unpack("!I", message[20:24])[0] == 1
            first, plain = inside(message, key, integrity_key)
            head = message[:24] + struct.pack("!IBBH", 28 + 4 + len(plain), first, 0, 4 + len(plain))
            chunks += hmac.new(sk_p, head + plain, prf).digest()
            public.append(int.from_bytes(dict(payloads(first, plain))[34][4:], "big"))
        further = [int.from_bytes(stream(start, 8 + secret_bytes + 32, 64), "big") for start in (0x10, 0x80)]
        assert public == [pow(2, secret, P2048) for secret in further]
        more = pow(public[1], further[0], P2048).to_bytes(256, "big")
        fresh = keys_from(hmac.new(sk_d, more + ni + nr, prf).digest(), ni + nr, spis)
        sk_d, sk_ai, sk_ar, sk_ei, sk_er, sk_pi, sk_pr = fresh
        assert struct.unpack("!I", auth_request[20:24])[0] == 2
        signed_too = chunks + auth_request[20:24]

    inner_i = opened(auth_request, sk_ei, sk_ai)
    inner_r = opened(auth_answer, sk_er, sk_ar)
    pad = hmac.new(PSK, b"Key Pad for IKEv2", prf).digest()
    proof_i = hmac.new(pad, request + nr + hmac.new(sk_pi, inner_i[35], prf).digest() + signed_too, prf).digest()
    proof_r = hmac.new(pad, answer + ni + hmac.new(sk_pr, inner_r[36], prf).digest() + signed_too, prf).digest()
    assert inner_i[39] == bytes([2, 0, 0, 0]) + proof_i
    assert inner_r[39] == bytes([2, 0, 0, 0]) + proof_r

    def child_of(sk_d: bytes, nonces: bytes, offer: bytes, choice: bytes, first=b"", second=b"") -> list[bytes]:
        keymat = prf_plus(prf, sk_d, first + nonces + second, 2 * (esp_bytes + 4))
        halves = keymat[: esp_bytes + 4], keymat[esp_bytes + 4 :]
        return [offer[8:12], choice[8:12]] + [part for half in halves for part in (half[:esp_bytes], half[esp_bytes:])]

    fields = child_of(sk_d, ni + nr, inner_i[33], inner_r[33])
    spi_i = fields[0]
    if messages[course:]:
        # RFC 7296 sections 2.17 and 2.18, RFC 9370 section 2.2.4: the IKE SA is rekeyed by X25519, and MODP in
        # IKE_FOLLOWUP_KE, and then the child.
        def exchanged(ask: bytes, grant: bytes, more_ask: bytes, more_grant: bytes) -> tuple[dict, dict, bytes, bytes]:
            assert [m[18] for m in (ask, grant, more_ask, more_grant)] == [36, 36, 44, 44]
            asked, granted = opened(ask, sk_ei, sk_ai), opened(grant, sk_er, sk_ar)
            more_asked, more_granted = opened(more_ask, sk_ei, sk_ai), opened(more_grant, sk_er, sk_ar)
            # ADDITIONAL_KEY_EXCHANGE, and the same link.
            assert granted[41] == more_asked[41] and granted[41][:4] == struct.pack("!BBH", 0, 0, 16441)
            assert 41 not in more_granted
            keys = (X25519PrivateKey.from_private_bytes(stream(start, 0, 32)) for start in range(256))
            secret = next(k for k in keys if k.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) == asked[34][4:])
            first = secret.exchange(X25519PublicKey.from_public_bytes(granted[34][4:]))
            exponents = (int.from_bytes(stream(start, 0, 64), "big") for start in range(256))
            exponent = next(e for e in exponents if pow(2, e, P2048) == int.from_bytes(more_asked[34][4:], "big"))
            second = pow(int.from_bytes(more_granted[34][4:], "big"), exponent, P2048).to_bytes(256, "big")
            return asked, granted, first, second

        further = messages[course:]
        asked, granted, first, second = exchanged(*further[:4])
        assert opened(further[4], sk_ei, sk_ai)[42] == bytes([1, 0, 0, 0])
        nonces, new_spis = asked[40] + granted[40], asked[33][8:16] + granted[33][8:16]
        assert further[6][:16] == new_spis and new_spis != spis
        seed = hmac.new(sk_d, first + nonces + second, prf).digest()
        sk_d, sk_ai, sk_ar, sk_ei, sk_er, _, _ = keys_from(seed, nonces, new_spis)
        asked, granted, first, second = exchanged(*further[6:10])
        fields += child_of(sk_d, asked[40] + granted[40], asked[33], granted[33], first, second)
    (VECTORS / f"derived-{name}.txt").write_text("\n".join(f.hex() for f in fields) + "\n")

    # A second reader for our bytes: scapy has to find the payloads that are there.
    for message in messages[:2]:
        decoded = s.IKEv2(message)
        for layer in (s.IKEv2_payload_SA, s.IKEv2_payload_KE, s.IKEv2_payload_Nonce, s.IKEv2_payload_Notify):
            assert layer in decoded, layer
        assert decoded[s.IKEv2_payload_Nonce].load in (ni, nr)
        assert decoded.length == len(message)
        assert bytes(decoded) == message
    inner = s.IKEv2_payload_SA(struct.pack("!BBH", 0, 0, 4 + len(inner_i[33])) + inner_i[33])
    assert inner.prop.proto == 3 and inner.prop.SPI == spi_i


def transform(kind: int, number: int, bits: int | None = None) -> s.IKEv2_payload_Transform:
    # scapy leaves the key length out unless the length says that there is one.
    extra = {} if bits is None else {"length": 12, "key_length": bits}
    return s.IKEv2_payload_Transform(transform_type=kind, transform_id=number, **extra)


def chain(transforms: list) -> object:
    out = None
    for index, item in enumerate(transforms):
        item.next_payload = 0 if index + 1 == len(transforms) else 3
        out = item if out is None else out / item
    return out


def notify(kind: int, data: bytes = b"", following: int = 41) -> object:
    return s.IKEv2_payload_Notify(next_payload=following, type=kind, load=data)


def strongswan_like() -> None:
    """IKE_SA_INIT as charon sends it, written by scapy: two proposals, many notifies, a vendor id."""
    cbc = [transform(1, 12, 128), transform(1, 12, 256), transform(3, 12), transform(3, 14)]
    common = [transform(2, 5), transform(2, 4), transform(2, 8), transform(4, 31), transform(4, 19), transform(4, 15)]
    aead = [transform(1, 20, 256), transform(1, 28), transform(2, 5), transform(2, 7), transform(4, 31), transform(4, 21)]
    first = s.IKEv2_payload_Proposal(next_payload=2, proposal=1, proto=1, trans_nb=10, trans=chain(cbc + common))
    second = s.IKEv2_payload_Proposal(next_payload=0, proposal=2, proto=1, trans_nb=6, trans=chain(aead))
    secret = X25519PrivateKey.from_private_bytes(stream(1, 0, 32))
    public = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    message = (
        s.IKEv2(init_SPI=bytes(range(1, 9)), resp_SPI=bytes(8), next_payload=33, exch_type=34, flags=0x08, id=0)
        / s.IKEv2_payload_SA(next_payload=34, prop=first / second)
        / s.IKEv2_payload_KE(next_payload=40, group=31, load=public)
        / s.IKEv2_payload_Nonce(next_payload=41, load=stream(0x40, 0, 32))
        / notify(16388, bytes(20)) / notify(16389, bytes(20)) / notify(16430)
        / notify(16431, bytes.fromhex("0002000300040005")) / notify(16406) / notify(16418, b"", 43)
        / s.IKEv2_payload_VendorID(next_payload=0, vendorID=b"strongSwan-like")
    )
    (VECTORS / "scapy-ike-sa-init.txt").write_text(bytes(message).hex() + "\n")


def ts(low: str, high: str) -> s.IPv4TrafficSelector:
    return s.IPv4TrafficSelector(starting_address_v4=low, ending_address_v4=high)


def inside_ike_auth() -> None:
    """What charon puts inside the SK payload of IKE_AUTH, written by scapy."""
    esp = [transform(1, 20, 128), transform(1, 20, 256), transform(5, 0)]
    proposal = s.IKEv2_payload_Proposal(next_payload=0, proposal=1, proto=3, SPIsize=4, SPI=bytes.fromhex("c0ffee01"), trans_nb=3, trans=chain(esp))
    inner = (
        s.IKEv2_payload_IDi(next_payload=41, IDtype=2, length=19, ID=b"idc.example")
        / notify(16384, b"", 36)
        / s.IKEv2_payload_IDr(next_payload=39, IDtype=1, ID="203.0.113.1")
        / s.IKEv2_payload_AUTH(next_payload=33, auth_type=2, load=stream(0, 0, 32))
        / s.IKEv2_payload_SA(next_payload=44, prop=proposal)
        / s.IKEv2_payload_TSi(next_payload=45, number_of_TSs=1, traffic_selector=[ts("10.2.0.0", "10.2.255.255")])
        / s.IKEv2_payload_TSr(next_payload=41, number_of_TSs=2, traffic_selector=[ts("10.1.0.0", "10.1.255.255"), ts("10.3.0.7", "10.3.0.9")])
        / notify(16396) / notify(16397, bytes([192, 0, 2, 8])) / notify(16417) / notify(16420, b"", 0)
    )
    (VECTORS / "scapy-ike-auth.txt").write_text(bytes(inner).hex() + "\n")


if __name__ == "__main__":
    modp()
    key_derivation()
    sealed()
    strongswan_like()
    inside_ike_auth()
    derive("gcm", "sha256", "x25519", "gcm", 16, 16)
    derive("intermediate", "sha384", "x25519", "gcm", 32, 16)
    derive("cbc", "sha512", "modp2048", "cbc", 32, 32)
    print("written to", VECTORS)
