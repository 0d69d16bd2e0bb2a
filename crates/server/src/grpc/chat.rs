//! `switchboard.v1.ChatService`.

use std::{future, pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use switchboard_core::{Result, chat::Cursor};
use switchboard_proto::v1::{
    AcknowledgeRequest, AcknowledgeResponse, Chat as ChatFrame, FollowInboxRequest, InboxEntry,
    ListChatsRequest, ListChatsResponse, ListMessagesRequest, ListMessagesResponse,
    ReadInboxRequest, ReadInboxResponse, RegisterUserRequest, RegisterUserResponse,
    SendMessageRequest, SendMessageResponse, TraceMessageRequest, TraceMessageResponse,
    chat_service_server::ChatService,
};
use tonic::{Request, Response, Status};

use super::pass;
use crate::{
    chat::{Asked, Entrances, Follower, Told, Written, presence},
    node::Node,
    presence::Tally,
    status,
    telemetry::{current_trace, delivered},
    wire,
};

/// Chat over gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Chat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    /// None on a node that does not know who is online.
    tally: Option<Arc<Tally>>,
    entrances: Entrances,
}

impl Chat {
    pub(crate) fn new(node: &Node, tally: Option<Arc<Tally>>) -> Self {
        let entrances = Entrances::new(node, "grpc");
        Self(Arc::new(Inner { node: node.clone(), tally, entrances }))
    }

    fn node(&self) -> &Node {
        &self.0.node
    }
}

#[tonic::async_trait]
impl ChatService for Chat {
    type FollowInboxStream = Pin<Box<dyn Stream<Item = Result<InboxEntry, Status>> + Send>>;

    async fn register_user(
        &self,
        request: Request<RegisterUserRequest>,
    ) -> Result<Response<RegisterUserResponse>, Status> {
        pass(&self.0.entrances.register, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let registered = self.node().register_user(user, asked.name.as_deref()).await?;
            Ok(wire::to::registered_response(&registered))
        })
        .await
    }

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        pass(&self.0.entrances.send, request, |caller, asked| async move {
            let SendMessageRequest { tenant, from, to, text, client_message_id } = &asked;
            let from = self.node().user(caller.tenant(tenant)?, from)?;
            let written = Written { to, text, client_message_id };
            let draft = self.node().draft(from, &written, current_trace())?;
            Ok(wire::to::sent_response(&self.node().send_message(draft).await?))
        })
        .await
    }

    async fn list_chats(
        &self,
        request: Request<ListChatsRequest>,
    ) -> Result<Response<ListChatsResponse>, Status> {
        pass(&self.0.entrances.chats, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let page = Asked { limit: asked.limit, cursor: &asked.cursor };
            let read = self.node().list_chats(user, page).await?;
            let chat = |chat: &switchboard_core::chat::Chat| {
                let known = presence(self.0.tally.as_ref(), &user.tenant, chat.peer);
                let (online, last_seen) =
                    known.map_or((None, None), |(online, last_seen)| (Some(online), last_seen));
                ChatFrame { online, last_seen, ..wire::to::chat(user.phone, chat) }
            };
            Ok(ListChatsResponse {
                chats: read.page.chats.iter().map(chat).collect(),
                next_cursor: read.next.unwrap_or_default(),
            })
        })
        .await
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        pass(&self.0.entrances.messages, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let page = Asked { limit: asked.limit, cursor: &asked.cursor };
            let read = self.node().list_messages(user, &asked.peer, page).await?;
            Ok(ListMessagesResponse {
                messages: wire::to::messages(user.phone, &read.page.messages),
                next_cursor: read.next.unwrap_or_default(),
                previous_cursor: read.previous.unwrap_or_default(),
            })
        })
        .await
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeResponse>, Status> {
        pass(&self.0.entrances.acknowledge, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let marks = (asked.delivered_up_to, asked.read_up_to);
            let stated = self.node().statement(user, &asked.peer, marks)?;
            Ok(wire::to::marks_response(self.node().acknowledge(stated).await?))
        })
        .await
    }

    async fn read_inbox(
        &self,
        request: Request<ReadInboxRequest>,
    ) -> Result<Response<ReadInboxResponse>, Status> {
        pass(&self.0.entrances.inbox, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let read = self.node().read_inbox(user, &asked.after, asked.limit).await?;
            let cursor = Cursor::of_inbox(&user);
            let entries = read.entries.iter().map(|entry| {
                wire::to::inbox_entry(user.phone, entry, &cursor.write(entry.sequence))
            });
            Ok(ReadInboxResponse { entries: entries.collect(), next_cursor: read.next })
        })
        .await
    }

    async fn follow_inbox(
        &self,
        request: Request<FollowInboxRequest>,
    ) -> Result<Response<Self::FollowInboxStream>, Status> {
        pass(&self.0.entrances.follow, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let mut follower = Follower::new(self.node(), user, &asked.after)?;
            // That the cursor is one of this inbox is told before the stream begins.
            future::poll_fn(|context| follower.poll_next(context)).await?;
            let draining = self.node().draining.clone().cancelled_owned();
            Ok(Box::pin(follow(follower).take_until(draining)) as Self::FollowInboxStream)
        })
        .await
    }

    async fn trace_message(
        &self,
        request: Request<TraceMessageRequest>,
    ) -> Result<Response<TraceMessageResponse>, Status> {
        pass(&self.0.entrances.trace, request, |caller, asked| async move {
            let user = self.node().user(caller.tenant(&asked.tenant)?, &asked.phone)?;
            let steps = self.node().trace_message(user, &asked.client_message_id).await?;
            Ok(wire::to::steps_response(&steps))
        })
        .await
    }
}

/// The entries of an inbox as they come.
fn follow(follower: Follower) -> impl Stream<Item = Result<InboxEntry, Status>> + Send {
    stream::try_unfold(follower, async |mut follower| {
        loop {
            let told = future::poll_fn(|context| follower.poll_next(context)).await;
            if let Told::Entry(entry, since) = told.map_err(|error| status::grpc(&error))? {
                let (user, cursor) = (*follower.user(), follower.cursor(entry.sequence));
                follower.handed_out(since);
                delivered(user.phone, &entry);
                let frame = wire::to::inbox_entry(user.phone, &entry, &cursor);
                return Ok(Some((frame, follower)));
            }
        }
    })
}
