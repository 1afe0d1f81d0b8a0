//! A tree of files in memory with identities, so that labels and renames can be played.

use std::collections::BTreeMap;

use crate::{
    action::Object,
    image::{Image, eval::Level},
    policy::explain::Known,
};

/// A tree of objects; each keeps its identity when it is moved.
pub(super) struct Disk {
    /// Child by directory and name
    children: BTreeMap<(usize, String), usize>,
    next: usize,
    /// Node by identity, as the agent labelled it when the image was installed
    labels: BTreeMap<usize, u32>,
    /// Path by identity at that time
    labelled_as: BTreeMap<usize, String>,
}

impl Disk {
    /// Makes every path with the directories above it.
    pub(super) fn with(paths: &[String]) -> Self {
        let mut disk = Self {
            children: BTreeMap::new(),
            next: 1,
            labels: BTreeMap::new(),
            labelled_as: BTreeMap::new(),
        };
        for path in paths {
            let mut at = 0;
            for name in names(path) {
                at = disk.child(at, name);
            }
        }
        disk
    }

    fn child(&mut self, directory: usize, name: &str) -> usize {
        let fresh = self.next;
        let child = *self
            .children
            .entry((directory, name.to_owned()))
            .or_insert(fresh);
        self.next += usize::from(child == fresh);
        child
    }

    fn find(&self, path: &str) -> Option<usize> {
        names(path).into_iter().try_fold(0, |at, name| {
            self.children.get(&(at, name.to_owned())).copied()
        })
    }

    /// Labels what exists, as the agent does when it installs an image.
    pub(super) fn install(&mut self, image: &Image) {
        for (identity, path) in self.all() {
            let node = image.node_at(names(&path).into_iter().map(str::as_bytes));
            if node != 0 {
                self.labels.insert(identity, node);
                self.labelled_as.insert(identity, path);
            }
        }
    }

    /// Every object with its path, which is empty for the root.
    fn all(&self) -> Vec<(usize, String)> {
        let mut found = vec![(0, String::new())];
        let mut next = 0;
        while let Some((directory, path)) = found.get(next).cloned() {
            let inside = self
                .children
                .iter()
                .filter(|((parent, _), _)| *parent == directory);
            found.extend(inside.map(|((_, name), child)| (*child, format!("{path}/{name}"))));
            next += 1;
        }
        found
    }

    /// Moves a directory or file; nothing happens where it is missing or would land in itself.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let (Some((from_dir, from_name)), Some((to_dir, to_name))) =
            (self.split(from), self.split(to))
        else {
            return;
        };
        if to.starts_with(&format!("{from}/")) || from == to {
            return;
        }
        if let Some(moved) = self.children.remove(&(from_dir, from_name)) {
            self.children.insert((to_dir, to_name), moved);
        }
    }

    fn split(&self, path: &str) -> Option<(usize, String)> {
        let (directory, name) = path.rsplit_once('/')?;
        Some((self.find(directory)?, name.to_owned()))
    }

    /// The way down to a path, labels included; what does not exist has none.
    pub(super) fn levels(&self, path: &str) -> Vec<Level> {
        let mut at = Some(0);
        let mut levels = vec![Level {
            name: vec![],
            label: self.labels.get(&0).copied().unwrap_or(0),
        }];
        for name in names(path) {
            at = at.and_then(|directory| self.children.get(&(directory, name.to_owned())).copied());
            let label = at
                .and_then(|identity| self.labels.get(&identity).copied())
                .unwrap_or(0);
            levels.push(Level {
                name: name.as_bytes().to_vec(),
                label,
            });
        }
        levels
    }

    /// Every name by which the object counts: from each labelled level, what it was called when it was labelled
    /// and the names below it now.
    pub(super) fn known_as(&self, path: &str) -> Vec<Known> {
        let mut at = Some(0);
        // The root is labelled as itself.
        let mut known: Vec<(String, usize)> = vec![(String::new(), 0)];
        for name in names(path) {
            for (one, _) in &mut known {
                one.push('/');
                one.push_str(name);
            }
            at = at.and_then(|directory| self.children.get(&(directory, name.to_owned())).copied());
            if let Some(label) = at.and_then(|identity| self.labelled_as.get(&identity)) {
                known.push((label.clone(), names(label).len()));
            }
        }
        known
            .into_iter()
            .map(|(path, anchor)| Known {
                object: Object::Path {
                    bytes: path.into_bytes(),
                },
                anchor,
            })
            .collect()
    }

    /// How many different names that are.
    pub(super) fn name_count(&self, path: &str) -> usize {
        let mut names: Vec<String> = self
            .known_as(path)
            .into_iter()
            .map(|known| known.object.to_string())
            .collect();
        names.sort();
        names.dedup();
        names.len()
    }
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}
