//! A border gateway's routes, as workers look them up.

use ipnet::IpNet;
use wire::Address;

use crate::trie::{NONE, Tries};
use crate::{AttachmentIndex, RouteIndex, SlotTable, TunnelGroup};

/// Where a route leads. Prefixes that lead the same way share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the network behind an attachment.
    Attachment(AttachmentIndex),
    /// To the gateway itself: the host answers.
    Host,
    /// Into one of these tunnels, by flow.
    Tunnels(TunnelGroup),
    /// Nowhere, and nobody is told.
    Blackhole,
    /// Nowhere, and the sender is told that the destination is unreachable (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
    Reject,
}

/// The routes of one border gateway, IPv4 and IPv6: the longest prefix wins.
///
/// Prefixes name routes by number, so a tunnel that comes or goes changes the few routes into it and not the many
/// prefixes. A clone shares all with its original, and a change copies little of it: see [`SlotTable`].
#[derive(Clone, Default)]
pub struct RouteTable {
    routes: SlotTable<Route>,
    prefixes: Tries,
}

impl RouteTable {
    /// A table of `routes`, numbered from zero, and the prefixes that lead to them.
    #[must_use]
    pub fn new(
        routes: impl IntoIterator<Item = Route>,
        prefixes: impl IntoIterator<Item = (IpNet, RouteIndex)>,
    ) -> Self {
        let mut table = Self { routes: routes.into_iter().enumerate().collect(), ..Self::default() };
        table.change_prefixes(prefixes.into_iter().map(|(prefix, route)| (prefix, Some(route))));
        table
    }

    /// Sets a route, for all prefixes that lead to it.
    pub fn set_route(&mut self, index: RouteIndex, route: Route) {
        self.routes.insert(index.position(), route);
    }

    /// Takes a route out. No prefix should lead to it any more: what still does has none.
    pub fn remove_route(&mut self, index: RouteIndex) {
        self.routes.remove(index.position());
    }

    /// Sets the routes of prefixes, or takes prefixes out; the last word on a prefix counts. Changes cost less together.
    ///
    /// # Panics
    /// With a number of 2^31 - 1 or more.
    pub fn change_prefixes(&mut self, changes: impl IntoIterator<Item = (IpNet, Option<RouteIndex>)>) {
        self.prefixes.apply(changes.into_iter().map(|(prefix, route)| {
            let number = route.map_or(NONE, |route| route.0);
            assert!(route.is_none() || number < NONE, "a route's number is below 2^31 - 1");
            (prefix, number)
        }));
    }

    /// How many prefixes there are.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// The route of the longest prefix that holds `destination`.
    #[inline(always)]
    #[must_use]
    pub fn lookup(&self, destination: impl Into<Address>) -> Option<&Route> {
        self.route(self.find(destination)?)
    }

    /// The number of that route.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, destination: impl Into<Address>) -> Option<RouteIndex> {
        let number = self.prefixes.lookup(destination.into());
        (number != NONE).then_some(RouteIndex(number))
    }

    /// Has brought near what [`RouteTable::find`] reads first, and waits for none of it.
    #[inline(always)]
    pub fn prefetch(&self, destination: Address) {
        self.prefixes.prefetch(destination);
    }

    /// The same of what it reads next, which is mostly all: see [`RouteTable::find_at`].
    #[inline(always)]
    pub fn prefetch_entry(&self, destination: Address) -> Option<RouteEntry<'_>> {
        self.prefixes.prefetch_entry(destination).map(RouteEntry)
    }

    /// As [`RouteTable::find`], what it reads having been asked for.
    #[inline(always)]
    #[must_use]
    pub fn find_at(&self, entry: Option<RouteEntry<'_>>, destination: Address) -> Option<RouteIndex> {
        match entry {
            Some(RouteEntry(&number)) if number < NONE => Some(RouteIndex(number)),
            _ => self.find(destination),
        }
    }

    /// The same of what [`RouteTable::route`] reads.
    #[inline(always)]
    pub fn prefetch_route(&self, index: RouteIndex) {
        self.routes.prefetch(index.position());
    }

    /// The route of this number.
    #[inline(always)]
    #[must_use]
    pub fn route(&self, index: RouteIndex) -> Option<&Route> {
        self.routes.get(index.position())
    }
}

/// Where the route of an address is read.
#[derive(Debug, Clone, Copy)]
pub struct RouteEntry<'a>(&'a u32);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::TunnelIndex;

    fn prefix(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn tunnel(index: u32) -> Route {
        Route::Tunnels(TunnelGroup::from(TunnelIndex(index)))
    }

    #[test]
    fn the_longest_prefix_wins() {
        let down = Route::Tunnels(TunnelGroup::default());
        let prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "192.0.2.0/24"];
        let table = RouteTable::new(
            [
                tunnel(0),
                tunnel(1),
                Route::Attachment(AttachmentIndex(7)),
                down.clone(),
                Route::Reject,
                Route::Blackhole,
            ],
            prefixes.into_iter().map(prefix).zip((0..).map(RouteIndex)),
        );
        let expected = [
            ("198.51.100.1", Some(tunnel(0))),
            ("10.2.0.1", Some(tunnel(1))),
            ("10.1.2.4", Some(Route::Attachment(AttachmentIndex(7)))),
            ("10.1.2.3", Some(down)),
            ("2001:db8::1", Some(Route::Reject)),
            ("192.0.2.9", Some(Route::Blackhole)),
            ("2001:db9::1", None),
        ];
        for (destination, route) in expected {
            let address: IpAddr = destination.parse().unwrap();
            assert_eq!(table.lookup(address), route.as_ref(), "{destination}");
        }
    }

    #[test]
    fn a_route_changes_for_all_its_prefixes_and_they_stay_where_they_are() {
        let (zero, one) = (RouteIndex(0), RouteIndex(1));
        let prefixes = [(prefix("10.0.0.0/8"), zero), (prefix("10.1.0.0/24"), one), (prefix("10.2.0.0/24"), zero)];
        let before = RouteTable::new([tunnel(0), tunnel(1)], prefixes);
        let mut after = before.clone();
        after.set_route(zero, tunnel(5));
        let routes = |table: &RouteTable| {
            [[10, 9, 9, 9], [10, 1, 0, 1], [10, 2, 0, 1]].map(|address| table.lookup(IpAddr::from(address)).cloned())
        };
        assert_eq!(routes(&before), [Some(tunnel(0)), Some(tunnel(1)), Some(tunnel(0))]);
        assert_eq!(routes(&after), [Some(tunnel(5)), Some(tunnel(1)), Some(tunnel(5))]);
        assert!(before.prefixes.same(&after.prefixes));
        after.change_prefixes([(prefix("10.2.0.0/24"), Some(one)), (prefix("10.1.0.0/24"), None)]);
        assert_eq!(routes(&after), [Some(tunnel(5)), Some(tunnel(5)), Some(tunnel(1))]);
        assert!(!before.prefixes.same(&after.prefixes));
        // No wider route takes over where the route is gone and the prefix is not.
        after.remove_route(one);
        assert_eq!(routes(&after), [Some(tunnel(5)), Some(tunnel(5)), None]);
        assert_eq!(routes(&before), [Some(tunnel(0)), Some(tunnel(1)), Some(tunnel(0))]);
    }
}
