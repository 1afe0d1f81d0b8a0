//! Asks what each path of an image names, makes different names of one object one, and finds out which of them are
//! the object's own.
//!
//! A root of a file system that cannot be labelled is an error: rules would not be met below it. Anything else
//! that cannot be labelled is met by its name, and the report says so. A file system that does not answer keeps
//! the labels that it had.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use stayhand_guardrail::{image::ROOT, text::Safe};

use super::{
    super::{
        identity::{Identified, Identify, IdentityError, ObjectId, Place},
        mounts::Mounts,
    },
    graph::Graph,
};

/// Links at the top of ordinary distributions: the one `/usr` and the one `/run`. A permission counts through them,
/// because their targets are part of this list; through any other link whoever can make links could move it.
const ORDINARY_LINKS: [(&str, &str); 8] = [
    ("/bin", "/usr/bin"),
    ("/sbin", "/usr/sbin"),
    ("/lib", "/usr/lib"),
    ("/lib32", "/usr/lib32"),
    ("/lib64", "/usr/lib64"),
    ("/libx32", "/usr/libx32"),
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
];

/// What was last found at a path.
pub type Seen = BTreeMap<Vec<u8>, (ObjectId, Place)>;

/// What was found at the paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Objects, by any node of their class
    pub objects: BTreeMap<ObjectId, u32>,
    /// By path
    pub seen: Seen,
    /// Paths that name nothing now
    pub missing: u32,
    /// Objects without a lasting identity, matched by name only
    pub by_name: u32,
    /// Nodes at which something is that has no label
    pub untold: BTreeSet<u32>,
    /// Objects that could not be labelled, and why
    pub problems: Vec<String>,
}

/// Resolves every node of the graph; `before` is what the last time found.
pub fn resolve(
    graph: &mut Graph,
    identify: &dyn Identify,
    mounts: &Mounts,
    before: &Seen,
) -> Result<Resolved, IdentityError> {
    let nodes: Vec<(u32, u32, Vec<u8>)> = graph
        .nodes()
        .map(|(node, parent, path)| (node, parent, path.to_vec()))
        .collect();
    let mut resolved = Resolved::default();
    // Nothing is below what is not there, and nothing answers below what does not.
    let mut closed: HashMap<u32, Closed> = HashMap::new();
    for (node, parent, path) in nodes {
        if graph.is_open(node) {
            graph.as_parent(node);
            continue;
        }
        let found = match closed.get(&parent) {
            Some(Closed::Missing) => Ok(Identified::Missing),
            Some(Closed::Silent) => Err(IdentityError::Silent {
                path: as_path(&path).to_owned(),
            }),
            None => identify.identify(as_path(&path)),
        };
        match found {
            Ok(Identified::Object(object, place)) => {
                resolved.put(graph, mounts, node, path, object, place);
            }
            Ok(Identified::ByName(place)) => {
                resolved.by_name += 1;
                resolved.untold.insert(node);
                stand(graph, mounts, node, &path, &place);
            }
            Ok(Identified::Missing) => {
                resolved.missing += 1;
                closed.insert(node, Closed::Missing);
                graph.as_parent(node);
            }
            Err(error) if is_tolerable(graph, node, before.contains_key(&path), &error) => {
                graph.as_parent(node);
                resolved.untold.insert(node);
                // The topmost silent place says it for everything below it.
                if !matches!(closed.get(&parent), Some(Closed::Silent)) {
                    resolved.problem(&path, &error);
                }
                if matches!(error, IdentityError::Silent { .. }) {
                    closed.insert(node, Closed::Silent);
                    if let Some((object, place)) = before.get(&path) {
                        resolved.put(graph, mounts, node, path, *object, place.clone());
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(resolved)
}

#[derive(Clone, Copy)]
enum Closed {
    Missing,
    Silent,
}

impl Resolved {
    fn put(
        &mut self,
        graph: &mut Graph,
        mounts: &Mounts,
        node: u32,
        path: Vec<u8>,
        object: ObjectId,
        place: Place,
    ) {
        stand(graph, mounts, node, &path, &place);
        self.seen.insert(path, (object, place));
        let first = *self.objects.entry(object).or_insert(node);
        graph.unite(first, node);
    }

    fn problem(&mut self, path: &[u8], error: &IdentityError) {
        let error = crate::exit::chain(error);
        self.problems.push(format!("{}: {error}", Safe(path)));
    }
}

/// Finds out whether a name is the object's own.
fn stand(graph: &mut Graph, mounts: &Mounts, node: u32, path: &[u8], place: &Place) {
    let real = place.real.clone().into_os_string().into_vec();
    let shown_first = |mount| mounts.shows_first(mount, &real);
    if ordinary(path) == real && place.mount.is_some_and(shown_first) {
        // The root's path is empty in the graph, so that its children's begin with their slash.
        graph.own(node, if real == b"/" { Vec::new() } else { real });
        return;
    }
    graph.alias(node);
}

/// The path with an ordinary link at its beginning followed.
fn ordinary(path: &[u8]) -> Vec<u8> {
    let follow = |(link, target): (&str, &str)| {
        let rest = path.strip_prefix(link.as_bytes())?;
        let whole = rest.is_empty() || rest.starts_with(b"/");
        whole.then(|| [target.as_bytes(), rest].concat())
    };
    ORDINARY_LINKS
        .into_iter()
        .find_map(follow)
        .unwrap_or_else(|| path.to_vec())
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// Whether rules hold without this label: an ordinary object is met by its name. A user's own FUSE mount is shut
/// even to root, holds only what that user puts there, and must not keep policies from being installed; nor must
/// a file system that hangs, or nobody could revoke anything until it does not. Without the label of the root itself
/// no rule would be met at all.
fn is_tolerable(graph: &Graph, node: u32, known: bool, error: &IdentityError) -> bool {
    match error {
        IdentityError::Silent { .. } => node != ROOT || known,
        IdentityError::Open { .. } | IdentityError::Ambiguous { .. } => graph
            .mounted(node)
            .is_none_or(|kind| kind.starts_with(b"fuse")),
        _ => false,
    }
}
