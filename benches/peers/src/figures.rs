//! Of many measurements those that are told.

use std::{fmt, time::Duration};

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The value below which so many of a hundred are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list"
)]
pub fn percentile(sorted: &[Duration], of_hundred: f64) -> Duration {
    let place = (sorted.len() as f64 * of_hundred / 100.0) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The same figure of each round: printed as its median and, in brackets, the least and the
/// greatest.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds the figure of a round.
    pub fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// This figure to another, round by round.
    #[must_use]
    pub fn to(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
        let least = self.0.iter().copied().fold(least, f64::min);
        let most = self.0.iter().copied().fold(most, f64::max);
        let (middle, places) = (median(self.0.clone()), f.precision().unwrap_or_default());
        write!(f, "{middle:.places$} [{least:.places$}..{most:.places$}]")
    }
}
