//! `stayhand host token`: what lets a host join.

use stayhand_guardrail::{
    id::{HostId, JoinTokenId},
    limits::{JOIN_TOKEN_MAX, JOIN_TOKEN_USES_MAX},
    time::DurationMs,
};

use crate::{
    args::{Format, Global, span},
    client::NewToken,
    failure::{Failure, Kind},
    screen::Screen,
};

/// Make and take away the tokens with which hosts join
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  stayhand host token create                                  print the command for a new host
  stayhand host token create --host db1 | ssh root@db1 sh     and run it there
  stayhand host token create --host db1 --replace             db1 was set up anew, or revoked
  stayhand host token create --uses 40 --for 2h               for a scaling group")]
pub(crate) enum Command {
    /// Make a token, and print the command to be run on the new host
    ///
    /// The command, and the token in it, is the only thing on standard output. It is shown once, is worth something for a short time
    /// and for one host, and names the authority of this control plane, so that the host shows it to nobody else.
    Create {
        /// For how long it is worth something
        #[arg(long = "for", value_name = "DURATION", value_parser = length, default_value = "15m")]
        length: DurationMs,
        /// For how many hosts
        #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "host",
              value_parser = clap::value_parser!(u32).range(1..=i64::from(JOIN_TOKEN_USES_MAX)))]
        uses: u32,
        /// Only for the host of this name
        #[arg(long, value_name = "HOST")]
        host: Option<HostId>,
        /// Let that host join anew: the certificates and keys that it has count no more
        #[arg(long, requires = "host")]
        replace: bool,
    },
    /// List the tokens that are worth something
    Ls,
    /// Take a token away; hosts that joined with it are not touched
    Revoke {
        /// Id of the token
        #[arg(value_name = "TOKEN")]
        id: JoinTokenId,
    },
}

fn length(text: &str) -> Result<DurationMs, String> {
    span(
        text,
        JOIN_TOKEN_MAX,
        "a join token is worth something for up to",
    )
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    match command {
        Command::Create {
            length,
            uses,
            host,
            replace,
        } => {
            let ask = NewToken {
                ttl: *length,
                uses: *uses,
                host: host.as_ref().map(ToString::to_string),
                replace: *replace,
            };
            let made = control.create_token(ask).await?;
            if screen.format_or(Format::Table) != Format::Table {
                return screen.one(&made);
            }
            screen.note(&made.said(&screen.moment()));
            screen.data(&made.command)
        }
        Command::Ls => screen.list(
            &control.list_tokens().await?,
            "no join token is worth anything",
        ),
        Command::Revoke { id } => {
            let revoked = control.revoke_token(*id).await;
            revoked.map_err(|failure| match failure.kind {
                Kind::NotFound => {
                    failure.hint("`stayhand host token ls` shows those that are worth something")
                }
                _ => failure,
            })?;
            screen.note(&format!("join token {id} is worth nothing any more"));
            Ok(())
        }
    }
}
