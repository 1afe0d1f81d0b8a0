//! `stayhand events`: what was recorded, one OCSF 1.8 line per event, or lines for people.

mod line;

use std::time::Duration;

use stayhand_guardrail::{
    event::{
        Event,
        ocsf::{self, Producer},
    },
    id::HostId,
};
use tokio_stream::StreamExt as _;

use crate::{
    args::{Format, Global},
    client::{Start, Tailed},
    failure::{Failure, Kind},
    screen::Screen,
};

/// Who writes the lines.
const PRODUCER: Producer<'static> = Producer {
    name: "stayhand",
    version: env!("CARGO_PKG_VERSION"),
};
/// Between two attempts to go on following: short enough not to be noticed, long enough for a restart.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Read the recorded events
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Tail(Tail),
}

/// Print the newest events: one OCSF 1.8 JSON document per line
///
/// With --follow it goes on with those to come, and where it was after the control plane restarts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  stayhand events tail -f -o table
  stayhand events tail --all --host db1 > events.jsonl")]
pub(crate) struct Tail {
    /// Go on with the events to come
    #[arg(short, long)]
    follow: bool,
    /// Start with the last N
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    last: u32,
    /// Start with the oldest
    #[arg(long, conflicts_with = "last")]
    all: bool,
    /// Start after this position of the store, which --positions shows
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["last", "all"])]
    after: Option<u64>,
    /// Say the position of each event on standard error
    #[arg(long)]
    positions: bool,
    /// Only those of one host
    #[arg(long, value_name = "HOST")]
    host: Option<HostId>,
}

pub(crate) async fn run(
    command: &Command,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let Command::Tail(tail) = command;
    let mut start = match tail.after {
        _ if tail.all => Start::After(0),
        Some(position) => Start::After(position),
        None => Start::Last(tail.last),
    };
    let mut told = false;
    let mut reached = false;
    loop {
        let ended = once(tail, &mut start, &mut reached, global, screen).await;
        match ended {
            Ok(()) if !tail.follow => return Ok(()),
            // Nobody to go on with: who never answered is reported at once.
            Err(failure) if failure.kind != Kind::Unavailable || !(tail.follow && reached) => {
                return Err(failure);
            }
            // A following tail that ends was cut off.
            Ok(()) | Err(_) => {}
        }
        if !told {
            screen
                .warning("the control plane is gone; going on where it was as soon as it is back");
            told = true;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Reads one stream to its end, and moves the start behind what was printed.
async fn once(
    tail: &Tail,
    start: &mut Start,
    reached: &mut bool,
    global: &Global,
    screen: &Screen,
) -> Result<(), Failure> {
    let control = global.control().await?;
    let host = tail.host.as_ref().map(HostId::as_str).unwrap_or_default();
    let mut events = control.tail_events(tail.follow, *start, host).await?;
    *reached = true;
    while let Some(tailed) = events.next().await {
        let Tailed { position, event } = tailed?;
        match event {
            Ok(event) => print(&event, screen)?,
            // Nothing is passed over in silence.
            Err(problem) => screen.warning(&format!(
                "the event at position {position} cannot be read: {problem}"
            )),
        }
        if tail.positions {
            screen.note(&format!("position {position}"));
        }
        *start = Start::After(position);
    }
    Ok(())
}

fn print(event: &Event, screen: &Screen) -> Result<(), Failure> {
    match screen.format_or(Format::Jsonl) {
        Format::Table => screen.data(&line::of(event, screen)),
        Format::Name => screen.data(&event.uid()),
        Format::Json | Format::Jsonl => screen.data(&ocsf::encode(event, PRODUCER)),
        Format::Yaml => screen.yaml_document(ocsf::to_object(event, PRODUCER).into()),
    }
}
