//! Retrieves of one record over gRPC: with a generated key, with a passphrase that the node
//! remembers, and with one that it derives, beside one bare Argon2id.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use prost::Message as _;
use switchboard_core::vault::Work;
use switchboard_peers::{Error, figures::Rounds, node::Node};
use switchboard_proto::v1::{StoreResponse, vault_service_client::VaultServiceClient};
use tonic::{client::Grpc, transport::Channel};

use crate::{
    Options,
    client::{self, STORE, connect},
    told, values,
};

/// How many new passphrases a tenant may bring at once, by default, and so with each round.
const OF_A_TENANT: usize = 20;
const TENANTS: usize = 2;

const ID: &str = "engineering-jobs-1";
const PASSPHRASE: &str = "correct horse battery staple";

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let node = Node::start(&options.program).await?;
    let channel = connect(&node).await?;
    let generated = values::key_text(1)?;
    store(&channel, "generated", &generated).await?;
    store(&channel, "passphrase", PASSPHRASE).await?;
    let mut client = VaultServiceClient::new(channel.clone());
    let mut rounds: [Rounds; 6] = Default::default();
    for round in 0..=options.rounds {
        let [fast, cached] = known(&mut client, &generated, options.length).await?;
        let [new, bare] = new(&channel, &mut client, round, &generated).await?;
        if 0 < round {
            let [fast, cached, new, bare] = [fast, cached, new, bare].map(|mut it| told(&mut it));
            eprintln!(
                "round {round}, p50 and p99 in ms: generated {fast:.3?}, remembered {cached:.3?}, \
                 new {new:.1?}, Argon2id {bare:.1?}"
            );
            let figures = [fast[0], fast[1], cached[0], cached[1], new[0], bare[0]];
            rounds.iter_mut().zip(figures).for_each(|(rounds, it)| rounds.add(it));
        }
    }
    let [fast, fast99, cached, cached99, new, bare] = rounds;
    println!("a generated key, ms: p50 {fast:.3}, p99 {fast99:.3}");
    println!("a passphrase that is remembered, ms: p50 {cached:.3}, p99 {cached99:.3}");
    println!("a new passphrase, ms: {new:.2}");
    println!("one Argon2id, ms: {bare:.2}");
    println!("remembered to generated, p50: {:.2}", cached.to(&fast));
    println!("new to one Argon2id, p50: {:.2}", new.to(&bare));
    Ok(())
}

async fn store(channel: &Channel, tenant: &str, key: &str) -> Result<(), Error> {
    let request = client::store(tenant, ID.to_owned(), key).encode_to_vec();
    let answer = client::call(&mut Grpc::new(channel.clone()), STORE, request.into()).await?;
    if StoreResponse::decode(answer)?.new { Ok(()) } else { Err("it was there".into()) }
}

/// How long a retrieve takes that gives so many records.
async fn retrieve(
    client: &mut VaultServiceClient<Channel>,
    (tenant, key): (&str, &str),
    records: usize,
) -> Result<Duration, Error> {
    let request = client::retrieve(tenant, ID, key);
    let (began, mut read) = (Instant::now(), 0);
    let mut answer = client.retrieve(request).await?.into_inner();
    while answer.message().await?.is_some() {
        read += 1;
    }
    let took = began.elapsed();
    if read == records { Ok(took) } else { Err(format!("{read} records").into()) }
}

/// With a generated key and with a passphrase that the node remembers, in turn.
async fn known(
    client: &mut VaultServiceClient<Channel>,
    generated: &str,
    length: Duration,
) -> Result<[Vec<Duration>; 2], Error> {
    let (mut fast, mut cached, end) = (Vec::new(), Vec::new(), Instant::now() + length);
    while Instant::now() < end {
        fast.push(retrieve(client, ("generated", generated), 1).await?);
        cached.push(retrieve(client, ("passphrase", PASSPHRASE), 1).await?);
    }
    Ok([fast, cached])
}

/// With passphrases that the node sees for the first time, and the bare Argon2id, in turn. They
/// open nothing: a passphrase that something is stored under is remembered from then on.
async fn new(
    channel: &Channel,
    client: &mut VaultServiceClient<Channel>,
    round: usize,
    generated: &str,
) -> Result<[Vec<Duration>; 2], Error> {
    let (mut new, mut bare, mut argon2id) = (Vec::new(), Vec::new(), Argon2id::new()?);
    for tenant in 0..TENANTS {
        let tenant = format!("new-{round}-{tenant}");
        store(channel, &tenant, generated).await?;
        for number in 0..OF_A_TENANT {
            let passphrase = format!("passphrase {number}");
            new.push(retrieve(client, (&tenant, &passphrase), 0).await?);
            bare.push(argon2id.derive(&passphrase)?);
        }
    }
    Ok([new, bare])
}

/// Argon2id with the parameters of a tenant, and its memory kept from one to the next.
struct Argon2id {
    argon2: Argon2<'static>,
    memory: Vec<Block>,
}

impl Argon2id {
    fn new() -> Result<Self, Error> {
        let Work { memory_kib, passes, lanes } = Work::default();
        let params = Params::new(memory_kib, passes, lanes, Some(32));
        let params = params.map_err(|error| error.to_string())?;
        let memory = vec![Block::new(); params.block_count()];
        Ok(Self { argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params), memory })
    }

    fn derive(&mut self, passphrase: &str) -> Result<Duration, Error> {
        let (began, mut derived) = (Instant::now(), [0; 32]);
        let (passphrase, salt) = (passphrase.as_bytes(), [7; 16]);
        let memory = &mut self.memory;
        self.argon2
            .hash_password_into_with_memory(passphrase, &salt, &mut derived, memory)
            .map_err(|error| error.to_string())?;
        std::hint::black_box(derived);
        Ok(began.elapsed())
    }
}
