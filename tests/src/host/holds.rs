//! Holds as `stayhand hold ls` shows them, and answers as operators give them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Host;
use crate::{process, wait};

/// One hold of the list.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Its id
    pub id: String,
    /// Everything that is said about it
    pub json: Value,
}

impl Hold {
    /// A text of it; `pointer` as in JSON pointers.
    pub fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number of it.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.json.pointer(pointer).and_then(Value::as_u64)
    }

    /// The held process.
    pub fn pid(&self) -> Result<u32> {
        let pid = self
            .number("/process/pid")
            .context("the hold has no process")?;
        Ok(u32::try_from(pid)?)
    }
}

impl Host {
    /// What waits now.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        holds_of(&self.json(&["hold", "ls"])?)
    }

    /// All that were ever there.
    pub fn all_holds(&self) -> Result<Vec<Hold>> {
        holds_of(&self.json(&["hold", "ls", "--all"])?)
    }

    /// Waits for one on this object.
    pub fn wait_hold(&self, object: &str) -> Result<Hold> {
        wait::until_ok(wait::LONG, &format!("a hold on {object}"), || {
            Ok(self
                .holds()?
                .into_iter()
                .find(|hold| hold.text("/object") == object))
        })
    }

    /// Waits until a hold has this state.
    pub fn wait_hold_state(&self, id: &str, state: &str, limit: Duration) -> Result<Hold> {
        wait::until_ok(limit, &format!("hold {id} to be {state}"), || {
            Ok(self
                .all_holds()?
                .into_iter()
                .find(|hold| hold.id == id && hold.text("/state") == state))
        })
    }

    /// Approves, and the CLI waits until the call went on.
    pub fn approve(&self, id: &str, reason: &str) -> Result<process::Output> {
        self.cli(&["hold", "approve", id, "--reason", reason])?
            .ok()
            .context("the approval failed")
    }

    /// Refuses.
    pub fn refuse(&self, id: &str, reason: &str) -> Result<process::Output> {
        self.cli(&["hold", "refuse", id, "--reason", reason])?
            .ok()
            .context("the refusal failed")
    }
}

fn holds_of(json: &Value) -> Result<Vec<Hold>> {
    let items = json
        .get("items")
        .and_then(Value::as_array)
        .context("no list of holds")?;
    items
        .iter()
        .map(|item| {
            let id = item
                .get("id")
                .and_then(Value::as_str)
                .context("a hold without id")?;
            ensure!(!id.is_empty(), "a hold with an empty id");
            Ok(Hold {
                id: id.to_owned(),
                json: item.clone(),
            })
        })
        .collect()
}
