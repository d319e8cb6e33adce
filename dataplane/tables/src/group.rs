//! Groups of tunnels that share a route's flows by weight.

use std::num::NonZeroU8;
use std::sync::Arc;

use crate::TunnelIndex;

/// A power of two, so that high bits of a flow's hash choose. A tunnel's share of the flows is a multiple of 1/256.
const BUCKETS: usize = 256;

/// The tunnels of a route that are up. Flows spread over 256 buckets, and each bucket belongs to one tunnel.
///
/// How many buckets a tunnel has follows its weight as seats in a parliament follow votes (Webster's method, the first seat
/// given): no bucket could change hands and bring two tunnels nearer to their weights, every tunnel has one at least, and
/// where one leaves, none of the others gets fewer than before. Which ones it
/// has, weighted rendezvous hashing says, within these numbers. So a group that is made anew without a tunnel mostly looks
/// as before, and one that is [`changed`](Self::changed) moves no more flows than it has to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelGroup(Tunnels);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Tunnels {
    /// No tunnel is up. The route stands all the same: nothing falls through to a wider one.
    #[default]
    None,
    One(TunnelIndex),
    Several(Arc<[TunnelIndex; BUCKETS]>),
}

impl From<TunnelIndex> for TunnelGroup {
    fn from(tunnel: TunnelIndex) -> Self {
        Self(Tunnels::One(tunnel))
    }
}

impl TunnelGroup {
    /// A group of different tunnels with their weights. No more of them than there are buckets carry flows.
    #[must_use]
    pub fn new(members: &[(TunnelIndex, NonZeroU8)]) -> Self {
        Self::default().changed(members)
    }

    /// The group with other members or weights: flows stay on their tunnel as far as the new shares allow. A tunnel that
    /// leaves moves only its own flows, one that comes moves only those that it takes.
    #[must_use]
    pub fn changed(&self, members: &[(TunnelIndex, NonZeroU8)]) -> Self {
        // In an order of their own, so that what is made does not depend on the one they were named in.
        let mut members = members.to_vec();
        members.sort_unstable();
        members.truncate(BUCKETS);
        match members.as_slice() {
            [] => Self(Tunnels::None),
            [(tunnel, _)] => Self(Tunnels::One(*tunnel)),
            several => Self(Tunnels::Several(Arc::new(self.buckets(several)))),
        }
    }

    /// The tunnel of a flow, or `None` where no tunnel is up. Its hash is asked for where there is a choice.
    #[inline(always)]
    #[must_use]
    pub fn tunnel(&self, flow_hash: impl FnOnce() -> u32) -> Option<TunnelIndex> {
        match &self.0 {
            Tunnels::None => None,
            Tunnels::One(tunnel) => Some(*tunnel),
            Tunnels::Several(buckets) => Some(buckets[flow_hash() as usize >> (u32::BITS - BUCKETS.ilog2())]),
        }
    }

    /// The tunnel of all flows, where there is no choice.
    #[inline]
    #[must_use]
    pub fn only(&self) -> Option<TunnelIndex> {
        match &self.0 {
            Tunnels::One(tunnel) => Some(*tunnel),
            Tunnels::None | Tunnels::Several(_) => None,
        }
    }

    fn buckets(&self, members: &[(TunnelIndex, NonZeroU8)]) -> [TunnelIndex; BUCKETS] {
        let mut left = shares(members);
        let mut kept = [None; BUCKETS];
        for (bucket, kept) in kept.iter_mut().enumerate() {
            let before = self.tunnel(|| (bucket as u32) << (u32::BITS - BUCKETS.ilog2()));
            let position = members.iter().position(|(tunnel, _)| Some(*tunnel) == before);
            if let Some(position) = position.filter(|position| left[*position] > 0) {
                left[position] -= 1;
                *kept = Some(position);
            }
        }
        let mut bucket = 0;
        kept.map(|kept| {
            let position = kept.unwrap_or_else(|| {
                let open = (0..members.len()).filter(|position| left[*position] > 0);
                let first = open
                    .min_by(|one, other| distance(bucket, members[*one]).total_cmp(&distance(bucket, members[*other])));
                let position = first.expect("as many buckets are shared out as there are");
                left[position] -= 1;
                position
            });
            bucket += 1;
            members[position].0
        })
    }
}

/// How many buckets each member has.
fn shares(members: &[(TunnelIndex, NonZeroU8)]) -> Vec<u64> {
    let mut shares = vec![1_u64; members.len()];
    for _ in members.len()..BUCKETS {
        // The next goes to the greatest weight / (2 share + 1), multiplied out to be exact.
        let claim = |position: usize| (u64::from(members[position].1.get()), 2 * shares[position] + 1);
        let next = (0..members.len()).reduce(|best, other| {
            let ((weight, divisor), (other_weight, other_divisor)) = (claim(best), claim(other));
            if other_weight * divisor > weight * other_divisor { other } else { best }
        });
        next.into_iter().for_each(|position| shares[position] += 1);
    }
    shares
}

/// Weighted rendezvous hashing: of several tunnels, the chance to be the nearest to a bucket is as their weights are.
fn distance(bucket: u64, (tunnel, weight): (TunnelIndex, NonZeroU8)) -> f64 {
    // SplitMix64's mixer.
    let mixed = (u64::from(tunnel.0) << 8 | bucket).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let uniform = ((mixed ^ mixed >> 31) as f64 + 1.0) / 2_f64.powi(64);
    -uniform.ln() / f64::from(weight.get())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn members(weights: &[(u32, u8)]) -> Vec<(TunnelIndex, NonZeroU8)> {
        weights.iter().map(|(tunnel, weight)| (TunnelIndex(*tunnel), NonZeroU8::new(*weight).unwrap())).collect()
    }

    /// One flow for each bucket.
    fn flows(group: &TunnelGroup) -> Vec<Option<TunnelIndex>> {
        (0..BUCKETS as u32).map(|bucket| group.tunnel(|| bucket << 24 | 0x00ab_cdef)).collect()
    }

    fn counts(group: &TunnelGroup) -> BTreeMap<u32, u32> {
        let mut counts = BTreeMap::new();
        flows(group).into_iter().flatten().for_each(|tunnel| *counts.entry(tunnel.0).or_default() += 1);
        counts
    }

    #[test]
    fn flows_follow_the_weights() {
        for (weights, expected) in [
            (&[(0, 1), (1, 1)][..], &[(0, 128), (1, 128)][..]),
            (&[(7, 255), (9, 255), (3, 255), (1, 255)], &[(1, 64), (3, 64), (7, 64), (9, 64)]),
            (&[(0, 3), (1, 1)], &[(0, 192), (1, 64)]),
            (&[(0, 255), (1, 1)], &[(0, 255), (1, 1)]),
            (&[(0, 1), (1, 1), (2, 1)], &[(0, 86), (1, 85), (2, 85)]),
            (&[(5, 200)], &[(5, 256)]),
            (&[], &[]),
        ] {
            assert_eq!(counts(&TunnelGroup::new(&members(weights))), expected.iter().copied().collect(), "{weights:?}");
        }
    }

    #[test]
    fn every_hash_has_a_tunnel_and_none_is_up_in_an_empty_group() {
        let group = TunnelGroup::new(&members(&[(0, 1), (1, 1)]));
        assert!([0, 1, 1 << 31, u32::MAX].into_iter().all(|hash| group.tunnel(|| hash).is_some()));
        assert_eq!(TunnelGroup::default().tunnel(|| 5), None);
        let crowd: Vec<_> = (0..300).map(|tunnel| (tunnel, 1)).collect();
        assert_eq!(counts(&TunnelGroup::new(&members(&crowd))).len(), BUCKETS);
    }

    /// A group that is made anew, without the memory of the one before, moves few flows of the tunnels that stay.
    #[test]
    fn groups_of_the_same_tunnels_are_alike() {
        for size in [2_u32, 3, 4, 8, 16] {
            let all: Vec<_> = (0..size).map(|tunnel| (tunnel, 1)).collect();
            let whole = flows(&TunnelGroup::new(&members(&all)));
            for gone in 0..size {
                let others: Vec<_> = all.iter().copied().filter(|(tunnel, _)| *tunnel != gone).collect();
                let rest = flows(&TunnelGroup::new(&members(&others)));
                let stayed = whole.iter().zip(&rest).filter(|(before, _)| **before != Some(TunnelIndex(gone)));
                let moved = stayed.filter(|(before, after)| before != after).count();
                assert!(moved <= BUCKETS / 16, "{moved} of {BUCKETS} flows moved as tunnel {gone} of {size} went");
            }
        }
    }

    fn some_members() -> impl Strategy<Value = BTreeMap<u32, u8>> {
        prop::collection::btree_map(0..40_u32, 1..=20_u8, 1..12)
    }

    proptest! {
        /// No bucket could change hands and bring two tunnels nearer to their weights, and in a group of ordinary size and
        /// weights nobody is a hundredth of all flows from its exact share.
        #[test]
        fn shares_follow_the_weights(weights in some_members()) {
            let total: u32 = weights.values().map(|weight| u32::from(*weight)).sum();
            let counts = counts(&TunnelGroup::new(&members(&Vec::from_iter(weights.clone()))));
            for (one, weight) in &weights {
                let (count, weight) = (counts[one], u32::from(*weight));
                let exact = f64::from(weight) / f64::from(total) * BUCKETS as f64;
                prop_assert!((f64::from(count) - exact).abs() <= BUCKETS as f64 / 100.0, "{count} for {exact}");
                for (other, other_weight) in &weights {
                    let fair = (2 * count - 1) * u32::from(*other_weight) <= (2 * counts[other] + 1) * weight;
                    prop_assert!(count == 1 || fair, "{one} and {other} of {counts:?} for {weights:?}");
                }
            }
        }

        #[test]
        fn who_leaves_moves_only_its_own_and_who_comes_only_what_it_takes(
            weights in some_members(), which in any::<prop::sample::Index>(),
        ) {
            let all = members(&Vec::from_iter(weights));
            let gone = all[which.index(all.len())];
            let others: Vec<_> = all.iter().copied().filter(|member| *member != gone).collect();
            let whole = TunnelGroup::new(&all);
            let rest = whole.changed(&others);
            for (before, after) in flows(&whole).into_iter().zip(flows(&rest)) {
                prop_assert!(before == after || before == Some(gone.0));
            }
            let back = rest.changed(&all);
            prop_assert_eq!(counts(&back), counts(&whole));
            for (before, after) in flows(&rest).into_iter().zip(flows(&back)) {
                prop_assert!(before == after || after == Some(gone.0));
            }
        }
    }
}
