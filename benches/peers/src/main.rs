//! The same durable ingest, one peer after the other, round by round, in one run.
//!
//! `cargo run --release -p switchboard-peers` after `cargo build --release`. Starts every peer by
//! itself, on a free port of 127.0.0.1, and stops it. Client and server share the machine's cores:
//! read ratios and medians.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark, run by hand")]

mod empty;
mod redis;
mod switchboard;

use std::{env, path::PathBuf, time::Duration};

use switchboard_peers::{Error, postgres, work::Figure};

/// What is compared: the name of each row.
const ROWS: [&str; 7] = [
    "Redis, appendfsync always, Lua, 16 x 64 pipelined",
    "PostgreSQL, batches of 64 on 16 connections",
    "empty tonic stream, 16 x 64",
    "Switchboard stream, 16 x 64",
    "Redis, appendfsync always, Lua, 64 x 1",
    "empty tonic unary, 8 x 64",
    "Switchboard unary, 8 x 64",
];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = env::args().skip(1);
    let (mut rounds, mut seconds, mut program) = (3, 5, beside()?);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "empty-server" => return empty::serve().await,
            "--rounds" => rounds = value()?.parse()?,
            "--seconds" => seconds = value()?.parse()?,
            "--switchboard" => program = value()?.into(),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let length = Duration::from_secs(seconds);
    let mut figures: [Vec<Figure>; ROWS.len()] = Default::default();
    for round in 1..=rounds {
        for (row, name) in ROWS.iter().enumerate() {
            let figure = match row {
                0 => redis::measure(16, 64, length).await?,
                1 => postgres::measure(length).await?,
                2 => empty::measure(&program, "grpc-stream", 16, length).await?,
                3 => switchboard::measure(&program, "grpc-stream", 16, length).await?,
                4 => redis::measure(64, 1, length).await?,
                5 => empty::measure(&program, "grpc", 8, length).await?,
                _ => switchboard::measure(&program, "grpc", 8, length).await?,
            };
            eprintln!("round {round}: {name}: {:.0}/s, {:.2} us", figure.rate, figure.server_us);
            figures[row].push(figure);
        }
    }
    println!("| | requests/s, median [min..max] | server CPU, us a request |\n|---|---|---|");
    for (name, figures) in ROWS.iter().zip(&figures) {
        let rate = sorted(figures, |figure| figure.rate);
        let cpu = sorted(figures, |figure| figure.server_us);
        let (median, last) = (rate.len() / 2, rate.len() - 1);
        let (low, middle, high) = (rate[0], rate[median], rate[last]);
        println!("| {name} | {middle:.0} [{low:.0}..{high:.0}] | {:.2} |", cpu[median]);
    }
    let ratio = |row: usize, to: usize| {
        let pairs = figures[row].iter().zip(&figures[to]);
        let mut ratios: Vec<f64> = pairs.map(|(one, other)| one.rate / other.rate).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    println!("\nMedian of the ratios, round by round:");
    println!("stream to Redis pipelined {:.2}", ratio(3, 0));
    println!("stream to the empty stream {:.2}", ratio(3, 2));
    println!("unary to the empty unary {:.2}", ratio(6, 5));
    Ok(())
}

fn sorted(figures: &[Figure], of: impl Fn(&Figure) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The program beside this one.
fn beside() -> Result<PathBuf, Error> {
    Ok(env::current_exe()?.with_file_name("switchboard"))
}
