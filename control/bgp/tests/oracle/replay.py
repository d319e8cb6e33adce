#!/usr/bin/python3
"""Has BIRD read what we tell a peer, and writes down what BIRD makes of it.

Run it as root with Debian's bird2 installed, after the test `what_we_say_is_what_bird_reads` has written ../vectors/told.txt, which
it does when BORDERGATE_RECORD is set. It makes a network namespace of its own and writes ../vectors/bird-reads.txt: for each route
BIRD's own words.
"""

import socket
import subprocess
import tempfile
import time
from pathlib import Path

from record import NAMESPACE, VECTORS, enter, message, opening

BIRD = """
router id 10.9.0.1;
protocol device {}
protocol bgp peer {
    local 127.0.0.1 port 1179 as 65010;
    neighbor 127.0.0.2 as 65000;
    multihop;
    passive;
    ipv4 { import all; export none; };
    ipv6 { import all; export none; };
}
"""


def main() -> None:
    told = bytes.fromhex((VECTORS / "told.txt").read_text().replace("\n", ""))
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        enter(NAMESPACE)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory() as folder:
            config, control = Path(folder) / "bird.conf", f"{folder}/bird.ctl"
            config.write_text(BIRD)
            bird = subprocess.Popen(["bird", "-f", "-c", str(config), "-s", control])
            try:
                for _ in range(100):
                    try:
                        connection = socket.create_connection(("127.0.0.1", 1179), 10, source_address=("127.0.0.2", 0))
                        break
                    except OSError:
                        time.sleep(0.1)
                connection.sendall(opening() + message(4))
                time.sleep(1)
                connection.sendall(told)
                time.sleep(2)
                show = subprocess.run(["birdc", "-s", control, "show", "route", "all"], capture_output=True, text=True,
                                      check=True)
                state = subprocess.run(["birdc", "-s", control, "show", "protocols", "peer"], capture_output=True,
                                       text=True, check=True)
                assert "Established" in state.stdout, state.stdout
            finally:
                bird.terminate()
                bird.wait()
        # Its banner, and when each route came, are not to be compared.
        lines = [line for line in show.stdout.splitlines()[1:] if line.strip()]
        lines = [line.split("[peer")[0].rstrip() if "[peer" in line else line.rstrip() for line in lines]
        title = f"# What {show.stdout.split(' ready')[0]} makes of told.txt (oracle/replay.py).\n"
        (VECTORS / "bird-reads.txt").write_text(title + "\n".join(lines) + "\n")
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False)


if __name__ == "__main__":
    main()
