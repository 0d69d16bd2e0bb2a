//! Deliveries out, what becomes of them in.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use switchboard_core::{
    Code, Error, Result,
    bus::{Answer, DeliveryId, Settled},
};
use switchboard_proto::v1::{
    ConsumeRequest, ConsumeResponse, ConsumeStart, Consuming, SettleRequest, consume_request,
    consume_response::What,
};
use tonic::{Status, Streaming};

use crate::{
    bus::{Consumer, Given, Judged, judge_settle, prefetch, queue},
    caller::Caller,
    node::Node,
    status,
    wire::bus as wire,
};

/// The most settlements of one call that are under way; more are not read yet.
const SETTLING_MAX: usize = 256;

/// One call.
pub(super) struct Call {
    node: Node,
    consumer: Consumer,
    /// None once the client says nothing more.
    sent: Option<Streaming<ConsumeRequest>>,
    settling: VecDeque<Settling>,
    /// Whether it has come to its end.
    over: bool,
}

struct Settling {
    answer: Answer<Vec<Settled>>,
    ids: Vec<DeliveryId>,
    unknown: Vec<String>,
}

/// Begins to consume the queue that the first message names. That it is there is told first.
///
/// # Errors
///
/// [`Code::InvalidRequest`] when the first message names none; [`Code::NotFound`] when it is not
/// there, is told by the stream.
pub(super) async fn begin(
    node: &Node,
    caller: Caller,
    first: Option<ConsumeRequest>,
    sent: Streaming<ConsumeRequest>,
) -> Result<Call> {
    let Some(consume_request::What::Start(start)) = first.and_then(|first| first.what) else {
        let what = "the first message says which queue is consumed";
        return Err(Error::new(Code::InvalidRequest, what));
    };
    let ConsumeStart { tenant, queue: name, prefetch: asked } = start;
    let queue = queue(caller.tenant(&tenant)?, &name)?;
    // That the queue is there is told before the stream begins.
    node.ports.log.queue(queue.clone()).await?;
    let consumer = Consumer::new(node, queue, prefetch(asked)?);
    let (node, sent) = (node.clone(), Some(sent));
    Ok(Call { node, consumer, sent, settling: VecDeque::new(), over: false })
}

impl Call {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<What, Status>>> {
        while self.settling.len() < SETTLING_MAX
            && let Some(sent) = &mut self.sent
        {
            match Pin::new(sent).poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(None) => self.sent = None,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(ConsumeRequest { what }))) => {
                    let Some(consume_request::What::Settle(said)) = what else {
                        let what = "all messages but the first settle deliveries";
                        return refused(&Error::new(Code::InvalidRequest, what));
                    };
                    if let Err(error) = self.settle(&said) {
                        return refused(&error);
                    }
                }
            }
        }
        if let Some(first) = self.settling.front_mut()
            && let Poll::Ready(settled) = first.answer.as_mut().poll(context)
            && let Some(Settling { ids, unknown, .. }) = self.settling.pop_front()
        {
            let outcomes = match settled {
                Ok(settled) => self.node.outcomes(self.consumer.queue(), &ids, unknown, &settled),
                Err(error) => return refused(&error),
            };
            return Poll::Ready(Some(Ok(What::Settled(wire::settled(outcomes)))));
        }
        if self.sent.is_none() {
            // Whoever says nothing more can't settle: what was said is answered, and no more.
            return if self.settling.is_empty() { Poll::Ready(None) } else { Poll::Pending };
        }
        match self.consumer.poll_next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Given::Began)) => Poll::Ready(Some(Ok(What::Consuming(Consuming {})))),
            Poll::Ready(Ok(Given::Delivery(delivery))) => {
                let delivery = wire::delivery(self.consumer.queue(), &delivery);
                Poll::Ready(Some(Ok(What::Delivery(delivery))))
            }
            Poll::Ready(Err(error)) => refused(&error),
        }
    }

    fn settle(&mut self, said: &SettleRequest) -> Result<()> {
        let queue = self.consumer.queue().clone();
        let Judged { settlement, unknown } = judge_settle(&self.node, &queue, &wire::settle(said))?;
        let ids: Vec<_> = settlement.deliveries.iter().map(|(id, _)| *id).collect();
        self.consumer.settling(ids.iter().copied());
        let answer = self.node.ports.log.settle(settlement);
        self.settling.push_back(Settling { answer, ids, unknown });
        Ok(())
    }
}

fn refused(error: &Error) -> Poll<Option<Result<What, Status>>> {
    Poll::Ready(Some(Err(status::grpc(error))))
}

impl Stream for Call {
    type Item = Result<ConsumeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.poll(context).map(|given| {
            self.over = !matches!(given, Some(Ok(_)));
            given.map(|given| given.map(|what| ConsumeResponse { what: Some(what) }))
        })
    }
}
