"""`bordergate tunnel trace` tells every IKE message payload by payload, as scapy and strongSwan see them, also of what
failed before anybody looked; no secret is in it. `tunnel reset` begins anew, and a peer that speaks IKEv1 is named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import IP, UDP

from ..capture import Capture
from ..gateway import Gateway, Site, Tunnel, binary
from ..process import CommandFailed, Failure, run as run_command, wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN

LIMIT_SECONDS = 120
# RFC 7296 §3.2.
PAYLOADS = {33: "SA", 34: "KE", 35: "IDi", 36: "IDr", 37: "CERT", 38: "CERTREQ", 39: "AUTH", 40: "Nonce", 41: "N", 42: "D",
            43: "V", 44: "TSi", 45: "TSr", 46: "SK"}
EXCHANGES = {34: "IKE_SA_INIT", 35: "IKE_AUTH", 36: "CREATE_CHILD_SA", 37: "INFORMATIONAL"}


@dataclass(frozen=True)
class Ikev1(Connection):
    """A connection of the version before."""

    def render(self) -> str:
        return super().render().replace("version = 2", "version = 1")


def trace(gateway: Gateway, *arguments: str) -> str:
    """What `bordergate tunnel trace` says."""
    command = [str(binary()), "tunnel", "trace", "tun-1", "--socket", str(gateway.socket), *arguments]
    return run_command(command, timeout=5).stdout


def messages(gateway: Gateway) -> list[dict[str, Any]]:
    """The messages there are, from JSON."""
    return [json.loads(line) for line in trace(gateway, "--json").splitlines()]


def told(message: dict[str, Any], name: str) -> list[str]:
    """The texts of a message's payloads of one type."""
    return [payload["text"] for payload in message["payloads"] if payload["name"] == name]


def run(bed: Bed) -> None:
    wan = bed.capture_wan()
    gateway, strongswan = bed.up_with_strongswan()
    bed.step("compare the trace with what went over the wire")
    compare(messages(gateway), wan)
    inside(gateway, strongswan.wait_established().child)
    text = trace(gateway)
    for words in ("IKE_SA_INIT request 0", "IKE_AUTH response 1", "      IDr     198.51.100.2 (address)",
                  "KE      group 31 (x25519), 32 bytes"):
        expect(words in text, f"nothing about `{words}` in:\n{text}")
    expect("battery" not in text + json.dumps(messages(gateway)), "the trace gives the pre-shared key away")

    bed.step("follow it through a reset")
    follow(bed, gateway)
    wrong_names(gateway)
    gateway.stop()
    strongswan.stop()

    bed.step("see afterwards why two ends did not meet")
    strongswan = bed.strongswan(name="strongswan-2").start(Connection(ike_proposals=("aes256-sha384-modp2048",)))
    gateway = bed.gateway(name="bordergate-2").start(Site(tunnel=Tunnel(startup="respond")))
    try:
        strongswan.initiate(timeout=5)
    except (Failure, CommandFailed):
        pass
    gateway.wait_down("no_proposal_chosen")
    request, answer = messages(gateway)[:2]
    expect(any("aes256" in text and "sha384" in text and "modp2048" in text for text in told(request, "SA")),
           f"the peer's proposals are not told: {request}")
    expect(told(answer, "N") == ["NO_PROPOSAL_CHOSEN"] and answer["direction"] == "sent", f"the answer is {answer}")
    gateway.check_accounting()
    gateway.stop()
    strongswan.stop()

    bed.step("name a peer that speaks IKEv1")
    strongswan = bed.strongswan(name="strongswan-3").start(Ikev1(ike_proposals=("aes128-sha256-modp2048",)))
    gateway = bed.gateway(name="bordergate-3").start(Site(tunnel=Tunnel(startup="respond")))
    try:
        strongswan.initiate(timeout=3)
    except (Failure, CommandFailed):
        pass
    reason = gateway.wait_down("peer_speaks_ikev1")["reason"]
    expect("IKEv1" in reason["text"] and CUSTOMER_WAN in reason["text"], f"the reason is {reason}")
    expect("IKEv2" in reason["hint"], f"the hint does not say what to do: {reason}")
    last = messages(gateway)[-1]
    expect((last["exchange"], last["outcome"], last["version"]) == ("Main Mode", "other_version", 1), f"{last}")


def compare(traced: list[dict[str, Any]], wan: Capture) -> None:
    """Every IKE message of the wire is there, with its header; those in clear with their payloads."""
    seen = []
    for packet in wan.packets():
        if not packet.haslayer(UDP) or not {500, 4500} & {packet[UDP].sport, packet[UDP].dport}:
            continue
        payload = bytes(packet[UDP].payload)
        if packet[UDP].dport == 4500:
            if payload[:4] != bytes(4):
                continue
            payload = payload[4:]
        exchange = EXCHANGES[payload[18]]
        names = chain(payload[16], payload[28:]) if exchange == "IKE_SA_INIT" else []
        direction = "sent" if packet[IP].src == BORDERGATE_WAN else "received"
        seen.append((direction, exchange, payload[:8].hex(), payload[8:16].hex(), int.from_bytes(payload[20:24], "big"),
                     len(payload), names))
    expect(len(seen) >= 4, f"only {len(seen)} IKE messages were captured")
    known = [(message["direction"], message["exchange"], message["initiator_spi"], message["responder_spi"],
              message["message_id"], message["bytes"],
              [payload["name"] for payload in message["payloads"]] if message["exchange"] == "IKE_SA_INIT" else [])
             for message in traced]
    for message in seen[:4]:
        expect(message in known, f"{message} went over the wire and is not in the trace: {known}")


def chain(first: int, payloads: bytes) -> list[str]:
    """The payloads' names, by walking over them."""
    names = []
    while first:
        names.append(PAYLOADS[first])
        first, length = payloads[0], int.from_bytes(payloads[2:4], "big")
        payloads = payloads[length:]
    return names


def inside(gateway: Gateway, child: dict[str, str]) -> None:
    """What was encrypted is told as strongSwan knows it."""
    request, answer = [message for message in messages(gateway) if message["exchange"] == "IKE_AUTH"][:2]
    spi = {"mine": child["spi-in"], "ours": child["spi-out"]}
    for message, wanted in ((request, spi["ours"]), (answer, spi["mine"])):
        proposals = told(message, "SA")
        expect(len(proposals) == 1 and f"SPI {wanted}" in proposals[0], f"no SPI {wanted} in {message}")
        expect(told(message, "TSi") == ["10.1.0.0/16"] and told(message, "TSr") == ["10.2.0.0/16"], f"{message}")
        expect(told(message, "AUTH") == ["pre-shared key"], f"{message}")
    expect(told(answer, "IDr") == [f"{CUSTOMER_WAN} (address)"], f"{answer}")


def follow(bed: Bed, gateway: Gateway) -> None:
    """What is said from now on appears by itself, each message once."""
    before = messages(gateway)[-1]["number"]
    following = bed.topology.bordergate.start("tunnel trace --follow", [
        str(binary()), "tunnel", "trace", "tun-1", "--follow", "--json", "--socket", str(gateway.socket)],
        bed.directory / "follow.log")
    wait_for("what is there already", lambda: f'"number":{before}' in following.output(), 5)
    done = run_command([str(binary()), "tunnel", "reset", "tun-1", "--socket", str(gateway.socket)], timeout=5).stdout
    expect(done.startswith("tun-1: its SAs are deleted"), f"`tunnel reset` says: {done}")

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in following.output().splitlines() if line.startswith("{")]

    def came_back() -> bool:
        new = [message for message in lines() if message["number"] > before]
        return any(told(message, "D") == ["this IKE SA"] for message in new) and sum(
            message["exchange"] == "IKE_AUTH" and message["outcome"] == "protected" for message in new) >= 2

    wait_for("the deletion and a new IKE_AUTH in what is followed", came_back, 10)
    following.stop()
    numbers = [message["number"] for message in lines()]
    expect(numbers == sorted(set(numbers)), f"messages came twice or out of order: {numbers}")
    gateway.wait_up()


def wrong_names(gateway: Gateway) -> None:
    """A name that is not there is answered with those that are."""
    for command in ("trace", "reset"):
        done = run_command([str(binary()), "tunnel", command, "tun-9", "--socket", str(gateway.socket)], check=False,
                           timeout=5)
        expect(done.returncode == 1 and re.search('no tunnel "tun-9"; there are tun-1', done.stderr) is not None,
               f"`tunnel {command} tun-9` ended with {done.returncode}: {done.stderr}")
