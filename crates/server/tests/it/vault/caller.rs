//! A caller of the vault, over REST or gRPC alike.

use std::net::SocketAddr;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use switchboard_proto::v1::{self, value, vault_service_client::VaultServiceClient};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::node::{Node, exchange};

/// What carries the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Rest,
    Grpc,
}

/// Somebody who calls for one tenant.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) over: Over,
    pub(crate) tenant: String,
    main: SocketAddr,
    grpc: VaultServiceClient<Channel>,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Json(String),
    Bytes(String, Vec<u8>),
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) version: u64,
    pub(crate) updated_at: i64,
    pub(crate) new: bool,
    pub(crate) replaced_key: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) content: Content,
    pub(crate) version: u64,
    pub(crate) updated_at: i64,
    pub(crate) expires_at: Option<i64>,
}

/// A call that was refused: its code, and all that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) said: String,
}

/// An answer of REST.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The headers, in lower case, but for the date.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn next(&self) -> Option<String> {
        let next = self.headers.iter().find(|(name, _)| name == "switchboard-next-cursor");
        next.map(|(_, cursor)| cursor.clone())
    }
}

/// Posts to REST with these headers.
pub(crate) async fn post(main: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let answer = exchange(main, &[head.as_bytes(), body].concat()).await;
    let answer = String::from_utf8(answer).expect("an answer is a text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    let (line, headers) = head.split_once("\r\n").unwrap();
    let headers = headers.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned())).filter(|(name, _)| name != "date")
    });
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

fn refused(status: &Status) -> Refused {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    Refused { code: info.reason, said: format!("{status:?} {:?}", status.metadata()) }
}

impl Caller {
    pub(crate) fn new(node: &Node, over: Over, tenant: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", node.main)).unwrap();
        let grpc = VaultServiceClient::new(endpoint.connect_lazy());
        let grpc = grpc.max_decoding_message_size(1 << 24);
        Self { over, tenant: tenant.to_owned(), main: node.main, grpc }
    }

    /// Both transports, each for a tenant of its own.
    pub(crate) fn both(node: &Node) -> [Self; 2] {
        [Self::new(node, Over::Rest, "rest"), Self::new(node, Over::Grpc, "grpc")]
    }

    /// The same over the other transport.
    pub(crate) fn other(&self) -> Self {
        let over = if self.over == Over::Rest { Over::Grpc } else { Over::Rest };
        Self { over, ..self.clone() }
    }

    /// Posts to a call of REST.
    pub(crate) async fn ask(&self, call: &str, body: &str) -> Answer {
        let path = format!("/v1/tenants/{}/vault/{call}", self.tenant);
        post(self.main, &path, "content-type: application/json\r\n", body.as_bytes()).await
    }

    async fn asked(&self, call: &str, body: &str) -> Result<Answer, Refused> {
        let answer = self.ask(call, body).await;
        if answer.status < 300 {
            return Ok(answer);
        }
        let Answer { status, headers, body } = answer;
        let problem: serde_json::Value = serde_json::from_str(&body).expect("a problem");
        assert_eq!(problem["status"], status);
        let code = problem["code"].as_str().unwrap().to_owned();
        Err(Refused { code, said: format!("{headers:?} {body}") })
    }

    pub(crate) async fn store(&self, id: &str, key: &str, text: &str) -> Result<Stored, Refused> {
        self.store_as(id, key, text, None, None).await
    }

    pub(crate) async fn store_as(
        &self,
        id: &str,
        key: &str,
        text: &str,
        if_version: Option<u64>,
        expires_at: Option<i64>,
    ) -> Result<Stored, Refused> {
        if self.over == Over::Grpc {
            let content = Content::Json(text.to_owned());
            return self.put(id, key, content, if_version, expires_at).await;
        }
        let body = format!(
            "{{\"id\":{},\"encryption_key\":{},\"value\":{text},\"if_version\":{},\
             \"expires_at\":{}}}",
            json!(id),
            json!(key),
            json!(if_version),
            json!(expires_at),
        );
        let answer = self.asked("store", &body).await?;
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told["id"], id);
        assert!(matches!(answer.status, 200 | 201));
        Ok(Stored {
            version: told["version"].as_u64().unwrap(),
            updated_at: told["updated_at"].as_i64().unwrap(),
            new: answer.status == 201,
            replaced_key: told["replaced_key"].as_bool().unwrap(),
        })
    }

    /// Stores over gRPC, which takes bytes too.
    pub(crate) async fn put(
        &self,
        id: &str,
        key: &str,
        content: Content,
        if_version: Option<u64>,
        expires_at: Option<i64>,
    ) -> Result<Stored, Refused> {
        let content = match content {
            Content::Json(text) => value::Content::Json(text),
            Content::Bytes(content_type, data) => {
                value::Content::Bytes(v1::Blob { content_type, data })
            }
        };
        let request = v1::StoreRequest {
            tenant: self.tenant.clone(),
            id: id.to_owned(),
            encryption_key: key.to_owned(),
            value: Some(v1::Value { content: Some(content) }),
            expires_at,
            if_version,
        };
        let answer = self.grpc.clone().store(request).await.map_err(|status| refused(&status))?;
        let v1::StoreResponse { id: told, updated_at, version, new, replaced_key } =
            answer.into_inner();
        assert_eq!(told, id);
        Ok(Stored { version, updated_at, new, replaced_key })
    }

    /// All records, whatever pages they come in.
    pub(crate) async fn retrieve(&self, id: &str, key: &str) -> Result<Vec<Record>, Refused> {
        let (mut records, mut cursor) = (Vec::new(), String::new());
        loop {
            let (page, next) = self.page(id, key, 0, &cursor).await?;
            records.extend(page);
            match next {
                Some(next) if self.over == Over::Rest => cursor = next,
                _ => return Ok(records),
            }
        }
    }

    /// A page, 0 for one without a limit, and the cursor behind it: over REST that of the header,
    /// over gRPC of the last record.
    pub(crate) async fn page(
        &self,
        id: &str,
        key: &str,
        limit: u32,
        cursor: &str,
    ) -> Result<(Vec<Record>, Option<String>), Refused> {
        if self.over == Over::Grpc {
            return self.streamed(id, key, limit, cursor).await;
        }
        let mut body = json!({"id": id, "encryption_key": key});
        if 0 < limit {
            body["limit"] = limit.into();
        }
        if !cursor.is_empty() {
            body["cursor"] = cursor.into();
        }
        let answer = self.asked("retrieve", &body.to_string()).await?;
        Ok((read(&answer.body), answer.next()))
    }

    async fn streamed(
        &self,
        id: &str,
        key: &str,
        limit: u32,
        cursor: &str,
    ) -> Result<(Vec<Record>, Option<String>), Refused> {
        let request = v1::RetrieveRequest {
            tenant: self.tenant.clone(),
            id: id.to_owned(),
            encryption_key: key.to_owned(),
            limit,
            cursor: cursor.to_owned(),
        };
        let answer = self.grpc.clone().retrieve(request).await;
        let mut stream = answer.map_err(|status| refused(&status))?.into_inner();
        let (mut records, mut next) = (Vec::new(), None);
        while let Some(it) = stream.message().await.map_err(|status| refused(&status))? {
            let content = match it.value.as_ref().and_then(|value| value.content.as_ref()) {
                Some(value::Content::Json(text)) => Content::Json(text.clone()),
                Some(value::Content::Bytes(blob)) => {
                    Content::Bytes(blob.content_type.clone(), blob.data.clone())
                }
                None => panic!("a record without a value"),
            };
            let v1::Record { id, version, updated_at, expires_at, cursor, .. } = it;
            records.push(Record { id, content, version, updated_at, expires_at });
            next = Some(cursor);
        }
        Ok((records, next))
    }

    pub(crate) async fn delete(&self, id: &str, key: &str) -> Result<u64, Refused> {
        self.delete_from(id, key, "").await
    }

    pub(crate) async fn delete_from(
        &self,
        id: &str,
        key: &str,
        cursor: &str,
    ) -> Result<u64, Refused> {
        if self.over == Over::Rest {
            let body = json!({"id": id, "encryption_key": key, "cursor": cursor}).to_string();
            let answer = self.asked("delete", &body).await?;
            assert_eq!(answer.next(), None);
            let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            return Ok(told["deleted"].as_u64().unwrap());
        }
        let request = v1::DeleteRequest {
            tenant: self.tenant.clone(),
            id: id.to_owned(),
            encryption_key: key.to_owned(),
            cursor: cursor.to_owned(),
        };
        let answer = self.grpc.clone().delete(request).await.map_err(|status| refused(&status))?;
        assert_eq!(answer.get_ref().next_cursor, "");
        Ok(answer.into_inner().deleted)
    }

    pub(crate) async fn rekey(&self, id: &str, old: &str, new: &str) -> Result<u64, Refused> {
        self.rekey_from(id, [old, new], "").await
    }

    pub(crate) async fn rekey_from(
        &self,
        id: &str,
        [old, new]: [&str; 2],
        cursor: &str,
    ) -> Result<u64, Refused> {
        if self.over == Over::Rest {
            let body = json!({
                "id": id, "old_encryption_key": old, "new_encryption_key": new, "cursor": cursor,
            });
            let answer = self.asked("rekey", &body.to_string()).await?;
            assert_eq!(answer.next(), None);
            let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            return Ok(told["rekeyed"].as_u64().unwrap());
        }
        let request = v1::RekeyRequest {
            tenant: self.tenant.clone(),
            id: id.to_owned(),
            old_encryption_key: old.to_owned(),
            new_encryption_key: new.to_owned(),
            cursor: cursor.to_owned(),
        };
        let answer = self.grpc.clone().rekey(request).await.map_err(|status| refused(&status))?;
        assert_eq!(answer.get_ref().next_cursor, "");
        Ok(answer.into_inner().rekeyed)
    }

    /// The JSON text under one id; none where nothing opens.
    pub(crate) async fn text(&self, id: &str, key: &str) -> Option<String> {
        let records = self.retrieve(id, key).await.unwrap();
        let [record] = records.as_slice() else {
            assert!(records.is_empty(), "{records:?}");
            return None;
        };
        match &record.content {
            Content::Json(text) => Some(text.clone()),
            bytes @ Content::Bytes(..) => panic!("{bytes:?}"),
        }
    }
}

/// The records of an answer of REST, their values as they are written.
fn read(body: &str) -> Vec<Record> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sent {
        id: String,
        value: Option<Box<RawValue>>,
        bytes: Option<String>,
        content_type: Option<String>,
        version: u64,
        updated_at: i64,
        expires_at: Option<i64>,
    }
    let lines: Vec<&RawValue> = serde_json::from_str(body).expect("an array");
    let record = |raw: &RawValue| {
        let sent: Sent = serde_json::from_str(raw.get()).expect("a record");
        let content = match (sent.value, sent.bytes, sent.content_type) {
            (Some(value), None, None) => Content::Json(value.get().to_owned()),
            (None, Some(bytes), Some(content_type)) => {
                Content::Bytes(content_type, Base64::decode_vec(&bytes).expect("base64"))
            }
            // A value that is null is there.
            (None, None, None) if raw.get().contains("\"value\":null") => {
                Content::Json("null".to_owned())
            }
            _ => panic!("neither a value nor bytes: {}", raw.get()),
        };
        let Sent { id, version, updated_at, expires_at, .. } = sent;
        Record { id, content, version, updated_at, expires_at }
    };
    lines.into_iter().map(record).collect()
}
