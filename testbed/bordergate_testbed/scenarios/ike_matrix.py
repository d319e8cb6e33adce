"""Rekeying with strongSwan loses no packet, whatever role, suite, authentication, NAT, fragmentation and kind of rekey meet.

Every pair of values of two dimensions occurs in some cell (`pairwise.py`). BORDERGATE_MATRIX=full plays all combinations;
any other text there plays those of all whose line has each of its parts, which commas separate.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ..blockade import Blockade
from ..certificates import Certified
from ..gateway import Gateway, Site, Tunnel
from ..meter import Meter, Reading
from ..pairwise import Cell, covering, every
from ..process import CommandFailed, Failure, wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection, StrongSwan
from ..topology import CUSTOMER_PRIVATE, CUSTOMER_WAN, IDC_HOST, VPC_HOST, Options, Topology
from ..traffic import must_ping

FULL = os.environ.get("BORDERGATE_MATRIX", "")
LIMIT_SECONDS = 3600 if FULL else 240
# Small enough for IKE_AUTH and CREATE_CHILD_SA to come in several pieces.
FRAGMENT_SIZE = 180


@dataclass(frozen=True)
class Suite:
    """Proposals in both sides' words."""

    ike: str
    esp: str
    tunnel: Tunnel


SUITES = {
    "aes-gcm": Suite("aes128gcm16-prfsha256-x25519", "aes128gcm16", Tunnel(
        key_exchange=("x25519",), ike_encryption=("aes128gcm16",), esp_encryption=("aes128gcm16",))),
    "aes-gcm with pfs": Suite("aes128gcm16-prfsha256-x25519", "aes128gcm16-ecp256", Tunnel(
        key_exchange=("x25519",), ike_encryption=("aes128gcm16",), esp_encryption=("aes128gcm16",),
        esp_key_exchange=("ecp256",))),
    "aes-cbc": Suite("aes256-sha256-ecp256", "aes256-sha256", Tunnel(
        key_exchange=("ecp256",), ike_encryption=("aes256",), integrity=("sha256",), esp_encryption=("aes256",),
        esp_integrity=("sha256",))),
    "chacha20": Suite("chacha20poly1305-prfsha256-x25519", "chacha20poly1305", Tunnel(
        key_exchange=("x25519",), ike_encryption=("chacha20poly1305",), esp_encryption=("chacha20poly1305",))),
}

OURS, THEIRS = Certified("p256"), Certified("rsa")

DIMENSIONS = {
    # NAT first: cells of one topology stand together.
    "nat": ("none", "nat"),
    "role": ("initiator", "responder"),
    "suite": tuple(SUITES),
    "auth": ("psk", "certificate"),
    "fragmentation": ("yes", "force", "no"),
    "rekey": ("child by us", "child by peer", "child by both", "ike by us", "ike by peer", "ike by both"),
}


def run(bed: Bed) -> None:
    failures: list[str] = []
    cells = chosen()
    for nat in DIMENSIONS["nat"]:
        of_this = [cell for cell in cells if cell["nat"] == nat]
        if not of_this:
            continue
        topology = bed.build(Options(nat=nat == "nat"))
        if nat == "nat":
            _forward_ports(topology)
        ends: Ends | None = None
        for cell in of_this:
            line = _line(cell)
            bed.step(line)
            try:
                ends = ends or Ends.start(bed, topology)
                bed.note(f"{line}: {ends.play(cell)}")
            except (Failure, CommandFailed) as failure:
                bed.note(f"{line}: FAILED")
                failures.append(f"{line}: {failure}" + (f"\n{ends.log_of_cell()}" if ends else ""))
                if ends is not None:
                    ends.give_up()
                    ends = None
        if ends is not None:
            ends.stop()
    expect(not failures, f"{len(failures)} of {len(cells)} cells failed:\n" + "\n".join(failures))


def chosen() -> list[Cell]:
    """The cells of this run."""
    if not FULL:
        return sorted(covering(DIMENSIONS), key=lambda cell: list(cell.values()))
    words = [] if FULL == "full" else [part.strip() for part in FULL.split(",")]
    return [cell for cell in every(DIMENSIONS) if all(word in _line(cell) for word in words)]


class Ends:
    """Both daemons of one topology, configured anew for each cell."""

    _started = 0

    def __init__(self, topology: Topology, gateway: Gateway, strongswan: StrongSwan) -> None:
        self._topology = topology
        self._gateway = gateway
        self._strongswan = strongswan
        self._logged = 0

    @classmethod
    def start(cls, bed: Bed, topology: Topology) -> Ends:
        """Bring them up without a tunnel."""
        cls._started += 1
        strongswan = bed.strongswan(name=f"strongswan-{cls._started}", fragment_size=FRAGMENT_SIZE).start()
        gateway = bed.gateway(name=f"bordergate-{cls._started}").start(Site(tunnel=Tunnel(admin="down")))
        OURS.install_for_bordergate(gateway.directory)
        return cls(topology, gateway, strongswan)

    def play(self, cell: Cell) -> Reading:
        """One cell: the tunnel comes up, is rekeyed under traffic, once more to see that all is well, and goes."""
        self._logged = len(self._strongswan.daemon.output())
        suite = SUITES[cell["suite"]]
        connection = Connection(
            local=CUSTOMER_PRIVATE if cell["nat"] == "nat" else CUSTOMER_WAN, ike_proposals=(suite.ike,),
            esp_proposals=(suite.esp,), fragmentation=cell["fragmentation"])
        initiates = cell["role"] == "initiator"
        tunnel = replace(suite.tunnel, startup="initiate" if initiates else "respond")
        if cell["auth"] == "certificate":
            ours, theirs = OURS.identity, THEIRS.identity
            connection = replace(connection, certified=THEIRS, local_id=theirs, remote_id=ours)
            tunnel = replace(tunnel, certified=OURS, local_id=ours, remote_id=theirs)
        self._strongswan.load(connection)
        self._gateway.reload(Site(tunnel=tunnel).render())
        if not initiates:
            self._strongswan.initiate()
        self._gateway.wait_up()
        must_ping(self._topology.vpc_host, IDC_HOST, count=1)
        with Meter(self._topology.vpc_host, VPC_HOST, self._topology.idc_host, IDC_HOST) as meter:
            time.sleep(0.1)
            self._rekey(cell["rekey"])
            self._rekey("child by peer")
            time.sleep(0.2)
            reading = meter.stop()
        self._expect_fragments(cell)
        expect(reading.lost == 0, f"packets were lost: {reading}")
        self._gateway.reload(Site(tunnel=replace(tunnel, admin="down")).render())
        self._strongswan.wait_gone()
        self._gateway.check_accounting()
        return reading

    def stop(self) -> None:
        """Stop both."""
        self._gateway.stop()
        self._strongswan.stop()

    def give_up(self) -> None:
        """After a failure: whatever state they are in, the next cell has others."""
        self._strongswan.kill()
        self._gateway.clean()

    def log_of_cell(self) -> str:
        """The last of what strongSwan said during it."""
        lines = self._strongswan.daemon.output()[self._logged:].splitlines() if self._strongswan.running else []
        return "\n".join(f"    | {line}" for line in lines[-30:])

    def _rekey(self, how: str) -> None:
        what, _, who = how.partition(" by ")
        before = (self._ike_spi, self._gateway.tunnel()["esp"]["spi_in"])
        ask: dict[str, Callable[[], None]] = {
            "us": lambda: self._gateway.rekey(ike=what == "ike"),
            "peer": lambda: self._strongswan.rekey(**{what: "tun-1"}),
        }
        if who == "both":
            told = len(self._strongswan.daemon.output())
            with ExitStack() as held:
                # The requests of both are lost, so that each has one under way when the other's comes again.
                blockade = held.enter_context(Blockade(self._topology, ike_only=True))
                for each in ask.values():
                    each()
                wait_for("both to have asked", lambda: all(blockade.dropped.values()), 5)
            self._wait_renewed(how, what, before)
            expect("collision" in self._strongswan.daemon.output()[told:], "the two rekeys have not met")
        else:
            ask[who]()
            self._wait_renewed(how, what, before)

    def _wait_renewed(self, how: str, what: str, before: tuple[str, str]) -> None:
        seen = ""

        def renewed() -> bool:
            nonlocal seen
            sas = self._strongswan.sas()
            tunnel = self._gateway.tunnel()
            esp = tunnel["esp"] or {}
            seen = f"strongSwan has {sas}, Bordergate {tunnel['state']} {tunnel['reason']} {esp}"
            if len(sas) != 1 or not sas[0].established or len(sas[0].installed) != 1:
                return False
            child = sas[0].child
            agreed = (int(child["spi-in"], 16), int(child["spi-out"], 16)) == (
                int(esp.get("spi_out", "0"), 16), int(esp.get("spi_in", "0"), 16))
            now = (sas[0].values["initiator-spi"], esp.get("spi_in"))
            return agreed and (now[0] != before[0] if what == "ike" else now[1] != before[1])

        try:
            wait_for(f"both to have a new {what} SA", renewed, 10)
        except Failure as failure:
            raise Failure(f"rekeying ({how}): {failure}: {seen}") from failure

    def _expect_fragments(self, cell: Cell) -> None:
        said = self._strongswan.daemon.output()[self._logged:].splitlines()
        # RFC 7383 §2.3: fragments are for peers that have said that they take them, and a responder says so to those alone.
        expect((cell["role"] == "responder" and cell["fragmentation"] == "no") or any(
            "parsed IKE_SA_INIT" in line and "N(FRAG_SUP)" in line for line in said),
               "Bordergate does not say that it takes fragments")
        sent = any("generating" in line and "EF(1/" in line for line in said)
        wanted = cell["fragmentation"] != "no"
        expect(sent == wanted, f"strongSwan has sent {'fragments' if sent else 'no fragment'}")

    @property
    def _ike_spi(self) -> str:
        return self._strongswan.wait_established().values["initiator-spi"]


def _line(cell: Cell) -> str:
    return (f"{cell['role']}, {cell['suite']}, {cell['auth']}, nat {cell['nat']}, fragmentation {cell['fragmentation']}, "
            f"{cell['rekey']}")


def _forward_ports(topology: Topology) -> None:
    """Let the NAT lead what comes for IKE from outside to the device behind it, so that we can be the initiator."""
    topology.internet.run("nft", "-f", "-", stdin=f"""
        table ip port_forwarding {{
            chain prerouting {{
                type nat hook prerouting priority dstnat
                iifname "bordergate0" ip daddr {CUSTOMER_WAN} udp dport {{ 500, 4500 }} dnat to {CUSTOMER_PRIVATE}
            }}
        }}""")
