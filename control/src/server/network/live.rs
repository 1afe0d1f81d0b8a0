//! Connections of hosts that are open, so that the one whose certificate is taken away ends at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stayhand_transport::Serial;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Open connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    newest: u64,
    open: BTreeMap<u64, (Serial, CancellationToken)>,
}

/// One of them, for as long as it is open.
#[derive(Debug)]
pub(super) struct Open {
    live: Live,
    number: u64,
    /// Cancelled when it has to end
    pub(super) cut: CancellationToken,
}

impl Live {
    /// Notes a connection.
    pub(super) fn enter(&self, serial: &Serial) -> Open {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.newest += 1;
        let (number, cut) = (connections.newest, CancellationToken::new());
        let entry = (serial.clone(), cut.clone());
        connections.open.insert(number, entry);
        Open {
            live: self.clone(),
            number,
            cut,
        }
    }

    /// Ends connections whose certificates are taken away, for as long as anybody is told of that.
    pub(super) async fn cut_revoked(self, app: Arc<App>, mut stop: watch::Receiver<bool>) {
        let mut revoked = app.store().signals().certificates();
        loop {
            // What was revoked before anybody waited here was asked for with the first call.
            tokio::select! {
                changed = revoked.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
            match app.store().revoked_serials(app.now()).await {
                Ok(serials) => self.cut(|serial| serials.contains(serial)),
                // Nobody can tell who may stay. Whoever may comes back at once.
                Err(error) => {
                    tracing::error!(%error, "cannot tell whose certificates were taken away; every connection ends");
                    self.cut(|_| true);
                }
            }
        }
    }

    fn cut(&self, whose: impl Fn(&Serial) -> bool) {
        let connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (serial, cut) in connections.open.values() {
            if whose(serial) {
                cut.cancel();
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut connections = self.live.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.open.remove(&self.number);
    }
}
