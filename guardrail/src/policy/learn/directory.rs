//! From names to directories: where many distinct ones were seen, and no name there is worth more than another.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, action::Action};
use crate::{
    action::Operation,
    policy::{PathPattern, check::LIBRARIES},
};

/// Whose names are never taken for others of their directory, by whatever operation: secrets and accounts, what other
/// programs are told to do, and what is not a file at all.
const SENSITIVE: [&str; 16] = [
    "/boot",
    "/dev",
    "/etc",
    "/home/*/.aws",
    "/home/*/.config",
    "/home/*/.gnupg",
    "/home/*/.kube",
    "/home/*/.ssh",
    "/proc",
    "/root",
    "/run/secrets",
    "/sys",
    "/var/lib/stayhand",
    "/var/spool/at",
    "/var/spool/cron",
    "/var/lib/kubelet",
];
/// The same for everything but reading: programs and libraries of all, homes with what shells and tools run from there,
/// and the sockets and units of services.
const SENSITIVE_TO_CHANGE: [&str; 12] = [
    "/bin", "/home/*", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/run", "/sbin", "/usr",
    "/var/lib", "/var/run",
];

/// Actions on names in one directory, and what became of the directory.
pub(super) struct Generalised {
    pub(super) actions: BTreeMap<Action, Evidence>,
    /// Directories with enough names that are sensitive, and how many those were
    pub(super) kept: BTreeMap<String, usize>,
}

/// Takes names of one directory together.
pub(super) fn generalise(seen: BTreeMap<Action, Evidence>, names_min: usize) -> Generalised {
    let mut names: BTreeMap<(Vec<Operation>, String), BTreeSet<&str>> = BTreeMap::new();
    for action in seen.keys() {
        if let Action::File {
            operations, path, ..
        } = action
            && let Some((directory, name)) = path.rsplit_once('/')
        {
            let key = (operations.clone(), directory.to_owned());
            names.entry(key).or_default().insert(name);
        }
    }
    let mut kept = BTreeMap::new();
    let mut whole: BTreeSet<(Vec<Operation>, String)> = BTreeSet::new();
    for (key, names) in names {
        if names.len() < names_min {
            continue;
        }
        if is_sensitive(&key.1, &key.0) {
            let most: &mut usize = kept.entry(key.1).or_default();
            *most = names.len().max(*most);
        } else {
            whole.insert(key);
        }
    }
    let mut actions: BTreeMap<Action, Evidence> = BTreeMap::new();
    for (action, evidence) in seen {
        let action = in_directory(action, &whole);
        let joined = actions.entry(action).or_insert_with(Evidence::none);
        joined.join(&evidence);
    }
    Generalised { actions, kept }
}

fn in_directory(action: Action, whole: &BTreeSet<(Vec<Operation>, String)>) -> Action {
    let Action::File {
        operations, path, ..
    } = &action
    else {
        return action;
    };
    let Some((directory, _)) = path.rsplit_once('/') else {
        return action;
    };
    let key = (operations.clone(), directory.to_owned());
    if !whole.contains(&key) {
        return action;
    }
    let (operations, path) = key;
    Action::File {
        operations,
        path,
        directory: true,
    }
}

/// Whether the directory is listed or below one that is, or any name in it may be a listed one.
fn is_sensitive(directory: &str, operations: &[Operation]) -> bool {
    let any_name = format!("{directory}/x");
    // Code is mapped from where libraries are, and from nowhere else by a name that was not seen.
    if operations.contains(&Operation::MapExec) {
        return !LIBRARIES.iter().any(|place| is_below(&any_name, place));
    }
    let reads = operations == [Operation::Read];
    let changed: &[&str] = if reads { &[] } else { &SENSITIVE_TO_CHANGE };
    let mut listed = SENSITIVE.iter().chain(changed);
    listed.any(|place| {
        let is_parent = place.rsplit_once('/').is_some_and(|(parent, _)| {
            parent.is_empty() && directory.is_empty() || is_at(directory, parent)
        });
        is_at(directory, place) || is_below(directory, place) || is_parent
    })
}

fn is_at(path: &str, place: &str) -> bool {
    let pattern = PathPattern::parse(place);
    pattern.is_ok_and(|pattern| pattern.matches(path.as_bytes(), 0))
}

fn is_below(path: &str, place: &str) -> bool {
    is_at(path, &format!("{place}/**"))
}
