"""A tunnel that cannot come up is DOWN, and `status` says exactly why, in words and with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from ..gateway import Site, Tunnel
from ..process import CommandFailed, Failure
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import CUSTOMER_WAN

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
    Case("the tunnel is administratively down", "admin_down", ("administratively down",),
         Tunnel(admin="down"), Connection()),
)


def run(bed: Bed) -> None:
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
        told = gateway.wait_down(case.code)["reason"]
        for words in case.words:
            expect(words in told["text"], f"nothing about `{words}` in: {told['text']}")
        expect("battery" not in str(told), f"the reason gives a pre-shared key away: {told}")
        shown = gateway.status_text()
        expect("DOWN" in shown and told["text"] in shown, f"`status` does not say DOWN and why:\n{shown}")
        gateway.check_accounting()
        gateway.stop()
        strongswan.stop()
