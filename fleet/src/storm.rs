//! Every host connects at once: for the first time, and after the control plane was restarted.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use stayhand_guardrail::id::GrantId;

use crate::{
    fleet::Fleet,
    process,
    progress::Progress,
    report::{Spread, Storm},
    server::Server,
    wave::PATIENCE,
};

/// The first time.
pub(crate) async fn first(
    server: &Server,
    fleet: &mut Fleet,
    progress: &mut Progress,
) -> Result<Storm> {
    let pid = server.pid()?;
    let (cpu, begun) = (process::cpu(pid)?, Instant::now());
    fleet.connect(server.address());
    let board = &fleet.board;
    let back = board.until("connected", PATIENCE, progress, |host| {
        host.connected.filter(|_| !host.enforced.is_empty())
    });
    let back = back.await?;
    Ok(Storm {
        down_ms: 0.0,
        counted_ms: 0.0,
        refused: board.refused(),
        cpu_ms: ms(process::cpu(pid)?.saturating_sub(cpu)),
        back: spread(back, begun),
    })
}

/// After a restart, with a grant that every host enforces.
pub(crate) async fn restart(
    server: &mut Server,
    fleet: &Fleet,
    signal: Signal,
    grant: GrantId,
    hosts: usize,
    progress: &mut Progress,
) -> Result<Storm> {
    let board = &fleet.board;
    let refused = board.refused();
    let (ended, begun) = server.restart(signal).await?;
    let operator = server.operator().await?;
    let (back, counted) = tokio::try_join!(
        board.until("back", PATIENCE, progress, |host| {
            host.connected.filter(|at| *at > begun)
        }),
        operator.counted(grant, hosts),
    )?;
    Ok(Storm {
        down_ms: ms(begun.saturating_duration_since(ended)),
        counted_ms: ms(counted.saturating_duration_since(begun)),
        refused: board.refused() - refused,
        cpu_ms: ms(process::cpu(server.pid()?)?),
        back: spread(back, begun),
    })
}

fn spread(times: Vec<Instant>, begun: Instant) -> Spread {
    let since = times
        .into_iter()
        .map(|at| at.saturating_duration_since(begun));
    Spread::of(since.collect())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
