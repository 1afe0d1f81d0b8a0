//! Time: ends grants whose time box closed, refuses what is held where a stage of its approval has had its time, times out
//! holds that nobody spoke of any more, and moves roll-outs on or stops them. All of it by times that are in the store, so that
//! a restart forgets none. The kernels wait for none of this.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stayhand_guardrail::{rollout, time::UnixMs};
use tokio::sync::watch;

use super::{App, Error};
use crate::{
    clock,
    limits::{HOLD_GRACE, TICK},
};

/// After a failure, such as a full disk: not four times a second.
const RETRY: Duration = Duration::from_secs(2);

/// How often roll-outs are looked at: every host is read for that, and a second more of what is wrong is little.
const LOOK: Duration = Duration::from_secs(1);

/// Ticks until told to stop.
pub async fn tick_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut looked = Looked::default();
    loop {
        let wait = match tick(&app, &mut looked).await {
            Ok(()) => TICK,
            Err(error) => {
                tracing::error!(%error, "cannot end what is over; it ends on the hosts nevertheless");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// What is not looked at with every tick.
#[derive(Default)]
struct Looked {
    rollouts: Option<Instant>,
    /// The hour in which old counts were dropped
    counts: u64,
}

impl Looked {
    async fn at_rollouts(&mut self, app: &App, now: UnixMs) -> Result<(), Error> {
        if self.rollouts.is_some_and(|last| last.elapsed() < LOOK) {
            return Ok(());
        }
        self.rollouts = Some(Instant::now());
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

/// Looks first, so that nothing is written where nothing is over.
async fn tick(app: &App, looked: &mut Looked) -> Result<(), Error> {
    let now = clock::now();
    if app.store().next_end().await?.is_some_and(|end| end <= now) {
        app.end_grants().await?;
    }
    let before = UnixMs(now.0.saturating_sub(HOLD_GRACE.0));
    if app
        .store()
        .next_deadline()
        .await?
        .is_some_and(|deadline| deadline <= before)
    {
        app.time_out_holds().await?;
    }
    if app.store().has_lapsed_holds(now).await? {
        app.lapse_holds().await?;
    }
    looked.at_rollouts(app, now).await?;
    looked.at_counts(app, now).await
}
