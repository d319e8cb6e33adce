#!/usr/bin/python3
"""Records control packets that BIRD sends, with each way to authenticate, in the states Down, Init and Up.

Run it as root with Debian's bird2 installed. It makes two network namespaces of its own and writes ../vectors/bird.txt: a line
for each packet, with how it was authenticated and its bytes. Nothing of ours is called: what brings BIRD's session up are a few
lines below, over hashlib.
"""

import ctypes
import hashlib
import os
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"
BIRD, HERE = "bfdrec-bird", "bfdrec-here"
KEYS = {
    "none": None,
    "simple": (1, b"plain-password"),
    "keyed md5": (2, b"md5-secret"),
    "meticulous keyed md5": (3, b"sixteen-bytes-16"),
    "keyed sha1": (4, b"sha1-secret"),
    "meticulous keyed sha1": (5, b"twenty-bytes-long-20"),
}
KEY_ID = 7


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def config(kind: str) -> str:
    key = KEYS[kind]
    secret = "" if key is None else f'authentication {kind}; password "{key[1].decode()}" {{ id {KEY_ID}; }};'
    return f"""
router id 10.9.0.1;
protocol device {{}}
protocol bfd {{
    interface "*" {{ min rx interval 100 ms; min tx interval 200 ms; idle tx interval 1 s; multiplier 4; {secret} }};
    neighbor 10.9.0.2;
}}
"""


def packet(kind: str, state: int, ours: int, theirs: int, fin: bool, sequence: int) -> bytes:
    """What the other end of BIRD's session says."""
    key = KEYS[kind]
    lengths = {"none": 0, "simple": 3 + len(key[1]) if key else 0, "md5": 24, "sha1": 28}
    extra = lengths[kind.split()[-1]]
    flags = state << 6 | (0x10 if fin else 0) | (0x04 if key else 0)
    head = struct.pack(">BBBBIIIII", 1 << 5, flags, 3, 24 + extra, ours, theirs, 1_000_000, 100_000, 0)
    if key is None:
        return head
    if kind == "simple":
        return head + struct.pack(">BBB", key[0], extra, KEY_ID) + key[1]
    head += struct.pack(">BBBBI", key[0], extra, KEY_ID, 0, sequence)
    digest = hashlib.md5 if kind.endswith("md5") else hashlib.sha1
    return head + digest(head + key[1].ljust(extra - 8, b"\0")).digest()


def record(kind: str) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bird.conf"
        path.write_text(config(kind))
        command = ["ip", "netns", "exec", BIRD, "bird", "-f", "-c", str(path), "-s", f"{folder}/ctl"]
        bird = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            receiver.bind(("10.9.0.2", 3784))
            receiver.settimeout(5)
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            sender.bind(("10.9.0.2", 50000))
            seen, sequence, until = set(), 1000, time.monotonic() + 20
            while seen != {1, 2, 3} and time.monotonic() < until:
                bytes_ = receiver.recv(200)
                state = bytes_[1] >> 6
                (theirs,) = struct.unpack(">I", bytes_[4:8])
                if state not in seen or bytes_[1] & 0x20:
                    seen.add(state)
                    lines.append(f"{kind}: {bytes_.hex()}")
                sequence += 1
                answer = {1: 1, 2: 3, 3: 3}[state]
                sender.sendto(packet(kind, answer, 0x11223344, theirs, bool(bytes_[1] & 0x20), sequence), ("10.9.0.1", 3784))
            assert seen == {1, 2, 3}, f"{kind}: only {seen}"
        finally:
            bird.terminate()
            bird.wait()
    return lines


def main() -> None:
    for namespace in (BIRD, HERE):
        run("ip", "netns", "add", namespace)
    try:
        run("ip", "link", "add", "bfdrec0", "netns", BIRD, "type", "veth", "peer", "bfdrec1", "netns", HERE)
        for namespace, link, address in ((BIRD, "bfdrec0", "10.9.0.1/24"), (HERE, "bfdrec1", "10.9.0.2/24")):
            run("ip", "-n", namespace, "address", "add", address, "dev", link)
            run("ip", "-n", namespace, "link", "set", link, "up")
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        time.sleep(1)
        enter(HERE)
        version = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=True)
        title = f"# Control packets of {(version.stderr or version.stdout).strip()}, recorded by oracle/record.py.\n"
        lines = [line for kind in KEYS for line in record(kind)]
        VECTORS.mkdir(exist_ok=True)
        (VECTORS / "bird.txt").write_text(title + "\n".join(lines) + "\n")
    finally:
        for namespace in (BIRD, HERE):
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def enter(namespace: str) -> None:
    """os.setns came with Python 3.12 only."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


if __name__ == "__main__":
    main()
