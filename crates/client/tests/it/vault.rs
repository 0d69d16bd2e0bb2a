//! The vault: what is tried again, what is not, and how lists go on.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use switchboard_client::{
    Client, Error,
    vault::{
        EncryptionKey, Record, RetrieveOptions, StoreOptions, Stored, VaultContent, VaultValue,
    },
};
use switchboard_proto::v1::{
    self, DeleteRequest, DeleteResponse, RekeyRequest, RekeyResponse, RetrieveRequest,
    StoreRequest, StoreResponse, value,
    vault_service_server::{VaultService, VaultServiceServer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

const KEY: &str = "Zoë's key";

/// Enough for a few tries, not enough for many.
const TIMEOUT: Duration = Duration::from_millis(500);

/// What it was asked, and how it answers.
#[derive(Default)]
struct Vault {
    stores: Mutex<Vec<StoreRequest>>,
    retrieves: Mutex<Vec<RetrieveRequest>>,
    deletes: Mutex<Vec<DeleteRequest>>,
    rekeys: Mutex<Vec<RekeyRequest>>,
    /// What the next calls are answered.
    troubles: Mutex<VecDeque<Status>>,
    /// After how many records each stream breaks.
    breaks_after: Option<usize>,
    /// Where pages of changes go on.
    cursors: Vec<&'static str>,
}

impl Vault {
    fn trouble(&self) -> Result<(), Status> {
        self.troubles.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    /// Where the page goes on, by where it began.
    fn next_cursor(&self, cursor: &str) -> String {
        let at = self.cursors.iter().position(|it| *it == cursor).map_or(0, |at| at + 1);
        self.cursors.get(at).copied().unwrap_or_default().to_owned()
    }
}

fn record(id: &str) -> v1::Record {
    let text = format!("{{\"{id}\": 1.0}}");
    v1::Record {
        id: id.to_owned(),
        value: Some(v1::Value { content: Some(value::Content::Json(text)) }),
        version: 7,
        updated_at: 5,
        expires_at: None,
        cursor: format!("behind {id}"),
    }
}

#[tonic::async_trait]
impl VaultService for Vault {
    type RetrieveStream = Pin<Box<dyn Stream<Item = Result<v1::Record, Status>> + Send>>;

    async fn store(
        &self,
        request: Request<StoreRequest>,
    ) -> Result<Response<StoreResponse>, Status> {
        let request = request.into_inner();
        let id = request.id.clone();
        self.stores.lock().unwrap().push(request);
        self.trouble()?;
        let (new, replaced_key) = (true, false);
        Ok(Response::new(StoreResponse { id, updated_at: 5, version: 7, new, replaced_key }))
    }

    async fn retrieve(
        &self,
        request: Request<RetrieveRequest>,
    ) -> Result<Response<Self::RetrieveStream>, Status> {
        let request = request.into_inner();
        let all = ["a", "b", "c", "d", "e"].map(record);
        let begin = all.iter().position(|it| it.cursor == request.cursor).map_or(0, |at| at + 1);
        let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
        self.retrieves.lock().unwrap().push(request);
        self.trouble()?;
        let mut told: Vec<_> = all.into_iter().skip(begin).take(limit).map(Ok).collect();
        if let Some(breaks_after) = self.breaks_after.filter(|after| *after < told.len()) {
            told.truncate(breaks_after);
            told.push(Err(Status::unavailable("as the test says")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(told))))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let request = request.into_inner();
        let next_cursor = self.next_cursor(&request.cursor);
        self.deletes.lock().unwrap().push(request);
        self.trouble()?;
        Ok(Response::new(DeleteResponse { deleted: 2, next_cursor }))
    }

    async fn rekey(
        &self,
        request: Request<RekeyRequest>,
    ) -> Result<Response<RekeyResponse>, Status> {
        let request = request.into_inner();
        let next_cursor = self.next_cursor(&request.cursor);
        self.rekeys.lock().unwrap().push(request);
        self.trouble()?;
        Ok(Response::new(RekeyResponse { rekeyed: 3, next_cursor }))
    }
}

/// A running vault, which ends when this is dropped.
struct Running {
    vault: Arc<Vault>,
    client: Client,
    _server: JoinSet<()>,
}

impl Running {
    async fn start(vault: Vault) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), vault).await
    }

    async fn at(address: SocketAddr, vault: Vault) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let vault = Arc::new(vault);
        let serving = Server::builder()
            .add_service(VaultServiceServer::from_arc(Arc::clone(&vault)))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut server = JoinSet::new();
        server.spawn(async { serving.await.unwrap() });
        let client = Client::new(&url).unwrap().with_tenant("t").with_timeout(TIMEOUT);
        Self { vault, client, _server: server }
    }
}

fn key() -> EncryptionKey {
    EncryptionKey::new(KEY)
}

fn unavailable(times: usize) -> Mutex<VecDeque<Status>> {
    Mutex::new((0..times).map(|_| Status::unavailable("as the test says")).collect())
}

async fn store(client: &Client, if_version: Option<u64>) -> Result<Stored, Error> {
    let options = StoreOptions { expires_at: Some(9), if_version };
    client.store("config", &VaultValue::json("[1.0]"), &key(), options).await
}

#[tokio::test]
async fn a_store_says_what_is_to_be_kept() {
    let running = Running::start(Vault::default()).await;
    let expected = Stored {
        id: "config".to_owned(),
        updated_at: 5,
        version: 7,
        new: true,
        replaced_key: false,
    };
    assert_eq!(store(&running.client, Some(0)).await, Ok(expected));
    let png = VaultValue::bytes("image/png", [0, 255]);
    running.client.store("png", &png, &key(), StoreOptions::default()).await.unwrap();
    let stores = running.vault.stores.lock().unwrap();
    let [first, second] = &stores[..] else { panic!("{stores:?}") };
    assert_eq!((first.tenant.as_str(), first.id.as_str()), ("t", "config"));
    assert_eq!(first.encryption_key, KEY);
    assert_eq!((first.expires_at, first.if_version), (Some(9), Some(0)));
    let content = |request: &StoreRequest| request.value.clone().unwrap().content.clone().unwrap();
    assert_eq!(content(first), value::Content::Json("[1.0]".to_owned()));
    let blob = v1::Blob { content_type: "image/png".to_owned(), data: vec![0, 255] };
    assert_eq!(content(second), value::Content::Bytes(blob));
    assert_eq!((second.expires_at, second.if_version), (None, None));
}

#[tokio::test]
async fn a_store_is_tried_again_but_for_one_with_a_version() {
    let running = Running::start(Vault { troubles: unavailable(2), ..Vault::default() }).await;
    assert!(store(&running.client, None).await.is_ok());
    assert_eq!(running.vault.stores.lock().unwrap().len(), 3);

    let running = Running::start(Vault { troubles: unavailable(2), ..Vault::default() }).await;
    let error = store(&running.client, Some(3)).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert_eq!(running.vault.stores.lock().unwrap().len(), 1, "it may have been stored");
}

#[tokio::test]
async fn a_store_with_a_version_is_tried_again_where_it_did_nothing() {
    let info = || ErrorDetails::with_error_info("too_many_requests", "switchboard", []);
    let full = || Status::with_error_details(Code::ResourceExhausted, "full", info());
    let troubles = Mutex::new([full(), full()].into());
    let running = Running::start(Vault { troubles, ..Vault::default() }).await;
    assert!(store(&running.client, Some(3)).await.is_ok());
    assert_eq!(running.vault.stores.lock().unwrap().len(), 3);

    // Nobody listens, for a while.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(&format!("http://{address}")).unwrap();
    let (stored, running) = tokio::join!(store(&client, Some(3)), async {
        // Not before the first try was refused.
        let refused = store(&client.clone().with_timeout(Duration::from_millis(1)), Some(3)).await;
        assert_eq!(refused.unwrap_err().code(), "unavailable");
        Running::at(address, Vault::default()).await
    });
    assert!(stored.is_ok(), "{stored:?}");
    assert_eq!(running.vault.stores.lock().unwrap().len(), 1);
}

/// A node that goes away at the first call on each connection, and says that the last it has taken
/// is this one. Ends with the number of calls that it was sent.
async fn goes_away(listener: TcpListener, last: u8) -> usize {
    let mut calls = 0;
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await?;
            // Its settings, empty; and away.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
            stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
            let mut head = [0; 9];
            // To the first head of a request.
            while head[3] != 1 {
                stream.read_exact(&mut head).await?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                stream.read_exact(&mut vec![0; usize::try_from(length).unwrap()]).await?;
            }
            calls += 1;
            stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0]).await?;
        }
    };
    let served: Result<Result<Infallible, io::Error>, _> =
        tokio::time::timeout(TIMEOUT * 2, serve).await;
    assert!(served.is_err(), "{served:?}");
    calls
}

#[tokio::test]
async fn a_store_with_a_version_is_tried_again_where_the_node_left_without_it() {
    for (last, expected) in [(0, 2..usize::MAX), (1, 1..2)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let client = client.with_timeout(TIMEOUT);
        let (stored, calls) = tokio::join!(store(&client, Some(3)), goes_away(listener, last));
        assert_eq!(stored.unwrap_err().code(), "unavailable");
        assert!(expected.contains(&calls), "{calls} calls, the last taken is {last}");
    }
}

async fn retrieve(
    client: &Client,
    limit: u32,
    cursor: &str,
) -> Result<Vec<Record>, (Vec<Record>, Error)> {
    let options = RetrieveOptions { limit, cursor: cursor.to_owned() };
    let mut records = Vec::new();
    let mut stream = match client.retrieve("*", &key(), options).await {
        Ok(stream) => stream,
        Err(error) => return Err((records, error)),
    };
    while let Some(record) = stream.next().await {
        match record {
            Ok(record) => records.push(record),
            Err(error) => {
                assert!(stream.next().await.is_none(), "it ends");
                return Err((records, error));
            }
        }
    }
    Ok(records)
}

fn ids(records: &[Record]) -> String {
    records.iter().map(|record| record.id.as_str()).collect()
}

#[tokio::test]
async fn records_come_as_they_were_stored() {
    let running = Running::start(Vault { troubles: unavailable(2), ..Vault::default() }).await;
    let records = running.client.retrieve_all("*", &key()).await.unwrap();
    assert_eq!(ids(&records), "abcde");
    assert!(records[0].value.content() == VaultContent::Json("{\"a\": 1.0}"));
    let Record { version, updated_at, expires_at, cursor, .. } = &records[0];
    assert_eq!((*version, *updated_at, *expires_at, cursor.as_str()), (7, 5, None, "behind a"));
    let retrieves = running.vault.retrieves.lock().unwrap();
    assert_eq!(retrieves.len(), 3, "opening is tried again");
    let asked = &retrieves[0];
    assert_eq!((asked.tenant.as_str(), asked.id.as_str()), ("t", "*"));
    assert_eq!((asked.encryption_key.as_str(), asked.limit, asked.cursor.as_str()), (KEY, 0, ""));
}

#[tokio::test]
async fn a_stream_that_broke_goes_on_behind_its_last_record() {
    for (breaks_after, limit, cursor, expected, opened) in [
        (2, 0, "", "abcde", 3),
        (2, 4, "", "abcd", 2),
        (2, 2, "", "ab", 1),
        (1, 3, "behind b", "cde", 3),
        (9, 0, "behind d", "e", 1),
        (9, 0, "behind e", "", 1),
    ] {
        let vault = Vault { breaks_after: Some(breaks_after), ..Vault::default() };
        let running = Running::start(vault).await;
        let records = retrieve(&running.client, limit, cursor).await.unwrap();
        assert_eq!(ids(&records), expected);
        assert_eq!(running.vault.retrieves.lock().unwrap().len(), opened, "{expected}");
    }
}

#[tokio::test]
async fn a_stream_that_gets_no_further_ends() {
    let running = Running::start(Vault { breaks_after: Some(0), ..Vault::default() }).await;
    let (records, error) = retrieve(&running.client, 0, "").await.unwrap_err();
    assert_eq!((ids(&records).as_str(), error.code()), ("", "unavailable"));
    assert!(1 < running.vault.retrieves.lock().unwrap().len(), "it was tried again");

    let troubles = Mutex::new([Status::invalid_argument("no key")].into());
    let running = Running::start(Vault { troubles, ..Vault::default() }).await;
    let (_, error) = retrieve(&running.client, 0, "").await.unwrap_err();
    assert_eq!(error.code(), "invalid_request");
}

#[tokio::test]
async fn changes_go_on_to_their_end_and_add_up() {
    let cursors = vec!["one", "two"];
    let vault = Vault { cursors, troubles: unavailable(1), ..Vault::default() };
    let running = Running::start(vault).await;
    assert_eq!(running.client.delete("*", &key()).await, Ok(6));
    let new = EncryptionKey::new("new");
    assert_eq!(running.client.rekey("*", &key(), &new).await, Ok(9));
    let deletes = running.vault.deletes.lock().unwrap();
    let cursors: Vec<&str> = deletes.iter().map(|it| it.cursor.as_str()).collect();
    assert_eq!(cursors, ["", "", "one", "two"], "the first was tried again");
    assert!(deletes.iter().all(|it| it.encryption_key == KEY && it.id == "*"));
    let rekeys = running.vault.rekeys.lock().unwrap();
    let cursors: Vec<&str> = rekeys.iter().map(|it| it.cursor.as_str()).collect();
    assert_eq!(cursors, ["", "one", "two"]);
    let keys = |it: &RekeyRequest| it.old_encryption_key == KEY && it.new_encryption_key == "new";
    assert!(rekeys.iter().all(keys));
}

#[tokio::test]
async fn a_change_that_goes_on_where_it_was_ends() {
    let cursors = vec!["one", "one"];
    let running = Running::start(Vault { cursors, ..Vault::default() }).await;
    assert_eq!(running.client.delete("*", &key()).await.unwrap_err().code(), "internal");
    let error = running.client.rekey("*", &key(), &key()).await.unwrap_err();
    assert_eq!(error.code(), "internal");
}
