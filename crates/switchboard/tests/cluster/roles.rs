//! Roles on nodes of their own: gateways, status nodes, and one for the requests of programs.

use std::{thread, time::Duration};

use serde_json::Value;
use switchboard_client::{
    Client, Session,
    chat::Happening,
    session::{Event, Status},
};
use switchboard_servers::Node;
use tokio::{runtime::Runtime, sync::mpsc, time};

use crate::cluster::{Cluster, DEADLINE, until};

const GATEWAYS: [usize; 2] = [0, 1];
const STATUS: [usize; 2] = [2, 3];
const API: usize = 4;

fn cluster() -> Cluster {
    Cluster::start(&["gateway", "gateway", "status", "status", "api"])
}

/// How many are online and connected, as a status node says.
fn count(node: &Node) -> Option<(u64, u64)> {
    let (status, told) = node.get("/v1/tenants/default/presence")?;
    let told: Value = (status == 200).then(|| serde_json::from_str(&told).unwrap())?;
    Some((told["online"].as_u64()?, told["connected"].as_u64()?))
}

#[track_caller]
fn counts(cluster: &Cluster, expected: (u64, u64)) {
    until(&format!("each status node counts {expected:?}"), || {
        STATUS.into_iter().all(|node| count(&cluster.nodes[node]) == Some(expected))
    });
}

fn online(url: &str, id: &str) -> Session {
    let client = Client::new(url).unwrap().connect(id);
    client.with_status(|| Status::Even).start().unwrap()
}

#[test]
fn each_role_has_nodes_of_its_own() {
    let mut cluster = cluster();
    let runtime = Runtime::new().unwrap();
    let entered = runtime.enter();
    let tcp = |node: usize| format!("tcp://{}", cluster.nodes[node].tcp());
    // Whoever is at both gateways counts once.
    let mut sessions = Vec::new();
    for (number, gateway) in (0..40).zip(GATEWAYS.into_iter().cycle()) {
        sessions.push(online(&tcp(gateway), &format!("client-{number}")));
    }
    let twice = GATEWAYS.map(|gateway| online(&tcp(gateway), "twice"));
    counts(&cluster, (41, 42));

    runtime.block_on(users_of_different_gateways_write_to_each_other(&cluster));
    // Who came and left within a second is known once his gateway has reported it.
    counts(&cluster, (43, 42));

    // The clients of a gateway that is killed have been seen, and stay so; its sessions are gone.
    cluster.nodes[0].kill();
    counts(&cluster, (43, 21));
    cluster.nodes[0].start_again().unwrap();
    counts(&cluster, (43, 42));

    // A status node that comes back knows what the other knows, as soon as it answers.
    cluster.nodes[2].kill();
    thread::sleep(Duration::from_secs(1));
    cluster.nodes[2].start_again().unwrap();
    let mut first = None;
    until("it answers", || {
        first = count(&cluster.nodes[2]);
        first.is_some()
    });
    assert_eq!(first.map(|it| it.0), Some(43));
    counts(&cluster, (43, 42));
    drop((sessions, twice, entered));
}

async fn users_of_different_gateways_write_to_each_other(cluster: &Cluster) {
    let tcp = |node: usize| format!("tcp://{}", cluster.nodes[node].tcp());
    let user = |gateway: usize, phone: &str| {
        let (entries, came) = mpsc::channel(1_000);
        let client = Client::new(&tcp(gateway)).unwrap().connect(phone);
        let session = client.with_inbox("").with_status(|| Status::Even).with_events(move |it| {
            if let Event::Happened(entry) = it {
                entries.try_send(entry.what).unwrap();
            }
        });
        (session.start().unwrap(), came)
    };
    let (ann, mut to_ann) = user(0, "+41790000001");
    let (_bob, mut to_bob) = user(1, "+41790000002");
    let sent = ann.send("+41790000002", "Are you there?", None).await.unwrap();
    let came = time::timeout(DEADLINE, to_bob.recv()).await.unwrap().unwrap();
    let Happening::Message(message) = came else { panic!("{came:?}") };
    assert_eq!((message.id, message.text.as_str()), (sent.id, "Are you there?"));
    // What he sent himself, then the receipt.
    for kind in ["message", "delivered"] {
        let came = time::timeout(DEADLINE, to_ann.recv()).await.unwrap().unwrap();
        let told = match came {
            Happening::Message(_) => "message",
            Happening::Delivered(receipt) if receipt.up_to == sent.id => "delivered",
            other => panic!("{other:?}"),
        };
        assert_eq!(told, kind);
    }
    // A program hears of it too, by way of a node that holds no sessions.
    let program = Client::new(&cluster.nodes[API].url()).unwrap();
    let page = program.read_inbox("+41790000002", "", 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let receipt = program.ingest("K-00000-A").await.unwrap();
    let again = ann.ingest("K-00000-A").await.unwrap();
    assert_eq!((again.id, again.new, receipt.new), (receipt.id, false, true));
}
