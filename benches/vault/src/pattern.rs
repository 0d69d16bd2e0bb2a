//! All records under a pattern: in the process, and the first of them over gRPC.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use switchboard_core::{
    Millis,
    store::Unobserved,
    vault::{
        Change, ClientKey, Expected, Found, Listed, Opening, Pattern, Range, Record, Records, Then,
        Value, open,
    },
};
use switchboard_embedded::{Embedded, Options as Layout, disk::LocalDisk};
use switchboard_peers::{Error, figures::Rounds, node::Node};
use switchboard_proto::v1::vault_service_client::VaultServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    Options,
    client::{self, connect, fill, idle},
    told, values,
};

const RECORDS: usize = 10_000;
const PATTERN: &str = "engineering-jobs-*";

/// Besides all, so many of them are asked for.
const LIMITS: [u32; 3] = [16, 17, 200];

/// How much the server reads at once.
const FIRST_AT_ONCE: usize = 16;
const RECORDS_AT_ONCE: usize = 128;
const BYTES_AT_ONCE: usize = 256 * 1024;

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    in_process(options).await?;
    over_grpc(options).await
}

/// A store with all records; in tables, or in memory still.
struct Store {
    records: Embedded,
    _folder: TempDir,
}

impl Store {
    async fn filled(in_tables: bool) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let disk = Arc::new(LocalDisk::open(folder.path())?);
        let store = Embedded::open(disk, &Layout::default(), Arc::new(Unobserved))?;
        let tenant = values::tenant()?;
        let sealed = values::records(RECORDS, &values::client_key(1)?, &value()?)?;
        let changes = sealed.into_iter().map(|(id, record)| Change {
            tenant,
            id,
            expected: Expected::Absent,
            then: Then::Put(record),
        });
        store.change(changes.collect()).await?;
        if in_tables {
            // It is put away with whatever has expired: nothing here.
            store.expire(Millis(0)).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        Ok(Self { records: store, _folder: folder })
    }

    /// Reads and opens all, and says how long it took.
    async fn read(&self, key: &ClientKey) -> Result<Duration, Error> {
        let (tenant, pattern) = (values::tenant()?, Pattern::new(PATTERN)?);
        let (mut after, mut records_max, mut read) = (None, FIRST_AT_ONCE, 0);
        let began = Instant::now();
        loop {
            let prefix = pattern.prefix().into();
            let range = Range { prefix, after, records_max, bytes_max: BYTES_AT_ONCE };
            records_max = RECORDS_AT_ONCE;
            let mut page = self.records.list(tenant, range).await?;
            page.listed.retain(|it| pattern.matches(&it.id));
            let mut values = Vec::with_capacity(page.listed.len());
            for Listed { id, found } in page.listed {
                let Found::Whole(Record { sealed, .. }) = found else {
                    return Err("a record is damaged".into());
                };
                match open(key, &values::context(&tenant, &id), sealed) {
                    Opening::Opened(value) => values.push(value),
                    other => return Err(format!("{other:?}").into()),
                }
            }
            read += black_box(values).len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let took = began.elapsed();
        if read == RECORDS { Ok(took) } else { Err(format!("{read} records").into()) }
    }
}

fn value() -> Result<Value, Error> {
    values::value(values::VALUE_BYTES)
}

async fn in_process(options: &Options) -> Result<(), Error> {
    let key = values::client_key(1)?;
    let stores = [Store::filled(false).await?, Store::filled(true).await?];
    let mut rounds: [Rounds; 2] = Default::default();
    for round in 0..=options.rounds {
        let mut figures = [0.0; 2];
        for (store, figure) in stores.iter().zip(&mut figures) {
            let (end, mut times) = (Instant::now() + options.length / 2, Vec::new());
            while Instant::now() < end {
                times.push(store.read(&key).await?);
            }
            [*figure, _] = told(&mut times);
        }
        if 0 < round {
            let [memory, tables] = figures;
            eprintln!("round {round}: in memory {memory:.1} ms, in tables {tables:.1} ms");
            rounds.iter_mut().zip(figures).for_each(|(rounds, figure)| rounds.add(figure));
        }
    }
    let [memory, tables] = rounds;
    println!("{RECORDS} records read and opened in the process, in memory, ms: {memory:.1}");
    println!("the same, in tables, ms: {tables:.1}");
    Ok(())
}

async fn over_grpc(options: &Options) -> Result<(), Error> {
    let (node, key) = (Node::start(&options.program).await?, values::key_text(1)?);
    fill(&node, RECORDS, &key).await?;
    idle(&node).await?;
    let mut client = VaultServiceClient::new(connect(&node).await?);
    whole(&mut client, &key, 0).await?;
    let mut rounds: [Rounds; 3] = Default::default();
    let mut all = 0;
    for round in 1..=options.rounds {
        let (mut firsts, mut wholes) = (Vec::new(), Vec::new());
        let end = Instant::now() + options.length;
        while Instant::now() < end {
            let (first, whole) = whole(&mut client, &key, 0).await?;
            firsts.push(first);
            wholes.push(whole);
        }
        all += firsts.len();
        let ([p50, p99], [whole, _]) = (told(&mut firsts), told(&mut wholes));
        eprintln!("round {round}: first {p50:.2} ms, p99 {p99:.2} ms; whole {whole:.0} ms");
        rounds.iter_mut().zip([p50, p99, whole]).for_each(|(rounds, it)| rounds.add(it));
    }
    let [p50, p99, all_of_them] = rounds;
    println!("the first of them over gRPC, ms: p50 {p50:.2}, p99 {p99:.2} ({all} calls)");
    println!("all of them over gRPC, ms: {all_of_them:.0}");
    for limit in LIMITS {
        let (mut firsts, end) = (Vec::new(), Instant::now() + options.length);
        while Instant::now() < end {
            firsts.push(whole(&mut client, &key, limit).await?.0);
        }
        let [p50, p99] = told(&mut firsts);
        println!("the first of {limit} over gRPC, ms: p50 {p50:.2}, p99 {p99:.2}");
    }
    Ok(())
}

/// How long it takes until the first record is there, and until so many are; 0: all.
async fn whole(
    client: &mut VaultServiceClient<Channel>,
    key: &str,
    limit: u32,
) -> Result<(Duration, Duration), Error> {
    let mut request = client::retrieve("default", PATTERN, key);
    request.limit = limit;
    let began = Instant::now();
    let mut records = client.retrieve(request).await?.into_inner();
    let mut read = usize::from(records.message().await?.is_some());
    let first = began.elapsed();
    while records.message().await?.is_some() {
        read += 1;
    }
    let whole = began.elapsed();
    let expected = if limit == 0 { RECORDS } else { limit as usize };
    if read == expected { Ok((first, whole)) } else { Err(format!("{read} records").into()) }
}
