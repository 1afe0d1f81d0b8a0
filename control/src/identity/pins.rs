//! Where pins are looked up: at the agent, which reads the kernel's; or, on a machine without one, the login uid
//! in /proc.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use stayhand_guardrail::subject::Subject;
use stayhand_proto::{
    message::Identity,
    v1::{IdentifyProcessRequest, local_service_client::LocalServiceClient},
};
use tokio::net::UnixStream;
use tonic::transport::{Endpoint, Uri};

use crate::names::{Names, NamesError};

/// A look-up is a map look-up in the agent. Generous: on a busy machine a process gets no time for seconds, and a
/// caller whose pin is not known is refused.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// Where pins come from.
#[derive(Clone)]
pub enum Pins {
    /// The agent's local service at this socket
    Agent {
        /// The socket
        socket: PathBuf,
    },
    /// `/proc/PID/loginuid`: only for machines without an agent, because root can clear it there
    LoginUid,
    /// Whoever tells it of a process number; for tests that are several people at once
    Told(Arc<dyn Fn(u32) -> Identity + Send + Sync>),
}

/// Why a pin could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Nobody answers.
    #[error("the agent cannot be asked at `{socket}`: {problem}")]
    Agent {
        /// The socket
        socket: String,
        /// Why
        problem: String,
    },
    /// The file is gone or unreadable.
    #[error("cannot read the login uid of process {pid}: {problem}")]
    LoginUid {
        /// The process
        pid: u32,
        /// Why
        problem: String,
    },
    /// The name of the login cannot be told.
    #[error(transparent)]
    Names(#[from] NamesError),
}

impl Pins {
    /// Looks a process up by its number. Whether it still has that number is the caller's question.
    pub async fn identify(&self, pid: u32, names: &Names) -> Result<Identity, PinError> {
        match self {
            Self::Agent { socket } => {
                let failed = |problem| PinError::Agent {
                    socket: socket.display().to_string(),
                    problem,
                };
                match tokio::time::timeout(LOOK_UP_TIMEOUT, ask_agent(socket, pid)).await {
                    Ok(answer) => answer.map_err(failed),
                    Err(_) => Err(failed(format!(
                        "no answer within {} s",
                        LOOK_UP_TIMEOUT.as_secs()
                    ))),
                }
            }
            Self::LoginUid => login_uid(pid, names).await,
            Self::Told(tell) => Ok(tell(pid)),
        }
    }
}

async fn ask_agent(socket: &Path, pid: u32) -> Result<Identity, String> {
    let path = socket.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { trusted(UnixStream::connect(path).await?).map(TokioIo::new) }
    });
    // The address is a formality: the connector knows the way.
    let channel = Endpoint::from_static("http://agent.local")
        .connect_with_connector(connect)
        .await;
    let channel = channel.map_err(|error| innermost(&error))?;
    let answer = LocalServiceClient::new(channel)
        .identify_process(IdentifyProcessRequest { pid })
        .await;
    let answer = answer
        .map_err(|status| status.message().to_owned())?
        .into_inner();
    answer
        .try_into()
        .map_err(|invalid: stayhand_proto::convert::Invalid| invalid.to_string())
}

/// Only root, or the user as whom this runs, speaks for the agent.
fn trusted(stream: UnixStream) -> std::io::Result<UnixStream> {
    let uid = stream.peer_cred()?.uid();
    if uid == 0 || uid == nix::unistd::geteuid().as_raw() {
        return Ok(stream);
    }
    Err(std::io::Error::other(format!(
        "uid {uid} serves it, not root"
    )))
}

/// What went wrong at the bottom; the layers above say "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

async fn login_uid(pid: u32, names: &Names) -> Result<Identity, PinError> {
    let failed = |problem: String| PinError::LoginUid { pid, problem };
    let number = i32::try_from(pid).map_err(|problem| failed(problem.to_string()))?;
    let auid = procfs::process::Process::new(number)
        .and_then(|process| process.loginuid())
        .map_err(|problem| failed(problem.to_string()))?;
    if auid == u32::MAX {
        return Ok(Identity {
            subject: None,
            guarded: false,
        });
    }
    let subject = Subject {
        auid,
        user: names.user(auid).await?,
        session: None,
    };
    Ok(Identity {
        subject: Some(subject),
        guarded: false,
    })
}
