//! Which hosts are connected. One stream per host: a newer one takes over from an older one, whose agent may be
//! gone without the transport having noticed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stayhand_guardrail::id::{HoldId, HostId};
use tokio::sync::oneshot;

use super::App;

/// Connected hosts.
#[derive(Debug, Default)]
pub(super) struct Presence {
    sessions: Mutex<Sessions>,
    /// Words of each host on holds that were passed over since this control plane started
    passed_over: Mutex<BTreeMap<HostId, u64>>,
}

#[derive(Debug, Default)]
struct Sessions {
    /// Number of the newest session
    newest: u64,
    /// Dropping the sender tells the session that it was taken over
    by_host: BTreeMap<HostId, (u64, oneshot::Sender<()>)>,
}

/// The stream of one host, for as long as it lives.
pub struct Session {
    app: Arc<App>,
    host: HostId,
    number: u64,
    taken_over: oneshot::Receiver<()>,
}

impl Session {
    /// Ends when a newer stream of the same host takes over.
    pub async fn taken_over(&mut self) {
        let (Ok(()) | Err(_)) = (&mut self.taken_over).await;
    }
}

impl Session {
    /// Whether one has.
    pub fn is_taken_over(&mut self) -> bool {
        self.taken_over.try_recv() != Err(oneshot::error::TryRecvError::Empty)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.app.leave(&self.host, self.number);
    }
}

impl App {
    /// Notes that a host is connected.
    pub(super) fn enter(self: &Arc<Self>, host: &HostId) -> Session {
        let (sender, taken_over) = oneshot::channel();
        let number = {
            let mut sessions = self
                .presence
                .sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            sessions.newest += 1;
            let number = sessions.newest;
            sessions.by_host.insert(host.clone(), (number, sender));
            number
        };
        self.store().signals().presence();
        Session {
            app: Arc::clone(self),
            host: host.clone(),
            number,
            taken_over,
        }
    }

    fn leave(&self, host: &HostId, number: u64) {
        {
            let mut sessions = self
                .presence
                .sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if sessions
                .by_host
                .get(host)
                .is_some_and(|(current, _)| *current == number)
            {
                sessions.by_host.remove(host);
            }
        }
        self.store().signals().presence();
    }

    /// Counts a word of a host on a hold that is passed over: whoever looks at the host sees how many. The log has the first of them and
    /// then fewer and fewer, so that a host which goes on does not fill it.
    pub(super) fn pass_over(&self, host: &HostId, hold: HoldId, why: &str) {
        let count = {
            let mut all = self
                .presence
                .passed_over
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = all.entry(host.clone()).or_default();
            *count += 1;
            *count
        };
        if count.is_power_of_two() {
            tracing::error!(%host, %hold, count, why, "a host's word on a hold is passed over");
        }
    }

    /// How many there were, in words for people; none where there were none.
    pub(super) fn passed_over(&self, host: &HostId) -> Option<String> {
        let all = self
            .presence
            .passed_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = all.get(host)?;
        Some(format!(
            "{count} of its words on holds were passed over since the control plane started; its log says why"
        ))
    }

    /// Whether a host is connected.
    pub(super) fn is_online(&self, host: &HostId) -> bool {
        self.presence
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_host
            .contains_key(host)
    }
}
