//! Which reports of which gateway were folded, where several nodes append to one journal.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use switchboard_core::presence::{GatewayId, Place};

/// For how long a gateway is remembered of which nothing is heard: longer than the journal is kept.
const KEPT: Duration = Duration::from_mins(10);

/// Reports of one gateway that are known while others before them are missing, at the most.
const BEYOND_MAX: usize = 1_024;

/// Up to where the reports of each gateway were folded.
///
/// Its time is that during which the journal could be read: who was not heard of while nobody
/// listened was not silent.
#[derive(Debug, Default)]
pub(super) struct Places {
    time: Duration,
    gateways: HashMap<GatewayId, Folded>,
    /// Those at which somebody is noted to be, and since when that is known.
    noted: HashMap<GatewayId, Duration>,
}

#[derive(Debug, Default)]
struct Folded {
    /// Everything up to this number.
    through: u64,
    /// And these.
    beyond: BTreeSet<u64>,
    /// When there was news of it.
    heard: Duration,
}

impl Places {
    /// A report is known by itself. Says whether that is news.
    pub(super) fn note(&mut self, place: Place) -> bool {
        let time = self.time;
        let folded = self.gateways.entry(place.gateway).or_default();
        if place.number <= folded.through || !folded.beyond.insert(place.number) {
            return false;
        }
        folded.heard = time;
        folded.settle();
        if BEYOND_MAX < folded.beyond.len() {
            // It is read, and folded once more.
            folded.beyond.pop_last();
        }
        true
    }

    /// All reports of a gateway up to one are known, that one by now. Says whether that is news.
    pub(super) fn reach(&mut self, place: Place) -> bool {
        let time = self.time;
        let folded = self.gateways.entry(place.gateway).or_default();
        if place.number <= folded.through {
            return false;
        }
        folded.heard = time;
        folded.through = place.number;
        let known = folded.beyond.contains(&place.number);
        folded.beyond = folded.beyond.split_off(&(place.number + 1));
        folded.settle();
        !known
    }

    /// Up to where everything is known.
    pub(super) fn through(&self) -> Vec<Place> {
        let place = |(gateway, folded): (&GatewayId, &Folded)| Place {
            gateway: *gateway,
            number: folded.through,
        };
        self.gateways.iter().map(place).collect()
    }

    /// So long nothing was missed.
    pub(super) fn pass(&mut self, time: Duration) {
        self.time += time;
        let time = self.time;
        self.gateways.retain(|_, folded| time < folded.heard + KEPT);
    }

    /// Somebody is noted to be at these gateways. Returns those that have been silent for so long
    /// since that is known.
    pub(super) fn silent(&mut self, noted: &[GatewayId], so_long: Duration) -> Vec<GatewayId> {
        let time = self.time;
        self.noted.retain(|gateway, _| noted.contains(gateway));
        let silent = noted.iter().filter(|gateway| {
            let since = *self.noted.entry(**gateway).or_insert(time);
            let heard = self.gateways.get(gateway).map_or(since, |folded| folded.heard.max(since));
            heard + so_long <= time
        });
        silent.copied().collect()
    }
}

impl Folded {
    /// Moves on over what is known already.
    fn settle(&mut self) {
        while self.beyond.remove(&(self.through + 1)) {
            self.through += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(gateway: u64, number: u64) -> Place {
        Place { gateway: GatewayId(gateway), number }
    }

    fn through(places: &Places) -> Vec<u64> {
        places.through().into_iter().map(|place| place.number).collect()
    }

    #[test]
    fn what_is_missing_is_asked_for_and_nothing_else() {
        let mut places = Places::default();
        assert!(places.note(place(1, 1)) && places.note(place(1, 2)));
        assert!(!places.note(place(1, 2)), "it came twice");
        assert!(places.note(place(1, 5)) && places.note(place(1, 4)));
        assert!(!places.note(place(1, 5)));
        assert_eq!(through(&places), [2]);
        assert!(places.reach(place(1, 3)));
        assert_eq!(through(&places), [5]);
        assert!(!places.reach(place(1, 4)));
        // The first are not kept any more.
        assert!(places.note(place(1, 500)));
        assert!(places.reach(place(1, 498)));
        assert_eq!(through(&places), [498]);
        assert!(!places.reach(place(1, 500)), "it came before");
        assert_eq!(through(&places), [500]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut places = Places::default();
        for number in 2..10_000 {
            places.note(place(1, number));
        }
        assert_eq!(places.gateways[&GatewayId(1)].beyond.len(), BEYOND_MAX);
        places.reach(place(1, 1));
        assert_eq!(through(&places), [BEYOND_MAX as u64 + 1]);
        places.pass(KEPT);
        assert!(places.gateways.is_empty());
    }

    #[test]
    fn who_is_silent_while_somebody_is_there_is_gone() {
        const LONG: Duration = Duration::from_secs(15);
        let [one, two] = [GatewayId(1), GatewayId(2)];
        let mut places = Places::default();
        places.note(place(1, 1));
        places.pass(Duration::from_secs(100));
        assert_eq!(places.silent(&[], LONG), []);
        // Nobody was there: its silence said nothing.
        assert_eq!(places.silent(&[one, two], LONG), []);
        places.pass(LONG / 2);
        places.note(place(1, 2));
        places.pass(LONG / 2);
        assert_eq!(places.silent(&[one, two], LONG), [two]);
        places.pass(LONG / 2);
        assert_eq!(places.silent(&[one, two], LONG), [one, two]);
        // Whoever was noted again has time again.
        assert_eq!(places.silent(&[one], LONG), [one]);
        assert_eq!(places.silent(&[one, two], LONG), [one]);
    }
}
