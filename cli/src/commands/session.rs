//! `stayhand session`: who is signed in over the network, and how that ends.

use std::path::PathBuf;

use stayhand_guardrail::{
    id::{SessionId, UserName},
    limits::BREAK_GLASS_MAX,
    time::DurationMs,
};

use crate::{
    args::{Global, reason, span},
    client::Ending,
    failure::{Failure, Kind},
    screen::Screen,
};

/// List and end sessions over the network, and make a certificate for when nobody can sign in
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  stayhand session ls
  stayhand session revoke 00000000000003f2 --reason 'laptop lost'
  stayhand session revoke --user carol --reason 'left the team'   every session and token of carol's
  stayhand session break-glass --for 7d --out carol.toml --reason 'on call without the provider'")]
pub(crate) enum Command {
    /// List the sessions that count; of others only where rules let you see them
    Ls {
        /// Only those of this person
        #[arg(long, value_name = "USER")]
        user: Option<UserName>,
    },
    /// End a session, or everything of somebody's: connections that are open end at once
    Revoke {
        /// Id of the session
        #[arg(
            value_name = "SESSION",
            required_unless_present = "user",
            conflicts_with = "user"
        )]
        id: Option<SessionId>,
        /// Every session and every token of this person
        #[arg(long, value_name = "USER")]
        user: Option<UserName>,
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// Make a certificate for yourself, for when nobody can sign in at the identity provider
    ///
    /// Only on the control plane's machine, where the kernel says who you are. It acts as you and as nobody else; that it is made and
    /// each connection made with it, once a minute at most, are events. Use it with --session-file FILE.
    BreakGlass {
        /// For how long it counts
        #[arg(long = "for", value_name = "DURATION", value_parser = length, default_value = "7d")]
        length: DurationMs,
        /// Where to write it, with its key; readable for you only
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Why; kept in the events
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

fn length(text: &str) -> Result<DurationMs, String> {
    span(
        text,
        BREAK_GLASS_MAX,
        "a break-glass certificate counts for up to",
    )
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    match command {
        Command::Ls { user } => {
            let sessions = global.control().await?.list_sessions(user.as_ref()).await?;
            screen.list(&sessions, "nobody is signed in over the network")
        }
        Command::Revoke { id, user, reason } => {
            let ending = match (id, user) {
                (Some(id), _) => Ending::One(*id),
                (None, Some(user)) => Ending::User(user.clone()),
                (None, None) => return Err(Failure::general("name a session or a person")),
            };
            let control = global.control().await?;
            let revoked = control.revoke_sessions(ending, reason.clone()).await;
            let (sessions, tokens) = revoked.map_err(|failure| match failure.kind {
                Kind::NotFound => failure.hint("`stayhand session ls` shows those that count"),
                _ => failure,
            })?;
            let (sessions, tokens) = (counted(sessions.len(), "session"), counted(tokens, "token"));
            screen.note(&format!("{sessions} and {tokens} count no more"));
            Ok(())
        }
        Command::BreakGlass {
            length,
            out,
            reason,
        } => {
            if out.exists() {
                let error = format!("`{}` is there already", out.display());
                return Err(
                    Failure::new(Kind::Conflict, error).hint("name another file with --out")
                );
            }
            let control = global.control().await?;
            let made = control.create_break_glass(*length, reason.clone()).await?;
            made.keep(out)?;
            screen.note(&format!(
                "`{}` acts as {} at {} until {}; keep it where only you can read it:\n  stayhand --session-file {} whoami",
                out.display(),
                made.user,
                made.address,
                made.expires,
                out.display(),
            ));
            Ok(())
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
