//! What a scrape tells of a node that works: everything that the reference promises.

use std::{fs, path::Path};

use tokio_stream::once;

use crate::{grpc::request, node::Node};

/// Whether a line is a sample of this metric with all these labels.
fn is_sample(line: &str, name: &str, labels: &[&str]) -> bool {
    let Some(rest) = line.strip_prefix(name) else { return false };
    rest.starts_with(['{', ' '])
        && labels.iter().all(|label| {
            let label = format!("{label}=\"");
            ['{', ','].iter().any(|before| rest.contains(&format!("{before}{label}")))
        })
}

#[tokio::test]
async fn a_scrape_tells_every_metric_of_the_reference() {
    let node = Node::start().await;
    let mut client = node.grpc().await;
    client.ingest(request("a", "K-00000-A")).await.unwrap();
    let stream = client.ingest_stream(once(request("a", "K-00000-A"))).await.unwrap();
    let answer = stream.into_inner().message().await.unwrap();
    assert!(answer.is_some_and(|answer| !answer.new));
    let (status, _) = node.post("/v1/tenants/a/ingest", r#"{"key":"K-00000"}"#).await;
    assert_eq!(status, 400);

    let (status, told) = node.admin("/metrics").await;
    assert_eq!(status, 200);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    let reference = fs::read_to_string(path).unwrap();
    let mut metrics = 0;
    for row in reference.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, kind) = (cells[1].trim_matches('`'), cells[2]);
        let labels: Vec<&str> = cells[3]
            .split(", ")
            .map(|label| label.trim_matches('`'))
            .filter(|label| !label.is_empty())
            .collect();
        let suffixes: &[&str] =
            if kind == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
        for suffix in suffixes {
            let name = format!("{name}{suffix}");
            let any = told.lines().any(|line| is_sample(line, &name, &labels));
            assert!(any, "{name} with {labels:?} is not in\n{told}");
        }
        metrics += 1;
    }
    assert!(20 < metrics, "{metrics} metrics in\n{reference}");
    for line in [
        "switchboard_ingest_keys_total{result=\"new\"} 1",
        "switchboard_ingest_keys_total{result=\"duplicate\"} 1",
        "switchboard_ingest_keys_total{result=\"rejected\"} 1",
        "switchboard_store_free_bytes 1073741824",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
}
