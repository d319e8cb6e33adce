//! What the router between the gateways counts and drops.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::direction::Direction;
use super::load::PAYLOAD;
use super::topology::{Place, Topology};
use super::tunnel::{TUNNELS, Tunnel};

/// Bytes of an outer packet: the load's are longer, those of BFD and BGP are not.
const LONG: usize = PAYLOAD - 100;

/// Rules in the router's namespace.
pub struct Router<'a>(&'a Topology);

/// Which packets of a tunnel are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// All.
    All,
    /// Those of the load, so that neither end knows.
    Load,
}

impl<'a> Router<'a> {
    /// Once they are set up.
    pub fn of(topology: &'a Topology) -> Self {
        Self(topology)
    }

    /// Sets up counters, and a chain to drop in.
    pub fn set_up(topology: &'a Topology) -> Result<Self> {
        let router = Self(topology);
        let each = || TUNNELS.iter().flat_map(|tunnel| Direction::ALL.map(|direction| (tunnel, direction)));
        let counters: String = each().map(|(of, way)| format!("counter {} {{ }}\n", counter(of, way))).collect();
        let rules: String = each()
            .map(|(of, way)| {
                let (from, to) = match way {
                    Direction::ToCustomer => (of.cloud, of.customer),
                    Direction::ToCloud => (of.customer, of.cloud),
                };
                let name = counter(of, way);
                format!("ip saddr {from} ip daddr {to} meta length > {LONG} counter name {name}\n")
            })
            .collect();
        router.nft(&format!(
            "table ip failover {{
                {counters}
                chain carried {{
                    type filter hook forward priority -10
                    {rules}
                }}
                chain dropped {{
                    type filter hook forward priority 0
                }}
            }}"
        ))?;
        Ok(router)
    }

    /// From one moment on, drops what is between the ends of a tunnel, both ways.
    pub fn drop(&self, tunnel: &Tunnel, what: Dropped) -> Result<()> {
        let Tunnel { cloud, customer, .. } = tunnel;
        let long = match what {
            Dropped::All => String::new(),
            Dropped::Load => format!("meta length > {LONG} "),
        };
        self.nft(&format!(
            "add rule ip failover dropped {long}ip saddr . ip daddr {{ {cloud} . {customer}, {customer} . {cloud} }} drop"
        ))
    }

    /// Lets everything pass again.
    pub fn pass(&self) -> Result<()> {
        self.nft("flush chain ip failover dropped")
    }

    /// How many packets of the load have come from a tunnel's ends so far, by direction.
    pub fn carried(&self, tunnel: &Tunnel) -> Result<[u64; 2]> {
        let listed = self.0.run(
            Place::Internet,
            Command::new("nft").args(["--json", "list", "counters", "table", "ip", "failover"]),
        )?;
        let listed: Value = serde_json::from_str(&listed).context("nft's counters")?;
        let entries = listed["nftables"].as_array().context("nft's counters")?;
        let packets = |way| {
            let name = counter(tunnel, way);
            let found = entries.iter().map(|entry| &entry["counter"]).find(|counter| counter["name"] == name.as_str());
            found.and_then(|counter| counter["packets"].as_u64()).with_context(|| format!("nft has no counter {name}"))
        };
        let [to_customer, to_cloud] = Direction::ALL.map(packets);
        Ok([to_customer?, to_cloud?])
    }

    fn nft(&self, rules: &str) -> Result<()> {
        self.0.run(Place::Internet, Command::new("nft").arg(rules)).map(drop)
    }
}

fn counter(tunnel: &Tunnel, way: Direction) -> String {
    format!("{}_{}", tunnel.name.replace('-', "_"), way.name())
}
