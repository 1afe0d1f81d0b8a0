//! What no file can give, whatever it says.

use proptest::{prelude::*, sample::select};

use super::*;

fn head() -> impl Strategy<Value = String> {
    let who = select(vec![
        "principal",
        "principal is User",
        "principal in Role::\"operator\"",
        "principal in Group::\"dev\"",
        "principal == User::\"alice\"",
    ]);
    let what = select(vec![
        "action",
        "action in Action::\"read\"",
        "action in Action::\"policy.change\"",
        "action == Action::\"hold.approve\"",
        "action in [Action::\"grant.create\", Action::\"policy.approve\", Action::\"identity.read\"]",
    ]);
    (who, what).prop_map(|(who, what)| format!("({who}, {what}, resource)"))
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "principal.guarded",
        "context.own",
        "principal.name == \"alice\"",
        "principal.name like \"*\"",
        "principal.transport == \"socket\"",
        "principal in Group::\"dev\"",
        "context.now < datetime(\"2100-01-01\")",
        "resource == resource",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 12, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(|one| format!("!({one})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) || ({b})")),
            ]
        })
}

/// A file that permits everything to everybody, and then says this and that.
fn file() -> impl Strategy<Value = String> {
    let rule = (
        select(vec!["permit", "forbid"]),
        head(),
        select(vec!["when", "unless"]),
        condition(),
    );
    proptest::collection::vec(rule, 0..6).prop_map(|rules| {
        let all = "@id(\"all\") permit (principal, action, resource);\n".to_owned();
        let rule =
            |(at, (effect, head, word, condition)): (usize, (&str, String, &str, String))| {
                format!("@id(\"rule-{at}\") {effect} {head} {word} {{ {condition} }};\n")
            };
        all + &rules.into_iter().enumerate().map(rule).collect::<String>()
    })
}

fn word() -> impl Strategy<Value = &'static str> {
    select(vec![
        "permit",
        "forbid",
        "(",
        ")",
        "principal",
        "action",
        "resource",
        ",",
        ";",
        "==",
        "in",
        "is",
        "User",
        "Action",
        "::",
        "\"read\"",
        "\"hold.read\"",
        "[",
        "]",
        "when",
        "unless",
        "{",
        "}",
        "true",
        "1",
        "+",
        "context.own",
        "if",
        "then",
        "else",
        "@id(\"a\")",
        "@id(\"b\")",
        "permit (principal, action, resource)",
        "?principal",
        "\"",
        "//",
        "\n",
        "\u{fc}",
        "\u{0}",
        ".",
        "like",
        "has",
        "!",
        "-",
        "&&",
        "datetime(\"x\")",
    ])
}

fn anybody() -> impl Strategy<Value = Caller> {
    let groups = proptest::sample::subsequence(vec!["dev", "root", "auditors"], 0..=3);
    (select(vec!["alice", "root", "bob"]), groups, any::<bool>()).prop_map(
        |(user, groups, is_operator)| Caller {
            is_operator,
            ..caller(user, &groups)
        },
    )
}

proptest! {
    #[test]
    fn no_file_gives_a_guarded_subject_anything(text in file(), who in anybody(), own in any::<bool>()) {
        let rules = read(&text).map_err(TestCaseError::fail)?;
        let guarded = Caller { is_guarded: true, ..who };
        for action in Action::ALL {
            for resource in things(action) {
                prop_assert!(decided(&rules, &guarded, action, &resource, own).is_err(), "{}", action);
            }
        }
    }

    #[test]
    fn no_file_lets_anybody_answer_what_is_the_own(text in file(), who in anybody()) {
        let rules = read(&text).map_err(TestCaseError::fail)?;
        for action in [Action::GrantCreate, Action::HoldApprove, Action::HoldRefuse, Action::PolicyApprove] {
            for resource in things(action) {
                prop_assert!(decided(&rules, &who, action, &resource, true).is_err(), "{}", action);
            }
        }
    }

    /// Words of the language in any order: mostly mistakes, and each is told with a remedy.
    #[test]
    fn whatever_a_file_says_it_is_rules_or_an_error_that_names_it(words in proptest::collection::vec(word(), 0..60)) {
        if let Err(told) = read(&words.join(" ")) {
            prop_assert!(told.starts_with("authorization.cedar:"), "{}", told);
            prop_assert!(told.lines().all(|line| line.contains("; ")), "{}", told);
        }
    }

    /// The first step only looks at heads; it may let through what the second refuses, and never the other way round.
    #[test]
    fn nobody_is_turned_away_early_whom_the_rules_permit(text in file(), who in anybody(), own in any::<bool>()) {
        // Without the rule that admits everybody.
        let (_, rest) = text.split_once('\n').unwrap();
        let text = format!("@id(\"one\") permit (principal == User::\"nobody\", action, resource);\n{rest}");
        let rules = read(&text).map_err(TestCaseError::fail)?;
        for action in Action::ALL {
            for resource in things(action) {
                if rules.decide(&who, &asked(action, &resource, own), NOW).is_ok() {
                    prop_assert_eq!(rules.admit(&who, action), Ok(()));
                }
            }
        }
    }
}
