//! A consumer of a queue, over each transport.

use std::collections::VecDeque;

use serde_json::{Value, json};
use switchboard_proto::v1::{
    self, ConsumeRequest, ConsumeStart, SettleRequest, client_frame, consume_request,
    consume_response::What, server_frame::Frame,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    reader::{of_json, reason},
    texts, try_hear,
};
use crate::{
    line::{Line, Over},
    node::{DEADLINE, Node},
};

/// A way to take the events of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Session(Over),
    /// `BusService.Consume`.
    Grpc,
    /// Pulls that wait.
    Rest,
}

impl Way {
    pub(super) const ALL: [Self; 6] = [
        Self::Session(Over::Tcp),
        Self::Session(Over::Grpc),
        Self::Session(Over::Socket),
        Self::Session(Over::SocketJson),
        Self::Grpc,
        Self::Rest,
    ];
}

/// A consumer of a queue of the tenant `a`, with a connection of its own.
pub(super) struct Worker<'a> {
    kind: Kind<'a>,
    /// Deliveries that came before an answer that was waited for.
    came: VecDeque<v1::Delivery>,
}

enum Kind<'a> {
    Session(Box<Line>),
    Grpc(mpsc::Sender<ConsumeRequest>, Box<Streaming<v1::ConsumeResponse>>),
    Rest(&'a Node, String),
}

/// What is said of deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) ack: &'a [&'a str],
    pub(super) nack: &'a [&'a str],
    pub(super) delay_ms: u32,
    pub(super) reason: &'a str,
}

impl Said<'_> {
    fn request(self, queue: &str) -> SettleRequest {
        SettleRequest {
            tenant: "a".to_owned(),
            queue: queue.to_owned(),
            ack: texts(self.ack),
            nack: texts(self.nack),
            delay_ms: self.delay_ms,
            reason: self.reason.to_owned(),
        }
    }
}

impl<'a> Worker<'a> {
    /// Consumes a queue, with so many deliveries unsettled at the most.
    pub(super) async fn open(node: &'a Node, way: Way, queue: &str, prefetch: u32) -> Self {
        let opened = Self::try_open(node, way, queue, prefetch).await;
        opened.unwrap_or_else(|code| panic!("{way:?} was refused: {code}"))
    }

    /// The same, or the code of the refusal.
    pub(super) async fn try_open(
        node: &'a Node,
        way: Way,
        queue: &str,
        prefetch: u32,
    ) -> Result<Self, String> {
        let kind = match way {
            Way::Session(over) => {
                let mut line = Line::join(node, over, "worker").await;
                let queue = queue.to_owned();
                let consume =
                    v1::SessionConsumeRequest { consumer: 1, queue, prefetch, request_id: 5 };
                line.say(client_frame::Frame::Consume(consume)).await;
                match try_hear(&mut line).await {
                    Some(Frame::Consume(_)) => Kind::Session(Box::new(line)),
                    Some(Frame::Error(error)) => return Err(error.code),
                    other => panic!("{other:?}"),
                }
            }
            Way::Grpc => {
                let (says, said) = mpsc::channel(64);
                let (tenant, queue) = ("a".to_owned(), queue.to_owned());
                let start = ConsumeStart { tenant, queue, prefetch };
                let what = Some(consume_request::What::Start(start));
                says.send(ConsumeRequest { what }).await.unwrap();
                let stream = node.bus().await.consume(ReceiverStream::new(said)).await;
                let mut stream = stream.map_err(|status| reason(&status))?.into_inner();
                match stream.message().await.map_err(|status| reason(&status))?.unwrap().what {
                    Some(What::Consuming(_)) => Kind::Grpc(says, Box::new(stream)),
                    other => panic!("{other:?}"),
                }
            }
            Way::Rest => {
                let path = format!("/v1/tenants/a/queues/{queue}");
                let (status, body) = node.post(&format!("{path}/pull"), "{\"max\":0}").await;
                if status != 200 {
                    return Err(code_of(&body));
                }
                let kind = Kind::Rest(node, path);
                let came = deliveries_of(&body).into();
                return Ok(Self { kind, came });
            }
        };
        Ok(Self { kind, came: VecDeque::new() })
    }

    /// The next delivery.
    pub(super) async fn next(&mut self) -> v1::Delivery {
        timeout(DEADLINE, self.take()).await.expect("a delivery in time")
    }

    async fn take(&mut self) -> v1::Delivery {
        loop {
            if let Some(delivery) = self.came.pop_front() {
                return delivery;
            }
            match &mut self.kind {
                Kind::Session(line) => match try_hear(line).await {
                    Some(Frame::Delivery(told)) => return told.delivery.unwrap(),
                    other => panic!("no delivery but {other:?}"),
                },
                Kind::Grpc(_, stream) => match stream.message().await.unwrap().unwrap().what {
                    Some(What::Delivery(delivery)) => return delivery,
                    other => panic!("no delivery but {other:?}"),
                },
                Kind::Rest(node, path) => {
                    let ask = "{\"max\":10,\"wait_ms\":5000}";
                    let (status, body) = node.post(&format!("{path}/pull"), ask).await;
                    assert_eq!(status, 200, "{body}");
                    self.came.extend(deliveries_of(&body));
                }
            }
        }
    }

    /// Settles deliveries; the answer, or the code of the refusal.
    pub(super) async fn settle(&mut self, said: Said<'_>) -> Result<v1::SettleResponse, String> {
        timeout(DEADLINE, self.say(said)).await.expect("an answer in time")
    }

    async fn say(&mut self, said: Said<'_>) -> Result<v1::SettleResponse, String> {
        match &mut self.kind {
            Kind::Session(line) => {
                let SettleRequest { ack, nack, delay_ms, reason, .. } = said.request("");
                let settle = v1::SessionSettleRequest {
                    consumer: 1,
                    ack,
                    nack,
                    delay_ms,
                    reason,
                    request_id: 6,
                };
                line.say(client_frame::Frame::Settle(settle)).await;
                loop {
                    match try_hear(line).await {
                        Some(Frame::Delivery(told)) => self.came.extend(told.delivery),
                        Some(Frame::Settle(v1::SessionSettleResponse {
                            done, refused, ..
                        })) => {
                            return Ok(v1::SettleResponse { done, refused });
                        }
                        Some(Frame::Error(error)) => return Err(error.code),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Kind::Grpc(says, stream) => {
                let what = Some(consume_request::What::Settle(said.request("")));
                says.send(ConsumeRequest { what }).await.unwrap();
                loop {
                    match stream.message().await {
                        Ok(Some(response)) => match response.what {
                            Some(What::Delivery(delivery)) => self.came.push_back(delivery),
                            Some(What::Settled(settled)) => return Ok(settled),
                            other => panic!("{other:?}"),
                        },
                        Ok(None) => panic!("no answer"),
                        Err(status) => return Err(reason(&status)),
                    }
                }
            }
            Kind::Rest(node, path) => settle_over_rest(node, path, said).await,
        }
    }
}

/// Acknowledges and gives back, which are two calls.
async fn settle_over_rest(
    node: &Node,
    path: &str,
    said: Said<'_>,
) -> Result<v1::SettleResponse, String> {
    let Said { ack, nack, delay_ms, reason } = said;
    let mut all = v1::SettleResponse::default();
    let nack = json!({ "deliveries": nack, "delay_ms": delay_ms, "reason": reason });
    for (what, body) in [("ack", json!({ "deliveries": ack })), ("nack", nack)] {
        if body["deliveries"].as_array().unwrap().is_empty() {
            continue;
        }
        let (status, body) = node.post(&format!("{path}/{what}"), body.to_string()).await;
        if status != 200 {
            return Err(code_of(&body));
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        all.done += u32::try_from(body["done"].as_u64().unwrap()).unwrap();
        for refused in body["refused"].as_array().unwrap() {
            let text = |name: &str| refused[name].as_str().unwrap().to_owned();
            let (delivery, code) = (text("delivery"), text("code"));
            all.refused.push(v1::RefusedDelivery { delivery, code });
        }
    }
    Ok(all)
}

/// The code of a problem.
pub(super) fn code_of(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

fn deliveries_of(body: &str) -> Vec<v1::Delivery> {
    let body: Value = serde_json::from_str(body).unwrap();
    let read = |delivery: &Value| v1::Delivery {
        delivery: delivery["delivery"].as_str().unwrap().to_owned(),
        attempt: delivery["attempt"].as_u64().unwrap().try_into().unwrap(),
        event: Some(of_json(&delivery["event"])),
        until: delivery["until"].as_i64().unwrap(),
    };
    body["deliveries"].as_array().unwrap().iter().map(read).collect()
}
