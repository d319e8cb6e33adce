"""The meter of lost packets can be believed: it counts none between two strongSwans that rekey, and all that are cut off.

This is also the baseline for `ike_matrix`: what is lost there in a rekey was not lost by strongSwan's user-space ESP.
"""

from __future__ import annotations

import time

from ..blockade import Blockade
from ..meter import Meter, Reading
from ..process import wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection, StrongSwan
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, IDC_PREFIX, VPC_HOST, VPC_PREFIX
from ..traffic import must_ping

WITHOUT_PACKETS = True
CUT_SECONDS = 0.5


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.step("start a strongSwan at each end")
    customer = bed.strongswan().start(Connection())
    cloud = bed.strongswan(name="strongswan-cloud", namespace=topology.bordergate).start(Connection(
        local=BORDERGATE_WAN, remote=CUSTOMER_WAN, local_id=BORDERGATE_WAN, remote_id=CUSTOMER_WAN,
        local_ts=VPC_PREFIX, remote_ts=IDC_PREFIX))
    cloud.initiate()
    must_ping(topology.vpc_host, IDC_HOST)

    def metered(step: str) -> Meter:
        bed.step(step)
        return Meter(topology.vpc_host, VPC_HOST, topology.idc_host, IDC_HOST)

    with metered("count packets while one strongSwan rekeys the child") as meter:
        before = _spi(cloud)
        cloud.rekey(child="tun-1")
        wait_for("another child", lambda: _spi(cloud) != before)
        time.sleep(0.3)
        _expect_none_lost(bed, "a child rekey", meter.stop())

    with metered("count packets while the other strongSwan rekeys the IKE SA") as meter:
        before = customer.wait_established().values["initiator-spi"]
        customer.rekey(ike="tun-1")
        wait_for("another IKE SA", lambda: customer.wait_established().values["initiator-spi"] != before)
        time.sleep(0.3)
        _expect_none_lost(bed, "an IKE rekey", meter.stop())

    with metered("count packets while the line is cut") as meter:
        time.sleep(0.3)
        with Blockade(topology) as blockade:
            time.sleep(CUT_SECONDS)
            cut = blockade.dropped
        time.sleep(0.2)
        reading = meter.stop()
        bed.note(f"a line cut for {CUT_SECONDS} s: {reading}")
        for way in reading.ways:
            expect(way.longest_gap_seconds >= CUT_SECONDS, f"a line that was cut for {CUT_SECONDS} s shows as {way}")
            # Whole packets fit into one, so at least as many are missing as were dropped until we looked.
            dropped = cut["bordergate" if way.name.startswith("vpc") else "customer"]
            expect(dropped <= len(way.lost) <= 1.2 * dropped, f"at least {dropped} packets were dropped, but {way}")

    with metered("count packets while the SAs are deleted and made anew") as meter:
        time.sleep(0.3)
        cloud.terminate()
        cloud.initiate()
        must_ping(topology.vpc_host, IDC_HOST)
        reading = meter.stop()
        bed.note(f"SAs deleted and made anew: {reading}")
        expect(reading.lost > 0, f"SAs were deleted and no packet was missed: {reading}")


def _spi(strongswan: StrongSwan) -> str:
    return strongswan.wait_established().child["spi-in"]


def _expect_none_lost(bed: Bed, what: str, reading: Reading) -> None:
    bed.note(f"{what} between two strongSwans: {reading}")
    expect(reading.lost == 0, f"packets were lost in {what} between two strongSwans: {reading}")
