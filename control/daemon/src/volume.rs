//! How much of what it may carry an SA has carried (RFC 4301 §4.4.2.1).

use gateway::EspParameters;

/// What an SA may carry, in each direction; `None`: any amount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volumes {
    pub packets: Option<u64>,
    pub bytes: Option<u64>,
}

/// Which of its limits an SA has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub degree: Degree,
    /// The limit's name in the resource file.
    pub name: &'static str,
    pub carried: u64,
    pub limit: u64,
}

/// How far the SA is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degree {
    /// Nine tenths: time to replace it.
    Soft,
    /// All: it is to carry nothing more.
    Hard,
}

impl Volumes {
    /// As the tunnel's parameters have it.
    pub fn of(esp: &EspParameters) -> Self {
        Self { packets: esp.lifetime_packets.limit(), bytes: esp.lifetime_bytes.limit() }
    }

    /// Whether there is any limit.
    pub fn limited(&self) -> bool {
        self.packets.is_some() || self.bytes.is_some()
    }

    /// How far an SA is that has carried so much; of two limits the one that is further.
    pub fn reached(&self, packets: u64, bytes: u64) -> Option<Reached> {
        let packets = reached("lifetime_packets", packets, self.packets);
        let bytes = reached("lifetime_bytes", bytes, self.bytes);
        [packets, bytes].into_iter().flatten().max_by_key(|reached| reached.degree)
    }
}

fn reached(name: &'static str, carried: u64, limit: Option<u64>) -> Option<Reached> {
    let limit = limit?;
    let degree = if carried >= limit {
        Degree::Hard
    } else if carried >= limit - limit / 10 {
        Degree::Soft
    } else {
        return None;
    };
    Some(Reached { degree, name, carried, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_further_limit_counts() {
        let both = Volumes { packets: Some(100), bytes: Some(1000) };
        let reached = |volumes: Volumes, packets, bytes| {
            volumes
                .reached(packets, bytes)
                .map(|reached| (reached.degree, reached.name, reached.carried, reached.limit))
        };
        assert_eq!(reached(both, 89, 899), None);
        assert_eq!(reached(both, 90, 0), Some((Degree::Soft, "lifetime_packets", 90, 100)));
        assert_eq!(reached(both, 0, 999), Some((Degree::Soft, "lifetime_bytes", 999, 1000)));
        assert_eq!(reached(both, 99, 1000), Some((Degree::Hard, "lifetime_bytes", 1000, 1000)));
        assert_eq!(reached(both, 100, 950), Some((Degree::Hard, "lifetime_packets", 100, 100)));
        assert_eq!(reached(Volumes::default(), u64::MAX, u64::MAX), None);
        // The smallest limits, and the greatest.
        assert_eq!(reached(Volumes { packets: Some(1), bytes: None }, 0, 9), None);
        let greatest = Volumes { packets: None, bytes: Some(u64::MAX) };
        assert_eq!(reached(greatest, 0, u64::MAX - 1).map(|(degree, ..)| degree), Some(Degree::Soft));
    }
}
