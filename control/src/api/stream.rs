//! Streams of answers: each is a task that waits for its reader, and ends with its reader, with a failure, or
//! when the control plane stops. What it sends is read from the store, so nothing is dropped for a slow reader.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::Api;
use crate::limits::{BOOKMARK_INTERVAL, STREAM_BUFFER};

/// The answers of one stream.
pub(super) type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Where a stream's task puts its answers.
pub(super) struct Outbox<T>(mpsc::Sender<Result<T, Status>>);

impl<T> Outbox<T> {
    /// Waits for room. Fails when the reader is gone, which ends the task.
    pub(super) async fn send(&self, answer: T) -> Result<(), Status> {
        self.0
            .send(Ok(answer))
            .await
            .map_err(|_| Status::cancelled("the reader is gone"))
    }
}

impl Api {
    /// Starts a stream.
    pub(super) fn stream<T, F>(&self, work: impl FnOnce(Outbox<T>) -> F) -> Response<Answers<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        let work = work(Outbox(sender.clone()));
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            let end = tokio::select! {
                end = work => end,
                () = sender.closed() => return,
                _ = stop.wait_for(|stop| *stop) => Err(Status::unavailable("the control plane stops; connect again")),
            };
            if let Err(status) = end
                && sender.send(Err(status)).await.is_err()
            {
                tracing::debug!("the reader of a stream is gone");
            }
        });
        Response::new(ReceiverStream::new(receiver))
    }
}

/// Waits for a change. Looks again after a while in any case.
pub(super) async fn changed<T>(signal: &mut watch::Receiver<T>) {
    tokio::select! {
        // The sender lives as long as the store; were it gone, the time would still pass.
        Ok(()) = signal.changed() => {}
        () = tokio::time::sleep(BOOKMARK_INTERVAL) => {}
    }
}
