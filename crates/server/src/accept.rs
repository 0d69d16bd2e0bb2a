//! The accept loop of a listener.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// How long the loop rests after an error, at first and at most. What fails is mostly a want of
/// file descriptors, which trying at once does not mend.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);

/// Accepts until stopped; `serve` gets each connection with its place, which is free again when it
/// is dropped. An error of one connection is not the end.
pub(crate) async fn accept(
    listener: TcpListener,
    places: usize,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    serve: impl Fn(TcpStream, OwnedSemaphorePermit),
) {
    let places = Arc::new(Semaphore::new(places));
    let mut rest = REST_MIN;
    loop {
        let next = next(&listener, &places);
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = next => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                rest = REST_MIN;
                // Answers are written whole: waiting for more to send only delays them.
                if stream.set_nodelay(true).is_ok() {
                    serve(stream, place);
                }
            }
            Err(error) => {
                metrics.accept_rejected("error");
                tracing::warn!(%error, "can't accept a connection");
                time::sleep(rest).await;
                rest = (rest * 2).min(REST_MAX);
            }
        }
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    // Never closed.
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}
