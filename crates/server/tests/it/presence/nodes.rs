//! Who is online, where nodes share a store.

use switchboard_contract::Fate;
use switchboard_server::Looks;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_at_a_gateway_that_is_no_more_is_announced_to_have_left() {
    let cluster = Cluster::default();
    let looks = Looks { silence: Duration::from_secs(3), ..NEVER };
    let (one, mut two) = (cluster.node(looks).await, cluster.node(looks).await);
    folded(&one).await;
    folded(&two).await;
    let left = async |client: &str| {
        let (_, body) = one.send("GET", "/v1/tenants/a/events?topics=sys.%3E", "", b"").await;
        let events: Value = serde_json::from_str(&body).unwrap();
        let told = |event: &Value| {
            let topic = event["topic"] == "sys.presence.offline";
            topic && event["data"].to_string().contains(&format!("\"{client}\""))
        };
        events["events"].as_array().unwrap().iter().any(told)
    };
    let _stays = join(&one, &["stays", "both"]).await;
    let _lost = join(&two, &["lost", "both"]).await;
    until("all are counted", async || counts(&[&one]).await == [(3, 4)]).await;
    // As if it were killed: nothing more is told.
    two.kill().await;
    until("it is announced", async || left("lost").await).await;
    assert!(!left("stays").await && !left("both").await);
    assert_eq!(counts(&[&one]).await[0].0, 3, "they were seen until then");
}
