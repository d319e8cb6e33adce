"""A blockade between the two ends of a tunnel: the internet drops what passes, and counts it from each side."""

from __future__ import annotations

import json
from types import TracebackType

from .namespace import Namespace
from .topology import Topology

# RFC 3948 §2.2: on port 4500, IKE begins with four zero octets where ESP has its SPI.
_IKE = ("udp dport 500", "udp sport 500", "udp dport 4500 @th,64,32 0", "udp sport 4500 @th,64,32 0")
_EVERYTHING = ("meta l4proto {tcp, udp, icmp, esp}",)


class Blockade:
    """While the context lasts, nothing passes, or IKE alone does not."""

    def __init__(self, topology: Topology, *, ike_only: bool = False, ends: tuple[str, str] | None = None) -> None:
        """`ends`: the customer's address and Bordergate's of the one tunnel that it is about."""
        self._internet: Namespace = topology.internet
        self._matches = _IKE if ike_only else _EVERYTHING
        self._from = {"customer": 'iifname "customer0"', "bordergate": 'iifname "bordergate0"'}
        if ends is not None:
            customer, bordergate = ends
            self._from = {"customer": f"ip saddr {customer} ip daddr {bordergate}",
                          "bordergate": f"ip saddr {bordergate} ip daddr {customer}"}

    def __enter__(self) -> Blockade:
        rules = "\n".join(f"{sender} {match} counter name {name} drop"
                          for name, sender in self._from.items() for match in self._matches)
        self._internet.run("nft", "-f", "-", stdin=f"""
            table ip blockade {{
                counter customer {{ }}
                counter bordergate {{ }}
                chain forward {{
                    type filter hook forward priority filter
                    {rules}
                }}
            }}""")
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None,
                 _trace: TracebackType | None) -> None:
        self._internet.run("nft", "delete", "table", "ip", "blockade")

    @property
    def dropped(self) -> dict[str, int]:
        """Packets dropped so far, by who sent them: `customer` and `bordergate`."""
        told = json.loads(self._internet.run("nft", "--json", "list", "counters", "table", "ip", "blockade").stdout)
        return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in told["nftables"] if "counter" in entry}
