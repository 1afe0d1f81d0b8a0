//! A file system in memory: objects with several names, symbolic links, mounts, and places that cannot be opened.
//! Walks it as the kernel does: from the object to the root of its own file system.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{Arc, Mutex},
};

use super::super::super::{
    identity::{Identified, Identify, IdentityError, ObjectId, Place},
    mounts::{Mount, Mounts},
};

#[derive(Debug, Default)]
struct State {
    /// By path without symbolic links
    objects: BTreeMap<String, ObjectId>,
    links: BTreeMap<String, String>,
    mounts: Vec<(String, &'static str)>,
    /// Mount points of bind mounts, and what they show
    binds: BTreeMap<String, String>,
    shut: Vec<String>,
    /// Places that do not answer
    silent: Vec<String>,
    ended: Vec<ObjectId>,
    next: u64,
}

/// The file system; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// With these paths and every directory above them.
    pub(super) fn new(paths: &[&str]) -> Self {
        let made = Self(Arc::default());
        made.0.lock().unwrap().mounts.push(("/".to_owned(), "ext4"));
        made.add("/");
        for path in paths {
            made.add(path);
        }
        made
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        edit(&mut self.0.lock().unwrap())
    }

    /// Makes an object and the directories above it.
    pub(super) fn add(&self, path: &str) {
        let mut end = 0;
        while let Some(slash) = path[end..].find('/') {
            end += slash + 1;
            self.make(path[..end - 1].trim_end_matches('/'));
        }
        self.make(path);
    }

    fn make(&self, path: &str) {
        let path = if path.is_empty() { "/" } else { path };
        self.edit(|state| {
            state.next += 1;
            let id = ObjectId {
                ino: state.next,
                dev: 1,
                igen: 0,
            };
            state.objects.entry(path.to_owned()).or_insert(id);
        });
    }

    /// Another object under the same name.
    pub(super) fn replace(&self, path: &str) {
        self.remove(path);
        self.make(path);
    }

    pub(super) fn remove(&self, path: &str) {
        self.edit(|state| state.objects.remove(path));
    }

    /// Removes a directory and everything below it.
    pub(super) fn cut(&self, path: &str) {
        let below = format!("{path}/");
        self.edit(|state| {
            state
                .objects
                .retain(|known, _| known != path && !known.starts_with(&below));
        });
    }

    /// A second name of the same object.
    pub(super) fn hard_link(&self, path: &str, of: &str) {
        self.edit(|state| {
            let id = state.objects[of];
            state.objects.insert(path.to_owned(), id);
        });
    }

    pub(super) fn symlink(&self, path: &str, to: &str) {
        self.edit(|state| state.links.insert(path.to_owned(), to.to_owned()));
    }

    /// Mounts a file system: its root is a new object.
    pub(super) fn mount(&self, path: &str, kind: &'static str) {
        self.add(path);
        self.replace(path);
        self.edit(|state| state.mounts.push((path.to_owned(), kind)));
    }

    /// Shows a directory at a second place.
    pub(super) fn bind(&self, path: &str, shown: &str) {
        self.add(path);
        self.hard_link(path, shown);
        self.edit(|state| {
            state.mounts.push((path.to_owned(), "ext4"));
            state.binds.insert(path.to_owned(), shown.to_owned());
        });
    }

    /// Nobody can open it.
    pub(super) fn shut(&self, path: &str) {
        self.edit(|state| state.shut.push(path.to_owned()));
    }

    /// Whatever is there and below does not answer.
    pub(super) fn hang(&self, path: &str) {
        self.edit(|state| state.silent.push(path.to_owned()));
    }

    pub(super) fn id(&self, path: &str) -> ObjectId {
        self.edit(|state| state.objects[path])
    }

    /// The last name and the last descriptor of an object are gone.
    pub(super) fn end(&self, object: ObjectId) {
        self.edit(|state| state.ended.push(object));
    }

    /// The same object under another name, with everything below it.
    pub(super) fn rename(&self, from: &str, to: &str) {
        self.edit(|state| {
            let below = format!("{from}/");
            let moved = |path: &str| path == from || path.starts_with(&below);
            let all = std::mem::take(&mut state.objects).into_iter();
            state.objects = all
                .map(|(path, id)| match path.strip_prefix(from) {
                    Some(rest) if moved(&path) => (format!("{to}{rest}"), id),
                    _ => (path, id),
                })
                .collect();
        });
    }

    pub(super) fn unmount(&self, path: &str) {
        self.edit(|state| {
            state.mounts.retain(|(point, _)| point != path);
            state.binds.remove(path);
        });
    }

    /// Numbered from 1; each file system has a device of its own, which bind mounts share.
    pub(super) fn mounts(&self) -> Mounts {
        self.edit(|state| {
            let of = |path: &str| {
                let own = (1u32..).zip(&state.mounts).filter(|(_, (point, _))| {
                    !state.binds.contains_key(point) && is_inside(path, point)
                });
                own.max_by_key(|(_, (point, _))| point.len())
                    .map(|(index, (point, _))| (index, point.clone()))
                    .unwrap()
            };
            let mount = |(id, (point, kind)): (u64, &(String, &'static str))| {
                let shown = state.binds.get(point).unwrap_or(point);
                let (dev, root) = of(shown);
                let rest = shown.strip_prefix(root.trim_end_matches('/')).unwrap();
                Mount {
                    id,
                    dev,
                    root: if rest.is_empty() { "/" } else { rest }.into(),
                    point: point.clone().into_bytes(),
                    kind: kind.as_bytes().to_vec(),
                }
            };
            Mounts((1u64..).zip(&state.mounts).map(mount).collect())
        })
    }

    /// Where an object is that was reached by a path.
    fn place(&self, path: &str) -> Place {
        let real = self.resolved(path, false);
        let mount = self.edit(|state| {
            let above = (1u64..)
                .zip(&state.mounts)
                .filter(|(_, (point, _))| is_inside(&real, point));
            above
                .max_by_key(|(_, (point, _))| point.len())
                .map(|(id, _)| id)
        });
        Place {
            real: real.into(),
            mount,
        }
    }

    /// The path without symbolic links and, if asked, bind mounts: as the kernel's dentries have it.
    fn resolved(&self, path: &str, through_binds: bool) -> String {
        let (links, binds) = self.edit(|state| (state.links.clone(), state.binds.clone()));
        let mut real = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            real = format!("{real}/{name}");
            if let Some(target) = links
                .get(&real)
                .or(binds.get(&real).filter(|_| through_binds))
            {
                real.clone_from(target);
            }
        }
        if real.is_empty() {
            "/".to_owned()
        } else {
            real
        }
    }

    /// As the kernel's dentries have it.
    pub(super) fn dentry(&self, path: &str) -> String {
        self.resolved(path, true)
    }

    /// Names and identities from the object up to its file system's root, as the kernel's walk sees them.
    pub(super) fn walk(&self, path: &str) -> Vec<(Vec<u8>, Option<ObjectId>)> {
        let mut at = self.dentry(path);
        let mut levels = Vec::new();
        loop {
            let (id, root) = self.edit(|state| {
                let root = state.mounts.iter().any(|(point, _)| *point == at)
                    && !state.binds.contains_key(&at);
                (state.objects.get(&at).copied(), root)
            });
            let (above, name) = at.rsplit_once('/').unwrap();
            let name = if root { String::new() } else { name.to_owned() };
            levels.push((name.into_bytes(), id));
            if root {
                return levels;
            }
            at = if above.is_empty() {
                "/".to_owned()
            } else {
                above.to_owned()
            };
        }
    }
}

impl Identify for Disk {
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError> {
        let text = std::str::from_utf8(path.as_os_str().as_bytes()).unwrap();
        let (real, place) = (self.dentry(text), self.place(text));
        self.edit(|state| {
            if state.silent.iter().any(|silent| is_inside(text, silent)) {
                return Err(IdentityError::Silent {
                    path: path.to_owned(),
                });
            }
            if state.shut.contains(&real) {
                let source = std::io::ErrorKind::PermissionDenied.into();
                return Err(IdentityError::Open {
                    path: path.to_owned(),
                    source,
                });
            }
            Ok(state
                .objects
                .get(&real)
                .map_or(Identified::Missing, |id| Identified::Object(*id, place)))
        })
    }

    fn names(&self, path: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
        let text = std::str::from_utf8(path.as_os_str().as_bytes()).unwrap();
        let real = self.dentry(text);
        let above = if real == "/" { String::new() } else { real };
        Ok(self.edit(|state| {
            let all = state.objects.keys().chain(state.links.keys());
            let inside = all.filter_map(|path| path.rsplit_once('/'));
            let here = inside.filter(|(directory, name)| *directory == above && !name.is_empty());
            here.map(|(_, name)| name.as_bytes().to_vec()).collect()
        }))
    }

    fn ended(&self) -> Vec<ObjectId> {
        self.edit(|state| std::mem::take(&mut state.ended))
    }

    fn unwatched(&self) -> usize {
        0
    }
}

fn is_inside(path: &str, directory: &str) -> bool {
    Path::new(path).starts_with(directory)
}
