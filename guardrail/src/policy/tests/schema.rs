//! The published schema says what the parser says, as far as a schema can.

use std::{collections::BTreeSet, path::Path};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::{
    super::{
        fuzz::{Random, Tree, change},
        language::{DOCUMENT, Kind, Mapping, Shape},
    },
    corpus, *,
};
use crate::seeded;

/// Documents of each kind that are compared.
const MUTATIONS: u64 = 2_000;
const GENERATED: u32 = 200;

/// What only the parser knows: words of its findings about documents that the schema accepts.
const SEMANTIC: &[&str] = &[
    // What names something that has to be there, or to be there once
    "the policy has no rule",
    "the policy has no permission",
    "the policy has no set",
    "the policy has no approval",
    "the policy has no profile",
    "has no parameter",
    "uses `${",
    "has parameters",
    "needs `",
    "excludes itself",
    "is no `",
    "of kind `",
    "begins a parameter",
    "no parameter can stand",
    "is the whole of a port",
    "no profile allows it",
    "put into permissions",
    // Findings of a permission with values
    "with (",
    "no rule of preset",
    "the calendar has no period",
    "`outside` stands alone",
    "`root` is no service",
    " twice",
    // What a text has to be beyond a pattern, or where YAML takes it for a number
    "is not a ",
    "name has ",
    "a path ",
    "a component has one `*`",
    "`/` is a directory",
    "an address range is written",
    "a prefix has at most",
    "the address has bits beyond",
    "a port is a number",
    "a port of a virtual socket is",
    "a machine is a number",
    "a protocol is one of",
    "a pattern has ",
    "every command ",
    "an argument has no NUL",
    "`\\` stands before",
    "`**` stands at the end",
    "an option is a dash",
    "is an option, not a word",
    "a subcommand has",
    "a regular expression has",
    "no regular expression",
    "this expression is too large",
    "a name has ",
    "`@` is how tools",
    "is no window",
    "the window ",
    "there is no time zone",
    "is no time;",
    "no clock ever shows",
    "a message ",
    "a count is a number",
    "a stage needs from ",
    "a stage escalates after ",
    "a stage lasts from ",
    ": nobody can ever approve it",
    "names no approver",
    "a test's name ",
    "this build has no ",
    // A document of the floor that got what another policy has
    " in the floor",
    "is named without its version",
    "is included twice",
    "has no rule `",
    "has no parameter ",
    "needs the parameter",
    "begins like what the preset",
    "with what is included the policy has",
    "rules is an empty list",
    "a hold waits",
    "a limit is ",
    "has no `rate`",
    "has effect `throttle`",
    "of effect `throttle`",
    "a rate is counted in",
    "a grant lasts from",
    "is no range of integers",
    "is no value of an enum",
    "has a name that no value",
    "is a label",
    "nothing is held by default",
    "nothing is restricted by default",
    "`timeout` belongs to rules",
    "is the name of what `default` says",
    "is longer than",
    "a running program is known",
    "a test is about one",
    // What does not go together
    "net is about addresses",
    "net has ",
    "is about no address",
    "is not judged",
    "makes a file",
    "names destinations",
    "of every machine cannot",
    "has none of these ports",
    "has no ports",
    "has two ends",
    "is the other end of one",
    "never comes",
    // Sums over several keys
    "the rule has ",
];

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// What an editor takes the document for: the core schema of YAML 1.2. None if a key is there twice.
fn value(tree: &Tree) -> Option<Value> {
    Some(match tree {
        Tree::Scalar(text, false) => json!(text),
        Tree::Scalar(text, true) => match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => json!(true),
            "false" | "False" | "FALSE" => json!(false),
            text => number(text).unwrap_or_else(|| json!(text)),
        },
        Tree::List(items) => items.iter().map(value).collect::<Option<Vec<_>>>()?.into(),
        Tree::Map(pairs) => {
            let mut map = Map::new();
            for (key, inner) in pairs {
                let Tree::Scalar(key, _) = key else {
                    return None;
                };
                if map.insert(key.clone(), value(inner)?).is_some() {
                    return None;
                }
            }
            map.into()
        }
    })
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    if !is_number {
        return None;
    }
    let whole = text.parse::<i64>().map(Value::from);
    whole.or_else(|_| text.parse::<f64>().map(Value::from)).ok()
}

#[track_caller]
fn says_nothing_of(schema: &Validator, name: &str, document: &Value) {
    let errors: Vec<String> = schema
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{name}");
}

/// The file that is published. To write it anew, set `STAYHAND_BLESS=1`.
#[test]
fn the_published_schema_is_the_one_that_is_made() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.schema.json");
    let made = format!("{:#}\n", schema());
    if std::env::var_os("STAYHAND_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == made,
        "STAYHAND_BLESS=1 cargo test -p stayhand-guardrail writes docs/policy.schema.json"
    );
}

#[test]
fn the_schema_is_one_and_needs_no_other_document() {
    let schema = schema();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let text = schema.to_string();
    let addresses = text.matches("://").count();
    assert_eq!(addresses, 1, "only the name of its own version");
    let references = text.matches("\"$ref\":").count();
    assert_eq!(references, text.matches("\"$ref\":\"#/$defs/").count());
}

#[test]
fn every_valid_policy_of_the_tree_meets_it_whoever_reads_the_yaml() {
    let schema = validator();
    for (name, source) in corpus::policies() {
        let read: Value = serde_yaml_ng::from_str(&source).unwrap();
        says_nothing_of(&schema, &name, &read);
        assert_eq!(value(&Tree::read(&source).unwrap()), Some(read), "{name}");
    }
}

#[test]
fn every_generated_policy_meets_it() {
    let schema = validator();
    let case = crate::image::tests::generate::case(false);
    seeded::over(GENERATED, &case, |case| {
        for source in &case.sources {
            says_nothing_of(&schema, source, &serde_yaml_ng::from_str(source).unwrap());
        }
        Ok(())
    });
}

/// All mappings of the language.
fn mappings() -> Vec<&'static Mapping> {
    fn inside(shape: &'static Shape, found: &mut Vec<&'static Mapping>) {
        match shape {
            Shape::Text(_) | Shape::Word(_) | Shape::Flag | Shape::Call { .. } => {}
            Shape::List { of, .. } | Shape::OneOrList { of, .. } | Shape::Named { of, .. } => {
                inside(of, found);
            }
            Shape::Mapping(mapping) | Shape::Either { mapping, .. } => add(mapping, found),
        }
    }
    fn add(mapping: &'static Mapping, found: &mut Vec<&'static Mapping>) {
        if found.iter().any(|known| known.name == mapping.name) {
            return;
        }
        found.push(mapping);
        for key in mapping.keys {
            inside(&key.value, found);
        }
    }
    let mut found = Vec::new();
    add(&DOCUMENT, &mut found);
    found
}

/// A value of the document that has every key, and what the table says of it.
struct Met {
    /// As a JSON pointer
    at: String,
    shape: &'static Shape,
    /// Of the mapping that has the key, and the key
    key: Option<(&'static str, &'static str)>,
}

/// Every value of a document, by the table.
fn walk(at: &str, value: &Value, shape: &'static Shape, found: &mut Vec<Met>) {
    let met = |shape, key| Met {
        at: at.to_owned(),
        shape,
        key,
    };
    match (shape, value) {
        (Shape::List { of, .. } | Shape::OneOrList { of, .. }, Value::Array(items)) => {
            found.push(met(shape, None));
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{at}/{index}"), item, of, found);
            }
        }
        (Shape::OneOrList { of, .. }, one) => walk(at, one, of, found),
        (
            Shape::Call {
                program, argument, ..
            },
            Value::Array(items),
        ) => {
            found.push(met(shape, None));
            for (index, item) in items.iter().enumerate() {
                let shape = if index == 0 { program } else { argument };
                walk(&format!("{at}/{index}"), item, shape, found);
            }
        }
        (Shape::Call { program, .. }, one) => walk(at, one, program, found),
        (Shape::Named { of, .. }, Value::Object(map)) => {
            found.push(met(shape, None));
            for (name, inner) in map {
                walk(&format!("{at}/{name}"), inner, of, found);
            }
        }
        (Shape::Either { one, .. }, value) if !value.is_object() => walk(at, value, one, found),
        (Shape::Mapping(mapping) | Shape::Either { mapping, .. }, Value::Object(map)) => {
            found.push(met(shape, None));
            for (name, inner) in map {
                let key = mapping.keys.iter().find(|key| key.name == name);
                let key = key.unwrap_or_else(|| panic!("{at}/{name} is not in the table"));
                let from = found.len();
                walk(&format!("{at}/{name}"), inner, &key.value, found);
                found[from].key = Some((mapping.name, key.name));
            }
        }
        (shape, _) => found.push(met(shape, None)),
    }
}

/// The document that has every key, and all that is in it.
fn whole() -> (Value, Vec<Met>) {
    static SHAPE: Shape = Shape::Mapping(&DOCUMENT);
    let source = include_str!("../../../../tests/fixtures/policies/language.yaml");
    let document: Value = serde_yaml_ng::from_str(source).unwrap();
    let mut found = Vec::new();
    walk("", &document, &SHAPE, &mut found);
    (document, found)
}

#[test]
fn every_key_of_the_table_is_in_the_document_that_has_them_all() {
    let (_, found) = whole();
    let there: BTreeSet<_> = found.iter().filter_map(|met| met.key).collect();
    let all = mappings()
        .into_iter()
        .flat_map(|mapping| mapping.keys.iter().map(|key| (mapping.name, key.name)));
    let missing: Vec<_> = all.filter(|key| !there.contains(key)).collect();
    assert_eq!(
        missing,
        [],
        "a new key belongs into tests/fixtures/policies/language.yaml, too"
    );
}

/// Also what finds a key that is in the table and that nobody reads.
#[test]
fn a_value_of_a_wrong_type_is_refused_by_parser_and_schema_wherever_it_stands() {
    let schema = validator();
    let (document, found) = whole();
    let wrong = [
        json!(null),
        json!({}),
        json!({ "x": 1 }),
        json!([[]]),
        json!([{}]),
        json!([]),
        json!("\u{1}"),
        json!(false),
    ];
    let mut tried = 0;
    for met in &found {
        for value in &wrong {
            if may_be(met, value) {
                continue;
            }
            let mut changed = document.clone();
            *changed.pointer_mut(&met.at).unwrap() = value.clone();
            let source = changed.to_string();
            assert!(parse(&source).is_err(), "parser: {} = {value}", met.at);
            assert!(!schema.is_valid(&changed), "schema: {} = {value}", met.at);
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
}

/// Whether such a value may stand there, as far as its type says.
fn may_be(met: &Met, value: &Value) -> bool {
    match (met.shape, value) {
        (Shape::Text(text), Value::Null) => text.kind == Kind::Anything,
        (Shape::Text(text), Value::Bool(_)) => {
            matches!(text.kind, Kind::Anything | Kind::Scalar)
        }
        (Shape::Text(text), Value::Number(_)) => text.kind != Kind::Text,
        // What texts are made of is the parser's business; the schema knows some of it.
        (Shape::Text(_), Value::String(_)) | (Shape::Flag, Value::Bool(_)) => true,
        (Shape::List { min: 0, .. }, Value::Array(items)) => items.is_empty(),
        // One in the place of a list.
        (Shape::OneOrList { of, .. } | Shape::Call { program: of, .. }, _) => {
            !value.is_array() && {
                let inner = Met {
                    at: String::new(),
                    shape: of,
                    key: None,
                };
                may_be(&inner, value)
            }
        }
        // Names are the policy's, and a number may be a text.
        (Shape::Named { of, .. }, Value::Object(named)) => {
            let inner = Met {
                at: String::new(),
                shape: of,
                key: None,
            };
            !named.is_empty() && named.values().all(|one| may_be(&inner, one))
        }
        // A word in the place of a mapping.
        (Shape::Either { one, .. }, value) => {
            let inner = Met {
                at: String::new(),
                shape: one,
                key: None,
            };
            !value.is_object() && may_be(&inner, value)
        }
        _ => false,
    }
}

#[test]
fn an_unknown_key_and_a_missing_one_are_refused_by_parser_and_schema_wherever_they_are() {
    let schema = validator();
    let (document, found) = whole();
    let both_refuse = |changed: &Value, what: &str| {
        assert!(parse(&changed.to_string()).is_err(), "parser: {what}");
        assert!(!schema.is_valid(changed), "schema: {what}");
    };
    for met in &found {
        let (Shape::Mapping(mapping) | Shape::Either { mapping, .. }) = met.shape else {
            continue;
        };
        for key in mapping.later.iter().chain(&["x-mine", "Path", "<<"]) {
            let mut changed = document.clone();
            changed.pointer_mut(&met.at).unwrap()[key] = json!("x");
            both_refuse(&changed, &format!("{}/{key} is new", met.at));
        }
        for key in mapping.keys.iter().filter(|key| key.required) {
            let mut changed = document.clone();
            let map = changed.pointer_mut(&met.at).unwrap().as_object_mut();
            map.unwrap().remove(key.name).unwrap();
            both_refuse(&changed, &format!("{}/{} is missing", met.at, key.name));
        }
    }
}

#[test]
fn the_schema_refuses_no_policy_and_lets_through_only_what_takes_more_than_a_schema_to_see() {
    let schema = validator();
    let trees: Vec<Tree> = corpus::policies()
        .iter()
        .filter_map(|(_, source)| Tree::read(source))
        .collect();
    let seed = seeded::seed();
    let (mut both, mut neither, mut only) = (0, 0, BTreeSet::new());
    for number in 0..MUTATIONS {
        let mut random = Random::of(seed.wrapping_add(number));
        let mut tree = random.of_these(&trees).unwrap().clone();
        change(&mut tree, random.of_these(&trees), &mut random);
        let Some(document) = value(&tree) else {
            continue;
        };
        let source = tree.write();
        let shown = format!("STAYHAND_SEED={seed}, document {number}:\n{source}");
        match (parse(&source), schema.is_valid(&document)) {
            (Ok(_), true) => both += 1,
            (Ok(_), false) => says_nothing_of(&schema, &shown, &document),
            (Err(_), false) => neither += 1,
            (Err(findings), true) => {
                for finding in findings {
                    let known = SEMANTIC
                        .iter()
                        .find(|word| finding.message.contains(**word));
                    let known = known.unwrap_or_else(|| panic!("{finding}\n{shown}"));
                    only.insert(*known);
                }
            }
        }
    }
    println!("{both} policies, {neither} refused by both, by the parser only: {only:#?}");
    assert!(both > 100 && neither > 500, "{both} {neither}");
    assert!(only.len() > 3, "{only:?}");
}
