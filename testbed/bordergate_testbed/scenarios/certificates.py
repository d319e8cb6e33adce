"""Both ends prove themselves by certificates: every kind of key against strongSwan, chains, and every refusal.

Each pair comes up with Bordergate as initiator or as responder, and traffic passes. What is not to be believed is DOWN,
and `status` says why: revoked, somebody else's, from nobody we trust, expired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..certificates import Certified
from ..gateway import Site, Tunnel
from ..process import CommandFailed, Failure
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 300

BRANCH = Certified("branch", above=("branches",), authorities=("root",))


@dataclass(frozen=True)
class Pair:
    """What both ends have. `rfc7427` is whether strongSwan knows anything but methods 1 and 9 to 11."""

    name: str
    ours: Certified
    theirs: Certified
    startup: str = "initiate"
    rfc7427: bool = True
    our_id: str | None = None
    their_id: str | None = None

    @property
    def ids(self) -> tuple[str, str]:
        """Who we are and who strongSwan is."""
        return self.our_id or self.ours.identity, self.their_id or self.theirs.identity

    def tunnel(self) -> Tunnel:
        """Our side."""
        ours, theirs = self.ids
        return Tunnel(certified=self.ours, local_id=ours, remote_id=theirs, startup=self.startup)

    def connection(self) -> Connection:
        """Theirs."""
        ours, theirs = self.ids
        return Connection(certified=self.theirs, local_id=theirs, remote_id=ours)


PAIRS = (
    Pair("RSA-2048, Bordergate initiates", Certified("rsa"), Certified("pss")),
    Pair("RSA-2048, strongSwan initiates", Certified("pss", rsa_padding="pkcs1"), Certified("rsa"), "respond"),
    Pair("P-256 and P-384, Bordergate initiates", Certified("p256"), Certified("p384")),
    Pair("P-384 and P-256, strongSwan initiates", Certified("p384"), Certified("p256"), "respond"),
    Pair("P-521 and Ed25519, Bordergate initiates", Certified("p521"), Certified("ed25519")),
    Pair("Ed25519 and P-521, strongSwan initiates", Certified("ed25519"), Certified("p521"), "respond"),
    Pair("a chain with an intermediate authority, Bordergate initiates", BRANCH, Certified("p256")),
    Pair("a chain with an intermediate authority, strongSwan initiates", Certified("p256"), BRANCH, "respond"),
    Pair("RSA-2048 without RFC 7427, Bordergate initiates", Certified("rsa"), Certified("rsa"), rfc7427=False),
    Pair("P-256 and P-384 without RFC 7427, strongSwan initiates", Certified("p256"), Certified("p384"), "respond",
         rfc7427=False),
    Pair("distinguished names", Certified("p256"), Certified("p384"),
         our_id="C=CH, O=Bordergate Test, CN=p256.example", their_id="C=CH, O=Bordergate Test, CN=p384.example"),
    Pair("current lists in which nobody stands", Certified("p256", revocation_lists=("root-crl",), strict=True),
         Certified("p384", revocation_lists=("root-crl",))),
)


@dataclass(frozen=True)
class Case:
    """A pair that must not come up, the reason Bordergate must give, and what its sentence must hold."""

    pair: Pair
    code: str
    words: tuple[str, ...]


def _both(name: str, pair: Pair, code: str, *words: str) -> tuple[Case, Case]:
    return (Case(replace(pair, name=f"{name}, Bordergate initiates", startup="initiate"), code, words),
            Case(replace(pair, name=f"{name}, strongSwan initiates", startup="respond"), code, words))


CASES = (
    *_both("a revoked certificate",
           Pair("", Certified("p256", revocation_lists=("root-crl",)), Certified("revoked")),
           "certificate_revoked", "CN=revoked.example", "was revoked by", "CN=Root"),
    *_both("another identity than the certificate's", Pair("", Certified("p256"), Certified("p384"),
                                                          their_id="someone.example"),
           "certificate_identity", "someone.example", "CN=p384.example"),
    Case(Pair("a certificate of a stranger", Certified("p256"), Certified("strange"), "respond"),
         "certificate_untrusted", ("CN=strange.example", "CN=Stranger")),
    Case(Pair("no intermediate certificate", Certified("p256"), replace(BRANCH, above=()), "respond"),
         "certificate_untrusted", ("CN=branch.example", "CN=Branches")),
    Case(Pair("an expired certificate", Certified("p256"), Certified("expired"), "respond"),
         "certificate_expired", ("CN=expired.example", "2025-01-01")),
    Case(Pair("a certificate that is not valid yet", Certified("p256"), Certified("future"), "respond"),
         "certificate_not_yet_valid", ("CN=future.example", "2040-01-01")),
    Case(Pair("no current list", Certified("p256", revocation_lists=("root-crl-old",), strict=True),
              Certified("p384"), "respond"), "revocation_unknown", ("CN=p384.example", "CN=Root")),
    Case(Pair("a certificate that strongSwan does not believe", Certified("strange"), Certified("p384")),
         "certificate_rejected", ("strange.example",)),
    Case(Pair("a key that strongSwan cannot verify", Certified("ed25519"), Certified("p384"), rfc7427=False),
         "no_common_signature", ("Ed25519",)),
)


def run(bed: Bed) -> None:
    for number, pair in enumerate(PAIRS):
        _come_up(bed, number, pair)
    for number, case in enumerate(CASES, len(PAIRS)):
        _stay_down(bed, number, case)
    _refuse_files(bed)


def _come_up(bed: Bed, number: int, pair: Pair) -> None:
    bed.step(pair.name)
    strongswan = bed.strongswan(name=f"strongswan-{number}")
    strongswan.start(pair.connection(), signature_authentication=pair.rfc7427)
    gateway = bed.gateway(name=f"bordergate-{number}").start(Site(tunnel=pair.tunnel()))
    if pair.startup == "respond":
        strongswan.initiate()
    up = gateway.wait_up()
    shown = up["ike"]["authentication"]
    expect(shown == "certificate", f"the status says that the peer proved itself by {shown}")
    must_ping(bed.topology.idc_host, VPC_HOST)
    must_ping(bed.topology.vpc_host, IDC_HOST)
    gateway.stop()
    strongswan.stop()


def _stay_down(bed: Bed, number: int, case: Case) -> None:
    bed.step(case.pair.name)
    strongswan = bed.strongswan(name=f"strongswan-{number}")
    strongswan.start(case.pair.connection(), signature_authentication=case.pair.rfc7427)
    gateway = bed.gateway(name=f"bordergate-{number}").start(Site(tunnel=case.pair.tunnel()))
    if case.pair.startup == "respond":
        try:
            strongswan.initiate(timeout=5)
        except (Failure, CommandFailed):
            pass
        else:
            raise Failure("the tunnel came up")
    told = gateway.wait_down(case.code)["reason"]
    for words in case.words:
        expect(words in told["text"], f"nothing about `{words}` in: {told['text']}")
    shown = gateway.status_text()
    expect("DOWN" in shown and told["text"] in shown, f"`status` does not say DOWN and why:\n{shown}")
    gateway.stop()
    strongswan.stop()


def _refuse_files(bed: Bed) -> None:
    bed.step("refuse files that could not work")
    good = Pair("", Certified("p256"), Certified("p384")).tunnel()
    text = Site(tunnel=good).render()
    gateway = bed.gateway(name="bordergate-files")
    for old, new, words in (
        ("p256.key", "p384.key", ("private_key_file", "is not the key of the certificate")),
        ('local_id = "p256.example"', 'local_id = "other.example"', ("certificate_file", "is not for local_id")),
        ("p256-sent.pem", "p256.key", ("certificate_file", "holds no certificate")),
        ('"root.pem"', '"missing.pem"', ("ca_files", "cannot be read")),
    ):
        gateway.directory.mkdir(parents=True, exist_ok=True)
        for certified in (Certified("p256"), Certified("p384")):
            certified.install_for_bordergate(gateway.directory)
        gateway.file.write_text(text.replace(old, new))
        told = gateway.check(refused=True)
        for word in words:
            expect(word in told, f"nothing about `{word}` in: {told}")
    gateway.file.write_text(text)
    (gateway.directory / "p256.key").chmod(0o644)
    told = gateway.check(refused=True)
    expect("open to everybody" in told and "private_key_file" in told, f"a key that all can read: {told}")
