//! The sample conversation, two clients in turn, over every way in.

use std::process::Command;

use crate::node::{Node, run};

const CONVERSATION: [(&str, &str, u64, bool); 4] = [
    ("3bd1c697", "K-h53dk-A", 1, true),
    ("75682017", "K-h53dk-A", 2, true),
    ("3bd1c697", "K-867vc-C", 3, true),
    ("75682017", "K-h53dk-A", 2, false),
];

#[test]
fn over_rest() {
    let node = Node::start();
    for (tenant, key, id, new) in CONVERSATION {
        assert_eq!(node.ingest(tenant, key), format!("\"id\":{id},\"new\":{new}"));
    }
}

fn out(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn over_grpc() {
    let node = Node::start();
    for (tenant, key, id, new) in CONVERSATION {
        let request = format!(r#"{{"tenant":"{tenant}","key":"{key}"}}"#);
        let method = "switchboard.v1.IngestService/Ingest";
        let answer = out(&mut node.command(&["call", method, &request]));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["id"], id.to_string());
        assert_eq!(answer["new"], new);
    }
}

#[test]
fn over_a_stream_of_grpc() {
    let node = Node::start();
    let requests = CONVERSATION
        .map(|(tenant, key, ..)| format!(r#"{{"tenant":"{tenant}","key":"{key}"}}"#))
        .join("\n");
    let method = "switchboard.v1.IngestService/IngestStream";
    let answers = out(&mut node.command(&["call", method, &requests]));
    let answers = serde_json::Deserializer::from_str(&answers).into_iter::<serde_json::Value>();
    for (answer, (_, _, id, new)) in answers.map(Result::unwrap).zip(CONVERSATION) {
        assert_eq!((&answer["id"], &answer["new"]), (&id.to_string().into(), &new.into()));
    }
}

#[test]
fn over_the_command_line() {
    let node = Node::start();
    for (tenant, key, id, new) in CONVERSATION {
        let answer = out(&mut node.command(&["ingest", "--tenant", tenant, key]));
        assert_eq!(answer, format!("{id} {} {key}\n", if new { "new" } else { "known" }));
    }
}

#[test]
fn over_the_sdk() {
    let node = Node::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = switchboard_client::Client::new(&node.url()).unwrap();
        for (tenant, key, id, new) in CONVERSATION {
            let receipt = client.clone().with_tenant(tenant).ingest(key).await.unwrap();
            assert_eq!((receipt.id, receipt.new), (id, new));
        }
        let batch = client.with_tenant("3bd1c697").ingest_batch(&["K-h53dk-A", "K-00000-A"]).await;
        let batch: Vec<_> = batch.unwrap().iter().map(|it| (it.id, it.new)).collect();
        assert_eq!(batch, [(1, false), (4, true)]);
    });
}
