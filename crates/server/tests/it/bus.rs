//! The bus, as its users meet it, over every transport.

mod ephemeral;
mod nodes;
mod places;
mod queues;
mod reader;
mod sessions;
mod slow;
mod worker;

use serde_json::Value;
use switchboard_proto::v1::{
    self, PublishRequest, bus_service_client::BusServiceClient, client_frame, server_frame::Frame,
};
use tonic::transport::Channel;

use crate::{
    line::{Line, pong},
    node::Node,
};

impl Node {
    /// A gRPC client of the bus.
    async fn bus(&self) -> BusServiceClient<Channel> {
        BusServiceClient::new(self.channel().await)
    }

    /// Publishes a durable event of the type `t` and returns its sequence.
    async fn publish(&self, topic: &str, data: &str) -> u64 {
        let request = PublishRequest {
            tenant: "a".to_owned(),
            topic: topic.to_owned(),
            r#type: "t".to_owned(),
            data: data.into(),
            ..PublishRequest::default()
        };
        self.bus().await.publish(request).await.unwrap().into_inner().sequence
    }

    /// A page of events over REST.
    async fn get_events(&self, query: &str) -> (u16, Value) {
        let path = format!("/v1/tenants/a/events{query}");
        let (status, body) = self.send("GET", &path, "", b"").await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

/// An event as a session publishes it.
fn event(topic: &str, kind: &str, data: &str) -> v1::SessionPublishRequest {
    v1::SessionPublishRequest {
        topic: topic.to_owned(),
        r#type: kind.to_owned(),
        data: data.into(),
        request_id: 1,
        ..v1::SessionPublishRequest::default()
    }
}

fn publish(event: v1::SessionPublishRequest) -> client_frame::Frame {
    client_frame::Frame::Publish(event)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn subscribe(
    subscription: u32,
    topics: &[&str],
    types: &[&str],
    after: &str,
) -> client_frame::Frame {
    client_frame::Frame::Subscribe(v1::SessionSubscribeRequest {
        subscription,
        topics: texts(topics),
        types: texts(types),
        after: after.to_owned(),
        request_id: 70 + u64::from(subscription),
    })
}

fn unsubscribe(subscription: u32) -> client_frame::Frame {
    client_frame::Frame::Unsubscribe(v1::SessionUnsubscribeRequest { subscription, request_id: 80 })
}

/// The next frame that is no ping, which is answered.
async fn try_hear(line: &mut Line) -> Option<Frame> {
    loop {
        match line.hear().await {
            Some(Frame::Ping(_)) => {
                // A session that has ended may have left pings behind.
                line.try_say(pong(v1::Status::Even)).await;
            }
            heard => return heard,
        }
    }
}

async fn hear(line: &mut Line) -> Frame {
    try_hear(line).await.expect("the session goes on")
}

/// Says a frame that is to be refused.
async fn check_refused(line: &mut Line, frame: client_frame::Frame, expected: (&str, u64)) {
    line.say(frame.clone()).await;
    match hear(line).await {
        Frame::Error(error) => {
            assert_eq!((error.code.as_str(), error.request_id), expected, "{frame:?}: {error:?}");
        }
        other => panic!("{frame:?} was answered with {other:?}"),
    }
}

/// Subscribes and waits for the answer.
async fn subscribed(line: &mut Line, frame: client_frame::Frame) -> v1::SessionSubscribeResponse {
    line.say(frame).await;
    match hear(line).await {
        Frame::Subscribe(subscribed) => subscribed,
        other => panic!("{other:?}"),
    }
}

/// The subscription and the event that come next.
async fn told(line: &mut Line) -> (u32, v1::Event) {
    match hear(line).await {
        Frame::Event(told) => (told.subscription, told.event.unwrap()),
        other => panic!("no event but {other:?}"),
    }
}
