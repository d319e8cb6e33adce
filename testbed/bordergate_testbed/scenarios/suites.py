"""Every IKE and ESP algorithm that Bordergate offers and strongSwan has is agreed on, exactly, and carries packets of
many sizes both ways.

strongSwan's user-space ESP has no extended sequence numbers, so here they are offered and must be declined gracefully;
`raw_esp` is where they are used. Debian's strongSwan 5.9 has no ML-KEM.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 240


@dataclass(frozen=True)
class Case:
    """One proposal in both sides' words, and what strongSwan then says was agreed."""

    ike: str
    """For strongSwan."""
    esp: str
    tunnel: Tunnel
    agreed: dict[str, str]
    weak_ike: tuple[str, ...] = ()
    """What the status has to flag."""
    weak_esp: tuple[str, ...] = ()


GROUPS = {
    "x25519": "CURVE_25519", "x448": "CURVE_448", "ecp256": "ECP_256", "ecp384": "ECP_384", "ecp521": "ECP_521",
    "modp1024": "MODP_1024", "modp1536": "MODP_1536", "modp2048": "MODP_2048", "modp3072": "MODP_3072",
    "modp4096": "MODP_4096", "modp6144": "MODP_6144", "modp8192": "MODP_8192",
}
HASHES = {"sha1": "HMAC_SHA1_96", "sha256": "HMAC_SHA2_256_128", "sha384": "HMAC_SHA2_384_192",
          "sha512": "HMAC_SHA2_512_256"}
PRFS = {"sha1": "PRF_HMAC_SHA1", "sha256": "PRF_HMAC_SHA2_256", "sha384": "PRF_HMAC_SHA2_384",
        "sha512": "PRF_HMAC_SHA2_512"}
WEAK = {"3des", "sha1", "prfsha1", "modp1024", "modp1536"}


def cipher(word: str) -> dict[str, str]:
    """strongSwan's words for a cipher."""
    if word == "3des":
        return {"encr-alg": "3DES_CBC"}
    if word == "chacha20poly1305":
        return {"encr-alg": "CHACHA20_POLY1305"}
    bits = word.removeprefix("aes").removesuffix("gcm16")
    return {"encr-alg": "AES_GCM_16" if "gcm" in word else "AES_CBC", "encr-keysize": bits}


def is_aead(word: str) -> bool:
    """Whether no integrity algorithm goes with it."""
    return "gcm" in word or "poly1305" in word


@dataclass(frozen=True)
class Ike:
    """One suite of the IKE SA."""

    exchange: str
    encryption: str
    integrity: str | None
    prf: str


@dataclass(frozen=True)
class Esp:
    """One suite of the child SA, and whether extended sequence numbers are offered."""

    encryption: str
    integrity: str | None
    esn: bool


def case(ike: Ike, esp: Esp) -> Case:
    """Both suites in both sides' words."""
    words = [ike.encryption, *([ike.integrity] if ike.integrity else []), f"prf{ike.prf}", ike.exchange]
    tunnel = Tunnel(key_exchange=(ike.exchange,), ike_encryption=(ike.encryption,),
                    integrity=(ike.integrity or "sha256",), prf=(ike.prf,), esp_encryption=(esp.encryption,),
                    esp_integrity=(esp.integrity,) if esp.integrity else (), esn=esp.esn)
    agreed = cipher(ike.encryption) | {"prf-alg": PRFS[ike.prf], "dh-group": GROUPS[ike.exchange]}
    agreed |= {f"child {key}": value for key, value in cipher(esp.encryption).items()}
    if ike.integrity:
        agreed["integ-alg"] = HASHES[ike.integrity]
    if esp.integrity:
        agreed["child integ-alg"] = HASHES[esp.integrity]
    return Case("-".join(words), f"{esp.encryption}-{esp.integrity}" if esp.integrity else esp.encryption, tunnel, agreed,
                weak_ike=tuple(word for word in words if word in WEAK),
                weak_esp=(esp.integrity,) if esp.integrity in WEAK else ())


IKE = (
    Ike("x25519", "aes128gcm16", None, "sha256"),
    Ike("ecp256", "aes192gcm16", None, "sha256"),
    Ike("ecp384", "aes256gcm16", None, "sha384"),
    Ike("modp2048", "aes128gcm16", None, "sha512"),
    Ike("x25519", "aes128", "sha256", "sha256"),
    Ike("ecp256", "aes192", "sha256", "sha256"),
    Ike("ecp384", "aes256", "sha384", "sha384"),
    Ike("modp2048", "aes256", "sha256", "sha256"),
    Ike("ecp521", "chacha20poly1305", None, "sha256"),
    Ike("x448", "aes256", "sha512", "sha512"),
    Ike("modp3072", "chacha20poly1305", None, "sha512"),
    Ike("modp4096", "aes128", "sha512", "sha256"),
    Ike("modp6144", "aes192", "sha384", "sha1"),
    Ike("modp8192", "aes128gcm16", None, "sha256"),
    Ike("modp1024", "3des", "sha1", "sha1"),
    Ike("modp1536", "3des", "sha256", "sha256"),
)
ESP = (
    Esp("aes128gcm16", None, True), Esp("aes192gcm16", None, False), Esp("aes256gcm16", None, True),
    Esp("aes128gcm16", None, False), Esp("aes192gcm16", None, True), Esp("aes256gcm16", None, False),
    Esp("chacha20poly1305", None, True), Esp("chacha20poly1305", None, False),
    Esp("aes128", "sha1", False), Esp("aes256", "sha1", True), Esp("aes128", "sha256", True),
    Esp("aes256", "sha256", False), Esp("aes192", "sha384", False), Esp("aes128", "sha384", True),
    Esp("aes192", "sha512", True), Esp("aes256", "sha512", False),
)
# What is agreed on for IKE has nothing to do with what is for ESP, so each case tries one of each.
CASES = tuple(case(ike, esp) for ike, esp in zip(IKE, ESP, strict=True))


def run(bed: Bed) -> None:
    topology = bed.topology
    for number, tried in enumerate(CASES):
        # Each suite once in each role, in turns.
        startup = "initiate" if number % 2 == 0 else "respond"
        bed.step(f"{tried.ike} / {tried.esp}, esn {tried.tunnel.esn} offered, Bordergate {startup}s")
        strongswan = bed.strongswan(name=f"strongswan-{number}").start(
            Connection(ike_proposals=(tried.ike,), esp_proposals=(tried.esp,)))
        tunnel = Tunnel(**{**vars(tried.tunnel), "startup": startup})
        gateway = bed.gateway(name=f"bordergate-{number}").start(Site(tunnel=tunnel))
        if startup == "respond":
            strongswan.initiate()
        told = gateway.wait_up()
        expect(tuple(told["ike"]["weak"]) == tried.weak_ike, f"flagged as weak for IKE: {told['ike']['weak']}")
        expect(tuple(told["esp"]["weak"]) == tried.weak_esp, f"flagged as weak for ESP: {told['esp']['weak']}")
        expect(told["esp"]["suite"] == tried.esp, f"the suite shown is {told['esp']['suite']}, not {tried.esp}")
        sa = strongswan.wait_established()
        agreed = {**sa.values, **{f"child {key}": value for key, value in sa.child.items()}}
        for key, value in tried.agreed.items():
            expect(agreed.get(key) == value, f"strongSwan says {key} = {agreed.get(key)}, not {value}")
        expect(told["esp"]["esn"] is False, "extended sequence numbers agreed with a peer that has none")
        must_ping(topology.vpc_host, IDC_HOST, count=2)
        # With CBC every length of padding up to a block.
        for size in (1000,) if is_aead(tried.tunnel.esp_encryption[0]) else range(1000, 1016):
            must_ping(topology.idc_host, VPC_HOST, count=1, size=size)
        gateway.check_accounting()
        gateway.stop()
        strongswan.stop()
