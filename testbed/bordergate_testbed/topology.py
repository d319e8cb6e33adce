"""The chain every scenario stands on: `idc-host -- customer -- internet -- bordergate -- vpc-host`."""

from __future__ import annotations

from dataclasses import dataclass

from .namespace import Namespace, remove_all
from .process import run

VPC_HOST = "10.1.0.2"
VPC_GATEWAY = "10.1.0.1"
VPC_PREFIX = "10.1.0.0/16"
IDC_HOST = "10.2.0.2"
IDC_GATEWAY = "10.2.0.1"
IDC_PREFIX = "10.2.0.0/16"
BORDERGATE_WAN = "203.0.113.1"
CUSTOMER_WAN = "198.51.100.2"
INTERNET_AT_BORDERGATE = "203.0.113.254"
INTERNET_AT_CUSTOMER = "198.51.100.254"
SECOND_CUSTOMER_WAN = "192.0.2.2"
INTERNET_AT_SECOND_CUSTOMER = "192.0.2.254"
SECOND_BORDERGATE_WAN = "203.0.113.2"
# Behind NAT the customer's device has an address of its own; the world sees CUSTOMER_WAN.
CUSTOMER_PRIVATE = "192.168.77.2"
NAT_PRIVATE = "192.168.77.1"

# With `Options.ipv6`, beside the IPv4 addresses of the same places.
VPC_HOST6 = "2001:db8:1::2"
VPC_GATEWAY6 = "2001:db8:1::1"
VPC_PREFIX6 = "2001:db8:1::/64"
IDC_HOST6 = "2001:db8:2::2"
IDC_GATEWAY6 = "2001:db8:2::1"
IDC_PREFIX6 = "2001:db8:2::/64"
BORDERGATE_WAN6 = "2001:db8:b::1"
CUSTOMER_WAN6 = "2001:db8:c::2"
INTERNET_AT_BORDERGATE6 = "2001:db8:b::fe"
INTERNET_AT_CUSTOMER6 = "2001:db8:c::fe"

# The ends inside the tunnel.
BORDERGATE_INNER = "169.254.10.1"
CUSTOMER_INNER = "169.254.10.2"
SECOND_BORDERGATE_INNER = "169.254.11.1"
SECOND_CUSTOMER_INNER = "169.254.11.2"

# The tunnel adds up to 70 bytes or so (outer IP, UDP, ESP header, IV, padding, tag); hosts that send no more than this
# never meet fragmentation, which is not what these scenarios are about.
INNER_MTU = 1400

ROLES = ("idc-host", "customer", "internet", "bordergate", "vpc-host")


@dataclass(frozen=True)
class Options:
    """What may differ from one scenario to the next."""

    nat: bool = False
    """The customer sits behind a source NAT that also changes ports."""
    ipv6: bool = False
    """All links carry IPv6, too."""
    queues: int = 1
    """Of every interface, each way."""


class Topology:
    """Five namespaces and four veth pairs. Interfaces carry the same names in every run; only namespaces are prefixed.

    | namespace    | interfaces (address)                                                       |
    | ------------ | -------------------------------------------------------------------------- |
    | `idc-host`   | `lan0` 10.2.0.2/16                                                         |
    | `customer`   | `lan0` 10.2.0.1/16, `wan0` 198.51.100.2/24 (192.168.77.2/24 behind NAT)    |
    | `internet`   | `customer0` 198.51.100.254/24 (192.168.77.1/24), `bordergate0` 203.0.113.254/24 |
    | `bordergate` | `wan0` 203.0.113.1/24, `vpc0` 10.1.0.1/16                                  |
    | `vpc-host`   | `vpc0` 10.1.0.2/16                                                         |
    """

    def __init__(self, prefix: str, options: Options = Options()) -> None:
        self.prefix = prefix
        self.options = options
        self._namespaces = {role: Namespace(prefix + role) for role in ROLES}

    @classmethod
    def build(cls, prefix: str, options: Options = Options()) -> Topology:
        """Take down what an earlier run of the same prefix left, and build anew; about half a second."""
        remove_all(prefix)
        topology = cls(prefix, options)
        try:
            topology._build()
        except BaseException:
            topology.remove()
            raise
        return topology

    def remove(self) -> None:
        """Take everything down; the veth pairs go with their namespaces."""
        for namespace in self._namespaces.values():
            namespace.remove()

    def __getitem__(self, role: str) -> Namespace:
        return self._namespaces[role]

    @property
    def idc_host(self) -> Namespace:
        """A host in the data centre."""
        return self["idc-host"]

    @property
    def customer(self) -> Namespace:
        """The customer's VPN device."""
        return self["customer"]

    @property
    def internet(self) -> Namespace:
        """A router, and the place to capture and to inject: the gateway's WAN link ends here."""
        return self["internet"]

    @property
    def bordergate(self) -> Namespace:
        """The border gateway's host."""
        return self["bordergate"]

    @property
    def vpc_host(self) -> Namespace:
        """A host in the VPC."""
        return self["vpc-host"]

    def add_second_tenant(self) -> None:
        """Another customer and another VPC on the same gateway, with the very same inner addresses.

        `idc-host-2 -- customer-2 -- internet` and `bordergate (vpc1) -- vpc-host-2`; the customer's public address is
        SECOND_CUSTOMER_WAN.
        """
        for role in ("idc-host-2", "customer-2", "vpc-host-2"):
            self._namespaces[role] = Namespace.create(self.prefix + role)
        self._link("idc-host-2", "lan0", "customer-2", "lan0", INNER_MTU)
        self._link("customer-2", "wan0", "internet", "customer1", 1500)
        self._link("bordergate", "vpc1", "vpc-host-2", "vpc0", INNER_MTU)
        for role, interface, address in (
                ("idc-host-2", "lan0", f"{IDC_HOST}/16"), ("customer-2", "lan0", f"{IDC_GATEWAY}/16"),
                ("customer-2", "wan0", f"{SECOND_CUSTOMER_WAN}/24"),
                ("internet", "customer1", f"{INTERNET_AT_SECOND_CUSTOMER}/24"),
                ("bordergate", "vpc1", f"{VPC_GATEWAY}/16"), ("vpc-host-2", "vpc0", f"{VPC_HOST}/16")):
            self[role].ip("addr", "add", address, "dev", interface)
            self[role].ip("link", "set", interface, "up")
        for role, router in (("idc-host-2", IDC_GATEWAY), ("customer-2", INTERNET_AT_SECOND_CUSTOMER),
                             ("vpc-host-2", VPC_GATEWAY)):
            self[role].ip("route", "add", "default", "via", router)
        self["customer-2"].sysctl({"net/ipv4/ip_forward": "1"})

    def prefer_tunnels(self) -> None:
        """The link to the gateway carries what is on port 4500 (RFC 3948) before all else, as a provider's does that was paid for
        it: what a flood crowds out is then the gateway's doing, not the link's.
        """
        self.internet.run("tc", "qdisc", "replace", "dev", "bordergate0", "root", "pfifo_fast")
        # Class 6 is the first of the three bands; frames that are injected have none, and are in the second.
        self.internet.run("nft", "-f", "-", stdin="""
            table ip preference {
                chain postrouting {
                    type filter hook postrouting priority mangle
                    oifname "bordergate0" udp dport 4500 meta priority set 0:6
                }
            }""")

    def add_tunnel_devices(self) -> None:
        """Two devices stand between the customer and the internet, for a tunnel each; `customer` is a router behind them.

        `device-1 -- internet` has taken the customer's link; `device-2 -- internet` is another one, with SECOND_CUSTOMER_WAN
        at its end. `bordergate` has SECOND_BORDERGATE_WAN, too. What joins a device to the router is its tunnel itself
        (`StrongSwan.lend_device`).
        """
        for role in ("device-1", "device-2"):
            self._namespaces[role] = Namespace.create(self.prefix + role)
            self[role].sysctl({"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0"})
        self.customer.ip("link", "set", "wan0", "netns", self["device-1"].name)
        self._link("device-2", "wan0", "internet", "customer1", 1500)
        for role, interface, address in (
                ("device-1", "wan0", CUSTOMER_WAN), ("device-2", "wan0", SECOND_CUSTOMER_WAN),
                ("internet", "customer1", INTERNET_AT_SECOND_CUSTOMER), ("bordergate", "wan0", SECOND_BORDERGATE_WAN)):
            self[role].ip("addr", "add", f"{address}/24", "dev", interface)
            self[role].ip("link", "set", interface, "up")
        for role, router in (("device-1", INTERNET_AT_CUSTOMER), ("device-2", INTERNET_AT_SECOND_CUSTOMER)):
            self[role].ip("route", "add", "default", "via", router)
        # Flows, not pairs of hosts, are spread over the tunnels.
        self.customer.sysctl({"net/ipv4/fib_multipath_hash_policy": "1", "net/ipv6/fib_multipath_hash_policy": "1"})

    def _build(self) -> None:
        for role in ROLES:
            Namespace.create(self.prefix + role)
        self._link("idc-host", "lan0", "customer", "lan0", INNER_MTU)
        self._link("customer", "wan0", "internet", "customer0", 1500)
        self._link("internet", "bordergate0", "bordergate", "wan0", 1500)
        self._link("bordergate", "vpc0", "vpc-host", "vpc0", INNER_MTU)

        nat = self.options.nat
        addresses = {
            ("idc-host", "lan0"): f"{IDC_HOST}/16",
            ("customer", "lan0"): f"{IDC_GATEWAY}/16",
            ("customer", "wan0"): f"{CUSTOMER_PRIVATE}/24" if nat else f"{CUSTOMER_WAN}/24",
            ("internet", "customer0"): f"{NAT_PRIVATE}/24" if nat else f"{INTERNET_AT_CUSTOMER}/24",
            ("internet", "bordergate0"): f"{INTERNET_AT_BORDERGATE}/24",
            ("bordergate", "wan0"): f"{BORDERGATE_WAN}/24",
            ("bordergate", "vpc0"): f"{VPC_GATEWAY}/16",
            ("vpc-host", "vpc0"): f"{VPC_HOST}/16",
        }
        defaults = {
            "idc-host": IDC_GATEWAY,
            "customer": NAT_PRIVATE if nat else INTERNET_AT_CUSTOMER,
            "bordergate": INTERNET_AT_BORDERGATE,
            "vpc-host": VPC_GATEWAY,
        }
        for role in ROLES:
            lines = [f"addr add {address} dev {interface}"
                     for (owner, interface), address in addresses.items() if owner == role]
            lines += [f"link set {interface} up" for (owner, interface) in addresses if owner == role]
            if role in defaults:
                lines.append(f"route add default via {defaults[role]}")
            if role == "internet" and nat:
                lines.append(f"addr add {CUSTOMER_WAN}/32 dev lo")
            run(["ip", "-n", self[role].name, "-batch", "-"], stdin="\n".join(lines) + "\n")

        for role in ("customer", "internet", "bordergate"):
            # The gateway's host forwards too: the worst case for "nothing in clear", so it is the usual case here.
            self[role].sysctl({"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0",
                               "net/ipv4/conf/default/rp_filter": "0"})
        if self.options.ipv6:
            self._add_ipv6()
        if nat:
            self.internet.run("nft", "-f", "-", stdin=f"""
                table ip nat {{
                    chain postrouting {{
                        type nat hook postrouting priority srcnat
                        ip saddr {NAT_PRIVATE}/24 oifname "bordergate0" meta l4proto udp snat to {CUSTOMER_WAN}:20000-29999
                        ip saddr {NAT_PRIVATE}/24 oifname "bordergate0" snat to {CUSTOMER_WAN}
                    }}
                }}""")

    def _add_ipv6(self) -> None:
        for role in ROLES:
            self[role].sysctl({"net/ipv6/conf/all/disable_ipv6": "0"})
        for role, interface, address in (
                ("idc-host", "lan0", IDC_HOST6), ("customer", "lan0", IDC_GATEWAY6), ("customer", "wan0", CUSTOMER_WAN6),
                ("internet", "customer0", INTERNET_AT_CUSTOMER6), ("internet", "bordergate0", INTERNET_AT_BORDERGATE6),
                ("bordergate", "wan0", BORDERGATE_WAN6), ("bordergate", "vpc0", VPC_GATEWAY6),
                ("vpc-host", "vpc0", VPC_HOST6)):
            self[role].ip("addr", "add", f"{address}/64", "dev", interface, "nodad")
        for role, router in (("idc-host", IDC_GATEWAY6), ("customer", INTERNET_AT_CUSTOMER6),
                             ("bordergate", INTERNET_AT_BORDERGATE6), ("vpc-host", VPC_GATEWAY6)):
            self[role].ip("-6", "route", "add", "default", "via", router)
        for role in ("customer", "internet", "bordergate"):
            self[role].sysctl({"net/ipv6/conf/all/forwarding": "1"})

    def _link(self, one: str, one_name: str, other: str, other_name: str, mtu: int) -> None:
        queues = ["numtxqueues", str(self.options.queues), "numrxqueues", str(self.options.queues)]
        run(["ip", "link", "add", one_name, "netns", self[one].name, "mtu", str(mtu), *queues, "type", "veth",
             "peer", "name", other_name, "netns", self[other].name, "mtu", str(mtu), *queues])
        # AF_XDP sees a frame as the sender left it. With transmit checksum offload on, a veth leaves TCP and UDP
        # checksums for a NIC that does not exist, and whatever leaves the tunnel at the far end would carry them.
        for role, interface in ((one, one_name), (other, other_name)):
            self[role].run("ethtool", "-K", interface, "tx", "off")
