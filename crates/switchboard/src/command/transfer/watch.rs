//! A bar that shows how far one has come.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};
use switchboard_core::transfer::{Section, Watch};

/// A bar on the terminal, if there is one.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(0);
        let style = "{msg:22} {bar:40} {pos}/{len} {per_sec} {eta}";
        // It is a template: there is nothing to go wrong with.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
        Self(bar)
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Watch for Bar {
    fn begin(&self, section: Section, rows: u64) {
        self.0.reset();
        self.0.set_length(rows);
        self.0.set_message(section.as_str());
    }

    fn carried(&self, _section: Section, rows: u64) {
        self.0.inc(rows);
        // What is counted beforehand may be an estimate.
        let come_to = self.0.position();
        if self.0.length().is_some_and(|length| length < come_to) {
            self.0.set_length(come_to);
        }
    }

    fn done(&self, _section: Section) {
        self.0.set_position(self.0.length().unwrap_or_default());
    }

    fn compare(&self, section: Section) {
        self.0.set_message(format!("comparing {section}"));
    }
}
