//! Conditions of executions: what is refused, and what is warned about.

use super::*;

#[test]
fn a_permission_that_anybody_gets_by_an_argument_is_warned_about() {
    for (condition, warnings) in [
        ("anyArg: [--dry-run]", 1),
        ("option: [-n]", 1),
        ("args: [get, \"*\"]", 0),
        ("subcommand: [get], anyArg: [--dry-run]", 0),
        ("subcommand: [get]", 0),
        ("terminal: true, anyArg: [--dry-run]", 1),
        ("terminal: true", 0),
        ("parent: /usr/sbin/cron, ancestor: /usr/sbin/cron", 0),
    ] {
        let source = document(&format!(
            "subjects: {{ groups: [dev] }}\npermissions: {{ p: {{ exec: {{ path: /a, {condition} }} }} }}\nrules:\n  - {{ id: r, effect: alert, exec: {{ path: /b }} }}"
        ));
        let found = check(&parse(&source).unwrap());
        assert_eq!(found.len(), warnings, "{condition}: {found:?}");
    }
}

#[test]
fn a_condition_on_arguments_or_the_process_where_libraries_are_is_warned_about() {
    let of_content = format!("path: /**, anyArg: [x], sha256: \"{}\"", "0".repeat(64));
    for (effect, target, warnings) in [
        ("deny", "path: /**, anyArg: [x]", 1),
        ("hold", "path: /usr/**, anyArg: [x]", 1),
        ("require-grant", "path: \"/usr/lib*/**\", option: [-x]", 1),
        ("deny", "path: /**, regex: x", 1),
        ("deny", &of_content, 0),
        ("deny", "path: /usr/**, terminal: false", 1),
        ("hold", "path: /**, ancestor: /usr/bin/agent", 1),
        ("deny", "path: /usr/bin/**, anyArg: [x]", 0),
        ("deny", "path: /usr/**", 0),
        ("alert", "path: /**, anyArg: [x]", 0),
    ] {
        let rule = format!("{{ id: a, effect: {effect}, exec: {{ {target} }} }}");
        let found = check(&parse(&with_rules(&[&rule])).unwrap());
        let about = |warning: &&Diagnostic| warning.message.contains("maps a library");
        assert_eq!(
            found.iter().filter(about).count(),
            warnings,
            "{rule}: {found:?}"
        );
    }
}

#[test]
fn a_restriction_by_parent_that_a_shell_undoes_is_warned_about() {
    for (effect, condition, warnings) in [
        ("deny", "parent: /usr/bin/agent", 1),
        ("hold", "parent: [/usr/bin/agent, /usr/bin/node]", 1),
        ("deny", "ancestor: /usr/bin/agent", 0),
        ("alert", "parent: /usr/bin/agent", 0),
    ] {
        let rule =
            format!("{{ id: a, effect: {effect}, exec: {{ path: /usr/bin/curl, {condition} }} }}");
        let found = check(&parse(&with_rules(&[&rule])).unwrap());
        let about = |warning: &&Diagnostic| warning.message.contains("with a shell in between");
        assert_eq!(
            found.iter().filter(about).count(),
            warnings,
            "{rule}: {found:?}"
        );
    }
}

#[test]
fn conditions_on_arguments_and_processes_that_mean_nothing_say_why() {
    let rule = |condition: &str| {
        with_rules(&[&format!(
            "{{ id: a, effect: deny, exec: {{ path: /a, {condition} }} }}"
        )])
    };
    for (condition, words) in [
        ("anyArg: []", "an empty list"),
        ("anyArg: [\"*\"]", "every command has such arguments"),
        ("anyArg: [\"a*b*\"]", "one `*` at most"),
        ("anyArg: [x, x]", "twice"),
        ("allArgs: [x, [y, [z]]]", "text"),
        ("allArgs: x", "a list"),
        ("subcommand: [\"-n scale\"]", "is an option, not a word"),
        ("subcommand: [\" \"]", "1 to 8 words"),
        ("option: [r]", "an option is a dash"),
        ("option: [-rf]", "an option is a dash"),
        ("args: [\"**\", x]", "`**` stands at the end"),
        ("args: x", "a list"),
        ("regex: \"a(b\"", "no regular expression: unclosed group"),
        ("regex: \".*\"", "every command matches this"),
        ("regex: [a, a]", "twice"),
        (
            "lineRegex: \"(x{100}){1000}\"",
            "too large once it is compiled",
        ),
        ("sha256: abc", "64 hexadecimal digits"),
        ("notSha256: [[x]]", "text"),
        ("sha: x", "did you mean `sha256`?"),
        ("terminal: yes", "not `true` or `false`"),
        ("terminal: \"true\"", "not `true` or `false`"),
        ("terminal: [true]", "not `true` or `false`"),
        ("parent: []", "an empty list"),
        ("parent: cron", "a path starts with `/`"),
        (
            "parent: /usr/sbin/cron/",
            "no `.`, `..`, `//` or `/` at its end",
        ),
        ("parent: [/usr/sbin/cron, /usr/sbin/cron]", "twice"),
        (
            "parent: /usr/bin/python*",
            "known by its identity and not by its name",
        ),
        (
            "ancestor: /opt/agents/**",
            "known by its identity and not by its name",
        ),
        (
            "ancestor: [/a, \"/b*\"]",
            "known by its identity and not by its name",
        ),
        ("ancestor: { path: /a }", "is a map"),
        ("ancestors: /a", "did you mean `ancestor`?"),
        ("anyarg: [x]", "did you mean `anyArg`?"),
    ] {
        refused(&rule(condition), words);
    }
}
