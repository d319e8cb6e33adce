"""Every IKE and ESP suite and group that Bordergate offers is agreed with strongSwan, exactly, and carries a ping.

strongSwan's user-space ESP has no extended sequence numbers, so here they are offered and must be declined gracefully;
`raw_esp` is where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 180


@dataclass(frozen=True)
class Case:
    """One proposal in both sides' words, and what strongSwan then says was agreed."""

    ike: str
    """For strongSwan."""
    esp: str
    tunnel: Tunnel
    agreed: dict[str, str]


def ike_case(exchange: str, encryption: str, integrity: str, prf: str, agreed: dict[str, str]) -> Case:
    """A case about the IKE SA; its ESP is the usual."""
    proposal = (f"{encryption}-prf{prf}-{exchange}" if "gcm" in encryption
                else f"{encryption}-{integrity}-prf{prf}-{exchange}")
    tunnel = Tunnel(key_exchange=(exchange,), ike_encryption=(encryption,), integrity=(integrity,), prf=(prf,))
    return Case(proposal, "aes128gcm16", tunnel, agreed)


def esp_case(encryption: str, bits: str, *, esn: bool) -> Case:
    """A case about the child SA; its IKE is the usual."""
    tunnel = Tunnel(esp_encryption=(encryption,), esn=esn)
    return Case("aes128gcm16-prfsha256-x25519", encryption, tunnel,
                {"child encr-alg": "AES_GCM_16", "child encr-keysize": bits})


def gcm(bits: str, group: str, prf: str = "PRF_HMAC_SHA2_256") -> dict[str, str]:
    """strongSwan's words for an IKE SA with AES-GCM."""
    return {"encr-alg": "AES_GCM_16", "encr-keysize": bits, "prf-alg": prf, "dh-group": group}


def cbc(bits: str, integrity: str, prf: str, group: str) -> dict[str, str]:
    """strongSwan's words for an IKE SA with AES-CBC and HMAC."""
    return {"encr-alg": "AES_CBC", "encr-keysize": bits, "integ-alg": integrity, "prf-alg": prf, "dh-group": group}


CASES = (
    ike_case("x25519", "aes128gcm16", "sha256", "sha256", gcm("128", "CURVE_25519")),
    ike_case("ecp256", "aes192gcm16", "sha256", "sha256", gcm("192", "ECP_256")),
    ike_case("ecp384", "aes256gcm16", "sha256", "sha384", gcm("256", "ECP_384", "PRF_HMAC_SHA2_384")),
    ike_case("modp2048", "aes128gcm16", "sha256", "sha512", gcm("128", "MODP_2048", "PRF_HMAC_SHA2_512")),
    ike_case("x25519", "aes128", "sha256", "sha256",
             cbc("128", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "CURVE_25519")),
    ike_case("ecp256", "aes192", "sha256", "sha256", cbc("192", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "ECP_256")),
    ike_case("ecp384", "aes256", "sha384", "sha384", cbc("256", "HMAC_SHA2_384_192", "PRF_HMAC_SHA2_384", "ECP_384")),
    ike_case("modp2048", "aes256", "sha256", "sha256",
             cbc("256", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_2048")),
    *(esp_case(f"aes{bits}gcm16", bits, esn=esn) for bits in ("128", "192", "256") for esn in (True, False)),
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
        sa = strongswan.wait_established()
        agreed = {**sa.values, **{f"child {key}": value for key, value in sa.child.items()}}
        for key, value in case.agreed.items():
            expect(agreed.get(key) == value, f"strongSwan says {key} = {agreed.get(key)}, not {value}")
        expect(told["esp"]["esn"] is False, "extended sequence numbers agreed with a peer that has none")
        must_ping(topology.vpc_host, IDC_HOST, count=2)
        must_ping(topology.idc_host, VPC_HOST, count=2, size=1000)
        gateway.check_accounting()
        gateway.stop()
        strongswan.stop()
