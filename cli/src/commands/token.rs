//! `stayhand token`: with what programs act for somebody.

use stayhand_guardrail::{id::AccessTokenId, limits::ACCESS_TOKEN_MAX, time::DurationMs};

use crate::{
    args::{Format, Global, span},
    failure::{Failure, Kind},
    screen::Screen,
};

/// Make and take away tokens with which programs act for you
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  stayhand token create deployments --allow flag.set --allow flag.clear --for 30d > deploy.token
  stayhand token create dashboard --allow read
  stayhand --server control.example:7443 --token-file deploy.token flag set deploying --for 1h --reason 'release 17'
  stayhand whoami                        names the actions that you may, and what --allow can name")]
pub(crate) enum Command {
    /// Make a token that acts for you, and for nobody else
    ///
    /// The token is the only thing on standard output, and it is shown once. What it may do is a part of what you may at the time,
    /// and never approve anything: an approval is a person's. Whoever has it can do that until it ends: keep it in a file of mode
    /// 0600, and take it away when it is not needed any more.
    Create {
        /// For what it is; events and refusals say so
        #[arg(value_name = "PURPOSE")]
        purpose: String,
        /// What it may do, as rules name it; `read` is everything that only shows something, without arguments
        #[arg(long, value_name = "ACTION", required = true)]
        allow: Vec<String>,
        /// For how long it is worth something
        #[arg(long = "for", value_name = "DURATION", value_parser = length, default_value = "30d")]
        length: DurationMs,
    },
    /// List the tokens that are worth something; of others only where rules let you see them
    Ls,
    /// Take a token away, and end what was opened with it
    Revoke {
        /// Id of the token
        #[arg(value_name = "TOKEN")]
        id: AccessTokenId,
    },
}

fn length(text: &str) -> Result<DurationMs, String> {
    span(
        text,
        ACCESS_TOKEN_MAX,
        "a token is worth something for up to",
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
            purpose,
            allow,
            length,
        } => {
            let made = control.create_access_token(purpose.clone(), allow.clone(), *length);
            let made = made.await?;
            if screen.format_or(Format::Table) != Format::Table {
                return screen.one(&made);
            }
            screen.note(&made.said(&screen.moment()));
            screen.data(&made.secret)
        }
        Command::Ls => {
            let tokens = control.list_access_tokens().await?;
            screen.list(&tokens, "no token is worth anything")
        }
        Command::Revoke { id } => {
            let revoked = control.revoke_access_token(*id).await;
            revoked.map_err(|failure| match failure.kind {
                Kind::NotFound => {
                    failure.hint("`stayhand token ls` shows those that are worth something")
                }
                _ => failure,
            })?;
            screen.note(&format!("token {id} is worth nothing any more"));
            Ok(())
        }
    }
}
