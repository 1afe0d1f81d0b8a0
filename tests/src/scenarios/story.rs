//! The story of the README, chapter by chapter, on one machine while all goes well.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::scenario::{Ctx, LIMIT_LONG, Scenario};
use crate::story::{Audience, CHAPTERS, Story};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    chapter("ordinary_work_is_not_noticed", |ctx| play(ctx, 0)),
    chapter(
        "deny_holds_through_sudo_su_and_a_cleared_login_uid",
        |ctx| play(ctx, 1),
    ),
    chapter("expired_grant_is_denied_without_the_agent", |ctx| {
        play(ctx, 2)
    }),
    chapter("held_calls_have_no_effect_until_approved", |ctx| {
        play(ctx, 3)
    }),
    chapter(
        "revoked_at_once_and_enforced_without_control_plane",
        |ctx| play(ctx, 4),
    ),
    chapter(
        "every_recorded_decision_is_one_event_or_a_counted_loss",
        |ctx| play(ctx, 5),
    ),
];

const fn chapter(name: &'static str, run: fn(&mut Ctx) -> Result<()>) -> Scenario {
    Scenario::new(name, run).group("story").limit(LIMIT_LONG)
}

/// Lives as long as the process that neighbours share.
static STORY: Mutex<Option<Story>> = Mutex::new(None);

fn play(ctx: &mut Ctx, number: usize) -> Result<()> {
    let mut shared = STORY.lock().unwrap_or_else(PoisonError::into_inner);
    if shared.is_none() {
        ctx.step("set the stage, start the services, apply the policy");
        *shared = Some(Story::begin(Audience::suite())?);
    }
    let story = shared.as_mut().context("no story")?;
    let chapter = CHAPTERS.get(number).context("no such chapter")?;
    (chapter.play)(story)
}
