//! Programs for guests in which people do honest work: compiler, git, PostgreSQL, nginx, dpkg. An archive of its own, which
//! only machines that are asked for it unpack: it is larger than the base and everything else together.
//!
//! From Debian's packages, as `base` does it and for the same reasons; nothing of it is installed on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::base::{add_package, check_libraries, hex};
use super::packages::usr_merged;
use super::tree::{Node, Tree};
use crate::apt::Apt;
use crate::cpio::{self, Meta};
use crate::paths;

/// Raise when this module changes what it makes from the same packages.
const RECIPE: u32 = 1;

/// Programs first, then what they need and the base does not have.
const NAMES: &str = "\
    binutils binutils-common binutils-x86-64-linux-gnu cpp-12 dpkg gcc-12 git libc-bin libc6-dev libgcc-12-dev linux-libc-dev \
    make nginx nginx-common postgresql-15 postgresql-client-15 tar tzdata \
    libbinutils libctf-nobfd0 libctf0 libffi8 libgnutls30 libgssapi-krb5-2 libhogweed6 libicu72 libidn2-0 libisl23 \
    libjansson4 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0 libmpc3 libmpfr6 libnettle8 libp11-kit0 \
    libpq5 libsasl2-2 libssl3 libtasn1-6 libunistring2 libxml2";

/// What is taken, by beginnings of paths; everything else of these packages is left out.
const KEPT: &str = "usr/bin/ usr/sbin/nginx usr/sbin/ldconfig usr/sbin/start-stop-daemon usr/include/ usr/lib/git-core/ \
    usr/lib/gcc/ usr/lib/x86_64-linux-gnu/ usr/lib/postgresql/ usr/share/postgresql/ usr/share/git-core/templates/ \
    usr/share/zoneinfo/Etc/ usr/share/zoneinfo/UTC etc/nginx/mime.types usr/share/dpkg/ usr/libexec/";

/// What of that is large, or needs more libraries, and is not used: languages and sanitizers that nobody compiles with,
/// static libraries, transports of git, extensions of the database, the C library's own programs (they are in the base).
const DROPPED: &str = "usr/bin/gold usr/bin/dwp usr/bin/x86_64-linux-gnu-dwp usr/bin/x86_64-linux-gnu-gold usr/bin/ld.gold \
    usr/bin/x86_64-linux-gnu-ld.gold usr/bin/gprofng usr/bin/x86_64-linux-gnu-gprofng usr/bin/x86_64-linux-gnu-lto-dump \
    usr/bin/gp- usr/bin/x86_64-linux-gnu-gp- usr/bin/ldd usr/bin/locale usr/bin/localedef usr/bin/getconf usr/bin/getent \
    usr/bin/iconv usr/bin/pldd usr/bin/tzselect usr/bin/zdump usr/bin/pg_ usr/bin/scalar \
    usr/lib/gcc/x86_64-linux-gnu/12/lto1 usr/lib/gcc/x86_64-linux-gnu/12/libasan usr/lib/gcc/x86_64-linux-gnu/12/libtsan \
    usr/lib/gcc/x86_64-linux-gnu/12/libubsan usr/lib/gcc/x86_64-linux-gnu/12/liblsan \
    usr/lib/gcc/x86_64-linux-gnu/12/libhwasan usr/lib/gcc/x86_64-linux-gnu/12/plugin \
    usr/lib/gcc/x86_64-linux-gnu/12/libgomp usr/lib/gcc/x86_64-linux-gnu/12/libitm usr/lib/gcc/x86_64-linux-gnu/12/libatomic \
    usr/lib/gcc/x86_64-linux-gnu/12/libquadmath usr/lib/x86_64-linux-gnu/libc.a usr/lib/x86_64-linux-gnu/gconv \
    usr/lib/x86_64-linux-gnu/perl usr/lib/x86_64-linux-gnu/libm-2.36.a usr/lib/x86_64-linux-gnu/gprofng \
    usr/lib/git-core/git-http usr/lib/git-core/git-remote-http usr/lib/git-core/git-imap-send usr/lib/git-core/scalar \
    usr/lib/postgresql/15/lib/bitcode usr/lib/postgresql/15/lib/llvmjit usr/lib/postgresql/15/lib/pgxml.so \
    usr/lib/postgresql/15/lib/pgxs";

/// Users that servers run as, beside those of the base.
const USERS: [(&str, u32); 2] = [("www-data", 33), ("postgres", 105)];

/// Names that packages' scripts would make.
const LINKS: [(&str, &str); 3] = [
    ("usr/bin/gcc", "gcc-12"),
    ("usr/bin/cc", "gcc-12"),
    ("usr/bin/cpp", "cpp-12"),
];

/// The newest archive in the cache that was made from the present recipe. No network.
pub fn cached() -> Result<Option<PathBuf>> {
    let dir = paths::cache_dir("rootfs-programs")?;
    let Ok(name) = fs::read_to_string(dir.join(current())) else {
        return Ok(None);
    };
    let file = dir.join(name.trim());
    Ok(file.is_file().then_some(file))
}

/// Downloads the packages' newest versions and packs them, for guests that have this base.
pub fn make(apt: &Apt, base: &Path) -> Result<PathBuf> {
    let packages: Vec<&str> = NAMES.split_whitespace().collect();
    let versions = apt.candidates(&packages)?;
    let key = hex(Sha256::digest(format!("{} {versions:?}", recipe_key())).as_slice());
    // Of this process's own: another one may be at the same, and removes its own.
    let own = format!("{key}.{}", std::process::id());
    let debs = paths::cache_dir("rootfs-programs-debs")?.join(own);
    apt.download("setup  guest programs", &packages, &debs)?;
    let base = fs::read(base)?;
    let tree = collect(&debs)?;
    check_libraries(&tree, &cpio::names(&base))?;
    let dir = paths::cache_dir("rootfs-programs")?;
    let name = format!("programs-{key}.cpio");
    let fresh = dir.join(format!("{name}.{}", std::process::id()));
    tree.write(std::io::BufWriter::new(fs::File::create(&fresh)?))?;
    fs::rename(&fresh, dir.join(&name))?;
    fs::write(dir.join(current()), &name)?;
    fs::remove_dir_all(&debs)?;
    Ok(dir.join(name))
}

fn collect(debs: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut files: Vec<_> = fs::read_dir(debs)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|end| end == "deb"))
        .collect();
    files.sort();
    for file in files {
        add_package(&mut tree, &file, &|path| is_kept(&usr_merged(path)))?;
    }
    for (path, target) in LINKS {
        tree.put(path, Node::Link(target.to_owned()));
    }
    for (name, line) in [
        ("passwd", "{name}:x:{id}:{id}::/srv:/bin/sh\n"),
        ("group", "{name}:x:{id}:\n"),
    ] {
        let mut text = fs::read_to_string(paths::root().join("xtask/guest/etc").join(name))?;
        for (user, id) in USERS {
            text.push_str(
                &line
                    .replace("{name}", user)
                    .replace("{id}", &id.to_string()),
            );
        }
        tree.put(
            &format!("etc/{name}"),
            Node::File(Meta::root(0o644), text.into_bytes()),
        );
    }
    Ok(tree)
}

fn is_kept(path: &str) -> bool {
    let begins = |list: &str| list.split_whitespace().any(|begin| path.starts_with(begin));
    begins(KEPT) && !begins(DROPPED)
}

/// Everything that decides the archive, except package versions.
fn recipe_key() -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{RECIPE}"));
    hash.update(include_str!("programs.rs"));
    for name in ["passwd", "group"] {
        let file = paths::root().join("xtask/guest/etc").join(name);
        hash.update(fs::read(file).unwrap_or_default());
    }
    hex(hash.finalize().as_slice())
}

/// The file that names the archive of this recipe.
fn current() -> String {
    format!("{}.current", recipe_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_left_out_of_what_is_kept() {
        assert!(is_kept("usr/bin/gcc-12") && is_kept("usr/lib/postgresql/15/bin/initdb"));
        assert!(!is_kept("usr/lib/postgresql/15/lib/llvmjit.so"));
        assert!(!is_kept("usr/share/doc/git/README") && !is_kept("etc/init.d/nginx"));
    }
}
