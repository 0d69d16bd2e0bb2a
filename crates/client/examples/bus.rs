//! The bus in one sitting, on a node at the default address: publishes orders, reads them back,
//! follows them live, and works through them as a queue.
//!
//! `cargo run -p switchboard-client --example bus`
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use switchboard_client::{
    Client, Error,
    bus::{Draft, Event, Interest, QueueSettings},
};
use tokio_stream::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::new("http://127.0.0.1:7400")?.with_tenant("bus-example");
    let orders = || Interest::new(["orders.>"]);

    // Whoever consumes it gets what comes from here on; the same again finds the same queue.
    client.create_queue("billing", QueueSettings::new(orders()), "now").await?;
    // Begun when this returns: what is published next comes.
    let mut live = client.subscribe(orders(), "now").await?;

    for number in 1..=3 {
        let order = format!(r#"{{"order": {number}}}"#);
        let published = client.publish(Draft::json("orders.eu", "order.created", order)).await?;
        println!("published {}", published.sequence);
    }

    // Live. When the connection breaks, it goes on behind the last event that it gave.
    for _ in 0..3 {
        if let Some(event) = live.next().await {
            show("live", &event?);
        }
    }
    // The past, page by page.
    let page = client.read_events(&orders(), "start", 100).await?;
    page.events.iter().for_each(|event| show("kept", event));

    // Each order is billed by one consumer, and comes again until one has acknowledged it.
    let mut consumer = client.consume("billing", 10).await?;
    for _ in 0..3 {
        let Some(lease) = consumer.next().await else { break };
        let lease = lease?;
        show("billed", &lease.event);
        if lease.event.data.ends_with(b"2}") && lease.attempt == 1 {
            lease.nack(Duration::from_secs(1), "the bank is closed").await?;
        } else {
            lease.ack().await?;
        }
    }
    consumer.close().await;

    // Whatever is left after a second: the one that was given back.
    for delivery in client.pull("billing", 10, Duration::from_secs(5)).await? {
        println!("attempt {} of {}", delivery.attempt, delivery.event.sequence);
    }
    client.delete_queue("billing").await?;
    Ok(())
}

fn show(what: &str, event: &Event) {
    let Event { sequence, topic, kind, data, .. } = event;
    println!("{what} {sequence} {topic} {kind} {}", String::from_utf8_lossy(data));
}
