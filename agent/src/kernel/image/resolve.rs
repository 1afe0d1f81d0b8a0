//! Asks what each path of an image names, and makes different names of one object one.
//!
//! A root of a file system that cannot be labelled is an error: rules would not be met below it. Anything else
//! that cannot be labelled is met by its name, and the report says so.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use stayhand_guardrail::text::Safe;

use super::{
    super::identity::{Identified, Identify, IdentityError, ObjectId},
    graph::Graph,
};

/// What was found at the paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Objects, by any node of their class
    pub objects: BTreeMap<ObjectId, u32>,
    /// Paths that name nothing now
    pub missing: u32,
    /// Objects without a lasting identity, matched by name only
    pub by_name: u32,
    /// Objects that could not be labelled, and why
    pub problems: Vec<String>,
}

/// Resolves every node of the graph.
pub fn resolve(graph: &mut Graph, identify: &dyn Identify) -> Result<Resolved, IdentityError> {
    let nodes: Vec<(u32, u32, Vec<u8>)> = graph
        .nodes()
        .map(|(node, parent, path)| (node, parent, path.to_vec()))
        .collect();
    let mut resolved = Resolved::default();
    let mut gone = HashSet::new();
    for (node, parent, path) in nodes {
        // Nothing is below what is not there.
        let found = if gone.contains(&parent) {
            Ok(Identified::Missing)
        } else {
            ask(identify, &path)
        };
        match found {
            Ok(Identified::Object(object)) => {
                let first = *resolved.objects.entry(object).or_insert(node);
                graph.unite(first, node);
            }
            Ok(Identified::ByName) => resolved.by_name += 1,
            Ok(Identified::Missing) => {
                resolved.missing += 1;
                gone.insert(node);
            }
            Err(error) if is_tolerable(graph, node, &error) => {
                resolved
                    .problems
                    .push(format!("{}: {}", Safe(&path), crate::exit::chain(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(resolved)
}

fn ask(identify: &dyn Identify, path: &[u8]) -> Result<Identified, IdentityError> {
    identify.identify(Path::new(OsStr::from_bytes(path)))
}

/// Whether rules hold without this label: an ordinary object is met by its name. A user's own FUSE mount is shut
/// even to root, holds only what that user puts there, and must not keep policies from being installed.
fn is_tolerable(graph: &Graph, node: u32, error: &IdentityError) -> bool {
    let of_object = matches!(
        error,
        IdentityError::Open { .. } | IdentityError::Ambiguous { .. }
    );
    of_object
        && graph
            .mounted(node)
            .is_none_or(|kind| kind.starts_with(b"fuse"))
}
