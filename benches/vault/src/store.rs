//! Durable stores beside durable ingest of as many bytes, on the same node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};
use switchboard_core::ingest::Key;
use switchboard_peers::{Error, figures::Rounds, node::Node};
use switchboard_proto::v1::{IngestRequest, IngestResponse, StoreResponse};
use tokio::{task::JoinSet, time};
use tonic::client::Grpc;

use crate::{
    Options,
    client::{self, STORE, connect, idle},
    values,
};

const INGEST: &str = "/switchboard.v1.IngestService/Ingest";

/// Before it nothing is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Steps through all keys in a scattered order: a prime that does not divide their number.
const STEP: u64 = 1_000_000_007;

/// A field that no request has.
const UNKNOWN: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Ingest,
    Store,
}

/// Requests of one kind, all as long as each other but for the text that tells them apart.
#[derive(Debug)]
struct Requests {
    what: What,
    /// A request, and where in it the name stands.
    template: Vec<u8>,
    place: usize,
    next: AtomicU64,
    /// From one name to the next.
    step: u64,
}

impl Requests {
    fn new(what: What, template: Vec<u8>, step: u64) -> Result<Self, Error> {
        let name = name(0)?;
        let place = template.windows(name.len()).position(|it| it == name.as_bytes());
        let place = place.ok_or("a request has no name")?;
        Ok(Self { what, template, place, next: AtomicU64::new(1), step })
    }

    fn next(&self) -> Result<Bytes, Error> {
        let name = name(self.next.fetch_add(1, Ordering::Relaxed) * self.step)?;
        let mut request = self.template.clone();
        request[self.place..self.place + name.len()].copy_from_slice(name.as_bytes());
        Ok(request.into())
    }

    fn is_new(&self, answer: Bytes) -> Result<bool, Error> {
        Ok(match self.what {
            What::Ingest => IngestResponse::decode(answer)?.new,
            What::Store => StoreResponse::decode(answer)?.new,
        })
    }
}

/// A key of ingest, of equal length for all.
fn name(number: u64) -> Result<String, Error> {
    let number = u32::try_from(number % u64::from(Key::COUNT))?;
    Ok(Key::from_number(number).ok_or("no key")?.to_string())
}

/// Both kinds, of equal length.
fn requests(step: u64) -> Result<[Requests; 2], Error> {
    let store = client::store("default", name(0)?, &values::key_text(1)?).encode_to_vec();
    let mut ingest = IngestRequest { tenant: "default".to_owned(), key: name(0)? }.encode_to_vec();
    encode_key(UNKNOWN, WireType::LengthDelimited, &mut ingest);
    let left = store.len() - ingest.len();
    let padding = left - encoded_len_varint(left as u64);
    encode_varint(padding as u64, &mut ingest);
    ingest.resize(ingest.len() + padding, b'x');
    if ingest.len() != store.len() {
        return Err("the requests are not equally long".into());
    }
    Ok([Requests::new(What::Ingest, ingest, step)?, Requests::new(What::Store, store, step)?])
}

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let node = Node::start(&options.program).await?;
    let requests = requests(if options.ordered { 1 } else { STEP })?.map(Arc::new);
    let (mut rates, mut cpus): ([Rounds; 2], [Rounds; 2]) = Default::default();
    for requests in &requests {
        measure(&node, requests, options).await?;
    }
    for round in 1..=options.rounds {
        for (place, requests) in requests.iter().enumerate() {
            let [rate, cpu] = measure(&node, requests, options).await?;
            eprintln!("round {round}: {:?} {rate:.0}/s, {cpu:.1} us of CPU each", requests.what);
            rates[place].add(rate);
            cpus[place].add(cpu);
        }
    }
    let ([ingest, store], [ingest_cpu, store_cpu]) = (rates, cpus);
    let bytes = requests[0].template.len();
    println!("requests of {bytes} bytes; the node's CPU each, in microseconds");
    println!("ingests a second: {ingest:.0}; {ingest_cpu:.1}");
    println!("stores a second: {store:.0}; {store_cpu:.1}");
    println!("stores to ingests: {:.2}; {:.2}", store.to(&ingest), store_cpu.to(&ingest_cpu));
    Ok(())
}

/// Requests a second, and the node's CPU for each in microseconds: with what it does behind them.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn measure(
    node: &Node,
    requests: &Arc<Requests>,
    options: &Options,
) -> Result<[f64; 2], Error> {
    let before = idle(node).await?;
    let answers = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + WARM_UP + options.length;
    let mut tasks = JoinSet::new();
    for _ in 0..options.connections {
        let channel = connect(node).await?;
        for _ in 0..options.in_flight {
            let client = Grpc::new(channel.clone());
            tasks.spawn(drive(client, Arc::clone(requests), Arc::clone(&answers), end));
        }
    }
    time::sleep(WARM_UP).await;
    let (warm, began) = (answers.load(Ordering::Relaxed), Instant::now());
    time::sleep_until(end.into()).await;
    let rate = (answers.load(Ordering::Relaxed) - warm) as f64 / began.elapsed().as_secs_f64();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let used = idle(node).await? - before;
    Ok([rate, used * 1e6 / answers.load(Ordering::Relaxed) as f64])
}

async fn drive(
    mut client: Grpc<tonic::transport::Channel>,
    requests: Arc<Requests>,
    answers: Arc<AtomicU64>,
    end: Instant,
) -> Result<(), Error> {
    let path = if requests.what == What::Store { STORE } else { INGEST };
    while Instant::now() < end {
        let answer = client::call(&mut client, path, requests.next()?).await?;
        if !requests.is_new(answer)? {
            return Err("something was there already".into());
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
