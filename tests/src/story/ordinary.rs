//! Chapter 1: alice does ordinary work, and nothing is noticed.

use anyhow::{Result, ensure};

use super::{Story, events};

/// Ordinary work: files, programs, a pipe, a script, a connection to a port that no rule names.
const WORK: [(&str, &str); 5] = [
    ("echo draft > ~/notes && cat ~/notes", "draft"),
    ("ls /srv/held | sort | head -n 1", "config"),
    ("cat /srv/held/config", "old"),
    (
        "sh -c 'cp ~/notes /srv/work/notes && wc -l < /srv/work/notes'",
        "1",
    ),
    ("sudo id -un", "root"),
];

/// Plays it.
pub fn play(story: &mut Story) -> Result<()> {
    let before = events::recorded(&story.host)?;
    for (command, result) in WORK {
        let output = story.alice(command)?.ok()?;
        ensure!(
            output.stdout == result,
            "`{command}` showed {:?} instead of {result:?}",
            output.stdout
        );
    }
    let why = story
        .alice
        .run("stayhand why --last -o json")?
        .ok()?
        .json()?;
    let told = why
        .get("items")
        .and_then(serde_json::Value::as_array)
        .map_or(0, Vec::len);
    ensure!(told == 0, "alice was told about ordinary work: {why}");
    let after = events::recorded(&story.host)?;
    ensure!(
        before == after,
        "ordinary work was recorded: {before} decisions before, {after} after"
    );
    story.step(
        "alice",
        "ordinary work",
        "every command worked; nothing stopped, nothing recorded",
        &[],
    )
}
