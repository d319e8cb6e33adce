//! Taking up a changed resource file without touching what has not changed.

use std::time::Instant;

use gateway::{AdminState, Change, Effect, Resources, Routing, Step, TunnelField, TunnelIndex, difference};
use ike::TunnelId;

use crate::control::{Control, PARTING};
use crate::failure::Failure;
use crate::layout::{self, Layout};
use crate::resource_file;
use crate::routing::SourceKey;

/// What a reload does to the tunnels, by number.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Torn down and forgotten.
    remove: Vec<TunnelId>,
    /// Torn down, then established as they are wanted now.
    reestablish: Vec<TunnelId>,
    /// New.
    add: Vec<TunnelId>,
    /// Authenticate in another way from now on; go on while what was proved still holds.
    prove: Vec<TunnelId>,
    /// Go on; the change takes hold when they are set up next.
    defer: Vec<TunnelId>,
}

impl Control {
    /// Reads the resource file again. Refused as a whole where it is not valid or does not fit the host.
    pub(crate) fn reload(&mut self) {
        match self.read_again() {
            Ok((resources, layout)) if self.part_with(&resources) => {
                self.parting = Some((Instant::now() + PARTING, resources, layout));
            }
            Ok((resources, layout)) => self.take_up(resources, layout),
            Err(failure) => {
                for line in failure.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the resource file is refused; everything goes on as it was");
            }
        }
    }

    fn read_again(&self) -> Result<(Resources, Layout), Failure> {
        let resources = resource_file::load(&self.options.file)?;
        let layout = Layout::plan(&resources, &self.view, self.options.wan())?;
        let names = |layout: &Layout| {
            let mut names: Vec<String> = layout.interfaces().iter().map(|i| i.name.clone()).collect();
            names[1..].sort_unstable();
            names
        };
        if names(&layout) != names(&self.layout) {
            return Err(Failure::configuration(format!(
                "other interfaces ({}) than those in use ({}) need a restart",
                names(&layout).join(", "),
                names(&self.layout).join(", ")
            )));
        }
        Ok((resources, layout))
    }

    /// Says BGP's last words to the peers in tunnels that are not wanted any more. Whether there are any.
    fn part_with(&mut self, resources: &Resources) -> bool {
        let ids = self.ids.renumber(&self.resources, resources);
        let stays = |key: &SourceKey| match key {
            SourceKey::Peer(id) => ids.index(*id).is_some_and(|index| {
                let tunnel = resources.tunnel(index);
                let speaks = resources.connection(tunnel.connection).routing == Routing::Bgp;
                speaks && tunnel.admin == AdminState::Up
            }),
            SourceKey::Router(name) => resources.routers().iter().any(|router| router.name.as_str() == name),
            _ => true,
        };
        self.routing.part(|key| !stays(key), "taken out of service")
    }

    /// Says BGP's last words to all peers. Whether there are any.
    pub(crate) fn part_all(&mut self) -> bool {
        self.routing.part(|_| true, "this gateway is going out of service")
    }

    pub(crate) fn take_up(&mut self, resources: Resources, _: Layout) {
        for warning in resources.warnings() {
            tracing::warn!("{warning}");
        }
        let ids = self.ids.renumber(&self.resources, &resources);
        let changes = difference(&self.resources, &resources);
        let plan = plan(
            &changes,
            |old| self.ids.id(old).unwrap_or(TunnelId(u32::MAX)),
            |new| ids.id(new).unwrap_or(TunnelId(u32::MAX)),
        );
        if let Err(error) = self.dataplane.steer.set_gateway_addresses(&layout::public_addresses(&resources)) {
            tracing::error!(%error, "the steering programs do not know the gateway's addresses");
        }
        // Addresses may move from one tunnel to another: all that goes is gone before anything comes.
        for id in plan.remove.iter().chain(&plan.reestablish) {
            self.deferred.remove(id);
            self.associations.path_mtus.forget(*id);
            self.with_ike(|endpoint, context| endpoint.remove(*id, context));
        }
        for id in &plan.remove {
            tracing::info!(tunnel = self.name(*id), "removed");
            self.forget(*id);
        }
        (self.resources, self.ids) = (resources, ids);
        self.hosts.take_up(&self.resources);
        self.take_up_routing(Instant::now());
        self.publish_all();
        for id in plan.reestablish.iter().chain(&plan.add) {
            tracing::info!(tunnel = self.name(*id), "configured");
            self.configure(*id);
        }
        for id in plan.prove {
            tracing::info!(tunnel = self.name(id), "authenticates anew");
            self.authenticate_anew(id);
        }
        for id in plan.defer {
            tracing::info!(tunnel = self.name(id), "the change takes hold when the tunnel is set up next");
            self.deferred.insert(id);
        }
        tracing::info!(changes = changes.len(), "resource file taken up");
    }
}

fn plan(
    changes: &[Change],
    old_id: impl Fn(TunnelIndex) -> TunnelId,
    new_id: impl Fn(TunnelIndex) -> TunnelId,
) -> Plan {
    let mut plan = Plan::default();
    for change in changes {
        let step = match change {
            Change::VpnTunnel(step) => step,
            // Routes and interfaces are in the snapshot, which is made anew; a connection or gateway whose change matters
            // to a tunnel shows in the tunnel's own fields.
            Change::BorderGateway(_)
            | Change::VpcAttachment(_)
            | Change::CustomerGateway(_)
            | Change::VpnConnection(_)
            | Change::VpcRouter(_)
            | Change::RouteFilter(_)
            | Change::BmpStation(_)
            | Change::StaticRoute(_) => continue,
        };
        match (step, step.effect()) {
            (Step::Remove { old }, _) => plan.remove.push(old_id(*old)),
            (Step::Add { new }, _) => plan.add.push(new_id(*new)),
            (Step::Modify { new, .. }, Some(Effect::Reestablish)) => plan.reestablish.push(new_id(*new)),
            // Going up or down is no change that could wait.
            (Step::Modify { new, fields, .. }, _) if fields.contains(&TunnelField::Admin) => {
                plan.reestablish.push(new_id(*new));
            }
            // It is in the snapshot, or the tunnel's place in the model; IKE does not know of it.
            (Step::Modify { .. }, Some(Effect::Forwarding)) => {}
            (Step::Modify { new, fields, .. }, Some(Effect::Authentication)) => {
                plan.prove.push(new_id(*new));
                if fields.iter().any(|field| field.effect() == Effect::Hot) {
                    plan.defer.push(new_id(*new));
                }
            }
            (Step::Modify { new, .. }, _) => plan.defer.push(new_id(*new)),
            (Step::Renumber { .. }, _) => {}
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../examples/static.toml");

    fn planned(from: &str, to: &str) -> Plan {
        let parse = |text: &str| Resources::parse("", text).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        plan(
            &difference(&parse(EXAMPLE), &parse(&EXAMPLE.replace(from, to))),
            |old| TunnelId(old.0),
            |new| TunnelId(new.0 + 100),
        )
    }

    #[test]
    fn only_what_changed_is_touched() {
        let new = vec![TunnelId(100)];
        assert_eq!(planned("x", "x"), Plan::default());
        assert_eq!(planned("destination = \"10.2.0.0/16\"", "destination = \"10.3.0.0/16\""), Plan::default());
        assert_eq!(planned("correct_horse", "wrong_horse"), Plan { prove: new.clone(), ..Plan::default() });
        let both = planned("startup = \"initiate\"", "psk_next = \"a_new_horse_battery\"\nstartup = \"respond\"");
        assert_eq!(both, Plan { prove: new.clone(), defer: new.clone(), ..Plan::default() });
        assert_eq!(planned("admin = \"up\"", "admin = \"down\""), Plan { reestablish: new.clone(), ..Plan::default() });
        assert_eq!(
            planned("liveness_seconds = 10", "liveness_seconds = 20"),
            Plan { defer: new.clone(), ..Plan::default() }
        );
        assert_eq!(planned("admin = \"up\"", "weight = 9"), Plan::default());
        let renamed = planned("name = \"tun-1\"", "name = \"tun-2\"");
        assert_eq!(renamed, Plan { remove: vec![TunnelId(0)], add: new, ..Plan::default() });
    }
}
