//! How fast reports are folded, how long a count takes, and how much memory a client takes.
//!
//! As in a node: clients are online before the clock is started, each is reported every five
//! seconds, time passes, and somebody asks for the count all the while. Reports are made outside
//! the timing. At the end the count is held against a scan of all clients. Redis does the same with
//! `ZADD` and `ZCOUNT`, where it is installed.
#![expect(clippy::print_stdout, reason = "a benchmark, run by hand")]

mod redis;
mod round;

use std::{env, error, fs, process::Command};

/// Whatever went wrong.
type Error = Box<dyn error::Error + Send + Sync>;

/// Each in a process of its own, so that none has memory left over from another.
const CLIENTS: [u64; 2] = [1_000_000, 10_000_000];

fn main() -> Result<(), Error> {
    if let Some(clients) = env::args().nth(1) {
        return round::measure(clients.parse()?);
    }
    println!(
        "| clients | updates/s, median [min..max] | a count, ns [max] | bytes a client \
         | longest fold, ms: growing, then | longest tick while all leave, ms |"
    );
    println!("|---|---|---|---|---|---|");
    for clients in CLIENTS {
        let status = Command::new(env::current_exe()?).arg(clients.to_string()).status()?;
        if !status.success() {
            return Err(format!("{clients} clients: {status}").into());
        }
    }
    redis::measure()
}

/// A random number (splitmix64), the same in each run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The middle of some figures, the least, and the greatest.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
}

/// The resident memory of a process, in bytes.
fn resident(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}
