//! Changes that hosts enforce: a grant and its revocation, on every host and on one.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    fleet::Fleet,
    join::name_of,
    operator::{Asked, Operator},
    process,
    progress::Progress,
    report::{OneHost, Spread, Wave},
};

/// Who waits longer for hosts has found something that is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
/// So long nothing may come before a change counts as over everywhere.
const QUIET: Duration = Duration::from_millis(500);

/// Several rounds of the same change.
#[derive(Default)]
struct Rounds {
    enforced: Vec<Duration>,
    answered: Vec<Duration>,
    counted: Vec<Duration>,
    cpu: Vec<Duration>,
    own_cpu: Vec<Duration>,
}

impl Rounds {
    fn wave(self) -> Wave {
        Wave {
            enforced: Spread::of(self.enforced),
            answered: Spread::of(self.answered),
            counted: Spread::of(self.counted),
            cpu_ms: mean_ms(&self.cpu),
            own_cpu_ms: mean_ms(&self.own_cpu),
        }
    }
}

fn mean_ms(times: &[Duration]) -> f64 {
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    times.iter().sum::<Duration>().as_secs_f64() * 1_000.0 / f64::from(count)
}

/// What waves are made with.
pub(crate) struct Waves<'w> {
    pub(crate) operator: &'w Operator,
    pub(crate) fleet: &'w Fleet,
    pub(crate) server: u32,
    pub(crate) hosts: usize,
}

impl Waves<'_> {
    /// Grants and revokes on every host.
    pub(crate) async fn on_all(
        &self,
        rounds: u32,
        progress: &mut Progress,
    ) -> Result<(Wave, Wave)> {
        let (mut grants, mut revocations) = (Rounds::default(), Rounds::default());
        for _ in 0..rounds {
            let grant = self.round(&mut grants, true, progress, self.operator.grant(vec![]));
            let grant = grant.await?.grant;
            self.round(
                &mut revocations,
                false,
                progress,
                self.operator.revoke(grant),
            )
            .await?;
        }
        Ok((grants.wave(), revocations.wave()))
    }

    async fn round(
        &self,
        rounds: &mut Rounds,
        is_there: bool,
        progress: &mut Progress,
        ask: impl Future<Output = Result<Asked>>,
    ) -> Result<Asked> {
        self.fleet.board.forget();
        let (cpu, own) = (
            process::cpu(self.server)?,
            process::cpu(std::process::id())?,
        );
        let asked = ask.await?;
        let what = if is_there {
            "grant enforced"
        } else {
            "revocation enforced"
        };
        let (enforced, counted) = tokio::try_join!(
            self.fleet.board.until(what, PATIENCE, progress, |host| {
                host.enforces(asked.grant, is_there)
            }),
            self.operator.counted(asked.grant, self.hosts),
        )?;
        let since = |at: Instant| at.saturating_duration_since(asked.at);
        rounds.enforced.extend(enforced.into_iter().map(since));
        rounds.answered.push(since(asked.answered));
        rounds.counted.push(since(counted));
        rounds
            .cpu
            .push(process::cpu(self.server)?.saturating_sub(cpu));
        rounds
            .own_cpu
            .push(process::cpu(std::process::id())?.saturating_sub(own));
        Ok(asked)
    }

    /// Grants and revokes on one host.
    pub(crate) async fn on_one(&self, rounds: u32) -> Result<OneHost> {
        let board = &self.fleet.board;
        let (mut enforced, mut cpu, mut others_woken) = (vec![], vec![], 0);
        for _ in 0..rounds {
            board.forget();
            let before = (board.states_of_each(), process::cpu(self.server)?);
            let asked = self.operator.grant(vec![name_of(0)?.to_string()]).await?;
            let begun = Instant::now();
            let at = loop {
                let at = board
                    .host(0)
                    .and_then(|host| host.enforces(asked.grant, true));
                match at {
                    Some(at) => break at,
                    None if begun.elapsed() > PATIENCE => {
                        anyhow::bail!("the one host does not enforce its grant")
                    }
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            };
            enforced.push(at.saturating_duration_since(asked.at));
            self.until_quiet().await;
            cpu.push(process::cpu(self.server)?.saturating_sub(before.1));
            let woken = board.woken_since(&before.0);
            others_woken = others_woken.max(woken.saturating_sub(1));
            self.operator.revoke(asked.grant).await?;
            self.until_quiet().await;
        }
        Ok(OneHost {
            enforced: Spread::of(enforced),
            others_woken,
            cpu_ms: mean_ms(&cpu),
        })
    }

    /// Waits until no host is sent anything.
    pub(crate) async fn until_quiet(&self) {
        let mut before = self.fleet.board.states();
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.fleet.board.states();
            if now == before {
                return;
            }
            before = now;
        }
    }
}
