//! The difference between any two versions of the resources, carried out on a model: nothing is left out or too much.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bordergate_gateway::{
    AttachmentField, Change, ConnectionField, CustomerField, GatewayField, Resources, RouteIndex, RouteTarget, Step,
    TunnelField, difference,
};
use proptest::prelude::*;

mod plan;

/// Objects of one kind by name: the index, and each field as text.
type Kind<Field> = BTreeMap<String, (u32, BTreeMap<Field, String>)>;

/// What a process would know of the resources, free of references by index.
#[derive(Debug, PartialEq, Eq, Default)]
struct State {
    gateways: Kind<GatewayField>,
    attachments: Kind<AttachmentField>,
    customers: Kind<CustomerField>,
    connections: Kind<ConnectionField>,
    tunnels: Kind<TunnelField>,
    routes: BTreeMap<String, u32>,
}

fn text(value: impl Debug) -> String {
    format!("{value:?}")
}

impl State {
    fn of(resources: &Resources) -> Self {
        let mut state = Self::default();
        let gateway_name = |index| resources.gateway(index).name.to_string();
        for (i, g) in (0..).zip(resources.gateways()) {
            state.gateways.insert(g.name.to_string(), (i, [(GatewayField::Asn, text(g.asn))].into()));
        }
        for (i, a) in (0..).zip(resources.attachments()) {
            let fields = [
                (AttachmentField::BorderGateway, gateway_name(a.gateway)),
                (AttachmentField::Interface, text(&a.interface)),
                (AttachmentField::Prefixes, text(&a.prefixes)),
            ];
            state.attachments.insert(a.name.to_string(), (i, fields.into()));
        }
        for (i, c) in (0..).zip(resources.customers()) {
            let fields = [(CustomerField::Asn, text(c.asn)), (CustomerField::Addresses, text(&c.addresses))];
            state.customers.insert(c.name.to_string(), (i, fields.into()));
        }
        for (i, c) in (0..).zip(resources.connections()) {
            let fields = [
                (ConnectionField::BorderGateway, gateway_name(c.gateway)),
                (ConnectionField::CustomerGateway, resources.customer(c.customer).name.to_string()),
                (ConnectionField::Routing, text(c.routing)),
                (ConnectionField::Addresses, text(&c.addresses)),
            ];
            state.connections.insert(c.name.to_string(), (i, fields.into()));
        }
        for (i, t) in (0..).zip(resources.tunnels()) {
            let fields = [
                (TunnelField::Connection, resources.connection(t.connection).name.to_string()),
                (TunnelField::BorderGateway, gateway_name(t.gateway)),
                (TunnelField::LocalAddress, text(t.local_address)),
                (TunnelField::RemoteAddress, text(t.remote_address)),
                (TunnelField::Authentication, text(t.authentication.psk().map(|psk| psk.secret()))),
                (TunnelField::LocalId, text(&t.local_id)),
                (TunnelField::RemoteId, text(&t.remote_id)),
                (TunnelField::Admin, text(t.admin)),
                (TunnelField::Startup, text(t.startup)),
                (TunnelField::Paused, text(t.paused)),
                (TunnelField::Weight, text(t.weight)),
                (TunnelField::Esn, text(t.esp.esn)),
                (TunnelField::EspLifetime, text(t.esp.lifetime)),
            ];
            state.tunnels.insert(t.name.to_string(), (i, fields.into()));
        }
        for (i, r) in (0..).zip(resources.routes()) {
            let target = match r.target {
                RouteTarget::Attachment(a) => format!("attachment {}", resources.attachment(a).name),
                RouteTarget::Connection(c) => format!("connection {}", resources.connection(c).name),
                RouteTarget::Blackhole => "blackhole".to_owned(),
                RouteTarget::Reject => "reject".to_owned(),
            };
            state.routes.insert(format!("{} {} {target}", gateway_name(r.gateway), r.destination), i);
        }
        state
    }

    /// Carries one change out, looking at nothing of the target but what the change names.
    fn apply(&mut self, change: &Change, old: &Self, new: &Self) {
        match change {
            Change::BorderGateway(step) => apply(&mut self.gateways, step, |i| i.0, &old.gateways, &new.gateways),
            Change::VpcAttachment(step) => {
                apply(&mut self.attachments, step, |i| i.0, &old.attachments, &new.attachments)
            }
            Change::CustomerGateway(step) => apply(&mut self.customers, step, |i| i.0, &old.customers, &new.customers),
            Change::VpnConnection(step) => {
                apply(&mut self.connections, step, |i| i.0, &old.connections, &new.connections)
            }
            Change::VpnTunnel(step) => apply(&mut self.tunnels, step, |i| i.0, &old.tunnels, &new.tunnels),
            // The plans have none.
            Change::RouteFilter(_) | Change::VpcRouter(_) | Change::BmpStation(_) => panic!("none was changed"),
            Change::StaticRoute(step) => {
                let key = |routes: &BTreeMap<String, u32>, index: RouteIndex| {
                    routes.iter().find(|(_, i)| **i == index.0).unwrap().0.clone()
                };
                match step {
                    Step::Remove { old: index } => assert!(self.routes.remove(&key(&old.routes, *index)).is_some()),
                    Step::Add { new: index } => {
                        assert!(self.routes.insert(key(&new.routes, *index), index.0).is_none());
                    }
                    Step::Modify { .. } => panic!("a route is not modified"),
                    Step::Renumber { new: index, .. } => {
                        assert!(self.routes.insert(key(&new.routes, *index), index.0).is_some());
                    }
                }
            }
        }
    }
}

fn apply<Index: Copy, Field: Ord + Copy>(
    kind: &mut Kind<Field>,
    step: &Step<Index, Field>,
    number: impl Fn(Index) -> u32,
    old: &Kind<Field>,
    new: &Kind<Field>,
) {
    let named = |side: &Kind<Field>, index: Index| {
        let (name, (_, fields)) = side.iter().find(|(_, (i, _))| *i == number(index)).expect("the index exists");
        (name.clone(), fields.clone())
    };
    match step {
        Step::Remove { old: index } => assert!(kind.remove(&named(old, *index).0).is_some()),
        Step::Add { new: index } => {
            let (name, fields) = named(new, *index);
            assert!(kind.insert(name, (number(*index), fields)).is_none());
        }
        Step::Modify { old: was, new: index, fields: differing } => {
            assert!(!differing.is_empty());
            let (name, fields) = named(new, *index);
            assert_eq!(name, named(old, *was).0);
            let object = kind.get_mut(&name).expect("it was there");
            object.0 = number(*index);
            for field in differing {
                let value = fields[field].clone();
                assert!(object.1.insert(*field, value.clone()) != Some(value), "a field that does not differ is named");
            }
        }
        Step::Renumber { old: was, new: index } => {
            let (name, _) = named(new, *index);
            assert_eq!(name, named(old, *was).0);
            assert_ne!(number(*was), number(*index));
            kind.get_mut(&name).expect("it was there").0 = number(*index);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_file_does_not_differ_from_itself(plan in plan::plan()) {
        prop_assert_eq!(difference(&plan.resources(), &plan.resources()), []);
    }

    #[test]
    fn the_changes_lead_from_one_to_the_other(a in plan::plan(), b in plan::plan()) {
        let (old, new) = (a.resources(), b.resources());
        let changes = difference(&old, &new);
        let (from, to) = (State::of(&old), State::of(&new));
        let mut state = State::of(&old);
        for change in &changes {
            state.apply(change, &from, &to);
        }
        prop_assert_eq!(state, to);
        prop_assert_eq!(changes.is_empty(), old == new);
    }
}
