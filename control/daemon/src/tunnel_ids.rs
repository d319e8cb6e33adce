//! The numbers under which IKE and the workers know the tunnels, while their places in the file change.

use std::collections::{BTreeMap, BTreeSet};

use gateway::{Resources, TunnelIndex};
use ike::TunnelId;

/// Each tunnel's number, kept for as long as a tunnel of its name is there.
#[derive(Debug, Clone, Default)]
pub struct TunnelIds(Vec<TunnelId>);

impl TunnelIds {
    /// Numbers the tunnels of `new`; those that `old` had under the same name keep theirs.
    pub fn renumber(&self, old: &Resources, new: &Resources) -> Self {
        let known: BTreeMap<_, _> = old.tunnels().iter().map(|t| t.name.as_str()).zip(self.0.iter().copied()).collect();
        let mut taken: BTreeSet<TunnelId> = known.values().copied().collect();
        let number = |name: &str| {
            known.get(name).copied().unwrap_or_else(|| {
                let free = (0..).map(TunnelId).find(|id| !taken.contains(id)).unwrap_or(TunnelId(u32::MAX));
                taken.insert(free);
                free
            })
        };
        Self(new.tunnels().iter().map(|t| t.name.as_str()).map(number).collect())
    }

    /// The number of a tunnel.
    pub fn id(&self, index: TunnelIndex) -> Option<TunnelId> {
        self.0.get(index.position()).copied()
    }

    /// The place of a tunnel in the file; `None` for one that is gone.
    pub fn index(&self, id: TunnelId) -> Option<TunnelIndex> {
        self.0.iter().position(|known| *known == id).map(|position| TunnelIndex(position as u32))
    }

    /// Their numbers, by place in the file.
    pub fn all(&self) -> &[TunnelId] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(names: &[&str]) -> Resources {
        let example = include_str!("../../../examples/static.toml");
        let (head, rest) = example.split_once("[[vpn_tunnel]]").unwrap();
        let (tunnel, tail) = rest.split_once("[[static_route]]").unwrap();
        let addresses: Vec<String> =
            (0..names.len().max(1).next_power_of_two()).map(|n| format!("\"198.51.100.{}\"", n + 2)).collect();
        let mut text = head.replace("[\"198.51.100.2\"]", &format!("[{}]", addresses.join(", ")));
        for (n, name) in names.iter().enumerate() {
            let tunnel = tunnel.replace("tun-1", name).replace("198.51.100.2", &format!("198.51.100.{}", n + 2));
            text += &format!("[[vpn_tunnel]]{tunnel}");
        }
        Resources::parse("", &format!("{text}[[static_route]]{tail}")).unwrap()
    }

    #[test]
    fn numbers_stay_and_freed_ones_are_used_again() {
        let (first, second) = (resources(&["a", "b"]), resources(&["c", "b"]));
        let ids = TunnelIds::default().renumber(&Resources::default(), &first);
        assert_eq!(ids.all(), [TunnelId(0), TunnelId(1)]);
        let moved = ids.renumber(&first, &second);
        assert_eq!(moved.all(), [TunnelId(2), TunnelId(1)], "not the number of one that is still being removed");
        assert_eq!((moved.index(TunnelId(1)), moved.index(TunnelId(0))), (Some(TunnelIndex(1)), None));
        let third = moved.renumber(&second, &resources(&["b", "d"]));
        assert_eq!(third.all(), [TunnelId(1), TunnelId(0)]);
    }
}
