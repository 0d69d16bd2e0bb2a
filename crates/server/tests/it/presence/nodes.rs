//! Who is online, where nodes share a store.

use std::time::Instant;

use switchboard_contract::Fate;
use switchboard_core::{
    ClientId, Millis,
    bus::{Attendance, Log as _},
    presence::GatewayId,
};
use switchboard_proto::v1::server_frame::Frame;
use switchboard_server::Looks;
use tokio::time::timeout;

use super::*;
use crate::cluster::{Cluster, NEVER};

async fn counts(nodes: &[&Node]) -> Vec<(u64, u64)> {
    let mut counts = Vec::new();
    for node in nodes {
        let (_, count) = get(node, "").await;
        counts.push((count["online"].as_u64().unwrap(), count["connected"].as_u64().unwrap()));
    }
    counts
}

/// Lines of clients, who are online.
async fn join(node: &Node, clients: &[&str]) -> Vec<Line> {
    let mut lines = Vec::new();
    for client in clients {
        let mut line = Line::join(node, Over::Tcp, client).await;
        line.say(pong(Status::Even)).await;
        lines.push(line);
    }
    lines
}

#[tokio::test]
async fn clients_of_all_gateways_are_counted_once_by_every_status_node() {
    let cluster = Cluster::default();
    let gateway = cluster.with_roles("gateway", NEVER).await;
    let both = cluster.with_roles("gateway,status,api", NEVER).await;
    let status = cluster.with_roles("status,api", NEVER).await;
    folded(&both).await;
    folded(&status).await;
    let one = join(&gateway, &["x", "y"]).await;
    let two = join(&both, &["y", "z"]).await;
    let asked = [&both, &status];
    until("both have all", async || counts(&asked).await == [(3, 4); 2]).await;
    // One that starts later reads it.
    let late = cluster.with_roles("status,api", NEVER).await;
    folded(&late).await;
    assert_eq!(counts(&[&late]).await, [(3, 4)]);
    // And one that hears nothing reads it each second.
    cluster.wire.decide(|_| Fate::Lost);
    let three = join(&gateway, &["w"]).await;
    let asked = [&both, &status, &late];
    until("all have all", async || counts(&asked).await == [(4, 5); 3]).await;
    // Who is gone was seen when he was.
    drop((one, two, three));
    until("nobody is connected", async || counts(&asked).await == [(4, 0); 3]).await;
    cluster.world.turn(Duration::from_mins(3));
    assert_eq!(counts(&asked).await, [(0, 0); 3]);
}

#[tokio::test]
async fn a_status_url_is_not_taken_where_there_is_no_need_of_one() {
    let roles = |roles: &str| roles.parse::<switchboard_server::Roles>().unwrap();
    let url = Some("http://127.0.0.1:1");
    for some in ["gateway", "status", "api", "gateway,api", "gateway,status", "status,api"] {
        assert!(roles(some).check(None, true).is_ok(), "{some}");
        let error = roles(some).check(url, true).unwrap_err();
        assert!(error.to_string().contains("share a store"), "{error}");
    }
    assert!(roles("gateway").check(None, false).is_err());
    assert!(roles("gateway").check(url, false).is_ok());
}

/// Which clients were announced to have come and gone, in order.
async fn turns(node: &Node, client: &str) -> Vec<bool> {
    let path = "/v1/tenants/a/events?topics=sys.presence.*&limit=1000";
    let (status, body) = node.send("GET", path, "", b"").await;
    assert_eq!(status, 200, "{body}");
    let events: Value = serde_json::from_str(&body).unwrap();
    let events = events["events"].as_array().unwrap().clone();
    let of_client = events.into_iter().filter(|event| event["data"]["client"] == client);
    of_client.map(|event| event["topic"] == "sys.presence.online").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_at_a_gateway_that_is_no_more_is_announced_to_have_left() {
    let cluster = Cluster::default();
    let looks = Looks { silence: Duration::from_secs(3), ..NEVER };
    let (one, two) = (cluster.node(looks).await, cluster.node(looks).await);
    folded(&one).await;
    folded(&two).await;
    let _stays = join(&one, &["stays", "both"]).await;
    until("all are counted", async || counts(&[&one]).await == [(2, 2)]).await;
    // A gateway that was killed: nothing more is told.
    let (killed, gateway) = (cluster.way(), GatewayId(77));
    let come = |client: &str| Attendance {
        tenant: "a".parse().unwrap(),
        client: ClientId::new(client).unwrap(),
        gateway,
        present: true,
        session: 1,
        at: Millis(cluster.world.time()),
    };
    killed.attend(vec![come("lost"), come("both")]).await.unwrap();
    until("it is announced", async || turns(&one, "lost").await == [true, false]).await;
    assert_eq!(turns(&two, "stays").await, [true]);
    assert_eq!(turns(&two, "both").await, [true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_taken_for_gone_wrongly_is_announced_to_be_there_again() {
    let cluster = Cluster::default();
    let looks = Looks { silence: Duration::from_secs(3), ..NEVER };
    let way = cluster.way();
    let gateway = cluster.through(Arc::clone(&way), "gateway", NEVER).await;
    let status = cluster.with_roles("status,api", looks).await;
    folded(&status).await;
    let mut lines = join(&gateway, &["x"]).await;
    until("it is counted", async || counts(&[&status]).await == [(1, 1)]).await;
    way.mute.store(true, Ordering::Relaxed);
    let muted = Instant::now();
    until("it is announced", async || turns(&status, "x").await == [true, false]).await;
    // The session goes on meanwhile.
    until("it was long enough", async || {
        if let Ok(Some(Frame::Ping(_))) = timeout(Duration::from_millis(500), lines[0].hear()).await
        {
            lines[0].say(pong(Status::Even)).await;
        }
        Duration::from_secs(11) < muted.elapsed()
    })
    .await;
    way.mute.store(false, Ordering::Relaxed);
    until("it is there again", async || turns(&status, "x").await == [true, false, true]).await;
}
