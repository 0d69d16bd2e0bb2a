//! Chats of users who are at different nodes.

use std::{collections::BTreeSet, time::Duration};

use switchboard_contract::Fate;
use switchboard_server::Looks;

use super::*;
use crate::cluster::{Cluster, NEVER};

/// Says something, and returns its sequence in the chat.
async fn sent(line: &mut Line, to: &str, id: &str) -> u64 {
    line.say(send(to, id, 5)).await;
    loop {
        match hear(line).await {
            Frame::Send(sent) => return sent.id,
            Frame::Inbox(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn users_at_different_nodes_meet_live() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.node(NEVER).await, cluster.node(NEVER).await);
    let mut bob = following(&two, Over::Tcp, BOB, "now").await;
    let mut ann = following(&one, Over::SocketJson, ANN, "now").await;
    let id = sent(&mut ann, BOB, "m1").await;
    assert_eq!(text(&happened(&mut bob).await), "text of m1");
    bob.say(acknowledge(ANN, id)).await;
    let Frame::Acknowledge(_) = hear(&mut bob).await else { panic!("no marks") };
    let What::Message(own) = happened(&mut ann).await.0 else { panic!("not her own") };
    assert_eq!(own.text, "text of m1");
    let What::Read(read) = happened(&mut ann).await.0 else { panic!("no receipt") };
    assert_eq!((read.chat.as_str(), read.up_to), (BOB, id));
    // That he writes is told as well.
    let typing = v1::Typing { peer: ANN.to_owned(), typing: true };
    bob.say(client_frame::Frame::Typing(typing)).await;
    let told = hear(&mut ann).await;
    assert!(matches!(&told, Frame::Typing(typing) if typing.peer == BOB), "{told:?}");
    // Nobody at the first node is told what is between others.
    let (_, metrics) = one.admin("/metrics").await;
    assert!(metrics.contains("switchboard_reconcile_total{result=\"gap\"} 0"), "{metrics}");
}

#[tokio::test]
async fn the_last_signal_that_is_lost_in_silence_is_found() {
    let cluster = Cluster::default();
    let looks = Looks { reconcile: Duration::from_millis(500), ..NEVER };
    let (one, two) = (cluster.node(NEVER).await, cluster.node(looks).await);
    let mut bob = following(&two, Over::Tcp, BOB, "now").await;
    let mut ann = Line::join(&one, Over::Tcp, ANN).await;
    sent(&mut ann, BOB, "live").await;
    assert_eq!(text(&happened(&mut bob).await), "text of live");
    cluster.wire.decide(|_| Fate::Lost);
    for id in ["lost 1", "lost 2"] {
        sent(&mut ann, BOB, id).await;
        assert_eq!(text(&happened(&mut bob).await), format!("text of {id}"));
    }
    let (_, metrics) = two.admin("/metrics").await;
    let gaps =
        metrics.lines().find(|it| it.starts_with("switchboard_reconcile_total{result=\"gap"));
    assert!(gaps.is_some_and(|gaps| !gaps.ends_with(" 0")), "{metrics}");
    cluster.wire.decide(|_| Fate::Arrives);
    sent(&mut ann, BOB, "live again").await;
    assert_eq!(text(&happened(&mut bob).await), "text of live again");
}

#[tokio::test]
async fn without_signals_a_node_looks_by_itself_and_is_live_again_by_itself() {
    let cluster = Cluster::default();
    let looks = Looks { poll: Duration::from_millis(300), ..NEVER };
    let (one, two) = (cluster.node(NEVER).await, cluster.node(looks).await);
    let mut bob = following(&two, Over::Tcp, BOB, "now").await;
    let mut ann = Line::join(&one, Over::Tcp, ANN).await;
    cluster.wire.cut(true);
    for id in ["cut 1", "cut 2"] {
        sent(&mut ann, BOB, id).await;
        assert_eq!(text(&happened(&mut bob).await), format!("text of {id}"));
    }
    sent(&mut ann, BOB, "just before").await;
    cluster.wire.cut(false);
    assert_eq!(text(&happened(&mut bob).await), "text of just before");
    for id in ["live 1", "live 2"] {
        sent(&mut ann, BOB, id).await;
        assert_eq!(text(&happened(&mut bob).await), format!("text of {id}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_signals_each_message_is_told_once_and_in_order() {
    const EACH: usize = 60;
    let cluster = Cluster::default();
    let looks = Looks { reconcile: Duration::from_millis(400), ..NEVER };
    let nodes = [cluster.node(looks).await, cluster.node(looks).await, cluster.node(looks).await];
    cluster.wire.decide(|payload| {
        match payload.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 5 {
            0 => Fate::Lost,
            1 => Fate::Twice,
            2 => Fate::Late(Duration::from_millis(15)),
            _ => Fate::Arrives,
        }
    });
    let mut devices = Vec::new();
    for node in &nodes {
        devices.push(following(node, Over::Tcp, BOB, "now").await);
    }
    let mut senders = JoinSet::new();
    for (node, from) in [(&nodes[0], ANN), (&nodes[1], CAT)] {
        let mut line = Line::join(node, Over::Tcp, from).await;
        senders.spawn(async move {
            for number in 0..EACH {
                sent(&mut line, BOB, &format!("{from} {number}")).await;
            }
            line
        });
    }
    let mut told = Vec::new();
    for device in &mut devices {
        let mut texts = Vec::new();
        for _ in 0..2 * EACH {
            texts.push(text(&happened(device).await).to_owned());
        }
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 2 * EACH, "each once");
        told.push(texts);
    }
    assert!(told.iter().all(|texts| *texts == told[0]), "all devices are told the same");
    assert_eq!(senders.join_all().await.len(), 2);
}
