//! What the process takes of the machine, read when somebody asks.

use std::fs;

/// One reading. Zero for what the machine does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    /// Since the machine's start, in seconds.
    pub(super) started_after_boot: f64,
}

/// Reads `/proc` (proc(5)).
#[expect(clippy::cast_precision_loss, reason = "ticks and seconds, far below 2^52")]
pub(super) fn read() -> Reading {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold anything: fields are counted behind it, from the third.
    let fields: Vec<&str> = match stat.rsplit_once(')') {
        Some((_, rest)) => rest.split_whitespace().collect(),
        None => Vec::new(),
    };
    let field = |number: usize| -> u64 {
        let text = fields.get(number - 3);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Reading {
        cpu_seconds: (field(14) + field(15)) as f64 / ticks,
        resident_bytes: field(24) * page,
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64),
        max_fds: limits.current.unwrap_or_default(),
        started_after_boot: field(22) as f64 / ticks,
    }
}

/// When the machine started, in seconds since the Unix epoch.
pub(super) fn boot_time() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_something() {
        let reading = read();
        assert!(0 < reading.resident_bytes && 0 < reading.open_fds && 0 < reading.max_fds);
        assert!(1e9 < boot_time());
    }
}
