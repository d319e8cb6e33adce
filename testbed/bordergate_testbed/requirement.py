"""What the scenarios need of a machine; what is missing is the reason for a SKIP, with how to get it."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from .process import run

_AF_XDP = 44
_PROGRAMS = ("ip", "nft", "ethtool", "iperf3", "ping", "tshark", "charon-systemd", "swanctl", "vtysh",
             "birdc", "nsenter", "setpriv")


def missing() -> str | None:
    """The first thing that is missing, or None."""
    if os.geteuid() != 0:
        return "not root: network namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN (run with sudo)"
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            return f"no {program}: run testbed/install-packages"
    name = f"bgt{os.getpid()}-probe"
    if run(["ip", "netns", "add", name], check=False).returncode != 0:
        return "the kernel gives no network namespaces (CONFIG_NET_NS, or a container without CAP_SYS_ADMIN)"
    try:
        veth = run(["ip", "-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=False)
        if veth.returncode != 0:
            return "the kernel has no veth devices (CONFIG_VETH, modprobe veth)"
    finally:
        run(["ip", "netns", "delete", name], check=False)
    try:
        socket.socket(_AF_XDP, socket.SOCK_RAW).close()
    except OSError:
        return "the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)"
    if not Path("/dev/net/tun").exists():
        return "no /dev/net/tun (CONFIG_TUN, modprobe tun)"
    return None
