//! When a rule counts, and the calendar of named periods that it can be written with.

use super::{fields::Fields, names_of, reader::Reader};
use crate::{
    id::{FlagName, PeriodName},
    limits::{FLAGS_PER_RULE_MAX, PERIODS_MAX, WINDOWS_MAX},
    policy::{
        Diagnostic, Periods, When,
        diagnostic::nearest,
        language,
        when::Window,
        yaml::{Node, Value},
    },
};

/// Reads `calendar` into the reader, where [`when`] finds it.
pub(super) fn calendar(r: &mut Reader, node: &Node) {
    for (key, value) in r.named(node, "calendar", "windows", PERIODS_MAX) {
        // Each finding looks for what is alike among all zones.
        if r.is_full() {
            break;
        }
        let name: Option<PeriodName> = r.parsed(key, "period name");
        let items = r.one_or_list_up_to(value, "windows", WINDOWS_MAX);
        let windows = items.iter().filter_map(|item| window(r, item)).collect();
        let Some(name) = name else { continue };
        if r.calendar.iter().any(|known| known.name == name) {
            let message = format!("period `{name}` is defined twice");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
            continue;
        }
        r.calendar.push(Periods {
            name,
            windows,
            used: false,
            at: key.at,
        });
    }
}

/// When a rule counts.
pub(super) fn when(r: &mut Reader, node: &Node) -> Option<When> {
    let mut fields = Fields::of(r, node, &language::WHEN)?;
    let (inside, outside) = (fields.take("windows"), fields.take("outside"));
    let flags = fields.take("flags").map(|node| flags(r, node));
    if inside.is_none() && outside.is_none() && flags.is_none() {
        // Other keys have findings of their own.
        if matches!(&node.value, Value::Map(pairs) if pairs.is_empty()) {
            let message =
                "`when` has `windows`, `outside` or `flags`, and this one has none of them";
            let error = Diagnostic::error(node.at, "", message);
            r.report(error.suggest("a rule that always counts has no `when`"));
        }
        return None;
    }
    if let Some(outside) = outside
        && (inside.is_some() || flags.is_some())
    {
        let message =
            "`outside` stands alone: beside `windows` or `flags` nobody could tell what is meant";
        r.report(Diagnostic::error(outside.at, outside.excerpt(), message));
        return None;
    }
    let items = inside.or(outside);
    let flags = flags.unwrap_or(Some(vec![]))?;
    let windows = match items {
        Some(items) => read_windows(r, items)?,
        None => vec![],
    };
    Some(When {
        windows,
        outside: outside.is_some(),
        flags,
        until: None,
    })
}

/// One or some flags, which nobody has to define.
fn flags(r: &mut Reader, node: &Node) -> Option<Vec<FlagName>> {
    let items = r.one_or_list_up_to(node, "flags", FLAGS_PER_RULE_MAX);
    let flags: Vec<FlagName> = names_of(r, items, "flags");
    (!flags.is_empty()).then_some(flags)
}

fn read_windows(r: &mut Reader, items: &Node) -> Option<Vec<Window>> {
    let mut windows = Vec::new();
    for item in r.one_or_list_up_to(items, "windows", WINDOWS_MAX) {
        windows.extend(named_or_written(r, item));
    }
    if windows.len() > WINDOWS_MAX {
        let message = format!(
            "the rule has {} windows, more than the {WINDOWS_MAX} that are allowed",
            windows.len()
        );
        r.report(Diagnostic::error(items.at, "", message));
    }
    (!windows.is_empty()).then_some(windows)
}

/// The windows of a name, or the one that is written. A window has blanks, a name has none.
fn named_or_written(r: &mut Reader, node: &Node) -> Vec<Window> {
    match node.text() {
        Some(text) if !text.contains(char::is_whitespace) => named(r, node),
        _ => window(r, node).into_iter().collect(),
    }
}

fn named(r: &mut Reader, node: &Node) -> Vec<Window> {
    let Some(name) = r.parsed::<PeriodName>(node, "windows") else {
        return Vec::new();
    };
    if let Some(periods) = r.calendar.iter_mut().find(|one| one.name == name) {
        periods.used = true;
        return periods.windows.clone();
    }
    let known = r.calendar.iter().map(|one| one.name.as_str());
    let near = nearest(name.as_str(), known).map(str::to_owned);
    let message = format!("the calendar has no period `{name}`");
    let error = Diagnostic::error(node.at, name.as_str(), message);
    r.report(match near {
        Some(near) => error.suggest(format!("did you mean `{near}`?")),
        None => error.suggest("define it under `calendar`, or write a window with its zone"),
    });
    Vec::new()
}

fn window(r: &mut Reader, node: &Node) -> Option<Window> {
    let text = r.text(node, "a window")?;
    match text.parse::<Window>() {
        Ok(window) => Some(window),
        Err(error) => {
            let finding = Diagnostic::error(node.at, text, error.to_string());
            r.report(finding.suggest(error.remedy()));
            None
        }
    }
}
