//! A primary that is gone for ever, and a standby that takes its place.

use std::{thread, time::Duration};

use switchboard_servers::Postgres;

use crate::{
    cluster::{Cluster, until},
    load::Load,
};

#[test]
fn a_failover_to_a_standby_loses_nothing() {
    let primary = Postgres::start().unwrap();
    let standby = primary.standby("standby").unwrap();
    let url = primary.url("postgres");
    // From now on every commit waits for the standby.
    for setting in
        ["ALTER SYSTEM SET synchronous_standby_names = standby", "SELECT pg_reload_conf()"]
    {
        primary.sql(&url, setting).unwrap();
    }
    let ports = (primary.port(), standby.port());
    let store = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", ports.0, ports.1);
    until("the standby is synchronous", || {
        let state = "SELECT sync_state FROM pg_stat_replication";
        primary.sql(&url, state).is_ok_and(|state| state.trim() == "sync")
    });
    let mut cluster = Cluster::on(vec![primary, standby], &store, &["gateway,status,api"; 2]);
    let load = Load::start(&cluster, &[0, 1]);
    for _ in 0..2 {
        load.moves();
    }
    cluster.postgres[0].kill();
    thread::sleep(Duration::from_secs(1));
    cluster.postgres[1].promote().unwrap();
    load.moves();
    for node in &cluster.nodes {
        node.ready().unwrap();
    }
    load.finish();
}
