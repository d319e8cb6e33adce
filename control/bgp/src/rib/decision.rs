//! Which of several routes to one prefix are the best.

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use rustbgpd_wire::Origin;

use crate::attributes::Merit;

/// What counts of where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The kind of next hop; the lower wins, before all else.
    pub(crate) preference: u8,
    /// How the route came about; the lower wins, before all that BGP says of it.
    pub(crate) distance: u8,
    /// The peer's BGP identifier and address, which decide where nothing else does; `None` for routes of our own.
    pub(crate) peer: Option<(Ipv4Addr, IpAddr)>,
}

/// Where a route loses against the ones that are chosen, in the order in which that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It is kept as a last resort.
    Stale,
    /// The kind of its next hop.
    NextHopKind,
    /// How it came about.
    RouteKind,
    /// LOCAL_PREF.
    LocalPref,
    /// The length of its AS path.
    PathLength,
    /// ORIGIN.
    Origin,
    /// MULTI_EXIT_DISC, against a route from the same AS.
    Med,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "it is kept as a last resort only",
            Self::NextHopKind => "another one leads through a better kind of next hop",
            Self::RouteKind => "another one came about in a better way",
            Self::LocalPref => "another one has a higher LOCAL_PREF",
            Self::PathLength => "another one has a shorter AS path",
            Self::Origin => "another one has a better ORIGIN",
            Self::Med => "another one from the same AS has a lower MULTI_EXIT_DISC",
        })
    }
}

type Rank = (bool, u8, u8, Reverse<u32>, u32, Origin);

fn rank(standing: Standing, merit: Merit) -> Rank {
    let Standing { preference, distance, .. } = standing;
    let Merit { stale, local_pref, path_length, origin, .. } = merit;
    (stale, preference, distance, Reverse(local_pref), path_length, origin)
}

/// Where a route loses that is not chosen, against one that is.
pub(crate) fn lost_by(loser: (Standing, Merit), winner: (Standing, Merit)) -> Step {
    let (loser, winner) = (rank(loser.0, loser.1), rank(winner.0, winner.1));
    let steps = [
        (loser.0 != winner.0, Step::Stale),
        (loser.1 != winner.1, Step::NextHopKind),
        (loser.2 != winner.2, Step::RouteKind),
        (loser.3 != winner.3, Step::LocalPref),
        (loser.4 != winner.4, Step::PathLength),
        (loser.5 != winner.5, Step::Origin),
    ];
    steps.into_iter().find(|(differs, _)| *differs).map_or(Step::Med, |(_, step)| step)
}

/// Leaves the best of the candidates, which are all that packets are spread over, the one that is told to others first.
///
/// The product's order goes before BGP's: kind of next hop, kind of route; then LOCAL_PREF, and the length of the AS path, which is
/// the product's metric; then ORIGIN, and among routes from one AS MULTI_EXIT_DISC (RFC 4271 §9.1.2.2). What is kept for a
/// peer that is long gone comes after everything else (RFC 9494 §4.3).
pub(crate) fn best<T: Copy>(candidates: &mut Vec<(T, Standing, Merit)>) {
    let rank = |(_, standing, merit): &(T, Standing, Merit)| rank(*standing, *merit);
    let Some(least) = candidates.iter().map(rank).min() else { return };
    candidates.retain(|candidate| rank(candidate) == least);
    if candidates.len() > 1 {
        // A route goes if another one of its AS has a lower MULTI_EXIT_DISC, whatever else there is.
        let exits: Vec<_> = candidates.iter().map(|(_, _, merit)| (merit.neighbor_as, merit.med)).collect();
        candidates.retain(|(_, _, merit)| {
            exits.iter().all(|(neighbor_as, med)| *neighbor_as != merit.neighbor_as || *med >= merit.med)
        });
        candidates.sort_by_key(|(_, standing, _)| standing.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERIT: Merit =
        Merit { local_pref: 100, path_length: 2, origin: Origin::Igp, med: 10, neighbor_as: 65010, stale: false };

    fn peer(last: u8) -> Standing {
        Standing { preference: 140, distance: 150, peer: Some(([10, 0, 0, last].into(), [169, 254, 9, last].into())) }
    }

    fn chosen(mut candidates: Vec<(u8, Standing, Merit)>) -> Vec<u8> {
        // In whatever order they are looked at.
        let mut backward: Vec<_> = candidates.iter().rev().copied().collect();
        best(&mut candidates);
        best(&mut backward);
        let names = |of: &[(u8, Standing, Merit)]| of.iter().map(|(name, _, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(&candidates), names(&backward));
        names(&candidates)
    }

    #[test]
    fn each_step_decides_where_those_before_it_do_not() {
        let ours = Standing { preference: 100, distance: 120, peer: None };
        let fixed = Standing { distance: 100, ..peer(3) };
        let internal = Standing { distance: 200, ..peer(2) };
        // From the strongest to the weakest: each wins against all that follow it.
        let ladder = [
            ("kind of next hop", ours, Merit { path_length: 9, local_pref: 1, ..MERIT }),
            ("kind of route", fixed, Merit { path_length: 9, local_pref: 1, ..MERIT }),
            ("LOCAL_PREF", peer(4), Merit { local_pref: 200, path_length: 9, origin: Origin::Incomplete, ..MERIT }),
            ("path length", peer(5), Merit { path_length: 1, origin: Origin::Incomplete, med: 99, ..MERIT }),
            ("ORIGIN", peer(6), Merit { med: 99, ..MERIT }),
            ("ORIGIN of EGP", peer(7), Merit { origin: Origin::Egp, med: 99, ..MERIT }),
            ("MED", peer(8), Merit { origin: Origin::Incomplete, med: 1, ..MERIT }),
            ("a higher MED", peer(9), Merit { origin: Origin::Incomplete, med: 2, ..MERIT }),
            ("internal", internal, MERIT),
            ("stale", peer(1), Merit { stale: true, local_pref: 900, path_length: 0, ..MERIT }),
        ];
        let mut steps = Vec::new();
        for (place, winner) in ladder.iter().enumerate() {
            for loser in ladder.iter().skip(place + 1) {
                let both = vec![(1, winner.1, winner.2), (2, loser.1, loser.2)];
                assert_eq!(chosen(both), [1], "{} against {}", winner.0, loser.0);
            }
            let next = ladder.get(place + 1);
            steps.extend(next.map(|next| lost_by((next.1, next.2), (winner.1, winner.2))));
        }
        use Step::{LocalPref, Med, NextHopKind, PathLength, RouteKind, Stale};
        // Each against the one before it; what tells them apart last is named by the step at which it does.
        let expected =
            [NextHopKind, RouteKind, LocalPref, PathLength, Step::Origin, Step::Origin, Med, RouteKind, Stale];
        assert_eq!(steps, expected);
    }

    #[test]
    fn equal_routes_share_and_the_smaller_identifier_is_told() {
        assert_eq!(chosen(vec![(1, peer(9), MERIT), (2, peer(3), MERIT), (3, peer(5), MERIT)]), [2, 3, 1]);
        assert_eq!(chosen(vec![]), [0; 0]);
    }

    #[test]
    fn med_counts_within_one_as_only() {
        let of = |neighbor_as, med| Merit { neighbor_as, med, ..MERIT };
        // The second goes for the first's sake; the third is of another AS and stays, although its MED is the highest.
        let three = vec![(1, peer(1), of(65010, 5)), (2, peer(2), of(65010, 6)), (3, peer(3), of(65020, 7))];
        assert_eq!(chosen(three), [1, 3]);
    }
}
