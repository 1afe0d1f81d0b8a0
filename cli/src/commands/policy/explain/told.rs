//! The account of a decision, for people and for programs.
//!
//! A field is only ever added.

use serde::Serialize;
use stayhand_guardrail::{
    key::PermissionRef,
    policy::{
        Outcome,
        case::{Account, Meeting, Situation, Way},
    },
    reason::Effect,
    sensitivity::Sensitivity,
    text::safe,
};

/// What nobody can know from documents.
const CAVEAT: &str =
    "judged by name, as written: links, mounts and moved files are met on hosts only";

/// Of a rule that decides without being met for sure.
const PERHAPS: &str = "perhaps: what is not known restricts; more of the process, and the time, may be said, see --help";

/// One account.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    user: String,
    groups: Vec<String>,
    action: String,
    grants: Vec<String>,
    /// When, if that was said
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    outcome: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<MetRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    guarded: bool,
    /// Whether the kernel asks the agent for a fact before it decides
    asks_agent: bool,
    /// What would let it go on; nothing where it does
    #[serde(skip_serializing_if = "Option::is_none")]
    to_go_on: Option<ToGoOn>,
    /// Rules that are met and do not decide
    others: Vec<MetRule>,
    caveat: &'static str,
}

/// What would let an action go on.
#[derive(Debug, Serialize)]
struct ToGoOn {
    /// An approval does
    approval: bool,
    /// Who may approve, stage after stage; absent where every operator may
    #[serde(skip_serializing_if = "Option::is_none")]
    approvers: Option<String>,
    /// A grant of these does
    permissions: Vec<String>,
    /// Only with all of them
    all_needed: bool,
    /// How to ask for those that only a profile gives
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
}

/// A rule that the action meets.
#[derive(Debug, Serialize)]
pub(super) struct MetRule {
    policy: String,
    rule: String,
    effect: &'static str,
    file: String,
    line: u32,
    /// How much depends on what it is about, if it says so
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitivity: Option<&'static str>,
    /// When it counts, if it does not always
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    /// False if it is met perhaps
    surely: bool,
    /// Why it does not decide
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

impl Told {
    pub(super) fn of(
        situation: &Situation<'_>,
        account: &Account<'_>,
        file_of: &dyn Fn(&str) -> String,
    ) -> Self {
        let rule = |met: &Meeting<'_>, why_not| MetRule {
            policy: met.policy.name.to_string(),
            rule: met.rule.id.to_string(),
            effect: met.rule.effect.as_str(),
            file: file_of(met.policy.name.as_str()),
            line: met.rule.at.line,
            sensitivity: met.rule.sensitivity.map(Sensitivity::as_str),
            when: met.rule.when.as_ref().map(ToString::to_string),
            surely: met.surely,
            why_not,
        };
        let others = account.others.iter();
        Self {
            user: situation.user.to_string(),
            groups: situation.groups.iter().map(ToString::to_string).collect(),
            action: situation.attempt.to_string(),
            grants: situation.grants.iter().map(ToString::to_string).collect(),
            at: situation.time.map(|time| time.to_string()),
            outcome: account.outcome.as_str(),
            reason: account.explanation.reason.as_str(),
            rule: account.by.as_ref().map(|by| rule(by, None)),
            message: account.explanation.message.clone(),
            guarded: account.guarded,
            asks_agent: account.asks,
            to_go_on: ToGoOn::of(situation, account),
            others: others
                .map(|other| rule(other, Some(account.why_not(other))))
                .collect(),
            caveat: CAVEAT,
        }
    }

    /// Label and text; every text is safe to show.
    pub(super) fn details(&self) -> Vec<(&'static str, String)> {
        let groups = if self.groups.is_empty() {
            ", in no group".to_owned()
        } else {
            format!(" ({})", self.groups.join(", "))
        };
        let rule = self.rule.as_ref();
        let perhaps = rule.is_some_and(|rule| !rule.surely);
        let others: Vec<String> = self.others.iter().map(MetRule::other).collect();
        vec![
            ("action", self.action.clone()),
            ("who", format!("{}{groups}", self.user)),
            ("grants", self.grants.join(", ")),
            ("at", self.at.clone().unwrap_or_default()),
            ("outcome", format!("{} ({})", self.outcome, self.reason)),
            ("rule", rule.map_or_else(|| self.no_rule(), MetRule::shown)),
            (
                "met",
                if perhaps {
                    PERHAPS.to_owned()
                } else {
                    String::new()
                },
            ),
            ("message", safe(self.message.as_deref().unwrap_or_default())),
            ("decided", self.place().to_owned()),
            ("to go on", self.way()),
            ("ask by", self.commands()),
            ("other rules", others.join("\n")),
            ("note", self.caveat.to_owned()),
        ]
    }

    fn no_rule(&self) -> String {
        if self.guarded {
            "none restricts it".to_owned()
        } else {
            format!("no policy guards {}", self.user)
        }
    }

    fn place(&self) -> &'static str {
        match (self.guarded, self.asks_agent) {
            (false, _) => "",
            (true, false) => "in the kernel alone",
            (true, true) => {
                "in the kernel, after the agent has told what a rule on this program asks (an expression, a hash)"
            }
        }
    }

    fn commands(&self) -> String {
        let ways = self.to_go_on.as_ref();
        ways.map_or_else(String::new, |ways| ways.commands.join("\n"))
    }

    fn way(&self) -> String {
        let Some(ways) = &self.to_go_on else {
            return String::new();
        };
        let word = if ways.all_needed { " and " } else { " or " };
        let grant = (!ways.permissions.is_empty())
            .then(|| format!("a grant of {}", ways.permissions.join(word)));
        let approval = ways.approval.then(|| match &ways.approvers {
            Some(approvers) => format!("an approval by {approvers}"),
            None => "an approval by any operator".to_owned(),
        });
        let ways: Vec<String> = approval.into_iter().chain(grant).collect();
        match (ways.as_slice(), self.rule.as_ref()) {
            ([], Some(rule)) if rule.effect == Effect::Deny.as_str() => {
                "nothing: `deny` counts with and without a grant".to_owned()
            }
            ([], _) => "nothing: no permission covers it".to_owned(),
            (ways, _) => ways.join(", or "),
        }
    }
}

impl ToGoOn {
    fn of(situation: &Situation<'_>, account: &Account<'_>) -> Option<Self> {
        let (permissions, all_needed) = match &account.way {
            Way::Open => return None,
            Way::Any(permissions) => (permissions.as_slice(), false),
            Way::All(permissions) => (permissions.as_slice(), true),
            Way::None => (&[][..], false),
        };
        let by = account.by.as_ref();
        let approvers = by.and_then(|by| by.policy.approval(by.rule));
        Some(Self {
            approval: account.outcome == Outcome::Hold,
            approvers: approvers.map(ToString::to_string),
            permissions: permissions.iter().map(ToString::to_string).collect(),
            all_needed,
            commands: permissions
                .iter()
                .filter(|one| !one.values.is_empty())
                .filter_map(|one| command(situation, one))
                .collect(),
        })
    }
}

/// How somebody gives the user a permission that only a profile gives.
fn command(situation: &Situation<'_>, wanted: &PermissionRef) -> Option<String> {
    let mut policies = situation.policies.iter().map(|one| &one.policy);
    let policy = policies.find(|one| one.name == wanted.policy)?;
    let ask = policy.ask_for(wanted)?;
    let mut text = format!(
        "stayhand grant create --user {} --profile {}",
        situation.user,
        ask.profile.name()
    );
    let known = ask.profile.values.iter();
    let known = known.map(|(name, value)| (name, value.to_owned()));
    let open = ask.open.iter().map(|(name, value)| (name, value.clone()));
    for (name, value) in known.chain(open) {
        text.push_str(&format!(" --with {name}={}", quoted(&value)));
    }
    Some(text + " --for 1h --reason '...'")
}

/// As a shell takes it for one word; safe to show.
fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/+@:".contains(&byte);
    if value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", safe(value).replace('\'', "'\\''"))
    }
}

impl MetRule {
    /// `policy/rule`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.policy, self.rule)
    }

    fn shown(&self) -> String {
        let (file, line) = (safe(&self.file), self.line);
        let counts = |when: &String| format!(", counts {when}");
        let when = self.when.as_ref().map_or_else(String::new, counts);
        let of = |sensitivity: &str| format!(", sensitivity {sensitivity}");
        let of = self.sensitivity.map_or_else(String::new, of);
        format!("{} ({}{of}{when}), {file}:{line}", self.name(), self.effect)
    }

    fn other(&self) -> String {
        let why = self.why_not.as_deref().unwrap_or_default();
        format!("{}: {why}", self.shown())
    }
}
