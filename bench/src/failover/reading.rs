//! What became of the packets of one direction.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

/// When each packet was sent and arrived, by its number. Flows take turns.
#[derive(Debug, Clone)]
pub struct Reading {
    flows: usize,
    sent: Vec<Instant>,
    arrived: Vec<Option<Instant>>,
}

impl Reading {
    /// Of so many flows.
    pub fn new(flows: usize, sent: Vec<Instant>, mut arrived: Vec<Option<Instant>>) -> Self {
        arrived.resize(sent.len(), None);
        Self { flows, sent, arrived }
    }

    /// Packets that were sent in a time and did not arrive.
    pub fn lost(&self, time: &Range<Instant>) -> Vec<usize> {
        (0..self.sent.len())
            .filter(|&number| time.contains(&self.sent[number]) && self.arrived[number].is_none())
            .collect()
    }

    /// The flows of some packets.
    pub fn flows_of(&self, packets: &[usize]) -> BTreeSet<usize> {
        packets.iter().map(|number| number % self.flows).collect()
    }

    /// How long none of these flows' packets arrived, where some that were sent in a time were lost: from the last one that arrived
    /// before the first one was lost to the first one that arrived after the last one was.
    pub fn outage(&self, time: &Range<Instant>, flows: &BTreeSet<usize>) -> Option<Duration> {
        let of_flows = |number: &usize| flows.contains(&(number % self.flows));
        let lost: Vec<usize> = self.lost(time).into_iter().filter(of_flows).collect();
        let (first, last) = (*lost.first()?, *lost.last()?);
        let before = (0..first).filter(of_flows).filter_map(|number| self.arrived[number]).max()?;
        let after = (last + 1..self.sent.len()).filter(of_flows).filter_map(|number| self.arrived[number]).min()?;
        Some(after.saturating_duration_since(before))
    }

    /// Some packets, for people: how many, and when the first and the last were sent, from a moment on.
    pub fn describe(&self, packets: &[usize], moment: Instant) -> String {
        let at = |number: Option<&usize>| {
            let sent = number.and_then(|number| self.sent.get(*number));
            sent.map_or(f64::NAN, |sent| {
                // An instant has no signed difference.
                let (later, earlier) =
                    (sent.saturating_duration_since(moment), moment.saturating_duration_since(*sent));
                (later.as_secs_f64() - earlier.as_secs_f64()) * 1000.0
            })
        };
        let flows = self.flows_of(packets).len();
        let (first, last) = (at(packets.first()), at(packets.last()));
        format!("{} of {flows} flows, sent after {first:.1} to {last:.1} ms", packets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet each millisecond, of two flows; a packet takes half a millisecond.
    fn reading(lost: &[usize]) -> (Instant, Reading) {
        let began = Instant::now();
        let sent: Vec<Instant> = (0..100).map(|number| began + Duration::from_millis(number)).collect();
        let arrive =
            |(number, sent): (usize, &Instant)| (!lost.contains(&number)).then(|| *sent + Duration::from_micros(500));
        let mut arrived: Vec<_> = sent.iter().enumerate().map(arrive).collect();
        while arrived.pop_if(|arrived| arrived.is_none()).is_some() {}
        (began, Reading::new(2, sent, arrived))
    }

    #[test]
    fn an_outage_is_that_of_the_flows_that_are_hit() {
        let (began, reading) = reading(&[21, 23, 25, 60, 98, 99]);
        let at = |millisecond| began + Duration::from_millis(millisecond);
        let cut = at(10)..at(50);
        assert_eq!(reading.lost(&cut), [21, 23, 25]);
        let hit = reading.flows_of(&reading.lost(&cut));
        assert_eq!(hit, BTreeSet::from([1]));
        // From that with number 19 to that with number 27.
        assert_eq!(reading.outage(&cut, &hit), Some(Duration::from_millis(8)));
        assert_eq!(reading.outage(&cut, &BTreeSet::from([0])), None);
        assert_eq!(reading.lost(&(at(50)..at(100))), [60, 98, 99]);
        // What does not come back has no end.
        assert_eq!(reading.outage(&(at(90)..at(100)), &hit), None);
        assert_eq!(reading.describe(&[21, 25], at(22)), "2 of 1 flows, sent after -1.0 to 3.0 ms");
    }
}
