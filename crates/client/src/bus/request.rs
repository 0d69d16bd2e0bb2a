//! Questions and answers over ephemeral events.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::time::{self, Instant};
use tokio_stream::StreamExt as _;

use super::{Draft, Event, Interest, Subscription};
use crate::{Client, Error, name::made_up};

/// How many questions of a responder are answered at once.
pub const RESPONDING_MAX: usize = 64;

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The type of the event that it becomes.
    pub kind: String,
    /// Up to 1 MiB.
    pub data: Vec<u8>,
    /// What the data is, or nothing for `application/octet-stream`.
    pub content_type: String,
}

impl Reply {
    /// An answer of which nothing more is said.
    pub fn new(kind: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self { kind: kind.into(), data: data.into(), content_type: String::new() }
    }

    /// An answer that is a JSON text (RFC 8259).
    pub fn json(kind: impl Into<String>, text: impl Into<String>) -> Self {
        let content_type = "application/json".to_owned();
        Self { kind: kind.into(), data: text.into().into_bytes(), content_type }
    }
}

impl Client {
    /// Publishes an event as a question, and waits for the first answer: an event to a topic made
    /// up for it, `reply.` and 128 random bits. The question is ephemeral, whatever the draft says,
    /// and has no key: it is asked at most once, and reaches those who are subscribed right now.
    ///
    /// # Errors
    ///
    /// `deadline_exceeded` when nobody answered in `limit`: nobody may have heard it, or somebody
    /// may still act on it. `unavailable` when the node could not be reached in that time; those of
    /// [`Client::publish`].
    pub async fn request(&self, draft: Draft, limit: Duration) -> Result<Event, Error> {
        let deadline = Instant::now() + limit;
        let late = |_| {
            let what = format!("nobody answered in {limit:?}: is anybody there who responds?");
            Error::new("deadline_exceeded", what)
        };
        let limited = self.clone().with_timeout(limit.min(self.timeout));
        let topic = format!("reply.{}", made_up());
        let interest = Interest::new([topic.as_str()]);
        let mut answers = Subscription::open(limited, self.bus()?, interest, "now").await?;
        let asked = Draft { key: None, ephemeral: true, reply_to: Some(topic), ..draft };
        let left = deadline.saturating_duration_since(Instant::now());
        self.clone().with_timeout(left.min(self.timeout)).publish(asked).await?;
        let answer = time::timeout_at(deadline, answers.next()).await.map_err(late)?;
        answer.unwrap_or_else(|| Err(Error::new("unavailable", "the node ended the answer")))
    }

    /// Answers requests to topics that one of the filters matches, from now on: it is subscribed
    /// when this returns, and then as [`Subscription::respond`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::subscribe`].
    pub async fn respond<H, F>(
        &self,
        interest: Interest,
        handler: H,
    ) -> Result<impl Future<Output = Result<(), Error>> + Send + use<H, F>, Error>
    where
        H: Fn(Event) -> F + Send + Sync,
        F: Future<Output = Option<Reply>> + Send,
    {
        Ok(self.subscribe(interest, "now").await?.respond(handler))
    }
}

impl Subscription {
    /// Answers requests, while the future is awaited: gives each event that has a `reply_to` to the
    /// handler, up to [`RESPONDING_MAX`] at once, and publishes its answer there, ephemeral. None
    /// is no answer. Where several respond to one topic each answers, and the first counts.
    ///
    /// Ends only with an error. An answer that can't be delivered is none: whoever asked is gone,
    /// and asks again.
    ///
    /// # Errors
    ///
    /// Those of the subscription; `invalid_type`, `invalid_value`, `too_large` and others for an
    /// answer that can't be published.
    pub async fn respond<H, F>(self, handler: H) -> Result<(), Error>
    where
        H: Fn(Event) -> F + Send + Sync,
        F: Future<Output = Option<Reply>> + Send,
    {
        let client = self.client().clone();
        self.try_for_each_concurrent(RESPONDING_MAX, async |event| {
            let Some(topic) = event.reply_to.clone() else { return Ok(()) };
            let Some(Reply { kind, data, content_type }) = handler(event).await else {
                return Ok(());
            };
            let answer = Draft::new(topic, kind, data).with_content_type(content_type).ephemeral();
            match client.publish(answer).await {
                // Of whoever asked, and not of the handler.
                Err(error) if error.is_unavailable() || error.code() == "invalid_topic" => Ok(()),
                published => published.map(drop),
            }
        })
        .await
    }
}
