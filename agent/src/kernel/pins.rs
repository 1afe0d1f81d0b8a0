//! Where maps and links are pinned, and under which names.
//!
//! Names have no dot: bpffs reserves it (kernel/bpf/inode.c, `bpf_lookup`). The directory is versioned by the
//! layout, so that two builds with different bytes never share a map by accident.

use std::{
    fs::DirBuilder,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use stayhand_agent_ebpf::abi::ABI_VERSION;

/// Mode of every directory: whoever can open a pinned map can change what is enforced.
const MODE: u32 = 0o700;

/// Why pins cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} `{}`: {source}; see that bpffs is mounted there and that the agent runs as root", path.display())]
pub struct PinsError {
    /// What was tried
    pub doing: &'static str,
    /// On what
    pub path: PathBuf,
    /// Why not
    pub source: std::io::Error,
}

/// The directory of one layout version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
}

/// One pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPin {
    /// LSM hook
    pub hook: String,
    /// Generation of the program
    pub generation: u32,
    /// The pin
    pub path: PathBuf,
}

impl Default for Pins {
    fn default() -> Self {
        Self::new(format!("/sys/fs/bpf/stayhand/v{ABI_VERSION}"))
    }
}

impl Pins {
    /// Pins below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Pins of maps.
    pub fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    /// Pins of links.
    pub fn links_dir(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Pin of one map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// Pin of the link of one hook.
    pub fn link(&self, hook: &str, generation: u32) -> PathBuf {
        self.links_dir().join(format!("{hook}-{generation}"))
    }

    /// What agents of other layout versions pinned beside this one, lowest version first.
    pub fn others(&self) -> Result<Vec<Self>, PinsError> {
        let Some(product) = self.root.parent() else {
            return Ok(Vec::new());
        };
        let version = |name: &str| name.strip_prefix('v')?.parse::<u32>().ok();
        let mut others: Vec<(u32, Self)> = names(product)?
            .iter()
            .filter_map(|name| Some((version(name)?, Self::new(product.join(name)))))
            .filter(|(_, other)| *other != *self)
            .collect();
        others.sort_by_key(|(version, _)| *version);
        Ok(others.into_iter().map(|(_, other)| other).collect())
    }

    /// Makes the directories, and takes away everybody else's access to those that are there.
    pub fn prepare(&self) -> Result<(), PinsError> {
        let product = self.root.parent().unwrap_or(&self.root);
        for path in [product, &self.root, &self.maps(), &self.links_dir()] {
            let failed = |source| PinsError {
                doing: "prepare",
                path: path.to_owned(),
                source,
            };
            match DirBuilder::new().mode(MODE).create(path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))
                    .map_err(failed)?,
            }
        }
        Ok(())
    }

    /// Every pinned link, oldest first; none if the directory is not there. Foreign names are passed over.
    pub fn links(&self) -> Result<Vec<LinkPin>, PinsError> {
        let mut links: Vec<_> = names(&self.links_dir())?
            .iter()
            .filter_map(|name| self.read_link_name(name))
            .collect();
        links.sort_by(|a, b| (a.generation, &a.hook).cmp(&(b.generation, &b.hook)));
        Ok(links)
    }

    fn read_link_name(&self, name: &str) -> Option<LinkPin> {
        let (hook, generation) = name.rsplit_once('-')?;
        let generation = generation
            .parse()
            .ok()
            .filter(|generation| *generation != 0)?;
        Some(LinkPin {
            hook: hook.to_owned(),
            generation,
            path: self.links_dir().join(name),
        })
    }

    /// Names of the pinned maps.
    pub fn map_names(&self) -> Result<Vec<String>, PinsError> {
        names(&self.maps())
    }

    /// Highest generation of a pinned link, 0 for none.
    pub fn generation(&self) -> Result<u32, PinsError> {
        Ok(self.links()?.last().map_or(0, |link| link.generation))
    }

    /// Removes a pin.
    pub fn remove(path: &Path) -> Result<(), PinsError> {
        std::fs::remove_file(path).map_err(|source| PinsError {
            doing: "remove",
            path: path.to_owned(),
            source,
        })
    }
}

fn names(directory: &Path) -> Result<Vec<String>, PinsError> {
    let failed = |source| PinsError {
        doing: "list",
        path: directory.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(links: &[&str]) -> (tempfile::TempDir, Pins) {
        let place = tempfile::tempdir().unwrap();
        let pins = Pins::new(place.path().join("product/v1"));
        pins.prepare().unwrap();
        for name in links {
            std::fs::write(pins.links_dir().join(name), "").unwrap();
        }
        (place, pins)
    }

    #[test]
    fn nobody_else_reaches_the_pins() {
        let (_place, pins) = made(&[]);
        for path in [
            pins.root().parent().unwrap(),
            pins.root(),
            &pins.maps(),
            &pins.links_dir(),
        ] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, MODE, "{}", path.display());
        }
        std::fs::set_permissions(pins.maps(), std::fs::Permissions::from_mode(0o755)).unwrap();
        pins.prepare().unwrap();
        assert_eq!(
            std::fs::metadata(pins.maps()).unwrap().permissions().mode() & 0o7777,
            MODE
        );
    }

    #[test]
    fn the_next_generation_is_above_every_pinned_one() {
        let (_place, pins) = made(&[
            "file_open-2",
            "capable-10",
            "file_open-x",
            "capable",
            "task_alloc-0",
            "-",
        ]);
        let found: Vec<_> = pins
            .links()
            .unwrap()
            .into_iter()
            .map(|link| (link.hook, link.generation))
            .collect();
        assert_eq!(
            found,
            [("file_open".to_owned(), 2), ("capable".to_owned(), 10)]
        );
        assert_eq!(pins.generation().unwrap(), 10);
    }

    #[test]
    fn other_versions_are_found_and_foreign_names_are_not() {
        let (place, pins) = made(&[]);
        for name in ["v10", "v0", "vx", "w2", "maps"] {
            std::fs::create_dir(place.path().join("product").join(name)).unwrap();
        }
        let others: Vec<_> = pins.others().unwrap();
        let roots: Vec<_> = others
            .iter()
            .map(|other| other.root().file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(roots, ["v0", "v10"]);
    }

    #[test]
    fn no_directory_means_nothing_is_pinned() {
        let place = tempfile::tempdir().unwrap();
        let pins = Pins::new(place.path().join("none/v1"));
        assert_eq!(pins.generation().unwrap(), 0);
        assert!(pins.map_names().unwrap().is_empty());
    }

    #[test]
    fn link_names_have_no_dot_and_read_back() {
        let pins = Pins::default();
        let path = pins.link("bprm_check_security", 7);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.contains('.'));
        assert_eq!(pins.read_link_name(name).unwrap().generation, 7);
    }
}
