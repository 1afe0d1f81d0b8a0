//! Time: ends grants whose time box closed and times out holds that nobody spoke of any more. The kernels do not
//! wait for this; it keeps the record true.

use std::{sync::Arc, time::Duration};

use stayhand_guardrail::time::UnixMs;
use tokio::sync::watch;

use super::{App, Error};
use crate::{
    clock,
    limits::{HOLD_GRACE, TICK},
};

/// After a failure, such as a full disk: not four times a second.
const RETRY: Duration = Duration::from_secs(2);

/// Ticks until told to stop.
pub async fn tick_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let wait = match tick(&app).await {
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

/// Looks first, so that nothing is written where nothing is over.
async fn tick(app: &App) -> Result<(), Error> {
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
    Ok(())
}
