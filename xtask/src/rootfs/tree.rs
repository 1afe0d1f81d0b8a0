//! A file tree in memory: packages are merged into it, then it is written as one archive.
//!
//! Later additions replace earlier ones; parents appear by themselves.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result};

use crate::cpio::{Cpio, Meta};

/// One place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir(Meta),
    /// A regular file.
    File(Meta, Vec<u8>),
    /// A symbolic link.
    Link(String),
    /// A character device.
    Char(Meta, (u32, u32)),
}

/// Sorted by path, so that parents come before what they hold and equal trees give equal archives.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts a node; missing parents become root's directories.
    pub fn put(&mut self, path: &str, node: Node) {
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            at += slash;
            self.nodes
                .entry(path[..at].to_owned())
                .or_insert(Node::Dir(Meta::root(0o755)));
            at += 1;
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All regular files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::File(_, data) => Some((path.as_str(), data.as_slice())),
            _ => None,
        })
    }

    /// True if anything in any directory has this file name.
    pub fn has_name(&self, name: &str) -> bool {
        self.nodes
            .keys()
            .any(|path| path.rsplit('/').next() == Some(name))
    }

    /// Writes one archive.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let mut cpio = Cpio::new(out);
        for (path, node) in &self.nodes {
            match node {
                Node::Dir(meta) => cpio.dir(path, *meta),
                Node::File(meta, data) => cpio.file(path, *meta, data),
                Node::Link(target) => cpio.link(path, target),
                Node::Char(meta, device) => cpio.char_device(path, *meta, *device),
            }
            .with_context(|| format!("cannot pack `{path}`"))?;
        }
        cpio.finish()?.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_appear_and_an_explicit_directory_keeps_its_mode() {
        let mut tree = Tree::default();
        tree.put("tmp", Node::Dir(Meta::root(0o1777)));
        tree.put("tmp/a/b", Node::Link("x".into()));
        assert_eq!(tree.get("tmp"), Some(&Node::Dir(Meta::root(0o1777))));
        assert_eq!(tree.get("tmp/a"), Some(&Node::Dir(Meta::root(0o755))));
        assert!(tree.has_name("b") && !tree.has_name("c"));
    }
}
