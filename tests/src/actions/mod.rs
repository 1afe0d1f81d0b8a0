//! docs/actions.md: every operation, where it is judged, and which calls can be held for it. Made from the hooks' own
//! tables and the list of scenarios, so that it cannot be wrong.
//!
//! Only a test: `STAYHAND_BLESS=1 cargo test -p stayhand-tests` writes the file anew.

mod filesystems;
mod hooks;
mod memory;
mod shown;

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use stayhand_agent_ebpf::abi::{
    calls::HELD,
    offsets::{HOOKS_OF_NEWER_KERNELS, PROGRAMS},
};
use stayhand_guardrail::action::Operation;

use crate::scenarios;
use hooks::{ABOUT, OTHERS};
use shown::SHOWN;

const INTRODUCTION: &str = "\
# Actions

What a policy can name, where the kernel judges it, and whether it can wait. Made by a test
(`tests/src/actions/mod.rs`) from the tables that the hooks are built from; not edited by hand.

## What each effect promises

| effect | promise |
|---|---|
| `deny` | The call returns `EPERM` and has had no effect. No grant opens it, no approval can. |
| `require-grant` | As `deny`, unless a permission that somebody was granted covers every restricted operation of the action, at either of its ends, until the first of its two clocks reaches the deadline. No process of ours has to live for the end. |
| `hold` | The process stops inside the call, before any effect, and the same call goes on once an operator approves it. Refused, too late, taken back or not holdable: `EPERM` and no effect. |
| `alert` | The action goes on and is recorded: one event or one counted loss. |
| `allow` | The action goes on. Nothing is recorded unless the rule says `record`. |
| monitor mode | Nothing is restricted; what would have been is recorded. |

What could not be judged (a rename storm, more entries than are considered, a policy that changed twice meanwhile) is
denied to everybody whom some rule could restrict in it, and says so.

## Operations

*Held in* names the calls in which an action waits. In every other call an action that a rule holds is denied, with the
reason `hold-unavailable`: io_uring, 32-bit programs but for opening files, and the calls that [hold.md](hold.md) names.
All hooks exist on every supported kernel (6.1 and later) but those marked with the kernel that brought them.

";

#[test]
fn the_list_of_actions_in_docs_is_what_the_hooks_do() {
    is_kept("docs/actions.md", &document());
}

/// Compares a document with what it is made from, or writes it if it is asked to.
fn is_kept(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if env::var_os("STAYHAND_BLESS").is_some() {
        fs::write(&path, made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == kept,
        "{name} is not what it is made from; write it with: STAYHAND_BLESS=1 cargo test -p stayhand-tests"
    );
}

#[test]
fn every_hook_that_is_attached_judges_an_operation_or_is_explained() {
    let attached: BTreeSet<&str> = PROGRAMS.iter().map(|(_, hook)| *hook).collect();
    let named: BTreeSet<&str> = ABOUT
        .iter()
        .flat_map(|about| about.hooks)
        .chain(OTHERS.iter().map(|(hook, _)| hook))
        .copied()
        .collect();
    assert_eq!(attached, named);
}

#[test]
fn every_operation_is_described_once_and_in_order() {
    let described: Vec<Operation> = ABOUT.iter().map(|about| about.operation).collect();
    assert_eq!(described, Operation::ALL);
}

#[test]
fn every_call_that_is_held_is_shown_to_have_no_effect_by_a_scenario_that_runs() {
    let running: BTreeSet<&str> = scenarios::all().map(|scenario| scenario.name).collect();
    for call in HELD {
        let shown: Vec<_> = SHOWN
            .iter()
            .filter(|(name, _)| *name == call.name)
            .collect();
        assert_eq!(shown.len(), 1, "{}", call.name);
        for scenario in shown.iter().flat_map(|(_, scenarios)| *scenarios) {
            assert!(
                running.contains(scenario),
                "{}: no scenario {scenario}",
                call.name
            );
        }
    }
    let held = |name: &str| HELD.iter().any(|call| call.name == name);
    assert!(
        SHOWN
            .iter()
            .all(|(name, shown)| held(name) && !shown.is_empty())
    );
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("| operation | in a policy | hooks | held in |\n|---|---|---|---|\n");
    for about in ABOUT {
        let hooks: Vec<String> = about.hooks.iter().map(|hook| hook_name(hook)).collect();
        let calls: Vec<String> = HELD
            .iter()
            .filter(|call| call.ops & about.operation.bit() != 0)
            .map(|call| format!("`{}`", call.name))
            .collect();
        let held = if calls.is_empty() {
            format!("never: {}", about.never_held)
        } else {
            calls.join(", ")
        };
        row(
            &mut text,
            &[
                &format!("`{}`", about.operation),
                about.what,
                &hooks.join(", "),
                &held,
            ],
        );
    }
    text.push_str("\nHooks that judge no operation of a policy:\n\n");
    for (hook, why) in OTHERS {
        writeln!(text, "- {}: {why}", hook_name(hook)).unwrap();
    }
    text.push_str(
        "\n## Calls that can be held\n\nThe scenarios show on every tested kernel: no effect before the answer, none after a \
         refusal, and after an approval\nthe effect and the right result of the same call.\n\n| call | 64-bit | 32-bit | shown by |\n\
         |---|---|---|---|\n",
    );
    for call in HELD {
        let shown = SHOWN.iter().find(|(name, _)| *name == call.name);
        let shown: Vec<String> = shown
            .map(|(_, shown)| shown.iter().map(|name| format!("`{name}`")).collect())
            .unwrap_or_default();
        let compat = call
            .compat
            .map_or("–".to_owned(), |number| number.to_string());
        row(
            &mut text,
            &[
                &format!("`{}`", call.name),
                &call.number.to_string(),
                &compat,
                &shown.join(", "),
            ],
        );
    }
    text
}

fn row(text: &mut String, cells: &[&str]) {
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn hook_name(hook: &str) -> String {
    if HOOKS_OF_NEWER_KERNELS.contains(&hook) {
        format!("`{hook}` ({})", hooks::since(hook))
    } else {
        format!("`{hook}`")
    }
}
