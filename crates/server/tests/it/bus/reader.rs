//! A subscriber, over each transport.

use std::collections::VecDeque;

use base64ct::{Base64, Encoding as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use serde_json::Value;
use switchboard_proto::v1::{
    self, SubscribeRequest, server_frame::Frame, subscribe_response::What,
};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::{subscribe, texts, try_hear};
use crate::{
    line::{Line, Over},
    node::{DEADLINE, Node},
};

/// A way to have events given as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Session(Over),
    /// `BusService.Subscribe`.
    Grpc,
    Sse,
}

impl Way {
    pub(super) const ALL: [Self; 6] = [
        Self::Session(Over::Tcp),
        Self::Session(Over::Grpc),
        Self::Session(Over::Socket),
        Self::Session(Over::SocketJson),
        Self::Grpc,
        Self::Sse,
    ];
}

/// A subscriber of the tenant `a`, with a connection of its own.
pub(super) struct Reader(Kind);

enum Kind {
    Session(Box<Line>),
    Grpc(Box<Streaming<v1::SubscribeResponse>>),
    Sse(Box<Sse>),
}

impl Reader {
    /// Subscribes to topics, from a place on.
    pub(super) async fn open(node: &Node, way: Way, topics: &[&str], after: &str) -> Self {
        let opened = Self::try_open(node, way, topics, after).await;
        opened.unwrap_or_else(|code| panic!("{way:?} was refused: {code}")).0
    }

    /// Subscribes, and returns the place behind which it begins, or the code of the refusal.
    pub(super) async fn try_open(
        node: &Node,
        way: Way,
        topics: &[&str],
        after: &str,
    ) -> Result<(Self, String), String> {
        match way {
            Way::Session(over) => {
                let mut line = Line::join(node, over, "reader").await;
                line.say(subscribe(1, topics, &[], after)).await;
                match try_hear(&mut line).await {
                    Some(Frame::Subscribe(told)) => {
                        Ok((Self(Kind::Session(Box::new(line))), told.cursor))
                    }
                    Some(Frame::Error(error)) => Err(error.code),
                    other => panic!("{other:?}"),
                }
            }
            Way::Grpc => {
                let request = SubscribeRequest {
                    tenant: "a".to_owned(),
                    topics: texts(topics),
                    types: Vec::new(),
                    after: after.to_owned(),
                };
                let events = node.bus().await.subscribe(request).await;
                let mut events = events.map_err(|status| reason(&status))?.into_inner();
                match events.message().await.unwrap().unwrap().what {
                    Some(What::Subscribed(told)) => {
                        Ok((Self(Kind::Grpc(Box::new(events))), told.cursor))
                    }
                    other => panic!("{other:?}"),
                }
            }
            Way::Sse => {
                let topics = topics.join(",").replace('>', "%3E");
                let path = format!("?topics={topics}&after={after}");
                let mut sse = Sse::open(node, &path, None).await?;
                let began = sse.next().await.expect("the place where it begins");
                assert_eq!(began.data, None);
                Ok((Self(Kind::Sse(Box::new(sse))), began.id.unwrap()))
            }
        }
    }

    /// The next event.
    pub(super) async fn next(&mut self) -> v1::Event {
        match self.try_next().await {
            Ok(Some(event)) => event,
            other => panic!("no event but {other:?}"),
        }
    }

    /// The next event; none once the subscription has ended in good order; the code if it was told
    /// why it ends.
    pub(super) async fn try_next(&mut self) -> Result<Option<v1::Event>, String> {
        timeout(DEADLINE, self.0.next()).await.expect("an event in time")
    }
}

impl Kind {
    async fn next(&mut self) -> Result<Option<v1::Event>, String> {
        match self {
            Self::Session(line) => loop {
                match try_hear(line).await {
                    Some(Frame::Event(told)) => return Ok(told.event),
                    Some(Frame::Error(error)) => return Err(error.code),
                    Some(Frame::Drain(_)) => {}
                    None => return Ok(None),
                    other => panic!("{other:?}"),
                }
            },
            Self::Grpc(events) => match events.message().await {
                Ok(Some(v1::SubscribeResponse { what: Some(What::Event(event)) })) => {
                    Ok(Some(event))
                }
                Ok(None) => Ok(None),
                Ok(other) => panic!("{other:?}"),
                Err(status) => Err(reason(&status)),
            },
            Self::Sse(sse) => loop {
                let Some(message) = sse.next().await else { return Ok(None) };
                let Some(data) = message.data else { continue };
                let data: Value = serde_json::from_str(&data).unwrap();
                if message.event.as_deref() == Some("error") {
                    return Err(data["code"].as_str().unwrap().to_owned());
                }
                return Ok(Some(of_json(&data)));
            },
        }
    }
}

/// The code of an error of ours.
#[track_caller]
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}")).reason
}

/// An event as REST shows it.
pub(super) fn of_json(event: &Value) -> v1::Event {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or_default();
    let (data, content_type) = match &event["data_base64"] {
        Value::String(data) => (Base64::decode_vec(data).unwrap(), text("content_type")),
        _ => (event["data"].to_string().into_bytes(), "application/json".to_owned()),
    };
    let letter = &event["dead_letter"];
    let dead_letter = letter.is_object().then(|| v1::DeadLetter {
        queue: letter["queue"].as_str().unwrap().to_owned(),
        reason: letter["reason"].as_str().unwrap().to_owned(),
        attempts: number(letter, "attempts").try_into().unwrap(),
        topic: letter["topic"].as_str().unwrap().to_owned(),
        sequence: number(letter, "sequence"),
    });
    v1::Event {
        sequence: number(event, "sequence"),
        topic: text("topic"),
        r#type: text("type"),
        data,
        content_type,
        at: event["at"].as_i64().unwrap(),
        reply_to: text("reply_to"),
        dead_letter,
    }
}

/// Events that a server sends (SSE).
pub(super) struct Sse {
    body: Incoming,
    came: String,
    blocks: VecDeque<String>,
    _connection: JoinSet<hyper::Result<()>>,
}

/// What stands between two empty lines of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Option<String>,
    pub(super) event: Option<String>,
    /// The lines of data, joined.
    pub(super) data: Option<String>,
    pub(super) retry: Option<String>,
}

impl Sse {
    /// Asks for the events of the tenant `a`. The code of the refusal, if it is refused.
    pub(super) async fn open(
        node: &Node,
        query: &str,
        last_event: Option<&str>,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(node.main).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let mut request = http::Request::get(format!("/v1/tenants/a/events{query}"))
            .header("host", "a")
            .header("accept", "text/event-stream");
        if let Some(last) = last_event {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        if head.status != 200 {
            let problem = body.collect().await.unwrap().to_bytes();
            let problem: Value = serde_json::from_slice(&problem).unwrap();
            assert_eq!(problem["status"], head.status.as_u16());
            return Err(problem["code"].as_str().unwrap().to_owned());
        }
        let (came, blocks) = (String::new(), VecDeque::new());
        Ok(Self { body, came, blocks, _connection: driving })
    }

    /// The next message; none at the end.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(block) = self.blocks.pop_front() {
                return Some(Message::read(&block));
            }
            let Some(frame) = self.body.frame().await else {
                assert_eq!(self.came, "", "the stream ends behind a message");
                return None;
            };
            let data = frame.unwrap().into_data().unwrap();
            self.came.push_str(str::from_utf8(&data).unwrap());
            while let Some(at) = self.came.find("\n\n") {
                let block: String = self.came.drain(..at + 2).collect();
                self.blocks.push_back(block.trim_end_matches('\n').to_owned());
            }
        }
    }
}

impl Message {
    fn read(block: &str) -> Self {
        let mut message = Self::default();
        for line in block.split('\n') {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match name {
                "" => {}
                "id" => message.id = Some(value),
                "event" => message.event = Some(value),
                "retry" => message.retry = Some(value),
                "data" => match &mut message.data {
                    Some(data) => *data = format!("{data}\n{value}"),
                    None => message.data = Some(value),
                },
                other => panic!("a stream has no field {other:?}"),
            }
        }
        message
    }
}
