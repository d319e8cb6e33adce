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

LIMIT_SECONDS = 400


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


def ike_case(exchange: str, encryption: str, integrity: str | None, prf: str) -> Case:
    """A case about the IKE SA; its ESP is the usual."""
    words = [encryption, *([integrity] if integrity else []), f"prf{prf}", exchange]
    tunnel = Tunnel(key_exchange=(exchange,), ike_encryption=(encryption,), integrity=(integrity or "sha256",),
                    prf=(prf,))
    agreed = cipher(encryption) | {"prf-alg": PRFS[prf], "dh-group": GROUPS[exchange]}
    if integrity:
        agreed["integ-alg"] = HASHES[integrity]
    return Case("-".join(words), "aes128gcm16", tunnel, agreed, weak_ike=tuple(w for w in words if w in WEAK))


def esp_case(encryption: str, integrity: str | None, *, esn: bool) -> Case:
    """A case about the child SA; its IKE is the usual."""
    tunnel = Tunnel(esp_encryption=(encryption,), esp_integrity=(integrity,) if integrity else (), esn=esn)
    agreed = {f"child {key}": value for key, value in cipher(encryption).items()}
    if integrity:
        agreed["child integ-alg"] = HASHES[integrity]
    esp = f"{encryption}-{integrity}" if integrity else encryption
    return Case("aes128gcm16-prfsha256-x25519", esp, tunnel, agreed,
                weak_esp=tuple(w for w in (integrity,) if w in WEAK))


CASES = (
    ike_case("x25519", "aes128gcm16", None, "sha256"),
    ike_case("ecp256", "aes192gcm16", None, "sha256"),
    ike_case("ecp384", "aes256gcm16", None, "sha384"),
    ike_case("modp2048", "aes128gcm16", None, "sha512"),
    ike_case("x25519", "aes128", "sha256", "sha256"),
    ike_case("ecp256", "aes192", "sha256", "sha256"),
    ike_case("ecp384", "aes256", "sha384", "sha384"),
    ike_case("modp2048", "aes256", "sha256", "sha256"),
    ike_case("ecp521", "chacha20poly1305", None, "sha256"),
    ike_case("x448", "aes256", "sha512", "sha512"),
    ike_case("modp3072", "chacha20poly1305", None, "sha512"),
    ike_case("modp4096", "aes128", "sha512", "sha256"),
    ike_case("modp6144", "aes192", "sha384", "sha1"),
    ike_case("modp8192", "aes128gcm16", None, "sha256"),
    ike_case("modp1024", "3des", "sha1", "sha1"),
    ike_case("modp1536", "3des", "sha256", "sha256"),
    *(esp_case(f"aes{bits}gcm16", None, esn=esn) for bits in ("128", "192", "256") for esn in (True, False)),
    esp_case("chacha20poly1305", None, esn=True),
    esp_case("chacha20poly1305", None, esn=False),
    *(esp_case(f"aes{bits}", integrity, esn=integrity in ("sha256", "sha512")) for bits, integrity in (
        ("128", "sha1"), ("128", "sha256"), ("192", "sha384"), ("192", "sha512"), ("256", "sha256"), ("256", "sha512"),
        ("128", "sha384"), ("256", "sha1"))),
)


def run(bed: Bed) -> None:
    topology = bed.topology
    for number, case in enumerate(CASES):
        # Each suite once in each role, in turns.
        startup = "initiate" if number % 2 == 0 else "respond"
        bed.step(f"{case.ike} / {case.esp}, esn {case.tunnel.esn} offered, Bordergate {startup}s")
        strongswan = bed.strongswan(name=f"strongswan-{number}").start(
            Connection(ike_proposals=(case.ike,), esp_proposals=(case.esp,)))
        tunnel = Tunnel(**{**vars(case.tunnel), "startup": startup})
        gateway = bed.gateway(name=f"bordergate-{number}").start(Site(tunnel=tunnel))
        if startup == "respond":
            strongswan.initiate()
        told = gateway.wait_up()
        expect(tuple(told["ike"]["weak"]) == case.weak_ike, f"flagged as weak for IKE: {told['ike']['weak']}")
        expect(tuple(told["esp"]["weak"]) == case.weak_esp, f"flagged as weak for ESP: {told['esp']['weak']}")
        expect(told["esp"]["suite"] == case.esp, f"the suite shown is {told['esp']['suite']}, not {case.esp}")
        sa = strongswan.wait_established()
        agreed = {**sa.values, **{f"child {key}": value for key, value in sa.child.items()}}
        for key, value in case.agreed.items():
            expect(agreed.get(key) == value, f"strongSwan says {key} = {agreed.get(key)}, not {value}")
        expect(told["esp"]["esn"] is False, "extended sequence numbers agreed with a peer that has none")
        must_ping(topology.vpc_host, IDC_HOST, count=2)
        # With CBC every length of padding up to a block.
        for size in (1000,) if is_aead(case.tunnel.esp_encryption[0]) else range(1000, 1016):
            must_ping(topology.idc_host, VPC_HOST, count=1, size=size)
        gateway.check_accounting()
        gateway.stop()
        strongswan.stop()
