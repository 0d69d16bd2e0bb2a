//! Those who publish what is kept, each with so many events under way.

use std::collections::VecDeque;

use switchboard_peers::Error;

use crate::{
    fan_out::DATA_BYTES,
    link::Link,
    wire::{Answers, Wire},
};

/// Publishes over one connection.
#[derive(Debug)]
pub(crate) struct Producer {
    /// One publish, as it is sent.
    message: Vec<u8>,
    /// How many are answered with all before them, and of the next whether they are.
    answered: u64,
    sent: VecDeque<bool>,
}

impl Producer {
    /// On the so-manieth connection.
    pub(crate) fn new(wire: &dyn Wire, number: usize) -> Self {
        let mut message = Vec::new();
        wire.publish(number, true, &[b'x'; DATA_BYTES], &mut message);
        Self { message, answered: 0, sent: VecDeque::new() }
    }

    /// Sends until so many are under way, but no more than `most`, and says how many.
    pub(crate) fn fill(&mut self, link: &mut Link, window: usize, most: u64) -> Result<u64, Error> {
        let mut sent = 0;
        while self.sent.len() < window && sent < most {
            link.out.extend_from_slice(&self.message);
            self.sent.push_back(false);
            sent += 1;
        }
        if 0 < sent {
            link.flush()?;
        }
        Ok(sent)
    }

    /// Notes an answer; fails when it answers nothing.
    pub(crate) fn answer(&mut self, answers: Answers) -> Result<(), Error> {
        let first = self.answered + 1;
        let (from, to) = match answers {
            Answers::Next => (first, first),
            Answers::One(number) => (number, number),
            Answers::UpTo(number) => (first, number),
        };
        for number in from..=to {
            let place = usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX);
            *self.sent.get_mut(place).ok_or("an answer to nothing")? = true;
        }
        while self.sent.front() == Some(&true) {
            self.sent.pop_front();
            self.answered += 1;
        }
        Ok(())
    }

    /// How many are answered with all before them.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Session;

    #[test]
    fn answers_may_come_before_their_turn() {
        let mut producer = Producer::new(&Session, 0);
        producer.sent.extend([false; 5]);
        for (answer, answered) in
            [(Answers::One(2), 0), (Answers::One(1), 2), (Answers::Next, 3), (Answers::UpTo(5), 5)]
        {
            producer.answer(answer).unwrap();
            assert_eq!(producer.answered(), answered, "{answer:?}");
        }
        assert!(producer.answer(Answers::Next).is_err());
        assert!(producer.answer(Answers::One(1)).is_err());
    }
}
