//! Phone numbers that were judged before.

use std::sync::atomic::{AtomicU64, Ordering};

use switchboard_core::{Result, chat::PhoneNumber};

/// How many numbers are remembered, at 8 bytes each.
const REMEMBERED: usize = 1 << 16;

/// Remembers numbers that were found to be possible: judging one costs as much as sending many
/// messages. Each number has one place, and the latest of those that share one has it.
#[derive(Debug)]
pub(crate) struct Numbers(Vec<AtomicU64>);

impl Numbers {
    /// None was judged.
    pub(crate) fn new() -> Self {
        Self((0..REMEMBERED).map(|_| AtomicU64::new(0)).collect())
    }

    /// A number, however it is written.
    pub(crate) fn judge(&self, written: &str) -> Result<PhoneNumber> {
        // Only what is written as we write it can be looked up; it is also the commonest.
        let known = PhoneNumber::written_digits(written);
        if let Some(digits) = known
            && self.place(digits).load(Ordering::Relaxed) == digits
            && let Some(number) = PhoneNumber::from_digits(digits)
        {
            return Ok(number);
        }
        let number: PhoneNumber = written.parse()?;
        self.place(number.digits()).store(number.digits(), Ordering::Relaxed);
        Ok(number)
    }

    fn place(&self, digits: u64) -> &AtomicU64 {
        let scattered = digits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        &self.0[usize::try_from(scattered).unwrap_or_default() % REMEMBERED]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_judged() {
        let numbers = Numbers::new();
        for _ in 0..2 {
            for subscriber in 0..1_000 {
                let digits = 41_791_234_000_u64 + subscriber;
                assert_eq!(numbers.judge(&format!("+{digits}")).unwrap().digits(), digits);
            }
            let usual = numbers.judge("+41 79 123 45 67").unwrap();
            assert_eq!(numbers.judge("+41791234567").unwrap(), usual);
            numbers.judge("+4179123").unwrap_err();
            numbers.judge("+999123456789").unwrap_err();
        }
    }
}
