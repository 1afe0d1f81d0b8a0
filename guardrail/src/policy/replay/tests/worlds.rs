//! An answer holds whatever it is that the event does not hold: in every such world the evaluator says the same.

use std::cell::Cell;

use proptest::{prelude::*, sample::select};

use super::{at, path, ran, seen};
use crate::{
    action::Operation,
    event::{Arguments, Decided},
    id::GroupName,
    policy::{
        Attempt, HostLabels, Outcome, Policy, Versioned,
        args::Sha256,
        case::{Beside, Execution, ask, on_host},
        parse,
        replay::{Replay, Told},
    },
    seeded,
};

const ARGUMENTS: [&[&str]; 5] = [&[], &["scale"], &["get", "x"], &["-n", "get"], &["-l"]];

fn rule() -> impl Strategy<Value = String> {
    let effect = select(vec!["deny", "require-grant", "hold", "alert", "allow"]);
    let hash = "sha256: 0000000000000000000000000000000000000000000000000000000000000000";
    let condition = select(vec![
        "",
        ", anyArg: [scale]",
        ", subcommand: [get]",
        ", option: [-l]",
        ", regex: ca",
        ", args: [get, x]",
        ", parent: /p",
        ", ancestor: /a",
        ", terminal: true",
        "HASH",
        ", parent: /p, anyArg: [scale]",
    ])
    .prop_map(move |text| text.replace("HASH", &format!(", {hash}")));
    let program = (select(vec!["/x", "/y", "/**"]), condition)
        .prop_map(|(path, condition)| format!("exec: {{ path: {path}{condition} }}"));
    let operations = select(vec![
        "read",
        "write",
        "create",
        "delete",
        "write, read",
        "create, write",
    ]);
    let file = (operations, select(vec!["/d/f", "/d/**", "/e/**"]))
        .prop_map(|(operations, path)| format!("file: {{ ops: [{operations}], path: {path} }}"));
    (effect, prop_oneof![3 => program, 2 => file])
        .prop_map(|(effect, target)| format!("effect: {effect}, {target}"))
}

/// One whom a user's name guards, and one that guards a group on some hosts.
fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let default = || {
        select(vec![
            "allow",
            "deny",
            "hold",
            "{ exec: deny }",
            "{ file: hold }",
        ])
    };
    let rules = || proptest::collection::vec(rule(), 1..4);
    let whom = [
        "subjects: { users: [alice] }",
        "hosts: { env: prod }\n  subjects: { groups: [dev] }",
    ];
    ((default(), rules()), (default(), rules())).prop_map(move |(one, two)| {
        let each = [("one", whom[0], one), ("two", whom[1], two)].into_iter();
        let policy = |(name, whom, (default, rules)): (&str, &str, (&str, Vec<String>))| {
            let list = rules.iter().enumerate().fold(String::new(), |list, (number, rule)| {
                format!("{list}    - {{ id: r{number}, {rule} }}\n")
            });
            let source = format!(
                "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  {whom}\n  default: {default}\n  rules:\n{list}"
            );
            parse(&source).unwrap_or_else(|findings| panic!("{findings:#?}\n{source}"))
        };
        each.map(policy).collect()
    })
}

fn decision() -> impl Strategy<Value = Decided> {
    use Operation::{Create, Delete, Read, Write};
    let arguments = (select(ARGUMENTS.to_vec()), 0..4_u8);
    let program = (select(vec!["/x", "/y"]), arguments, any::<Option<bool>>());
    let executed = program.prop_map(|(program, (rest, hidden), terminal)| {
        let one = ran(&[&[program], rest].concat());
        let arguments = match hidden {
            0 => Arguments::Redacted,
            1 => Arguments::Cut,
            _ => one.arguments.clone(),
        };
        Decided {
            arguments,
            terminal,
            ..one
        }
    });
    let done = (
        select(vec![Create, Delete, Read, Write]),
        select(vec!["/d/f", "/d/g", "/e/x"]),
    )
        .prop_map(|(operation, at)| seen(operation, path(at)));
    prop_oneof![3 => executed, 2 => done]
}

/// Every attempt that has this record, of those that differ for some rule of the generator.
fn attempts(decision: &Decided) -> Vec<Attempt> {
    use Operation::{Create, Exec, Read, Write};
    let one = |operations: &[Operation]| Attempt::One {
        operations: operations.to_vec(),
        object: decision.object.clone(),
    };
    match decision.operation {
        Write => return vec![one(&[Write]), one(&[Write, Read])],
        Create => {
            return vec![
                one(&[Create]),
                one(&[Create, Write]),
                one(&[Create, Write, Read]),
            ];
        }
        Exec => {}
        other => return vec![one(&[other])],
    }
    let crate::action::Object::Path { bytes } = &decision.object else {
        return vec![];
    };
    let program = String::from_utf8(bytes.clone()).unwrap();
    let lists: Vec<Vec<Vec<u8>>> = match &decision.arguments {
        Arguments::Known(all) => vec![all[1..].to_vec()],
        _ => ARGUMENTS
            .iter()
            .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect())
            .collect(),
    };
    let terminals = decision
        .terminal
        .map_or(vec![true, false], |known| vec![known]);
    let mut all = Vec::new();
    for arguments in &lists {
        for terminal in &terminals {
            for (parent, ancestor) in [("/p", "/q"), ("/p", "/a"), ("/q", "/a"), ("/q", "/q")] {
                for byte in [0, 1] {
                    all.push(Attempt::Exec {
                        path: program.clone(),
                        execution: Execution {
                            arguments: arguments.clone(),
                            sha256: Some(Sha256([byte; 32])),
                            terminal: Some(*terminal),
                            parents: vec![parent.to_owned()],
                            ancestors: Some(vec![ancestor.to_owned()]),
                        },
                    });
                }
            }
        }
    }
    all
}

fn labels(env: &str) -> HostLabels {
    [format!("env={env}").parse().unwrap()]
        .into_iter()
        .collect()
}

#[test]
fn an_answer_is_the_same_in_every_world_that_has_this_record() {
    let (known, unknown) = (Cell::new(0), Cell::new(0));
    let asked = (
        policies(),
        decision(),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
    );
    seeded::over(2_000, &asked, |(policies, decision, in_dev, in_prod)| {
        let alice = decision.user.clone().unwrap();
        let dev: GroupName = "dev".parse().unwrap();
        let env = |prod| labels(if prod { "prod" } else { "test" });
        let groups = |member: bool| if member { vec![dev.clone()] } else { vec![] };
        let mut told = Told {
            everywhere: in_prod.map(env),
            ..Told::default()
        };
        if let Some(member) = in_dev {
            told.groups.insert(alice.clone(), groups(member));
        }
        let mut replay = Replay::new(policies.clone(), told);
        let Ok(answer) = replay.answer(&at(0, decision.clone())) else {
            unknown.set(unknown.get() + 1);
            return Ok(());
        };
        known.set(known.get() + 1);
        let revision = crate::id::Revision(0);
        let host: Vec<Versioned> = policies
            .iter()
            .map(|policy| Versioned {
                revision,
                policy: policy.clone(),
            })
            .collect();
        let either = |said: Option<bool>| said.map_or(vec![true, false], |said| vec![said]);
        for prod in either(in_prod) {
            let there = on_host(&host, &env(prod));
            for member in either(in_dev) {
                for attempt in attempts(&decision) {
                    let world = ask(&there, &alice, &groups(member), &attempt, Beside::default());
                    prop_assert_eq!(
                        Outcome::of(&world),
                        answer.outcome,
                        "{:?} {:?}, prod {}, dev {}: {:?}",
                        decision,
                        attempt,
                        prod,
                        member,
                        policies
                    );
                }
            }
        }
        Ok(())
    });
    assert!(
        known.get() > 200 && unknown.get() > 200,
        "{known:?} {unknown:?}"
    );
}
