//! Asks, before anything is loaded, whether this kernel can enforce and whether this process may load.
//!
//! Changes nothing: it mounts nothing and raises no privilege. Every problem comes with its remedy.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::btf::KERNEL_BTF;
use crate::exit::Code;

/// Capabilities that loading, labelling and holding need (include/uapi/linux/capability.h).
const NEEDED: &[(&str, u32)] = &[
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_KILL", 5),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The list of active security modules cannot be read.
    #[error(
        "cannot read `{}`: {source}; mount securityfs (`mount -t securityfs securityfs /sys/kernel/security`) and check CONFIG_SECURITY",
        path.display()
    )]
    LsmListUnreadable {
        /// The list
        path: PathBuf,
        /// Why
        source: std::io::Error,
    },
    /// The kernel runs without the BPF security module.
    #[error(
        "BPF LSM is not active (active: `{active}`); boot with `lsm={suggestion}` and a kernel with CONFIG_BPF_LSM=y"
    )]
    LsmInactive {
        /// What is active
        active: String,
        /// The same with bpf
        suggestion: String,
    },
    /// There is no type information.
    #[error("`{KERNEL_BTF}` is missing; boot a kernel with CONFIG_DEBUG_INFO_BTF=y")]
    NoTypeInformation,
    /// Capabilities are missing.
    #[error("missing privilege: {}; run the agent as root, outside a container", .0.join(", "))]
    Privilege(Vec<&'static str>),
    /// bpffs is not mounted.
    #[error("no bpf file system is mounted at `{}`; mount it (`mount -t bpf bpf {}`)", path.display(), path.display())]
    NoBpfFs {
        /// Where it is expected
        path: PathBuf,
    },
}

impl Problem {
    /// The exit code that it ends the agent with.
    pub fn code(&self) -> Code {
        match self {
            Self::Privilege(_) => Code::Privilege,
            Self::NoBpfFs { .. } => Code::Failure,
            _ => Code::NotEnforced,
        }
    }
}

/// Where to look; only tests look elsewhere.
#[derive(Clone, Debug)]
pub struct Places {
    /// Active security modules, comma-separated
    pub lsm_list: PathBuf,
    /// Type information
    pub btf: PathBuf,
    /// This process
    pub status: PathBuf,
    /// Mount point of bpffs
    pub bpffs: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            lsm_list: "/sys/kernel/security/lsm".into(),
            btf: KERNEL_BTF.into(),
            status: "/proc/self/status".into(),
            bpffs: "/sys/fs/bpf".into(),
        }
    }
}

/// Every problem; none means that loading is worth trying.
pub fn probe(places: &Places) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(privilege(&places.status));
    problems.extend(security_module(&places.lsm_list));
    if !places.btf.exists() {
        problems.push(Problem::NoTypeInformation);
    }
    if !is_bpffs(&places.bpffs) {
        problems.push(Problem::NoBpfFs {
            path: places.bpffs.clone(),
        });
    }
    problems
}

fn security_module(path: &Path) -> Option<Problem> {
    let list = match std::fs::read_to_string(path) {
        Ok(list) => list,
        Err(source) => {
            return Some(Problem::LsmListUnreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    let active = list.trim();
    if active.split(',').any(|name| name == "bpf") {
        return None;
    }
    let suggestion = if active.is_empty() {
        "bpf".to_owned()
    } else {
        format!("{active},bpf")
    };
    Some(Problem::LsmInactive {
        active: stayhand_guardrail::text::safe(active),
        suggestion,
    })
}

fn privilege(status: &Path) -> Option<Problem> {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let effective = effective_capabilities(&text);
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(_, bit)| effective & (1 << bit) == 0)
        .map(|(name, _)| *name)
        .collect();
    (!missing.is_empty()).then_some(Problem::Privilege(missing))
}

/// The `CapEff` line; unreadable means none.
fn effective_capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether a bpf file system is mounted there.
pub fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> (tempfile::TempDir, Option<Problem>) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lsm");
        std::fs::write(&path, text).unwrap();
        let problem = security_module(&path);
        (place, problem)
    }

    #[test]
    fn a_kernel_without_bpf_lsm_is_told_how_to_boot() {
        let (_place, problem) = list("lockdown,capability,bpfx\n");
        let problem = problem.unwrap();
        assert_eq!(problem.code(), Code::NotEnforced);
        assert!(
            problem
                .to_string()
                .contains("lsm=lockdown,capability,bpfx,bpf"),
            "{problem}"
        );
        assert!(list("lockdown,bpf,yama").1.is_none());
    }

    #[test]
    fn an_unreadable_list_is_a_problem_and_not_a_yes() {
        let problem = security_module(Path::new("/nonexistent/lsm")).unwrap();
        assert!(
            problem.to_string().contains("mount -t securityfs"),
            "{problem}"
        );
    }

    #[test]
    fn missing_privileges_are_named() {
        assert_eq!(
            effective_capabilities("Name:\tx\nCapEff:\t0000000000000020\n"),
            0x20
        );
        assert_eq!(effective_capabilities("nonsense"), 0);
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("status");
        std::fs::write(&path, "CapEff:\t0000000000000024\n").unwrap();
        let problem = privilege(&path).unwrap();
        assert_eq!(problem.code(), Code::Privilege);
        assert!(
            problem.to_string().contains("CAP_BPF") && !problem.to_string().contains("CAP_KILL"),
            "{problem}"
        );
    }

    #[test]
    fn an_ordinary_directory_is_no_bpffs() {
        let place = tempfile::tempdir().unwrap();
        assert!(!is_bpffs(place.path()));
        assert!(!is_bpffs(&place.path().join("missing")));
    }
}
