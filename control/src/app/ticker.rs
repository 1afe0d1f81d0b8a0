//! Time: ends grants whose time box closed, refuses what is held where a stage of its approval has had its time, times out
//! holds that nobody spoke of any more, takes away locks that are over, and moves roll-outs on or stops them. All of it by times that
//! are in the store, so that a restart forgets none. The kernels wait for none of this: what ends late restricts for longer.

use std::{sync::Arc, time::Duration};

use stayhand_guardrail::{
    rollout,
    time::{DurationMs, UnixMs},
};
use tokio::sync::watch;

use super::{App, Error};
use crate::limits::{HOLD_GRACE, TICK};

/// After a failure, such as a full disk: not four times a second.
const RETRY: Duration = Duration::from_secs(2);

/// How often roll-outs are looked at: every host is read for that, and a second more of what is wrong is little.
const LOOK: DurationMs = DurationMs::from_secs(1);

/// Ticks until told to stop.
pub async fn tick_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut ticker = Ticker::default();
    loop {
        let wait = match ticker.tick(&app).await {
            Ok(()) => TICK,
            Err(error) => {
                tracing::error!(%error, "cannot end what is over; grants and holds end on their hosts nevertheless");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// One look after the other; keeps what is not looked at with every tick.
#[derive(Debug, Default)]
pub struct Ticker {
    rollouts: Option<UnixMs>,
    /// The hour in which old counts were dropped
    counts: u64,
}

impl Ticker {
    /// Looks first, so that nothing is written where nothing is over.
    pub async fn tick(&mut self, app: &App) -> Result<(), Error> {
        let now = app.now();
        let holds_by = UnixMs(now.0.saturating_sub(HOLD_GRACE.0));
        let due = app.store().due(now, holds_by).await?;
        if due.grants {
            app.end_grants().await?;
        }
        if due.holds {
            app.time_out_holds().await?;
        }
        if due.stages {
            app.lapse_holds().await?;
        }
        if due.locks {
            app.end_locks().await?;
        }
        self.at_rollouts(app, now).await?;
        self.at_counts(app, now).await
    }

    async fn at_rollouts(&mut self, app: &App, now: UnixMs) -> Result<(), Error> {
        if self.rollouts.is_some_and(|last| last.is_within(LOOK, now)) {
            return Ok(());
        }
        self.rollouts = Some(now);
        app.retire_left_authorities(now).await?;
        app.look_at_rollouts().await
    }

    async fn at_counts(&mut self, app: &App, now: UnixMs) -> Result<(), Error> {
        let hour = rollout::hour(now);
        if self.counts != hour {
            app.drop_old_counts(now).await?;
            app.drop_old_credentials(now).await?;
            self.counts = hour;
        }
        Ok(())
    }
}
