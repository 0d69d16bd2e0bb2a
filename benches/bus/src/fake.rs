//! A node that keeps what it knows in a few lists: enough to test the client's side against.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use prost::Message as _;
use switchboard_proto::{
    frame,
    v1::{
        ClientFrame, Delivery, Event, Ping, ServerFrame, SessionConsumeResponse, SessionDelivery,
        SessionEvent, SessionPublishResponse, SessionSettleResponse, SessionSubscribeResponse,
        Welcome, client_frame as from_client, server_frame as to_client,
    },
};

#[derive(Debug, Default)]
struct State {
    kept: Vec<Event>,
    subscribers: Vec<TcpStream>,
    consumers: VecDeque<TcpStream>,
    /// Events that were delivered and not acknowledged.
    unsettled: Vec<String>,
}

type Shared = Arc<Mutex<State>>;

/// Serves until the test ends, and says where.
pub(crate) fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let state = Shared::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            thread::spawn(move || converse(stream, &state));
        }
    });
    address
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

fn put(frame: to_client::Frame, out: &mut Vec<u8>) {
    ServerFrame { frame: Some(frame) }.encode(out).unwrap();
}

/// Until the client has gone: then a write or a read fails, which ends the thread.
fn converse(mut stream: TcpStream, state: &Shared) {
    stream.set_nodelay(true).unwrap();
    let (mut came, mut room) = (Vec::new(), vec![0; 65_536]);
    while let Ok(len @ 1..) = stream.read(&mut room) {
        came.extend_from_slice(&room[..len]);
        let (mut used, mut out) = (0, Vec::new());
        while let Some(frame) = frame::next(&came[used..], 1 << 20).unwrap() {
            let asked = ClientFrame::decode(frame.whole).unwrap();
            answer(asked.frame.unwrap(), &stream, state, &mut out);
            used += frame.whole.len();
        }
        came.drain(..used);
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}

fn answer(asked: from_client::Frame, stream: &TcpStream, state: &Shared, out: &mut Vec<u8>) {
    let mut state = lock(state);
    match asked {
        from_client::Frame::Hello(_) => {
            put(to_client::Frame::Welcome(Welcome::default()), out);
            put(to_client::Frame::Ping(Ping { sequence: 1 }), out);
        }
        from_client::Frame::Pong(_) => {}
        from_client::Frame::Subscribe(subscribe) => {
            let answer = SessionSubscribeResponse::default();
            put(to_client::Frame::Subscribe(answer), out);
            if subscribe.after == "start" {
                for event in state.kept.clone() {
                    let event = SessionEvent { subscription: 1, event: Some(event) };
                    put(to_client::Frame::Event(event), out);
                }
            } else {
                state.subscribers.push(stream.try_clone().unwrap());
            }
        }
        from_client::Frame::Consume(_) => {
            put(to_client::Frame::Consume(SessionConsumeResponse::default()), out);
            state.consumers.push_back(stream.try_clone().unwrap());
        }
        from_client::Frame::Publish(publish) => {
            let event = Event {
                topic: publish.topic,
                r#type: publish.r#type,
                data: publish.data,
                sequence: state.kept.len() as u64 + u64::from(!publish.ephemeral),
                ..Event::default()
            };
            if !publish.ephemeral {
                let (sequence, request_id) = (event.sequence, publish.request_id);
                let answer = SessionPublishResponse { sequence, new: true, request_id };
                put(to_client::Frame::Publish(answer), out);
            }
            state.tell(event);
        }
        from_client::Frame::Settle(settle) => {
            let before = state.unsettled.len();
            state.unsettled.retain(|delivery| !settle.ack.contains(delivery));
            let done = u32::try_from(before - state.unsettled.len()).unwrap();
            let answer = SessionSettleResponse { done, ..SessionSettleResponse::default() };
            put(to_client::Frame::Settle(answer), out);
        }
        other => panic!("not of this benchmark: {other:?}"),
    }
}

impl State {
    fn tell(&mut self, event: Event) {
        let mut out = Vec::new();
        let told = SessionEvent { subscription: 1, event: Some(event.clone()) };
        put(to_client::Frame::Event(told), &mut out);
        self.subscribers.retain_mut(|subscriber| subscriber.write_all(&out).is_ok());
        if event.sequence == 0 {
            return;
        }
        self.kept.push(event.clone());
        if let Some(mut consumer) = self.consumers.pop_front() {
            let delivery = format!("delivery-{}", event.sequence);
            self.unsettled.push(delivery.clone());
            let delivery = Delivery { delivery, event: Some(event), attempt: 1, until: 1 };
            let delivery = SessionDelivery { consumer: 1, delivery: Some(delivery) };
            out.clear();
            put(to_client::Frame::Delivery(delivery), &mut out);
            if consumer.write_all(&out).is_ok() {
                self.consumers.push_back(consumer);
            }
        }
    }
}
