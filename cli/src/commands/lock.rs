//! `stayhand lock`: while a lock stands, nothing that somebody gave counts for a user, on a host, or both.

use stayhand_guardrail::{
    id::{HostId, LockId, UserName},
    limits::LOCK_MAX,
    lock::Target,
    time::DurationMs,
};

use crate::{
    args::{Global, reason, span},
    failure::{Failure, Kind},
    screen::Screen,
};

/// Stop everything that was given to somebody, at once: no grant counts, what waits is refused, nothing new is given
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
What no rule restricts goes on, and so does a call of whose approval its host knows.
Grants are not lost: those that are not over count again when the lock is gone.
`stayhand grant show` names the locks on a grant, `stayhand host ls` shows how far hosts are.

Examples:
  stayhand lock create --user alice --reason 'her laptop was stolen'
  stayhand lock create --host db1 --for 2h --reason 'looked at after an intrusion'
  stayhand lock rm 4f0c2a9be1d73855 --reason 'found again'")]
pub(crate) enum Command {
    /// List the locks that stand
    Ls,
    /// Lock a user, a host, or a user on one host
    Create {
        /// About whom; everybody on the host if it is left out
        #[arg(long, value_name = "USER", required_unless_present = "host")]
        user: Option<UserName>,
        /// Where; everywhere if it is left out
        #[arg(long, value_name = "HOST")]
        host: Option<HostId>,
        /// For how long, such as 30m or 6h; until somebody removes it if it is left out
        #[arg(long = "for", value_name = "DURATION", value_parser = length)]
        length: Option<DurationMs>,
        /// Why; told to whoever is held, and kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Remove a lock
    Rm {
        /// Its id, as `stayhand lock ls` shows it
        #[arg(value_name = "LOCK")]
        id: LockId,
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

fn length(text: &str) -> Result<DurationMs, String> {
    let longer =
        "leave it out for a lock that somebody has to remove; one with an end stands for up to";
    span(text, LOCK_MAX, longer)
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    match command {
        Command::Ls => screen.list(&control.list_locks().await?, "nothing is locked"),
        Command::Create {
            user,
            host,
            length,
            reason,
        } => {
            // The parser asks for one of them.
            let Some(target) = Target::new(user.clone(), host.clone()) else {
                let error = "name a user (--user), a host (--host), or both";
                return Err(Failure::new(Kind::General, error));
            };
            let created = control.create_lock(&target, *length, reason.clone());
            screen.one(&created.await?)
        }
        Command::Rm { id, reason } => {
            let removed = control.remove_lock(*id, reason.clone()).await;
            removed.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`stayhand lock ls` shows the locks that stand"),
                _ => failure,
            })?;
            screen.note(&format!("lock {id} is removed"));
            Ok(())
        }
    }
}
