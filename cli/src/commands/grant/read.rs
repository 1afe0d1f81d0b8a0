//! `stayhand grant ls` and `stayhand grant show`.

use stayhand_guardrail::id::UserName;

use crate::{
    args::{Global, grant_id},
    failure::Failure,
    screen::Screen,
};

/// List the grants that are live
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Also those that ended or were revoked
    #[arg(long)]
    all: bool,
    /// Only those of one person
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
}

/// Show one grant and where it is enforced
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Id, or a unique beginning of it
    #[arg(value_name = "ID", value_parser = grant_id)]
    id: String,
}

pub(super) async fn ls(ls: &Ls, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let user = ls.user.as_ref().map(UserName::as_str).unwrap_or_default();
    let grants = control.list_grants(ls.all, user).await?;
    let none = if ls.all {
        "no grants"
    } else {
        "no live grants; --all shows those that are over"
    };
    screen.list(&grants, none)
}

pub(super) async fn show(show: &Show, global: &Global, screen: &Screen) -> Result<(), Failure> {
    let control = global.control().await?;
    let grant = control
        .grant(&show.id, "find the grant")
        .await
        .map_err(listing)?;
    screen.one(&grant)
}

/// Says where ids come from.
pub(super) fn listing(failure: Failure) -> Failure {
    use crate::failure::Kind;
    match failure.kind {
        Kind::NotFound => failure.hint("`stayhand grant ls --all` shows every grant"),
        Kind::Conflict => {
            failure.hint("give more of the id; `stayhand grant ls --all` shows every grant")
        }
        _ => failure,
    }
}
