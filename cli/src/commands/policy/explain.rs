//! `stayhand policy explain`: which rule decides an action, why the others do not, and what would let it go on.
//!
//! Works on files and asks nobody: what it says is what the documents say.

mod action;
mod told;

use stayhand_guardrail::{
    id::{FlagName, GroupName, PermissionName, PolicyName, RuleId, UserName},
    key::PermissionRef,
    policy::{
        Label, Policy, Profile, Versioned,
        case::{Situation, on_host},
        profile::Refusal,
        when::point,
    },
    text::safe,
    time::UnixMs,
    values::Values,
};

use self::{action::Action, told::Told};
use super::files::{Document, Files, host, together};
use crate::{args::Format, failure::Failure, render, screen::Screen};

/// Say which rule decides an action, and why, offline
///
/// The files are taken together, as one host would enforce them. Paths are judged by name, as they are written: links, mounts
/// and moved files are met on hosts only. What is not said of an execution is not known: it restricts and never permits.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "\
stayhand policy explain --as <USER> [OPTIONS] <FILE>... <ACTION>
       stayhand policy explain --as <USER> [OPTIONS] <FILE>... -- <COMMAND> [ARGUMENT]...",
    after_help = "\
Examples:
  stayhand policy explain prod.yaml --as alice --group dev -- /usr/bin/nc -h
  stayhand policy explain policies/*.yaml --as alice --group dev --write /etc/nginx/nginx.conf
  stayhand policy explain prod.yaml --as alice --group dev --connect 10.20.0.7:5432 --grant prod-db
  stayhand policy explain prod.yaml --as alice --group dev --read /var/log/nginx/x --profile care --with service=nginx
  stayhand policy explain prod.yaml --as alice --group dev --bind 0.0.0.0:53 --protocol udp
  stayhand policy explain prod.yaml --as alice --group dev --link /etc/shadow /tmp/x"
)]
pub(crate) struct Explain {
    /// Policy documents; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Who acts
    #[arg(long = "as", value_name = "USER")]
    user: UserName,
    /// A group of the user on the host; repeatable
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<GroupName>,
    /// A permission that a live grant carries: NAME, or POLICY/NAME where several policies have that name; repeatable
    #[arg(long = "grant", value_name = "PERMISSION")]
    grants: Vec<String>,
    /// A profile that a live grant has: NAME, or POLICY/NAME where several policies have that name
    #[arg(long, value_name = "PROFILE", value_parser = crate::args::profile_name)]
    profile: Option<String>,
    /// A value of one of the profile's parameters; repeatable
    #[arg(long = "with", requires = "profile", value_name = "NAME=VALUE", value_parser = crate::args::profile_value)]
    values: Vec<String>,
    /// A rule of effect `throttle` whose rate is used up: ID, or POLICY/ID where several policies have that id; repeatable
    #[arg(long = "used-up", value_name = "RULE")]
    used_up: Vec<String>,
    /// A label of the host, as NAME=VALUE; repeatable. Without any, every policy counts there
    #[arg(long = "on", value_name = "LABEL")]
    on: Vec<Label>,
    /// When, as `2026-11-27 18:00 Europe/Berlin`; without it, rules that do not always count may count
    #[arg(long, value_name = "TIME", value_parser = point)]
    at: Option<UnixMs>,
    /// A flag that is set, and no other is but those that are named; repeatable. Without it, rules with flags may count
    #[arg(long = "flag", value_name = "FLAG")]
    flags: Vec<FlagName>,
    /// No flag is set
    #[arg(long, conflicts_with = "flags")]
    no_flags: bool,
    #[command(flatten)]
    action: Action,
}

impl Explain {
    fn set_flags(&self) -> Option<&[FlagName]> {
        let known = self.no_flags || !self.flags.is_empty();
        known.then_some(self.flags.as_slice())
    }
}

pub(super) fn run(explain: &Explain, screen: &Screen) -> Result<(), Failure> {
    let attempt = explain.action.attempt()?;
    let files = Files::named(&explain.files);
    let documents = files.read()?;
    if documents.iter().any(|document| document.policy.is_none()) {
        files.tell_all(&documents, &[], screen);
        return Err(Failure::general("not every policy can be read"));
    }
    let host = host(&documents);
    let together = together(&host);
    if !together.is_empty() {
        files.tell_all(&[], &together, screen);
        return Err(Failure::general("the policies cannot be enforced together"));
    }
    let each = explain.grants.iter();
    let mut grants: Vec<PermissionRef> = each
        .map(|text| permission(text, &host))
        .collect::<Result<_, _>>()?;
    if let Some(name) = &explain.profile {
        grants.extend(profile(name, &explain.values, &host)?);
    }
    let each = explain.used_up.iter();
    let used_up: Vec<(PolicyName, RuleId)> = each
        .map(|text| throttle(text, &host))
        .collect::<Result<_, _>>()?;
    let there = if explain.on.is_empty() {
        host.clone()
    } else {
        on_host(&host, &explain.on.iter().cloned().collect())
    };
    let situation = Situation {
        policies: &there,
        user: &explain.user,
        groups: &explain.groups,
        attempt: &attempt,
        grants: &grants,
        used_up: &used_up,
        time: explain.at,
        flags: explain.set_flags(),
    };
    let account = situation.account();
    let told = Told::of(&situation, &account, &|policy| file_of(&documents, policy));
    match screen.format_or(Format::Table) {
        Format::Table => screen.data(&render::pairs(&told.details())),
        Format::Name => match &told.rule {
            Some(rule) => screen.data(&format!("{}\n", rule.name())),
            None => Ok(()),
        },
        Format::Json | Format::Jsonl | Format::Yaml => screen.document("PolicyExplanation", &told),
    }
}

fn file_of(documents: &[Document], policy: &str) -> String {
    let named = |document: &&Document| {
        let own = document.policy.as_ref();
        own.is_some_and(|own| own.name.as_str() == policy)
    };
    let found = documents.iter().find(named);
    found.map_or_else(String::new, |document| document.file.clone())
}

/// A permission that one of these policies defines.
fn permission(text: &str, host: &[Versioned]) -> Result<PermissionRef, Failure> {
    let of_policy = |one: &Versioned| {
        let policy = one.policy.name.clone();
        // One with parameters is nothing without a profile.
        let plain = one.policy.permissions.iter();
        let plain = plain.filter(|found| found.template.is_none());
        let names = plain.map(|found| &found.name);
        let all: Vec<PermissionRef> = names
            .map(|name| PermissionRef::plain(policy.clone(), name.clone()))
            .collect();
        all
    };
    let all: Vec<PermissionRef> = host.iter().flat_map(of_policy).collect();
    let plain = text.parse::<PermissionName>().is_ok();
    let is_meant = |one: &PermissionRef| {
        if plain {
            one.permission.as_str() == text
        } else {
            one.to_string() == text
        }
    };
    one_of("permission", text, &all, is_meant, ToString::to_string)
}

/// What a grant of a profile carries.
fn profile(
    text: &str,
    values: &[String],
    host: &[Versioned],
) -> Result<Vec<PermissionRef>, Failure> {
    let of_policy = |one: &'_ Versioned| {
        let policy = one.policy.clone();
        let profiles = one.policy.profiles.clone().into_iter();
        profiles
            .map(move |profile| (policy.clone(), profile))
            .collect::<Vec<_>>()
    };
    let all: Vec<(Policy, Profile)> = host.iter().flat_map(of_policy).collect();
    let shown = |(policy, profile): &(Policy, Profile)| format!("{}/{}", policy.name, profile.name);
    let is_meant = |one: &(Policy, Profile)| one.1.name.as_str() == text || shown(one) == text;
    let (policy, profile) = one_of("profile", text, &all, is_meant, shown)?;
    let pairs = values.iter().filter_map(|pair| pair.split_once('='));
    let values = pairs
        .map(|(name, value)| {
            let name = name.parse().map_err(|_| profile.unknown(name))?;
            Ok((name, value.to_owned()))
        })
        .collect::<Result<Values, Refusal>>();
    values
        .and_then(|values| profile.gives(&policy, &values))
        .map_err(|refusal| Failure::general(refusal.to_string()))
}

/// A rule of effect `throttle`, by its id or by `policy/id`.
fn throttle(text: &str, host: &[Versioned]) -> Result<(PolicyName, RuleId), Failure> {
    let of_policy = |one: &Versioned| {
        let name = one.policy.name.clone();
        let throttles = one.policy.rules.iter().filter(|rule| rule.rate.is_some());
        let all: Vec<(PolicyName, RuleId)> = throttles
            .map(|rule| (name.clone(), rule.id.clone()))
            .collect();
        all
    };
    let all: Vec<(PolicyName, RuleId)> = host.iter().flat_map(of_policy).collect();
    let shown = |(policy, rule): &(PolicyName, RuleId)| format!("{policy}/{rule}");
    let is_meant = |one: &(PolicyName, RuleId)| one.1.as_str() == text || shown(one) == text;
    one_of("rule of effect `throttle`", text, &all, is_meant, shown)
}

/// The one of `all` that is meant.
fn one_of<T: Clone>(
    what: &str,
    text: &str,
    all: &[T],
    is_meant: impl Fn(&T) -> bool,
    name: impl Fn(&T) -> String,
) -> Result<T, Failure> {
    let found: Vec<&T> = all.iter().filter(|one| is_meant(one)).collect();
    let shown = safe(text);
    let names = |of: &[&T]| {
        let names: Vec<String> = of.iter().map(|one| name(one)).collect();
        names.join(", ")
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] if all.is_empty() => Err(Failure::general(format!(
            "no {what} `{shown}`: these policies define none"
        ))),
        [] => Err(
            Failure::general(format!("no {what} `{shown}`")).hint(format!(
                "there is {}",
                names(&all.iter().collect::<Vec<_>>())
            )),
        ),
        several => Err(Failure::general(format!("several policies have `{shown}`"))
            .hint(format!("write one of {}", names(several)))),
    }
}
