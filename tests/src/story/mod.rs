//! The story that the demo plays and the suite asserts: what alice meets, what an operator sees.
//!
//! One file per chapter. A chapter does everything with real logins and the real CLI, fails at the first sentence
//! that is not true, and leaves the host ready for the next chapter.

mod audience;
mod deny;
mod event;
mod events;
mod grant;
mod hold;
mod hold_more;
mod ordinary;
mod revoke;
mod stage;
mod tail;

use anyhow::{Context, Result};

pub use audience::Audience;
pub use event::{Event, Expected};

use crate::host::{Config, Host};
use crate::login::Session;
use crate::{console, wait};
use tail::Tail;

/// The policy that is in force throughout.
pub const POLICY: &str = include_str!("../../fixtures/story.yaml");

/// One chapter.
pub struct Chapter {
    /// Its heading
    pub title: &'static str,
    /// Plays it
    pub play: fn(&mut Story) -> Result<()>,
}

/// All chapters, in order.
pub const CHAPTERS: [Chapter; 6] = [
    Chapter {
        title: "1. Ordinary work: nothing is noticed",
        play: ordinary::play,
    },
    Chapter {
        title: "2. deny: never, not as root, not under another name",
        play: deny::play,
    },
    Chapter {
        title: "3. require-grant: for 15 seconds, and not one more",
        play: grant::play,
    },
    Chapter {
        title: "4. hold: stopped before it has an effect, then the very same call",
        play: hold::play,
    },
    Chapter {
        title: "5. Taking back, and going on without a control plane",
        play: revoke::play,
    },
    Chapter {
        title: "6. Everything that was decided is on record",
        play: events::play,
    },
];

/// The machine while the story is played.
pub struct Story {
    /// Services and policy
    pub host: Host,
    /// Alice at her terminal
    pub alice: Session,
    /// Whoever looks on
    pub audience: Audience,
    tail: Tail,
    busy: Option<Session>,
    waiting: Vec<Expected>,
}

impl Story {
    /// Prepares the machine and starts everything.
    pub fn begin(mut audience: Audience) -> Result<Self> {
        stage::set()?;
        let host = Host::boot(&Config::policy(POLICY).over_the_network())?;
        if let Some(joined) = &host.joined {
            audience.note("the control plane is in another network namespace; this host joins it:");
            audience.said("root", &joined.asked, &joined.command);
            audience.said("root", &joined.command, &joined.said);
        }
        let tail = Tail::start()?;
        let alice = Session::login("alice")?;
        Ok(Self {
            host,
            alice,
            audience,
            tail,
            busy: None,
            waiting: Vec::new(),
        })
    }

    /// One thing that happened, and the events that it left.
    pub fn step(
        &mut self,
        who: &str,
        command: &str,
        outcome: &str,
        expected: &[Expected],
    ) -> Result<()> {
        let mut shown = Vec::new();
        for one in expected {
            let event = self
                .tail
                .take(one, wait::LONG)
                .with_context(|| format!("{who}: {command}"))?;
            shown.push(event.line());
        }
        self.audience.step(who, command, outcome, &shown);
        Ok(())
    }

    /// The same while nobody stores events: they are asked for by [`Story::catch_up`].
    pub fn step_unseen(&mut self, who: &str, command: &str, outcome: &str, expected: &[Expected]) {
        self.waiting.extend_from_slice(expected);
        self.audience.step(who, command, outcome, &[]);
        self.audience
            .note("its event comes when the services are back");
    }

    /// Events of what happened while the agent or the control plane was away.
    pub fn catch_up(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut shown = Vec::new();
        for one in &waiting {
            shown.push(
                self.tail
                    .take(one, wait::LONG)
                    .context("after the services came back")?
                    .line(),
            );
        }
        self.audience.events(&shown);
        Ok(())
    }

    /// An operator's command, shown with its output.
    pub fn operator(&mut self, args: &[&str]) -> Result<crate::process::Output> {
        let output = self.host.cli(args)?;
        self.audience.said(
            "root",
            &format!("stayhand {}", quoted(args)),
            &output.both(),
        );
        output
            .ok()
            .with_context(|| format!("stayhand {}", args.join(" ")))
    }

    /// What alice types, and what the agent tells her on that terminal, which comes when it comes.
    pub fn alice_told(
        &mut self,
        command: &str,
        words: &str,
    ) -> Result<(crate::process::Output, String)> {
        let typed = self.alice.type_command(command)?;
        let output = self.alice.finish(typed, wait::LONG)?;
        let told = self.alice.wait_since(typed, words, wait::SOON)?;
        self.audience.said("alice", command, &told);
        Ok((output, told))
    }

    /// What alice types at her terminal, and what she sees.
    pub fn alice(&mut self, command: &str) -> Result<crate::process::Output> {
        let output = self.alice.run(command)?;
        self.audience.said("alice", command, &output.stdout);
        Ok(output)
    }
}

/// As somebody would type it.
fn quoted(args: &[&str]) -> String {
    let word = |arg: &&str| {
        if arg.contains(' ') {
            format!("'{arg}'")
        } else {
            (*arg).to_owned()
        }
    };
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Plays everything for a person, and leaves the services running for whoever stays.
pub fn demo() -> Result<()> {
    let mut audience = Audience::person();
    audience.opening();
    let mut story = Story::begin(audience)?;
    for (number, chapter) in CHAPTERS.iter().enumerate() {
        story.audience.chapter(chapter.title);
        let played = (chapter.play)(&mut story);
        story.audience.played(chapter.title, &played);
        if let Err(error) = played {
            console::fail(&format!("chapter_{}", number + 1), &format!("{error:#}"));
        }
    }
    story.audience.closing();
    story.host.leave_running();
    Ok(())
}
