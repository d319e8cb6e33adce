"""Two Bordergates without a NAT between them speak ESP as protocol 50, with extended sequence numbers, both ways."""

from __future__ import annotations

from ..capture import is_raw_esp, is_udp_esp
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import iperf_both_ways, must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    wan = bed.capture_wan()
    cloud, customer = bed.up_with_bordergate()
    for gateway in (cloud, customer):
        esp = gateway.tunnel()["esp"]
        expect(esp["encapsulation"] == "none", f"{gateway.name}: encapsulation is {esp['encapsulation']}, not none")
        expect(esp["esn"] is True, f"{gateway.name}: extended sequence numbers were not agreed")

    bed.step("ping from either side, small and as large as the hosts' MTU lets them")
    for size in (0, 1, 56, 1371, 1372):
        must_ping(topology.vpc_host, IDC_HOST, size=size)
        must_ping(topology.idc_host, VPC_HOST, size=size)

    bed.step("look at the WAN link")
    wan.stop()
    packets = wan.packets()
    expect(not any(is_udp_esp(packet) for packet in packets), "there is ESP in UDP on the wire")
    expect(sum(is_raw_esp(packet) for packet in packets) > 50, "there is hardly any protocol 50 on the wire")

    bed.step("run iperf3 both ways")
    both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
    for name, counted, moved in (
            ("cloud opened", cloud.tunnel()["counters"]["bytes_in"], both.to_vpc.bytes),
            ("cloud sealed", cloud.tunnel()["counters"]["bytes_out"], both.to_idc.bytes),
            ("customer opened", customer.tunnel()["counters"]["bytes_in"], both.to_idc.bytes),
            ("customer sealed", customer.tunnel()["counters"]["bytes_out"], both.to_vpc.bytes)):
        expect(counted >= moved, f"iperf3 moved {moved} bytes, but {name} only {counted}")

    bed.step("stop the cloud's; the customer's is told by a delete")
    cloud.check_accounting()
    cloud.stop()
    customer.wait_down("peer_deleted")
