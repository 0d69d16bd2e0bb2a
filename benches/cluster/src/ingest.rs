//! Durable ingest over three nodes, beside bare batched statements on the same PostgreSQL.

use std::time::Duration;

use switchboard_peers::{Error, figures::Rounds, postgres};
use switchboard_servers::Node;
use tokio::{process::Command, task::JoinSet};

use crate::{
    Options,
    cluster::{ALL, Cluster},
};

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let length = options.length.unwrap_or(Duration::from_secs(5));
    let cluster = Cluster::start(&options.program, &[ALL; 3])?;
    let (mut nodes, mut bare, mut cpu) = (Rounds::default(), Rounds::default(), Rounds::default());
    for round in 1..=options.rounds {
        let (run, held) = postgres::record(&cluster.postgres.url("postgres"), length).await?;
        let alone = run.figure(0.0).rate;
        drop(held);
        let before = cluster.cpu();
        let together = measure(options, &cluster.nodes, length).await?;
        // The second of the warm-up was served too, at about the same rate.
        let requests = together * (length.as_secs_f64() + 1.0);
        let used = (cluster.cpu() - before) * 1e6 / requests;
        eprintln!(
            "round {round}: nodes {together:.0}/s ({used:.1} us of their CPU), bare {alone:.0}/s"
        );
        nodes.add(together);
        bare.add(alone);
        cpu.add(used);
    }
    let Options { connections, in_flight, .. } = options;
    println!("3 nodes, {connections} streams each with {in_flight} in flight: {nodes:.0} keys/s");
    println!("CPU of the nodes: {cpu:.1} us a key");
    println!("bare batches of 64 on 16 connections: {bare:.0} keys/s");
    println!("nodes to bare, round by round: {:.2}", nodes.to(&bare));
    Ok(())
}

/// Keys a second over all nodes, each driven by the program's own load generator, which checks the
/// answers.
async fn measure(options: &Options, nodes: &[Node], length: Duration) -> Result<f64, Error> {
    let mut running = JoinSet::new();
    for node in nodes {
        let mut command = Command::new(&options.program);
        command.args(["bench", "ingest", "--url", &node.url(), "--json"]);
        command.args(["--connections", &options.connections.to_string()]);
        command.args(["--in-flight", &options.in_flight.to_string()]);
        command.args(["--warmup", "1s", "--duration", &format!("{}s", length.as_secs())]);
        running.spawn(async move { command.output().await });
    }
    let mut all = 0.0;
    while let Some(ended) = running.join_next().await {
        let output = ended??;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        all += report["requests_per_second"].as_f64().ok_or("no report")?;
    }
    Ok(all)
}
