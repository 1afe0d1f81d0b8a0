//! The command `stayhand-agent join`: reads the token, joins, says what comes next. Needs no kernel and no running agent.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use stayhand_transport::JoinToken;
use zeroize::Zeroizing;

use crate::{
    agent,
    clock::Now,
    config::Config,
    exit::{Code, Failure, chain},
    membership::{self, IdentityFile, Join},
    spool, unguarded,
};

/// Bytes that are read for a token: one, with what an editor leaves around it.
const INPUT_BYTES_MAX: u64 = 1_024;

/// Joins and returns what to say.
pub fn join(
    config: &Config,
    address: &str,
    token_file: Option<&Path>,
    replace: bool,
) -> Result<String, Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            Code::Privilege,
            "the keys of this host are for root only: run it as root",
        ));
    }
    unguarded::require(&agent::pins(config), "have it join a control plane")?;
    let ask = Join {
        address: address.to_owned(),
        token: token(token_file)?,
        host: agent::host(config)?,
        replace,
    };
    let directory = &config.state.directory;
    spool::make_directory(directory)
        .map_err(|error| Failure::of("cannot make the state directory", &error))?;
    let file = IdentityFile::in_state(directory);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of("cannot start the runtime", &error))?;
    let joined = runtime.block_on(membership::join(&file, ask, Now::read().unix));
    let member = joined.map_err(|error| {
        let why = format!("this host has not joined: {}", chain(&error));
        Failure::new(Code::Failure, why)
    })?;
    Ok(format!(
        "this host has joined {} as `{}`; an agent that runs connects within seconds, otherwise start it: systemctl enable --now \
         stayhand-agent",
        member.address, member.host
    ))
}

fn token(file: Option<&Path>) -> Result<JoinToken, Failure> {
    let text = if let Some(path) = file {
        let read = File::open(path).and_then(read);
        read.map_err(|error| Failure::of(&format!("cannot read `{}`", path.display()), &error))
    } else {
        if io::stdin().is_terminal() {
            eprintln!("Paste the join token, then press Enter and Ctrl-D:");
        }
        read(io::stdin()).map_err(|error| Failure::of("cannot read standard input", &error))
    };
    let token = text?.parse::<JoinToken>();
    token.map_err(|error| Failure::new(Code::Failure, error.to_string()))
}

fn read(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
