//! `/v1/tenants/{tenant}/users/{phone}`: chats.

mod bodies;
mod inbox;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{get, post, put},
};
use http::{HeaderMap, Request, StatusCode, Uri};
use switchboard_core::{
    Code, Error, Result,
    chat::{self, User},
};

use self::bodies::{
    ChatBody, Chats, Known, Marks, MessageBody, Messages, Profile, ReceiptRequest, RegisterRequest,
    SendRequest, Sent, Trace,
};
use super::{
    Segments, body,
    problem::{Problem, ProblemBody, json},
    segments,
};
use crate::{
    caller::Caller,
    chat::{Asked, Entrances, Written, presence},
    node::Node,
    presence::Tally,
    telemetry::current_trace,
};

#[derive(Debug)]
struct Chat {
    node: Node,
    /// None on a node that does not know who is online.
    tally: Option<Arc<Tally>>,
    entrances: Entrances,
}

type Shared = State<Arc<Chat>>;

/// The routes of chat.
pub(super) fn routes(node: &Node, tally: Option<Arc<Tally>>) -> Router {
    let chat = Chat { node: node.clone(), tally, entrances: Entrances::new(node, "rest") };
    let user = "/v1/tenants/{tenant}/users/{phone}";
    Router::new()
        .route(user, put(register))
        .route(&format!("{user}/messages"), post(send))
        .route(&format!("{user}/messages/{{client_message_id}}"), get(trace))
        .route(&format!("{user}/chats"), get(list_chats))
        .route(&format!("{user}/chats/{{peer}}/messages"), get(list_messages))
        .route(&format!("{user}/chats/{{peer}}/receipts"), post(acknowledge))
        .route(&format!("{user}/inbox"), get(inbox::read))
        .with_state(Arc::new(chat))
}

/// What the query of a list says.
#[derive(Debug, Default)]
struct Query {
    limit: u32,
    cursor: String,
}

impl Query {
    /// Reads `limit` and the name of a place, each once at most.
    fn read(uri: &Uri, place: &str) -> Result<Self> {
        let mut query = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if seen.contains(&name) {
                let what = format!("the query has {name} twice");
                return Err(Error::new(Code::InvalidRequest, what));
            }
            match &*name {
                "limit" => {
                    let limit = value.parse().ok().filter(|&limit| 0 < limit);
                    query.limit = limit.ok_or_else(|| {
                        let what = format!("limit is 1 to {}", chat::PAGE_MAX);
                        Error::new(Code::InvalidRequest, what)
                    })?;
                }
                named if named == place => query.cursor = value.into_owned(),
                _ => {
                    let what = format!("the query knows no {name:?}: it takes limit and {place}");
                    return Err(Error::new(Code::InvalidRequest, what));
                }
            }
            seen.push(name);
        }
        Ok(query)
    }

    fn asked(&self) -> Asked<'_> {
        Asked { limit: self.limit, cursor: &self.cursor }
    }
}

impl Chat {
    fn user(&self, caller: Caller, tenant: &str, phone: &str) -> Result<User> {
        self.node.user(caller.tenant(tenant)?, phone)
    }

    fn bytes_max(&self) -> usize {
        self.node.limits.body_bytes_max
    }
}

/// Makes a user known, and sets his name if one is given. Nobody has to be known to be written to.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}/users/{phone}",
    tag = "chat",
    operation_id = "register_user",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "A phone number", example = "+41791234567"),
    ),
    request_body = RegisterRequest,
    responses(
        (status = 201, description = "Not known before", body = Profile),
        (status = 200, description = "Known before", body = Profile),
        (status = 400, description = "`invalid_phone`, `invalid_tenant`, `invalid_request`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn register(
    State(chat): Shared,
    path: Segments<(String, String)>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        let asked: RegisterRequest = body::json_or_nothing(request, chat.bytes_max()).await?;
        chat.node.register_user(user, asked.name.as_deref()).await
    };
    let registered = chat.entrances.register.pass(headers, work).await?;
    let status = if registered.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &Profile::of(&registered.profile)))
}

/// Sends a message, once for each `client_message_id` of its sender.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/users/{phone}/messages",
    tag = "chat",
    operation_id = "send_message",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "Who sends it", example = "+41791234567"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same as \
            `client_message_id`; both given and unequal is `conflict`"),
    ),
    request_body = SendRequest,
    responses(
        (status = 201, description = "Sent now", body = Sent),
        (status = 200, description = "Sent before: the first message", body = Sent),
        (status = 400, description = "`invalid_phone`, `invalid_recipient`, `invalid_text`, \
            `invalid_request`, `invalid_tenant`", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the same `client_message_id` with another \
            recipient or text", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: more than 4,096 characters",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn send(
    State(chat): Shared,
    path: Segments<(String, String)>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone) = segments(path)?;
        let from = chat.user(caller, &tenant, &phone)?;
        let asked: SendRequest = body::json(request, chat.bytes_max()).await?;
        let id = body::idempotency_key(headers, asked.client_message_id.as_deref())?;
        let written = Written { to: &asked.to, text: &asked.text, client_message_id: &id };
        let draft = chat.node.draft(from, &written, current_trace())?;
        chat.node.send_message(draft).await
    };
    let sent = chat.entrances.send.pass(headers, work).await?;
    let status = if sent.new { StatusCode::CREATED } else { StatusCode::OK };
    let message = MessageBody::of(sent.message.from, &sent.message, sent.status);
    Ok(json(status, &Sent { message, new: sent.new }))
}

/// A user's chats, the latest activity first.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/users/{phone}/chats",
    tag = "chat",
    operation_id = "list_chats",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "A phone number", example = "+41791234567"),
        ("limit" = Option<u32>, Query, description = "1 to 1,000; 50 where it is absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier page"),
    ),
    responses(
        (status = 200, description = "A page", body = Chats),
        (status = 400, description = "`invalid_phone`, `invalid_cursor`, `invalid_tenant`",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list_chats(
    State(chat): Shared,
    path: Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        let query = Query::read(&uri, "cursor")?;
        Ok((user, chat.node.list_chats(user, query.asked()).await?))
    };
    let (user, read) = chat.entrances.chats.pass(headers, work).await?;
    let chats = read.page.chats.iter().map(|it| {
        let known = presence(chat.tally.as_ref(), &user.tenant, it.peer);
        ChatBody::of(user.phone, it, known)
    });
    Ok(json(StatusCode::OK, &Chats { chats: chats.collect(), next_cursor: read.next }))
}

/// The messages of one chat, the newest first.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/users/{phone}/chats/{peer}/messages",
    tag = "chat",
    operation_id = "list_messages",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "A phone number", example = "+41791234567"),
        ("peer" = String, Path, description = "That of the other user", example = "+41791234568"),
        ("limit" = Option<u32>, Query, description = "1 to 1,000; 50 where it is absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` (to older messages) or \
            `previous_cursor` (to newer ones) of an earlier page"),
    ),
    responses(
        (status = 200, description = "A page; an empty one where there is no such chat",
            body = Messages),
        (status = 400, description = "`invalid_phone`, `invalid_recipient`, `invalid_cursor`, \
            `invalid_tenant`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list_messages(
    State(chat): Shared,
    path: Segments<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone, peer) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        let query = Query::read(&uri, "cursor")?;
        Ok((user, chat.node.list_messages(user, &peer, query.asked()).await?))
    };
    let (user, read) = chat.entrances.messages.pass(headers, work).await?;
    let messages = read.page.messages.iter();
    let messages = messages.map(|it| MessageBody::of(user.phone, &it.message, it.status));
    let page = Messages {
        messages: messages.collect(),
        next_cursor: read.next,
        previous_cursor: read.previous,
    };
    Ok(json(StatusCode::OK, &page))
}

/// States up to which message of a chat a user has got and read what was written to him.
#[utoipa::path(
    post,
    path = "/v1/tenants/{tenant}/users/{phone}/chats/{peer}/receipts",
    tag = "chat",
    operation_id = "acknowledge",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "Who has got, or read", example = "+41791234568"),
        ("peer" = String, Path, description = "Whose messages", example = "+41791234567"),
    ),
    request_body = ReceiptRequest,
    responses(
        (status = 200, description = "Where the marks are now", body = Marks),
        (status = 400, description = "`invalid_phone`, `invalid_recipient`, `invalid_request`, \
            `invalid_tenant`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such message",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn acknowledge(
    State(chat): Shared,
    path: Segments<(String, String, String)>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone, peer) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        let asked: ReceiptRequest = body::json(request, chat.bytes_max()).await?;
        let marks = (asked.delivered_up_to, asked.read_up_to);
        chat.node.acknowledge(chat.node.statement(user, &peer, marks)?).await
    };
    let chat::Marks { delivered_up_to, read_up_to } =
        chat.entrances.acknowledge.pass(headers, work).await?;
    Ok(json(StatusCode::OK, &Marks { delivered_up_to, read_up_to }))
}

/// Where a message is, told to its sender step by step.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/users/{phone}/messages/{client_message_id}",
    tag = "chat",
    operation_id = "trace_message",
    params(
        ("tenant" = String, Path, description = "Whose user", example = "default"),
        ("phone" = String, Path, description = "Who sent it", example = "+41791234567"),
        ("client_message_id" = String, Path, description = "What he called it"),
    ),
    responses(
        (status = 200, description = "The steps that were made, in order", body = Trace),
        (status = 400, description = "`invalid_phone`, `invalid_request`, `invalid_tenant`",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: he sent none of this name",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn trace(
    State(chat): Shared,
    path: Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (chat, headers) = (&chat, &headers);
    let work = |caller: Caller| async move {
        let (tenant, phone, id) = segments(path)?;
        let user = chat.user(caller, &tenant, &phone)?;
        chat.node.trace_message(user, &id).await
    };
    let steps = chat.entrances.trace.pass(headers, work).await?;
    Ok(json(StatusCode::OK, &Trace::of(&steps)))
}

/// What the description of REST says of chat.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(register, send, list_chats, list_messages, acknowledge, inbox::read, trace),
    components(schemas(Known))
)]
pub(super) struct Api;
