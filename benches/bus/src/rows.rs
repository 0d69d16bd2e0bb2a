//! A table of figures, a row for each system.

use std::fmt::Write as _;

use switchboard_peers::figures::Rounds;

use crate::server::System;

/// Figures by system, as they come round by round.
#[derive(Debug)]
pub(crate) struct Rows {
    columns: Vec<String>,
    rows: Vec<(System, Vec<Rounds>)>,
}

impl Rows {
    /// Of the columns the first is that of which ratios are told.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds what was measured in a round, and tells it.
    pub(crate) fn add(&mut self, round: usize, system: System, figures: &[f64]) {
        let mut told = String::new();
        for (column, figure) in self.columns.iter().zip(figures) {
            let places = places(*figure);
            let _ = write!(told, "; {column} {figure:.places$}");
        }
        eprintln!("round {round}: {}{told}", system.name());
        let found = self.rows.iter().position(|row| row.0 == system);
        let row = found.unwrap_or_else(|| {
            self.rows.push((system, vec![Rounds::default(); self.columns.len()]));
            self.rows.len() - 1
        });
        for (rounds, figure) in self.rows[row].1.iter_mut().zip(figures) {
            rounds.add(*figure);
        }
    }

    /// Prints all, and the ratio of Switchboard's to each of the others, round by round.
    pub(crate) fn print(&self, title: &str) {
        let (heads, line) = (self.columns.join(" | "), "---|".repeat(self.columns.len() + 2));
        println!("| {title} | {heads} | Switchboard to it |\n|{line}");
        let ours = self.rows.iter().find(|row| row.0 == System::Switchboard);
        for (system, rounds) in &self.rows {
            let mut text = String::new();
            for rounds in rounds {
                let places = places(rounds.median());
                let _ = write!(text, " {rounds:.places$} |");
            }
            let ratio = match (ours, rounds.first()) {
                (Some((_, ours)), Some(theirs)) if *system != System::Switchboard => {
                    format!("{:.2}", ours[0].to(theirs))
                }
                _ => String::new(),
            };
            println!("| {} |{text} {ratio} |", system.name());
        }
    }
}

/// So many places behind the point that three or four digits are told.
fn places(figure: f64) -> usize {
    match figure.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    }
}
