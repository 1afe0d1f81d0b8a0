//! From text to rules: read, named, validated strictly against the schema. What is not entirely good is refused with its place,
//! and nothing of it counts.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use cedar_policy::{
    Effect, ParseErrors, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use stayhand_guardrail::text::safe;

use super::{ALWAYS, Authorization, DEFAULT, SCHEMA, bounds, place};

/// Bytes of a file: some two hundred rules with their reasons.
const FILE_BYTES_MAX: u64 = 128 << 10;
/// Rules of a file: each is evaluated for every call, and for every event that a tail sends.
const RULES_MAX: usize = 200;
/// Mistakes that are told at once: a screenful.
const PROBLEMS_MAX: usize = 10;
/// Bytes of a rule's id: it is part of messages.
const ID_BYTES_MAX: usize = 63;
/// The annotation that names a rule.
const ID: &str = "id";

/// Why there are no rules.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// The file cannot be read.
    #[error("cannot read the authorization policies `{}`: {cause}; see `authorization.policies` in control.toml", path.display())]
    Unreadable {
        /// The file
        path: PathBuf,
        /// Why
        cause: String,
    },
    /// Something in it.
    #[error("{}", lines(.0))]
    Wrong(Vec<Problem>),
}

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file
    pub path: PathBuf,
    /// Line and column, from 1; none where it is about the whole file
    pub at: Option<(usize, usize)>,
    /// What is wrong
    pub message: String,
    /// What to do about it
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; {}", self.message, self.remedy)
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl Authorization {
    /// What counts beside what always does: this file, or what is shipped.
    pub fn load(file: Option<&Path>) -> Result<Self, AuthorizationError> {
        match file {
            Some(path) => Self::read(path, &text_of(path)?),
            None => Self::shipped(),
        }
    }

    /// What is shipped.
    pub fn shipped() -> Result<Self, AuthorizationError> {
        Self::read(Path::new("default.cedar"), DEFAULT)
    }

    /// Reads `text`; `path` is only named in errors.
    pub fn read(path: &Path, text: &str) -> Result<Self, AuthorizationError> {
        let schema = schema()?;
        let always = File::new(Path::new("always.cedar"), ALWAYS).rules(&[])?;
        let reserved: Vec<String> = always.iter().map(|rule| rule.id().to_string()).collect();
        let file = File::new(path, text);
        let own = file.rules(&reserved)?;
        if own.iter().all(|rule| rule.effect() != Effect::Permit) {
            let problem = file.problem(
                None,
                "no rule permits anything, so nobody could ever act",
                "begin with `stayhand-control --print-authorization`",
            );
            return Err(AuthorizationError::Wrong(vec![problem]));
        }
        let set = PolicySet::from_policies(always.into_iter().chain(own));
        let set = set.map_err(|error| file.whole(&error))?;
        file.valid(&schema, &set)?;
        Ok(Self::new(schema, set))
    }
}

fn schema() -> Result<Schema, AuthorizationError> {
    let read = Schema::from_cedarschema_str(SCHEMA);
    let file = File::new(Path::new("schema.cedarschema"), SCHEMA);
    match read {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(file.wrong([&error as &dyn Diagnostic])),
    }
}

fn text_of(path: &Path) -> Result<String, AuthorizationError> {
    let unreadable = |cause: String| AuthorizationError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it has more than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// A text of rules and where it is from.
struct File<'t> {
    path: &'t Path,
    text: &'t str,
}

impl<'t> File<'t> {
    fn new(path: &'t Path, text: &'t str) -> Self {
        Self { path, text }
    }

    /// Its rules, each under its own id.
    fn rules(&self, reserved: &[String]) -> Result<Vec<Policy>, AuthorizationError> {
        if let Some((at, message)) = bounds::beyond(self.text) {
            let remedy = "make several rules of it";
            let problem = self.problem(Some(at), &message, remedy);
            return Err(AuthorizationError::Wrong(vec![problem]));
        }
        let read: Result<PolicySet, ParseErrors> = self.text.parse();
        let read =
            read.map_err(|errors| self.wrong(errors.iter().map(|error| error as &dyn Diagnostic)))?;
        if let Some(template) = read.templates().next() {
            let at = self.text.find(template.to_string().trim());
            let remedy = "name who and what: nobody fills `?principal` or `?resource` in";
            let problem = self.problem(at, "a rule is a template", remedy);
            return Err(AuthorizationError::Wrong(vec![problem]));
        }
        let (mut named, mut problems) = (BTreeMap::new(), vec![]);
        for (at, rule) in self.in_order(&read) {
            match name(&rule) {
                Err((message, remedy)) => problems.push(self.problem(Some(at), message, remedy)),
                Ok(id) if reserved.contains(&id) => problems.push(self.problem(
                    Some(at),
                    &format!("rule `{id}` always counts and cannot be written anew"),
                    "give it another `@id`",
                )),
                Ok(id) if named.contains_key(&id) => problems.push(self.problem(
                    Some(at),
                    &format!("a second rule has `@id(\"{id}\")`"),
                    "give each its own: refusals name rules by it",
                )),
                Ok(id) => {
                    named.insert(id.clone(), rule.new_id(PolicyId::new(id)));
                }
            }
        }
        if named.len() > RULES_MAX {
            let many = format!("there are more than {RULES_MAX} rules");
            problems.push(self.problem(None, &many, "put several into one with `in` and `||`"));
        }
        if problems.is_empty() {
            return Ok(named.into_values().collect());
        }
        problems.truncate(PROBLEMS_MAX);
        Err(AuthorizationError::Wrong(problems))
    }

    /// Rules in the order of the text, with the offset at which each begins.
    fn in_order(&self, read: &PolicySet) -> Vec<(usize, Policy)> {
        let number = |rule: &Policy| -> usize {
            let id = rule.id().to_string();
            id.trim_start_matches("policy")
                .parse()
                .unwrap_or(usize::MAX)
        };
        let mut rules: Vec<Policy> = read.policies().cloned().collect();
        rules.sort_by_key(number);
        let mut from = 0;
        let mut placed = vec![];
        for rule in rules {
            let text = rule.to_string();
            let rest = self.text.get(from..).unwrap_or_default();
            let at = rest.find(text.trim()).map_or(from, |at| from + at);
            from = at + 1;
            placed.push((at, rule));
        }
        placed
    }

    /// Strictly: a rule that can never count is a mistake, too.
    fn valid(&self, schema: &Schema, set: &PolicySet) -> Result<(), AuthorizationError> {
        let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
        if result.validation_passed_without_warnings() {
            return Ok(());
        }
        let errors = result
            .validation_errors()
            .map(|error| error as &dyn Diagnostic);
        let warnings = result
            .validation_warnings()
            .map(|warning| warning as &dyn Diagnostic);
        Err(self.wrong(errors.chain(warnings)))
    }

    fn wrong<'d>(&self, found: impl IntoIterator<Item = &'d dyn Diagnostic>) -> AuthorizationError {
        let found = found.into_iter().take(PROBLEMS_MAX);
        AuthorizationError::Wrong(found.map(|one| self.told(one)).collect())
    }

    fn whole(&self, error: &dyn fmt::Display) -> AuthorizationError {
        let remedy = "see docs/control.md, \"Who may do what\"";
        AuthorizationError::Wrong(vec![self.problem(None, &error.to_string(), remedy)])
    }

    fn told(&self, one: &dyn Diagnostic) -> Problem {
        let label = one.labels().and_then(|mut labels| labels.next());
        let label = label.map(|label| label.offset());
        let remedy = one.help().map_or_else(
            || {
                "`stayhand-control --print-authorization schema` shows what rules can be about"
                    .to_owned()
            },
            |help| help.to_string(),
        );
        self.problem(label, &one.to_string(), &remedy)
    }

    fn problem(&self, offset: Option<usize>, message: &str, remedy: &str) -> Problem {
        Problem {
            path: self.path.to_owned(),
            at: offset.map(|offset| place::of(self.text, offset)),
            message: safe(message),
            remedy: safe(remedy),
        }
    }
}

/// The id that a rule gives itself, or what is wrong with it and the remedy.
fn name(rule: &Policy) -> Result<String, (&'static str, &'static str)> {
    let remedy =
        "write `@id(\"my-rule\")` in front of it: small letters, digits and `-`, at most 63";
    let Some(id) = rule.annotation(ID) else {
        return Err(("a rule has no `@id`, by which refusals name it", remedy));
    };
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(allowed) {
        return Err(("the `@id` of a rule is no name", remedy));
    }
    Ok(id.to_owned())
}
