//! What cargo knows about the workspace and its dependencies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::compiler::TARGET;
use crate::paths;

/// Platforms whose dependencies count: ours and the kernel's.
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", TARGET];

/// `cargo metadata` for both platforms; does not touch the lock file.
pub fn metadata() -> Result<Metadata> {
    let platforms = PLATFORMS
        .iter()
        .flat_map(|p| ["--filter-platform".to_owned(), (*p).to_owned()]);
    let mut options = vec!["--locked".to_owned()];
    options.extend(platforms);
    MetadataCommand::new()
        .manifest_path(paths::root().join("Cargo.toml"))
        .other_options(options)
        .exec()
        .context("`cargo metadata --locked` failed; is Cargo.lock up to date?")
}

/// Every package that takes part in a build here.
pub fn built_packages(metadata: &Metadata) -> Vec<&Package> {
    let resolved: BTreeSet<&PackageId> = metadata
        .resolve
        .iter()
        .flat_map(|r| r.nodes.iter().map(|n| &n.id))
        .collect();
    metadata
        .packages
        .iter()
        .filter(|p| resolved.contains(&p.id))
        .collect()
}

/// Names of everything that a package links, directly or not, without what only builds or tests it.
pub fn linked(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|p| (&p.id, p.name.as_str()))
        .collect();
    let nodes: BTreeMap<_, _> = metadata
        .resolve
        .iter()
        .flat_map(|r| r.nodes.iter().map(|n| (&n.id, n)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut todo: Vec<&PackageId> = names
        .iter()
        .filter(|(_, n)| **n == name)
        .map(|(id, _)| *id)
        .collect();
    while let Some(id) = todo.pop() {
        for dep in nodes.get(id).iter().flat_map(|n| &n.deps) {
            let links = dep
                .dep_kinds
                .iter()
                .any(|k| k.kind == DependencyKind::Normal && !is_kernel_only(k));
            if links && seen.insert(&dep.pkg) {
                todo.push(&dep.pkg);
            }
        }
    }
    seen.into_iter()
        .filter_map(|id| names.get(id))
        .map(|n| (*n).to_owned())
        .collect()
}

/// `[target.'cfg(target_arch = "bpf")'.dependencies]`: part of the kernel program, not of its library.
fn is_kernel_only(kind: &cargo_metadata::DepKindInfo) -> bool {
    kind.target
        .as_ref()
        .is_some_and(|t| t.to_string().contains("\"bpf\""))
}
