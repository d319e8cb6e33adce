#!/usr/bin/env python3
"""Certificates, keys and revocation lists for tests, made by pyca/cryptography (OpenSSL). Nothing of ours is called.

Run it from this folder. Keys that are there already are used again, so that a second run changes only what is asked of
it. They protect nothing: whoever reads this has them.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
KINDS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def key(name: str, kind: str, form=serialization.PrivateFormat.PKCS8):
    """The key of that name, made if it is not there."""
    path = HERE / f"{name}.key"
    if path.exists():
        return serialization.load_pem_private_key(path.read_bytes(), None)
    made = KINDS[kind]()
    path.write_bytes(made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return made


def day(year: int) -> datetime.datetime:
    return datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)


def name(common: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bordergate Test"),
        x509.NameAttribute(NameOID.COMMON_NAME, common),
    ])


def usage(*wanted: str) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{one: one in wanted for one in every})


class Authority:
    def __init__(self, file: str, common: str, kind: str, issuer: Authority | None = None, length: int | None = None,
                 uses: tuple[str, ...] = ("key_cert_sign", "crl_sign"), authority: bool = True,
                 extra: tuple[x509.ExtensionType, ...] = ()) -> None:
        self.key, self.name = key(file, kind), name(common)
        by = issuer or self
        builder = start(self.name, by.name, self.key, file)
        builder = builder.add_extension(x509.BasicConstraints(authority, length if authority else None), True)
        builder = builder.add_extension(usage(*uses), True)
        for one in extra:
            builder = builder.add_extension(one, True)
        self.certificate = sign(builder, by.key)
        write(file, self.certificate)


def start(subject: x509.Name, issuer: x509.Name, own, serial: str, first: int = 2024, last: int = 2049):
    number = int.from_bytes(serial.encode(), "big") % (1 << 100) + 1
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(own.public_key())
    return builder.serial_number(number).not_valid_before(day(first)).not_valid_after(day(last))


def sign(builder, by, hash_algorithm=hashes.SHA256(), pss: bool = False):
    if isinstance(by, ed25519.Ed25519PrivateKey):
        return builder.sign(by, None)
    if pss:
        return builder.sign(by, hash_algorithm, rsa_padding=padding.PSS(padding.MGF1(hash_algorithm), 20))
    return builder.sign(by, hash_algorithm)


def write(file: str, *certificates: x509.Certificate) -> None:
    pem = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)
    (HERE / f"{file}.pem").write_bytes(pem)


def end(file: str, kind: str, by: Authority, *, first: int = 2024, last: int = 2049,
        uses: tuple[str, ...] | None = ("digital_signature",), critical: bool = False,
        hash_algorithm=hashes.SHA256(), pss: bool = False,
        form=serialization.PrivateFormat.PKCS8) -> x509.Certificate:
    """A gateway's certificate: FILE.example, FILE@example, and both addresses of the tests."""
    own = key(file, kind, form)
    builder = start(name(f"{file}.example"), by.name, own, file, first, last)
    builder = builder.add_extension(x509.SubjectAlternativeName([
        x509.DNSName(f"{file}.example"), x509.RFC822Name(f"{file}@example.com"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")), x509.IPAddress(ipaddress.ip_address("198.51.100.2")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1"))]), False)
    if uses is not None:
        builder = builder.add_extension(usage(*uses), True)
    if critical:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)
    made = sign(builder, by.key, hash_algorithm, pss)
    write(file, made)
    return made


def revocation_list(file: str, by: Authority, revoked: list[x509.Certificate], *, last: int = 2049, signer=None,
                    delta: bool = False) -> None:
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.name)
    builder = builder.last_update(day(2024)).next_update(day(last)).add_extension(x509.CRLNumber(1), False)
    if delta:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), True)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(day(2025)).build())
    made = builder.sign(signer or by.key, hashes.SHA256())
    (HERE / f"{file}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def signatures() -> None:
    """AUTH payloads over one text: key, method, data. Method 14's data begins with the algorithm (RFC 7427 §3)."""
    text, lines = b"what is signed", []
    prehash = {"1": hashes.SHA1(), "256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

    def line(file: str, method: int, data: bytes) -> None:
        lines.append(f"{file} {method} {data.hex()}")

    def digital(file: str, algorithm: str, signature: bytes) -> None:
        identifier = bytes.fromhex(algorithm)
        line(file, 14, bytes([len(identifier)]) + identifier + signature)

    own = key("rsa", "rsa")
    for size in prehash:
        line("rsa", 1, own.sign(text, padding.PKCS1v15(), prehash[size]))
    for size, oid in (("256", "0b"), ("384", "0c"), ("512", "0d")):
        signature = own.sign(text, padding.PKCS1v15(), prehash[size])
        digital("rsa", f"300d06092a864886f70d0101{oid}0500", signature)
        number = {"256": "01", "384": "02", "512": "03"}[size]
        for salt in (prehash[size].digest_size, 20):
            # RFC 4055 §3.1, with NULL behind the hash and, as OpenSSL writes it, without; 20 is the default.
            for null in ("0500", ""):
                def wrap(tag: str, value: str) -> str:
                    return f"{tag}{len(value) // 2:02x}{value}"
                of = wrap("30", f"06096086480165030402{number}{null}")
                mask = wrap("30", f"06092a864886f70d010108{of}")
                tail = "" if salt == 20 else wrap("a2", f"0201{salt:02x}")
                parameters = wrap("30", wrap("a0", of) + wrap("a1", mask) + tail)
                signature = own.sign(text, padding.PSS(padding.MGF1(prehash[size]), salt), prehash[size])
                digital("rsa", wrap("30", f"06092a864886f70d01010a{parameters}"), signature)
    for file, size, method, length in (("p256", "256", 9, 32), ("p384", "384", 10, 48), ("p521", "512", 11, 66)):
        own = key(file, file)
        r, s = decode_dss_signature(own.sign(text, ec.ECDSA(prehash[size])))
        line(file, method, r.to_bytes(length, "big") + s.to_bytes(length, "big"))
        for other, oid in (("256", "02"), ("384", "03"), ("512", "04")):
            digital(file, f"300a06082a8648ce3d0403{oid}", own.sign(text, ec.ECDSA(prehash[other])))
    digital("ed25519", "300506032b6570", key("ed25519", "ed25519").sign(text))
    (HERE / "signatures.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    root = Authority("root", "Root", "p256", length=1)
    rsa_root = Authority("rsa-root", "RSA Root", "rsa")
    ed_root = Authority("ed-root", "Ed25519 Root", "ed25519")
    branches = Authority("branches", "Branches", "p384", root, length=0)
    stranger = Authority("stranger", "Stranger", "p256")

    end("rsa", "rsa", rsa_root, form=serialization.PrivateFormat.TraditionalOpenSSL)
    end("pss", "rsa", rsa_root, pss=True)
    end("p256", "p256", root, form=serialization.PrivateFormat.TraditionalOpenSSL)
    end("p384", "p384", root, hash_algorithm=hashes.SHA384())
    end("p521", "p521", root, hash_algorithm=hashes.SHA512())
    end("ed25519", "ed25519", ed_root)
    branch = end("branch", "p256", branches, hash_algorithm=hashes.SHA384())
    write("branch-chain", branch, branches.certificate)

    # What is refused, and why.
    end("expired", "p256", root, first=2020, last=2025)
    end("future", "p256", root, first=2040)
    end("encipherment", "p256", root, uses=("key_encipherment",))
    end("critical", "p256", root, critical=True)
    end("unknown-curve", "secp256k1", root)
    end("short-key", "rsa1024", root)
    end("strange", "p256", stranger)
    revoked = end("revoked", "p256", root)
    # Signed in the root's name by somebody else.
    forger = Authority.__new__(Authority)
    forger.key, forger.name = stranger.key, root.name
    end("forged", "p256", forger)
    # Below what is no authority, may not sign, stands too deep, or has a fault of its own.
    for file, issuer in (
        ("below-end", Authority("end-authority", "End Authority", "p256", root, authority=False)),
        ("below-usage", Authority("usage-authority", "Usage Authority", "p256", root, length=0, uses=("crl_sign",))),
        ("below-deep", Authority("deep-authority", "Deep Authority", "p256", branches, length=0)),
        ("below-critical", Authority("critical-authority", "Critical Authority", "p256", root, length=0, extra=(
            x509.NameConstraints([x509.DNSName("other.example")], None),))),
    ):
        below = end(file, "p256", issuer)
        above = (branches.certificate,) if file == "below-deep" else ()
        write(f"{file}-chain", below, issuer.certificate, *above)

    revocation_list("root-crl", root, [revoked])
    revocation_list("root-crl-old", root, [revoked], last=2025)
    revocation_list("root-crl-none", root, [])
    revocation_list("root-crl-forged", root, [], signer=stranger.key)
    revocation_list("root-crl-delta", root, [], delta=True)
    revocation_list("root-crl-branches", root, [branches.certificate])
    revocation_list("branches-crl", branches, [branch])
    signatures()
    info = root.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    (HERE / "root-key.sha1").write_text(hashlib.sha1(info).hexdigest() + "\n")


if __name__ == "__main__":
    main()
