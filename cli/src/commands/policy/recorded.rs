//! Recorded events for a command: from the control plane, or from a file of the lines that `stayhand events tail` prints.
//!
//! Passes nothing over in silence: a line of a file that cannot be read ends the command, an event of the store that cannot
//! be read is counted and said.

use std::io::{BufRead, BufReader, Read as _};

use clap::Args;
use stayhand_guardrail::{
    event::{
        Event, EventKind, Recorded,
        ocsf::{Line, decode},
    },
    id::{HostId, UserName},
    text::safe,
    time::{DurationMs, UnixMs},
};
use tokio_stream::StreamExt as _;

use super::opened;
use crate::{
    args::Global,
    client::{Start, Tailed},
    failure::Failure,
    screen::Screen,
};

/// Bytes of one line: the arguments and the two paths of an event, each byte escaped, twice over.
const LINE_BYTES_MAX: usize = 1 << 20;
/// How far back the control plane's store is looked at if nothing is said: a week has every habit once.
const SINCE_DEFAULT: DurationMs = DurationMs::from_secs(7 * 86_400);

/// Which events.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// Only those of the last DURATION, such as 12h [default: 7d; with --events all of them]
    #[arg(long, value_name = "DURATION")]
    since: Option<DurationMs>,
    /// Only those of one host
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,
    /// Only those of one user
    #[arg(long, value_name = "USER")]
    user: Option<UserName>,
    /// Read lines that `stayhand events tail` printed, instead of the control plane's store; - is standard input
    #[arg(long, value_name = "FILE")]
    events: Option<String>,
}

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Events of the store that this program cannot read
    pub(super) unreadable: usize,
}

impl Source {
    /// Whether standard input is read for events.
    pub(super) fn is_stdin(&self) -> bool {
        self.events.as_deref() == Some("-")
    }

    /// Whether the control plane is asked.
    pub(super) fn is_store(&self) -> bool {
        self.events.is_none()
    }

    /// Hands over each decision and each loss that is meant, the oldest first.
    pub(super) async fn each(
        &self,
        global: &Global,
        screen: &Screen,
        mut take: impl FnMut(Line),
    ) -> Result<Looked, Failure> {
        let earliest = self.earliest(screen);
        let mut wanted = |line: Line| {
            if self.wants(&line, earliest) {
                take(line);
            }
        };
        match &self.events {
            Some(file) => of_file(file, wanted).map(|()| Looked::default()),
            None => self.of_store(global, screen, &mut wanted).await,
        }
    }

    fn earliest(&self, screen: &Screen) -> UnixMs {
        let usual = self.is_store().then_some(SINCE_DEFAULT);
        let now = u64::try_from(screen.moment().now.as_millisecond()).unwrap_or(0);
        let since = self.since.or(usual);
        UnixMs(since.map_or(0, |since| now.saturating_sub(since.0)))
    }

    fn wants(&self, line: &Line, earliest: UnixMs) -> bool {
        match line {
            Line::Decision(recorded) => {
                let decision = &recorded.decision;
                let of_host = self.host.as_ref().is_none_or(|host| *host == decision.host);
                let user = decision.user.as_ref();
                let by_user = self.user.is_none() || self.user.as_ref() == user;
                of_host && by_user && recorded.time >= earliest
            }
            Line::Lost { time, .. } => *time >= earliest,
            Line::Other => false,
        }
    }

    async fn of_store(
        &self,
        global: &Global,
        screen: &Screen,
        take: &mut impl FnMut(Line),
    ) -> Result<Looked, Failure> {
        let control = global.control().await?;
        let host = self.host.as_ref().map(HostId::as_str).unwrap_or_default();
        let mut events = control.tail_events(false, Start::After(0), host).await?;
        let mut looked = Looked::default();
        while let Some(tailed) = events.next().await {
            let Tailed { position, event } = tailed?;
            match event {
                Ok(event) => take(line(&event)),
                Err(problem) => {
                    looked.unreadable += 1;
                    screen.warning(&format!(
                        "the event at position {position} cannot be read: {problem}"
                    ));
                }
            }
        }
        Ok(looked)
    }
}

fn line(event: &Event) -> Line {
    match &event.kind {
        EventKind::Lost(lost) => Line::Lost {
            time: event.time,
            count: lost.count,
        },
        _ => Recorded::of(event).map_or(Line::Other, |one| Line::Decision(Box::new(one))),
    }
}

fn of_file(file: &str, mut take: impl FnMut(Line)) -> Result<(), Failure> {
    let mut lines = BufReader::new(opened(file)?);
    let shown = safe(file);
    for number in 1_usize.. {
        let bad = |problem: String| {
            Failure::general(format!("{shown}:{number}: {problem}"))
                .hint("write the file by `stayhand events tail --all > FILE`")
        };
        let mut bytes = Vec::new();
        let bound = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        lines
            .by_ref()
            .take(bound.saturating_add(1))
            .read_until(b'\n', &mut bytes)
            .map_err(|error| bad(format!("could not be read: {error}")))?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() > LINE_BYTES_MAX {
            return Err(bad(format!(
                "the line has more than the {LINE_BYTES_MAX} bytes that an event may have"
            )));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is not UTF-8".to_owned()))?;
        let line = decode(text.trim_end_matches(['\n', '\r']));
        take(line.map_err(|error| bad(error.to_string()))?);
    }
    Ok(())
}
