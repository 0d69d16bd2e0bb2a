//! A session: what it says, and how it comes back.

use std::time::Duration;

use switchboard_client::session::{Event, Status};
use switchboard_proto::v1::{EchoMessage, Hello, Pong, client_frame, server_frame};
use tokio::time::Instant;

use crate::{
    gateway::{self, DEADLINE, Gateway, Line, Over},
    heard::heard,
};

/// Short enough not to be waited for, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// The status and the number of a pong, which must come next.
async fn pong(line: &mut Line) -> (i32, u64) {
    match line.hear().await {
        Some(client_frame::Frame::Pong(Pong { status, sequence })) => (status, sequence),
        other => panic!("{other:?} instead of a pong"),
    }
}

#[tokio::test]
async fn it_says_who_it_is_and_answers_pings_with_its_status() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let mut turn = [Status::Odd, Status::Even, Status::Unknown].into_iter().cycle();
        let turn = std::sync::Mutex::new(move || turn.next().unwrap());
        let builder = gateway.client().connect("ann").with_status(move || turn.lock().unwrap()());
        let (builder, mut events) = heard(builder);
        let session = builder.start().unwrap();
        let mut line = gateway.accept().await;
        let expected = Hello { tenant: "a".into(), client: "ann".into(), ..Hello::default() };
        assert_eq!(line.hello().await, expected, "{over:?}");
        let welcome = switchboard_proto::v1::Welcome { session_id: 7, ping_interval_ms: 1_000 };
        line.say(server_frame::Frame::Welcome(welcome)).await;
        assert_eq!(events.connected().await, 7);
        for (sequence, status) in [(1, 2), (2, 1), (3, 0), (9, 2)] {
            line.ping(sequence).await;
            assert_eq!(pong(&mut line).await, (status, sequence), "{over:?}");
        }
        drop(session);
        assert_eq!(line.hear().await, None, "dropping the session ends it");
        events.gone().await;
    }
}

#[tokio::test]
async fn it_connects_again_when_the_connection_is_cut() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let _session = builder.start().unwrap();
        for session_id in 1..5 {
            let line = gateway.welcome(session_id).await;
            assert_eq!(events.connected().await, session_id, "{over:?}");
            drop(line);
            assert_eq!(events.disconnected().await, ("unavailable".into(), true), "{over:?}");
        }
        // Cut before the hello is answered.
        drop(gateway.accept().await);
        assert_eq!(events.disconnected().await, ("unavailable".into(), true), "{over:?}");
        let _line = gateway.welcome(9).await;
        assert_eq!(events.connected().await, 9);
    }
}

#[tokio::test]
async fn it_waits_for_a_node_that_is_not_there_in_growing_pauses() {
    for over in Over::ALL {
        let gateway = Gateway::listen(over).await;
        let address = gateway.address;
        drop(gateway);
        let (builder, mut events) = heard(gateway::client(over, address).connect("ann"));
        let session = builder.start().unwrap();
        for exponent in 0..4 {
            let Event::Disconnected { error, retry_in: Some(pause), .. } = events.next().await
            else {
                panic!("connected to nothing")
            };
            assert_eq!(error.code(), "unavailable");
            assert!(error.to_string().contains(&address.to_string()), "{error}");
            assert!(pause <= Duration::from_millis(100 << exponent), "{exponent}: {pause:?}");
        }
        let added = session.add(1, 2);
        let mut gateway = Gateway::listen_at(over, address).await;
        let mut line = gateway.welcome(1).await;
        let asked = line.hear().await;
        assert!(matches!(asked, Some(client_frame::Frame::Add(_))), "{asked:?} was kept");
        drop((added, session));
    }
}

#[tokio::test]
async fn a_node_that_does_not_welcome_or_ping_is_left() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let builder = gateway.client().connect("ann").with_patience(PATIENCE);
        let (builder, mut events) = heard(builder);
        let began = Instant::now();
        let _session = builder.start().unwrap();
        let mut line = gateway.accept().await;
        line.hello().await;
        // Pings without a welcome are no excuse.
        line.ping(1).await;
        assert_eq!(events.disconnected().await, ("unavailable".into(), true));
        assert!(PATIENCE <= began.elapsed());
        while line.hear().await.is_some() {}

        let mut line = gateway.welcome(2).await;
        events.connected().await;
        // Longer than the patience, though never silent for so long.
        let began = Instant::now();
        let mut sequence = 0;
        while began.elapsed() < PATIENCE * 3 / 2 {
            sequence += 1;
            line.ping(sequence).await;
            assert_eq!(pong(&mut line).await, (0, sequence));
            tokio::time::sleep(PATIENCE / 10).await;
        }
        let Event::Disconnected { error, .. } = events.next().await else { panic!("it stays") };
        assert!(error.to_string().contains("no ping came"), "{error}");
    }
}

#[tokio::test]
async fn a_drain_is_heeded() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        let (answered, refused) = (session.echo("a"), session.ingest("K-00000-A"));
        for _ in 0..2 {
            line.hear().await.unwrap();
        }
        line.drain(250).await;
        let Event::Draining { delay, .. } = events.next().await else { panic!("no drain") };
        assert_eq!(delay, Duration::from_millis(250));
        // Not for this node any more.
        let later = session.echo("b");
        let echo = EchoMessage { content: "a".into(), request_id: 1 };
        line.say(server_frame::Frame::Echo(echo)).await;
        line.refuse(2, "unavailable").await;
        assert_eq!(answered.await.unwrap(), "a");
        assert_eq!(line.hear().await, None, "{over:?}: nothing is left to wait for");
        let Event::Disconnected { retry_in: Some(pause), .. } = events.next().await else {
            panic!("it stays")
        };
        assert!(pause <= delay, "{pause:?}");
        let mut line = gateway.welcome(2).await;
        events.connected().await;
        let kept = [line.hear().await.unwrap(), line.hear().await.unwrap()];
        assert!(
            matches!(&kept, [client_frame::Frame::Ingest(a), client_frame::Frame::Echo(b)]
                if a.request_id == 2 && b.request_id == 3),
            "{over:?}: {kept:?}"
        );
        drop((refused, later, session));
    }
}

#[tokio::test]
async fn who_is_refused_for_good_does_not_come_back() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let waits = session.echo("a");
        // Full now is not full for good.
        for (code, again) in [("too_many_requests", true), ("forbidden", false)] {
            let mut line = gateway.accept().await;
            line.hello().await;
            line.refuse(0, code).await;
            drop(line);
            assert!(matches!(events.next().await, Event::Refused(error) if error.code() == code));
            assert_eq!(events.disconnected().await, (code.into(), again), "{over:?}");
        }
        events.gone().await;
        assert_eq!(waits.await.unwrap_err().code(), "forbidden");
        assert_eq!(session.add(1, 2).await.unwrap_err().code(), "forbidden");
        session.close().await;
    }
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection_and_not_the_session() {
    let too_long = [0x0a, 0x81, 0xa0, 0x40];
    let no_message = [0x0a, 3, 0xff, 0xff, 0xff];
    let garbage: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n", &[0; 8], &too_long, &no_message];
    let mut gateway = Gateway::listen(Over::Tcp).await;
    let (builder, mut events) = heard(gateway.client().connect("ann"));
    let _session = builder.start().unwrap();
    for bytes in garbage {
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        line.say_bytes(bytes).await;
        assert_eq!(events.disconnected().await, ("internal".into(), true), "{bytes:02x?}");
    }
    // Broken off within a frame.
    let mut line = gateway.welcome(1).await;
    events.connected().await;
    line.say_bytes(&[0x0a, 9, 1]).await;
    drop(line);
    assert_eq!(events.disconnected().await, ("unavailable".into(), true));
}

#[tokio::test]
async fn frames_may_be_split_and_joined_and_unknown() {
    let mut gateway = Gateway::listen(Over::Tcp).await;
    let (builder, mut events) = heard(gateway.client().connect("ann"));
    let _session = builder.start().unwrap();
    let mut line = gateway.accept().await;
    line.hello().await;
    // Welcome 5, a frame of a later version, ping 1 and ping 2.
    let frames = [&b"\x22\x02\x08\x05"[..], b"\xa2\x01\x02hi", b"\x2a\x02\x08\x01\x2a\x02\x08\x02"];
    for byte in frames.concat() {
        line.say_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(events.connected().await, 5);
    assert_eq!([pong(&mut line).await, pong(&mut line).await], [(0, 1), (0, 2)]);
    line.say_bytes(&frames[1..].concat()).await;
    assert_eq!([pong(&mut line).await, pong(&mut line).await], [(0, 1), (0, 2)]);
}

#[tokio::test]
async fn closing_sends_what_was_asked_for_first() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let (builder, mut events) = heard(gateway.client().connect("ann"));
        let session = builder.start().unwrap();
        let mut line = gateway.welcome(1).await;
        events.connected().await;
        let asked: Vec<_> = (0..100).map(|n| session.add(n, n)).collect();
        let node = async {
            for n in 0..100 {
                let Some(client_frame::Frame::Add(add)) = line.hear().await else {
                    panic!("{over:?}: {n} were sent")
                };
                assert_eq!((add.a, add.request_id), (n, u64::try_from(n).unwrap() + 1));
            }
            assert_eq!(line.hear().await, None, "{over:?}");
            drop(line);
        };
        let began = Instant::now();
        tokio::join!(session.close(), node);
        assert!(began.elapsed() < Duration::from_secs(2), "{over:?}: the node closed as well");
        events.gone().await;
        for asked in asked {
            assert_eq!(asked.await.unwrap_err().code(), "unavailable");
        }
    }
}

#[tokio::test]
async fn closing_does_not_wait_for_a_node_that_is_not_there_or_deaf() {
    for over in Over::ALL {
        let mut gateway = Gateway::listen(over).await;
        let session = gateway.client().connect("ann").start().unwrap();
        let deaf = gateway.welcome(1).await;
        let began = Instant::now();
        session.close().await;
        assert!(began.elapsed() < DEADLINE / 3, "{over:?}");
        drop(deaf);

        let address = gateway.address;
        drop(gateway);
        let (builder, mut events) = heard(gateway::client(over, address).connect("ann"));
        let session = builder.start().unwrap();
        events.disconnected().await;
        session.close().await;
    }
}

#[tokio::test]
async fn a_callback_that_panics_ends_the_session_and_nobody_waits_in_vain() {
    let mut gateway = Gateway::listen(Over::Tcp).await;
    let builder = gateway.client().connect("ann").with_status(|| panic!("a defect"));
    let session = builder.start().unwrap();
    let waits = session.echo("a");
    let mut line = gateway.welcome(1).await;
    line.ping(1).await;
    assert_eq!(waits.await.unwrap_err().code(), "unavailable");
    while line.hear().await.is_some() {}
}

#[tokio::test]
async fn an_id_that_is_none_is_refused() {
    let gateway = Gateway::listen(Over::Tcp).await;
    for id in ["", "a\nb", &"x".repeat(129)] {
        let refused = gateway.client().connect(id).start().map(drop).unwrap_err();
        assert_eq!(refused.code(), "invalid_request", "{id:?}");
    }
    drop(gateway.client().connect("é".repeat(64)).start().unwrap());
}

#[tokio::test]
async fn what_a_node_that_does_not_read_is_owed_does_not_grow_for_ever() {
    let mut gateway = Gateway::listen(Over::Tcp).await;
    let builder = gateway.client().connect("ann").with_patience(DEADLINE);
    let (builder, mut events) = heard(builder);
    let _session = builder.start().unwrap();
    let mut line = gateway.welcome(1).await;
    events.connected().await;
    let pings = [0x2a, 2, 8, 1].repeat(16 * 1024);
    let flood = async {
        // The client cuts the connection.
        while line.try_say_bytes(&pings).await.is_ok() {}
    };
    let ((), event) = tokio::join!(flood, events.next());
    let Event::Disconnected { error, .. } = event else { panic!("{event:?}") };
    assert_eq!(error.to_string(), "the node does not read");
}
