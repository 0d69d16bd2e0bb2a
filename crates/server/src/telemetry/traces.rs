//! The trace of a message, from its send to its delivery.
//!
//! It is carried in the stored message: whoever hands it out, now or later, here or elsewhere, goes
//! on with it.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use switchboard_core::chat::{Entry, Happening, PhoneNumber, TraceContext};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The trace that the present request belongs to.
pub(crate) fn current_trace() -> Option<TraceContext> {
    trace_of(&Span::current())
}

/// A send of a session whose client says which trace it belongs to: the trace to go on with.
pub(crate) fn send_trace(traceparent: &str) -> Option<TraceContext> {
    let parent = parse(traceparent)?;
    let span = tracing::debug_span!("request", capability = "chat", operation = "session_send");
    if span.is_disabled() {
        return Some(parent);
    }
    let _ = span.set_parent(context_of(&parent));
    trace_of(&span).or(Some(parent))
}

/// An entry was handed to a session or stream of a user: the end of a message's trace.
pub(crate) fn delivered(user: PhoneNumber, entry: &Entry) {
    let Happening::Message(message) = &entry.what else { return };
    let Some(trace) = &message.trace else { return };
    if message.to == user && trace.flags & 1 == 1 {
        let span = tracing::debug_span!("deliver", capability = "chat");
        let _ = span.set_parent(context_of(trace));
    }
}

fn trace_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let told = span.span_context();
    told.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(told.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(told.span_id().to_bytes()),
        flags: told.trace_flags().to_u8(),
    })
}

fn context_of(trace: &TraceContext) -> Context {
    let span = SpanContext::new(
        TraceId::from_bytes(trace.trace_id.to_be_bytes()),
        SpanId::from_bytes(trace.span_id.to_be_bytes()),
        TraceFlags::new(trace.flags),
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(span)
}

/// A `traceparent` of the W3C: version, trace, span and flags in hexadecimal.
fn parse(traceparent: &str) -> Option<TraceContext> {
    let mut parts = traceparent.split('-');
    let mut hex = |digits: usize| {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u128::from_str_radix(part, 16).ok()).flatten()
    };
    let [version, trace_id, span_id, flags] = [hex(2)?, hex(32)?, hex(16)?, hex(2)?];
    let valid = version != 0xff && trace_id != 0 && span_id != 0;
    valid.then_some(TraceContext {
        trace_id,
        span_id: u64::try_from(span_id).ok()?,
        flags: u8::try_from(flags).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<(u128, u64, u8)>) {
        let parsed = parse(written).map(|it| (it.trace_id, it.span_id, it.flags));
        assert_eq!(parsed, expected, "{written}");
    }

    #[test]
    fn traceparents() {
        check("00-000000000000000000000000000000ff-0000000000000002-01", Some((0xff, 2, 1)));
        check("00-000000000000000000000000000000ff-0000000000000002-01-later", Some((0xff, 2, 1)));
        check("ff-000000000000000000000000000000ff-0000000000000002-01", None);
        check("00-00000000000000000000000000000000-0000000000000002-01", None);
        check("00-000000000000000000000000000000ff-0000000000000000-01", None);
        check("00-+00000000000000000000000000000ff-0000000000000002-01", None);
        check("00-ff-2-01", None);
        check("", None);
    }
}
