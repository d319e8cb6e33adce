"""A tunnel that cannot come up is DOWN, and `status` says exactly why, in words and with what to do about it.

Each reason of Bordergate's list is provoked, here or in a scenario of its own, by strongSwan where it can be brought to it
and by a peer made by hand where not.
"""

from __future__ import annotations

import re
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..certificates import FOLDER, Certified
from ..crafted_peer import AUTH, CERT, ID_R, TS_R, CraftedPeer, Payload, Script, notify
from ..gateway import REPOSITORY, Gateway, Site, Tunnel
from ..process import CommandFailed, Failure, wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import CUSTOMER_WAN, SECOND_CUSTOMER_WAN

LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """Two ends that do not fit, and the reason Bordergate must give."""

    name: str
    code: str
    words: tuple[str, ...]
    """What the sentence must hold."""
    tunnel: Tunnel
    connection: Connection


WAITS = {"startup": "respond"}
CASES = (
    Case("wrong pre-shared key, Bordergate initiates", "authentication_rejected", ("pre-shared key", "203.0.113.1"),
         Tunnel(), Connection(psk="another_battery")),
    Case("wrong pre-shared key, strongSwan initiates", "wrong_psk", ("pre-shared key", CUSTOMER_WAN),
         Tunnel(**WAITS), Connection(psk="another_battery")),
    Case("no common IKE proposal, Bordergate initiates", "no_proposal_chosen", ("IKE", "aes128"),
         Tunnel(), Connection(ike_proposals=("aes256-sha384-modp2048",))),
    Case("no common IKE proposal, strongSwan initiates", "no_proposal_chosen", ("IKE", "aes256"),
         Tunnel(**WAITS), Connection(ike_proposals=("aes256-sha384-modp2048",))),
    Case("no common ESP proposal, Bordergate initiates", "no_proposal_chosen", ("ESP", "aes128gcm16"),
         Tunnel(), Connection(esp_proposals=("aes256gcm16",))),
    Case("no common ESP proposal, strongSwan initiates", "no_proposal_chosen", ("ESP", "aes256gcm16"),
         Tunnel(**WAITS), Connection(esp_proposals=("aes256gcm16",))),
    Case("the peer is somebody else, Bordergate initiates", "identity_mismatch", ("idc.example.org", CUSTOMER_WAN),
         Tunnel(), Connection(local_id="idc.example.org")),
    Case("the peer is somebody else, strongSwan initiates", "identity_mismatch", ("idc.example.org", CUSTOMER_WAN),
         Tunnel(**WAITS), Connection(local_id="idc.example.org")),
    Case("the selectors do not meet, Bordergate initiates", "selectors_refused", ("10.1.0.0/16", "10.2.0.0/16"),
         Tunnel(), Connection(local_ts="10.9.0.0/16")),
    Case("the selectors do not meet, strongSwan initiates", "selectors_refused", ("10.2.0.0/16", "10.9.0.0/16"),
         Tunnel(**WAITS), Connection(local_ts="10.9.0.0/16")),
    Case("the peer wants us to be somebody else", "local_identity_mismatch", ("gw.example.org", "203.0.113.1"),
         Tunnel(**WAITS), Connection(remote_id="gw.example.org")),
    Case("the peer has no post-quantum key", "ppk_missing", ("post-quantum key",),
         Tunnel(**WAITS, ppk="a_quantum_of_battery"), Connection()),
    Case("the post-quantum keys differ", "wrong_ppk", ("another one of the same name",),
         Tunnel(**WAITS, ppk="a_quantum_of_battery"), Connection(ppk="another_quantum", ppk_required=False)),
    Case("the tunnel is administratively down", "admin_down", ("administratively down",),
         Tunnel(admin="down"), Connection()),
)




# One algorithm of each kind, so that a peer that takes all that is proposed has chosen one.
ONE_SUITE = Tunnel(key_exchange=("x25519",), ike_encryption=("aes128gcm16",), esn=False)


@dataclass(frozen=True)
class Crafted:
    """What a peer made by hand answers, and the reason Bordergate must give."""

    name: str
    code: str
    words: tuple[str, ...]
    script: Script


def without(*kinds: int) -> Callable[[list[Payload]], list[Payload]]:
    """The correct answer less these payloads."""
    return lambda correct: [payload for payload in correct if payload.kind not in kinds]


def instead(kind: int, body: bytes) -> Callable[[list[Payload]], list[Payload]]:
    """The correct answer with another body of one payload."""
    return lambda correct: [Payload(kind, body) if payload.kind == kind else payload for payload in correct]


CRAFTED = (
    Crafted("the peer asks for a group we do not have", "invalid_key_exchange", ("group 14", "x25519"),
            Script(init=lambda _: [notify(17, struct.pack("!H", 14))])),
    Crafted("the peer's IKE_AUTH is cut off", "malformed", ("malformed IKE_AUTH", "too early"),
            Script(auth=lambda _: b"\0\0\0")),
    Crafted("the peer does not say who it is", "peer_protocol_violation", ("IKE_AUTH", "IDr payload is missing"),
            Script(auth=without(ID_R))),
    Crafted("the peer gives itself more than was proposed", "peer_protocol_violation", ("IKE_AUTH", "selectors"),
            Script(auth=instead(TS_R, bytes.fromhex("01000000 07000010 0000ffff 00000000 ffffffff")))),
    Crafted("the peer has no address for us", "peer_refused", ("IKE_AUTH", "36", "INTERNAL_ADDRESS_FAILURE"),
            Script(auth=lambda _: [notify(36)])),
    Crafted("the peer sends a critical payload that nobody knows", "unsupported_critical_payload",
            ("this gateway", "payload 200"),
            Script(auth=lambda correct: [Payload(200, b"", critical=True), *correct])),
    Crafted("the peer knows less than it must", "unsupported_critical_payload", ("the peer", "payload 41"),
            Script(auth=lambda _: [notify(1, bytes((41,)))])),
    Crafted("the peer authenticates by DSS", "unsupported_authentication", ("a DSS signature",),
            Script(auth=instead(AUTH, struct.pack("!B3x", 3) + bytes(40)))),
    Crafted("the peer wants EAP", "unsupported_authentication", ("EAP",),
            Script(auth=without(AUTH))),
)


def certificate(name: str) -> Payload:
    """A certificate of the tests (RFC 7296 §3.6: an X.509 one for signatures)."""
    text = (FOLDER / f"{name}.pem").read_text()
    return Payload(CERT, b"\x04" + ssl.PEM_cert_to_DER_cert(text))


def signing(*shown: Payload, name: bytes = b"p384.example", method: int = 10) -> Callable[[list[Payload]], list[Payload]]:
    """The correct answer by somebody with certificates, whose signature is worth nothing."""
    def changed(correct: list[Payload]) -> list[Payload]:
        ends = {ID_R: struct.pack("!B3x", 2) + name, AUTH: struct.pack("!B3x", method) + bytes(96)}
        kept = [Payload(payload.kind, ends.get(payload.kind, payload.body)) for payload in correct]
        return [kept[0], *shown, *kept[1:]]
    return changed


BY_CERTIFICATE = replace(ONE_SUITE, certified=Certified("p256"), local_id="p256.example", remote_id="p384.example")
CRAFTED_CERTIFICATES = (
    Crafted("the peer shows no certificate", "certificate_missing", ("certificate",), Script(auth=signing())),
    Crafted("the peer shows somebody else's certificate", "certificate_identity", ("p384.example", "CN=rsa.example"),
            Script(auth=signing(certificate("rsa")))),
    Crafted("the peer has not the key of its certificate", "wrong_signature", ("p384.example",),
            Script(auth=signing(certificate("p384")))),
    Crafted("the peer's certificate has an extension that is critical and that nobody knows", "certificate_unusable",
            ("CN=critical.example", "1.3.6.1.4.1.99999.1", "critical"), Script(auth=signing(certificate("critical")))),
    Crafted("the peer signs with DSS", "unsupported_signature", ("method 3",),
            Script(auth=signing(certificate("p384"), method=3))),
)


def run(bed: Bed) -> None:
    expect_all_provoked()
    for number, case in enumerate(CASES):
        bed.step(case.name)
        strongswan = bed.strongswan(name=f"strongswan-{number}").start(case.connection)
        gateway = bed.gateway(name=f"bordergate-{number}").start(Site(tunnel=case.tunnel))
        if case.tunnel.startup == "respond":
            try:
                strongswan.initiate(timeout=5)
            except (Failure, CommandFailed):
                pass
            else:
                raise Failure("the tunnel came up")
        expect_told(gateway, case.code, case.words)
        gateway.check_accounting()
        gateway.stop()
        strongswan.stop()

    bed.step("a peer made by hand that answers correctly")
    gateway = bed.gateway(name="bordergate-crafted").start(Site(tunnel=Tunnel(admin="down")))
    with CraftedPeer(bed.topology.customer, Script()):
        gateway.reload(Site(tunnel=ONE_SUITE).render())
        gateway.wait_up()
    for crafted in CRAFTED:
        bed.step(crafted.name)
        gateway.reload(Site(tunnel=replace(ONE_SUITE, admin="down")).render())
        gateway.wait_down("admin_down")
        with CraftedPeer(bed.topology.customer, crafted.script):
            gateway.reload(Site(tunnel=ONE_SUITE).render())
            expect_told(gateway, crafted.code, crafted.words)

    Certified("p256").install_for_bordergate(gateway.directory)
    for crafted in CRAFTED_CERTIFICATES:
        bed.step(crafted.name)
        gateway.reload(Site(tunnel=replace(BY_CERTIFICATE, admin="down")).render())
        gateway.wait_down("admin_down")
        with CraftedPeer(bed.topology.customer, crafted.script):
            gateway.reload(Site(tunnel=BY_CERTIFICATE).render())
            expect_told(gateway, crafted.code, crafted.words)

    bed.step("the key that the peer used is good no longer")
    gateway.reload(Site(tunnel=replace(ONE_SUITE, admin="down")).render())
    gateway.wait_down("admin_down")
    with CraftedPeer(bed.topology.customer, Script()):
        gateway.reload(Site(tunnel=ONE_SUITE).render())
        gateway.wait_up()
        gateway.reload(Site(tunnel=replace(ONE_SUITE, psk="another_battery")).render())
        wait_for("the log to say so", lambda: 'code="key_replaced"' in gateway.daemon.output())

    bed.step("there is no room for a second tunnel")
    gateway.stop()
    bed.topology.add_second_tenant()
    second = Tunnel(name="tun-2", remote=SECOND_CUSTOMER_WAN)
    bed.strongswan(name="strongswan-first").start(Connection())
    bed.strongswan(name="strongswan-second", namespace=bed.topology["customer-2"]).start(
        Connection(name="tun-2", local=SECOND_CUSTOMER_WAN, local_id=SECOND_CUSTOMER_WAN))
    gateway = bed.gateway(name="bordergate-small").start(
        Site(further=(replace(second, admin="down"),)), arguments=("--associations", "2"))
    gateway.wait_up()
    gateway.reload(Site(further=(second,)).render())
    expect_told(gateway, "local_resources", ("no room for another security association",), "tun-2")

    bed.step("nobody has asked yet")
    waiting = Site(further=(replace(second, admin="down"),))
    gateway.reload(waiting.render())
    gateway.reload(replace(waiting, further=(replace(second, startup="respond"),)).render())
    expect_told(gateway, "connecting", ("nothing has failed yet",), "tun-2")

    bed.step("the gateway is stopped")
    log = gateway.daemon
    gateway.stop()
    code = "shutdown"
    expect(f"code=\"{code}\"" in log.output() and "the gateway is shutting down" in log.output(),
           f"the log does not tell why the tunnel went down:\n{log.tail(5)}")


def expect_told(gateway: Gateway, code: str, words: tuple[str, ...], name: str = "tun-1") -> None:
    """The tunnel is DOWN for this reason; both kinds of status say so, with these words and without the key."""
    told = gateway.wait_down(code, name)["reason"]
    for each in words:
        expect(each in told["text"], f"nothing about `{each}` in: {told['text']}")
    expect("battery" not in str(told), f"the reason gives a pre-shared key away: {told}")
    shown = gateway.status_text()
    expect("DOWN" in shown and told["text"] in shown, f"`status` does not say DOWN and why:\n{shown}")


def expect_all_provoked() -> None:
    """Every reason there is has its case in some scenario."""
    source = "".join(path.read_text() for path in (REPOSITORY / "control" / "ike" / "src").rglob("reason*.rs"))
    body = re.search(r"pub fn code\(&self\).*?\n    }\n", source, re.DOTALL)
    codes = set(re.findall(r'"([a-z_]+)"', body[0])) if body else set()
    expect(len(codes) > 15, "the list of reasons was not found in control/ike/src")
    scenarios = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    missing = sorted(code for code in codes if f'"{code}"' not in scenarios)
    expect(not missing, f"no scenario provokes {', '.join(missing)}")
