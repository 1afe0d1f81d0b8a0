//! Which Debian packages make up the guest, and which of their files are left out.
//!
//! A fixed list instead of a dependency closure: the closure drags in perl through debconf, which only maintainer
//! scripts need, and none runs here. `base` checks that no library is missing.

/// Everything that a guest program or its libraries need: a login shell's surroundings, then PAM and libraries.
const NAMES: &str = "\
    apparmor base-files bash bsdutils btrfs-progs coreutils dash debianutils diffutils e2fsprogs findutils grep hostname iproute2 libc-bin libc6 \
    login mawk mount ncurses-base passwd procps sed sudo strace util-linux util-linux-extra xfsprogs \
    libpam-modules libpam-modules-bin libpam-runtime libpam0g libacl1 libattr1 libaudit1 libblkid1 \
    libbpf1 libbsd0 libbz2-1.0 libcap-ng0 libcap2 libcom-err2 libcrypt1 libdb5.3 libdevmapper1.02.1 libelf1 libext2fs2 libgcc-s1 libgcrypt20 libgmp10 libgpg-error0 libinih1 \
    libstdc++6 liblz4-1 liblzma5 liblzo2-2 libmd0 libmnl0 libmount1 libncursesw6 libpcre2-8-0 libproc2-0 libreadline8 libselinux1 \
    libsemanage2 libsepol2 libsmartcols1 libss2 libsystemd0 libtinfo6 libudev1 libunwind8 liburcu8 libuuid1 libzstd1 \
    zlib1g";

/// The packages by name.
pub fn packages() -> Vec<&'static str> {
    NAMES.split_whitespace().collect()
}

/// Trees without use in a guest that nobody reads manuals in; together they are most of the packages' size.
const DROPPED: &str = "usr/share/ usr/lib/x86_64-linux-gnu/gconv/ usr/lib/x86_64-linux-gnu/perl usr/lib/systemd/ \
    usr/lib/tmpfiles.d/ usr/lib/sysusers.d/ usr/lib/udev/ etc/init.d/ etc/cron etc/default/ etc/pam.d/ var/cache/";

/// Programs of a few megabytes that no scenario runs.
const DROPPED_FILES: &str = "usr/sbin/ldconfig usr/bin/localedef usr/sbin/sudo_logsrvd usr/sbin/sudo_sendlog \
    usr/bin/sudoreplay usr/sbin/fsck.cramfs usr/sbin/mkfs.cramfs";

/// Of the packages of file systems only what makes one is used; the rest is large, and needs more libraries.
const FILE_SYSTEMS: &str = "usr/sbin/xfs_ usr/sbin/fsck.xfs usr/sbin/e2 usr/sbin/debugfs usr/sbin/resize2fs \
    usr/sbin/btrfs-convert usr/sbin/btrfs-map usr/sbin/btrfs-select usr/sbin/btrfs-find usr/sbin/btrfs-image \
    usr/sbin/btrfstune usr/sbin/fsck.ext usr/sbin/badblocks usr/bin/chattr usr/bin/lsattr usr/sbin/filefrag \
    usr/sbin/tune2fs usr/sbin/dumpe2fs usr/sbin/logsave usr/sbin/mklost usr/sbin/fsck.btrfs";

/// Of the tools of networks only `ip` is used.
const NETWORK: &str = "usr/sbin/tc usr/sbin/bridge usr/sbin/dcb usr/sbin/devlink usr/sbin/rtacct usr/sbin/rtmon usr/sbin/tipc \
    usr/sbin/vdpa usr/sbin/genl usr/sbin/arpd usr/bin/ss usr/bin/nstat usr/bin/lnstat usr/bin/rdma usr/bin/routel usr/bin/rtstat \
    usr/bin/ctstat usr/lib/tc usr/lib/x86_64-linux-gnu/tc/";

/// True if this file (in its place below `/usr`) goes into the guest.
pub fn is_kept(path: &str) -> bool {
    !DROPPED_FILES.split_whitespace().any(|f| f == path)
        && !NETWORK.split_whitespace().any(|f| path.starts_with(f))
        && !FILE_SYSTEMS.split_whitespace().any(|f| path.starts_with(f))
        && !DROPPED.split_whitespace().any(|d| path.starts_with(d))
}

/// Debian's merged `/usr`: the packages of this release still carry `bin/`, `sbin/` and `lib*/`.
pub fn usr_merged(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    if matches!(first, "bin" | "sbin" | "lib" | "lib64") {
        format!("usr/{path}")
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_top_level_names_are_moved() {
        assert_eq!(
            usr_merged("lib/x86_64-linux-gnu/libc.so.6"),
            "usr/lib/x86_64-linux-gnu/libc.so.6"
        );
        assert_eq!(usr_merged("library/x"), "library/x");
    }

    #[test]
    fn the_packages_own_pam_files_do_not_override_ours() {
        assert!(!is_kept("etc/pam.d/su"));
        assert!(is_kept("usr/lib/x86_64-linux-gnu/security/pam_loginuid.so"));
    }
}
