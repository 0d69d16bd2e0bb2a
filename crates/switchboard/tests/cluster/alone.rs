//! The load and its checks on one node with the embedded store, which is killed: what is wrong
//! here is wrong with the checks.

use std::time::Duration;

use crate::{
    cluster::{Cluster, until},
    load::{Load, runs},
};

#[test]
fn one_node_is_found_to_be_right() {
    let mut cluster = Cluster::alone();
    let load = Load::start(&cluster, &[0]);
    until("all are counted", || load.presence.settled(1));
    load.presence.leave();
    for _ in 0..2 {
        cluster.nodes[0].kill();
        cluster.nodes[0].start_again().unwrap();
        load.moves();
    }
    cluster.restart(0);
    load.moves();
    cluster.nodes[0].freeze();
    runs(Duration::from_secs(2));
    cluster.nodes[0].thaw();
    load.finish();
}
