"""Two queues are served by two workers, one on each core, any of which seals and opens for the one SA; they help each other."""

from __future__ import annotations

from ..gateway import Gateway
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST, Options
from ..traffic import UdpFlows, iperf_both_ways, must_ping, udp_echo

ARGUMENTS = ("--cores", "0,1", "--queues", "2", "--hand-over", "on")
FLOWS = 100


def run(bed: Bed) -> None:
    topology = bed.build(Options(queues=2))
    cloud, customer = bed.up_with_bordergate(arguments=ARGUMENTS)
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)

    bed.step(f"{FLOWS} flows, there and back")
    with udp_echo(topology.idc_host, IDC_HOST) as port, UdpFlows(topology.vpc_host, (IDC_HOST, port), FLOWS) as flows:
        lost = flows.exchange()
    expect(lost == 0, f"{lost} of {FLOWS} packets did not come back")

    bed.step("run iperf3 both ways")
    both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log", seconds=2)
    moved = both.to_vpc.bytes + both.to_idc.bytes
    for gateway in (cloud, customer):
        idle = [core for core, worker in workers(gateway).items() if worker["received"] == 0]
        expect(not idle, f"{gateway.name}: nothing came to the worker of core {idle}, with {moved} bytes moved")
        expect(gateway.tunnel()["counters"]["bytes_in"] > 0, f"{gateway.name} opened nothing")
        # Numbers that two workers take for one SA must not repeat, or the other end's window would tell.
        repeated = gateway.tunnel()["counters"]["drops"].get("replayed", 0)
        expect(repeated == 0, f"{gateway.name} took {repeated} packets for replayed ones")

    bed.step("see whether workers came to each other's help")
    asked = sum(sum(worker["hand_over"].values()) for gateway in (cloud, customer) for worker in workers(gateway).values())
    expect(asked > 0, "no worker ever had a batch that was worth the help of another")


def workers(gateway: Gateway) -> dict[int, dict]:
    """The workers' counters, by core."""
    return {worker["core"]: worker for worker in gateway.status()["workers"]}
