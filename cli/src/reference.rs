//! The reference in docs/cli.md, made from the command line itself, so that it cannot be wrong.
//!
//! Only a test: `STAYHAND_BLESS=1 cargo test -p stayhand-cli` writes the file anew.

use std::{env, fs, path::Path};

use clap::{Command, CommandFactory as _};

use crate::args::Cli;

const INTRODUCTION: &str = "\
# `stayhand`: command line reference

Made from the program by its own tests (`cli/src/reference.rs`); not edited by hand.

**Output.** Data goes to standard output, everything else to standard error. `-o table` (the default) is for people;
`-o json`, `jsonl` and `yaml` are a contract: every document has `api_version: stayhand/v1` and `kind`, lists are
`{api_version, kind: <Kind>List, items: [...]}`, times are RFC 3339 in UTC, fields are only ever added. `-o name`
prints ids alone, which other commands take. Tables show local time with its zone. `events tail` is the exception:
its JSON is OCSF 1.8, one document per line.

**Names that anybody can choose** (paths, arguments, command names, directories) are escaped in every format: control
characters, escapes, line breaks, invisible and direction-changing characters appear as `\\x1b`, `\\n`, `\\u{202e}`,
and a backslash is doubled. Other strings are exact in JSON.

**Ids** of holds and grants may be shortened to their first four digits or more, as long as they are unique; several
that fit are a conflict (4).

**Exit codes.** 0 done · 1 failure · 2 wrong usage · 3 not found · 4 conflict, or too late · 5 not permitted ·
6 unavailable, or not in time. `policy check` exits 1 when there is an error, `policy test` 1 when a test fails,
`policy replay` 1 when something that went through would be stopped, `doctor` 1 when the host is NOT ENFORCED.

**Environment.** `STAYHAND_SERVER`, `STAYHAND_AGENT_SOCKET`, `NO_COLOR`, `TZ`.

The global options are listed once, under `stayhand`.
";

#[test]
fn the_reference_in_docs_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let made = reference();
    if env::var_os("STAYHAND_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == kept,
        "docs/cli.md is not what the program says; write it with: STAYHAND_BLESS=1 cargo test -p stayhand-cli"
    );
}

fn reference() -> String {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = INTRODUCTION.to_owned();
    let words = vec!["stayhand".to_owned()];
    section(&mut text, &root, &words);
    text
}

fn section(text: &mut String, command: &Command, words: &[String]) {
    let mut shown = command.clone();
    if words.len() > 1 {
        let globals: Vec<_> = shown
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().clone())
            .collect();
        for id in globals {
            shown = shown.mut_arg(id, |argument| argument.hide(true));
        }
    }
    let help = shown.term_width(100).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let heading = "#".repeat(words.len().min(3) + 1);
    text.push_str(&format!(
        "\n{heading} {}\n\n```text\n{}\n```\n",
        words.join(" "),
        lines.join("\n").trim_end()
    ));
    for child in command.get_subcommands() {
        let mut words = words.to_vec();
        words.push(child.get_name().to_owned());
        section(text, child, &words);
    }
}
