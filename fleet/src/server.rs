//! The control plane: the real program as a process of its own, with a store in a directory of its own.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User, geteuid},
};
use tokio::process::{Child, Command};

use crate::operator::Operator;

/// Time for a start: migrations, and reading what is stored.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Time for a stop, which waits for calls of its own accord.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
/// How often it is asked whether it is there.
const LOOK: Duration = Duration::from_millis(10);

/// A control plane that runs.
pub(crate) struct Server {
    program: PathBuf,
    directory: PathBuf,
    address: String,
    child: Child,
}

impl Server {
    /// Starts one in an empty directory.
    pub(crate) async fn start(program: &Path, directory: &Path) -> Result<Self> {
        // Hosts come from other addresses, so none of them takes this port meanwhile.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        fs::write(directory.join("control.toml"), config(directory, &address)?)?;
        let child = spawn(program, directory)?;
        let mut server = Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            address,
            child,
        };
        server.ready().await?;
        Ok(server)
    }

    /// Where hosts reach it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the control plane has ended")
    }

    /// A connection as operator.
    pub(crate) async fn operator(&self) -> Result<Operator> {
        Operator::connect(self.directory.join("control.sock")).await
    }

    /// Ends it by a signal and starts it on the same store and address. When it was ended and when the new one was started.
    pub(crate) async fn restart(&mut self, signal: Signal) -> Result<(Instant, Instant)> {
        let ended = Instant::now();
        kill(Pid::from_raw(i32::try_from(self.pid()?)?), signal)?;
        let gone = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        gone.context("the control plane does not end")??;
        let begun = Instant::now();
        self.child = spawn(&self.program, &self.directory)?;
        self.ready().await?;
        Ok((ended, begun))
    }

    async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the control plane ended ({status}): {}", self.log());
            }
            match self.operator().await {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > START_TIMEOUT => {
                    return Err(
                        error.context(format!("the control plane is not there: {}", self.log()))
                    );
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// What it said last.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.directory.join("control.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn spawn(program: &Path, directory: &Path) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("control.log"))?;
    Command::new(program)
        .arg("--config")
        .arg(directory.join("control.toml"))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Under which name this process is an operator where pins are login uids.
fn own_name() -> Result<String> {
    let pinned = fs::read_to_string("/proc/self/loginuid").ok();
    let pinned = pinned.and_then(|text| text.trim().parse().ok());
    let uid = pinned
        .filter(|uid| *uid != u32::MAX)
        .map_or_else(geteuid, Uid::from_raw);
    let user = User::from_uid(uid)?;
    Ok(user.with_context(|| format!("uid {uid} has no name"))?.name)
}

fn config(directory: &Path, address: &str) -> Result<String> {
    let (directory, user) = (directory.display(), own_name()?);
    Ok(format!(
        "[listen]\noperators = \"{directory}/control.sock\"\nhosts = \"{directory}/control-host.sock\"\n\
         [network]\nlisten = \"{address}\"\n\
         [state]\ndirectory = \"{directory}/state\"\n\
         [identity]\npins = \"loginuid\"\n\
         [operators]\nusers = [\"{user}\"]\n\
         [log]\nlevel = \"warn\"\n"
    ))
}
