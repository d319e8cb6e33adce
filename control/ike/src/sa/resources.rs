//! Several child SAs with the same selectors, so that each core has one of its own (RFC 9611).

use super::children::{Child, ChildState, MAX_CHILDREN, Selectors, Wanted};
use super::{Env, IkeSa};
use crate::config::{MAX_RESOURCES, TunnelConfig};

impl IkeSa {
    /// What is asked for once a child is there: first one for selectors that none has, then more with the same ones.
    pub(super) fn want_more_children(&mut self, config: &TunnelConfig) {
        if self.missing_selectors(config).is_some() {
            self.want(Wanted::CreateChild, None);
        } else {
            self.want_resource(config);
        }
    }

    /// Wants one more child with the selectors of another, if there are to be more and the peer may have them.
    pub(super) fn want_resource(&mut self, config: &TunnelConfig) {
        if self.missing_resource(config).is_some() {
            self.want(Wanted::CreateResource, None);
        }
    }

    /// Asks for a child with the selectors of another.
    pub(super) fn begin_resource(&mut self, env: &mut Env<'_, '_>) {
        if let Some((selectors, resource)) = self.missing_resource(env.config) {
            self.begin_creation(None, env.config.esp.clone(), selectors, resource, env);
        }
    }

    /// The selectors that too few children have, and the next one's number.
    fn missing_resource(&self, config: &TunnelConfig) -> Option<(Selectors, u16)> {
        if !self.asks_for_resources || self.is_crowded() {
            return None;
        }
        self.live_children().find_map(|child| {
            let selectors = &child.agreed.selectors;
            let resource = self.free_resource(selectors).filter(|resource| *resource < config.resources)?;
            Some((selectors.clone(), resource))
        })
    }

    /// As responder: the number of a child that the peer wants for a resource of its own; `None` if there are enough of them.
    pub(super) fn resource_for_peer(&self, selectors: &Selectors) -> Option<u16> {
        self.free_resource(selectors).filter(|_| !self.is_crowded())
    }

    /// The lowest number that no child with these selectors has; 0 is that of one that is for no core.
    fn free_resource(&self, selectors: &Selectors) -> Option<u16> {
        let taken = |resource: u16| {
            self.live_children().any(|child| child.agreed.resource == resource && child.agreed.selectors == *selectors)
        };
        (1..MAX_RESOURCES).find(|resource| !taken(*resource))
    }

    /// Those that are there must have room to be replaced.
    fn is_crowded(&self) -> bool {
        self.children.len() >= MAX_CHILDREN / 2
    }

    fn live_children(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|child| child.state == ChildState::Live)
    }
}
