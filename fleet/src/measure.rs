//! One size from an empty store to the last host that came back, in the order in which a fleet lives.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use crate::{
    fleet::Fleet, process, progress::Progress, report::Report, server::Server, storm, wave::Waves,
};

/// What is measured, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The control plane's program
    pub program: PathBuf,
    /// Below which directory its store is
    pub below: PathBuf,
    /// Hosts
    pub hosts: u32,
    /// Grants and revocations of each kind
    pub rounds: u32,
    /// For how long idle hosts are looked at
    pub idle: Duration,
    /// Whether progress is said
    pub quiet: bool,
}

/// Measures one size.
pub async fn measure(plan: &Plan) -> Result<Report> {
    let progress = &mut Progress::new(plan.hosts, plan.quiet);
    let directory = tempfile::Builder::new()
        .prefix("stayhand-fleet-")
        .tempdir_in(&plan.below)
        .with_context(|| format!("cannot make a directory below {}", plan.below.display()))?;
    let mut server = Server::start(&plan.program, directory.path()).await?;
    let measured = sized(plan, &mut server, progress).await;
    let mut report =
        measured.with_context(|| format!("the control plane said: {}", server.log()))?;
    report.file_system = file_system(directory.path())?;
    Ok(report)
}

async fn sized(plan: &Plan, server: &mut Server, progress: &mut Progress) -> Result<Report> {
    let hosts = usize::try_from(plan.hosts)?;
    let operator = server.operator().await?;
    operator.apply_policy().await?;
    let empty = process::memory(server.pid()?)?;

    progress.say("joining");
    let begun = std::time::Instant::now();
    let mut fleet = Fleet::join(server, &operator, plan.hosts, progress).await?;
    let joined_per_second = f64::from(plan.hosts) / begun.elapsed().as_secs_f64();

    progress.say("connecting");
    let connect = storm::first(server, &mut fleet, progress).await?;
    let waves = Waves {
        operator: &operator,
        fleet: &fleet,
        server: server.pid()?,
        hosts,
    };
    waves.until_quiet().await;

    progress.say("idle");
    let before = process::cpu(server.pid()?)?;
    tokio::time::sleep(plan.idle).await;
    let busy = process::cpu(server.pid()?)?.saturating_sub(before);
    let idle = process::memory(server.pid()?)?;

    progress.say("grants and revocations on every host");
    let (grant, revocation) = waves.on_all(plan.rounds, progress).await?;
    progress.say("grants on one host");
    let one_host = waves.on_one(plan.rounds).await?;

    // One that counts while the control plane is away: it is what is counted afterwards.
    let standing = operator.grant(vec![]).await?.grant;
    operator.counted(standing, hosts).await?;
    progress.say("restart");
    let restart =
        storm::restart(server, &fleet, Signal::SIGTERM, standing, hosts, progress).await?;
    progress.say("crash");
    let crash = storm::restart(server, &fleet, Signal::SIGKILL, standing, hosts, progress).await?;
    Ok(Report {
        hosts: plan.hosts,
        file_system: String::new(),
        joined_per_second,
        connect,
        empty_rss_kib: empty.rss_kib,
        idle_rss_kib: idle.rss_kib,
        empty_pss_kib: empty.pss_kib,
        idle_pss_kib: idle.pss_kib,
        last_pss_kib: process::memory(server.pid()?)?.pss_kib,
        idle_processors: busy.as_secs_f64() / plan.idle.as_secs_f64().max(f64::MIN_POSITIVE),
        grant,
        revocation,
        one_host,
        restart,
        crash,
    })
}

/// What the store is on: with one in memory nothing waits for a disk.
fn file_system(directory: &std::path::Path) -> Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = procfs::process::Process::myself()?.mountinfo()?;
    let above = mounts
        .into_iter()
        .filter(|mount| directory.starts_with(&mount.mount_point));
    let nearest = above.max_by_key(|mount| mount.mount_point.as_os_str().len());
    Ok(nearest.map_or_else(|| "unknown".to_owned(), |mount| mount.fs_type))
}
