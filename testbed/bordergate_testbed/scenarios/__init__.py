"""The scenarios, in the order in which they are played: what everything rests on comes first."""

ORDER = (
    "bad_config",
    "missing_parts",
    "initiate_static",
    "respond_static",
    "nat",
    "raw_esp",
    "suites",
    "independent_esp",
    "wan_capture",
    "forged",
    "reasons",
    "silent_peer",
    "liveness",
    "fail_closed",
    "neighbours",
    "vlan",
    "generic_mode",
    "two_tenants",
    "reload",
    "status",
)
