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
                if stop.run_until_cancelled(time::sleep(rest)).await.is_none() {
                    return;
                }
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

#[cfg(test)]
mod tests {
    use std::{
        net::{self, Shutdown},
        os::fd::OwnedFd,
    };

    use switchboard_core::store::{Condition, Vitals};
    use tokio::{task, time::Instant};

    use super::*;

    const VITALS: Vitals = Vitals {
        condition: Condition::Writable,
        commits_waiting: 0,
        ingest_keys: 0,
        ingest_index_bytes: 0,
        size_bytes: 0,
        free_bytes: None,
    };

    /// The clock stands still unless everybody waits for it, so a rest can't end by itself while
    /// the test looks on.
    #[tokio::test(start_paused = true)]
    async fn a_rest_ends_when_the_node_stops() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        // A listener that is shut down accepts nothing any more: each try is an error.
        let shut = net::TcpStream::from(OwnedFd::from(listener.try_clone().unwrap()));
        shut.shutdown(Shutdown::Both).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let (metrics, stop) = (Metrics::new(), CancellationToken::new());
        let accepting = accept(listener, 1, Arc::clone(&metrics), stop.clone(), |_, _| {});
        let watching = async {
            let rejected = "switchboard_accept_rejected_total{reason=\"error\"} 1\n";
            while !metrics.encode(&VITALS, &[]).contains(rejected) {
                task::yield_now().await;
            }
            stop.cancel();
            Instant::now()
        };
        let ((), stopped) = tokio::join!(accepting, watching);
        assert_eq!(stopped.elapsed(), Duration::ZERO);
    }
}
