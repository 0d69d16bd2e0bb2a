//! Queues: calls, and what of them is tried again.

use std::time::Duration;

use switchboard_client::bus::{Interest, Queue, QueueSettings, RefusedDelivery, Settlement};

use super::node::{Node, refusal};

#[tokio::test]
async fn a_queue_is_made_found_listed_and_removed() {
    let node = Node::start().await;
    let client = node.client();
    let settings = QueueSettings {
        interest: Interest::new(["a.>"]).with_types(["c"]),
        dead_letter_topic: "d".to_owned(),
        ..QueueSettings::default()
    };
    node.trouble([refusal("unavailable")]);
    let (made, new) = client.create_queue("mail", settings.clone(), "start").await.unwrap();
    let expected = Queue {
        name: "mail".to_owned(),
        settings: QueueSettings { ack_timeout_ms: 30_000, max_deliveries: 10, ..settings },
        depth: 3,
        in_flight: 2,
        oldest_at: Some(7),
        oldest_age_ms: Some(8),
        dead_lettered: 1,
        acknowledged: 4,
        redelivered: 6,
    };
    assert_eq!((made, new), (expected, true));
    let creates = node.asked.creates.lock().unwrap().clone();
    assert_eq!(creates.len(), 2);
    assert_eq!((creates[1].tenant.as_str(), creates[1].after.as_str()), ("t", "start"));
    for _ in 0..3 {
        node.trouble([refusal("unavailable")]);
    }
    assert_eq!(client.queue("mail").await.unwrap().depth, 3);
    let names = client.queues().await.unwrap().into_iter().map(|it| it.name);
    assert_eq!(names.collect::<Vec<_>>(), ["mail", "push"]);
    assert!(client.delete_queue("mail").await.unwrap());
    node.trouble([refusal("not_found")]);
    assert_eq!(client.queue("none").await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn what_was_pulled_is_settled() {
    let node = Node::start().await;
    let client = node.client();
    node.trouble([refusal("unavailable")]);
    let deliveries = client.pull("mail", 10, Duration::from_secs(20)).await.unwrap();
    let told: Vec<_> = deliveries
        .iter()
        .map(|it| (it.id.as_str(), it.attempt, it.until, it.event.sequence))
        .collect();
    assert_eq!(told, [("d1", 1, 9, 1), ("d2", 1, 9, 2)]);
    let pulls = node.asked.pulls.lock().unwrap().clone();
    assert_eq!((pulls.len(), pulls[1].max, pulls[1].wait_ms), (2, 10, 20_000));

    let settlement =
        Settlement::nack(["d1", "x"]).with_delay(Duration::from_secs(5)).with_reason("no");
    let settlement = Settlement { ack: vec!["d2".to_owned()], ..settlement };
    node.trouble([refusal("unavailable")]);
    let settled = client.settle("mail", settlement).await.unwrap();
    assert_eq!(settled.done, 2);
    let refused = RefusedDelivery { id: "x".to_owned(), code: "not_found".to_owned() };
    assert_eq!(settled.refused, [refused]);
    let settles = node.asked.settles.lock().unwrap();
    let asked = &settles[1];
    assert_eq!((asked.tenant.as_str(), asked.queue.as_str()), ("t", "mail"));
    assert_eq!(
        (&asked.ack[..], &asked.nack[..]),
        (&["d2".into()][..], &["d1".into(), "x".into()][..])
    );
    assert_eq!((asked.delay_ms, asked.reason.as_str()), (5_000, "no"));
}
