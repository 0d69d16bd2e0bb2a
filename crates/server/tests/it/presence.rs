//! Who is online: over sessions, gateways, and restarts.

mod nodes;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;
use switchboard_proto::{
    tenten::interview::{
        FetchOnlineUsersInLast3MinsRequest, status_reader_client::StatusReaderClient as FixedReader,
    },
    v1::{
        CountOnlineRequest, GetClientRequest, HistoryRequest, ReportRequest, Sighting, Status,
        TenantReport, report_service_client::ReportServiceClient,
        status_reader_client::StatusReaderClient,
    },
};
use switchboard_server::Limits;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

use crate::{
    line::{Line, Over, pong},
    node::{Node, World, until},
};

async fn channel(node: &Node) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
    endpoint.connect().await.unwrap()
}

/// The answer to a question, once the journal is folded.
async fn get(node: &Node, path: &str) -> (u16, Value) {
    let path = format!("/v1/tenants/a/presence{path}");
    let (status, body) = node.send("GET", &path, "", b"").await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn folded(node: &Node) {
    until("the journal is folded", async || node.admin("/readyz").await.0 == 200).await;
}

async fn online(node: &Node) -> u64 {
    let (status, count) = get(node, "").await;
    assert_eq!(status, 200, "{count}");
    count["online"].as_u64().unwrap()
}

/// A report of clients of the tenant `a`, that were seen some time before it.
fn report(gateway: u64, at: i64, clients: &[(&str, Option<i64>)]) -> ReportRequest {
    let sighting = |&(client, ago): &(&str, Option<i64>)| Sighting {
        client: client.to_owned(),
        seen: ago.map(|ago| at - ago),
        status: if ago.is_some() { Status::Even } else { Status::Unknown }.into(),
        sessions: 1,
    };
    let part = TenantReport {
        tenant: "a".to_owned(),
        connected: 1,
        sightings: clients.iter().map(sighting).collect(),
    };
    ReportRequest { gateway, at, tenants: vec![part] }
}

#[tokio::test]
async fn unique_clients_are_counted_over_sessions_and_transports() {
    let node = Node::start().await;
    folded(&node).await;
    let mut lines = Vec::new();
    for over in Over::ALL {
        for client in ["x", "y"] {
            lines.push(Line::join(&node, over, client).await);
        }
    }
    for line in &mut lines {
        line.say(pong(Status::Odd)).await;
    }
    let mut unknown = Line::join(&node, Over::Tcp, "connected only").await;
    unknown.say(pong(Status::Unknown)).await;
    until("all are counted", async || {
        let (_, count) = get(&node, "").await;
        count["online"] == 2 && count["connected"] == 9
    })
    .await;
    let (_, x) = get(&node, "/x").await;
    assert_eq!(
        (&x["online"], &x["status"], &x["sessions"]),
        (&true.into(), &"ODD".into(), &4.into())
    );
    assert!(x["last_seen"].is_i64(), "{x}");
    let (_, unknown) = get(&node, "/connected%20only").await;
    assert_eq!(unknown["online"], false);
    assert_eq!(unknown["last_seen"], Value::Null);
    assert_eq!(unknown["sessions"], 1);
    let (_, nobody) = get(&node, "/nobody").await;
    assert_eq!(nobody["online"], false);
    assert_eq!(nobody["last_seen"], Value::Null);

    // Who leaves is no longer connected, and counts for three minutes from when it was seen.
    drop(lines);
    until("the sessions are gone", async || get(&node, "").await.1["connected"] == 1).await;
    assert_eq!(online(&node).await, 2);
    node.world.turn(Duration::from_mins(3));
    assert_eq!(online(&node).await, 0);
    let (_, x) = get(&node, "/x").await;
    assert_eq!(x["online"], false);
    assert!(x["last_seen"].is_i64(), "who left is still known: {x}");
}

#[tokio::test]
async fn gateways_report_and_a_client_counts_once() {
    let node = Node::start().await;
    folded(&node).await;
    let mut gateway = ReportServiceClient::new(channel(&node).await);
    let at = node.world.time();
    for id in [1, 2] {
        for _again in 0..2 {
            gateway.report(report(id, at, &[("x", Some(0)), ("y", None)])).await.unwrap();
        }
    }
    let (_, count) = get(&node, "").await;
    assert_eq!((&count["online"], &count["connected"]), (&1.into(), &2.into()), "{count}");
    assert_eq!(count["window_seconds"], 180);
    assert_eq!(get(&node, "/x").await.1["sessions"], 2);

    // gRPC says the same, and so does the fixed contract.
    let mut reader = StatusReaderClient::new(channel(&node).await);
    let request = CountOnlineRequest { tenant: "a".to_owned(), all_tenants: false };
    let counted = reader.count_online(request).await.unwrap().into_inner();
    assert_eq!((counted.online, counted.connected, counted.window_seconds), (1, 2, 180));
    let request = CountOnlineRequest { tenant: String::new(), all_tenants: true };
    assert_eq!(reader.count_online(request).await.unwrap().into_inner().online, 1);
    let (status, all) = node.send("GET", "/v1/presence", "", b"").await;
    assert_eq!((status, all.contains("\"online\":1")), (200, true), "{all}");
    let request = GetClientRequest { tenant: "a".to_owned(), client: "x".to_owned() };
    let client = reader.get_client(request).await.unwrap().into_inner();
    assert_eq!((client.online, client.status(), client.sessions), (true, Status::Even, 2));
    assert_eq!(client.last_seen, Some(at));
    let mut fixed = FixedReader::new(channel(&node).await);
    let mut request = Request::new(FetchOnlineUsersInLast3MinsRequest {});
    request.metadata_mut().insert("switchboard-tenant", "a".parse().unwrap());
    let fetched = fixed.fetch_online_users_in_last3_mins(request).await.unwrap().into_inner();
    assert_eq!(fetched.online_users, 1);
    let request = FetchOnlineUsersInLast3MinsRequest {};
    let fetched = fixed.fetch_online_users_in_last3_mins(request).await.unwrap().into_inner();
    assert_eq!(fetched.online_users, 0, "of the tenant `default`");
}

#[tokio::test]
async fn a_count_is_watched() {
    let mut node = Node::start().await;
    folded(&node).await;
    let mut reader = StatusReaderClient::new(channel(&node).await);
    let request = CountOnlineRequest { tenant: "a".to_owned(), all_tenants: false };
    let mut watched = reader.watch_online(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().online, 0);
    let mut gateway = ReportServiceClient::new(channel(&node).await);
    let at = node.world.time();
    gateway.report(report(1, at, &[("x", Some(0))])).await.unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().online, 1);
    node.world.turn(Duration::from_mins(3));
    // The gateway is silent too, so its sessions go first or at the same time.
    loop {
        if watched.message().await.unwrap().unwrap().online == 0 {
            break;
        }
    }
    node.stop.cancel();
    assert_eq!(watched.message().await.unwrap_err().code(), Code::Unavailable);
    node.ended().await.unwrap();
}

#[tokio::test]
async fn the_count_is_known_again_after_a_restart() {
    let world = Arc::new(World::default());
    let mut node = Node::on(Arc::clone(&world), Limits::default()).await;
    folded(&node).await;
    let mut gateway = ReportServiceClient::new(channel(&node).await);
    let at = world.time();
    gateway.report(report(1, at, &[("x", Some(0)), ("y", Some(100_000))])).await.unwrap();
    assert_eq!(online(&node).await, 2);
    node.stop.cancel();
    node.ended().await.unwrap();

    world.journal_fails.store(true, Ordering::Relaxed);
    let node = Node::on(Arc::clone(&world), Limits::default()).await;
    let (status, ready) = node.admin("/readyz").await;
    assert_eq!(status, 503, "not before the journal is folded");
    assert!(ready.contains(r#""journal":"being read""#), "{ready}");
    let (status, refused) = get(&node, "").await;
    assert_eq!((status, &refused["code"]), (503, &"unavailable".into()));
    world.journal_fails.store(false, Ordering::Relaxed);
    folded(&node).await;
    assert_eq!(online(&node).await, 2);
    world.turn(Duration::from_secs(80));
    assert_eq!(online(&node).await, 1, "y was seen 100 seconds before x");
    world.turn(Duration::from_secs(100));
    assert_eq!(online(&node).await, 0);
}

#[tokio::test]
async fn a_report_that_is_not_kept_is_not_folded() {
    let node = Node::start().await;
    folded(&node).await;
    let mut gateway = ReportServiceClient::new(channel(&node).await);
    node.world.journal_fails.store(true, Ordering::Relaxed);
    let at = node.world.time();
    let refused = gateway.report(report(1, at, &[("x", Some(0))])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(online(&node).await, 0);
    node.world.journal_fails.store(false, Ordering::Relaxed);
    gateway.report(report(1, at, &[("x", Some(0))])).await.unwrap();
    assert_eq!(online(&node).await, 1);
}

#[tokio::test]
async fn the_past_is_told_by_the_minute() {
    let node = Node::start().await;
    folded(&node).await;
    let mut gateway = ReportServiceClient::new(channel(&node).await);
    let at = node.world.time();
    gateway.report(report(1, at, &[("x", Some(0))])).await.unwrap();
    node.world.turn(Duration::from_mins(5));
    let (status, past) = get(&node, "/history?minutes=5").await;
    assert_eq!(status, 200, "{past}");
    let points = past["points"].as_array().unwrap();
    let told: Vec<_> = points.iter().map(|point| point["online"].as_u64().unwrap()).collect();
    assert_eq!(told, [1, 1, 1, 0, 0]);
    assert!(points.iter().all(|point| point["at"].as_i64().unwrap() % 60_000 == 0));
    let mut reader = StatusReaderClient::new(channel(&node).await);
    let request = HistoryRequest { tenant: "a".to_owned(), minutes: 2 };
    assert_eq!(reader.history(request).await.unwrap().into_inner().points.len(), 2);
}

#[tokio::test]
async fn bad_questions_and_reports_get_clear_errors() {
    let node = Node::start().await;
    folded(&node).await;
    for (path, code) in [
        ("?tenant=a", "invalid_request"),
        ("/history?minutes=0", "invalid_request"),
        ("/history?minutes=1441", "invalid_request"),
        ("/history?minutes=x", "invalid_request"),
        ("/history?hours=1", "invalid_request"),
        ("/a%00b", "invalid_request"),
        ("/%ff", "invalid_request"),
        (&format!("/{}", "x".repeat(129)), "invalid_request"),
    ] {
        let (status, refused) = get(&node, path).await;
        assert_eq!((status, &refused["code"]), (400, &code.into()), "{path} {refused}");
    }
    let (status, refused) = node.send("GET", "/v1/tenants/a%20b/presence", "", b"").await;
    assert_eq!((status, refused.contains("invalid_tenant")), (400, true));
    let mut reader = StatusReaderClient::new(channel(&node).await);
    for (tenant, all_tenants) in [("", false), ("a b", false), ("a", true)] {
        let request = CountOnlineRequest { tenant: tenant.to_owned(), all_tenants };
        let refused = reader.count_online(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{tenant:?} {all_tenants}");
    }
    let mut gateway = ReportServiceClient::new(channel(&node).await);
    let at = node.world.time();
    let mut bad = report(1, at, &[("x", Some(0)), ("", Some(0))]);
    assert_eq!(gateway.report(bad.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    bad.tenants[0].sightings.truncate(1);
    bad.tenants[0].tenant = "a b".to_owned();
    assert_eq!(gateway.report(bad).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(online(&node).await, 0, "a refused report changes nothing");
}
