#!/usr/bin/env python3
"""The certificates of both ends, RSA with 2048 bits, made by pyca/cryptography (OpenSSL).

Run it from this folder; it makes all anew. The keys protect nothing: whoever reads this has them.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def day(year: int) -> datetime.datetime:
    return datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)


def builder(common: str, issuer: str, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (common, issuer))
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(day(2024)).not_valid_after(day(2049)))


def write(name: str, certificate: x509.Certificate) -> None:
    Path(f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


root = rsa.generate_private_key(65537, 2048)
write("root", builder("Bordergate Bench", "Bordergate Bench", root)
      .add_extension(x509.BasicConstraints(True, None), True)
      .sign(root, hashes.SHA256()))
for end in ("initiator", "responder"):
    key = rsa.generate_private_key(65537, 2048)
    write(end, builder(end, "Bordergate Bench", key)
          .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{end}.example")]), False)
          .sign(root, hashes.SHA256()))
    Path(f"{end}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
