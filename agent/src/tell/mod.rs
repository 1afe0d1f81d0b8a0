//! Tells the one who is stopped, at once, on the own terminal.
//!
//! Best effort by design: never blocks, never waits, never tells anybody else. Who has no terminal asks
//! `stayhand why`.

mod rate;
mod tty;

use std::{
    io::Write as _,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use rate::Rate;
pub use tty::{Session, TtyError};

use crate::{clock::Now, port::Pins};

/// Messages that wait: one burst of a script in a loop.
const WAITING_MAX: usize = 256;

/// A message for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whose it is
    pub session: Session,
    /// What to say; made safe by whoever made it
    pub text: String,
}

/// Where messages go. Dropping the last one ends the thread.
#[derive(Clone)]
pub struct Teller {
    messages: Option<SyncSender<Told>>,
}

impl Teller {
    /// Starts the thread.
    pub fn start(pins: std::sync::Arc<dyn Pins>) -> std::io::Result<Self> {
        let (messages, waiting) = sync_channel(WAITING_MAX);
        let run = move || tell_all(&waiting, pins.as_ref());
        std::thread::Builder::new().name("tell".into()).spawn(run)?;
        Ok(Self {
            messages: Some(messages),
        })
    }

    /// Tells nobody anything.
    pub fn silent() -> Self {
        Self { messages: None }
    }

    /// Tells, or drops the message if too many wait: the terminal is a courtesy, the record is elsewhere.
    pub fn tell(&self, told: Told) {
        if let Some(messages) = &self.messages {
            let _full_or_gone = messages.try_send(told);
        }
    }
}

fn tell_all(waiting: &Receiver<Told>, pins: &dyn Pins) {
    let mut rate = Rate::default();
    while let Ok(Told { session, text }) = waiting.recv() {
        let Some(name) = &session.tty else { continue };
        let Some(left_out) = rate.admit(name, Now::read().boot_ns) else {
            continue;
        };
        match tty::open(&session, pins) {
            Ok(mut terminal) => {
                let _reader_is_slow = terminal.write_all(said(&text, left_out).as_bytes());
            }
            Err(error) => tracing::debug!(%error, "nobody was told"),
        }
    }
}

fn said(text: &str, left_out: u32) -> String {
    if left_out == 0 {
        return text.to_owned();
    }
    format!("\r\nstayhand: {left_out} messages were left out; see `stayhand why --last`{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_said() {
        assert_eq!(said("x", 0), "x");
        assert!(said("\r\nx\r\n", 3).starts_with("\r\nstayhand: 3 messages were left out"));
    }
}
