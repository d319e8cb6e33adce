#!/usr/bin/python3
"""Records what BIRD and FRR say on a BGP session: their OPEN, their routes of both families, the end of each table.

Run it as root with Debian's bird2 and frr installed. It makes a network namespace of its own and writes ../vectors/bird.txt and
../vectors/frr.txt: a message a line. Nothing of ours is called: the session's other end are a few lines below.
"""

import ctypes
import os
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"
NAMESPACE = "bgprec"

BIRD = """
router id 10.9.0.1;
protocol device {}
protocol static four {
    ipv4;
    route 10.1.0.0/16 blackhole { bgp_community.add((65010, 1)); bgp_large_community.add((65010, 2, 3)); };
    route 10.2.3.0/24 blackhole { bgp_med = 50; bgp_ext_community.add((rt, 65010, 7)); };
    route 192.0.2.128/25 blackhole { bgp_path.prepend(65011); bgp_origin = ORIGIN_INCOMPLETE; };
}
protocol static six { ipv6; route 2001:db8:1::/48 blackhole { bgp_community.add((65010, 1)); }; }
protocol bgp {
    local 127.0.0.1 port 1179 as 4200000010;
    neighbor 127.0.0.2 as 65000;
    multihop;
    passive;
    graceful restart on;
    ipv4 { import all; export all; next hop address 169.254.9.2; };
    ipv6 { import all; export all; next hop address 2001:db8:9::2; };
}
"""

FRR = """
frr defaults traditional
router bgp 65010
 bgp router-id 10.9.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 neighbor 127.0.0.2 remote-as 65000
 neighbor 127.0.0.2 ebgp-multihop
 neighbor 127.0.0.2 passive
 address-family ipv4 unicast
  network 10.1.0.0/16 route-map tagged
  network 10.2.3.0/24 route-map costly
  network 192.0.2.128/25
  neighbor 127.0.0.2 route-map via-four out
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:1::/48 route-map tagged
  neighbor 127.0.0.2 activate
  neighbor 127.0.0.2 route-map via-six out
 exit-address-family
route-map tagged permit 10
 set community 65010:1
 set large-community 65010:2:3
route-map costly permit 10
 set metric 50
 set extcommunity rt 65010:7
route-map via-four permit 10
 set ip next-hop 169.254.9.2
route-map via-six permit 10
 set ipv6 next-hop global 2001:db8:9::2
"""


def message(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" * 16 + struct.pack(">HB", 19 + len(body), kind) + body


def opening() -> bytes:
    """AS 65000, both families, route refresh, four octets, graceful restart."""
    capabilities = bytes([1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0, 65, 4]) + struct.pack(">I", 65000)
    capabilities += bytes([64, 10, 0x40, 120, 0, 1, 1, 0, 0, 2, 1, 0])
    parameter = bytes([2, len(capabilities)]) + capabilities
    fixed = struct.pack(">BHH4sB", 4, 65000, 90, bytes([10, 9, 0, 2]), len(parameter))
    return message(1, fixed + parameter)


def record(port: int) -> list[bytes]:
    """Every message until both tables have ended and it is quiet; FRR's routes may come behind."""
    for _ in range(100):
        try:
            connection = socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.2", 0))
            break
        except OSError:
            time.sleep(0.1)
    connection.sendall(opening() + message(4))
    messages, pending, ends = [], b"", 0
    while True:
        connection.settimeout(10 if ends < 2 else 4)
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            assert ends == 2, f"silent after {[m.hex() for m in messages]}"
            return messages
        assert piece, f"closed after {[m.hex() for m in messages]}"
        pending += piece
        while len(pending) >= 19 and len(pending) >= (length := struct.unpack(">H", pending[16:18])[0]):
            messages.append(pending[:length])
            pending = pending[length:]
            ends += messages[-1][18:] in (b"\2\0\0\0\0", b"\2\0\0\0\6\x80\x0f\3\0\2\1", b"\2\0\0\0\7\x90\x0f\0\3\0\2\1")


def write(name: str, version: str, messages: list[bytes]) -> None:
    VECTORS.mkdir(exist_ok=True)
    title = f"# What {version} says, recorded by oracle/record.py.\n"
    (VECTORS / f"{name}.txt").write_text(title + "\n".join(m.hex() for m in messages) + "\n")


def enter(namespace: str) -> None:
    """os.setns came with Python 3.12 only."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def main() -> None:
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        enter(NAMESPACE)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            os.chmod(folder, 0o755)
            (path / "bird.conf").write_text(BIRD)
            (path / "frr.conf").write_text(FRR)
            bird = ["bird", "-f", "-c", f"{folder}/bird.conf", "-s", f"{folder}/bird.ctl"]
            frr = ["/usr/lib/frr/bgpd", "-f", f"{folder}/frr.conf", "-Z", "-S", "-p", "1180", "-l", "127.0.0.1", "-P", "0",
                   "-i", f"{folder}/bgpd.pid", "--vty_socket", folder, "-z", f"{folder}/zserv"]
            versions = {
                "bird": subprocess.run(["bird", "--version"], capture_output=True, text=True, check=True).stderr.strip(),
                "frr": "FRR " + subprocess.run([frr[0], "--version"], capture_output=True, text=True,
                                               check=True).stdout.split()[2],
            }
            for name, command, port in (("bird", bird, 1179), ("frr", frr, 1180)):
                log = (path / f"{name}.log").open("w")
                process = subprocess.Popen(command, stdout=log, stderr=log)
                try:
                    write(name, versions[name], record(port))
                finally:
                    process.terminate()
                    process.wait()
                    print((path / f"{name}.log").read_text(), end="")
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False)


if __name__ == "__main__":
    main()
