//! Where a reader has come to, over any number of connections.

use super::Event;

/// Where a reader began, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where it began on this connection, or wants to.
    began: String,
    /// The last durable event behind that.
    come_to: Option<u64>,
    /// The last durable event that was handed out, over any connection; 0 before the first.
    last: u64,
}

impl Place {
    /// A reader that wants to begin here.
    pub(crate) fn new(after: &str) -> Self {
        Self { began: after.to_owned(), come_to: None, last: 0 }
    }

    /// The node says where it has begun.
    pub(crate) fn begun(&mut self, cursor: String) {
        (self.began, self.come_to) = (cursor, None);
    }

    /// An event came. False where it was handed out before.
    pub(crate) fn came(&mut self, event: &Event) -> bool {
        if event.sequence == 0 {
            return true;
        }
        if event.sequence <= self.last {
            return false;
        }
        self.last = event.sequence;
        self.come_to = Some(event.sequence);
        true
    }

    /// Where it goes on, as the node takes it: with the cursor it began at, so that what it knows
    /// to have expired is not told again.
    pub(crate) fn after(&self) -> String {
        match self.come_to {
            None => self.began.clone(),
            Some(sequence) => format!("{}/{sequence}", self.began),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_where_it_began_and_how_far_it_has_come() {
        let came = |place: &mut Place, sequence| {
            let event = switchboard_proto::v1::Event { sequence, ..Default::default() };
            place.came(&event.into())
        };
        let mut place = Place::new("start");
        assert_eq!(place.after(), "start");
        place.begun("4.2-tag".to_owned());
        assert_eq!(place.after(), "4.2-tag");
        assert!(came(&mut place, 5) && came(&mut place, 0) && came(&mut place, 9));
        assert_eq!(place.after(), "4.2-tag/9");
        place.begun("9.2-tag".to_owned());
        assert_eq!(place.after(), "9.2-tag");
        assert!(!came(&mut place, 9) && came(&mut place, 0));
        assert_eq!(place.after(), "9.2-tag");
        assert!(came(&mut place, 10));
        assert_eq!(place.after(), "9.2-tag/10");
    }
}
